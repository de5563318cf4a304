"""State changes of processes, found by comparing readings of a supervisord: pure.

A comparison sees where a process was and where it is, and nothing in between. Where a listener lives
(``depthgauge listen``) it tells the changes exactly, and comparing only fills the gaps that the listener leaves: what
happened before it came, and after it went.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from msgspec import structs

from depthgauge.snapshot import Process, ProcessEvent, ProcessState, Supervisor

Key = tuple[str, str]
"""Group and name of a process."""

POLL: Final = "poll"
LISTENER: Final = "listener"

_STARTED: Final = frozenset({ProcessState.STARTING, ProcessState.RUNNING})
_STOPPED: Final = frozenset({ProcessState.STOPPED, ProcessState.EXITED, ProcessState.BACKOFF, ProcessState.FATAL})
_TELLS_RUNS: Final = frozenset({ProcessState.RUNNING, ProcessState.EXITED})
"""States in which a start that nobody told is news. A program in BACKOFF is started again and again: that it is in BACKOFF
was told."""
_UNSTARTED: Final = frozenset({ProcessState.BACKOFF, ProcessState.FATAL})


@dataclass(frozen=True, slots=True)
class _Known:
    """Up to where the changes of a process have been told."""

    state: int
    restarts: int | None
    """None where a listener told of a start: the next reading that agrees with it says how many there have been."""
    seen: datetime
    """When this was first so, by supervisord's clock."""


@dataclass(frozen=True, slots=True)
class _Doubt:
    """A difference that a living listener has not told, but may still be about to."""

    event: ProcessEvent
    before: _Known
    after: _Known


class Baseline:
    """The processes of one supervisord as far as their changes have been told. Not for several threads at once.

    A process that is seen for the first time makes no event, nor does one that is gone: supervisord has no state for
    either.
    """

    def __init__(self, numbers: Iterator[int]) -> None:
        self._numbers = numbers
        self._known: dict[Key, _Known] = {}
        self._doubts: dict[Key, _Doubt] = {}
        self._listened = False

    def told(self, event: ProcessEvent) -> None:
        """Take note of an event of the listener."""
        key = (event.group, event.process)
        before = self._known.get(key)
        restarts = before.restarts if before is not None and event.to_state != ProcessState.STARTING else None
        self._known[key] = _Known(event.to_state, restarts, event.occurred_at)
        doubt = self._doubts.get(key)
        if doubt is not None and doubt.event.to_state == event.to_state:
            del self._doubts[key]

    def compare(self, part: Supervisor, *, listened: bool, most: int) -> list[ProcessEvent]:
        """Return what a new reading tells beyond what has been told, at most so many events: the rest next time.

        While a listener lives (``listened``) there is nothing to add, and differences are left as they are: if it has
        died, they are told as soon as that is known. When it comes to life, what happened before is told, one reading
        later: some of it may be on its way through supervisord's buffer.
        """
        came = listened and not self._listened
        self._listened = listened
        doubts, self._doubts = self._doubts, {}
        known: dict[Key, _Known] = {}
        events: list[ProcessEvent] = []
        for process in part.processes:
            key = (process.group, process.name)
            before = self._known.get(key)
            doubt = doubts.get(key) if doubts and listened else None
            if (
                before is not None
                and doubt is None
                and before.state == process.state
                and before.restarts == process.restarts
            ):
                # Nearly all of them, each time.
                known[key] = before
                continue
            now = _Known(process.state, process.restarts, part.now)
            if before is None:
                known[key] = now
            elif doubt is not None and len(events) < most:
                events.append(doubt.event)
                known[key] = doubt.after if before is doubt.before else before
            elif not _differs(before, process):
                known[key] = now if before.restarts is None or not listened else before
            elif not listened and len(events) < most:
                events.append(self._event(part, process, before))
                known[key] = now
            else:
                known[key] = before
                if doubt is not None:
                    self._doubts[key] = doubt
                elif came:
                    self._doubts[key] = _Doubt(self._event(part, process, before), before, now)
        self._known = known
        return events

    def _event(self, part: Supervisor, process: Process, before: _Known) -> ProcessEvent:
        return ProcessEvent(
            supervisor=part.name,
            group=process.group,
            process=process.name,
            occurred_at=_moment(process, before, part),
            number=next(self._numbers),
            from_state=before.state,
            to_state=process.state,
            exit_status=process.exit_status,
            source=POLL,
            detail="restarted" if process.state == before.state else _reason(process),
        )


def completed(event: ProcessEvent, process: Process) -> ProcessEvent:
    """Return a listener's latest event of a process with what only a reading tells: exit status, why it did not start.

    supervisord's events hold neither. A reading of another state than the event led to has nothing to say about it, nor
    has one that stopped at another time.
    """
    if process.state != event.to_state:
        return event
    if process.exit_status is not None and process.stop is not None:
        apart = (event.occurred_at - process.stop).total_seconds()
        # supervisord tells whole seconds, and hands an event on within one.
        if -1 <= apart <= 3:
            return structs.replace(event, exit_status=process.exit_status)
    reason = _reason(process)
    if reason is not None:
        return structs.replace(event, detail=f"{event.detail}; {reason}" if event.detail else reason)
    return event


def _differs(before: _Known, process: Process) -> bool:
    if process.state != before.state:
        return True
    return process.state in _TELLS_RUNS and before.restarts is not None and process.restarts > before.restarts


def _moment(process: Process, before: _Known, part: Supervisor) -> datetime:
    """Return supervisord's own time of the change where it has one, else when it was seen."""
    moment = process.start if process.state in _STARTED else process.stop if process.state in _STOPPED else None
    # One that was there at the reading before belongs to an earlier change.
    return moment if moment is not None and before.seen < moment <= part.now else part.observed_at


def _reason(process: Process) -> str | None:
    return process.spawn_error if process.state in _UNSTARTED else None
