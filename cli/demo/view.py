"""What the demo shows: one small table of live numbers, from the same places users look at."""

from dataclasses import dataclass
from datetime import datetime
from typing import Final

import psycopg
import redis

from cli.demo.folder import Folder
from cli.demo.stack import fetch
from depthgauge.snapshot import ProcessState, Snapshot, Supervisor
from depthgauge.stream import LATEST_PREFIX, unpack

CHANGES: Final = """
SELECT occurred_at, process, from_state, to_state, detail
FROM depthgauge.process_events ORDER BY occurred_at DESC, event_no DESC LIMIT 4
"""


@dataclass(frozen=True, kw_only=True, slots=True)
class Seen:
    """One look at all three places."""

    metrics: str | None
    """The text of /metrics."""
    cached: Snapshot | None
    """The latest snapshot in the cache."""
    stored: int | None
    """Snapshots in the database's ledger."""
    changes: tuple[str, ...] = ()
    """The latest changes of processes' states in the database, newest first."""

    def missing(self) -> list[str]:
        """Return where no snapshot has arrived yet."""
        places = {
            "/metrics": bool(self.metrics and "\njobqueue_jobs{" in self.metrics),
            "the cache": self.cached is not None,
            "the database": bool(self.stored),
        }
        return [place for place, there in places.items() if not there]


def look(folder: Folder) -> Seen:
    """Look at /metrics, at the cache and at the database."""
    stored, changes = _stored(folder)
    return Seen(
        metrics=fetch(f"http://127.0.0.1:{folder.exporter_port}/metrics"),
        cached=_cached(folder),
        stored=stored,
        changes=changes,
    )


def _cached(folder: Folder) -> Snapshot | None:
    try:
        with redis.Redis.from_url(folder.bus_url, socket_timeout=2) as client:
            body = client.get(f"{LATEST_PREFIX}demo")
    except redis.exceptions.RedisError:
        return None
    return unpack(body) if isinstance(body, bytes) else None


def _stored(folder: Folder) -> tuple[int | None, tuple[str, ...]]:
    try:
        with psycopg.connect(folder.dsn, connect_timeout=2) as connection:
            row = connection.execute("SELECT count(*) FROM depthgauge.snapshots").fetchone()
            events = connection.execute(CHANGES).fetchall()
    except psycopg.Error:
        return None, ()
    return (row[0] if row else None), tuple(_change(*event) for event in events)


def _change(at: datetime, process: str, before: int | None, after: int, detail: str | None) -> str:
    states = " -> ".join(_state(state) for state in (before, after) if state is not None)
    return f"{at.astimezone():%H:%M:%S}  {process:<20}{states}" + (f"  ({detail})" if detail else "")


def table(seen: Seen) -> list[str]:
    """Return the lines of the table; few enough for a small terminal."""
    if seen.cached is None:
        return ["no snapshot yet"]
    lines = [f"{'queue':<12}{'waiting':>9}{'active':>8}{'delayed':>9}{'failed':>8}{'workers':>9}  next job waits"]
    workers = {
        (count.system, count.queue): count.processes for part in seen.cached.supervisors for count in part.workers
    }
    for backlog in seen.cached.queues:
        for queue in backlog.queues:
            wait = (
                f"{max(0.0, (backlog.observed_at - queue.head_eligible_at).total_seconds()):.1f} s"
                if queue.head_eligible_at is not None
                else "-"
            )
            numbers = (queue.live.waiting, queue.live.active, queue.live.delayed, queue.kept.failed)
            cells = "".join(f"{_cell(number):>{width}}" for number, width in zip(numbers, (9, 8, 9, 8), strict=True))
            served = workers.get((queue.system, queue.name), queue.registry_workers)
            lines.append(f"{queue.name:<12}{cells}{_cell(served):>9}  {wait}")
    for part in seen.cached.supervisors:
        lines += ["", *_processes(part)]
    if seen.changes:
        lines += ["", "latest changes of state", *seen.changes]
    return lines


def _processes(part: Supervisor) -> list[str]:
    lines = [f"{'process':<28}{'state':<10}{'restarts':>9}{'cpu':>9}{'memory':>10}"]
    for process in part.processes:
        used = process.resources
        cpu = f"{used.cpu_seconds:.1f} s" if used is not None and used.cpu_seconds is not None else "-"
        memory = (
            f"{used.resident_memory_bytes / 2**20:.0f} MiB"
            if used is not None and used.resident_memory_bytes is not None
            else "-"
        )
        state = _state(process.state)
        name = f"{process.group}:{process.name}" if process.group != process.name else process.name
        lines.append(f"{name:<28}{state:<10}{process.restarts:>9}{cpu:>9}{memory:>10}")
    return lines


def _state(code: int) -> str:
    return ProcessState(code).name if code in set(ProcessState) else str(code)


def _cell(number: int | None) -> str:
    return "-" if number is None else str(number)


def addresses(folder: Folder) -> list[str]:
    """Return where to look for more."""
    web = f"http://127.0.0.1:{folder.exporter_port}"
    token = folder.token.read_text().strip()
    return [
        # The part behind # stays in the browser.
        f"status     {web}/#token={token}  (open this one)",
        f"metrics    {web}/metrics",
        f"API        curl -H 'Authorization: Bearer {token}' {web}/api/system/queue/stats",
        f"sink       http://127.0.0.1:{folder.sink_port}/metrics",
        f"database   {folder.dsn}",
        f"Valkey     redis://127.0.0.1:{folder.valkey_port}/0",
        f"supervisor unix://{folder.socket}",
        f"logs       {folder.path / 'log'}",
    ]
