"""The source tree around the tests, for tests about files that are no part of the wheel (docs, compose, CI)."""

from pathlib import Path

TREE_MARKS = ("pyproject.toml", "docker-compose.yml", "exporter", "sql")


def find_source_tree() -> Path | None:
    """Return the checkout's folder; None where only ``tests/`` and ``pyproject.toml`` were copied beside an installed wheel."""
    top = Path(__file__).resolve().parents[2]
    return top if all((top / mark).exists() for mark in TREE_MARKS) else None


def repo_root() -> Path:
    """Return the checkout's folder; a test that calls this is marked ``needs("source-tree")``."""
    top = find_source_tree()
    assert top is not None, 'not in a source tree: mark this test with @pytest.mark.needs("source-tree")'
    return top
