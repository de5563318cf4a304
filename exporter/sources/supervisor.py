"""supervisord over XML-RPC: every process of one supervisord, in one request.

``system.multicall`` carries all sub-calls in one HTTP exchange. supervisord answers them in its single event loop, at
about 0.3 ms a program, and can do nothing else meanwhile, which is why it is asked once a cycle. The commands of its
programs are asked for apart, and seldom (supervisor_config.py).

What supervisord means by its fields is read from supervisor/process.py and supervisor/rpcinterface.py of 4.3.0:

* ``start`` and ``stop`` are whole unix seconds by its own clock, 0 before the first start (stop).
* ``exitstatus`` is -1 after a signal. It is a placeholder 0 while a program runs, and beside a spawn error in every
  state but EXITED: the status of a program that exited too quickly is forgotten.
* ``start`` moves backwards when supervisord notices that its clock was set back, never forward without a new start.
"""

from collections.abc import Callable, Collection, Mapping
from datetime import UTC, datetime
from typing import Any, Final

import msgspec

from depthgauge.errors import ErrorKind, SourceError
from depthgauge.names import clean
from depthgauge.snapshot import Process, ProcessState, Supervisor
from exporter.settings import SupervisorSettings
from exporter.sources.rpc_reply import UNKNOWN_METHOD, fault_kind
from exporter.sources.supervisor_config import Asked, ConfiguredCommands
from exporter.sources.supervisor_rpc import NOT_HERE, RpcClient, Timeouts

Key = tuple[str, str]
"""Group and name of a process."""

_REQUIRED: Final = ("getAllProcessInfo", "getState")
_OPTIONAL: Final = ("getPID", "getSupervisorVersion", "getAPIVersion", "getIdentification")
_CALLS: Final = [{"methodName": f"supervisor.{name}", "params": []} for name in (*_REQUIRED, *_OPTIONAL)]

_ENDED: Final = frozenset((ProcessState.EXITED, ProcessState.BACKOFF, ProcessState.FATAL, ProcessState.STOPPED))


class _Info(msgspec.Struct, frozen=True):
    """What ``getAllProcessInfo`` says of one process, as far as it is used."""

    name: str
    group: str
    state: int
    now: int
    start: int = 0
    stop: int = 0
    pid: int = 0
    exitstatus: int = 0
    spawnerr: str = ""


class _State(msgspec.Struct, frozen=True):
    statecode: int


