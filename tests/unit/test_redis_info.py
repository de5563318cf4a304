"""INFO, judged without a server: what no real one would ever send."""

import socket
import threading
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from typing import TypeAlias

import pytest
from hypothesis import given
from hypothesis import strategies as st

from depthgauge.errors import ErrorKind, SourceError
from depthgauge.secrets import Secret
from exporter.settings import RedisSettings
from exporter.sources.redis_server import MAX_INFO, Info, RedisServerSource

SOUND = b"# Server\r\nredis_version:7.0.15\r\nrun_id:abc\r\n"

Answers: TypeAlias = Callable[..., RedisServerSource]


@pytest.fixture
def answering() -> Iterator[Answers]:
    """Give a function that makes a source whose server answers each request with one of these."""
    listeners: list[socket.socket] = []
    sources: list[RedisServerSource] = []

    def make(*answers: bytes) -> RedisServerSource:
        listener = socket.create_server(("127.0.0.1", 0))
        listeners.append(listener)

        def serve() -> None:
            client, _ = listener.accept()
            with client:
                # The first request is the link's own, to set its name.
                for answer in (b"+OK\r\n", *answers):
                    client.recv(65_536)
                    client.sendall(answer)
                client.recv(65_536)

        threading.Thread(target=serve, daemon=True).start()
        url = Secret(f"redis://127.0.0.1:{listener.getsockname()[1]}/0")
        source = RedisServerSource(RedisSettings(name="r", url=url), clock=lambda: datetime.now(UTC), timeout=5)
        sources.append(source)
        return source

    yield make
    for source in sources:
        source.close()
    for listener in listeners:
        listener.close()


def bulk(text: bytes) -> bytes:
    return b"$%d\r\n%b\r\n" % (len(text), text)


def test_what_a_server_does_not_tell_is_unknown(answering: Answers) -> None:
    part = answering(bulk(SOUND), b"+PONG\r\n").collect()
    assert (part.version, part.run_id) == ("7.0.15", "abc")
    assert (part.role, part.clients, part.keys, part.hits_total, part.hit_ratio) == (None, None, None, None, None)
    told = answering(bulk(SOUND + b"# Keyspace\r\n"), b"+PONG\r\n").collect()
    assert told.keys == 0


@pytest.mark.parametrize(
    ("answer", "kind"),
    [
        (b"+OK\r\n", None),
        (b":1\r\n", ErrorKind.GARBAGE),
        (b"*0\r\n", ErrorKind.GARBAGE),
        (b"$-1\r\n", ErrorKind.GARBAGE),
        (bulk(b""), ErrorKind.GARBAGE),
        (bulk(b"# Server\r\nrun_id:abc\r\n"), ErrorKind.GARBAGE),
        (bulk(SOUND + b"no field\r\n"), ErrorKind.GARBAGE),
        (bulk(SOUND + b"role:\xff\r\n"), ErrorKind.GARBAGE),
        (bulk(SOUND + b"used_memory:-1\r\n"), ErrorKind.GARBAGE),
        (bulk(SOUND + b"used_memory:1e3\r\n"), ErrorKind.GARBAGE),
        (bulk(SOUND + b"used_memory:%d\r\n" % 2**63), ErrorKind.GARBAGE),
        (bulk(SOUND + "used_memory:٣\r\n".encode()), ErrorKind.GARBAGE),
        (bulk(SOUND + b"# Keyspace\r\ndb0:expires=0\r\n"), ErrorKind.GARBAGE),
        (bulk(b"x" * (MAX_INFO + 1)), ErrorKind.TOO_LARGE),
        (b"-LOADING Redis is loading the dataset in memory\r\n", ErrorKind.LOADING),
        (b"-ERR unknown command 'INFO'\r\n", ErrorKind.FAULT),
    ],
)
def test_garbage_is_told_from_an_answer(answer: bytes, kind: ErrorKind | None, answering: Answers) -> None:
    with pytest.raises(SourceError) as caught:
        answering(answer, b"+PONG\r\n").collect()
    assert caught.value.kind is (kind or ErrorKind.GARBAGE)
    assert "INFO" in str(caught.value)


def test_texts_are_made_safe(answering: Answers) -> None:
    part = answering(bulk(SOUND + b"role:ma\x00ster\r\n"), b"+PONG\r\n").collect()
    assert part.role is not None
    assert "\x00" not in part.role


def test_a_server_that_only_loads_is_not_up(answering: Answers) -> None:
    with pytest.raises(SourceError) as caught:
        answering(bulk(SOUND), b"-LOADING wait\r\n").collect()
    assert caught.value.kind is ErrorKind.LOADING


@given(st.binary(max_size=300) | st.binary(max_size=100).map(lambda tail: SOUND + tail))
def test_anything_is_info_or_none(raw: bytes) -> None:
    try:
        info = Info(raw)
    except ValueError:
        return
    assert info.text("redis_version") is None or isinstance(info.text("redis_version"), str)
