"""Every query of the dashboards for Prometheus is asked of a real one that has scraped real daemons, and finds something."""

import statistics
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime
from typing import Final

import pytest

from tests.plugins import backfill
from tests.plugins.dashboard_stand import EXPORTERS, LATE, SINKS, Stand, running, trouble
from tests.plugins.dashboards import Json, panels, place, targets, variables
from tests.plugins.gallery import Gallery, Result
from tests.plugins.grafana_promql import Asked, Row, boards, is_empty, marks, options, run, shown
from tests.plugins.medians import PROMETHEUS, Medians
from tests.plugins.postgres import PostgresServer
from tests.plugins.prometheus import Prometheus
from tests.plugins.timescale_server import fresh_database
from tests.plugins.waiting import wait_for

pytestmark = [
    pytest.mark.needs("source-tree", "prometheus", "promtool"),
    pytest.mark.needs("redis-server", "rq", "supervisord", "timescaledb", "postgres"),
    pytest.mark.timeout(240),
]

UIDS: Final = ("depthgauge-overview", "depthgauge-queues", "depthgauge-processes", "depthgauge-self")
BAR: Final = 0.1
"""Seconds that the median query of a board may take."""
AT_LEAST: Final = 25.0
"""Seconds for which Prometheus has scraped before anything is asked."""

MAY_BE_EMPTY: Final = {
    (
        "depthgauge-self",
        "State changes of processes",
        "B",
    ): "no state change is lost: the listener is never short of room",
    ("depthgauge-self", "Failures and retries", "C"): "no round of upkeep fails",
    ("depthgauge-self", "Left out", "A"): "no family reaches its budget of 10,000 series",
}
"""Queries beside others of their panel that find nothing here, and why. No panel is empty."""


@pytest.fixture(scope="module")
def stand(
    tmp_path_factory: pytest.TempPathFactory, timescale_server_dsn: str, watched_server: PostgresServer
) -> Iterator[Stand]:
    """A fleet that has been scraped for a while, through all its troubles."""
    with (
        fresh_database(timescale_server_dsn) as dsn,
        fresh_database(watched_server.dsn) as app,
        running(tmp_path_factory.mktemp("stand"), dsn, app) as made,
    ):
        trouble(made)
        wait_for(lambda: time.time() - made.began > AT_LEAST, AT_LEAST)
        yield made


@pytest.fixture(scope="module")
def asked(stand: Stand) -> Asked:
    """What is looked at by all tests: from the first scrape to the moment when there is something in everything."""

    def ask() -> Asked:
        return Asked(start=stand.began, end=time.time(), step=1, scrape=1)

    # The test says which are left, not this wait.
    with suppress(AssertionError):
        wait_for(lambda: not silent(stand, ask()), 60, step=2)
    return ask()


def silent(stand: Stand, asked: Asked) -> list[str]:
    """Return the queries that find nothing."""
    return [
        f"{uid}: {place(panel)} {target['refId']}: {target['expr']}"
        for uid, board in boards().items()
        for panel, target in targets(board)
        if is_empty(run(stand.prometheus, board, target, asked)[0])
        and (uid, panel["title"], target["refId"]) not in MAY_BE_EMPTY
    ]


def ask_panel(stand: Stand, board: Json, panel: Json, asked: Asked) -> list[Result]:
    return [run(stand.prometheus, board, target, asked)[0] for target in panel["targets"]]


def test_every_board_is_here() -> None:
    assert set(UIDS) == set(boards())


def test_every_query_finds_something(stand: Stand, asked: Asked) -> None:
    assert silent(stand, asked) == []


@pytest.mark.parametrize("uid", UIDS)
def test_a_board_is_shown_in_time(uid: str, stand: Stand, asked: Asked, gallery: Gallery, medians: Medians) -> None:
    board = boards()[uid]
    taken = []
    for panel in panels(board):
        results = []
        for target in panel["targets"]:
            alone = len(panel["targets"]) == 1
            result, seconds = run(stand.prometheus, board, target, asked, alone=alone)
            results.append(result)
            taken.append(seconds)
            medians.record(uid, PROMETHEUS, "a minute at 1 s", seconds)
        assert not all(map(is_empty, results)), place(panel)
        gallery.record(uid, panel["id"], results)
    assert statistics.median(taken) < BAR


@pytest.mark.parametrize("uid", UIDS)
def test_variables_offer_what_is_there_and_narrow_the_queries(uid: str, stand: Stand, asked: Asked) -> None:
    board = boards()[uid]
    chosen: dict[str, tuple[str, ...]] = {}
    for variable in variables(board):
        if variable["type"] == "query":
            found = options(stand.prometheus, board, variable, replace(asked, chosen=chosen))
            assert found, variable["name"]
            if variable["name"] == "job":
                assert set(found) <= {EXPORTERS, SINKS}, "jobs that are not ours are offered"
            chosen[variable["name"]] = (found[-1],) if variable["name"] != "instance" else tuple(found)
    narrow = replace(asked, chosen=chosen)
    for panel, target in targets(board):
        result, _ = run(stand.prometheus, board, target, narrow)
        for name in {"queue", "redis", "process", "group"} & chosen.keys() & set(result.columns):
            assert {row[result.columns.index(name)] for row in result.rows} <= set(chosen[name]), place(panel)


