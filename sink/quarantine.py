"""The quarantine on the bus: entries that no sink could use, for a human to look at, send again, or throw away."""

import re
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

from depthgauge import stream
from depthgauge.errors import ErrorKind, SourceError
from depthgauge.redis_links import link_for
from depthgauge.resp import Command, Reply, ReplyError, TooLarge
from depthgauge.secrets import Secret
from sink.inbox import refusal

TIMEOUT: Final = 10.0
_PAGE: Final = 50
_LISTED: Final = 16 * 1024
"""Bytes of a field that a list keeps: anything but the body is shorter."""
_ID: Final = re.compile(r"\d{1,20}-\d{1,20}", re.ASCII)


@dataclass(frozen=True, kw_only=True, slots=True)
class Kept:
    """One entry of the quarantine; what the entry did not have is None."""

    id: str
    """Its id in the quarantine: what ``retry`` and ``drop`` want."""
    quarantined_at: datetime
    reason: str | None
    error: str
    host: str | None
    run: str | None
    seq: str | None
    slot: str | None
    size: int | None
    """Bytes of the compressed snapshot."""
    complete: bool
    """Whether the snapshot was kept, so that it can be sent again."""


class Quarantine:
    """The quarantine stream; every call has a deadline and raises SourceError."""

    def __init__(self, url: Secret, *, timeout: float = TIMEOUT) -> None:
        self._url = url
        self._timeout = timeout
        self._link = link_for(url, connect_timeout=timeout)

    def entries(self) -> Sequence[Kept]:
        """Return all entries, the oldest first, without their bodies."""
        found: list[Kept] = []
        start = "-"
        while True:
            page = self._range(start, "+", _PAGE, _LISTED)
            found += [_kept(name, fields) for name, fields in page]
            if len(page) < _PAGE:
                return found
            start = f"({found[-1].id}"

    def retry(self, name: str) -> str | None:
        """Put an entry back onto the stream, and take it out of here; return why that cannot be, None when it is done."""
        page = self._range(name, name, 1, stream.MAX_BODY) if _ID.fullmatch(name) else []
        if not page:
            return "there is no such entry"
        [(_, fields)] = page
        body = fields.get(b"d")
        if not isinstance(body, bytes):
            return "it was stored without its body, so there is nothing to send again; it can only be dropped"
        # Whoever may run this twice does no harm: the ledger knows what it has.
        again: list[bytes] = []
        for key in stream.CLEAR:
            value = fields.get(key)
            if isinstance(value, bytes):
                again += [key, value]
        self._do(
            ("MULTI",),
            ("XADD", stream.STREAM, "*", *again, b"d", body),
            ("XDEL", stream.QUARANTINE, name),
            ("EXEC",),
        )
        return None

    def drop(self, name: str) -> str | None:
        """Delete an entry; return why that cannot be, None when it is done."""
        if not _ID.fullmatch(name) or self._do(("XDEL", stream.QUARANTINE, name)) != 1:
            return "there is no such entry"
        return None

    def close(self) -> None:
        """Let go of the connection."""
        self._link.close()

    def _range(
        self, start: str, end: str, count: int, max_bulk: int
    ) -> Sequence[tuple[str, Mapping[bytes, bytes | TooLarge]]]:
        reply = self._do(("XRANGE", stream.QUARANTINE, start, end, "COUNT", count), max_bulk=max_bulk)
        page = []
        for pair in reply if isinstance(reply, list) else []:
            if not isinstance(pair, list) or not isinstance(pair[0], bytes) or not isinstance(pair[1], list):
                raise SourceError(ErrorKind.GARBAGE, f"the bus answered {pair!r} where an entry was due")
            flat = pair[1]
            fields = {
                key: value
                for key, value in zip(flat[::2], flat[1::2], strict=False)
                if isinstance(key, bytes) and isinstance(value, bytes | TooLarge)
            }
            page.append((pair[0].decode("ascii", "replace"), fields))
        return page

    def _do(self, *commands: Command, max_bulk: int = _LISTED) -> Reply:
        """Send commands; return the reply to the last. Raise SourceError if one is refused."""
        replies = self._link.exchange(commands, deadline=time.monotonic() + self._timeout, max_bulk=max_bulk)
        last = replies[-1]
        for reply in (*replies, *(last if isinstance(last, list) else ())):
            if isinstance(reply, ReplyError):
                raise refusal(self._url, reply)
        return last


def _kept(name: str, fields: Mapping[bytes, bytes | TooLarge]) -> Kept:
    body, left_out = fields.get(b"d"), fields.get(b"d_bytes")
    size = body.size if isinstance(body, TooLarge) else None if body is None else len(body)
    if size is None and isinstance(left_out, bytes) and left_out.isdigit():
        size = int(left_out)
    return Kept(
        id=name,
        quarantined_at=datetime.fromtimestamp(int(name.partition("-")[0]) // 1000, UTC),
        reason=_text(fields.get(b"reason")),
        error=_text(fields.get(b"error")) or "",
        host=_text(fields.get(b"host")),
        run=_text(fields.get(b"run")),
        seq=_text(fields.get(b"seq")),
        slot=_text(fields.get(b"slot")),
        size=size,
        complete=body is not None,
    )


def _text(raw: bytes | TooLarge | None) -> str | None:
    """Return a field as text that is safe to print: whoever may write the stream may write anything."""
    if not isinstance(raw, bytes):
        return None
    return "".join(each if each.isprintable() else "\ufffd" for each in raw.decode("utf-8", "replace"))
