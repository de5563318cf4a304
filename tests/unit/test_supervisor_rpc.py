"""URLs of supervisord, name resolution, and XML-RPC replies of every kind of badness."""

import socket
import threading
import time
import xmlrpc.client
from typing import Any, cast

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from depthgauge.errors import ConfigError, ErrorKind, SourceError
from depthgauge.secrets import Secret
from exporter.sources.resolver import Resolver
from exporter.sources.rpc_reply import fault_kind, loads
from exporter.sources.supervisor_rpc import NOT_HERE, Endpoint, RpcClient, Timeouts, _peer_pid


def test_unix_url() -> None:
    endpoint = Endpoint.parse("unix:///run/supervisor.sock")
    assert (endpoint.socket_path, endpoint.path) == ("/run/supervisor.sock", "/RPC2")


@pytest.mark.parametrize(
    ("url", "host", "port", "path"),
    [
        ("http://localhost:9001/RPC2", "localhost", 9001, "/RPC2"),
        ("http://localhost/RPC2", "localhost", 80, "/RPC2"),
        ("http://[::1]:9001/RPC2", "::1", 9001, "/RPC2"),
        ("http://example.org:9001", "example.org", 9001, "/"),
        ("http://example.org/proxied/RPC2", "example.org", 80, "/proxied/RPC2"),
    ],
)
def test_http_url(url: str, host: str, port: int, path: str) -> None:
    endpoint = Endpoint.parse(url)
    assert (endpoint.socket_path, endpoint.host, endpoint.port, endpoint.path) == (None, host, port, path)


@pytest.mark.parametrize(
    ("url", "word"),
    [
        ("unix://relative.sock", "absolute path"),
        ("/run/supervisor.sock", "unix:///path"),
        ("https://localhost:9001/RPC2", "http://host:port/RPC2"),
        ("http://:9001/RPC2", "http://host:port/RPC2"),
        ("http://localhost:nine/RPC2", "Port"),
        ("http://localhost:99999/RPC2", "Port"),
        ("http://me:hunter2@localhost:9001/RPC2", "their own settings"),
    ],
)
def test_bad_urls_are_explained_without_their_password(url: str, word: str) -> None:
    with pytest.raises(ConfigError, match=word) as caught:
        Endpoint.parse(url)
    assert "hunter2" not in str(caught.value)


def test_password_stays_secret() -> None:
    client = RpcClient(
        "unix:///none", username="u", password=Secret("hunter2"), timeouts=Timeouts(), monotonic=time.monotonic
    )
    with pytest.raises(SourceError) as caught:
        client.call("system.listMethods")
    assert caught.value.kind is ErrorKind.SOCKET_MISSING
    assert "hunter2" not in repr(client) + str(caught.value)


def test_socket_path_that_no_kernel_takes() -> None:
    client = RpcClient("unix:///" + "x" * 200, timeouts=Timeouts(), monotonic=time.monotonic)
    with pytest.raises(SourceError, match="path too long") as caught:
        client.call("system.listMethods")
    assert caught.value.kind is ErrorKind.UNREACHABLE


def test_one_hanging_lookup_at_most_and_it_ends_in_time() -> None:
    release = threading.Event()
    asked: list[str] = []

    def lookup(host: str, port: int, **_: Any) -> list[Any]:
        asked.append(host)
        release.wait(10)
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", ("192.0.2.1", port))]

    resolver = Resolver(lookup)
    for _ in range(3):
        with pytest.raises(TimeoutError, match=r"slow\.example"):
            resolver.resolve("slow.example", 9001, timeout=0.02)
    release.set()
    assert resolver.resolve("slow.example", 9001, timeout=5) == [(socket.AF_INET, ("192.0.2.1", 9001))]
    assert asked == ["slow.example"]


def test_addresses_need_no_lookup() -> None:
    def lookup(*_: Any, **__: Any) -> list[Any]:
        raise AssertionError("looked up")

    resolver = Resolver(lookup)
    assert resolver.resolve("127.0.0.1", 9001, timeout=1) == [(socket.AF_INET, ("127.0.0.1", 9001))]
    assert resolver.resolve("::1", 9001, timeout=1)[0][0] == socket.AF_INET6


