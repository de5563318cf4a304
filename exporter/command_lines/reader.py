"""What a module of this folder has to provide."""

from collections.abc import Sequence
from typing import Protocol


class CommandLine(Protocol):
    """Tells from a worker's command line which queues it serves."""

    @property
    def system(self) -> str:
        """The value of the ``system`` label."""

    def serves(self, argv: Sequence[str]) -> "Sequence[str] | None":
        """Return the queues served by a process with this command line.

        None if it is no worker of this system, or if its command line does not tell the queues.
        """
