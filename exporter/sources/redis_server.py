"""How one Redis is, from its INFO, and how long a PING takes: two round trips on a connection of its own.

The fields and their meaning: https://redis.io/docs/latest/commands/info/. Valkey tells the same ones. A field that a server
does not tell is unknown; one that is no number where a number belongs makes the whole answer garbage.
"""

import re
import time
from collections.abc import Callable
from datetime import datetime
from typing import Final, NamedTuple

from depthgauge.errors import ErrorKind, SourceError
from depthgauge.health import RedisServer
from depthgauge.names import clean
from depthgauge.redis_link import kind_of_code
from depthgauge.redis_links import link_for
from depthgauge.resp import Command, Reply, ReplyError, TooLarge
from depthgauge.secrets import masked
from exporter.settings import RedisSettings
from exporter.sources.refusals import OF_THE_SERVER, Refusals

KIND: Final = "redis_server"
MAX_INFO: Final = 256 * 1024
"""Bytes of INFO that are read; a Redis with every section and 16 databases tells less than 10 KiB."""

_INFO: Final[Command] = ("INFO",)
_PING: Final[Command] = ("PING",)
_MOST: Final = 2**63 - 1
"""What the database can hold."""
_KEYSPACE: Final = "# Keyspace"
_DATABASE: Final = re.compile(r"db\d+")


class _Lookups(NamedTuple):
    run_id: str | None
    hits: int
    misses: int


class Info:
    """The fields of one INFO; raise ValueError for what is none."""

    def __init__(self, raw: bytes) -> None:
        text = raw.decode("utf-8")
        lines = [line for line in text.split("\r\n") if line]
        self._tells_keys = _KEYSPACE in lines
        self._fields: dict[str, str] = {}
        for line in lines:
            if line.startswith("#"):
                continue
            name, colon, value = line.partition(":")
            if not colon:
                raise ValueError(f"the line {clean(line)[:60]!r} is no field")
            self._fields[name] = value
        if "redis_version" not in self._fields:
            raise ValueError("it names no redis_version")

    def text(self, name: str) -> str | None:
        """Return a field that is a text, cleaned."""
        value = self._fields.get(name)
        return clean(value) if value else None

    def number(self, name: str) -> int | None:
        """Return a field that is a count; None where the server does not tell it."""
        value = self._fields.get(name)
        return None if value is None else _count(name, value)

    def keys(self) -> int | None:
        """Return the keys of all databases; None where the section is missing."""
        if not self._tells_keys:
            return None
        found = 0
        for name, value in self._fields.items():
            if _DATABASE.fullmatch(name):
                parts = dict(part.partition("=")[::2] for part in value.split(","))
                found += _count(f"{name} keys", parts.get("keys", ""))
        return found


def _count(name: str, value: str) -> int:
    if not (value.isascii() and value.isdecimal() and len(value) <= 19 and int(value) <= _MOST):
        raise ValueError(f"{name} is {clean(value)[:60]!r} and no count")
    return int(value)


def info_of(reply: Reply, shown: str) -> Info:
    """Return what a server answered to INFO; raise SourceError for anything else. ``shown`` names the server."""
    if isinstance(reply, ReplyError):
        raise SourceError(
            kind_of_code(reply.code),
            f"{shown}: INFO was refused: {clean(reply.message)}"
            " (grant +info to this user, docs/redis.md has the line; or set collectors.redis = false)",
        )
    if isinstance(reply, TooLarge):
        raise SourceError(ErrorKind.TOO_LARGE, f"{shown}: INFO has {reply.size} bytes, {MAX_INFO} are allowed")
    if not isinstance(reply, bytes):
        raise SourceError(ErrorKind.GARBAGE, f"{shown} answered INFO with {str(reply)[:60]}")
    try:
        return Info(reply)
    except ValueError as exc:
        raise garbage(shown, exc) from exc


def garbage(shown: str, exc: ValueError) -> SourceError:
    """Return the error for an INFO that is none."""
    return SourceError(ErrorKind.GARBAGE, f"{shown} answered INFO with something else: {exc}")


class RedisServerSource:
    """Reads how one Redis is. ``timeout`` is what one :meth:`collect` may take, connecting included, in seconds."""

    kind: Final = KIND

    def __init__(
        self,
        settings: RedisSettings,
        *,
        clock: Callable[[], datetime],
        timeout: float,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self.target = settings.name
        self._clock = clock
        self._monotonic = monotonic
        self._timeout = timeout
        self._shown = f"Redis at {masked(settings.url.reveal())}"
        self._link = link_for(settings.url, connect_timeout=timeout, monotonic=monotonic)
        self._refusals = Refusals(settings.name)
        self._before: _Lookups | None = None

    def collect(self) -> RedisServer:
        """Read the server once; raise SourceError if it cannot be read."""
        deadline = self._monotonic() + self._timeout
        (told,) = self._link.exchange([_INFO], deadline=deadline, max_bulk=MAX_INFO)
        info = info_of(told, self._shown)
        # After INFO, so that connecting is not in its time.
        ping = self._ping(deadline)
        try:
            return self._part(info, ping)
        except ValueError as exc:
            raise garbage(self._shown, exc) from exc

    def close(self) -> None:
        """Cut off a call in flight."""
        self._link.close()

    def _ping(self, deadline: float) -> float | None:
        """Return the seconds a PING takes; None where this user may not send it."""
        connects = self._link.connects
        started = self._monotonic()
        replies = self._link.exchange([_PING], deadline=deadline)
        seconds = self._monotonic() - started
        self._refusals.watch([_PING], replies)
        if isinstance(replies[0], ReplyError):
            kind = kind_of_code(replies[0].code)
            if kind in OF_THE_SERVER:
                raise SourceError(kind, f"{self._shown}: PING was refused: {clean(replies[0].message)}")
            return None
        # A connection that was closed meanwhile was opened anew: that is not the time of a PING.
        return seconds if self._link.connects == connects else None

    def _part(self, info: Info, ping: float | None) -> RedisServer:
        hits, misses = info.number("keyspace_hits"), info.number("keyspace_misses")
        run_id = info.text("run_id")
        return RedisServer(
            observed_at=self._clock(),
            redis=self.target,
            run_id=run_id,
            version=info.text("valkey_version") or info.text("redis_version"),
            role=info.text("role"),
            ping_seconds=ping,
            uptime_seconds=info.number("uptime_in_seconds"),
            clients=info.number("connected_clients"),
            blocked_clients=info.number("blocked_clients"),
            max_clients=info.number("maxclients"),
            used_memory_bytes=info.number("used_memory"),
            max_memory_bytes=info.number("maxmemory"),
            hits_total=hits,
            misses_total=misses,
            hit_ratio=self._hit_ratio(run_id, hits, misses),
            evicted_total=info.number("evicted_keys"),
            expired_total=info.number("expired_keys"),
            rejected_total=info.number("rejected_connections"),
            commands_total=info.number("total_commands_processed"),
            keys=info.keys(),
        )

    def _hit_ratio(self, run_id: str | None, hits: int | None, misses: int | None) -> float | None:
        before = self._before
        if hits is None or misses is None:
            return None
        now = self._before = _Lookups(run_id, hits, misses)
        # Another run, or CONFIG RESETSTAT: what happened since is not the difference.
        if before is None or before.run_id != run_id or hits < before.hits or misses < before.misses:
            return None
        found, lookups = now.hits - before.hits, now.hits - before.hits + now.misses - before.misses
        return found / lookups if lookups else None
