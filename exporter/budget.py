"""How many series a family may have, and whose they are when not all fit."""

from collections import Counter
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Final, Generic, TypeVar

K = TypeVar("K")

Needs = Mapping[str, int]
"""Series by family."""


class Budget(Generic[K]):
    """Admits entities (queues, processes) wholly or not at all, so that no family has more than ``limit`` series.

    First those that the configuration names, then those admitted before, then the others as they come. What was admitted
    is remembered, so that a flood of new names does not push out a name that is being watched.
    """

    def __init__(self, limit: int, *, configured: Callable[[K], bool], most: int) -> None:
        self._limit: Final = limit
        self._configured = configured
        self._most: Final = most
        """Series that one entity may have in one family at the most."""
        self._admitted: dict[K, None] = {}

    def admit(self, keys: Sequence[K], needs: Callable[[K], Needs]) -> tuple[Collection[K], Counter[str]]:
        """Return the keys to show and how many series are left out, by family."""
        if len(keys) * self._most <= self._limit:
            self._admitted = dict.fromkeys(keys)
            return self._admitted, Counter()
        used: Counter[str] = Counter()
        left_out: Counter[str] = Counter()
        admitted: dict[K, None] = {}
        for key in sorted(keys, key=self._rank):
            needed = needs(key)
            if all(used[family] + count <= self._limit for family, count in needed.items()):
                used.update(needed)
                admitted[key] = None
            else:
                left_out.update(needed)
        self._admitted = admitted
        return admitted, left_out

    def _rank(self, key: K) -> int:
        if self._configured(key):
            return 0
        return 1 if key in self._admitted else 2
