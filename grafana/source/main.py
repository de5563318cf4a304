"""Writes the dashboards: ``python -m grafana.source.main [--check] [FOLDER]``."""

import argparse
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Final

from grafana.source import daemons, health_history, overview, processes, queue_history, queues, worker_history
from grafana.source.board import Board

BOARDS: Final[tuple[Callable[[], Board], ...]] = (
    overview.board,
    queues.board,
    processes.board,
    daemons.board,
    queue_history.board,
    worker_history.board,
    health_history.board,
)
"""All dashboards, in the order in which the documentation tells of them."""

FOLDER: Final = Path(__file__).resolve().parents[1] / "dashboards"


def files() -> dict[str, str]:
    """Return the texts of all dashboards by their path within the folder."""
    return {made.path: made.text() for made in (board() for board in BOARDS)}


def stale(folder: Path) -> list[str]:
    """Return what is wrong with the folder: files that differ, are missing, or belong to no dashboard."""
    wanted = files()
    there = {str(path.relative_to(folder)): path.read_text() for path in sorted(folder.glob("*/*.json"))}
    return sorted(path for path in wanted.keys() | there.keys() if wanted.get(path) != there.get(path))


def write(folder: Path) -> None:
    """Write all dashboards, and remove what belongs to none."""
    wanted = files()
    for path in sorted(folder.glob("*/*.json")):
        if str(path.relative_to(folder)) not in wanted:
            path.unlink()
    for name, text in wanted.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)


def main() -> int:
    """Run the command."""
    parser = argparse.ArgumentParser(description="Write the dashboards.")
    parser.add_argument("folder", nargs="?", type=Path, default=FOLDER)
    parser.add_argument("--check", action="store_true", help="write nothing, say which files are not as they should be")
    given = parser.parse_args()
    if not given.check:
        write(given.folder)
        return 0
    if found := stale(given.folder):
        sys.stderr.write(f"not fresh in {given.folder}: {', '.join(found)}; run python -m grafana.source.main\n")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
