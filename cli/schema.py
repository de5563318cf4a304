"""What a setting is: the types of the table of settings (cli/table.py)."""

from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum
from typing import Any, Final

from cli.kinds import Kind

DEFAULT_FILE: Final = "/etc/depthgauge/depthgauge.toml"
PREFIX: Final = "DEPTHGAUGE_"
LOCAL_REDIS: Final = "redis://localhost:6379/0"

SYSTEMS: Final = (
    "laravel",
    "celery",
    "rq",
    "sidekiq",
    "resque",
    "bullmq",
    "bull",
    "dramatiq",
    "arq",
    "huey",
    "taskiq",
    "saq",
    "stream",
    "list",
    "zset",
)
"""The queue systems; a test compares them with exporter.queues, which ``--help`` need not load."""


class Role(Enum):
    """Who needs a setting."""

    EXPORTER = "exporter"
    SINK = "sink"
    MIGRATE = "migrate"
    """Needs nothing but the database."""
    QUARANTINE = "quarantine"
    """Needs nothing but the bus."""
    HISTORY = "history"
    """Needs nothing but the database, to read it."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Key:
    """One setting."""

    name: str
    kind: Kind
    help: str
    default: Any = None
    default_text: str | None = None
    """How the reference shows the default, where it is not the plain value."""
    env: str | None = None
    """The variable's name without PREFIX."""
    flag: str | None = None
    secret: bool = False
    """Masked wherever it is shown; may be given as ``<name>_file`` too."""
    required: bool = False

    @property
    def file_name(self) -> str:
        """The key that names a file which holds the secret."""
        return f"{self.name}_file"

    @property
    def names(self) -> tuple[str, ...]:
        """What it may be called in the file."""
        return (self.name, self.file_name) if self.secret else (self.name,)

    @property
    def variables(self) -> tuple[str, ...]:
        """The variables that may give it: the value, and for a secret the file that holds it."""
        if self.env is None:
            return ()
        return (PREFIX + self.env, f"{PREFIX}{self.env}_FILE") if self.secret else (PREFIX + self.env,)


@dataclass(frozen=True, kw_only=True, slots=True)
class Section:
    """One table of the file; ``name`` is dotted from the top."""

    name: str
    help: str
    keys: tuple[Key, ...]
    children: tuple["Section", ...] = ()
    repeated: bool = False
    roles: frozenset[Role] = frozenset(Role)
    """Who reads it: files with secrets are opened for these only."""

    @property
    def last_name(self) -> str:
        """The name within its parent."""
        return self.name.rpartition(".")[2]

    @property
    def header(self) -> str:
        """As it is written in the file."""
        return f"[[{self.name}]]" if self.repeated else f"[{self.name}]"

    def key(self, name: str) -> Key:
        """Return the setting of this name."""
        return next(key for key in self.keys if key.name == name)

    def walk(self) -> Iterator["Section"]:
        """Give this section and all below it."""
        yield self
        for child in self.children:
            yield from child.walk()
