"""The dashboard that is opened first: which queue is late, and does everything run that should."""

from typing import Final

from grafana.source import queue_table, variables
from grafana.source.board import PROMETHEUS, Board, Row
from grafana.source.columns import Column
from grafana.source.looks import (
    BAD,
    COUNT,
    FULL,
    PER_SECOND,
    RATIO,
    SECONDS,
    STALE,
    STATE,
    TROUBLE,
    UP,
    WAITING,
    Look,
    texts,
)
from grafana.source.panels import (
    JOB_STATES,
    PROCESS_COLOURS,
    bars,
    colour,
    grid,
    lines,
    number,
    states,
)
from grafana.source.promql import (
    BY_PROCESS,
    BY_QUEUE,
    OURS,
    down,
    instant,
    named,
    nobody,
    own,
    rows,
    series,
    top,
    up,
    wait,
)

LATE: Final = 600
"""Seconds of waiting from which a queue is late."""
SPAWN: Final = Look(texts=texts({0: ("", "transparent"), 1: ("yes", BAD)}), absent="")
LOST: Final = 'result=~"failed|dead"'
TROUBLED: Final = 'state=~"FATAL|BACKOFF|UNKNOWN"'


def board() -> Board:
    """Return the dashboard."""
    return Board(
        uid="depthgauge-overview",
        title="Depthgauge / Overview",
        description="Which queue is late, and is everything running that should be?",
        source=PROMETHEUS,
        variables=variables.scope(OURS),
        rows=(_glance(), _queues(), _jobs(), _processes(), _fleet(), _health()),
    )


def _glance() -> Row:
    return Row(
        "At a glance",
        (
            number(
                "Late queues",
                f"Queues whose oldest job has waited for more than {LATE // 60} minutes.",
                instant(f"sum({wait(own)} > bool {LATE})"),
                look=TROUBLE,
                width=3,
                background=True,
            ),
            number(
                "Oldest job",
                "How long the job that has waited longest has been waiting, in any queue.",
                instant(f"max({wait(own)})"),
                look=WAITING,
                width=3,
                background=True,
            ),
            number(
                "Queues without worker",
                "Queues that have jobs waiting while no worker of theirs is known anywhere: neither a running process "
                "of a supervisord nor one in the queue system's registry.",
                instant(f"sum({nobody(own)})"),
                look=TROUBLE,
                width=3,
                background=True,
            ),
            number(
                "Processes in trouble",
                "Processes that are FATAL, in BACKOFF or UNKNOWN: supervisord cannot keep them running.",
                instant(f"sum({own('supervisor_processes', TROUBLED)})"),
                look=TROUBLE,
                width=3,
                background=True,
            ),
            number(
                "Targets down",
                "Exporters and sinks that Prometheus cannot scrape.",
                instant(down(up())),
                look=TROUBLE,
                width=3,
                background=True,
            ),
            number(
                "Sources failing",
                "Supervisords, Redis servers, databases and other sources whose last reading failed.",
                instant(down(own("depthgauge_source_up"))),
                look=TROUBLE,
                width=3,
                background=True,
                link="/d/depthgauge-self?${__all_variables}&${__url_time_range}",
            ),
            number(
                "Oldest snapshot",
                "Age of the oldest snapshot that an exporter shows: more than a few intervals, and its loop hangs.",
                instant(f"max(time() - {own('depthgauge_snapshot_timestamp_seconds')})"),
                look=STALE,
                width=3,
                background=True,
            ),
            number(
                "Sink behind by",
                "Time since the newest slot that a sink has put into the database; none where no sink is scraped.",
                instant(f"max({own('depthgauge_sink_lag_seconds')})"),
                look=STALE,
                width=3,
                background=True,
            ),
        ),
    )


def _queues() -> Row:
    return Row(
        "Queues, those that wait longest first",
        (
            queue_table.table(
                "Queues",
                "Every queue, by how long its next job to run has waited. Backlogs are what Redis holds, read by one "
                "exporter or several; processes are added up over the hosts.",
                own,
                link=queue_table.LINK,
            ),
        ),
    )


def _jobs() -> Row:
    kept = f"max by (redis, system, queue, result) ({own('jobqueue_jobs_kept', LOST)})"
    return Row(
        "Jobs",
        (
            lines(
                "Longest waits",
                "How long the next job has waited, of the ten queues that wait longest. Dashed: a minute, ten minutes.",
                series(named(top(10, wait(own))), "{{queue}} ({{system}}, {{redis}})"),
                look=WAITING,
                dashed=True,
            ),
            colour(
                lines(
                    "Jobs by state",
                    "Jobs that still want work, of all queues together. Overdue delayed jobs count as waiting.",
                    series(
                        f"sum by (state) (max by (redis, system, queue, state) ({own('jobqueue_jobs')}))", "{{state}}"
                    ),
                    stacked=True,
                ),
                JOB_STATES,
            ),
            lines(
                "Throughput",
                "Jobs that end a second, by how they end, of queues whose system keeps true counters.",
                series(_rate("jobqueue_jobs_completed_total"), "completed"),
                series(_rate("jobqueue_jobs_failed_total"), "failed"),
                look=PER_SECOND,
            ),
            lines(
                "Failed jobs that are kept",
                "Failed and dead jobs that the queue systems still hold, of the ten queues with most: what waits for a human.",
                series(named(top(10, f"{kept} > 0")), "{{queue}} {{result}} ({{system}}, {{redis}})"),
                stepped=True,
            ),
        ),
    )


