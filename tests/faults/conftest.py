"""The hour begins with the first test of this folder that can have it, so that it passes beside the others."""

import pytest

from tests.plugins.hour import EDITIONS
from tests.plugins.needs import INVENTORY

PARTS = {"plain": ("redis-server", "postgres", "supervisord"), "apache": ("timescaledb", "root")}


@pytest.fixture(scope="session")
def hour_editions(pytestconfig: pytest.Config) -> tuple[str, ...]:
    """Give the editions that are here."""
    inventory = pytestconfig.stash[INVENTORY]
    return tuple(edition for edition in EDITIONS if all(inventory.look(part) for part in PARTS[edition]))


@pytest.fixture(scope="session", autouse=True)
def _hour_begins(request: pytest.FixtureRequest, hour_editions: tuple[str, ...]) -> None:
    wanted = any(item.path.name == "test_hour.py" for item in request.session.items)
    if wanted and "plain" in hour_editions:
        request.getfixturevalue("hour")
