"""What the URL of a Redis says, and what is wrong with one."""

import pytest

from depthgauge.redis_url import Address, BadUrl, RedisUrl, Topology, address_of, parse, with_login, with_options
from depthgauge.secrets import Secret, masked

S = "redis+sentinel://"


def read(text: str) -> RedisUrl:
    return parse(Secret(text))


def test_one_server() -> None:
    where = read("rediss://me:p%2Fw%25@h:1/3?ssl_ca_certs=%2Fa%20b%25%2Bc.pem&ssl_check_hostname=no")
    assert where == RedisUrl(
        topology=Topology.SERVER,
        tls=True,
        addresses=(Address("h", 1),),
        username="me",
        password="p/w%",
        database=3,
        tls_options={"ssl_ca_certs": "/a b%+c.pem", "ssl_check_hostname": "no"},
    )
    assert where.tls_arguments()["ssl_ca_certs"] == "/a b%+c.pem"
    assert where.tls_arguments()["ssl_check_hostname"] is False
    assert read("redis://h").addresses == (Address("h", 6379),)
    assert read("redis://[::1]:7/").addresses == (Address("::1", 7),)
    assert read("redis://h/1?db=2").database == 2


def test_a_unix_socket() -> None:
    where = read("unix://me:pw@/run/a%20b.sock?db=2")
    assert (where.path, where.username, where.password, where.database) == ("/run/a b.sock", "me", "pw", 2)


def test_sentinels() -> None:
    where = read(
        f"{S}me:pw@a:1,[::1],b-2.example:3/my.service/4?role=replica&sentinel_username=s&sentinel_password=x%26y"
    )
    assert where.topology is Topology.SENTINEL
    assert where.addresses == (Address("a", 1), Address("::1", 26379), Address("b-2.example", 3))
    assert (where.service, where.database, where.replica) == ("my.service", 4, True)
    assert where.server(Address("::1", 6)).reveal() == "redis://me:pw@[::1]:6/4"
    assert where.sentinel(Address("a", 1)).reveal() == "redis://s:x%26y@a:1"
    assert not read(f"{S}a/s?role=master").replica
    assert read(f"{S}a/s").database == 0
    assert read(f"{S}a/s?db=3").database == 3


def test_sentinels_with_tls_give_it_to_servers_and_sentinels() -> None:
    where = read("rediss+sentinel://:p@a/s?ssl_ca_certs=/c+d.pem")
    for url in (where.server(Address("h", 1)), where.sentinel(Address("a", 2))):
        assert parse(url).tls
        assert parse(url).tls_options == {"ssl_ca_certs": "/c d.pem"}, "as a query is read: + is a blank"
    assert parse(where.server(Address("h", 1))).password == "p"
    assert parse(where.sentinel(Address("h", 1))).password is None, "a sentinel has a login of its own"


def test_clusters() -> None:
    where = read("redis+cluster://:p@a,b:7")
    assert where.topology is Topology.CLUSTER
    assert where.addresses == (Address("a", 6379), Address("b", 7))
    assert where.server(Address("10.0.0.1", 9)).reveal() == "redis://:p@10.0.0.1:9/0"