def table(stand: Stand, board: Json, title: str, asked: Asked) -> list[Row]:
    panel = next(each for each in panels(board) if each["title"] == title)
    return shown(panel, ask_panel(stand, board, panel, asked))


def figure(stand: Stand, board: Json, title: str, asked: Asked) -> float | None:
    panel = next(each for each in panels(board) if each["title"] == title)
    (result,) = ask_panel(stand, board, panel, asked)
    ((_, value),) = next(iter(result.lines.values()))
    return value


def test_the_late_queue_is_found_at_one_glance(stand: Stand, asked: Asked) -> None:
    """As a new user would: open the overview, look at the first panels and at the top of the table."""
    board = boards()["depthgauge-overview"]
    assert next(panels(board))["title"] == "Late queues"
    first_table = next(panel for panel in panels(board) if panel["type"] == "table")
    assert first_table["gridPos"]["y"] + 3 < 12, "the table's first rows are not on the first screen"

    assert figure(stand, board, "Late queues", asked) == 1
    top, *others = table(stand, board, first_table["title"], asked)
    assert (top["Queue"], top["System"], top["Redis"]) == ("late", "rq", "jobs")
    assert isinstance(top["Oldest job"], float)
    assert LATE <= top["Oldest job"] < LATE + 240
    assert top["Waiting"] == 5, "two exporters that read one queue do not double it"
    assert top["Processes"] == 3, "workers of two hosts are added up"
    waits = [row["Oldest job"] for row in others if row["Oldest job"] is not None]
    assert waits == sorted(waits, key=lambda each: -float(str(each)))
    (nobody,) = [row for row in others if row["Queue"] == "nobody"]
    assert nobody["Nobody works"] == 1
    (busy,) = [row for row in others if row["Queue"] == "busy"]
    assert (busy["Nobody works"], busy["Active"], busy["Registered workers"]) == (None, 1, 1)


def test_the_overview_tells_the_fleet_as_it_is(stand: Stand, asked: Asked) -> None:
    board = boards()["depthgauge-overview"]
    assert figure(stand, board, "Targets down", asked) == 1, "the dead exporter, and not somebody else's target"
    assert figure(stand, board, "Sources failing", asked) == 2, "the queues and the health of the Redis that is away"
    assert figure(stand, board, "Processes in trouble", asked) == 2
    off = {row["Process"]: row for row in table(stand, board, "Processes that do not run", asked)}
    assert {name: row["State"] for name, row in off.items() if name != "restless"} == {
        "off": 0.0,
        "gone": 100.0,
        "mail_00": 200.0,
        "missing": 200.0,
    }
    assert off["gone"]["Exit status"] == 3
    assert off["missing"]["Spawn error"] == 1


def test_annotations_mark_what_was_started_anew(stand: Stand, asked: Asked) -> None:
    ((name, found),) = marks(stand.prometheus, boards()["depthgauge-processes"], asked)
    assert name == "Restarts"
    assert "restless" in {labels["process"] for labels, _ in found}
    assert "late-worker" not in {labels["process"] for labels, _ in found}


@pytest.fixture(scope="module")
def past(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Prometheus, Asked]]:
    """A Prometheus that has six hours of a fleet, and the question for them."""
    folder = tmp_path_factory.mktemp("past")
    end = datetime.now(UTC)
    backfill.fill(folder / "data", end)
    prometheus = Prometheus(folder, {})
    step, length = backfill.STEP.total_seconds(), backfill.LENGTH.total_seconds()
    yield prometheus, Asked(start=end.timestamp() - length, end=end.timestamp() - step, step=step, scrape=step)
    prometheus.stop()


def test_annotations_mark_every_restart_of_six_hours(past: tuple[Prometheus, Asked]) -> None:
    """Grafana asks for 100 points then; every process was started anew at the same times, none of which is a point."""
    prometheus, asked = past
    wide = replace(asked, start=asked.start + 90, step=300)
    ((_, found),) = marks(prometheus, boards()["depthgauge-processes"], wide)
    restarts = [asked.start + number * backfill.STEP.total_seconds() for number in range(200, 720, 200)]
    assert {labels["process"] for labels, _ in found} == set(backfill.PROCESSES)
    assert len(found) == len(backfill.HOSTS) * len(backfill.PROCESSES)
    for labels, moments in found:
        late = [[at - began for at in moments if 0 <= at - began <= wide.rate_interval] for began in restarts]
        assert all(late), (labels, moments)
        assert sum(map(len, late)) == len(moments), "a mark where nothing was started"


@pytest.mark.parametrize("uid", UIDS[:3])
def test_six_hours_are_shown_in_time(
    uid: str, past: tuple[Prometheus, Asked], gallery: Gallery, medians: Medians
) -> None:
    prometheus, asked = past
    board = boards()[uid]
    taken, silent = [], []
    for panel in panels(board):
        results = []
        for target in panel["targets"]:
            result, seconds = run(prometheus, board, target, asked, alone=len(panel["targets"]) == 1)
            results.append(result)
            taken.append(seconds)
            medians.record(uid, PROMETHEUS, "six hours at 30 s", seconds)
        if all(map(is_empty, results)):
            silent.append(panel["title"])
        gallery.record(uid, panel["id"], results)  # for the picture: an evening says more than a minute
    assert silent == []
    assert statistics.median(taken) < BAR