class SupervisorSource:
    """One supervisord, read whenever ``collect`` is called; one call at a time."""

    kind = "supervisor"

    def __init__(
        self,
        settings: SupervisorSettings,
        *,
        timeouts: Timeouts,
        clock: Callable[[], datetime],
        monotonic: Callable[[], float],
    ) -> None:
        self.target = settings.name
        self.wants_commands: bool | None = None
        """Whether :attr:`commands` are needed; None needs them of a supervisord on another host."""
        self._clock = clock
        self._monotonic = monotonic
        self._total = timeouts.total
        self._rpc = RpcClient(
            settings.url,
            username=settings.username,
            password=settings.password,
            timeouts=timeouts,
            monotonic=monotonic,
        )
        self._restarts = Restarts()
        self._configured = ConfiguredCommands(settings.name, self._rpc, monotonic=monotonic)

    @property
    def commands(self) -> Mapping[Key, str]:
        """Return the commands in supervisord's settings by cleaned group and name, as far as they were asked for.

        Safe to call from any thread. The answers may hold secrets.
        """
        return self._configured.commands

    @property
    def peer_pid(self) -> int | None:
        """Return who served the latest connection: a pid, None for anyone on this host, 0 for someone elsewhere."""
        return self._rpc.peer_pid

    def collect(self) -> Supervisor:
        """Return this supervisord and its processes, without resources and queues served; raise SourceError."""
        started = self._monotonic()
        answers = self._rpc.call("system.multicall", _CALLS)
        observed_at = self._clock()
        try:
            told = self._sort(answers)
            infos = msgspec.convert(told["getAllProcessInfo"], list[_Info])
            state = msgspec.convert(told["getState"], _State).statecode
            pid, version, api_version, identification = (
                msgspec.convert(told.get(name), kind | None)
                for name, kind in zip(_OPTIONAL, (int, str, str, str), strict=True)
            )
            restarts = self._restarts.update(infos)
            part = Supervisor(
                observed_at=observed_at,
                name=self.target,
                # Without a process nothing needs supervisord's own clock.
                now=_moment(max((info.now for info in infos), default=0)) or observed_at,
                state=state,
                pid=pid,
                version=version,
                api_version=api_version,
                identification=identification,
                processes=tuple(_process(info, restarts[info.group, info.name]) for info in infos),
            )
        except (msgspec.ValidationError, ValueError, OverflowError) as exc:
            raise self._error(ErrorKind.GARBAGE, f"its answer makes no sense: {exc}") from exc
        if self.wants_commands or (self.wants_commands is None and self.peer_pid == NOT_HERE):
            starts = {(info.group, info.name): info.start for info in infos}
            self._configured.renew(Asked(pid, version, starts), self._total - (self._monotonic() - started))
        return part

    def _sort(self, answers: Any) -> Mapping[str, Any]:
        """Return the answer of each sub-call by method name; a method that is unknown there and not needed is left out."""
        if not isinstance(answers, list) or len(answers) != len(_CALLS):
            raise self._error(ErrorKind.GARBAGE, f"system.multicall has not given {len(_CALLS)} answers")
        told: dict[str, Any] = {}
        for name, answer in zip((*_REQUIRED, *_OPTIONAL), answers, strict=True):
            if not (isinstance(answer, dict) and "faultCode" in answer):
                told[name] = answer
            elif name in _REQUIRED or answer["faultCode"] != UNKNOWN_METHOD:
                code = answer["faultCode"]
                kind = fault_kind(code)
                said = clean(str(answer.get("faultString", "")))
                hint = ": it is shutting down or restarting" if kind is ErrorKind.SHUTTING_DOWN else ""
                raise self._error(kind, f"{name} failed: {said} (fault {code}){hint}")
        return told

    def _error(self, kind: ErrorKind, text: str) -> SourceError:
        return SourceError(kind, f"supervisord at {self._rpc.endpoint.url}: {text}")


class Restarts:
    """Counts starts after the first one that was seen, per process; a lower bound, as two may fall between two calls.

    A start is new when it is later than the one seen before, or when another pid lives than the one seen before: that
    holds within one second and after the clock was set back, too. A restart of supervisord itself starts every program
    anew and counts as one.
    """

    def __init__(self) -> None:
        self._seen: dict[Key, tuple[int, int, int]] = {}

    def update(self, infos: Collection[_Info]) -> Mapping[Key, int]:
        """Return the restarts of each of these processes; whatever is not among them is forgotten."""
        seen = {}
        for info in infos:
            start, pid, count = self._seen.get((info.group, info.name), (0, 0, 0))
            if info.start > 0:
                if start and (info.start > start or (info.pid and pid and info.pid != pid)):
                    count += 1
                start, pid = info.start, info.pid or pid
            seen[info.group, info.name] = (start, pid, count)
        self._seen = seen
        return {key: count for key, (_start, _pid, count) in seen.items()}


def _moment(seconds: int) -> datetime | None:
    return datetime.fromtimestamp(seconds, UTC) if seconds > 0 else None


def _process(info: _Info, restarts: int) -> Process:
    spawn_error = clean(info.spawnerr) or None
    return Process(
        group=clean(info.group),
        name=clean(info.name),
        state=info.state,
        start=_moment(info.start),
        stop=_moment(info.stop),
        pid=info.pid if info.pid > 0 else None,
        exit_status=_exit_status(info),
        spawn_error=spawn_error,
        restarts=restarts,
    )


def _exit_status(info: _Info) -> int | None:
    if info.state not in _ENDED or info.start <= 0:
        return None
    if info.exitstatus == 0 and info.spawnerr and info.state != ProcessState.EXITED:
        return None
    return info.exitstatus
