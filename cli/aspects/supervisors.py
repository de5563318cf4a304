"""Whether each supervisord is there, and whether its processes may be looked at."""

import time
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from cli.aspects.finding import Finding, Subject
from depthgauge.errors import SourceError
from depthgauge.snapshot import ProcessState, Supervisor
from exporter.settings import SupervisorSettings
from exporter.sources.supervisor import SupervisorSource
from exporter.sources.supervisor_rpc import NOT_HERE, Timeouts

SLOW: Final = 1.0
"""Seconds beyond which an answer is worth a word: supervisord can do nothing else meanwhile."""


def look(settings: SupervisorSettings, proc: Path) -> Sequence[Finding]:
    """Ask one supervisord for everything once, and look at the processes of it that run on this host."""
    subject = Subject(aspect="supervisor", target=settings.name)
    source = SupervisorSource(settings, timeouts=Timeouts(), clock=lambda: datetime.now(UTC), monotonic=time.monotonic)
    started = time.monotonic()
    try:
        found = source.collect()
    except SourceError as exc:
        return [subject.error(str(exc), f"reason {exc.kind.value}, see docs/supervisor.md")]
    seconds = time.monotonic() - started
    findings = [subject.ok(_summary(found, settings.url, seconds))]
    if seconds > SLOW:
        findings.append(
            subject.warning(f"it took {seconds:.1f} s to answer", "a longer exporter.interval asks it less often")
        )
    bad = [p for p in found.processes if p.state in {ProcessState.FATAL, ProcessState.BACKOFF}]
    if bad:
        names = ", ".join(f"{process.group}:{process.name}" for process in bad[:5])
        findings.append(subject.warning(f"{len(bad)} processes do not start: {names}", "see their logs"))
    return [*findings, *_processes(found, source.peer_pid, proc)]


def _summary(found: Supervisor, url: str, seconds: float) -> str:
    running = sum(process.state == ProcessState.RUNNING for process in found.processes)
    identity = f" as {found.identification!r}" if found.identification else ""
    return (
        f"{url} answers{identity}: supervisor {found.version or '?'}, RPC {found.api_version or '?'}, "
        f"{running} of {len(found.processes)} processes running, {seconds * 1000:.0f} ms"
    )


def _processes(found: Supervisor, peer_pid: int | None, proc: Path) -> Sequence[Finding]:
    subject = Subject(aspect="processes", target=found.name)
    if peer_pid == NOT_HERE:
        return [subject.ok("on another host (or container): their resources are left out")]
    pids = [process.pid for process in found.processes if process.pid is not None]
    hidden = [pid for pid in pids if not (proc / str(pid) / "stat").exists()]
    if hidden:
        return [
            subject.warning(
                f"{len(hidden)} of {len(pids)} processes cannot be seen in {proc}: their resources are left out",
                "share the pid namespace with supervisord, and mount /proc without hidepid",
            )
        ]
    closed = [pid for pid in pids if not _lists(proc / str(pid) / "fd")]
    if closed:
        return [
            subject.warning(
                f"open files of {len(closed)} of {len(pids)} processes cannot be counted",
                "run the exporter as the same user as the programs, or give it CAP_SYS_PTRACE",
            )
        ]
    return [subject.ok(f"{len(pids)} processes can be looked at")]


def _lists(folder: Path) -> bool:
    try:
        next(folder.iterdir(), None)
    except PermissionError:
        return False
    except OSError:
        # It has ended meanwhile.
        return True
    return True
