"""Targets of dashboards for PostgreSQL, which the SDK has no type for. Data source and letter are put in by the board.

Statements use Grafana's macros only, never ``time_bucket``: they work with TimescaleDB and without.
A macro's arguments have no parentheses and no commas of their own: Grafana would cut them there.
"""

from dataclasses import dataclass
from textwrap import dedent

from grafana_foundation_sdk.cog.builder import Builder
from grafana_foundation_sdk.cog.variants import Dataquery


@dataclass(frozen=True, kw_only=True)
class SqlQuery(Dataquery):
    """What the plugin grafana-postgresql-datasource reads of a target."""

    raw_sql: str
    format: str
    ref_id: str = ""

    def to_json(self) -> dict[str, object]:
        """Return it as the dashboard's JSON has it."""
        return {
            "editorMode": "code",
            "format": self.format,
            "rawQuery": True,
            "rawSql": self.raw_sql,
            "refId": self.ref_id,
        }


@dataclass(frozen=True)
class Statement(Builder[Dataquery]):
    """A statement in the form that panels take targets in."""

    query: SqlQuery

    def build(self) -> Dataquery:
        """Return the target."""
        return self.query


def series(text: str) -> Statement:
    """Return a query for lines over time: columns ``time``, ascending, perhaps texts that name the line, and numbers."""
    return Statement(SqlQuery(raw_sql=_tidy(text), format="time_series"))


def rows(text: str) -> Statement:
    """Return a query for a table, a stat, or the wide rows of a state timeline."""
    return Statement(SqlQuery(raw_sql=_tidy(text), format="table"))


def marks(text: str, ref_id: str) -> Statement:
    """Return the query of an annotation."""
    return Statement(SqlQuery(raw_sql=_tidy(text), format="table", ref_id=ref_id))


def _tidy(text: str) -> str:
    return dedent(text).strip()
