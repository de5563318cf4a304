"""Whom to trust in TLS: certificates of the system, or of a file that may be replaced while we run."""

import ssl
import threading
from pathlib import Path
from typing import NamedTuple


class _Stamp(NamedTuple):
    changed_at: int
    size: int
    inode: int


class Trust:
    """Makes client contexts, one for each CA file: the system's certificates alone take a tenth of a second and 1 MiB to load.

    Safe for several threads.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._contexts: dict[Path | None, tuple[_Stamp | None, ssl.SSLContext]] = {}

    def context(self, ca_file: Path | None) -> ssl.SSLContext:
        """Return the context that trusts this file as it is now, else the system's; raise OSError (so ssl.SSLError)."""
        stamp = _stamp(ca_file) if ca_file is not None else None
        with self._lock:
            known = self._contexts.get(ca_file)
            if known is not None and known[0] == stamp:
                return known[1]
            made = ssl.create_default_context(cafile=ca_file)
            self._contexts[ca_file] = (stamp, made)
            return made


def _stamp(path: Path) -> _Stamp:
    found = path.stat()
    return _Stamp(found.st_mtime_ns, found.st_size, found.st_ino)
