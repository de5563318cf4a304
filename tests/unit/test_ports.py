"""Ports for servers: two processes are never given the same."""

import socket
import subprocess
import sys
from pathlib import Path

from tests.plugins import ports

TOP = Path(__file__).resolve().parents[2]
PROGRAM = (
    "from tests.plugins.ports import SIZE, free_port; print(*(free_port() for _ in range(SIZE)), flush=True); input()"
)


def test_processes_have_ports_of_their_own() -> None:
    mine = {ports.free_port() for _ in range(ports.SIZE)}
    with subprocess.Popen(
        [sys.executable, "-c", PROGRAM], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=TOP
    ) as other:
        assert other.stdout is not None
        theirs = {int(word) for word in other.stdout.readline().split()}
        other.communicate("\n")
    assert theirs
    assert not mine & theirs


def test_a_port_that_somebody_uses_is_left_out() -> None:
    with socket.socket() as user:
        user.bind(("127.0.0.1", ports.free_port()))
        assert user.getsockname()[1] not in {ports.free_port() for _ in range(ports.SIZE)}


def test_clients_have_other_ports() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server, socket.create_connection(server.getsockname()) as client:
        assert client.getsockname()[1] >= ports.FIRST + ports.BLOCKS * ports.SIZE
