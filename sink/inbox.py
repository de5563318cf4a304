"""The sink's side of the stream: read, claim, acknowledge, quarantine. Every call has a deadline and raises SourceError."""

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from depthgauge import stream
from depthgauge.errors import ErrorKind, SourceError
from depthgauge.redis_link import kind_of_code
from depthgauge.redis_links import link_for
from depthgauge.resp import Command, Reply, ReplyError, TooLarge
from depthgauge.secrets import Secret, masked

QUARANTINE_LENGTH: Final = 1_000
"""Entries that the quarantine stream keeps; the oldest go first."""
QUARANTINE_BODY: Final = 1024 * 1024
"""Bytes of a quarantined snapshot, compressed, that are kept; a larger one is left out."""
QUARANTINE_BYTES: Final = 64 * 1024 * 1024
"""Memory of the quarantine beyond which bodies are left out: the bus is shared."""
_ERROR_LENGTH: Final = 2_000
_CLEAR_LENGTH: Final = 1_000


@dataclass(frozen=True, slots=True)
class Entry:
    """One entry of the stream; ``fields`` is None for one that is pending but no longer there."""

    id: bytes
    fields: Mapping[bytes, bytes] | None
    problem: str | None = None
    """Why its fields cannot be used, where the reason is on the wire."""


@dataclass(frozen=True, slots=True)
class BusState:
    """How much there is to do."""

    entries: int
    pending: int
    """Entries that sinks have read and not acknowledged."""
    oldest_pending: float | None
    """Unix time at which the oldest of them came onto the stream; None without any."""
    size: int | None
    """Bytes of the bus's memory that the stream takes; None where this user may not ask."""
    quarantined: int | None
    """Entries in the quarantine; None where this user may not ask."""


