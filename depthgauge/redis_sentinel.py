"""The Redis that the sentinels name as master of a service, or one of its replicas, as if it were one server.

The sentinels are asked before the first connection, after each failure, and every RECHECK seconds, in case that what we
read was cut off from the rest and another one is master now; a server has to say ROLE of itself what they say of it. (A
sentinel that makes a master a replica closes its connections, so that a failover is met as a failure.)
https://redis.io/docs/latest/develop/reference/sentinel-clients/
"""

import logging
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Final

from depthgauge.errors import ErrorKind, SourceError
from depthgauge.redis_link import Link, kind_of_code
from depthgauge.redis_url import Address, address_of, parse
from depthgauge.resp import MAX_BULK, Command, Reply, ReplyError
from depthgauge.secrets import Secret, masked

log = logging.getLogger(__name__)

RECHECK: Final = 10.0
"""Seconds after which the sentinels are asked again though all is well: an old master that lives on is made a replica only
some ten seconds after the failover."""
PATIENCE: Final = 2.0
"""Seconds that one sentinel has for its answer, less where little is left."""
MAX_REPLICAS: Final = 100

_ELSEWHERE: Final = frozenset(
    {
        ErrorKind.CLOSED,
        ErrorKind.DNS,
        ErrorKind.NOT_FOUND,
        ErrorKind.REFUSED,
        ErrorKind.TIMEOUT,
        ErrorKind.UNREACHABLE,
    }
)
"""What a server shows that is gone, or is not what it was: another one is looked for."""
_DOWN: Final = frozenset({b"s_down", b"o_down", b"disconnected"})


