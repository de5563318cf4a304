"""The dashboard of processes: which run, since when, how often they were started, what they use."""

from typing import Final

from grafana.source import annotations, variables
from grafana.source.board import PROMETHEUS, Board, Row
from grafana.source.columns import Column
from grafana.source.looks import BAD, BYTES, COUNT, CPU, GOOD, SECONDS, STATE, TROUBLE, WARN, Look, texts
from grafana.source.panels import PROCESS_COLOURS, Panel, colour, grid, lines, number, states
from grafana.source.promql import BY_PROCESS, SCOPE, down, instant, process, rows, series, top

MOST: Final = 50
"""Processes that the timeline shows at most."""
PROCESS: Final = "{{process}} ({{group}}, {{supervisor}} {{instance}})"
GROUP: Final = "{{group}} ({{supervisor}} {{instance}})"
BY_GROUP: Final = "by (instance, supervisor, group)"
SUPERVISOR: Final = Look(
    texts=texts({1: ("RUNNING", GOOD), 0: ("RESTARTING", WARN), -1: ("SHUTDOWN", WARN), 2: ("FATAL", BAD)}),
    absent="unknown",
)
UPTIME: Final = Look(unit="s", decimals=0, absent="")
RESTARTS: Final = Look(minimum=0, decimals=0, steps=((None, "transparent"), (1, WARN), (5, BAD)), absent="")


def board() -> Board:
    """Return the dashboard."""
    return Board(
        uid="depthgauge-processes",
        title="Depthgauge / Processes",
        description="Which of supervisord's processes run, since when, how often they were started, and what they use.",
        source=PROMETHEUS,
        variables=(
            *variables.scope("depthgauge_build_info"),
            _variable("supervisor", "Supervisor"),
            _variable("group", "Group", 'supervisor=~"$supervisor"'),
            _variable("process", "Process", 'supervisor=~"$supervisor"', 'group=~"$group"'),
        ),
        rows=(
            Row("Now", _now()),
            Row("States", _states()),
            Row("What they use", _resources()),
        ),
        annotations=(
            annotations.from_promql(
                "Restarts",
                # Annotations have steps of a minute at least: what is looked for has to reach back to the step before.
                f"increase({process('supervisor_process_restarts_total')}[$__rate_interval]) > 0",
                title="Started anew",
                text="{{process}} ({{group}}) of {{supervisor}} on {{instance}}",
                color="orange",
            ),
        ),
    )


def _variable(name: str, label: str, *matchers: str) -> variables.Variable:
    selector = f"supervisor_process_up{{{', '.join((SCOPE, *matchers))}}}"
    return variables.label_values(name, label, selector)


def _state(title: str, description: str, code: int, look: Look = COUNT) -> Panel:
    return number(
        title, description, instant(f"sum({process('supervisor_process_state')} == bool {code})"), look=look, width=3
    )


def _now() -> tuple[Panel, ...]:
    return (
        number(
            "Supervisords down",
            "Supervisords that could not be read within three intervals, of the chosen instances.",
            instant(down(f'supervisor_up{{{SCOPE}, supervisor=~"$supervisor"}}')),
            look=TROUBLE,
            width=3,
            background=True,
        ),
        _state("Running", "Processes that are RUNNING.", 20),
        _state("Fatal", "Processes that supervisord has given up.", 200, TROUBLE),
        _state("Backoff", "Processes that ended too soon and are started again.", 30, TROUBLE),
        _state("Exited", "Processes that ended and are not started again.", 100),
        _state("Stopped", "Processes that somebody stopped, or that were never started.", 0),
        number(
            "Spawn errors",
            "Processes of which supervisord tells a spawn error: the command could not be run, or it ended too soon or with "
            "a status that is not expected.",
            instant(f"sum({process('supervisor_process_spawn_error')})"),
            look=TROUBLE,
            width=3,
        ),
        number(
            "Restarts",
            "Restarts within the chosen time: a lower bound, several between two readings count once.",
            instant(f"sum(increase({process('supervisor_process_restarts_total')}[$__range]))"),
            width=3,
        ),
        _table(),
    )


