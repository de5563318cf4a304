"""Redis as installations have it: several servers and databases, replicas, TLS with an own authority; and what check says."""

import subprocess
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from cli.aspects import bus, redis_servers
from cli.aspects.finding import Status
from cli.config import load_exporter
from cli.schema import SYSTEMS, Role
from depthgauge.redis_link import client
from depthgauge.redis_links import link_for
from depthgauge.secrets import Secret
from depthgauge.settings import BusSettings
from exporter.assembly import Assembly
from exporter.collect import EveryoneCollects
from exporter.settings import RedisSettings
from exporter.sources.redis_cluster_server import redis_server_source
from tests.plugins.certificates import Authority
from tests.plugins.findings import only
from tests.plugins.ports import free_port
from tests.plugins.queue_source import MakeSource, read
from tests.plugins.redis_cluster import MakeCluster
from tests.plugins.redis_sentinel import MakeSentinel
from tests.plugins.redis_server import MakeRedis, RedisServer
from tests.plugins.settings import MakeInputs
from tests.plugins.waiting import wait_for

pytestmark = pytest.mark.needs("redis-server")

P = "laravel_database_queues:"
JOB = '{"id":"a","createdAt":1767225600}'


def look(url: str) -> redis_servers.Looked:
    return redis_servers.look(RedisSettings(name="r", url=Secret(url)))


def replicated(make_redis: MakeRedis) -> tuple[RedisServer, RedisServer]:
    """Return a master and a replica that is in touch with it."""
    master = make_redis("--repl-diskless-sync-delay", "0")
    replica = make_redis("--replicaof", f"127.0.0.1 {master.port}")
    client: Any = replica.client()
    wait_for(lambda: client.info("replication")["master_link_status"] == "up", what="the replica is in touch")
    return master, replica


def test_servers_and_databases_do_not_mix(make_redis: MakeRedis, make_inputs: MakeInputs) -> None:
    servers = [make_redis(), make_redis()]
    text = "supervisor = []\n"
    expected: dict[str, int] = {}
    for server in servers:
        for database in (0, 3):
            name = f"{'one' if server is servers[0] else 'two'}-{database}"
            expected[name] = len(expected) + 1
            server.client(db=database).rpush(f"{P}emails", *([JOB] * expected[name]))
            text += f"[[redis]]\nname='{name}'\nurl='redis://127.0.0.1:{server.port}/{database}'\n"
    settings = load_exporter(make_inputs(text + "[collectors]\nhost=false\n"))
    assembly = Assembly(settings, run_id="r", leases=EveryoneCollects())
    try:
        assembly.discover(10)
        snapshot = assembly.collector.take(datetime(2026, 1, 1, tzinfo=UTC), seq=0)
    finally:
        assembly.close()
    found = {
        part.redis: [(queue.system, queue.name, queue.live.waiting) for queue in part.queues]
        for part in snapshot.queues
    }
    assert found == {name: [("laravel", "emails", count)] for name, count in expected.items()}
    run_ids = {part.redis[:3]: part.run_id for part in snapshot.queues}
    assert len(set(run_ids.values())) == 2, "two databases of one server are told to be on one server"


def test_a_replica_is_read_and_its_role_told(make_redis: MakeRedis, make_source: MakeSource) -> None:
    master, replica = replicated(make_redis)
    there: Any = replica.client()
    master.client().rpush(f"{P}emails", JOB)
    master.client().hset("rq:job:j1", "enqueued_at", "2026-01-15T08:00:00.000000Z")
    master.client().sadd("rq:queues", "rq:queue:high")
    master.client().rpush("rq:queue:high", "j1")
    wait_for(lambda: there.exists("rq:queue:high"), what="the replica has it")
    found = read(make_source(replica.url))
    assert {key: queue.live.waiting for key, queue in found.items()} == {("laravel", "emails"): 1, ("rq", "high"): 1}
    assert {queue.error for queue in found.values()} == {None}
    source = redis_server_source(
        RedisSettings(name="r", url=Secret(replica.url)), clock=lambda: datetime.now(UTC), timeout=3
    )
    assert source.collect().role == "slave"
    source.close()
    assert look(replica.url).findings[0].status is Status.OK
    finding = only(bus.look(BusSettings(url=Secret(replica.url)), {Role.EXPORTER}, {}))
    assert "READONLY" in finding.message


