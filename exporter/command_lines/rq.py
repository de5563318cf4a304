"""RQ's workers by their command lines and process titles (rq/cli/workers.py, rq/cli/helpers.py, rq/worker/base.py)."""

from collections.abc import Sequence
from pathlib import PurePath
from typing import Final

from exporter.command_lines.reader import Variable, no_variable
from exporter.command_lines.words import title_of

SYSTEM: Final = "rq"

_TITLE: Final = "rq:worker:"
_LISTENING: Final = ": Listening on "
_LONG: Final = frozenset(
    (
        "--url",
        "--config",
        "--worker-class",
        "--job-class",
        "--queue-class",
        "--connection-class",
        "--path",
        "--serializer",
        "--logging_level",
        "--logging-level",
        "--log-format",
        "--date-format",
        "--name",
        "--results-ttl",
        "--worker-ttl",
        "--maintenance-interval",
        "--job-monitoring-interval",
        "--exception-handler",
        "--pid",
        "--max-jobs",
        "--max-idle-time",
        "--dequeue-strategy",
        "--num-workers",
        "--verbosity",
        "--settings",
        "--pythonpath",
        "--sentry-dsn",
        "--sentry-ca-certs",
    )
)
"""Options that take a value (rq/cli/helpers.py, rq/cli/workers.py; django_rq/management/commands/rqworker.py)."""
_SHORT: Final = "ucwjPSnl"


class RqCommandLine:
    """Workers: ``rq worker [options] high default``, ``rq worker-pool``, ``manage.py rqworker``, and RQ's process titles.

    No queue means ``default``, unless a settings module is named: that one may tell queues, and is not read. The title of
    a worker that has a job tells no queues.
    """

    system: Final = SYSTEM

    def serves(self, argv: Sequence[str], variable: Variable = no_variable) -> Sequence[str] | None:  # noqa: ARG002
        """Return the positional arguments."""
        words = tuple(argv)
        title = title_of(words)
        if title.startswith(_TITLE):
            _, found, queues = title.partition(_LISTENING)
            return [name.strip() for name in queues.split(",") if name.strip()] if found else ()
        for at, word in enumerate(words):
            name = PurePath(word).name
            if name in {"rq", "rq.cli"} and words[at + 1 : at + 2] in (("worker",), ("worker-pool",)):
                return _positional(words[at + 2 :], _SHORT)
            if name in {"rqworker", "rqworker-pool"} and (
                at == 0 or PurePath(words[at - 1]).name.startswith(_LAUNCHERS)
            ):
                return _positional(words[at + 1 :], _SHORT + "v")
        return None


_LAUNCHERS: Final = ("python", "manage.py", "django-admin")


def _positional(words: Sequence[str], short: str) -> Sequence[str]:
    rest = iter(words)
    queues: list[str] = []
    configured = False
    for word in rest:
        if word == "--":
            queues += rest
        elif word.startswith("--"):
            option, sign, _ = word.partition("=")
            configured = configured or option == "--config"
            if option in _LONG and not sign:
                next(rest, None)
        elif word.startswith("-ds"):
            if word == "-ds":
                next(rest, None)
        elif word.startswith("-") and word != "-":
            at = next((at for at, letter in enumerate(word) if letter in short), None)
            configured = configured or (at is not None and word[at] == "c")
            if at is not None and at == len(word) - 1:
                next(rest, None)
        else:
            queues.append(word)
    if queues:
        return queues
    return () if configured else ("default",)
