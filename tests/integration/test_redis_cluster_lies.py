"""Nodes of a cluster that tell what no node does."""

import time
from collections.abc import Callable, Iterator
from typing import TypeAlias

import pytest

from depthgauge.errors import ErrorKind, SourceError
from depthgauge.redis_cluster import ClusterLink
from depthgauge.resp import Command, Reply, ReplyError
from depthgauge.secrets import Secret
from tests.plugins.redis_sentinel import MakePretender

OK = b"+OK\r\n"
"""What a server says to CLIENT SETNAME."""
Ask: TypeAlias = Callable[[int, Command], list[Reply]]


@pytest.fixture
def ask() -> Iterator[Ask]:
    """Give a function that sends a command to the cluster that has a node at a port."""
    links: list[ClusterLink] = []

    def send(port: int, command: Command) -> list[Reply]:
        links.append(ClusterLink(Secret(f"redis+cluster://127.0.0.1:{port}"), connect_timeout=3))
        return links[-1].exchange([command], deadline=time.monotonic() + 3)

    yield send
    for link in links:
        link.close()


def test_endless_redirection_ends(ask: Ask, pretend: MakePretender) -> None:
    alone = b"*1\r\n*3\r\n:0\r\n:16383\r\n*2\r\n$9\r\n127.0.0.1\r\n:{port}\r\n"
    liar = pretend(OK, alone, *[b"-MOVED 1 :{port}\r\n"] * 20)
    assert ask(liar.port, ("LLEN", "x")) == [ReplyError("MOVED", f"MOVED 1 :{liar.port}")]


@pytest.mark.parametrize(
    "answer",
    [b"HTTP/1.1 400\r\n\r\n", b":1\r\n", b"*1\r\n$1\r\nx\r\n", b"*0\r\n", b"*1\r\n*2\r\n:1\r\n:2\r\n", b"*9999999\r\n"],
)
def test_garbage_instead_of_a_map(answer: bytes, ask: Ask, pretend: MakePretender) -> None:
    port = pretend(OK, answer).port
    with pytest.raises(SourceError, match=f"127.0.0.1:{port}") as caught:
        ask(port, ("TIME",))
    assert caught.value.kind is (ErrorKind.UNREACHABLE if answer == b"*0\r\n" else ErrorKind.GARBAGE)
