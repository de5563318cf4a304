"""Snapshot to metrics text: pure but for the prefixes it keeps, and for remembering whom the budget admitted."""

import logging
import platform
from collections import Counter
from collections.abc import Callable, Collection, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Final

from depthgauge import __version__
from depthgauge.backlogs import QueueKey
from depthgauge.backlogs import backlogs as backlogs_of
from depthgauge.parts import Part
from depthgauge.snapshot import (
    EXPIRY_INTERVALS,
    Process,
    ProcessState,
    Queue,
    Snapshot,
    SourceStatus,
    Supervisor,
)
from exporter import health_metrics, metrics
from exporter.budget import Budget
from exporter.health_render import HealthRenderer
from exporter.lines import Lines, add, add_entities, needs
from exporter.series import PROCESS_SERIES, QUEUE_SERIES, SERIES_PER_QUEUE, Prefixes

log = logging.getLogger(__name__)

ProcessKey = tuple[str, str, str]
"""Supervisor, group, process."""

_UPS: Final = {
    "supervisor": (metrics.SUPERVISOR_UP, "supervisor"),
    "redis": (metrics.JOBQUEUE_UP, "redis"),
    "redis_server": (health_metrics.REDIS_UP, "target"),
    "database": (health_metrics.POSTGRES_UP, "target"),
    "probe": (health_metrics.PROBE_UP, "target"),
}
"""By kind of source: the family, and the label that names the target."""
_BUDGETED: Final = (*metrics.PROCESS_FAMILIES, *metrics.QUEUE_FAMILIES, metrics.WORKERS)


class Renderer:
    """Renders snapshots of one exporter. Not for several threads at once."""

    def __init__(self, *, budget: int, configured: Collection[tuple[str, str]] = ()) -> None:
        named = frozenset(configured)
        self._queue_budget = Budget[QueueKey](
            budget, configured=lambda key: (key[0], key[2]) in named, most=SERIES_PER_QUEUE
        )
        self._worker_budget = Budget[QueueKey](budget, configured=lambda key: (key[0], key[2]) in named, most=1)
        self._process_budget = Budget[ProcessKey](budget, configured=lambda _: False, most=1)
        self._processes = Prefixes[ProcessKey, Process](
            PROCESS_SERIES, lambda key: dict(zip(("supervisor", "group", "process"), key, strict=True))
        )
        self._queues = Prefixes[QueueKey, Queue](
            QUEUE_SERIES, lambda key: dict(zip(("redis", "system", "queue"), key, strict=True))
        )
        self._health = HealthRenderer(budget)
        self._doubles_told = False

    def render(self, snapshot: Snapshot | None, now: datetime) -> str:
        """Return the text for a scrape at ``now``.

        Parts older than three intervals are left out and their ``…_up`` is 0. A snapshot that is itself that old comes
        from a loop that has died: nothing is left of it but these zeros.
        """
        lines: Lines = {metric.name: [] for metric in metrics.TABLE}
        over: Counter[str] = Counter()
        add(lines, metrics.BUILD_INFO, 1, version=__version__, python_version=platform.python_version())
        if snapshot is not None:
            alive = now - snapshot.taken_at <= timedelta(seconds=EXPIRY_INTERVALS * snapshot.interval)

            def is_shown(part: Part) -> bool:
                return alive and snapshot.is_shown(part, now)

            supervisors = list(filter(is_shown, snapshot.supervisors))
            backlogs = list(filter(is_shown, snapshot.queues))
            _add_ups(lines, snapshot, is_shown)
            _add_sources(lines, snapshot.sources, alive=alive)
            for part in supervisors:
                _add_supervisor(lines, part)
            over.update(self._add_processes(lines, supervisors))
            queues = backlogs_of(snapshot, is_shown)
            read = [(part.redis, queue.system, queue.name) for part in backlogs for queue in part.queues]
            if len(set(read)) < len(read):
                self._tell_doubles()
            over.update(self._add_queues(lines, queues))
            over.update(self._add_workers(lines, supervisors))
            errors = Counter((key[0], queue.error) for key, queue in queues.items() if queue.error is not None)
            for (redis, reason), count in sorted(errors.items()):
                add(lines, metrics.QUEUES_UNREADABLE, count, redis=redis, reason=reason)
            over.update(self._health.add(lines, snapshot, is_shown))
            _add_self(lines, snapshot)
            for metric in _BUDGETED:
                add(lines, metrics.OVER_BUDGET, over[metric.name], family=metric.name)
            # The many small families of health come near their budgets in a mistake only: no line each to say that all is well.
            for metric in (metrics.NEWEST_FAILURE, *health_metrics.TABLE):
                if over[metric.name]:
                    add(lines, metrics.OVER_BUDGET, over[metric.name], family=metric.name)
        return "".join(metric.header + "".join(found) for metric in metrics.TABLE if (found := lines[metric.name]))

    def _add_processes(self, lines: Lines, supervisors: Sequence[Supervisor]) -> Counter[str]:
        processes = {
            (part.name, process.group, process.name): process for part in supervisors for process in part.processes
        }
        if len(processes) < sum(len(part.processes) for part in supervisors):
            self._tell_doubles()
        shown, over = self._process_budget.admit(tuple(processes), lambda key: needs(PROCESS_SERIES, processes[key]))
        add_entities(lines, PROCESS_SERIES, self._processes, ((key, processes[key]) for key in shown))
        return over

    def _add_queues(self, lines: Lines, queues: Mapping[QueueKey, Queue]) -> Counter[str]:
        shown, over = self._queue_budget.admit(tuple(queues), lambda key: needs(QUEUE_SERIES, queues[key]))
        add_entities(lines, QUEUE_SERIES, self._queues, ((key, queues[key]) for key in shown))
        return over

    def _add_workers(self, lines: Lines, supervisors: Sequence[Supervisor]) -> Counter[str]:
        workers: Counter[QueueKey] = Counter()
        processes: Counter[tuple[str, str]] = Counter()
        for part in supervisors:
            for served in part.workers:
                workers[served.redis, served.system, served.queue] += served.processes
            for each in part.worker_processes:
                processes[each.redis, each.system] += each.processes
        shown, over = self._worker_budget.admit(tuple(workers), lambda _: {metrics.WORKERS.name: 1})
        for redis, system, queue in shown:
            count = workers[redis, system, queue]
            add(lines, metrics.WORKERS, count, redis=redis, system=system, queue=queue)
        for (redis, system), count in processes.items():
            add(lines, metrics.WORKER_PROCESSES, count, redis=redis, system=system)
        return over

    def _tell_doubles(self) -> None:
        if not self._doubles_told:
            self._doubles_told = True
            log.error("two processes or two queues have the same labels; only the last of them is shown")


