"""Several Redis servers asked side by side, within one deadline, over connections that are kept."""

import logging
import threading
import time
from collections import deque
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from depthgauge.errors import ErrorKind, SourceError
from depthgauge.redis_link import Link
from depthgauge.redis_url import Address
from depthgauge.resp import MAX_BULK, Command, Reply
from depthgauge.secrets import Secret

log = logging.getLogger(__name__)

AT_ONCE: Final = 16
"""Servers that are asked at the same time."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What one server answered, or why it did not."""

    replies: Sequence[Reply] = ()
    seconds: float = 0.0
    error: SourceError | None = None


class Nodes:
    """Links by address. A server that does not answer is told in the log once, and once when it does again."""

    def __init__(
        self,
        url_of: Callable[[Address], Secret],
        *,
        connect_timeout: float,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._url_of = url_of
        self._connect_timeout = connect_timeout
        self._monotonic = monotonic
        self._links: dict[Address, Link] = {}
        self._away: dict[Address, tuple[float, SourceError]] = {}
        """Those that did not answer in time, and until when they are not asked again: several calls under one deadline wait
        for them once."""
        self._told: set[Address] = set()
        self._forgotten = 0

    @property
    def reconnects(self) -> int:
        """Connections made so far beyond the first one to each server."""
        return self._forgotten + sum(max(0, link.connects - 1) for link in tuple(self._links.values()))

    def ask(
        self, shares: Mapping[Address, Sequence[Command]], *, deadline: float, max_bulk: int = MAX_BULK
    ) -> Mapping[Address, Answer]:
        """Send each server its commands. One that hangs has half the time, so that something is left for the others' rest."""
        now = self._monotonic()
        until = now + (deadline - now) / 2 if len(self._links.keys() | shares.keys()) > 1 else deadline
        answers = {
            address: Answer(error=self._away[address][1])
            for address in shares
            if address in self._away and now < self._away[address][0]
        }
        todo = deque((address, self._link(address)) for address in shares if address not in answers)
        fatal: list[BaseException] = []

        def work() -> None:
            while todo:
                try:
                    address, link = todo.popleft()
                except IndexError:
                    return
                try:
                    answers[address] = self._ask_one(link, shares[address], until, max_bulk)
                except BaseException as exc:  # noqa: BLE001  raised where the call was made
                    fatal.append(exc)

        threads = [
            threading.Thread(target=work, name="redis nodes", daemon=True) for _ in range(min(AT_ONCE, len(todo)) - 1)
        ]
        for thread in threads:
            thread.start()
        work()
        for thread in threads:
            # Each call ends at its deadline by itself, but for the look-up of a name.
            thread.join(max(0.0, until - self._monotonic()) + 0.1)
        if fatal:
            raise fatal[0]
        for address in shares:
            if address not in answers:
                self._links.pop(address, None)
                text = f"Redis at {address}: it cannot even be connected to in time (does its name resolve?)"
                answers[address] = Answer(error=SourceError(ErrorKind.TIMEOUT, text))
            self._note(address, answers[address].error, deadline)
        return {address: answers[address] for address in shares}

    def _link(self, address: Address) -> Link:
        link = self._links.get(address)
        if link is None:
            url = self._url_of(address)
            link = Link(url, connect_timeout=self._connect_timeout, monotonic=self._monotonic)
            self._links[address] = link
        return link

    def _ask_one(self, link: Link, commands: Sequence[Command], deadline: float, max_bulk: int) -> Answer:
        started = self._monotonic()
        try:
            replies = link.exchange(commands, deadline=deadline, max_bulk=max_bulk)
        except SourceError as exc:
            return Answer(error=exc)
        return Answer(replies=replies, seconds=self._monotonic() - started)

    def _note(self, address: Address, error: SourceError | None, deadline: float) -> None:
        if error is None:
            self._away.pop(address, None)
            if address in self._told:
                self._told.discard(address)
                log.info("the node %s of the cluster answers again", address)
            return
        if error.kind is ErrorKind.TIMEOUT and self._away.get(address, (0.0, error))[0] <= self._monotonic():
            self._away[address] = (deadline, error)
        if address not in self._told:
            self._told.add(address)
            log.warning("the node %s of the cluster cannot be read: %s", address, error)

    def keep(self, addresses: Collection[Address]) -> None:
        """Forget all servers but these."""
        for address in self._links.keys() - set(addresses):
            link = self._links.pop(address)
            self._forgotten += max(0, link.connects - 1)
            link.close()
        self._told &= set(addresses)
        self._away = {address: away for address, away in self._away.items() if address in addresses}

    def close(self) -> None:
        """Close the connections; calls in flight in other threads end with an error."""
        for link in tuple(self._links.values()):
            link.close()
