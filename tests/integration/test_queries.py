"""Every question of sql/queries.sql has the same answer in all three editions."""

import json
import re
from datetime import datetime, timedelta
from decimal import Decimal
from importlib import resources
from typing import Any

import psycopg
import pytest

from tests.plugins.golden import Golden
from tests.plugins.history import DAY, maintain, whole_hour, with_counter, with_health, write
from tests.plugins.redis_server import RedisServer
from tests.plugins.sinks import MakeSink

pytestmark = pytest.mark.needs("redis-server")

NAMED = re.compile(r"^-- name: (.+)\n((?:.*\n)*?.*);$", re.MULTILINE)


def questions() -> dict[str, str]:
    """Return the queries by name, as psycopg takes them."""
    text = resources.files("sink.sql").joinpath("queries.sql").read_text()
    typed = {name: re.sub(r":'(start|end)'", r"%(\1)s::timestamptz", query) for name, query in NAMED.findall(text)}
    return {name: query.replace(":'queue'", "%(queue)s") for name, query in typed.items()}


def test_the_answers_are_the_same_in_every_edition(
    make_sink: MakeSink, redis_server: RedisServer, each_edition: str, golden: Golden
) -> None:
    start = whole_hour(4 * DAY)
    moments = [start + timedelta(seconds=20 * n) for n in range(1, 200)]
    snapshots = [with_counter(n, at, completed=n * 3) for n, at in enumerate(moments, 1)]
    snapshots += [with_counter(n, at, completed=None, host="web-2") for n, at in enumerate(moments[:50], 1) if n != 7]
    snapshots += [with_health(n, start + n * timedelta(minutes=3)) for n in range(1, 31)]
    write(make_sink, redis_server, each_edition, *snapshots)
    with psycopg.connect(each_edition, autocommit=True) as connection:
        connection.execute(
            "INSERT INTO depthgauge.process_events VALUES ('web-1', 'main', 'mail', 'mail_00', %s, 1, 20, 100, 3, false, 'poll', NULL)",
            (start + timedelta(minutes=1),),
        )
    maintain(each_edition)
    answers = {}
    with psycopg.connect(each_edition) as connection:
        for name, query in questions().items():
            given = {"start": start, "end": start + timedelta(minutes=30), "queue": "counted"}
            rows = connection.execute(query.encode(), given).fetchall()
            assert rows, name
            answers[name] = {"rows": len(rows), "first": _plain(rows[0], start), "last": _plain(rows[-1], start)}
    assert len(answers) == len(questions()) >= 10

    golden("queries.json", json.dumps(answers, indent=1) + "\n")


def _plain(row: tuple[Any, ...], start: datetime) -> list[Any]:
    def plain(value: Any) -> Any:
        if isinstance(value, datetime):
            return f"start + {(value - start).total_seconds():g} s"
        return float(value) if isinstance(value, Decimal) else value

    return [plain(value) for value in row]
