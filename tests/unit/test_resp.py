"""The bounded exchange, on a socket pair whose other end sends what we like."""

import contextlib
import socket
import threading
import time
from collections.abc import Iterator
from types import SimpleNamespace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from depthgauge import resp
from depthgauge.errors import ErrorKind, SourceError
from depthgauge.resp import Command, Reply, ReplyError, TooLarge, exchange, pack


class Wire:
    """A client's connection (``connection``) and the server's end of it."""

    def __init__(self) -> None:
        client, self.server = socket.socketpair()
        self.connection = SimpleNamespace(_sock=client)
        self._threads: list[threading.Thread] = []

    def send(self, *chunks: bytes, pause: float = 0.0) -> None:
        """Send the chunks in the background, as far as the client takes them."""

        def run() -> None:
            for chunk in chunks:
                try:
                    self.server.sendall(chunk)
                except OSError:
                    return
                time.sleep(pause)

        self._threads.append(threading.Thread(target=run))
        self._threads[-1].start()

    def ask(self, count: int = 1, *, seconds: float = 5.0, max_bulk: int = resp.MAX_BULK) -> list[Reply]:
        commands: list[Command] = [("PING",)] * count
        return exchange(self.connection, commands, deadline=time.monotonic() + seconds, max_bulk=max_bulk)

    def close(self) -> None:
        self.connection._sock.close()
        self.server.close()
        for thread in self._threads:
            thread.join(10)


@pytest.fixture
def wire() -> Iterator[Wire]:
    made = Wire()
    yield made
    made.close()


def test_commands_are_packed_as_redis_wants_them() -> None:
    assert pack([("GET", b"\x00\xff", 5, 1.5), ("PING",)]) == (
        b"*4\r\n$3\r\nGET\r\n$2\r\n\x00\xff\r\n$1\r\n5\r\n$3\r\n1.5\r\n*1\r\n$4\r\nPING\r\n"
    )


def test_text_is_packed_by_its_bytes() -> None:
    assert pack([("GET", "größe")]) == b"*2\r\n$3\r\nGET\r\n$7\r\ngr\xc3\xb6\xc3\x9fe\r\n"


def test_all_kinds_of_replies(wire: Wire) -> None:
    wire.send(
        b"+OK\r\n:-7\r\n$3\r\na\r\n\r\n$-1\r\n$0\r\n\r\n*-1\r\n*0\r\n*2\r\n:1\r\n*1\r\n$1\r\nx\r\n-ERR no such thing\r\n"
    )
    assert wire.ask(9) == [
        b"OK",
        -7,
        b"a\r\n",
        None,
        b"",
        None,
        [],
        [1, [b"x"]],
        ReplyError("ERR", "ERR no such thing"),
    ]


def test_replies_may_come_a_byte_at_a_time(wire: Wire) -> None:
    wire.send(*(bytes([byte]) for byte in b"*2\r\n$5\r\nab\r\nc\r\n:12\r\n"))
    assert wire.ask() == [[b"ab\r\nc", 12]]


def test_a_reply_that_is_too_large_is_read_past(wire: Wire) -> None:
    wire.send(b"$3000000\r\n", b"x" * 3_000_000, b"\r\n:1\r\n")
    assert wire.ask(2) == [TooLarge(3_000_000), 1]


def test_a_large_reply_inside_an_array_is_read_past(wire: Wire) -> None:
    wire.send(b"*2\r\n$100\r\n" + b"x" * 100 + b"\r\n$1\r\n5\r\n")
    assert wire.ask(max_bulk=10) == [[TooLarge(100), b"5"]]


def test_the_sum_of_all_replies_is_bounded(wire: Wire, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(resp, "MAX_TOTAL", 250)
    wire.send(*[b"$100\r\n" + b"x" * 100 + b"\r\n"] * 3, b"$2\r\nok\r\n")
    assert wire.ask(4) == [b"x" * 100, b"x" * 100, TooLarge(100), b"ok"]


@pytest.mark.parametrize(
    "garbage",
    [
        b"HTTP/1.1 400 Bad Request\r\n",
        b"\r\n",
        b":x\r\n",
        b"$x\r\n",
        b"$-2\r\n",
        b"*x\r\n",
        b"*99999999\r\n",
        b"*1\r\n" * 50,
        b"%1\r\n+a\r\n+b\r\n",
        b"x" * 100_000,
    ],
)
def test_what_is_no_protocol_is_garbage(wire: Wire, garbage: bytes) -> None:
    wire.send(garbage)
    with pytest.raises(SourceError) as caught:
        wire.ask()
    assert caught.value.kind is ErrorKind.GARBAGE


def test_the_items_of_all_arrays_together_are_bounded(wire: Wire, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(resp, "_MAX_ITEMS", 5)
    wire.send(b"*3\r\n:1\r\n:1\r\n:1\r\n*3\r\n:1\r\n:1\r\n:1\r\n")
    with pytest.raises(SourceError, match="larger than we asked for"):
        wire.ask(2)


def test_the_deadline_holds_against_silence(wire: Wire) -> None:
    started = time.monotonic()
    with pytest.raises(TimeoutError):
        wire.ask(seconds=0.2)
    assert time.monotonic() - started < 2


def test_the_deadline_holds_against_a_byte_now_and_then(wire: Wire) -> None:
    wire.send(b"$1000\r\n", *[b"x"] * 60, pause=0.02)
    started = time.monotonic()
    with pytest.raises(TimeoutError):
        wire.ask(seconds=0.3)
    assert time.monotonic() - started < 1


def test_the_deadline_holds_while_a_large_reply_is_read_past(wire: Wire) -> None:
    wire.send(b"$5000000\r\n", *[b"x"] * 60, pause=0.02)
    with pytest.raises(TimeoutError):
        wire.ask(seconds=0.3)


def test_the_deadline_holds_while_sending(wire: Wire) -> None:
    with pytest.raises(TimeoutError):
        exchange(wire.connection, [("SET", "k", b"x" * 50_000_000)], deadline=time.monotonic() + 0.2)


def test_a_closed_connection_is_an_error(wire: Wire) -> None:
    wire.send(b"*2\r\n:1\r\n")
    wire.server.shutdown(socket.SHUT_WR)
    with pytest.raises((ConnectionResetError, BrokenPipeError)):
        wire.ask()
    with pytest.raises(ConnectionResetError):
        exchange(SimpleNamespace(_sock=None), [("PING",)], deadline=time.monotonic() + 1)


@given(st.binary(max_size=60))
def test_no_bytes_hang_or_break_it(data: bytes) -> None:
    wire = Wire()
    try:
        wire.server.sendall(data)
        wire.server.shutdown(socket.SHUT_WR)
        with contextlib.suppress(ConnectionResetError):  # the data ended in the middle of a reply
            try:
                (reply,) = wire.ask()
            except SourceError as exc:
                kind = exc.kind
            else:
                kind = ErrorKind.GARBAGE
                assert reply is None or isinstance(reply, int | bytes | list | ReplyError | TooLarge)
            assert kind is ErrorKind.GARBAGE
    finally:
        wire.close()
