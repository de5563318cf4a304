"""The variables at the top of a dashboard."""

from typing import Final, TypeAlias

from grafana_foundation_sdk.builders import dashboard as builders
from grafana_foundation_sdk.models import dashboard

Variable: TypeAlias = builders.QueryVariable | builders.CustomVariable

ALL: Final = ".+"
"""What a variable of PromQL becomes when all values are chosen."""
ALL_OR_NONE: Final = ".*"
"""The same for a label that may be empty, as the queue of a number that a system keeps for all its queues together."""


def source(plugin: str) -> builders.DatasourceVariable:
    """Return the choice of the data source; the board puts it first."""
    return builders.DatasourceVariable("datasource").label("Data source").type(plugin)


def label_values(name: str, label: str, selector: str, *, everything: str = ALL) -> builders.QueryVariable:
    """Return a choice among the values of the label that is called as the variable is."""
    return _choice(name, label).query(f"label_values({selector}, {name})").all_value(everything)


def scope(metric: str) -> tuple[builders.QueryVariable, builders.QueryVariable]:
    """Return the choices of job and instance among those that serve a metric."""
    return (
        label_values("job", "Job", metric),
        label_values("instance", "Instance", f'{metric}{{job=~"$job"}}'),
    )


def sql_values(name: str, label: str, statement: str) -> builders.QueryVariable:
    """Return a choice among the rows of a statement (columns ``__text`` and ``__value``, or one column).

    In a query it stands as :func:`among` has it. All of them is the list of all of them.
    """
    return _choice(name, label).query(" ".join(statement.split()))


def among(column: str, variable: str) -> str:
    """Return the condition of SQL that a column has one of the values chosen.

    All of a choice that has nothing to offer is no value, which ``IN ()`` would be no SQL for.
    """
    return f"{column} = ANY (ARRAY[${{{variable}:sqlstring}}]::text[])"


def custom(name: str, label: str, values: tuple[str, ...], *, chosen: str) -> builders.CustomVariable:
    """Return a choice of one among given words."""
    options = [dashboard.VariableOption(selected=value == chosen, text=value, value=value) for value in values]
    return (
        builders.CustomVariable(name)
        .label(label)
        .values(", ".join(values))
        .options(options)
        .current(next(option for option in options if option.selected))
    )


def _choice(name: str, label: str) -> builders.QueryVariable:
    return (
        builders.QueryVariable(name)
        .label(label)
        .multi(multi=True)
        .include_all(include_all=True)
        .current(dashboard.VariableOption(selected=True, text=["All"], value=["$__all"]))
        .refresh(dashboard.VariableRefresh.ON_TIME_RANGE_CHANGED)
        .sort(dashboard.VariableSort.ALPHABETICAL_ASC)
    )
