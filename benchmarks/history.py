"""``make bench``, history's part: what questions take over 30 days at 15 s and 20 queues of one host.

Fills a freshly migrated database of each kind that can be had here, has upkeep make its rollups, and prints medians: of the
reader that the API uses (the answer as JSON included), of the queries of sql/queries.sql, and of the panels of the dashboard
Queue history, as Grafana asks. The servers are those of the tests.
"""

import argparse
import re
import statistics
import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from functools import partial
from importlib import resources
from typing import Final

import msgspec
import psutil
import psycopg

from benchmarks.sink import servers
from depthgauge.history_parameters import parse
from depthgauge.secrets import Secret
from sink.history import history_reader
from sink.migrate import migrate
from tests.plugins.grafana_sql import all_chosen, asked_for, boards, run, targets
from tests.plugins.past import fill, roll_up
from tests.plugins.timescale_server import fresh_database

DAYS: Final = 30
DAY: Final = timedelta(days=1)
_NAMED: Final = re.compile(r"^-- name: (.+)\n((?:.*\n)*?.*);$", re.MULTILINE)


def questions(midnight: datetime) -> Mapping[str, dict[str, str]]:
    """Return what is asked of the API, by what it is; ``midnight`` ends the data."""
    a_day = {"start_date": (midnight - 2 * DAY).isoformat(), "end_date": (midnight - DAY).isoformat()}
    all_of_it = {"start_date": (midnight - DAYS * DAY).isoformat(), "end_date": midnight.isoformat()}
    return {
        "an hour by minutes": {"start_date": (midnight - DAY / 24).isoformat(), "end_date": midnight.isoformat()},
        "a day by minutes": a_day,
        "a day by minutes, one queue": a_day | {"queue": "queue-07"},
        "5 days by 5 minutes": {"start_date": (midnight - 5 * DAY).isoformat(), "end_date": midnight.isoformat()},
        "30 days by hours": all_of_it,
        "30 days by minutes, first page": all_of_it | {"step": "60"},
    }


def median(times: int, call: Callable[[], object]) -> float:
    """Return the median of some calls, in milliseconds, after one that does not count."""
    call()
    taken = []
    for _ in range(times):
        started = time.perf_counter()
        call()
        taken.append((time.perf_counter() - started) * 1e3)
    return statistics.median(taken)


def ask(dsn: str, edition: str, midnight: datetime, times: int) -> None:
    """Measure the API's questions; print a line each, with the processor time of reader and server: other work adds less to it."""
    with history_reader(Secret(dsn)) as reader, psycopg.connect(dsn, autocommit=True) as other:
        for name, told in questions(midnight).items():
            query = parse(told.items(), midnight)
            page = reader.read(query)
            pid = other.execute(
                "SELECT pid FROM pg_stat_activity WHERE application_name = 'depthgauge-history'"
            ).fetchone()
            assert pid is not None
            server = psutil.Process(pid[0])
            began, ours = sum(server.cpu_times()[:2]), time.process_time()
            took = median(times, lambda query=query: msgspec.json.encode(reader.read(query)))  # type: ignore[misc]  # a default
            ours, theirs = time.process_time() - ours, sum(server.cpu_times()[:2]) - began
            print(
                f"history     {edition}, {name}: {took:.0f} ms ({page.count} records from {page.resolution} rows); "
                f"processor time {ours / (times + 1) * 1e3:.0f} ms here + {theirs / (times + 1) * 1e3:.0f} ms in the server",
                flush=True,
            )


def dashboards(dsn: str, edition: str, midnight: datetime, times: int) -> None:
    """Measure the queries of sql/queries.sql over their usual ranges; print a line each."""
    text = resources.files("sink.sql").joinpath("queries.sql").read_text()
    with psycopg.connect(dsn, autocommit=True) as connection:
        for name, query in _NAMED.findall(text):
            days = 30 if "hour" in name else 5 if "five minutes" in name else 1
            given = {"start": midnight - days * DAY, "end": midnight, "queue": "queue-07"}
            typed = re.sub(r":'(start|end)'", r"%(\1)s::timestamptz", query).replace(":'queue'", "%(queue)s").encode()
            took = median(times, lambda typed=typed, given=given: connection.execute(typed, given).fetchall())  # type: ignore[misc]  # defaults
            print(f"history     {edition}, query {name!r} over {days} d: {took:.0f} ms", flush=True)


def panels(dsn: str, edition: str, midnight: datetime, times: int) -> None:
    """Measure the panels of Queue history over several ranges; print a line for each range."""
    board = boards()["depthgauge-queue-history"]
    with psycopg.connect(dsn, autocommit=True) as connection:
        connection.execute("SET timezone = 'UTC'")
        for hours in (1, 6, 24, 7 * 24, 30 * 24):
            asked = asked_for(midnight, timedelta(hours=hours), timescaledb=edition != "plain")
            asked = replace(asked, variables=all_chosen(connection, board, asked))
            took = {each.title: median(times, partial(run, connection, each, asked)) for each in targets(board)}
            slowest = max(took, key=lambda title: took[title])
            print(
                f"history     {edition}, panels of {board['uid']} over {hours} h: median {statistics.median(took.values()):.0f} ms,"
                f" longest {took[slowest]:.0f} ms ({slowest})",
                flush=True,
            )


def main(times: int = 9, only: str | None = None) -> None:
    """Measure every kind of database."""
    midnight = datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
    with servers() as found:
        for edition, server in found.items():
            if only in (None, edition):
                with fresh_database(server) as dsn:
                    migrate(Secret(dsn))
                    rows = fill(dsn, midnight - DAYS * DAY, days=DAYS)
                    roll_up(dsn)
                    print(f"history     {edition}: {rows} rows of queues in {DAYS} days", flush=True)
                    ask(dsn, edition, midnight, times)
                    dashboards(dsn, edition, midnight, times)
                    panels(dsn, edition, midnight, times)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--times", type=int, default=9, help="calls that each median is of")
    parser.add_argument("--only", choices=("plain", "timescaledb"), help="one kind of database")
    told = parser.parse_args()
    main(told.times, told.only)
