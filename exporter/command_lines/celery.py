"""Celery's workers by their command lines (celery/bin/celery.py, celery/bin/worker.py, celery/apps/worker.py)."""

import re
from collections.abc import Sequence
from typing import Final

from exporter.command_lines.reader import Variable, no_variable
from exporter.command_lines.words import commands, listed, options, title_of

SYSTEM: Final = "celery"

_TITLE: Final = re.compile(r"\[celeryd: .*?:\w+(?:-\d+)?\]")
_REDIS: Final = re.compile(r"(?:redis|rediss|sentinel)\b|(?!.*://)")
"""A broker's URL that may be Redis: one without a scheme is a setting that is not known here."""
_NAMES: Final = frozenset(("celery", "celery.__main__"))
_VALUED: Final = frozenset(
    (
        *("-A", "--app", "-b", "--broker", "--result-backend", "--loader", "--config", "--workdir"),
        *("-n", "--hostname", "-S", "--statedb", "-l", "--loglevel", "-O", "--optimization", "--prefetch-multiplier"),
        *("-c", "--concurrency", "-P", "--pool", "--time-limit", "--soft-time-limit", "--max-tasks-per-child"),
        *("--pool-start-method", "--max-memory-per-child", "-Q", "--queues", "-X", "--exclude-queues"),
        *("-I", "--include", "--heartbeat-interval", "--autoscale", "-s", "--schedule", "--schedule-filename"),
        *("--scheduler", "-f", "--logfile", "--pidfile", "--uid", "--gid", "--umask", "--executable"),
        # Of manage.py, and of versions before 5.
        *("--settings", "--pythonpath", "--maxtasksperchild", "--maxmemperchild"),
    )
)


class CeleryCommandLine:
    """Workers: ``celery -A app worker -Q a,b``, ``python -m celery …``, ``manage.py celery …``, and Celery's titles.

    Without ``-Q`` it is ``celery``, Celery's own default: an application that has ``task_queues`` or another
    ``task_default_queue`` needs a rule. Queues that ``-X`` excludes are left out; ``-X`` alone tells of ``task_queues``,
    which are not known. A worker whose broker is told to be no Redis (``-b``, ``CELERY_BROKER_URL``) is none.
    """

    system: Final = SYSTEM

    def serves(self, argv: Sequence[str], variable: Variable = no_variable) -> Sequence[str] | None:
        """Return the queues of ``-Q``, in their order."""
        title = title_of(argv)
        if (found := _TITLE.match(title)) is not None:
            # A worker that is active shows the words of its command line in parentheses, its children do not.
            words = title[found.end() :].partition("(")[2].rpartition(")")[0].split()
            queues = _queues(words, variable, has_lost_quotes=True) if words else ()
        else:
            each = (_queues(words, variable) for words in commands(argv, _NAMES))
            queues = next((queues for queues in each if queues is not None), None)
        return queues


def _queues(words: Sequence[str], variable: Variable, *, has_lost_quotes: bool = False) -> Sequence[str] | None:
    plain: list[str] = []
    broker = ""
    taken: list[str] | None = None
    excluded: list[str] = []
    for option, value in options(words, _VALUED):
        if option == "":
            plain.append(value)
        elif option in {"-b", "--broker"}:
            broker = value
        elif option in {"-Q", "--queues"}:
            taken = listed(value)
        elif option in {"-X", "--exclude-queues"}:
            excluded = listed(value)
    if plain[:1] != ["worker"] or not _REDIS.match(broker or variable("CELERY_BROKER_URL") or ""):
        return None
    if has_lost_quotes and len(plain) > 1:
        return ()  # one of them may belong to a name with a space
    if taken is None:
        return () if excluded else ("celery",)
    return [name for name in taken if name not in excluded]
