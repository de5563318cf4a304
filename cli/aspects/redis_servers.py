"""Whether each Redis is there and may be read, and which queues are in it."""

import re
import time
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

from cli.aspects.finding import Finding, Subject
from depthgauge.errors import SourceError
from depthgauge.redis_cluster import ClusterLink
from depthgauge.redis_links import AnyLink, link_for
from depthgauge.redis_sentinel import SentinelLink
from depthgauge.resp import Command, Reply, ReplyError
from depthgauge.secrets import masked
from depthgauge.snapshot import RedisQueues
from exporter.queues.active import active_readers, read_systems
from exporter.settings import RedisSettings
from exporter.sources.redis_queues import RedisQueuesSource

TIMEOUT: Final = 10.0
PROBE: Final = "depthgauge:check"
"""A key that is never there; a command is refused for its name before its keys are looked at."""

_DENIED: Final = re.compile(r"NOPERM .*\bto run the\b", re.IGNORECASE)

_ALWAYS: Final = frozenset({"time", "info", "scan", "type"})
_WORDS: Final[Mapping[str, tuple[str | int, ...]]] = {
    "info": ("server",),
    "scan": ("0", "COUNT", 1),
    "time": (),
    "lindex": (PROBE, 0),
    "lrange": (PROBE, 0, 0),
    "zcount": (PROBE, "-inf", 0),
    "zrange": (PROBE, 0, 0),
    "zscore": (PROBE, "x"),
    "sscan": (PROBE, "0"),
    "hscan": (PROBE, "0"),
    "hget": (PROBE, "x"),
    "hmget": (PROBE, "x"),
    "getrange": (PROBE, 0, 0),
    "xrange": (PROBE, "-", "+", "COUNT", 1),
    "xpending": (PROBE, "x"),
    "xinfo|stream": (PROBE,),
    "xinfo|groups": (PROBE,),
    "xinfo|consumers": (PROBE, "x"),
}
"""What stands behind a command so that it does nothing; most take a key alone."""


@dataclass(frozen=True, slots=True)
class Looked:
    """What was found of one Redis, and which server it is."""

    findings: tuple[Finding, ...]
    run_id: str | None = None


def denied(names: Sequence[str], replies: Sequence[Reply]) -> list[str]:
    """Return the names of the commands that this user may not run, whatever the key."""
    return [name for name, reply in zip(names, replies, strict=True) if _is_denied(reply)]


def _is_denied(reply: Reply) -> bool:
    return isinstance(reply, ReplyError) and _DENIED.match(reply.message) is not None


def look(settings: RedisSettings) -> Looked:
    """Connect to one Redis, try the commands that reading needs, and read its queues once. Nothing is written."""
    subject = Subject(aspect="redis", target=settings.name)
    systems = {system.name: system.commands for system in read_systems(settings)}
    names = sorted(_ALWAYS.union(*systems.values()))
    link = link_for(settings.url, connect_timeout=TIMEOUT / 2)
    try:
        replies, findings = _ask(link, names, subject)
    except SourceError as exc:
        return Looked((subject.error(str(exc), f"reason {exc.kind.value}, see docs/redis.md"),))
    finally:
        link.close()
    refused = denied(names, replies)
    answers = dict(zip(names, replies, strict=True))
    if isinstance(answers["time"], ReplyError) and "time" not in refused:
        return Looked(
            (
                *findings,
                subject.error(f"it answers {masked(answers['time'].message)}"),
            )
        )
    if _ALWAYS & set(refused):
        return Looked(
            (
                *findings,
                _may_not(subject, [name for name in refused if name in _ALWAYS]),
            )
        )
    looked, in_use = _read(settings, subject, _version(answers["info"]))
    needed = in_use | {active.reader.system for active in active_readers(settings) if active.always}
    missing = {name: [system for system, commands in systems.items() if name in commands] for name in refused}
    hurting = [name for name, owners in missing.items() if needed.intersection(owners)]
    findings += [_may_not(subject, hurting)] if hurting else []
    others = [name for name in refused if name not in hurting]
    if others:
        owners = ", ".join(dict.fromkeys(system for name in others for system in missing[name]))
        text = f"queues of {owners} would not be found or read: this user may not run {', '.join(others)}"
        hint = f"ACL SETUSER … {_grants(others)}, or name the systems that are in use in redis.systems"
        findings.append(subject.warning(text, hint))
    return Looked((*findings, *looked.findings), looked.run_id)


