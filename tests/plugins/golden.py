"""Golden files: texts that a test compares with, byte for byte; ``--update-golden`` writes them anew."""

from collections.abc import Callable
from pathlib import Path
from typing import TypeAlias

import pytest

FOLDER = Path(__file__).resolve().parents[1] / "golden"

Golden: TypeAlias = Callable[[str, str], None]


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--update-golden", action="store_true", help="write the golden files instead of comparing with them"
    )


@pytest.fixture
def golden(pytestconfig: pytest.Config) -> Golden:
    """Give a function that compares a text with the golden file of a name."""

    def compare(name: str, text: str) -> None:
        path = FOLDER / name
        if pytestconfig.getoption("--update-golden"):
            path.write_text(text, encoding="utf-8")
        assert path.exists(), f"no golden file {name}: pytest --update-golden"
        assert text == path.read_text(encoding="utf-8"), f"{name} differs; if that is meant: pytest --update-golden"

    return compare