def test_reading_a_replica_sends_nothing_that_a_replica_refuses(make_redis: MakeRedis, make_source: MakeSource) -> None:
    _, replica = replicated(make_redis)
    there: Any = replica.client()
    source = make_source(replica.url, systems=tuple(SYSTEMS), queues=("high",))
    read(source)
    assert there.info("errorstats").get("errorstat_READONLY") is None


@pytest.fixture
def secure(authority: Authority, make_redis: MakeRedis) -> Callable[[str], tuple[RedisServer, int]]:
    def make(auth_clients: str) -> tuple[RedisServer, int]:
        cert, key = authority.issue("server")
        port = free_port()
        server = make_redis(
            *("--tls-port", str(port), "--tls-cert-file", str(cert), "--tls-key-file", str(key)),
            *("--tls-ca-cert-file", str(authority.ca_file), "--tls-auth-clients", auth_clients),
        )
        return server, port

    return make


def test_an_authority_and_a_client_certificate(
    secure: Callable[[str], tuple[RedisServer, int]], authority: Authority, make_inputs: MakeInputs
) -> None:
    server, port = secure("yes")
    server.client().rpush(f"{P}emails", JOB)
    cert, key = authority.issue("me", "me.example")
    text = f"[[redis]]\nurl='rediss://127.0.0.1:{port}'\nca_file='{authority.ca_file}'\n"
    text += f"[bus]\nurl='rediss://127.0.0.1:{port}'\nca_file='{authority.ca_file}'\n"
    without = load_exporter(make_inputs(text)).redis[0]
    finding = only(redis_servers.look(without).findings)
    assert finding.status is Status.ERROR
    environ = {"DEPTHGAUGE_REDIS_CERT_FILE": str(cert), "DEPTHGAUGE_REDIS_KEY_FILE": str(key)}
    environ |= {"DEPTHGAUGE_BUS_CERT_FILE": str(cert), "DEPTHGAUGE_BUS_KEY_FILE": str(key)}
    settings = load_exporter(make_inputs(text, environ=environ))
    first = redis_servers.look(settings.redis[0]).findings[0]
    assert first.status is Status.OK
    assert "laravel: emails" in first.message
    assert settings.bus is not None
    with client(settings.bus.url, timeout=2) as made:
        assert made.ping()
    assert bus.look(settings.bus, {Role.EXPORTER}, {})[0].status is Status.OK


def test_check_says_which_certificate_is_wrong(
    secure: Callable[[str], tuple[RedisServer, int]], authority: Authority, tmp_path: Path
) -> None:
    _, port = secure("no")
    other = Authority(tmp_path / "other")
    text = tmp_path / "text.pem"
    text.write_text("not a certificate\n")
    cert, key = authority.issue("me", "me.example")
    locked = tmp_path / "locked.key"
    subprocess.run(["openssl", "pkey", "-in", key, "-aes256", "-passout", "pass:x", "-out", locked], check=True)
    for query, words in (
        (f"ssl_ca_certs={authority.ca_file}", "answers"),
        ("", "certificate verify failed"),
        (f"ssl_ca_certs={other.ca_file}", "certificate verify failed"),
        (f"ssl_ca_certs={tmp_path}/none.pem", f"cannot read the CA '{tmp_path}/none.pem': No such file"),
        (f"ssl_ca_certs={tmp_path}", f"cannot read the CA '{tmp_path}': Is a directory"),
        (f"ssl_ca_certs={text}", f"there is no certificate in the CA '{text}'"),
        (
            f"ssl_ca_certs={authority.ca_file}&ssl_certfile={cert}",
            f"the certificate '{cert}' and the key '{cert}' cannot",
        ),
        (f"ssl_ca_certs={authority.ca_file}&ssl_certfile={cert}&ssl_keyfile={locked}", f"the key '{locked}' cannot"),
    ):
        started = time.monotonic()
        finding = look(f"rediss://127.0.0.1:{port}/0?{query}").findings[0]
        assert words in finding.message
        if words != "answers":
            assert finding.hint is not None
            assert "reason tls" in finding.hint
        assert time.monotonic() - started < 3
    wrong_name = look(f"rediss://127.0.0.2:{port}/0?ssl_ca_certs={authority.ca_file}").findings[0]
    assert wrong_name.status is Status.ERROR


