"""Resque's workers by their environment and process titles (resque/tasks.rb, resque/worker.rb)."""

import re
from collections.abc import Sequence
from typing import Final

from exporter.command_lines.reader import Variable, no_variable
from exporter.command_lines.words import commands, listed, title_of

SYSTEM: Final = "resque"

_TITLE: Final = re.compile(
    r"\S*\bresque-\d+\.\d\S*: (?:Waiting for (?P<queues>.*)|(?:Starting|Paused|Processing|Forked)\b.*)"
)
_NAMES: Final = frozenset(("rake", "rails"))
_TASKS: Final = frozenset(("resque:work", "resque:workers"))
_VARIABLES: Final = ("QUEUES", "QUEUE")
"""The first one that is set counts."""


class ResqueCommandLine:
    """Workers: ``rake resque:work QUEUE=a,b``, with ``QUEUE`` or ``QUEUES`` in the environment, and Resque's titles.

    A worker that has a job shows the job's queue in its title, not its own queues; its environment tells them. Patterns
    (``*``, ``mail_*``, ``!slow``) name no queues.
    """

    system: Final = SYSTEM

    def serves(self, argv: Sequence[str], variable: Variable = no_variable) -> Sequence[str] | None:
        """Return the queues in the title, on the command line or in the environment."""
        if (title := _TITLE.fullmatch(title_of(argv))) is not None:
            queues = title["queues"]
            return _plain(queues if queues is not None else _told(variable))
        if argv and argv[0].startswith("resque-pool-master"):
            return ()
        words = next((words for words in commands(argv, _NAMES) if _TASKS.intersection(words)), None)
        if words is None:
            return None
        # rake puts NAME=VALUE among its words into the environment, over what is there.
        given = {name: value for name, sign, value in (word.partition("=") for word in argv) if sign}
        return _plain(_told(lambda name: given.get(name) or variable(name)))


def _told(variable: Variable) -> str:
    return next(filter(None, map(variable, _VARIABLES)), "")


def _plain(queues: str) -> Sequence[str]:
    names = listed(queues)
    return () if any("*" in name or "?" in name or name.startswith("!") for name in names) else names