def _ask(link: AnyLink, names: Sequence[str], subject: Subject) -> tuple[Sequence[Reply], list[Finding]]:
    """Try the commands on every server; return a reply for each, a refusal where one of them refuses, and what else is wrong."""
    commands = [_command(name) for name in names]
    deadline = time.monotonic() + TIMEOUT
    if isinstance(link, ClusterLink):
        return _ask_nodes(link, names, subject, deadline)
    replies = link.exchange(commands, deadline=deadline)
    if not isinstance(link, SentinelLink):
        return replies, []
    told = link.survey(time.monotonic() + TIMEOUT)
    findings = [
        subject.warning(str(each), "see docs/redis.md") for each in told.values() if isinstance(each, SourceError)
    ]
    named = {sentinel: each for sentinel, each in told.items() if isinstance(each, str)}
    if len(set(named.values())) > 1:
        shown = "; ".join(f"{sentinel} names {each}" for sentinel, each in named.items())
        findings.append(subject.warning(f"the sentinels do not agree: {shown}", "a failover under way ends in seconds"))
    return replies, findings


def _ask_nodes(
    link: ClusterLink, names: Sequence[str], subject: Subject, deadline: float
) -> tuple[Sequence[Reply], list[Finding]]:
    told = link.each([_command(name) for name in names], deadline=deadline)
    findings = [subject.error(str(each.error), "see docs/redis.md") for each in told.values() if each.error is not None]
    by_node = {address: each.replies for address, each in told.items() if each.error is None}
    if not by_node:
        raise next(each.error for each in told.values() if each.error is not None)
    refused = {address: denied(names, replies) for address, replies in by_node.items()}
    for address, few in refused.items():
        others = [name for name in few if any(name not in each for each in refused.values())]
        if others:
            text = f"the node {address} alone refuses {', '.join(others)}: each node has users of its own"
            findings.append(subject.error(text, f"ACL SETUSER … {_grants(others)} there, too"))
    columns = zip(*by_node.values(), strict=True)
    return [next((each for each in column if _is_denied(each)), column[0]) for column in columns], findings


def _may_not(subject: Subject, names: Sequence[str]) -> Finding:
    return subject.error(f"this user may not run {', '.join(names)}", f"ACL SETUSER … {_grants(names)}")


def _grants(names: Sequence[str]) -> str:
    return " ".join(f"+{name}" for name in names)


def _command(name: str) -> Command:
    return (*name.upper().split("|"), *_WORDS.get(name, (PROBE,)))


def _version(info: Reply) -> str:
    text = info.decode("utf-8", "replace") if isinstance(info, bytes) else ""
    found = re.search(r"^(valkey|redis)_version:(\S+)", text, re.MULTILINE)
    return f"{found[1].capitalize()} {found[2]}" if found else "Redis"


def _read(settings: RedisSettings, subject: Subject, version: str) -> tuple[Looked, set[str]]:
    source = RedisQueuesSource(settings, clock=lambda: datetime.now(UTC), timeout=TIMEOUT)
    try:
        finished = source.discover_now(time.monotonic() + TIMEOUT)
        part = source.collect()
        problem = source.discovery.problem
    except SourceError as exc:
        return Looked((subject.error(str(exc), f"reason {exc.kind.value}, see docs/redis.md"),)), set()
    finally:
        source.close()
    findings = [subject.ok(f"{masked(settings.url.reveal())} answers: {version}, {_queues(part)}")]
    if not finished:
        findings.append(
            subject.warning("the search for queues takes long: there are many keys", "name the queues in redis.queues")
        )
    if problem is not None:
        findings.append(subject.warning(f"not all queues can be found: {problem}", "name them in redis.queues"))
    if not part.queues:
        findings.append(
            subject.warning(
                "no queue was found",
                "queues show once they have had a job; name those that matter in redis.queues, and check the number of the database",
            )
        )
    broken = [
        f"{queue.system}:{queue.name or ' all queues together'} ({queue.error})" for queue in part.queues if queue.error
    ]
    if broken:
        findings.append(
            subject.warning(f"{len(broken)} queues cannot be read whole: {', '.join(broken[:5])}", "see docs/queues.md")
        )
    return Looked(tuple(findings), part.run_id), {queue.system for queue in part.queues}


def _queues(part: RedisQueues) -> str:
    names: dict[str, list[str]] = defaultdict(list)
    for queue in part.queues:
        # Numbers of all queues together are no queue; of Horizon there is nothing else.
        names[queue.system] += [queue.name] if queue.name else []
    if not names:
        return "no queue"
    return "; ".join(
        f"{system}: {', '.join(sorted(found)[:8]) or 'all queues together'}"
        f"{f' and {len(found) - 8} more' if len(found) > 8 else ''}"
        for system, found in sorted(names.items())
    )
