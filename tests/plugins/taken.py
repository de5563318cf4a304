"""What was handed over, recorded independently of those who must not lose it: by the test that made it, or off the wire."""

import threading
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import TypeAlias

import redis

from depthgauge import stream
from depthgauge.snapshot import Snapshot
from tests.plugins.proxy import Proxy
from tests.plugins.sinks import publish
from tests.plugins.waiting import wait_for

Run: TypeAlias = tuple[str, str]
"""A host and a run of its exporter."""


@dataclass
class Taken:
    """Snapshots by run and sequence number; ``None`` stands for one that is known to have been taken, but not what is in it."""

    runs: dict[Run, dict[int, Snapshot | None]] = field(default_factory=dict)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def add(self, *snapshots: Snapshot) -> None:
        """Note snapshots; one that is handed over twice counts once."""
        with self._lock:
            for snapshot in snapshots:
                self.runs.setdefault((snapshot.host, snapshot.run_id), {})[snapshot.seq] = snapshot

    def fill(self) -> "Taken":
        """Note every number before the last of each run: an exporter numbers what it takes without gaps, from 1."""
        with self._lock:
            for known in self.runs.values():
                for seq in range(1, max(known) + 1):
                    known.setdefault(seq, None)
        return self

    def expect(self, run: Run, last: int) -> None:
        """Note every number up to this one: it is known to have been taken."""
        with self._lock:
            for seq in range(1, last + 1):
                self.runs.setdefault(run, {}).setdefault(seq, None)

    def total(self, host: str | None = None) -> int:
        """Return how many there are, of one host or of all."""
        with self._lock:
            return sum(len(known) for (name, _), known in self.runs.items() if host in {None, name})

    def of(self, host: str) -> list[Run]:
        """Return the runs of a host in the order they were first seen."""
        with self._lock:
            return [run for run in self.runs if run[0] == host]

    def last(self, run: Run) -> int:
        """Return the highest number of a run that was seen; 0 for none."""
        with self._lock:
            return max(self.runs.get(run, {0: None}))

    def snapshots(self) -> list[Snapshot]:
        """Return all that is known of."""
        with self._lock:
            return [each for known in self.runs.values() for each in known.values() if each is not None]


class Tap:
    """Reads the XADDs off the wire between exporters and their bus; ``taken`` has what reached the server."""

    def __init__(self, proxy: Proxy) -> None:
        self.taken = Taken()
        self.sent = 0
        """XADDs of snapshots, repeated ones too."""
        self._buffers: dict[int, bytes] = {}
        proxy.watchers.append(self._watch)

    def _watch(self, connection: int, data: bytes) -> None:
        buffer = self._buffers.get(connection, b"") + data
        while (command := _command(buffer)) is not None:
            words, buffer = command
            if len(words) > 3 and words[0].upper() == b"XADD" and words[1] == stream.STREAM.encode():
                fields = words[3:]
                self.taken.add(stream.decode(dict(zip(fields[::2], fields[1::2], strict=True))))
                self.sent += 1
        self._buffers[connection] = buffer


def _command(buffer: bytes) -> tuple[list[bytes], bytes] | None:
    """Return the first command (an array of bulk strings) and what follows; None when it is not whole yet."""
    line, found, rest = buffer.partition(b"\r\n")
    if not found:
        return None
    assert line[:1] == b"*", f"no RESP command: {line[:40]!r}"
    words = []
    for _ in range(int(line[1:])):
        line, found, rest = rest.partition(b"\r\n")
        size = int(line[1:] or -1)
        if not found or len(rest) < size + 2:
            return None
        words.append(rest[:size])
        rest = rest[size + 2 :]
    return words, rest


def wait_taken(tap: Tap, more: int, host: str = "web-1") -> None:
    """Wait until a host's exporter has published so many more snapshots."""
    wanted = tap.taken.total(host) + more
    wait_for(lambda: tap.taken.total(host) >= wanted, 45, what=f"{more} more snapshots are on the wire", step=0.05)


class Producer:
    """Publishes snapshots at an even pace from a thread of its own, until all are out or it is stopped."""

    def __init__(self, bus: redis.Redis, snapshots: Iterable[Snapshot], *, every: float) -> None:
        self.taken = Taken()
        self._bus = bus
        self._snapshots = snapshots
        self._every = every
        self._stop = threading.Event()
        self._failure: BaseException | None = None
        self._thread = threading.Thread(target=self._run, name="producer", daemon=True)

    def start(self) -> "Producer":
        self._thread.start()
        return self

    @property
    def running(self) -> bool:
        return self._thread.is_alive()

    def stop(self) -> Taken:
        """End it; return what it has published. Raise what went wrong in it."""
        self._stop.set()
        self._thread.join(10)
        assert not self._thread.is_alive(), "the producer hangs"
        if self._failure is not None:
            raise self._failure
        return self.taken

    def _run(self) -> None:
        due = time.monotonic()
        try:
            for snapshot in self._snapshots:
                publish(self._bus, snapshot)
                self.taken.add(snapshot)
                due += self._every
                if self._stop.wait(max(0.0, due - time.monotonic())):
                    return
        except BaseException as exc:  # noqa: BLE001  stop() raises it
            self._failure = exc


def by_key(taken: Taken) -> Mapping[tuple[str, str, int], Snapshot | None]:
    """Return what was taken by host, run and number."""
    return {(host, run, seq): each for (host, run), known in taken.runs.items() for seq, each in known.items()}