class SentinelLink:
    """A :class:`~depthgauge.redis_link.Link` to the server that plays a role now; not for several threads at once."""

    skipped: Sequence[str] = ()

    def __init__(self, url: Secret, *, connect_timeout: float, monotonic: Callable[[], float] = time.monotonic) -> None:
        self.url = url
        self._where = parse(url)
        self._connect_timeout = connect_timeout
        self._monotonic = monotonic
        self._sentinels = list(self._where.addresses)
        self._server: Link | None = None
        self._address: Address | None = None
        self._asking: Link | None = None
        self._asked = 0.0
        self._connects = 0
        self._closed = 0

    @property
    def connects(self) -> int:
        """Connections made so far, to whichever server."""
        return self._connects + (0 if self._server is None else self._server.connects)

    def exchange(self, commands: Sequence[Command], *, deadline: float, max_bulk: int = MAX_BULK) -> list[Reply]:
        """As :meth:`Link.exchange`; commands whose connection breaks are sent again, to the server there is then."""
        if not commands:
            return []
        closed = self._closed
        if self._server is not None and self._monotonic() - self._asked > RECHECK:
            self._look_again(deadline)
        if self._server is not None:
            try:
                return self._server.exchange(commands, deadline=deadline, max_bulk=max_bulk)
            except SourceError as exc:
                self._let_go()
                if exc.kind not in _ELSEWHERE or self._monotonic() >= deadline or closed != self._closed:
                    raise
        return self._first_exchange(commands, deadline, max_bulk)

    def close(self) -> None:
        """Close the connections; a call in flight in another thread ends with an error."""
        self._closed += 1
        self._let_go()
        if self._asking is not None:
            self._asking.close()

    def survey(self, deadline: float) -> Mapping[str, str | SourceError]:
        """Ask every sentinel; return by the sentinel which servers it names (with commas between), or its failure."""
        found: dict[str, str | SourceError] = {}
        for left, sentinel in enumerate(self._where.addresses):
            try:
                named = self._ask(sentinel, deadline, len(self._where.addresses) - left)
                found[str(sentinel)] = ", ".join(map(str, named))
            except SourceError as exc:
                found[str(sentinel)] = exc
        return found

    def _first_exchange(self, commands: Sequence[Command], deadline: float, max_bulk: int) -> list[Reply]:
        """Make the exchange with the first server that can be reached and has the role."""
        closed = self._closed
        troubles: list[SourceError] = []
        tried: set[Address] = set()
        for named in self._answers(deadline, troubles):
            for address in named:
                if address in tried:
                    continue
                tried.add(address)
                self._server = self._link_to(address)
                self._address, self._asked = address, self._monotonic()
                try:
                    return self._server.exchange(commands, deadline=deadline, max_bulk=max_bulk)
                except SourceError as exc:
                    self._let_go()
                    if exc.kind not in _ELSEWHERE or closed != self._closed:
                        raise
                    troubles.append(exc)
        told = "; ".join(dict.fromkeys(map(str, troubles)))
        raise SourceError(
            troubles[-1].kind,
            f"Redis at {masked(self.url.reveal())}: no sentinel led to a {self._shown_role}: {told}",
        )

    def _link_to(self, address: Address) -> Link:
        return Link(
            self._where.server(address),
            connect_timeout=self._connect_timeout,
            role="slave" if self._where.replica else "master",
            monotonic=self._monotonic,
        )

    @property
    def _shown_role(self) -> str:
        return "replica" if self._where.replica else "master"

    def _answers(self, deadline: float, troubles: list[SourceError]) -> Iterator[list[Address]]:
        """Ask one sentinel after the other; give the servers that each of them names."""
        for index, sentinel in enumerate(tuple(self._sentinels)):
            try:
                yield self._ask(sentinel, deadline, len(self._sentinels) - index)
            except SourceError as exc:
                troubles.append(exc)
                # The next time it is the last one to be asked.
                self._sentinels.remove(sentinel)
                self._sentinels.append(sentinel)

    def _ask(self, sentinel: Address, deadline: float, left: int) -> list[Address]:
        """Return the addresses that one sentinel names, the best first, at least one; ``left`` are still to be asked."""
        now = self._monotonic()
        patience = min(PATIENCE, (deadline - now) / (left + 1))
        url = self._where.sentinel(sentinel)
        link = self._asking = Link(url, connect_timeout=patience, what="the sentinel", monotonic=self._monotonic)
        word = "REPLICAS" if self._where.replica else "GET-MASTER-ADDR-BY-NAME"
        try:
            (reply,) = link.exchange([("SENTINEL", word, self._where.service)], deadline=now + patience)
        finally:
            self._asking = None
            link.close()
        shown = f"the sentinel at {masked(url.reveal())}"
        unknown = reply is None or (isinstance(reply, ReplyError) and "No such master" in reply.message)
        if unknown:
            raise SourceError(ErrorKind.NOT_FOUND, f"{shown} knows no service {self._where.service!r}")
        if isinstance(reply, ReplyError):
            raise SourceError(kind_of_code(reply.code), f"{shown} refused SENTINEL {word}: {reply.message}")
        named = _replicas(reply) if self._where.replica else _master(reply)
        if named is None:
            raise SourceError(ErrorKind.GARBAGE, f"{shown} answered SENTINEL {word} with {str(reply)[:60]}")
        if not named:
            raise SourceError(ErrorKind.NOT_FOUND, f"{shown} knows no replica of {self._where.service!r} that is up")
        return named

    def _look_again(self, deadline: float) -> None:
        """Leave a server that is not the one any more; stay with it where no sentinel can say."""
        self._asked = self._monotonic()
        troubles: list[SourceError] = []
        named = next(self._answers(self._asked + (deadline - self._asked) / 2, troubles), None)
        for trouble in troubles:
            log.debug("while looking for the %s again: %s", self._shown_role, trouble)
        if named is not None and self._address not in named:
            log.info("the sentinels name another %s than %s now", self._shown_role, self._address)
            self._let_go()

    def _let_go(self) -> None:
        server, self._server = self._server, None
        if server is not None:
            self._connects += server.connects
            server.close()


def _master(reply: Reply) -> list[Address] | None:
    if not isinstance(reply, list) or len(reply) != 2:
        return None
    address = address_of(*reply)
    return None if address is None else [address]


def _replicas(reply: Reply) -> list[Address] | None:
    """Return the replicas that are up, those in touch with their master first, in one order for everybody."""
    if not isinstance(reply, list):
        return None
    found: list[tuple[bool, Address]] = []
    for told in reply[:MAX_REPLICAS]:
        if not isinstance(told, list):
            return None
        fields = {name: value for name, value in zip(told[::2], told[1::2], strict=False) if isinstance(name, bytes)}
        flags, address = fields.get(b"flags"), address_of(fields.get(b"ip"), fields.get(b"port"))
        if not isinstance(flags, bytes) or address is None:
            return None
        if not _DOWN & set(flags.split(b",")):
            found.append((fields.get(b"master-link-status") != b"ok", address))
    return [address for _, address in sorted(found)]
