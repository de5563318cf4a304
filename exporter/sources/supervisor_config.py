"""The commands in supervisord's own settings, for processes whose command lines cannot be read here.

``getAllConfigInfo`` (supervisor/rpcinterface.py of 4.3.0) has one struct a process, as written in supervisord.conf with
its ``%(…)s`` filled in, and not split into words. It costs supervisord more than a reading of all processes, and changes
seldom: it is asked for when there are other processes than before or another supervisord, and a while after a process
was started anew, since its command may have been changed meanwhile. The answers are never logged: they may hold secrets.
"""

import logging
from collections.abc import Callable, Mapping
from typing import Any, Final, NamedTuple

import msgspec

from depthgauge.errors import ErrorKind, SourceError
from depthgauge.names import clean
from exporter.sources.rpc_reply import UNKNOWN_METHOD, fault_kind
from exporter.sources.supervisor_rpc import RpcClient

SOONEST: Final = 60.0
"""Seconds between two questions."""
AFTER_STARTS: Final = 300.0
"""Seconds between two questions about the same processes, one of which was started since, or after a failure."""
LEAST: Final = 0.2
"""Seconds that have to be left of the reading's own time."""

_CALL: Final = [{"methodName": "supervisor.getAllConfigInfo", "params": []}]

log = logging.getLogger(__name__)

Key = tuple[str, str]
"""Group and name of a process, cleaned."""


class _Config(msgspec.Struct, frozen=True):
    group: str
    name: str
    command: str = ""


class Asked(NamedTuple):
    """What an answer is about."""

    pid: int | None
    """Of supervisord."""
    version: str | None
    starts: Mapping[Key, int]
    """When each process was started, by group and name as supervisord tells them."""


class ConfiguredCommands:
    """Knows the commands of one supervisord; :attr:`commands` is replaced, never changed."""

    def __init__(self, target: str, rpc: RpcClient, *, monotonic: Callable[[], float]) -> None:
        self.commands: Mapping[Key, str] = {}
        self._target = target
        self._rpc = rpc
        self._monotonic = monotonic
        self._asked: Asked | None = None
        self._asked_at = float("-inf")
        self._has_failed = False
        self._unable: tuple[int | None, str | None] | None = None
        """The supervisord that does not know the method."""

    def renew(self, now: Asked, seconds: float) -> None:
        """Ask once more if that may tell something new; take no longer than so many seconds, and never raise."""
        if seconds < LEAST or self._unable == (now.pid, now.version) or self._monotonic() < self._due(now):
            return
        self._asked, self._asked_at = now, self._monotonic()
        try:
            self.commands = self._ask(now, seconds)
            self._has_failed = False
        except SourceError as exc:
            if not self._has_failed:
                log.warning("supervisor %s does not tell the commands of its programs: %s", self._target, exc)
            self._has_failed = True

    def _due(self, now: Asked) -> float:
        before = self._asked
        if before is None:
            return float("-inf")
        if (before.pid, before.version) != (now.pid, now.version) or before.starts.keys() != now.starts.keys():
            return self._asked_at + SOONEST
        is_news = self._has_failed or before.starts != now.starts
        return self._asked_at + AFTER_STARTS if is_news else float("inf")

    def _ask(self, now: Asked, seconds: float) -> Mapping[Key, str]:
        answers: Any = self._rpc.call("system.multicall", _CALL, within=seconds)
        answer = answers[0] if isinstance(answers, list) and len(answers) == 1 else None
        if isinstance(answer, dict) and "faultCode" in answer:
            if answer["faultCode"] == UNKNOWN_METHOD:
                self._unable = (now.pid, now.version)
                return {}
            said = clean(str(answer.get("faultString", "")))
            raise SourceError(fault_kind(answer["faultCode"]), f"getAllConfigInfo failed: {said}")
        try:
            configs = msgspec.convert(answer, list[_Config])
        except msgspec.ValidationError as exc:
            raise SourceError(ErrorKind.GARBAGE, f"its answer makes no sense: {exc}") from exc
        return {(clean(each.group), clean(each.name)): each.command for each in configs if each.command}
