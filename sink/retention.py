"""How long rows are kept: what the settings say, what the database has been told, and what is too old to be written."""

import threading
from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Final

from sink import queries
from sink.schema import Connection
from sink.settings import Retention

CLASSES: Final = tuple(Retention().by_class)


def kept(connection: Connection) -> Mapping[str, timedelta]:
    """Return the ages that the database has been told, by class."""
    return {str(name): keep for name, keep in connection.execute(queries.KEPT).fetchall()}


def tell(connection: Connection, retention: Retention) -> Mapping[str, tuple[timedelta, timedelta]]:
    """Tell the database these ages; return what changed, from and to, by class.

    The columnstore takes rollups once no late row can reach them any more: when raw rows of their age have been dropped.
    """
    before, wanted = kept(connection), retention.by_class
    changed = {name: (before[name], wanted[name]) for name in CLASSES if before.get(name) != wanted[name]}
    connection.execute(
        queries.KEEP,
        {"classes": list(wanted), "keeps": list(wanted.values()), "raw": retention.raw, "rollups": ["5m", "1h"]},
    )
    return changed


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
