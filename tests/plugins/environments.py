"""Environments outside the checkout that hold the Python queue systems, made by ``.ci/systems`` out of requirements/NAME.txt."""

import hashlib
import os
from collections.abc import Callable
from pathlib import Path

from tests.plugins.repo import find_source_tree


def environment_of(name: str) -> Path | None:
    """Return the folder of an environment (``systems``, ``systems-redis5``); None where it has not been made."""
    tree = find_source_tree()
    if tree is None:
        return None
    digest = hashlib.sha256((tree / "requirements" / f"{name}.txt").read_bytes()).hexdigest()[:12]
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    folder = cache / "depthgauge" / f"{name}-{digest}"
    return folder if (folder / "depthgauge-complete").exists() else None


def find_systems(name: str) -> Callable[[], str | None]:
    """Return a function that returns where an environment is."""

    def find() -> str | None:
        folder = environment_of(name)
        return str(folder) if folder else None

    return find