def _add_ups(lines: Lines, snapshot: Snapshot, is_shown: Callable[[Part], bool]) -> None:
    """Say of every target that is read whether there is something to show of it."""
    shown = {
        "supervisor": {part.name for part in snapshot.supervisors if is_shown(part)},
        "redis": {part.redis for part in snapshot.queues if is_shown(part)},
        "redis_server": {part.redis for part in snapshot.redis_servers if is_shown(part)},
        "database": {part.name for part in snapshot.databases if is_shown(part)},
        "probe": {part.name for part in snapshot.probes if is_shown(part) and part.up},
    }
    for source in snapshot.sources:
        if source.kind in shown:
            metric, label = _UPS[source.kind]
            add(lines, metric, source.target in shown[source.kind], **{label: source.target})
        elif source.kind == "host":
            there = snapshot.machine is not None and is_shown(snapshot.machine)
            add(lines, health_metrics.HOST_UP, there, target=snapshot.host)


def _add_sources(lines: Lines, sources: Sequence[SourceStatus], *, alive: bool) -> None:
    for source in sources:
        labels = {"kind": source.kind, "target": source.target}
        add(lines, metrics.SOURCE_UP, source.ok and alive, **labels)
        if not alive:
            continue
        if source.seconds is not None:
            add(lines, metrics.SOURCE_DURATION, source.seconds, **labels)
        if source.last_success_at is not None:
            add(lines, metrics.SOURCE_LAST_SUCCESS, source.last_success_at.timestamp(), **labels)
        for reason, count in sorted(source.errors.items()):
            add(lines, metrics.SOURCE_ERRORS, count, reason=reason, **labels)


def _add_supervisor(lines: Lines, part: Supervisor) -> None:
    add(
        lines,
        metrics.SUPERVISOR_INFO,
        1,
        supervisor=part.name,
        version=part.version or "",
        api_version=part.api_version or "",
        identification=part.identification or "",
    )
    add(lines, metrics.SUPERVISOR_STATE, part.state, supervisor=part.name)
    states = Counter(process.state for process in part.processes)
    for state in ProcessState:
        add(lines, metrics.SUPERVISOR_PROCESSES, states[state], supervisor=part.name, state=state.name)


def _add_self(lines: Lines, snapshot: Snapshot) -> None:
    for reason, count in sorted(snapshot.drops.items()):
        add(lines, metrics.BUS_DROPS, count, reason=reason)
    add(lines, metrics.SNAPSHOT_TIMESTAMP, snapshot.taken_at.timestamp())
    add(lines, metrics.CYCLE_DURATION, snapshot.cycle.seconds)
    add(lines, metrics.CYCLES_SKIPPED, snapshot.cycle.skipped)
