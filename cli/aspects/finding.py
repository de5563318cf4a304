"""What a check found, and how checks are kept from harming each other."""

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from enum import StrEnum
from typing import TypeAlias

from depthgauge.secrets import masked


class Status(StrEnum):
    """How bad it is."""

    OK = "ok"
    WARNING = "warning"
    ERROR = "error"


@dataclass(frozen=True, kw_only=True, slots=True)
class Finding:
    """One thing that was looked at."""

    aspect: str
    """What kind of thing: config, supervisor, redis …"""
    target: str
    """Which one."""
    status: Status
    message: str
    hint: str | None = None
    """What to do about it."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Subject:
    """What findings are about; makes them."""

    aspect: str
    target: str

    def ok(self, message: str) -> Finding:
        """Return a finding that all is well."""
        return Finding(aspect=self.aspect, target=self.target, status=Status.OK, message=message)

    def warning(self, message: str, hint: str | None = None) -> Finding:
        """Return a finding that something may be wrong."""
        return Finding(aspect=self.aspect, target=self.target, status=Status.WARNING, message=message, hint=hint)

    def error(self, message: str, hint: str | None = None) -> Finding:
        """Return a finding that something is wrong."""
        return Finding(aspect=self.aspect, target=self.target, status=Status.ERROR, message=message, hint=hint)


Look: TypeAlias = Callable[[], Sequence[Finding]]


def run_all(looks: Sequence[tuple[Subject, Look]]) -> list[Finding]:
    """Run the checks side by side and return their findings in order; one that breaks is an error of its own."""
    with ThreadPoolExecutor(max_workers=8, thread_name_prefix="check") as pool:
        futures = [pool.submit(_guarded, subject, look) for subject, look in looks]
        return [finding for future in futures for finding in future.result()]


def _guarded(subject: Subject, look: Look) -> Sequence[Finding]:
    try:
        return look()
    except Exception as exc:  # noqa: BLE001  a check that breaks must not hide what the others found
        return [
            subject.error(f"the check itself failed: {type(exc).__name__}: {masked(str(exc))}", "please report this")
        ]
