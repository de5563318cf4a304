"""Free TCP ports on the loopback address."""

import socket


def free_port() -> int:
    """Return a TCP port of 127.0.0.1 that nobody used a moment ago."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
