"""Whether a supervisord has an event listener, and whether it lives: nobody has to have one."""

from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from cli.aspects.finding import Finding, Subject
from exporter.event_log import LogFolder
from exporter.event_reader import LogReader

PAGE: Final = "docs/supervisor.md, Exact events"


def look(supervisor: str, state_dir: Path | None, *, has_bus: bool) -> Sequence[Finding]:
    """Look for the sign of life that ``depthgauge listen`` leaves."""
    subject = Subject(aspect="listener", target=supervisor)
    if state_dir is None or not has_bus:
        missing = "state_dir in [exporter]" if state_dir is None else "a [bus]"
        return [subject.ok(f"not read without {missing}: state changes are found by comparing readings")]
    folder = LogFolder(state_dir, supervisor)
    try:
        touched = datetime.fromtimestamp(folder.alive.stat().st_mtime, UTC)
    except FileNotFoundError:
        return [subject.ok(f"none: state changes are found by comparing readings; for exact ones see {PAGE}")]
    except OSError as exc:
        return [
            subject.warning(
                f"cannot be looked at: {exc.strerror} ({exc.filename})",
                "let depthgauge listen and the exporter run as the same user",
            )
        ]
    if LogReader(folder, supervisor).is_alive(datetime.now(UTC)):
        return [subject.ok("alive: it tells state changes exactly")]
    return [
        subject.warning(
            f"no sign of life since {touched:%Y-%m-%d %H:%M:%S} UTC: state changes are found by comparing readings",
            f"supervisorctl status, and its log; if it is not wanted any more, delete {folder.alive}",
        )
    ]
