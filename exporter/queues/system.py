"""What the list of queue systems is made of."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from exporter.queues.reader import QueueReader
from exporter.settings import RedisSettings


@dataclass(frozen=True, kw_only=True, slots=True)
class QueueSystem:
    """One queue system."""

    name: str
    """The ``system`` label."""
    reader: Callable[[RedisSettings, Sequence[str]], QueueReader]
    """Makes the reader for one Redis, given the queue names that are always exported."""
    told: Callable[[RedisSettings], bool]
    """Whether the settings say something about this system, so that it is read although ``systems`` does not name it."""
    auto: bool
    """Whether ``systems = ["auto"]`` tries it, and bare names in ``queues`` go to it."""
    commands: frozenset[str]
    """The Redis commands that reading it sends, in lower case: what its user needs the right to."""
    optional: frozenset[str] = frozenset()
    """Commands it sends, too, and does without where they are refused."""
