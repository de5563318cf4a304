"""The columns of a table panel: which are shown, in which order, under which heading and with which look."""

from dataclasses import dataclass

from grafana_foundation_sdk.builders import table
from grafana_foundation_sdk.models import dashboard

from grafana.source.looks import PLAIN, Look


@dataclass(frozen=True, kw_only=True)
class Column:
    """One column. ``field`` is a label, a column of SQL, or ``Value`` (``Value #B`` where there are several targets)."""

    field: str
    title: str
    look: Look = Look()  # noqa: RUF009  frozen
    width: int | None = None
    link: str | None = None
    """Where a click leads; ``${__data.fields.queue}`` is the row's own value of a field."""
    link_title: str = "Details"


def arrange(panel: table.Panel, columns: tuple[Column, ...], *, merge: bool) -> table.Panel:
    """Show these columns in this order, and nothing else."""
    if merge:
        panel.with_transformation(dashboard.DataTransformerConfig(id_val="merge", options={}))
    names = [column.field for column in columns]
    panel.with_transformation(
        dashboard.DataTransformerConfig(id_val="filterFieldsByName", options={"include": {"names": names}})
    )
    panel.with_transformation(
        dashboard.DataTransformerConfig(
            id_val="organize",
            options={
                "excludeByName": {},
                "includeByName": {},
                "indexByName": {name: index for index, name in enumerate(names)},
                "renameByName": {column.field: column.title for column in columns if column.field != column.title},
            },
        )
    )
    for column in columns:
        if properties := _properties(column):
            panel.override_by_name(column.title, properties)
    return panel


def _properties(column: Column) -> list[dashboard.DynamicConfigValue]:
    look = column.look
    found: dict[str, object] = {}
    if look != Look():
        found["unit"] = look.unit
        found["noValue"] = look.absent
    if look.decimals is not None:
        found["decimals"] = look.decimals
    if look.steps is not PLAIN:
        found["thresholds"] = {
            "mode": "absolute",
            "steps": [{"color": color, "value": value} for value, color in look.steps],
        }
    if look.texts:
        found["mappings"] = list(look.texts)
    if look.steps is not PLAIN or look.texts:
        found["color"] = {"mode": "thresholds"}
        found["custom.cellOptions"] = {"mode": "basic", "type": "color-background"}
    if column.width is not None:
        found["custom.width"] = column.width
    if column.link is not None:
        found["links"] = [{"title": column.link_title, "url": column.link}]
    return [dashboard.DynamicConfigValue(id_val=name, value=value) for name, value in found.items()]
