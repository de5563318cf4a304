"""Boards over the database, read from their JSON and asked as Grafana asks: variables, panels, annotations."""

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any, Final

import psycopg

from tests.plugins import dashboards
from tests.plugins.dashboards import Json, committed, plugin
from tests.plugins.gallery import Result
from tests.plugins.grafana_macros import POINTS, Asked, expand, interval_for

PLUGIN: Final = "grafana-postgresql-datasource"
NUMBERS: Final = frozenset({20, 21, 23, 700, 701, 1700})
"""PostgreSQL's types that become numbers in Grafana."""
TEXTS: Final = frozenset({25, 1043})
MOMENTS: Final = frozenset({1184})
"""timestamptz."""


@dataclass(frozen=True, kw_only=True)
class Target:
    """One query of a panel."""

    board: str
    panel: int
    title: str
    ref_id: str
    format: str
    text: str
    points: int
    """How many it wants at the most."""

    def drawn(self, asked: Asked) -> Asked:
        """Return the question with the interval that Grafana chooses for the panel."""
        return replace(asked, interval=interval_for(asked.end - asked.start, points=self.points))


def boards() -> dict[str, Json]:
    """Return the boards over the database as data, by uid."""
    return {uid: board for uid, board in committed().boards.items() if plugin(board) == PLUGIN}


def targets(board: Json) -> Iterator[Target]:
    """Give every query of every panel."""
    for panel, target in dashboards.targets(board):
        yield Target(
            board=board["uid"],
            panel=panel["id"],
            title=panel["title"],
            ref_id=target["refId"],
            format=target["format"],
            text=target["rawSql"],
            points=panel.get("maxDataPoints", POINTS),
        )


def all_chosen(connection: psycopg.Connection[Any], board: Json, asked: Asked) -> dict[str, tuple[str, ...]]:
    """Ask the variables of a board; return what "All" is."""
    chosen: dict[str, tuple[str, ...]] = {}
    for variable in board["templating"]["list"]:
        if variable["type"] == "query":
            cursor = connection.execute(expand(variable["query"], asked).encode())
            assert cursor.description is not None
            columns = [column.name for column in cursor.description]
            assert {column.type_code for column in cursor.description} == {25}, (board["uid"], variable["name"])
            assert len(columns) == 1 or columns == ["__text", "__value"], (board["uid"], columns)
            rows = cursor.fetchall()
            assert all(row[0] for row in rows), (board["uid"], variable["name"], "each choice can be read")
            values = tuple(row[-1] for row in rows)
            assert None not in values, (board["uid"], variable["name"])
            chosen[variable["name"]] = values
    return chosen


def run(connection: psycopg.Connection[Any], target: Target, asked: Asked) -> tuple[Result, float]:
    """Ask one query; return what came in the form that Grafana makes of it, and the seconds it took.

    What Grafana would refuse or draw wrongly fails here: no column ``time``, times that do not ascend, two values of one line
    at one moment, columns that are neither numbers nor texts.
    """
    statement = expand(target.text, target.drawn(asked)).encode()
    began = time.perf_counter()
    cursor = connection.execute(statement)
    rows = cursor.fetchall()
    took = time.perf_counter() - began
    assert cursor.description is not None
    columns = [(column.name, column.type_code) for column in cursor.description]
    where = (target.board, target.title, target.ref_id)
    if target.format == "table":
        unknown = [name for name, kind in columns if kind not in NUMBERS | TEXTS | MOMENTS]
        assert not unknown, (where, "columns of a type that no table shows", unknown)
        return Result(ref_id=target.ref_id, columns=tuple(name for name, _ in columns), rows=tuple(rows)), took
    assert target.format == "time_series", where
    return Result(ref_id=target.ref_id, lines=_lines(where, columns, rows)), took


def _lines(
    where: tuple[str, ...], columns: Sequence[tuple[str, int]], rows: Sequence[tuple[Any, ...]]
) -> dict[str, list[tuple[datetime, float | None]]]:
    """Return the lines of a time series: named by the text column ``metric``, or by the columns of numbers."""
    names = [name for name, _ in columns]
    assert names.count("time") == 1, (where, names)
    at = names.index("time")
    assert columns[at][1] in MOMENTS | NUMBERS, (where, "the column time is neither a time nor a number")
    texts = [index for index, (_, kind) in enumerate(columns) if kind in TEXTS]
    numbers = [index for index, (_, kind) in enumerate(columns) if kind in NUMBERS and index != at]
    assert len(texts) + len(numbers) + 1 == len(columns), (where, columns)
    assert numbers, (where, "no column of numbers")
    # With one text column called metric, and one of numbers, Grafana takes the text for the line's name.
    assert not texts or (names[texts[0]], len(columns)) == ("metric", 3), (where, names)
    lines: dict[str, list[tuple[datetime, float | None]]] = {}
    latest: datetime | None = None
    for row in rows:
        moment = row[at] if columns[at][1] in MOMENTS else datetime.fromtimestamp(float(row[at]), UTC)
        assert latest is None or moment >= latest, (where, "times do not ascend", moment)
        latest = moment
        for index in numbers:
            assert not texts or row[texts[0]] is not None, (where, "a line without a name")
            line = lines.setdefault(row[texts[0]] if texts else names[index], [])
            assert not line or line[-1][0] < moment, (where, "two values at one moment", row)
            line.append((moment, None if row[index] is None else float(row[index])))
    return lines


def asked_for(month_end: datetime, length: timedelta, *, timescaledb: bool, ago: timedelta = timedelta(0)) -> Asked:
    """Return the question for a range that ends with the data, or some time before."""
    end = month_end - ago
    return Asked(start=end - length, end=end, timescaledb=timescaledb)
