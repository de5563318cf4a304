"""Where a queue lives. Its name alone does not say in which Redis, nor of which system it is: only what is certain counts."""

from collections.abc import Callable, Collection, Mapping, Sequence
from typing import NamedTuple

from exporter.claims import Claim

Known = Callable[[str], "Collection[tuple[str, str]] | None"]
"""Given the name of a Redis: system and label of each queue known in it; None where nobody has looked yet."""


class Place(NamedTuple):
    """A Redis, with the queue systems that may be in it."""

    redis: str
    systems: frozenset[str]
    """All that are looked for."""
    told: frozenset[str] = frozenset()
    """Those that the configuration says are there."""


class Spot(NamedTuple):
    """Where a queue, or a system, lives."""

    redis: str
    system: str


class _Contents(NamedTuple):
    queues: frozenset[tuple[str, str]]
    in_use: frozenset[str]


class Places:
    """Finds the Redis and the system of queues; ``look`` takes what is known at the moment."""

    def __init__(self, places: Sequence[Place], known: Known) -> None:
        self.compared: frozenset[str] = frozenset()
        """The Redis servers whose contents had to be compared to be certain, since the last :meth:`look`."""
        self._places = tuple(places)
        self._known = known
        self._contents: Mapping[str, _Contents] = {}
        self._shared: dict[tuple[Spot, str], bool] = {}

    def look(self) -> None:
        """Take what is known now."""
        self.compared = frozenset()
        self._shared = {}
        found = {}
        for place in self._places:
            queues = self._known(place.redis)
            if queues is not None:
                in_use = place.told.union(system for system, _ in queues)
                found[place.redis] = _Contents(frozenset(queues), in_use)
        self._contents = found

    def find(self, claim: Claim, queue: str | None) -> Spot | None:
        """Return where a claimed queue lives, or with None where the claimed system does; None if that is not certain."""
        places = [place for place in self._places if claim.redis in {None, place.redis}]
        spots = {
            Spot(place.redis, system) for place in places for system in place.systems if claim.system in {None, system}
        }
        if not spots and claim.told and claim.system is not None:
            spots = {Spot(place.redis, claim.system) for place in places}
        if len(spots) > 1:
            spots = self._narrowed(spots, queue)
        if len(spots) != 1:
            return None
        (spot,) = spots
        return None if queue is not None and self._is_shared(spot, queue) else spot

    def _narrowed(self, spots: Collection[Spot], queue: str | None) -> set[Spot]:
        """Leave those that know the queue; if none does, those whose system is in use.

        A Redis that nobody has looked into may have the queue, too.
        """
        redises = {spot.redis for spot in spots}
        self.compared |= redises
        if not redises <= self._contents.keys():
            return set()
        knowing = {spot for spot in spots if (spot.system, queue) in self._contents[spot.redis].queues}
        return knowing or {spot for spot in spots if spot.system in self._contents[spot.redis].in_use}

    def _is_shared(self, spot: Spot, queue: str) -> bool:
        """Say whether several applications have a queue of this name, which shows in their labels: prefix and name."""
        key = (spot, queue)
        if key not in self._shared:
            contents = self._contents.get(spot.redis)
            self._shared[key] = (
                contents is not None
                and (spot.system, queue) not in contents.queues
                and sum(system == spot.system and _ends_in(label, queue) for system, label in contents.queues) > 1
            )
        return self._shared[key]


def _ends_in(label: str, queue: str) -> bool:
    return label.endswith(queue) and not label.removesuffix(queue)[-1:].isalnum()
