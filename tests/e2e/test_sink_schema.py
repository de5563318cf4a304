"""A sink before a database that has no schema yet."""

import pytest

from tests.plugins.daemons import MakeDaemon
from tests.plugins.redis_server import RedisServer

pytestmark = pytest.mark.needs("redis-server", "timescaledb")


def test_a_sink_refuses_a_database_without_the_schema(
    make_daemon: MakeDaemon, redis_server: RedisServer, timescale_database: str
) -> None:
    sink = make_daemon("sink", f'[bus]\nurl = "{redis_server.url}"\n[sink]\ndsn = "{timescale_database}"\n')

    assert sink.process.wait(20) == 3
    assert "depthgauge migrate" in sink.text
