"""Sidekiq's workers by their command lines and process titles (sidekiq/cli.rb, sidekiq/launcher.rb)."""

import re
from collections.abc import Sequence
from typing import Final

from exporter.command_lines.reader import Variable, no_variable
from exporter.command_lines.words import commands, options, title_of

SYSTEM: Final = "sidekiq"

_TITLE: Final = re.compile(r"sidekiq \d+\.\d\S* .*\[\d+ of \d+ busy\].*")
_NAMES: Final = frozenset(("sidekiq", "sidekiqswarm"))
_VALUED: Final = frozenset(
    (
        *("-c", "--concurrency", "-e", "--environment", "-g", "--tag", "-q", "--queue", "-r", "--require"),
        *("-t", "--timeout", "-C", "--config", "-L", "--logfile", "-P", "--pidfile", "-i", "--index"),
    )
)


class SidekiqCommandLine:
    """Workers: ``sidekiq -q high,2 -q default`` (the number is a weight), and the title that Sidekiq gives itself.

    The title, ``sidekiq 7.3.9 app [0 of 5 busy]``, tells no queues; without ``-q`` they stand in ``config/sidekiq.yml``,
    which is not read.
    """

    system: Final = SYSTEM

    def serves(self, argv: Sequence[str], variable: Variable = no_variable) -> Sequence[str] | None:  # noqa: ARG002
        """Return the names of all ``-q``, in their order."""
        if _TITLE.fullmatch(title_of(argv)):
            return ()
        return next((_queues(words) for words in commands(argv, _NAMES)), None)


def _queues(words: Sequence[str]) -> Sequence[str]:
    given = [value for option, value in options(words, _VALUED) if option in {"-q", "--queue"}]
    return [name for value in given if (name := value.partition(",")[0].strip())]
