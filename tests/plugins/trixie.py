"""Debian 13 in a folder: where ``.ci/trixie`` puts it, and which parts it holds. It brings TimescaleDB's Apache edition."""

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Final

TIMESCALE_DSN: Final = "DEPTHGAUGE_TEST_TIMESCALE_DSN"
"""Environment variable: a superuser's DSN of a running TimescaleDB server to test on instead."""

TRIXIE: Final = "DEPTHGAUGE_TEST_TRIXIE"
"""Environment variable: the folder, where the default does not suit."""

COMPLETE: Final = "depthgauge-complete"
"""File that ``.ci/trixie`` writes last; it holds the versions."""

POSTGRES_BIN: Final = "/usr/lib/postgresql/17/bin"


@dataclass(frozen=True, slots=True)
class Trixie:
    """A complete folder."""

    root: Path
    versions: str


def trixie_folder() -> Path:
    """Return where the folder is, or would be."""
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    return Path(os.environ.get(TRIXIE) or cache / "depthgauge" / "trixie")


def find_trixie() -> Trixie | None:
    """Return the folder; None where it was not built (to the end)."""
    root = trixie_folder()
    try:
        return Trixie(root=root, versions=(root / COMPLETE).read_text().strip())
    except (FileNotFoundError, PermissionError):
        return None
