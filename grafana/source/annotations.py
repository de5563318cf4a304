"""Marks on the graphs: Grafana's own, and those that a query finds. They are off until somebody wants them."""

from grafana_foundation_sdk.builders import dashboard as builders
from grafana_foundation_sdk.models import common

from grafana.source import promql, sql

LETTER = "Anno"


def built_in() -> builders.AnnotationQuery:
    """Return the annotations that people make in Grafana by hand."""
    return (
        builders.AnnotationQuery()
        .name("Annotations & Alerts")
        .datasource(common.DataSourceRef(type_val="grafana", uid="-- Grafana --"))
        .type("dashboard")
        .built_in(1)
        .enable(enable=True)
        .hide(hide=True)
        .icon_color("rgba(0, 211, 255, 1)")
    )


def from_promql(name: str, expr: str, *, title: str, text: str, color: str) -> builders.AnnotationQuery:
    """Return marks where the expression has a value; ``{{label}}`` in title and text is the series' own."""
    return (
        _off(name, color)
        .expr(" ".join(expr.split()))
        .step("")
        .title_format(title)
        .text_format(text)
        .tag_keys("")
        .target(promql.series(expr).ref_id(LETTER))
    )


def from_sql(name: str, statement: str, *, color: str) -> builders.AnnotationQuery:
    """Return marks from rows with the columns ``time``, ``text`` and, if wanted, ``timeend``, ``title``, ``tags``."""
    return _off(name, color).target(sql.marks(statement, LETTER))


def _off(name: str, color: str) -> builders.AnnotationQuery:
    return builders.AnnotationQuery().name(name).enable(enable=False).hide(hide=False).icon_color(color)
