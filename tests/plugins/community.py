"""TimescaleDB's Community edition, as WebAssembly (tests/npm): one connection at a time, no background workers."""

import contextlib
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.plugins.parts import NPM
from tests.plugins.ports import free_port
from tests.plugins.waiting import wait_for

START_TIMEOUT = 60.0
STOP_TIMEOUT = 20.0


@contextlib.contextmanager
def community_server(folder: Path) -> Iterator[str]:
    """Give the DSN of a fresh, empty database; whoever connects has to leave before the next one can."""
    port = free_port()
    log = folder / "community.log"
    with log.open("wb") as output:
        process = subprocess.Popen(
            [str(shutil.which("node")), str(NPM / "server.mjs"), str(port)],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
        )
    try:
        wait_for(lambda: "ready" in log.read_text() or process.poll() is not None, START_TIMEOUT, what=str(log))
        assert process.poll() is None, log.read_text()
        yield f"postgresql://postgres:postgres@127.0.0.1:{port}/postgres?sslmode=disable"
    finally:
        process.terminate()
        try:
            process.wait(STOP_TIMEOUT)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait(STOP_TIMEOUT)


@pytest.fixture
def community_database(tmp_path: Path) -> Iterator[str]:
    """Give the DSN of a fresh, empty database of the test's own."""
    with community_server(tmp_path) as dsn:
        yield dsn