def test_sentinel_with_tls(
    secure: Callable[[str], tuple[RedisServer, int]], authority: Authority, make_sentinel: MakeSentinel
) -> None:
    server, port = secure("no")
    cert, key = authority.issue("sentinel")
    tls_port = free_port()
    sentinel = make_sentinel(
        server,
        master_port=port,
        lines=(
            f"tls-port {tls_port}",
            f"tls-cert-file {cert}",
            f"tls-key-file {key}",
            f"tls-ca-cert-file {authority.ca_file}",
            "tls-auth-clients no",
            "tls-replication yes",
        ),
    )
    url = sentinel.url(query=f"?ssl_ca_certs={authority.ca_file}").replace(str(sentinel.port), str(tls_port))
    url = url.replace("redis+", "rediss+")
    link = link_for(Secret(url), connect_timeout=3)
    assert link.exchange([("PING",)], deadline=time.monotonic() + 3) == [b"PONG"]
    link.close()
    with client(Secret(url), timeout=2) as made:
        assert made.ping(), "and redis-py's client, which the bus uses"
    assert "certificate verify failed" in only(look(url.partition("?")[0]).findings).message


def test_a_cluster_with_tls(authority: Authority, make_cluster: MakeCluster) -> None:
    cert, key = authority.issue("node")
    tls_port = free_port()
    cluster = make_cluster(
        masters=1,
        options=(
            *("--tls-port", str(tls_port), "--tls-cert-file", str(cert), "--tls-key-file", str(key)),
            *("--tls-ca-cert-file", str(authority.ca_file), "--tls-auth-clients", "no"),
            # Without it nodes tell everybody their port without TLS.
            *("--tls-cluster", "yes"),
        ),
    )
    cluster.masters[0].client().rpush(f"{P}emails", JOB)
    findings = look(f"rediss+cluster://127.0.0.1:{tls_port}?ssl_ca_certs={authority.ca_file}").findings
    assert findings[0].status is Status.OK
    assert "laravel: emails" in findings[0].message


def test_check_tells_of_sentinels(
    redis_server: RedisServer, make_redis: MakeRedis, make_sentinel: MakeSentinel
) -> None:
    redis_server.client().rpush(f"{P}emails", JOB)
    sentinel, elsewhere, nobody = make_sentinel(redis_server), make_sentinel(make_redis()), free_port()
    fine = look(sentinel.url())
    assert [finding.status for finding in fine.findings] == [Status.OK], fine.findings
    assert fine.run_id == redis_server.client().info("server")["run_id"]
    found = look(sentinel.url().replace("/jobs", f",127.0.0.1:{nobody},127.0.0.1:{elsewhere.port}/jobs")).findings
    assert [finding.status for finding in found] == [Status.WARNING, Status.WARNING, Status.OK]
    assert f"the sentinel at redis://127.0.0.1:{nobody}" in found[0].message
    assert "do not agree" in found[1].message
    assert only(look(sentinel.url("mail")).findings).message.endswith("knows no service 'mail'")


def test_check_tells_of_nodes_and_of_rights_that_one_of_them_lacks(make_cluster: MakeCluster) -> None:
    cluster = make_cluster(masters=2, options=("--cluster-require-full-coverage", "no"))
    cluster.at(f"{P}emails").rpush(f"{P}emails", JOB)
    assert look(cluster.url).findings[0].status is Status.OK
    for node, rules in zip(cluster.masters, ("", "-llen"), strict=True):
        client: Any = node.client()
        client.execute_command("ACL", "SETUSER", "watch", "on", ">pw", "~*", "+@all", *rules.split())
    alone = look(cluster.url.replace("://", "://watch:pw@")).findings
    assert alone[0].status is Status.ERROR
    assert alone[0].message.startswith(f"the node 127.0.0.1:{cluster.masters[1].port} alone refuses llen")
    down = cluster.masters[0]
    down.kill()
    found = look(cluster.url).findings
    assert found[0].status is Status.ERROR
    assert f"127.0.0.1:{down.port}" in found[0].message
