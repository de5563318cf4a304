"""Certificates, Sentinel and Cluster in the configuration: what becomes of them, and what does not fit together."""

import pytest

from cli.config import load, load_exporter
from cli.effective import show
from cli.schema import Role
from depthgauge.errors import ConfigError
from depthgauge.redis_url import parse
from depthgauge.secrets import Secret
from tests.plugins.settings import MakeInputs

EXPORTER = frozenset({Role.EXPORTER})


def redis_url(make_inputs: MakeInputs, text: str, **environ: str) -> Secret:
    (redis,) = load_exporter(make_inputs(text, environ=environ)).redis
    return redis.url


def test_certificates_go_into_the_url(make_inputs: MakeInputs) -> None:
    text = """
[[redis]]
url = "rediss://h/2"
username = "me"
password = "p/w"
ca_file = "/etc/c a.pem"
cert_file = "/etc/100%25.crt"
key_file = "/etc/me.key"
"""
    where = parse(redis_url(make_inputs, text))
    assert (where.username, where.password, where.database) == ("me", "p/w", 2)
    assert where.tls_options == {
        "ssl_ca_certs": "/etc/c a.pem",
        "ssl_certfile": "/etc/100%25.crt",
        "ssl_keyfile": "/etc/me.key",
    }


@pytest.mark.parametrize("url", ["rediss+sentinel://a,b/s?role=replica", "rediss+cluster://a,b"])
def test_certificates_and_login_with_several_hosts(url: str, make_inputs: MakeInputs) -> None:
    given = {"DEPTHGAUGE_REDIS_URL": url, "DEPTHGAUGE_REDIS_CA_FILE": "/ca.pem", "DEPTHGAUGE_REDIS_PASSWORD": "hunter2"}
    given |= {"DEPTHGAUGE_REDIS_CERT_FILE": "/me.crt", "DEPTHGAUGE_REDIS_KEY_FILE": "/me.key"}
    where = parse(redis_url(make_inputs, "", **given))
    assert where.password == "hunter2"
    assert set(where.tls_options.values()) == {"/ca.pem", "/me.crt", "/me.key"}
    assert [each.host for each in where.addresses] == ["a", "b"]


def test_the_bus_has_them_too(make_inputs: MakeInputs) -> None:
    text = "[bus]\nurl='rediss+sentinel://a:1,b/s'\nca_file='/ca.pem'\n"
    bus = load_exporter(make_inputs(text, environ={"DEPTHGAUGE_BUS_CERT_FILE": "/me.pem"})).bus
    assert bus is not None
    assert parse(bus.url).tls_options == {"ssl_ca_certs": "/ca.pem", "ssl_certfile": "/me.pem"}


def test_a_url_of_a_higher_layer_wins(make_inputs: MakeInputs) -> None:
    text = "[[redis]]\nurl='rediss://a'\nca_file='/file.pem'\n"
    url = redis_url(make_inputs, text, DEPTHGAUGE_REDIS_URL="rediss://b?ssl_ca_certs=/url.pem")
    assert parse(url).tls_options == {"ssl_ca_certs": "/url.pem"}


PROBLEMS = {
    "no TLS": (
        "[[redis]]\nurl='redis://h'\nca_file='/ca.pem'\n",
        "3: redis.ca_file: needs TLS; write rediss in place of redis in the URL",
    ),
    "no TLS by default": ("[[redis]]\nname='x'\ncert_file='/me.pem'\n", "3: redis.cert_file: needs TLS"),
    "sentinel without TLS": ("[[redis]]\nurl='redis+sentinel://h/s'\nca_file='/x'\n", "3: redis.ca_file: needs TLS"),
    "unix socket": ("[bus]\nurl='unix:///s'\nca_file='/x'\n", "3: bus.ca_file: needs TLS"),
    "key alone": ("[[redis]]\nurl='rediss://h'\nkey_file='/k'\n", "3: redis.key_file: needs a cert_file beside it"),
    "twice": (
        "[[redis]]\nurl='rediss://h?ssl_ca_certs=/x'\nca_file='/x'\n",
        "3: redis.ca_file: the URL holds ssl_ca_certs too; keep one of them",
    ),
    "two logins": (
        "[[redis]]\nurl='redis+cluster://:hunter2@a,b'\npassword='hunter2'\n",
        "3: redis.password: the URL holds a user name or password too",
    ),
    "no service": ("[[redis]]\nurl='redis+sentinel://h'\n", "2: redis.url: has no name of a service behind the hosts"),
    "bus on a cluster": (
        "[bus]\nurl='redis+cluster://a,b'\n",
        "2: bus.url: a Redis Cluster cannot carry the bus: one stream lies on one node; name a single Redis",
    ),
    "bus on a replica": (
        "[bus]\nurl='redis+sentinel://a/s?role=replica'\n",
        "2: bus.url: the bus is written to, and a replica cannot be",
    ),
}


@pytest.mark.parametrize("name", PROBLEMS)
def test_what_does_not_fit_together(name: str, make_inputs: MakeInputs) -> None:
    text, words = PROBLEMS[name]
    with pytest.raises(ConfigError) as caught:
        load_exporter(make_inputs(text))
    assert words in str(caught.value)
    assert "hunter2" not in str(caught.value)


def test_secrets_are_masked_where_the_configuration_is_shown(make_inputs: MakeInputs) -> None:
    text = "[[redis]]\nurl='redis+sentinel://me:hunter2@a:1,b:2/s?sentinel_password=hunter2'\n"
    shown = show(load(make_inputs(text), EXPORTER), EXPORTER)
    assert "hunter2" not in shown
    assert "redis+sentinel://me:********@a:1,b:2/s?sentinel_password=********" in shown
