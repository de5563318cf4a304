"""Laravel's workers by their command lines.

Illuminate/Queue/Console/WorkCommand.php and ListenCommand.php; of Horizon src/Console/WorkCommand.php,
HorizonCommand.php and SupervisorCommand.php, and src/SupervisorCommandString.php.
"""

from collections.abc import Sequence
from pathlib import PurePath
from typing import Final

from exporter.command_lines.reader import Variable, no_variable

SYSTEM: Final = "laravel"

_COMMANDS: Final = frozenset(("queue:work", "queue:listen", "horizon:work"))
_PARENTS: Final = frozenset(("horizon", "horizon:supervisor"))
_KINDS: Final = _COMMANDS | _PARENTS
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
        "--supervisor",
    )
)
"""Options that take the next word as their value when they carry no ``=`` (Queue/Console/WorkCommand.php)."""


class LaravelCommandLine:
    """Workers: ``php artisan queue:work [CONNECTION] --queue=a,b``, ``queue:listen``, the parent of such, and Horizon's.

    Without a connection it is Laravel's default one, which may not be Redis: it is taken for one unless the process's
    environment says otherwise (``QUEUE_CONNECTION``). A named connection is taken for Redis if its name says so. Without
    ``--queue`` it is ``REDIS_QUEUE`` of the environment, or ``default``. Where these are not so a rule has to tell.

    ``artisan horizon`` and ``horizon:supervisor`` run no jobs; the processes below them, ``horizon:work``, do.
    """

    system: Final = SYSTEM

    def serves(self, argv: Sequence[str], variable: Variable = no_variable) -> Sequence[str] | None:
        """Return the queues of ``--queue``, in their order."""
        at = next((at for at, word in enumerate(argv) if word in _KINDS), None)
        if at is None or not any(PurePath(word).name == "artisan" for word in argv[:at]):
            return None
        if argv[at] in _PARENTS:
            return ()
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
        # Horizon knows no other driver, whatever the connection is called.
        if argv[at] != "horizon:work" and not _is_redis(connection or variable("QUEUE_CONNECTION")):
            return None
        if not queues and connection in {None, "redis"}:
            queues = variable("REDIS_QUEUE") or ""
        names = [name.strip() for name in queues.split(",")]
        return [_unbraced(name) for name in names if name] or ["default"]


def _is_redis(connection: str | None) -> bool:
    return not connection or "redis" in connection.lower()


def _unbraced(name: str) -> str:
    return name[1:-1] if name.startswith("{") and name.endswith("}") else name
