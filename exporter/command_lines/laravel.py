"""Laravel's workers by their command lines (Illuminate/Queue/Console/WorkCommand.php, ListenCommand.php)."""

from collections.abc import Sequence
from pathlib import PurePath
from typing import Final

SYSTEM: Final = "laravel"

_COMMANDS: Final = frozenset({"queue:work", "queue:listen"})
_VALUED: Final = frozenset(
    (
        "--queue",
        "--name",
        "--delay",
        "--backoff",
        "--max-jobs",
        "--max-time",
        "--memory",
        "--sleep",
        "--rest",
        "--timeout",
        "--tries",
        "--env",
    )
)
"""Options that take the next word as their value when they carry no ``=`` (Queue/Console/WorkCommand.php)."""


class LaravelCommandLine:
    """Workers: ``php artisan queue:work [CONNECTION] --queue=a,b``, and ``queue:listen``, the parent of such workers.

    Without a connection it is Laravel's default one, which may not be Redis: it is taken for one. A named connection is
    taken for Redis if its name says so. Without ``--queue`` it is ``default``; both have to be told by a rule where they
    are not so.
    """

    system: Final = SYSTEM

    def serves(self, argv: Sequence[str]) -> Sequence[str] | None:
        """Return the queues of ``--queue``, in their order."""
        at = next((at for at, word in enumerate(argv) if word in _COMMANDS), None)
        if at is None or not any(PurePath(word).name == "artisan" for word in argv[:at]):
            return None
        words = iter(argv[at + 1 :])
        queues = ""
        connection: str | None = None
        for word in words:
            option, sign, value = word.partition("=")
            if option in _VALUED and not sign:
                value = next(words, "")
            if option == "--queue":
                queues = value
            elif not option.startswith("-") and connection is None:
                connection = word
        if connection is not None and "redis" not in connection.lower():
            return None
        names = [name.strip() for name in queues.split(",")]
        return [_unbraced(name) for name in names if name] or ["default"]


def _unbraced(name: str) -> str:
    return name[1:-1] if name.startswith("{") and name.endswith("}") else name
