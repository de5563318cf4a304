"""Dramatiq's workers by their command lines (dramatiq/cli.py; django_dramatiq/management/commands/rundramatiq.py)."""

from collections.abc import Sequence
from typing import Final

from exporter.command_lines.reader import Variable, no_variable
from exporter.command_lines.words import commands

SYSTEM: Final = "dramatiq"

_NAMES: Final = frozenset(("dramatiq", "dramatiq-gevent", "rundramatiq"))
_OPTION: Final = "--queues"


class DramatiqCommandLine:
    """Workers: ``dramatiq MODULE … --queues a b`` (also ``-Q``), ``python -m dramatiq``, ``manage.py rundramatiq``.

    Without ``--queues`` a worker serves every queue that the program declares: they stand in the program only.
    """

    system: Final = SYSTEM

    def serves(self, argv: Sequence[str], variable: Variable = no_variable) -> Sequence[str] | None:  # noqa: ARG002
        """Return the words after ``--queues``, up to the next option."""
        return next((_queues(words) for words in commands(argv, _NAMES)), None)


def _queues(words: Sequence[str]) -> Sequence[str]:
    queues: list[str] = []
    is_list = False
    for word in words:
        option, sign, value = word.partition("=")
        # argparse takes every beginning of a long option that no other one has.
        if option == "-Q" or (len(option) > 2 and _OPTION.startswith(option)):
            queues, is_list = [value] if sign else [], not sign
        elif word.startswith("-Q"):
            queues, is_list = [word[2:]], False
        elif word.startswith("-"):
            is_list = False
        elif is_list:
            queues.append(word)
    return queues
