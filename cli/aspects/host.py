"""What this host has to offer: ports, a folder, and an environment of our own."""

import errno
import importlib.metadata
import os
import socket
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

from cli.aspects.finding import Finding, Subject
from cli.healthcheck import ask, target
from depthgauge.settings import WebSettings

DISTRIBUTION: Final = "depthgauge"
PACKAGES: Final = ("depthgauge", "exporter", "sink", "cli")


def look_at_ports(daemon: str, settings: WebSettings) -> Sequence[Finding]:
    """Try to listen on each address, and let go of it at once."""
    return [
        _port(Subject(aspect="web", target=f"{daemon} {address}"), settings, address) for address in settings.listen
    ]


def _port(subject: Subject, settings: WebSettings, address: str) -> Finding:
    host, port = target(address)
    if port == 0:
        return subject.ok("a free port will be taken")
    bind_host = address.rpartition(":")[0].strip("[]")
    try:
        found = socket.getaddrinfo(bind_host or None, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
        family, _, _, _, where = found[0]
        with socket.socket(family, socket.SOCK_STREAM) as sock:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            sock.bind(where)
    except OSError as exc:
        if exc.errno == errno.EADDRINUSE:
            if ask(settings, host, port, 1.0) is None:
                return subject.ok("in use by a daemon that says it is healthy")
            return subject.error("in use by another program", "choose another address in web.listen")
        if exc.errno == errno.EACCES:
            return subject.error("this user may not listen there", "choose a port of 1024 or more in web.listen")
        return subject.error(f"cannot listen there: {exc.strerror or exc}", "see web.listen")
    return subject.ok("free")


def look_at_state_dir(folder: Path) -> Sequence[Finding]:
    """Look whether the folder is there and may be written to."""
    subject = Subject(aspect="state_dir", target=str(folder))
    try:
        is_there = folder.is_dir()
    except OSError as exc:
        return [subject.error(f"cannot be looked at: {exc.strerror}", f"let the exporter's user into {folder.parent}")]
    if not is_there:
        return [subject.warning("there is no such folder", f"mkdir -p {folder}, owned by the exporter's user")]
    if not os.access(folder, os.W_OK | os.X_OK, effective_ids=os.access in os.supports_effective_ids):
        return [subject.error("this user may not write to it", f"chown it to the exporter's user: {folder}")]
    return [subject.ok("may be written to")]


def look_at_distributions(provided: Mapping[str, Sequence[str]] | None = None) -> Sequence[Finding]:
    """Look whether another distribution in this environment brings a package of our names: pip does not tell."""
    if provided is None:
        provided = importlib.metadata.packages_distributions()
    subject = Subject(aspect="install", target=DISTRIBUTION)
    findings = [
        subject.error(
            f"the package {name} is brought by {', '.join(others)} too",
            "install depthgauge into an environment of its own",
        )
        for name in PACKAGES
        if (others := sorted({each for each in provided.get(name, ()) if each != DISTRIBUTION}))
    ]
    return findings or [subject.ok("no other distribution brings a package of these names")]
