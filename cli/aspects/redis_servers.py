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
from exporter.settings import RedisSettings
from exporter.sources.redis_queues import RedisQueuesSource

TIMEOUT: Final = 10.0
PROBE: Final = "depthgauge:check"
"""A key that is never there; a command is refused for its name before its keys are looked at."""

_DENIED: Final = re.compile(r"NOPERM .*\bto run the\b", re.IGNORECASE)

_ALWAYS: Final[tuple[Command, ...]] = (
    ("TIME",),
    ("INFO", "server"),
    ("SCAN", "0", "COUNT", 1),
    ("TYPE", PROBE),
)
_BY_SYSTEM: Final[Mapping[str, tuple[Command, ...]]] = {
    "laravel": (
        ("LLEN", PROBE),
        ("LINDEX", PROBE, 0),
        ("ZCARD", PROBE),
        ("ZCOUNT", PROBE, "-inf", 0),
        ("ZRANGE", PROBE, 0, 0),
    ),
    "rq": (
        ("LLEN", PROBE),
        ("LRANGE", PROBE, 0, 0),
        ("ZCARD", PROBE),
        ("ZCOUNT", PROBE, "-inf", 0),
        ("ZRANGE", PROBE, 0, 0),
        ("SCARD", PROBE),
        ("SMEMBERS", PROBE),
        ("SSCAN", PROBE, "0"),
        ("HMGET", PROBE, "state"),
        ("EXISTS", PROBE),
    ),
    "list": (("LLEN", PROBE), ("LINDEX", PROBE, 0)),
    "zset": (("ZCARD", PROBE), ("ZCOUNT", PROBE, "-inf", 0), ("ZRANGE", PROBE, 0, 0)),
}


@dataclass(frozen=True, slots=True)
class Looked:
    """What was found of one Redis, and which server it is."""

    findings: tuple[Finding, ...]
    run_id: str | None = None


def denied(commands: Sequence[Command], replies: Sequence[Reply]) -> list[str]:
    """Return the names of the commands that this user may not run, whatever the key."""
    return [
        str(command[0]).lower()
        for command, reply in zip(commands, replies, strict=True)
        if isinstance(reply, ReplyError) and _DENIED.match(reply.message)
    ]


def look(settings: RedisSettings) -> Looked:
    """Connect to one Redis, try the commands that reading needs, and read its queues once. Nothing is written."""
    subject = Subject(aspect="redis", target=settings.name)
    commands = _needed(settings)
    link = link_for(settings.url, connect_timeout=TIMEOUT / 2)
    try:
        answers, findings = _ask(link, commands, subject)
    except SourceError as exc:
        return Looked((subject.error(str(exc), f"reason {exc.kind.value}, see docs/redis.md"),))
    finally:
        link.close()
    version = "Redis"
    for where, replies in answers.items():
        refused = denied(commands, replies)
        if refused:
            grants = " ".join(f"+{name}" for name in refused)
            text = f"this user may not run {', '.join(refused)}{where}"
            return Looked((*findings, subject.error(text, f"ACL SETUSER … {grants}{where}")))
        if isinstance(replies[0], ReplyError):
            return Looked((*findings, subject.error(f"it answers {masked(replies[0].message)}{where}")))
        version = _version(replies[1])
    looked = _read(settings, subject, version)
    return Looked((*findings, *looked.findings), looked.run_id)


def _ask(
    link: AnyLink, commands: Sequence[Command], subject: Subject
) -> tuple[Mapping[str, Sequence[Reply]], list[Finding]]:
    """Return the replies by server (empty for the only one), and what is wrong with some of several servers or sentinels."""
    deadline = time.monotonic() + TIMEOUT
    if isinstance(link, ClusterLink):
        told = link.each(commands, deadline=deadline)
        broken = [
            subject.error(str(each.error), "see docs/redis.md") for each in told.values() if each.error is not None
        ]
        return {f" on the node {where}": each.replies for where, each in told.items() if each.error is None}, broken
    answers = {"": link.exchange(commands, deadline=deadline)}
    if not isinstance(link, SentinelLink):
        return answers, []
    named = link.survey(time.monotonic() + TIMEOUT)
    findings = [
        subject.warning(str(each), "see docs/redis.md") for each in named.values() if isinstance(each, SourceError)
    ]
    if len({each for each in named.values() if isinstance(each, str)}) > 1:
        shown = "; ".join(f"{sentinel} names {each}" for sentinel, each in named.items() if isinstance(each, str))
        findings.append(subject.warning(f"the sentinels do not agree: {shown}", "a failover under way ends in seconds"))
    return answers, findings


def _needed(settings: RedisSettings) -> list[Command]:
    systems = set(settings.systems) if "auto" not in settings.systems else {"laravel", "rq"}
    systems |= {"list"} if settings.lists else set()
    systems |= {"zset"} if settings.sorted_sets else set()
    commands = dict.fromkeys(_ALWAYS)
    for system in sorted(systems):
        commands |= dict.fromkeys(_BY_SYSTEM[system])
    return list(commands)


def _version(info: Reply) -> str:
    text = info.decode("utf-8", "replace") if isinstance(info, bytes) else ""
    found = re.search(r"^(valkey|redis)_version:(\S+)", text, re.MULTILINE)
    return f"{found[1].capitalize()} {found[2]}" if found else "Redis"


def _read(settings: RedisSettings, subject: Subject, version: str) -> Looked:
    source = RedisQueuesSource(settings, clock=lambda: datetime.now(UTC), timeout=TIMEOUT)
    try:
        finished = source.discover_now(time.monotonic() + TIMEOUT)
        part = source.collect()
        problem = source.discovery.problem
    except SourceError as exc:
        return Looked((subject.error(str(exc), f"reason {exc.kind.value}, see docs/redis.md"),))
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
    broken = [f"{queue.system}:{queue.name} ({queue.error})" for queue in part.queues if queue.error]
    if broken:
        findings.append(
            subject.warning(f"{len(broken)} queues cannot be read whole: {', '.join(broken[:5])}", "see docs/queues.md")
        )
    return Looked(tuple(findings), part.run_id)


def _queues(part: RedisQueues) -> str:
    names: dict[str, list[str]] = defaultdict(list)
    for queue in part.queues:
        names[queue.system].append(queue.name)
    if not names:
        return "no queue"
    return "; ".join(
        f"{system}: {', '.join(sorted(found)[:8])}{f' and {len(found) - 8} more' if len(found) > 8 else ''}"
        for system, found in sorted(names.items())
    )
