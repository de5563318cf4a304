"""Pictures of the status page for the README: ``--update-screenshots`` writes them anew, from a fleet in plausible trouble."""

from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import TypeAlias

import pytest

from tests.plugins.fleet import Fleet
from tests.plugins.fleet_numbers import RECENT, Json, process, queue

FOLDER = Path(__file__).resolve().parents[2] / "docs" / "images"

Screenshot: TypeAlias = Callable[[str, bytes], None]


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--update-screenshots", action="store_true", help="write the pictures in docs/images anew")


@pytest.fixture
def screenshot(pytestconfig: pytest.Config) -> Screenshot:
    """Give a function that writes a picture where that is asked for; it never compares, as fonts differ."""

    def keep(name: str, picture: bytes) -> None:
        if pytestconfig.getoption("--update-screenshots"):
            FOLDER.mkdir(exist_ok=True)
            (FOLDER / name).write_bytes(picture)

    return keep


def rising(made: Json, start: int, end: int) -> Json:
    """Let a queue's recent line go from ``start`` to ``end``, unevenly."""
    slope = (end - start) / (RECENT - 1)
    made["recent"]["waiting"] = [max(0, round(start + slope * at - (at % 7) * slope / 2)) for at in range(RECENT)]
    made["recent"]["waiting"][-1] = end
    return made


def in_trouble(fleet: Fleet) -> None:
    """A queue that nobody works on, one that falls behind, a process that cannot start, and much that is well."""
    now = fleet.now
    fleet.gap = timedelta(0)
    mail = queue("mail", now, waiting=120, workers=0, delayed=24, oldestJobAgeSeconds=862, trend="growing")
    exports = queue("exports", now, waiting=482, active=2, oldestJobAgeSeconds=432, trend="growing", failed=3)
    celery = queue("celery", now, system="celery", redis="jobs", waiting=82, active=8, workers=8)
    celery.update(oldestJobAgeSeconds=41, trend="draining", drainSeconds=95)
    fleet.queues = [
        rising(mail, 0, 120),
        rising(exports, 260, 482),
        rising(celery, 240, 82),
        queue("default", now, waiting=12, active=4, workers=6, oldestJobAgeSeconds=3.2, failed=2),
        queue("high", now, system="rq", redis="jobs", waiting=4, active=2, oldestJobAgeSeconds=0.8),
        queue("reports", now, active=2, workers=4),
    ]
    lost: Json = {"uptimeSeconds": None, "startedAt": None, "pid": None, "cpuRatio": None, "residentMemoryBytes": None}
    fatal = {"state": "FATAL", "stateCode": 200, "spawnError": "can't find command 'php8.2'", **lost}
    fleet.processes = [
        *(process("mail", number, now, **fatal) for number in range(2)),
        *(process("default", number, now) for number in range(4)),
        *(process("default", number, now, host="web-2") for number in range(2)),
        *(process("exports", number, now, restarts=1) for number in range(2)),
        *(process("reports", number, now, host="web-2") for number in range(4)),
        *(process("celery", number, now, host="web-2", cpuRatio=0.83 - number / 20) for number in range(8)),
    ]
