"""State changes to rows: pure, as sink/rows.py."""

from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from typing import Final, NamedTuple

from depthgauge.snapshot import ProcessEvent, Snapshot

_OLDEST_EVENT: Final = timedelta(days=30)
_NEWEST_EVENT: Final = timedelta(hours=1)
"""Events further from their snapshot's slot than this were told by a clock that was wrong."""


class EventRow(NamedTuple):
    """A row of ``process_events``."""

    host: str
    supervisor: str
    process_group: str
    process: str
    occurred_at: datetime
    event_no: int
    from_state: int | None
    to_state: int
    exit_status: int | None
    expected: bool | None
    source: str
    detail: str | None


def event_rows(snapshot: Snapshot, slot: datetime) -> Iterable[EventRow]:
    """Give a row for each change of state that the snapshot tells; pure."""
    for event in snapshot.events:
        moment, detail = _credible(event, slot)
        yield EventRow(
            host=snapshot.host,
            supervisor=event.supervisor,
            process_group=event.group,
            process=event.process,
            occurred_at=moment,
            event_no=event.number,
            from_state=event.from_state,
            to_state=event.to_state,
            exit_status=event.exit_status,
            expected=event.expected,
            source=event.source,
            detail=detail,
        )


def _credible(event: ProcessEvent, slot: datetime) -> tuple[datetime, str | None]:
    """Return when it happened and its detail; the slot where the clock that told it cannot have been right."""
    moment = event.occurred_at.astimezone(UTC)
    if slot - _OLDEST_EVENT <= moment <= slot + _NEWEST_EVENT:
        return moment, event.detail
    told = f"the clock said {moment.isoformat()}"
    return slot, f"{event.detail}; {told}" if event.detail else told