@pytest.mark.parametrize("host", ["x" * 70 + ".invalid", "a..b"])
def test_names_that_no_resolver_takes(host: str) -> None:
    with pytest.raises(socket.gaierror):
        Resolver().resolve(host, 9001, timeout=10)


def test_name_that_is_not_known() -> None:
    def lookup(*_: Any, **__: Any) -> list[Any]:
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    resolver = Resolver(lookup)
    for _ in range(2):
        with pytest.raises(socket.gaierror, match="not known"):
            resolver.resolve("nowhere.example", 9001, timeout=10)


class Connected:
    """A TCP connection between two addresses."""

    family = socket.AF_INET

    def __init__(self, here: str, there: str) -> None:
        self.getsockname = lambda: (here, 40000)
        self.getpeername = lambda: (there, 9001)


@pytest.mark.parametrize(
    ("here", "there", "peer"),
    [
        ("127.0.0.1", "127.0.0.1", None),
        ("127.0.0.1", "127.0.0.2", None),
        ("10.0.0.5", "10.0.0.5", None),
        ("10.0.0.5", "10.0.0.7", NOT_HERE),
        ("fe80::1", "fe80::2", NOT_HERE),
    ],
)
def test_who_is_at_the_other_end_of_a_tcp_connection(here: str, there: str, peer: int | None) -> None:
    assert _peer_pid(cast("socket.socket", Connected(here, there))) == peer


VALUES = st.recursive(
    st.integers(-(2**31), 2**31 - 1)
    | st.booleans()
    | st.text(st.characters(min_codepoint=32, exclude_categories=["Cs"])),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(st.characters(min_codepoint=97, max_codepoint=122)), inner),
    max_leaves=20,
)


@settings(deadline=None)
@given(VALUES)
def test_values_come_back_as_they_were(value: object) -> None:
    body = xmlrpc.client.dumps((value,), methodresponse=True).encode()  # type: ignore[arg-type]  # any marshallable value
    assert loads(body) == value


def judged(body: bytes) -> ErrorKind | None:
    """Return the kind of error that a reply gives, None for a value or a fault."""
    try:
        loads(body)
    except SourceError as error:
        return error.kind
    except xmlrpc.client.Fault:
        return None
    return None


@settings(deadline=None)
@given(st.binary() | st.text("<>/valueintstructmemberarraydatafaultparamsmethodResponse123 ").map(str.encode))
def test_garbage_is_called_garbage(body: bytes) -> None:
    assert judged(body) in {None, ErrorKind.GARBAGE}


TAGS = st.sampled_from(
    ["value", "int", "i4", "string", "struct", "member", "name", "array", "data", "fault", "params", "param", "boolean",
     "double", "dateTime.iso8601", "base64", "nil", "bigdecimal", "methodResponse", "methodName"]
)  # fmt: skip


def _element(tag: str, inside: str) -> str:
    return f"<{tag}>{inside}</{tag}>"


@settings(deadline=None)
@given(
    st.recursive(st.text("1a"), lambda inner: st.builds(_element, TAGS, st.lists(inner).map("".join)), max_leaves=30)
)
def test_wellformed_nonsense_is_called_garbage(text: str) -> None:
    assert judged(_element("methodResponse", text).encode()) in {None, ErrorKind.GARBAGE}


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"  \n",
        b'<?xml version="1.0"?><!DOCTYPE a [<!ENTITY b "c">]><methodResponse/>',
        '<?xml version="1.0" encoding="utf-16"?><!DOCTYPE a><methodResponse/>'.encode("utf-16"),
        b"<methodResponse><params></params></methodResponse>",
        b"<methodResponse><params><param><value><int>1</int></value></param><param><value><int>2</int></value></param></params></methodResponse>",
    ],
)
def test_replies_that_are_refused(body: bytes) -> None:
    with pytest.raises(SourceError) as caught:
        loads(body)
    assert caught.value.kind is ErrorKind.GARBAGE


def test_fault_codes() -> None:
    from supervisor.xmlrpc import Faults

    assert fault_kind(Faults.SHUTDOWN_STATE) is ErrorKind.SHUTTING_DOWN
    assert {fault_kind(code) for code in (Faults.UNKNOWN_METHOD, Faults.FAILED, "x")} == {ErrorKind.FAULT}
