"""A primary that dies, a standby that takes over, and the old primary back as a standby: with both named in one DSN."""

import pytest

from depthgauge.secrets import Secret
from sink.migrate import migrate
from tests.plugins.postgres import PostgresServer
from tests.plugins.sinks import recent_slot
from tests.plugins.stage import MakeStage, execute
from tests.plugins.standby import MakeStandby, kill, start_demoted
from tests.plugins.waiting import wait_for

pytestmark = pytest.mark.needs("redis-server", "postgres")


def test_failover(make_stage: MakeStage, own_postgres_server: PostgresServer, make_standby: MakeStandby) -> None:
    stage, primary = make_stage(), own_postgres_server
    migrate(Secret(primary.dsn))
    standby = make_standby(primary)
    # As docs/reliability.md has it: every server is named, and only one that takes writes is used.
    both = f"postgresql://postgres@127.0.0.1:{primary.port},127.0.0.1:{standby.port}/postgres"
    sink = stage.sink(dsn=both, batch_rows=20)
    wait_for(lambda: sink.value("depthgauge_sink_database_up") == 1, 20)
    base = recent_slot(back=100)
    stage.publish(300, base=base)
    wait_for(lambda: stage.backlog() < 250, 30)
    kill(primary)
    assert stage.backlog() > 0, "a failover has to find work"
    wait_for(lambda: sink.value("depthgauge_sink_database_up") == 0, 20)
    standby.promote()
    stage.drained()

    # The old one is back, named first, and refuses to write: it is passed over.
    start_demoted(primary)
    execute(
        standby.dsn, "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name LIKE 'depthgauge%'"
    )
    stage.publish(50, first=301, base=base)
    stage.drained()
    stage.dsn = standby.dsn

    assert stage.sums("depthgauge_sink_retries_total") >= 2
    assert stage.account().counted == {}
    stage.record(
        "primary killed with -9, its synchronous standby promoted, then the old primary back as a standby",
        "`depthgauge_sink_database_up` 0, `depthgauge_sink_retries_total`",
    )