def _table() -> Panel:
    return grid(
        "Processes",
        "Every chosen process. Uptime is by supervisord's clock; CPU and memory are those of the process and its "
        "descendants, and absent for a supervisord on another machine.",
        rows(f"max {BY_PROCESS} ({process('supervisor_process_state')})"),
        rows(f"max {BY_PROCESS} (time() - {process('supervisor_process_start_time_seconds')})"),
        rows(f"max {BY_PROCESS} ({process('supervisor_process_exit_status')})"),
        rows(f"sum {BY_PROCESS} (increase({process('supervisor_process_restarts_total')}[$__range]))"),
        rows(f"sum {BY_PROCESS} (rate({process('supervisor_process_cpu_seconds_total')}[$__rate_interval]))"),
        rows(f"sum {BY_PROCESS} ({process('supervisor_process_resident_memory_bytes')})"),
        columns=(
            Column(field="process", title="Process"),
            Column(field="group", title="Group"),
            Column(field="supervisor", title="Supervisor"),
            Column(field="instance", title="Instance"),
            Column(field="Value #A", title="State", look=STATE, width=120),
            Column(field="Value #B", title="Uptime", look=UPTIME, width=120),
            Column(field="Value #C", title="Exit status", look=Look(decimals=0, absent=""), width=110),
            Column(field="Value #D", title="Restarts", look=RESTARTS, width=100),
            Column(field="Value #E", title="CPU", look=Look(unit="percentunit", decimals=1, absent=""), width=100),
            Column(field="Value #F", title="Memory", look=Look(unit="bytes", absent=""), width=110),
        ),
        sort="State",
        height=10,
    )


def _states() -> tuple[Panel, ...]:
    return (
        states(
            "States of processes",
            f"What state each process was in; of more than {MOST} those that are worst, by the code of their state. What lasted "
            "less than the time between two snapshots may be missing.",
            series(top(MOST, f"max {BY_PROCESS} ({process('supervisor_process_state')})"), PROCESS),
            height=12,
        ),
        colour(
            lines(
                "Processes by state",
                "All processes of the chosen supervisords by their state.",
                series(f'sum by (state) (supervisor_processes{{{SCOPE}, supervisor=~"$supervisor"}}) > 0', "{{state}}"),
                stacked=True,
                stepped=True,
                width=8,
            ),
            PROCESS_COLOURS,
        ),
        lines(
            "Restarts by group",
            "Restarts of each group in the time before each point, as long as Grafana's rate interval: longer than from one point "
            "to the next, so one restart may show in several points. A lower bound, several between two readings of supervisord "
            "count once.",
            series(
                f"sum {BY_GROUP} (increase({process('supervisor_process_restarts_total')}[$__rate_interval]))", GROUP
            ),
            look=Look(minimum=0, decimals=0),
            width=8,
        ),
        states(
            "States of supervisords",
            "The state that each supervisord is in itself.",
            series(
                f'max by (instance, supervisor) (supervisor_state{{{SCOPE}, supervisor=~"$supervisor"}})',
                "{{supervisor}} {{instance}}",
            ),
            look=SUPERVISOR,
            width=8,
            height=8,
        ),
    )


def _resources() -> tuple[Panel, ...]:
    gauges = (
        ("Memory", "Resident memory, of processes and their descendants.", "resident_memory_bytes", BYTES),
        ("Threads", "Threads, of processes and their descendants.", "threads", COUNT),
        ("Open files", "Open file descriptors, of the processes themselves.", "open_fds", COUNT),
        ("Children", "Live descendants of the processes.", "children", COUNT),
    )
    return (
        lines(
            "CPU",
            "CPU time a second, of processes and their descendants, ended children included: 100 % is one whole CPU.",
            series(
                f"sum {BY_GROUP} (rate({process('supervisor_process_cpu_seconds_total')}[$__rate_interval]))", GROUP
            ),
            look=CPU,
            width=8,
        ),
        *(
            lines(
                f"{title} by group",
                description,
                series(f"sum {BY_GROUP} ({process(f'supervisor_process_{metric}')})", GROUP),
                look=look,
                width=8,
            )
            for title, description, metric, look in gauges
        ),
        lines(
            "Youngest process of each group",
            "Time since the newest start: it falls back to 0 with every restart.",
            series(f"min {BY_GROUP} (time() - {process('supervisor_process_start_time_seconds')})", GROUP),
            look=SECONDS,
            width=8,
        ),
    )
