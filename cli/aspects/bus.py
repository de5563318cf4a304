"""What the bus lets us do, whether it keeps what is written, and whether all hosts mean one Redis by one name."""

import time
from collections.abc import Collection, Mapping, Sequence
from typing import Final

from cli.aspects.finding import Finding, Subject
from cli.aspects.redis_servers import PROBE, TIMEOUT, denied
from cli.schema import Role
from depthgauge.errors import CorruptEntry, ErrorKind, SourceError
from depthgauge.redis_link import kind_of_code
from depthgauge.redis_links import AnyLink, link_for
from depthgauge.resp import Command, Reply, ReplyError
from depthgauge.secrets import masked
from depthgauge.settings import BusSettings
from depthgauge.stream import GROUP, HOSTS, LATEST_PREFIX, unpack
from exporter.bus_check import eviction_refusal, keeps_data

MAX_HOSTS: Final = 200

_WRITES: Final[Mapping[Role, tuple[Command, ...]]] = {
    # Each of these changes nothing where the key is not there.
    Role.EXPORTER: (
        ("XADD", PROBE, "NOMKSTREAM", "*", "v", "0"),
        ("SET", PROBE, "", "XX", "PX", 1),
        ("GET", PROBE),
        ("DEL", PROBE),
        ("PEXPIRE", PROBE, 1),
        ("ZADD", PROBE, "XX", 0, ""),
        ("MEMORY", "USAGE", PROBE),
        ("WATCH", PROBE),
        ("UNWATCH",),
        ("MULTI",),
        ("EXEC",),
    ),
    Role.SINK: (
        ("XREADGROUP", "GROUP", GROUP, "check", "COUNT", 1, "STREAMS", PROBE, ">"),
        ("XAUTOCLAIM", PROBE, GROUP, "check", 1, "0", "COUNT", 1),
        ("XGROUP", "CREATE", PROBE, GROUP, "0"),
        ("XGROUP", "DELCONSUMER", PROBE, GROUP, "check"),
        ("XINFO", "CONSUMERS", PROBE, GROUP),
        ("MEMORY", "USAGE", PROBE),
        ("XACK", PROBE, GROUP, "0-1"),
        ("XDEL", PROBE, "0-1"),
        ("XLEN", PROBE),
        ("XRANGE", PROBE, "0-1", "0-1"),
        ("XPENDING", PROBE, GROUP),
        ("XADD", PROBE, "NOMKSTREAM", "*", "v", "0"),
        ("MULTI",),
        ("EXEC",),
    ),
}
_FATAL: Final = frozenset({ErrorKind.READ_ONLY, ErrorKind.OUT_OF_MEMORY, ErrorKind.LOADING})


def look(settings: BusSettings, roles: Collection[Role], run_ids: Mapping[str, str]) -> Sequence[Finding]:
    """Look at the bus as these roles use it; ``run_ids`` tells which server each Redis's name means here.

    Nothing is written: the commands tried are such that change nothing where their key is not there.
    """
    subject = Subject(aspect="bus", target=masked(settings.url.reveal()))
    link = link_for(settings.url, connect_timeout=TIMEOUT / 2)
    try:
        return _look(link, settings, roles, run_ids, subject)
    except SourceError as exc:
        return [subject.error(str(exc), f"reason {exc.kind.value}, see docs/bus.md")]
    finally:
        link.close()


def _look(
    link: AnyLink, settings: BusSettings, roles: Collection[Role], run_ids: Mapping[str, str], subject: Subject
) -> Sequence[Finding]:
    commands: list[Command] = list(dict.fromkeys(c for role, few in _WRITES.items() if role in roles for c in few))
    commands = [("PING",), ("INFO", "memory"), ("INFO", "persistence"), *commands]
    replies = link.exchange(commands, deadline=time.monotonic() + TIMEOUT)
    refused = denied([str(command[0]).lower() for command in commands], replies)
    if refused:
        grants = " ".join(f"+{name}" for name in dict.fromkeys(refused))
        return [
            subject.error(
                f"this user may not run {', '.join(dict.fromkeys(refused))}", f"ACL SETUSER … ~depthgauge:* {grants}"
            )
        ]
    for reply in replies:
        if isinstance(reply, ReplyError) and (kind_of_code(reply.code) in _FATAL or reply.code == "NOPERM"):
            return [subject.error(f"it cannot be written to: {reply.message}", "see docs/bus.md")]
    findings = [subject.ok("it answers and may be used")]
    refusal = eviction_refusal(_info(replies[1]))
    if refusal is not None:
        make = subject.warning if settings.allow_eviction else subject.error
        findings = [make(refusal.message)]
    if not keeps_data(_info(replies[2])):
        findings.append(
            subject.warning(
                "it keeps nothing on disk: snapshots that no sink has read are lost when it restarts",
                "set appendonly yes on that Redis",
            )
        )
    return [*findings, *_names(link, run_ids)]


def _info(reply: Reply) -> dict[str, object]:
    text = reply.decode("utf-8", "replace") if isinstance(reply, bytes) else ""
    pairs = (line.partition(":") for line in text.splitlines() if ":" in line)
    return {name: int(value) if value.lstrip("-").isdigit() else value for name, _, value in pairs}


def _names(link: AnyLink, run_ids: Mapping[str, str]) -> Sequence[Finding]:
    """Compare what each Redis's name means here with what it means in the latest snapshots of all hosts."""
    if not run_ids:
        return []
    (hosts,) = link.exchange([("ZREVRANGE", HOSTS, 0, MAX_HOSTS - 1)], deadline=time.monotonic() + TIMEOUT)
    if isinstance(hosts, ReplyError):
        subject = Subject(aspect="bus", target="names")
        return [subject.warning(f"cannot see what other hosts call their servers: {hosts.message}", "ACL … +zrevrange")]
    if not isinstance(hosts, list) or not hosts:
        return []
    asked: list[Command] = [("GET", LATEST_PREFIX.encode() + host) for host in hosts if isinstance(host, bytes)]
    found: list[Finding] = []
    for body in link.exchange(asked, deadline=time.monotonic() + TIMEOUT):
        if not isinstance(body, bytes):
            continue
        try:
            snapshot = unpack(body)
        except CorruptEntry:
            continue
        for part in snapshot.queues:
            here = run_ids.get(part.redis)
            if here is not None and part.run_id is not None and part.run_id != here:
                found.append(
                    Subject(aspect="redis", target=part.redis).warning(
                        f"host {snapshot.host} means another server by this name (run id {part.run_id[:8]}…, here {here[:8]}…)",
                        "one name is one server in the whole fleet: rename one of them (after a restart of Redis this may "
                        "show for a moment)",
                    )
                )
    return found
