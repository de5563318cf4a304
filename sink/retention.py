"""How long rows are kept: what the settings say, what the database has been told, and what is too old to be written."""

import threading
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Final

from sink import queries
from sink.schema import Connection
from sink.settings import Retention

CLASSES: Final = tuple(Retention().by_class)


def kept(connection: Connection) -> Mapping[str, timedelta]:
    """Return the ages that the database has been told, by class."""
    return {str(name): keep for name, keep in connection.execute(queries.KEPT).fetchall()}


def changes(connection: Connection, retention: Retention) -> Sequence[str]:
    """Return what telling the database these ages would change, a line each."""
    before, wanted = kept(connection), retention.by_class
    return [
        f"retention {name}: {_days(before[name])} -> {_days(wanted[name])}"
        for name in CLASSES
        if before.get(name) != wanted[name]
    ]


def tell(connection: Connection, retention: Retention) -> None:
    """Tell the database these ages.

    The columnstore takes rollups once no late row can reach them any more: when raw rows of their age have been dropped.
    """
    wanted = retention.by_class
    connection.execute(
        queries.KEEP,
        {"classes": list(wanted), "keeps": list(wanted.values()), "raw": retention.raw, "rollups": ["5m", "1h"]},
    )


def _days(age: timedelta) -> str:
    return str(age).removesuffix(", 0:00:00")


class Horizon:
    """The age at which a snapshot is too late: read by the thread that sorts, told by those that ask the database."""

    def __init__(self, keep: timedelta) -> None:
        self._lock = threading.Lock()
        self._keep = keep
        self._dropped_before: datetime | None = None

    def ask(self, connection: Connection) -> None:
        """Ask the database how long it keeps raw rows, and up to when it has dropped some."""
        row = connection.execute(queries.RAW_HORIZON).fetchone()
        if row is not None and row[0] is not None:
            with self._lock:
                self._keep, self._dropped_before = row

    def oldest(self, now: datetime) -> datetime:
        """Return the oldest slot that is still written at ``now``."""
        with self._lock:
            limit = now - self._keep
            return limit if self._dropped_before is None else max(limit, self._dropped_before)
