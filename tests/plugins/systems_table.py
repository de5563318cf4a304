"""The README's table of queue systems: what is read of each, and what proves it. Made from the tests themselves.

A cell says ``library`` where a test beside the system's own library is marked ``@pytest.mark.proves("celery", "waiting")``,
``fixture`` where only recorded or typed replies (tests/fixtures/queues), typed keys (tests/plugins/every_system.py) or
typed command lines have it, and ``-`` where nothing does: that the system does not tell it, as docs/queues.md says.
"""

import ast
import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from exporter.command_lines import COMMAND_LINES
from exporter.queues import SYSTEMS
from tests.plugins.repo import repo_root

COLUMNS: Final[Mapping[str, Sequence[str]]] = {
    "waiting": ("live.waiting",),
    "active": ("live.active",),
    "delayed": ("live.delayed",),
    "retry": ("live.retry",),
    "blocked": ("live.blocked",),
    "kept": ("kept.failed", "kept.dead", "kept.finished", "kept.canceled"),
    "head": ("head_eligible_at",),
    "first seen": ("head_first_seen_at",),
    "totals": ("completed_total", "failed_total"),
    "mean seconds": ("processing_seconds",),
    "workers": ("registry_workers",),
    "paused": ("paused",),
    "found": (),
    "command line": (),
}
"""The columns, and where in a queue of the snapshot their numbers are; those of the last two only tests tell."""

TITLES: Final[Mapping[str, str]] = {
    "laravel": "Laravel, Horizon",
    "celery": "Celery",
    "rq": "RQ",
    "sidekiq": "Sidekiq",
    "resque": "Resque",
    "bullmq": "BullMQ",
    "bull": "Bull",
    "dramatiq": "Dramatiq",
    "arq": "arq",
    "huey": "Huey",
    "taskiq": "Taskiq",
    "saq": "SAQ",
    "stream": "Redis Streams",
    "list": "lists",
    "zset": "sorted sets",
}
START: Final = "<!-- systems: made by `python -m tests.plugins.systems_table`, from the tests -->\n"
END: Final = "<!-- /systems -->\n"


def table(root: Path) -> str:
    """Return the table as Markdown."""
    proven = proofs(root / "tests" / "integration")
    lines = [
        f"| | {' | '.join(COLUMNS)} |",
        f"|---|{'---|' * len(COLUMNS)}",
    ]
    for system in SYSTEMS:
        recorded = fixtures(root / "tests" / "fixtures" / "queues" / system.name)
        recorded |= {"found"} if system.auto else set()
        recorded |= {"command line"} if system.name in command_line_systems() else set()
        cells = [
            "library" if (system.name, column) in proven else "fixture" if column in recorded else "-"
            for column in COLUMNS
        ]
        lines.append(f"| {TITLES[system.name]} | {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def proofs(folder: Path) -> Mapping[tuple[str, str], Sequence[str]]:
    """Return by system and column the tests that are marked as proving it beside the library."""
    found: dict[tuple[str, str], list[str]] = {}
    for path in sorted(folder.glob("test_*.py")):
        tree = ast.parse(path.read_text(encoding="utf-8"))
        for function in (node for node in tree.body if isinstance(node, ast.FunctionDef)):
            for words in _marks(function):
                for column in words[1:]:
                    found.setdefault((words[0], column), []).append(f"{path.name}::{function.name}")
    return found


def _marks(function: ast.FunctionDef) -> Iterator[tuple[str, ...]]:
    for decorator in function.decorator_list:
        if isinstance(decorator, ast.Call) and ast.unparse(decorator.func) == "pytest.mark.proves":
            yield tuple(ast.literal_eval(argument) for argument in decorator.args)


def fixtures(folder: Path) -> frozenset[str]:
    """Return the columns of which recorded replies gave a number."""
    queues: list[Mapping[str, Any]] = [
        queue for path in folder.glob("*.expected.json") for queue in json.loads(path.read_bytes())
    ]
    return frozenset(
        column for column, places in COLUMNS.items() if any(_has(queue, place) for queue in queues for place in places)
    )


def _has(queue: Mapping[str, Any], place: str) -> bool:
    value: Any = queue
    for step in place.split("."):
        value = value.get(step) if isinstance(value, Mapping) else None
    return value is not None


def main() -> None:
    """Write the table into the README."""
    readme = repo_root() / "README.md"
    text = readme.read_text(encoding="utf-8")
    before, start, rest = text.partition(START)
    _, end, after = rest.partition(END)
    assert start, "the README has no place for the table"
    assert end, "the README has no end of the table"
    readme.write_text(before + START + table(repo_root()) + END + after, encoding="utf-8")


def command_line_systems() -> frozenset[str]:
    """Return the systems whose workers can be told from their command lines."""
    return frozenset(line.system for line in COMMAND_LINES)


if __name__ == "__main__":
    main()
