"""Processor time of a process tree whose members come and go, as a counter that never falls."""

from collections.abc import Mapping

Member = tuple[int, int]
"""A pid and its start."""


class TreeClock:
    """Adds up what the members of one tree have used, in clock ticks.

    A plain sum over the living falls whenever a child ends without being waited for (SIGCHLD ignored, or adopted by
    init). So the sum goes on by differences: what members used themselves, what new members brought, and what came in
    through waited-for children beyond what those had already been counted with.
    """

    def __init__(self) -> None:
        self._total = 0
        self._members: Mapping[Member, tuple[int, int]] = {}
        self._owed = 0

    def update(self, members: Mapping[Member, tuple[int, int]]) -> int:
        """Take the members' own and waited-for ticks, return the tree's ticks so far."""
        own = fresh = waited = 0
        for key, (now_own, now_waited) in members.items():
            before = self._members.get(key)
            if before is None:
                fresh += now_own + now_waited
            else:
                own += max(0, now_own - before[0])
                waited += max(0, now_waited - before[1])
        lost = sum(sum(ticks) for key, ticks in self._members.items() if key not in members)
        self._total += own + fresh + max(0, waited - self._owed - lost)
        # A child that ended between the reading of its parent and its own reaches the parent's sum a walk later.
        self._owed = max(0, lost - max(0, waited - self._owed))
        self._members = dict(members)
        return self._total
