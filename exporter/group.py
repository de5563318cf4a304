"""Sources of one kind, each in a thread of its own, and whether this exporter is the one to read each of them now."""

import time
from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Generic, TypeVar

from depthgauge.parts import Part
from depthgauge.snapshot import SourceStatus
from exporter.runner import Runner, Source

P = TypeVar("P", bound=Part)


class Group(Generic[P]):
    """Sources of one kind. A target that another exporter reads now is forgotten, its part and its status too."""

    def __init__(
        self,
        sources: Sequence[Source[P]],
        *,
        clock: Callable[[], datetime],
        monotonic: Callable[[], float] = time.monotonic,
        allows: Callable[[str], bool] = lambda _: True,
    ) -> None:
        self._runners: list[Runner[P]] = [Runner(source, clock=clock, monotonic=monotonic) for source in sources]
        self._allowed: list[Runner[P]] = []
        self._monotonic = monotonic
        self._allows = allows

    def begin(self) -> None:
        """Start a call to every target that is ours to read."""
        self._allowed = [runner for runner in self._runners if self._allows(runner.source.target)]
        for runner in self._runners:
            if runner in self._allowed:
                runner.begin()
            else:
                runner.forget()

    def wait(self, deadline: float, *, judge: bool = True) -> None:
        """Wait for the calls until a monotonic time; ``judge`` as :meth:`Runner.wait` has it."""
        for runner in self._allowed:
            runner.wait(deadline - self._monotonic(), judge=judge)

    @property
    def targets(self) -> tuple[str, ...]:
        """The targets that are ours."""
        return tuple(runner.source.target for runner in self._allowed)

    @property
    def parts(self) -> tuple[P, ...]:
        """The last part of every target that is ours."""
        return tuple(runner.part for runner in self._allowed if runner.part is not None)

    @property
    def statuses(self) -> tuple[SourceStatus, ...]:
        """How the last call to each went."""
        return tuple(runner.status for runner in self._runners if runner.status is not None)

    def close(self) -> None:
        """End the threads after the calls in flight."""
        for runner in self._runners:
            runner.close()
