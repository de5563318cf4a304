"""Where the events of a snapshot come from: listeners' files and the comparison of readings, put together."""

import heapq
import itertools
import logging
import threading
from collections import Counter, deque
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Final

from depthgauge.snapshot import ProcessEvent, Supervisor
from exporter.event_log import LogFolder
from exporter.event_reader import LogReader, Position, Reading
from exporter.events import LISTENER, POLL, Baseline, completed

log = logging.getLogger(__name__)

MOST: Final = 1_000
"""Events of a source (listener, poll) in one snapshot; the rest go into the next."""
MAX_UNSETTLED: Final = 10_000
"""Places remembered until their snapshots are settled; without the oldest the next one is kept instead."""
GIVEN_UP: Final = "given_up"
UNREADABLE: Final = "unreadable"
INTERNAL: Final = "internal"


class EventSource:
    """Gathers what has happened to the processes of some supervisords.

    ``state_dir`` is where listeners write; None where their events are not read, because nothing is published that
    could carry them on, or there is no such folder. :meth:`gather` belongs to the collecting thread, :meth:`settled` to
    whoever publishes.
    """

    def __init__(
        self, supervisors: Sequence[str], *, state_dir: Path | None, clock: Callable[[], datetime], most: int = MOST
    ) -> None:
        numbers = itertools.count(1)
        self._baselines = {name: Baseline(numbers) for name in supervisors}
        self._logs = {name: LogReader(LogFolder(state_dir, name), name) for name in supervisors} if state_dir else {}
        self._clock = clock
        self._most = most
        self._lock = threading.Lock()
        self._keeping = threading.Lock()
        """Held while a place is written, which the collecting thread must not wait for."""
        self._carried: deque[tuple[int, Mapping[str, Position]]] = deque(maxlen=MAX_UNSETTLED)
        self._kept: Mapping[str, Position] = {}
        self.told: Counter[str] = Counter({POLL: 0, **({LISTENER: 0} if self._logs else {})})
        """Events so far, by source."""
        self.lost: Counter[str] = Counter({INTERNAL: 0, **({GIVEN_UP: 0, UNREADABLE: 0} if self._logs else {})})
        """Events that were lost on the way into snapshots, by reason; of a defect it is not known how many."""
        self.alive: Mapping[str, bool] = {}
        """Whether the listener lives, by supervisor; of those that have ever had one."""

    @property
    def failures(self) -> Mapping[str, int]:
        """Failed attempts to read a listener's files or to keep the place in them, by supervisor."""
        return {name: reader.failures for name, reader in self._logs.items()}

    def gather(self, parts: Sequence[Supervisor], *, seq: int) -> tuple[ProcessEvent, ...]:
        """Return the events for the snapshot ``seq``, in their order; ``parts`` are the supervisors read in this cycle.

        Snapshot 0 is not published and carries none: it only says where the processes were at the start.
        """
        try:
            return self._gather(parts, seq)
        except Exception:
            # A defect here must not cost the snapshot; it is counted and logged.
            log.exception("gathering events failed unexpectedly")
            self.lost[INTERNAL] += 1
            return ()

    def _gather(self, parts: Sequence[Supervisor], seq: int) -> tuple[ProcessEvent, ...]:
        readings = self._read(seq) if seq > 0 else {}
        found: list[Sequence[ProcessEvent]] = []
        latest: dict[tuple[str, str, str], int] = {}
        for name, reading in readings.items():
            told = list(reading.events)
            for index, event in enumerate(told):
                self._baselines[name].told(event)
                latest[name, event.group, event.process] = index
            for part in parts:
                if part.name == name and told:
                    _complete(told, part, latest)
            found.append(told)
            self.told[LISTENER] += len(told)
        room = self._most
        for part in parts:
            heard = readings.get(part.name)
            if heard is not None and heard.more:
                # What has not been read yet may tell everything that a comparison would find.
                continue
            events = self._baselines[part.name].compare(
                part, listened=heard is not None and self.alive.get(part.name, False), most=room
            )
            room -= len(events)
            found.append(sorted(events, key=lambda event: event.occurred_at))
            self.told[POLL] += len(events)
        # A listener's events stay in its order even where the clock was set back between them.
        return tuple(heapq.merge(*found, key=lambda event: event.occurred_at))

    def settled(self, seq: int) -> None:
        """Take note that all snapshots up to this one are safe, or counted as dropped."""
        with self._keeping:
            due: Mapping[str, Position] = {}
            with self._lock:
                while self._carried and self._carried[0][0] <= seq:
                    due = self._carried.popleft()[1]
            for name, position in due.items():
                if self._kept.get(name) != position:
                    self._logs[name].keep(position)
            if due:
                self._kept = due

    def _read(self, seq: int) -> Mapping[str, Reading]:
        now = self._clock()
        signs = {name: reader.is_alive(now) for name, reader in self._logs.items()}
        self._tell_signs({name: alive for name, alive in signs.items() if alive is not None})
        share = max(1, self._most // max(1, len(self._logs)))
        readings = {name: reader.read(share) for name, reader in self._logs.items()}
        for name, reading in readings.items():
            for reason, count in ((GIVEN_UP, reading.lost), (UNREADABLE, reading.unreadable)):
                if count:
                    self.lost[reason] += count
                    log.error("lost %d events of supervisor %s", count, name, extra={"reason": reason})
        positions = {name: place for name, reader in self._logs.items() if (place := reader.position) is not None}
        with self._lock:
            if positions and (not self._carried or self._carried[-1][1] != positions):
                self._carried.append((seq, positions))
        return readings

    def _tell_signs(self, alive: Mapping[str, bool]) -> None:
        for name, lives in alive.items():
            if self.alive.get(name, False) != lives:
                (log.info if lives else log.warning)(
                    "the event listener of supervisor %s %s",
                    name,
                    "is alive: its events are told" if lives else "shows no sign of life: comparing readings instead",
                )
        self.alive = alive


def _complete(events: list[ProcessEvent], part: Supervisor, latest: Mapping[tuple[str, str, str], int]) -> None:
    """Add to the latest event of each process what only this reading tells."""
    for process in part.processes:
        index = latest.get((part.name, process.group, process.name))
        if index is not None:
            events[index] = completed(events[index], process)
