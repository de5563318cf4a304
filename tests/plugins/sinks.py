"""A sink in a thread of the test, snapshots to feed it, and what has become of them."""

import threading
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any, Self, TypeAlias

import psycopg
import pytest
import redis

from depthgauge import stream
from depthgauge.secrets import Secret
from depthgauge.settings import BusSettings, WebSettings
from depthgauge.snapshot import (
    Cycle,
    KeptJobs,
    LiveJobs,
    Process,
    ProcessState,
    Queue,
    QueueWorkers,
    RedisQueues,
    Resources,
    Snapshot,
    Supervisor,
    WorkerProcesses,
)
from sink.daemon import Sink
from sink.settings import SinkSettings

INTERVAL = 15.0


def recent_slot(back: int = 0) -> datetime:
    """Return an aligned slot of a minute's start, some minutes ago."""
    now = datetime.now(UTC).replace(second=0, microsecond=0)
    return now - timedelta(minutes=10 + back)


def make_snapshot(seq: int, *, base: datetime, host: str = "web-1", run_id: str = "r1", **changes: Any) -> Snapshot:
    """Return a snapshot with a queue, a supervisor and a worker; its numbers follow from ``seq``."""
    slot = changes.pop("slot", base + timedelta(seconds=INTERVAL * seq))
    seen = slot + timedelta(milliseconds=50)
    queue = Queue(
        system="rq",
        name=changes.pop("queue", "high"),
        live=LiveJobs(waiting=seq, active=2, delayed=0),
        kept=KeptJobs(failed=seq % 3),
        head_eligible_at=slot - timedelta(seconds=30),
    )
    process = Process(
        group="mail",
        name="mail_00",
        state=ProcessState.RUNNING,
        pid=4711,
        start=slot - timedelta(hours=1),
        resources=Resources(cpu_seconds=1.5, resident_memory_bytes=4096),
    )
    supervisor = Supervisor(
        observed_at=seen,
        name="main",
        now=slot,
        state=1,
        processes=(process,),
        workers=(QueueWorkers(redis="default", system="rq", queue="high", processes=1),),
        worker_processes=(WorkerProcesses(redis="default", system="rq", processes=1),),
    )
    values: dict[str, Any] = {
        "host": host,
        "run_id": run_id,
        "seq": seq,
        "slot": slot,
        "taken_at": seen,
        "interval": INTERVAL,
        "cycle": Cycle(seconds=0.05),
        "supervisors": (supervisor,),
        "queues": (RedisQueues(observed_at=seen, redis="default", queues=(queue,)),),
    }
    return Snapshot(**{**values, **changes})


def publish(bus: redis.Redis, *snapshots: Snapshot, **fields: bytes) -> None:
    """Put snapshots on the stream, with fields of their entries replaced."""
    for snapshot in snapshots:
        entry: Mapping[str, bytes] = {**stream.encode(snapshot), **fields}
        bus.xadd(stream.STREAM, dict(entry))  # type: ignore[arg-type]  # redis-py asks for a wider dict


def select(dsn: str, query: str) -> list[tuple[Any, ...]]:
    """Return the rows of a query."""
    with psycopg.connect(dsn) as connection:
        return connection.execute(query).fetchall()


def sequence(dsn: str, host: str = "web-1") -> list[int]:
    """Return the ledger's sequence numbers of a host."""
    return [row[0] for row in select(dsn, f"SELECT seq FROM depthgauge.snapshots WHERE host = '{host}' ORDER BY seq")]


class RunningSink:
    """A sink that runs until stopped."""

    def __init__(self, sink: Sink) -> None:
        self.sink = sink
        self.failure: BaseException | None = None
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def start(self) -> Self:
        self._thread.start()
        return self

    def _run(self) -> None:
        try:
            self.sink.run(self._stop)
        except BaseException as exc:  # noqa: BLE001  the test asks for it
            self.failure = exc

    @property
    def running(self) -> bool:
        return self._thread.is_alive()

    def stop(self, timeout: float = 10.0) -> None:
        self._stop.set()
        self._thread.join(timeout)
        assert not self._thread.is_alive(), "the sink did not stop"

    def count(self, name: str, **labels: str) -> float:
        """Return one of the sink's own metrics; 0 where there is none."""
        return self.sink.telemetry.registry.get_sample_value(f"depthgauge_sink_{name}", labels) or 0.0


MakeSink: TypeAlias = Callable[..., RunningSink]


@pytest.fixture
def make_sink() -> Iterator[MakeSink]:
    """Give a function that starts sinks: ``make_sink(dsn, bus_url, consumer="a", …)``."""
    started: list[RunningSink] = []

    def make(
        dsn: str, bus_url: str, *, consumer: str = "a", database_deadline: float = 10.0, **settings: Any
    ) -> RunningSink:
        values: dict[str, Any] = {
            "dsn": Secret(dsn),
            "bus": BusSettings(url=Secret(bus_url)),
            "consumer": consumer,
            "batch_seconds": 0.1,
            "web": WebSettings(listen=("127.0.0.1:0",)),
        }
        sink = Sink(SinkSettings(**{**values, **settings}), database_deadline=database_deadline, bus_timeout=1.0)
        running = RunningSink(sink)
        started.append(running)
        return running.start()

    yield make
    for running in started:
        if running.running:
            running.stop()
