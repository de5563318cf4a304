"""Whether the exporter can keep on disk what the bus does not take."""

import os
import shutil
from collections.abc import Sequence
from pathlib import Path

from cli.aspects.finding import Finding, Subject
from exporter import spool_files
from exporter.settings import ExporterSettings
from exporter.spool import LOCK, SPOOL

_MIB = 1 << 20


def look(settings: ExporterSettings) -> Sequence[Finding]:
    """Look at the folder of the spool; nothing is made or changed."""
    if settings.state_dir is None:
        return [
            Subject(aspect="spool", target="none").warning(
                "while the bus is away snapshots wait in memory only, and are lost when the exporter ends",
                "set exporter.state_dir",
            )
        ]
    folder = settings.state_dir / SPOOL
    subject = Subject(aspect="spool", target=str(folder))
    try:
        there = folder if folder.is_dir() else settings.state_dir
        if not there.is_dir():
            return [
                subject.warning("exporter.state_dir is not there", f"mkdir -p {there}, owned by the exporter's user")
            ]
        if not os.access(there, os.W_OK | os.X_OK, effective_ids=os.access in os.supports_effective_ids):
            return [subject.error("this user may not write to it", f"chown it to the exporter's user: {there}")]
        held = _is_held(folder / LOCK)
        used = sum(path.stat().st_size for path in folder.glob(f"*{spool_files.SUFFIX}"))
        free = shutil.disk_usage(there).free
    except OSError as exc:
        return [subject.error(f"cannot be looked at: {exc.strerror}", f"let the exporter's user into {folder}")]
    if free + used < settings.spool_max_bytes:
        return [
            subject.warning(
                f"it may take {_mib(settings.spool_max_bytes)}, and the disk has {_mib(free + used)} for it",
                "make room, or set exporter.spool_max_bytes lower",
            )
        ]
    what = f"may be written to, {_mib(used)} of {_mib(settings.spool_max_bytes)} used"
    if held:
        return [subject.ok(f"{what}; an exporter has it now, and a second one would go without a spool")]
    return [subject.ok(what)]


def _is_held(path: Path) -> bool:
    try:
        os.close(spool_files.lock(path, create=False))
    except BlockingIOError:
        return True
    except FileNotFoundError:
        return False
    return False


def _mib(size: int) -> str:
    return f"{size / _MIB:.4g} MiB"