def test_a_login_and_options_are_put_in() -> None:
    url = with_login(Secret(f"{S}a:1,b/s?role=replica"), "u:1", "p@/,")
    url = with_options(url, {"ssl_ca_certs": "/a b%2F&.pem"})
    assert url.reveal() == f"{S}u%3A1:p%40%2F%2C@a:1,b/s?role=replica&ssl_ca_certs=%2Fa+b%252F%26.pem"
    assert with_options(Secret("rediss://h"), {}).reveal() == "rediss://h"
    where = parse(with_options(with_login(Secret("rediss://h"), None, "p"), {"ssl_ca_certs": "/a b%2F&.pem"}))
    assert (where.username, where.password, where.tls_options) == (None, "p", {"ssl_ca_certs": "/a b%2F&.pem"})


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("h:6379", "is no URL of a Redis; write redis://host:6379/0"),
        ("http://h", "is no URL of a Redis"),
        ("Redis://h", "is no URL of a Redis"),
        ("redis+sentinels://h", "is no URL of a Redis"),
        ("redis://a,b/0", "has several hosts; write redis+sentinel:// or redis+cluster://"),
        ("redis://h:x", "cannot be taken apart (percent-encode"),
        ("redis://h:0", "a port that is not 1 to 65535"),
        ("redis://h:70000", "a port that is not 1 to 65535"),
        ("redis://h h", "has a # or a blank in it"),
        ("redis://[::1", "cannot be taken apart"),
        ("redis://h?ssl_ca_certs=/x", "'ssl_ca_certs', which is for TLS; write rediss in place of redis"),
        ("rediss://h?ssl_cert_reqs=no", "an ssl_cert_reqs that is none of none, optional, required"),
        ("rediss://h?ssl_check_hostname=maybe", "an ssl_check_hostname that is neither true nor false"),
        ("redis://h?role=replica", "the option 'role', allowed are db, ssl_"),
        ("unix://run/redis.sock", "has no path; write"),
        (f"{S}", "has no host; write redis+sentinel://host:26379"),
        (f"{S}a,/s", "cannot be taken apart"),
        (f"{S}a,a:26379/s", "has a host twice"),
        (f"{S}a", "has no name of a service behind the hosts; write redis+sentinel://host:26379"),
        (f"{S}a/0", None),
        (f"{S}a/my service", "has a # or a blank"),
        (f"{S}a/s/mail", "has no number of a database behind the service"),
        (f"{S}a/s/1/2", "has no number of a database behind the service"),
        (f"{S}a/s?role=slave", "a role that is neither master nor replica"),
        (f"{S}a/s?sentinel=x", "the option 'sentinel', allowed are db, role, sentinel_password"),
        ("redis+cluster://h/mail", "has no number of a database behind the host; write redis+cluster://"),
        ("redis+cluster://h?role=replica", "the option 'role'"),
    ],
)
def test_what_is_wrong_with_it(url: str, words: str | None) -> None:
    if words is None:
        assert read(url).service == "0", "a name, too"
        return
    with pytest.raises(BadUrl) as caught:
        read(url)
    assert words in str(caught.value)


@pytest.mark.parametrize(
    "url",
    [
        f"{S}me:hunter2@a:1,b:2/s",
        f"{S}me:hun%40ter2@[::1]:1,b/s?role=replica",
        f"redis{S[5:]}:hunter2@a/s?sentinel_password=hunter2&role=replica",
        f"{S}a:1,b:2/s?sentinel_username=x&sentinel_password=hunter2",
        "rediss+cluster://me:hunter2@a:1,b:2?ssl_ca_certs=/ca.pem",
    ],
)
def test_passwords_are_masked_with_several_hosts(url: str) -> None:
    shown = masked(f"cannot read {url}: no")
    assert "ter2" not in shown
    assert "********" in shown
    assert "hunter2" not in repr(read(url))
    assert "b:2/s" in shown or "b:2?" in shown or "b/s" in shown or "a/s" in shown


@pytest.mark.parametrize(
    ("host", "port"),
    [(b"a b", b"1"), (b"", b"1"), (None, b"1"), (b"h", b"0"), (b"h", b"65536"), (b"h", b"x"), (b"h", None), ([], 1),
     (b"h", b"1\n"), (b"h@x", 1), (b"h/", 1), (b"\xff", 1), ("h" * 300, 1)],
)  # fmt: skip
def test_what_a_server_tells_is_no_address(host: object, port: object) -> None:
    assert address_of(host, port) is None


def test_what_a_server_tells_is_an_address() -> None:
    assert address_of(b"10.0.0.1", b"6379") == Address("10.0.0.1", 6379)
    assert address_of("fe80::1", 1) == Address("fe80::1", 1)
    assert str(Address("fe80::1", 1)) == "[fe80::1]:1"
