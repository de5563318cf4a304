"""promtool has nothing to say against our metrics."""

import subprocess
from pathlib import Path

import pytest

from tests.plugins.daemons import MakeDaemon
from tests.plugins.redis_server import RedisServer

pytestmark = pytest.mark.needs("promtool")

GOLDEN = sorted((Path(__file__).resolve().parents[1] / "golden").glob("*.prom"))


def check(text: str) -> str:
    done = subprocess.run(
        ["promtool", "check", "metrics"], input=text, check=False, capture_output=True, text=True, timeout=30
    )
    return (done.stdout + done.stderr).strip() if done.returncode else ""


@pytest.mark.parametrize("path", GOLDEN, ids=lambda path: path.name)
def test_golden_pages(path: Path) -> None:
    assert check(path.read_text()) == ""


def test_promtool_would_complain() -> None:
    assert "counter" in check("# HELP x X.\n# TYPE x counter\nx 1\n")


@pytest.mark.needs("redis-server")
def test_what_the_daemons_serve(make_daemon: MakeDaemon, redis_server: RedisServer) -> None:
    """The whole page, with the self-metrics at its end, of the exporter and of a sink whose database is away."""
    config = (
        "supervisor = []\n[exporter]\ninterval = 1\n"
        f'[[redis]]\nname = "default"\nurl = "{redis_server.url}"\n[bus]\nurl = "{redis_server.url}"\n'
        '[sink]\ndsn = "postgresql://nobody@127.0.0.1:1/none"\n'
    )
    for daemon in (make_daemon("exporter", config).ready(), make_daemon("sink", config)):
        text = daemon.get("/metrics")
        assert text is not None
        assert "process_cpu_seconds_total" in text
        assert "_created" not in text
        assert check(text) == ""
