"""What a module of this folder has to provide."""

from collections.abc import Callable, Sequence
from typing import Protocol

Variable = Callable[[str], "str | None"]
"""Returns a variable of the process's environment by its name; None where it is not set or may not be read."""


def no_variable(name: str) -> None:
    """Return None: where a command line is known and its environment is not."""


class CommandLine(Protocol):
    """Tells from a worker's command line which queues it serves."""

    @property
    def system(self) -> str:
        """The value of the ``system`` label."""

    def serves(self, argv: Sequence[str], variable: Variable) -> "Sequence[str] | None":
        """Return the queues served by a process with this command line; None if it is no worker of this system.

        Empty if it is one and the command line does not tell the queues: it is counted for the system then, and for no
        queue. ``argv`` may be a title that the process has given itself. ``variable`` is asked only by a worker of this
        system, as reading an environment costs more than reading a command line.
        """
