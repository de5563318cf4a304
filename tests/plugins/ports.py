"""Free TCP ports on the loopback address, for servers that have to be told theirs."""

import functools
import itertools
import socket
from collections.abc import Iterator
from typing import Final

FIRST: Final = 12_000
SIZE: Final = 400
BLOCKS: Final = 50
"""All of them lie below the ports that the kernel gives to whoever asks for any: no client's connection can take one."""


def free_port() -> int:
    """Return a TCP port of 127.0.0.1 that nobody uses, and that no other test process of this machine is given."""
    for port in itertools.islice(_own_ports(), SIZE):
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
        return port
    raise AssertionError(f"all {SIZE} ports of this process are used")


@functools.cache
def _own_ports() -> Iterator[int]:
    """Take some ports for the life of this process, and go round in them, so that one comes again as late as can be.

    They are held by a name in the kernel, of which there is one in each network, and which ends as the process does.
    """
    for first in range(FIRST, FIRST + BLOCKS * SIZE, SIZE):
        with socket.socket(socket.AF_UNIX) as name:
            try:
                name.bind(f"\0depthgauge-test-ports-{first}")
            except OSError:
                continue
            name.detach()
        return itertools.cycle(range(first, first + SIZE))
    raise AssertionError(f"{BLOCKS} test processes have all ports between them")