def _rate(metric: str) -> str:
    return f"sum(max {BY_QUEUE} (rate({own(metric)}[$__rate_interval])))"


def _processes() -> Row:
    off = f"max {BY_PROCESS} ({own('supervisor_process_state')}) != 20"
    # For all of them, so that a column of the table is never the only one: Grafana would call it by another name.
    error = f"max {BY_PROCESS} ({own('supervisor_process_spawn_error')}) and {off}"
    return Row(
        "Processes",
        (
            colour(
                lines(
                    "Processes by state",
                    "Processes of all supervisords by their state.",
                    series(f"sum by (state) ({own('supervisor_processes')}) > 0", "{{state}}"),
                    stacked=True,
                    stepped=True,
                    width=8,
                    height=9,
                ),
                PROCESS_COLOURS,
            ),
            grid(
                "Processes that do not run",
                "Every process in another state than RUNNING, with the exit status of its last run (-1 is death by a signal), "
                "and whether supervisord tells a spawn error: see its log.",
                rows(off),
                rows(f"max {BY_PROCESS} ({own('supervisor_process_exit_status')})"),
                rows(error),
                columns=(
                    Column(field="process", title="Process", link=_PROCESS_LINK),
                    Column(field="group", title="Group"),
                    Column(field="supervisor", title="Supervisor"),
                    Column(field="instance", title="Instance"),
                    Column(field="Value #A", title="State", look=STATE, width=120),
                    Column(field="Value #B", title="Exit status", look=Look(decimals=0, absent=""), width=110),
                    Column(field="Value #C", title="Spawn error", look=SPAWN),
                ),
                sort="State",
                width=16,
            ),
        ),
    )


_PROCESS_LINK: Final = (
    "/d/depthgauge-processes?${datasource:queryparam}&${job:queryparam}"
    "&var-instance=${__data.fields.instance:percentencode}&var-supervisor=${__data.fields.supervisor:percentencode}&var-group=${__data.fields.group:percentencode}"
    "&var-process=${__data.fields.process:percentencode}&${__url_time_range}"
)


def _fleet() -> Row:
    return Row(
        "Fleet",
        (
            states(
                "Exporters and sinks",
                "Whether Prometheus could scrape each of them.",
                series(f"min by (job, instance) ({up()})", "{{job}} {{instance}}"),
                look=UP,
                width=12,
                height=7,
            ),
            states(
                "Supervisords and Redis servers",
                "Whether each was read within three intervals.",
                series(
                    f"min by (instance, supervisor) ({own('supervisor_up')})", "supervisor {{supervisor}} {{instance}}"
                ),
                series(f"max by (redis) ({own('jobqueue_up')})", "redis {{redis}}"),
                look=UP,
                width=12,
                height=7,
            ),
        ),
    )


def _health() -> Row:
    memory = f"{own('depthgauge_host_memory_used_bytes')} / {own('depthgauge_host_memory_total_bytes')}"
    slow = f"sum by (le, target) (rate({own('depthgauge_postgres_response_time_seconds_bucket')}[$__rate_interval]))"
    clients = f"max by (target) ({own('depthgauge_redis_clients')})"
    return Row(
        "Hosts and servers",
        (
            lines(
                "CPU of hosts",
                "Busy time among all CPU time.",
                series(f"max by (target) ({own('depthgauge_host_cpu_ratio')})", "{{target}}"),
                look=RATIO,
                width=8,
            ),
            lines(
                "Memory of hosts",
                "Memory that programs cannot have without swapping, among all memory.",
                series(f"max by (target) ({memory})", "{{target}}"),
                look=RATIO,
                width=8,
            ),
            bars(
                "Fullest disks",
                "Used room among used and available room, of the ten fullest file systems.",
                instant(
                    top(10, f"max by (target, mountpoint) ({own('depthgauge_host_disk_used_ratio')})"),
                    "{{target}} {{mountpoint}}",
                ),
                look=Look(unit="percentunit", minimum=0, maximum=1, steps=FULL, decimals=0),
            ),
            lines(
                "Memory of Redis servers",
                "Memory that each Redis uses.",
                series(f"max by (target) ({own('depthgauge_redis_memory_used_bytes')})", "{{target}}"),
                look=Look(unit="bytes", minimum=0),
                width=8,
            ),
            lines(
                "Clients of Redis servers",
                "Connections of workers, applications and exporters.",
                series(clients, "{{target}}"),
                look=COUNT,
                width=8,
            ),
            lines(
                "Response time of databases and sites",
                "What 95 of 100 small statements and requests did not exceed.",
                series(f"histogram_quantile(0.95, {slow})", "{{target}}"),
                series(
                    "histogram_quantile(0.95, sum by (le, target) "
                    f"(rate({own('depthgauge_probe_response_time_seconds_bucket')}[$__rate_interval])))",
                    "{{target}}",
                ),
                look=SECONDS,
                width=8,
            ),
        ),
    )