class Inbox:
    """The stream, as one consumer of the group; not for several threads at once."""

    def __init__(self, url: Secret, consumer: str, *, timeout: float) -> None:
        self._url = url
        self._consumer = consumer
        self._timeout = timeout
        self._link = link_for(url, connect_timeout=timeout)
        self._group = ("GROUP", stream.GROUP, consumer)

    @property
    def connects(self) -> int:
        """Connections made so far: where it has grown, an answer may have been lost."""
        return self._link.connects

    def read(self, count: int, *, wait: float) -> list[Entry]:
        """Read entries nobody has read, waiting up to ``wait`` seconds for the first; create the group if it is missing."""
        block: Command = ("BLOCK", max(1, round(wait * 1000))) if wait > 0 else ()
        command = ("XREADGROUP", *self._group, "COUNT", count, *block, "STREAMS", stream.STREAM, ">")
        return self._entries_of_stream(self._ask(command, wait=wait, create=True))

    def own(self, after: bytes, count: int) -> list[Entry]:
        """Read entries that this consumer has read before and not acknowledged, those behind the id ``after``."""
        command = ("XREADGROUP", *self._group, "COUNT", count, "STREAMS", stream.STREAM, after)
        return self._entries_of_stream(self._ask(command, create=True))

    def claim(self, cursor: bytes, count: int, *, idle: float) -> tuple[bytes, list[Entry]]:
        """Take over entries that any consumer has left pending for ``idle`` seconds; return the next cursor and the entries."""
        command = (
            *("XAUTOCLAIM", stream.STREAM, stream.GROUP, self._consumer, round(idle * 1000), cursor),
            *("COUNT", count),
        )
        reply = self._ask(command, create=True)
        if reply is None:
            return b"0-0", []
        following, entries, *rest = _list(reply)
        vanished = _list(rest[0]) if rest else []
        return _bytes(following), [*self._entries(entries), *(Entry(_bytes(gone), None) for gone in vanished)]

    def acknowledge(self, ids: Sequence[bytes]) -> None:
        """Take entries off the group's list and off the stream, both or neither."""
        if ids:
            self._transaction([("XACK", stream.STREAM, stream.GROUP, *ids), ("XDEL", stream.STREAM, *ids)])

    def quarantine(self, entry: Entry, reason: str, error: str) -> int:
        """Move an entry to the quarantine stream, all of it or nothing; return how many older ones had to make room."""
        fields = entry.fields or {}
        kept: list[str | bytes] = ["reason", reason, "error", error[:_ERROR_LENGTH], "id", entry.id]
        kept += ["consumer", self._consumer]
        for name in stream.CLEAR:
            if name in fields:
                kept += [name, fields[name][:_CLEAR_LENGTH]]
        body = fields.get(b"d")
        if body is not None:
            kept += ["d", body] if self._has_room(len(body)) else ["d_bytes", str(len(body))]
        before, _, after, *_ = self._transaction(
            [
                ("XLEN", stream.QUARANTINE),
                ("XADD", stream.QUARANTINE, "MAXLEN", "=", QUARANTINE_LENGTH, "*", *kept),
                ("XLEN", stream.QUARANTINE),
                ("XACK", stream.STREAM, stream.GROUP, entry.id),
                ("XDEL", stream.STREAM, entry.id),
            ]
        )
        return _int(before) + 1 - _int(after)

    def _has_room(self, body: int) -> bool:
        (used,) = self._exchange([("MEMORY", "USAGE", stream.QUARANTINE)], self._timeout)
        # Without the right to ask, the number of entries is the only bound.
        return body <= QUARANTINE_BODY and (not isinstance(used, int) or used + body <= QUARANTINE_BYTES)

    def state(self) -> BusState:
        """Return how much is on the stream, pending, and in the quarantine."""
        length, pending, size, quarantined = self._exchange(
            [
                ("XLEN", stream.STREAM),
                ("XPENDING", stream.STREAM, stream.GROUP),
                ("MEMORY", "USAGE", stream.STREAM),
                ("XLEN", stream.QUARANTINE),
            ],
            self._timeout,
        )
        if isinstance(length, ReplyError):
            raise refusal(self._url, length)
        # Without a group nothing is pending; the next read creates it.
        count, smallest, *_ = _list(pending) if isinstance(pending, list) else (0, None)
        return BusState(
            entries=_int(length),
            pending=_int(count),
            oldest_pending=None if smallest is None else int(_bytes(smallest).partition(b"-")[0]) / 1000,
            size=None if isinstance(size, ReplyError) else _int(size or 0),
            quarantined=None if isinstance(quarantined, ReplyError) else _int(quarantined),
        )

    def forget_idle(self, seconds: float) -> list[str]:
        """Take consumers off the group's list that have nothing pending and asked for nothing in so long; return their names.

        Their like is made anew when they read again. Where this user may not do so, they stay.
        """
        (consumers,) = self._exchange([("XINFO", "CONSUMERS", stream.STREAM, stream.GROUP)], self._timeout)
        if isinstance(consumers, ReplyError):
            return []
        gone: list[str] = []
        for told in map(_list, _list(consumers)):
            about = dict(zip(told[::2], told[1::2], strict=False))
            name = _bytes(about[b"name"])
            if (
                _int(about[b"pending"]) == 0
                and _int(about[b"idle"]) > seconds * 1000
                and name != self._consumer.encode()
            ):
                (done,) = self._exchange([("XGROUP", "DELCONSUMER", stream.STREAM, stream.GROUP, name)], self._timeout)
                gone += [] if isinstance(done, ReplyError) else [name.decode("utf-8", "replace")]
        return gone

    def close(self) -> None:
        """Let go of the connection."""
        self._link.close()

    def _ask(self, command: Command, *, wait: float = 0.0, create: bool = False) -> Reply:
        (reply,) = self._exchange([command], self._timeout + wait)
        if isinstance(reply, ReplyError):
            if create and reply.code == "NOGROUP":
                self._create_group()
                return None
            raise refusal(self._url, reply)
        return reply

    def _create_group(self) -> None:
        (made,) = self._exchange([("XGROUP", "CREATE", stream.STREAM, stream.GROUP, "0", "MKSTREAM")], self._timeout)
        if isinstance(made, ReplyError) and made.code != "BUSYGROUP":
            raise refusal(self._url, made)

    def _transaction(self, commands: Sequence[Command]) -> list[Reply]:
        replies = self._exchange([("MULTI",), *commands, ("EXEC",)], self._timeout)
        done = replies[-1]
        outcomes = done if isinstance(done, list) else [*replies]
        for reply in outcomes:
            if isinstance(reply, ReplyError):
                raise refusal(self._url, reply)
        return outcomes

    def _exchange(self, commands: Sequence[Command], seconds: float) -> list[Reply]:
        return self._link.exchange(commands, deadline=time.monotonic() + seconds, max_bulk=stream.MAX_BODY)

    def _entries_of_stream(self, reply: Reply) -> list[Entry]:
        """Unwrap what XREADGROUP gives for one stream; None is an empty answer."""
        return [entry for named in _list(reply or []) for entry in self._entries(_list(named)[1])]

    def _entries(self, reply: Reply) -> list[Entry]:
        return [self._entry(_list(each)) for each in _list(reply or []) if each is not None]

    def _entry(self, pair: list[Reply]) -> Entry:
        name, values = _bytes(pair[0]), pair[1]
        if values is None:
            return Entry(name, None)
        flat = _list(values)
        large = [value for value in flat if isinstance(value, TooLarge)]
        if any(value.size <= stream.MAX_BODY for value in large):
            # Nothing is wrong with it: there was too much in one answer. Alone it gets through.
            return self._alone(name)
        texts = [value for value in flat if isinstance(value, bytes)]
        if large or len(texts) != len(flat) or len(texts) % 2:
            return Entry(name, {}, f"entry has a field of more than {stream.MAX_BODY} bytes")
        return Entry(name, dict(zip(texts[::2], texts[1::2], strict=True)))

    def _alone(self, name: bytes) -> Entry:
        reply = _list(self._ask(("XRANGE", stream.STREAM, name, name)))
        if not reply:
            return Entry(name, None)
        values = _list(_list(reply[0])[1])
        if any(not isinstance(value, bytes) for value in values):
            return Entry(name, {}, "entry is larger than any snapshot")
        return self._entry(_list(reply[0]))


def refusal(url: Secret, reply: ReplyError) -> SourceError:
    """Return the error that says what the bus did not let us do."""
    return SourceError(kind_of_code(reply.code), f"the bus, Redis at {masked(url.reveal())}, refused: {reply.message}")


def _list(reply: Reply) -> list[Reply]:
    if not isinstance(reply, list):
        raise SourceError(ErrorKind.GARBAGE, f"the bus answered {reply!r} where a list was due")
    return reply


def _bytes(reply: Reply) -> bytes:
    if not isinstance(reply, bytes):
        raise SourceError(ErrorKind.GARBAGE, f"the bus answered {reply!r} where a text was due")
    return reply


def _int(reply: Reply) -> int:
    if not isinstance(reply, int):
        raise SourceError(ErrorKind.GARBAGE, f"the bus answered {reply!r} where a number was due")
    return reply
