"""The clock of a process tree against a simulated kernel that knows the truth."""

import random
from collections.abc import Mapping

from exporter.sources.process_tree import Member, TreeClock


class Kernel:
    """One parent that forks children; they burn time, end, and are waited for or not."""

    def __init__(self, seed: int, *, waits: bool) -> None:
        self.chance = random.Random(seed)
        self.waits = waits
        self.parent = [0, 0]
        self.children: dict[Member, int] = {}
        self.next_pid = 2
        self.burnt = 0

    def step(self) -> None:
        what = self.chance.random()
        if what < 0.3:
            self.children[self.next_pid, self.next_pid] = 0
            self.next_pid += 1
        elif what < 0.5 and self.children:
            ended = self.children.pop(self.chance.choice(list(self.children)))
            if self.waits:
                self.parent[1] += ended
        else:
            ticks = self.chance.randrange(10)
            self.burnt += ticks
            if self.children and self.chance.random() < 0.8:
                self.children[self.chance.choice(list(self.children))] += ticks
            else:
                self.parent[0] += ticks

    def members(self) -> Mapping[Member, tuple[int, int]]:
        return {(1, 1): (self.parent[0], self.parent[1]), **{key: (ticks, 0) for key, ticks in self.children.items()}}


def test_exact_where_children_are_waited_for() -> None:
    for seed in range(20):
        kernel, clock = Kernel(seed, waits=True), TreeClock()
        for _ in range(200):
            for _ in range(kernel.chance.randrange(6)):
                kernel.step()
            assert clock.update(kernel.members()) == kernel.burnt


def test_never_falls_and_never_invents_where_children_are_not_waited_for() -> None:
    for seed in range(20):
        kernel, clock = Kernel(seed, waits=False), TreeClock()
        last = 0
        for _ in range(200):
            kernel.step()
            now = clock.update(kernel.members())
            assert last <= now <= kernel.burnt
            last = now
        # One step a look: nothing is missed but what is burnt and ended between two looks.
        assert last == kernel.burnt


def test_child_that_ends_between_two_reads_of_one_walk_is_not_counted_twice() -> None:
    clock = TreeClock()
    assert clock.update({(1, 1): (10, 0), (2, 2): (50, 0)}) == 60
    # The parent was read before it had waited, the child could not be read any more.
    assert clock.update({(1, 1): (10, 0)}) == 60
    assert clock.update({(1, 1): (10, 55)}) == 65
    assert clock.update({(1, 1): (10, 60)}) == 70


def test_grandchildren() -> None:
    clock = TreeClock()
    assert clock.update({(1, 1): (10, 0), (2, 2): (20, 0), (3, 3): (30, 0)}) == 60
    assert clock.update({(1, 1): (10, 0), (2, 2): (20, 31)}) == 61
    assert clock.update({(1, 1): (10, 52)}) == 62
