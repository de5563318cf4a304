"""What moves from one exporter to another at a take-over of a lease must neither raise an alert nor end it; recordings."""

from dataclasses import replace

from tests.plugins.proofs_queues import MAIL, PROOFS, Q
from tests.plugins.proofs_supervisor import APP, HEALTH
from tests.plugins.rule_tests import WEB_1, WEB_2, Case, Figures, Firing, Samples, series

BY_NAME = {proof.alert: proof for proof in (*PROOFS, *HEALTH)}


def moved(metric: str, before: str, after: str, **labels: str) -> Samples:
    """Return a series that another exporter goes on with: the first has it until minute 7, the second from minute 10 on."""
    return {
        series(metric, Q, instance=WEB_1, **labels): f"{before} stale",
        series(metric, Q, instance=WEB_2, **labels): f"_x10 {after}",
    }


def waits(alert: str, minutes: int) -> Firing:
    proof = BY_NAME[alert]
    return replace(
        proof.firing,
        description=f"{MAIL}: its next job has been waiting for {minutes}m 0s, more than 10m.",
    )


def critical(minutes: int) -> Firing:
    return replace(
        BY_NAME["JobQueueWaitCritical"].firing,
        description=f"{MAIL}: its next job has been waiting for {minutes // 60}h {minutes % 60}m 0s, more than 1h.",
    )


OLDEST = "jobqueue_oldest_job_timestamp_seconds"
FIRST_SEEN = "jobqueue_head_first_seen_timestamp_seconds"
JOBS = "jobqueue_jobs"
WAITING = moved(JOBS, "2x7", "2x60", state="waiting")
STARTED = "process_start_time_seconds"
RESTARTS = (
    Case(
        name="JobQueueWaitCritical goes on although the exporter that sees a head without a time is started anew",
        alert="JobQueueWaitCritical",
        samples={
            series(JOBS, Q, state="waiting"): "2x98 stale _ 2x90",
            series(FIRST_SEEN, Q): "0x98 stale _ 6060x90",
            series(STARTED): "0x98 stale 6000x90",
        },
        firing={
            98: (critical(98),),
            # The new one's age counts from its start. That nothing was taken for an hour is known all the same.
            **dict.fromkeys(range(101, 161), (critical(60),)),
            162: (critical(61),),
        },
    ),
    Case(
        name="JobQueueWaitTooLong fires in time although the exporter is started anew, missed scrapes before and after included",
        alert="JobQueueWaitTooLong",
        samples={
            series(JOBS, Q, state="waiting"): "2x3 stale 2 stale 2x4 stale 2x40",
            series(FIRST_SEEN, Q): "0x3 stale 0 stale 420x4 stale 420x40",
            series(STARTED): "0x3 stale 0 stale 360x4 stale 360x40",
        },
        quiet=(12,),
        firing=dict.fromkeys((13, 14, 15, 16, 17), (waits("JobQueueWaitTooLong", 10),)),
    ),
    Case(
        name="JobQueueStuck goes on although the exporter is started anew twice",
        alert="JobQueueStuck",
        samples={
            series(JOBS, Q, state="waiting"): "4x90",
            series(FIRST_SEEN, Q): "0x34 2100x4 2400x60",
            series(STARTED): "0x34 2100x4 2400x60",
        },
        quiet=(29,),
        firing=dict.fromkeys((30, 34, 35, 39, 40, 45, 64, 65, 69, 70, 71, 80), (BY_NAME["JobQueueStuck"].firing,)),
    ),
    Case(
        name="JobQueueStuck stays quiet: a job is taken beside a start of the exporter",
        alert="JobQueueStuck",
        samples={
            series(JOBS, Q, state="waiting"): "4x90",
            series(FIRST_SEEN, Q): "0x14 900x4 1200x22 2520x50",
            series(STARTED): "0x14 900x80",
        },
        quiet=tuple(range(28, 60)),
    ),
    Case(
        name="JobQueueStuck stays quiet: a job was taken, and the exporter was started anew before it took the lease",
        alert="JobQueueStuck",
        samples={
            series(JOBS, Q, state="waiting"): "4x90",
            series(FIRST_SEEN, Q): "0x4 stale",
            series(FIRST_SEEN, Q, instance=WEB_2): "_x6 360x10 1020x90",
            series(STARTED): "0x90",
            series(STARTED, instance=WEB_2): "0x5 300x90",
        },
        quiet=tuple(range(28, 47)),
    ),
    Case(
        name="JobQueueStuck stays quiet: a job was taken before the exporter was started anew and lost the lease",
        alert="JobQueueStuck",
        samples={
            series(JOBS, Q, state="waiting"): "4x90",
            series(FIRST_SEEN, Q): "0x14 900x5 stale",
            series(FIRST_SEEN, Q, instance=WEB_2): "_x22 1320x90",
            series(STARTED): "0x20 1260x90",
            series(STARTED, instance=WEB_2): "0x90",
        },
        quiet=tuple(range(28, 44)),
    ),
    Case(
        name="JobQueueStuck stays quiet: the start of another exporter explains nothing",
        alert="JobQueueStuck",
        samples={
            series(JOBS, Q, state="waiting"): "4x90",
            series(FIRST_SEEN, Q): "0x14 900x80",
            series(STARTED): "0x90",
            series(STARTED, instance=WEB_2): "0x14 900x80",
        },
        quiet=tuple(range(28, 44)),
    ),
)

CASES = (
    Case(
        name="JobQueueWaitTooLong fires in time although another exporter takes over",
        alert="JobQueueWaitTooLong",
        samples={**WAITING, **moved(OLDEST, "0x7", "0x60")},
        quiet=(13,),
        firing={minute: (waits("JobQueueWaitTooLong", minute),) for minute in (14, 15, 30)},
    ),
    Case(
        name="JobQueueWaitTooLong fires in time although the other exporter sees a head without a time for the first time",
        alert="JobQueueWaitTooLong",
        samples={**WAITING, **moved(FIRST_SEEN, "0x7", "600x60")},
        quiet=(12,),
        # As long as the first one's word is heard of, its age counts; then it is known that nothing was taken for ten minutes.
        firing={minute: (waits("JobQueueWaitTooLong", 10),) for minute in (13, 14, 18)},
    ),
    Case(
        name="JobQueueWaitTooLong does not take a queue whose number falls for one of which nothing is taken",
        alert="JobQueueWaitTooLong",
        samples={**moved(JOBS, "9x7", "9x2 8x60", state="waiting"), **moved(FIRST_SEEN, "0x7", "600x60")},
        quiet=tuple(range(10, 21)),
    ),
    Case(
        name="JobQueueWaitTooLong goes on although the other exporter sees a head without a time for the first time",
        alert="JobQueueWaitTooLong",
        samples={
            series(JOBS, Q, state="waiting"): "2x20 stale",
            series(JOBS, Q, state="waiting", instance=WEB_2): "_x23 2x60",
            series(FIRST_SEEN, Q): "0x20 stale",
            series(FIRST_SEEN, Q, instance=WEB_2): "_x23 1380x60",
        },
        firing={
            14: (waits("JobQueueWaitTooLong", 14),),
            22: (waits("JobQueueWaitTooLong", 22),),
            24: (waits("JobQueueWaitTooLong", 10),),
            32: (waits("JobQueueWaitTooLong", 10),),
            34: (waits("JobQueueWaitTooLong", 11),),
        },
    ),
    Case(
        name="JobQueueWaitTooLong does not fire for the head that the first exporter saw last, once jobs are taken",
        alert="JobQueueWaitTooLong",
        samples={
            **moved(JOBS, "2x7", "1x60", state="waiting"),
            series(OLDEST, Q): "0x7 stale",
            series(OLDEST, Q, instance=WEB_2): "_x10 540+60x60",
        },
        quiet=tuple(range(8, 30)),
    ),
    Case(
        name="JobQueueStuck fires in time although another exporter takes over",
        alert="JobQueueStuck",
        samples={**moved(JOBS, "4x7", "4x60", state="waiting"), **moved(FIRST_SEEN, "0x7", "600x60")},
        quiet=(29,),
        firing=dict.fromkeys((30, 31, 45), (BY_NAME["JobQueueStuck"].firing,)),
    ),
    *RESTARTS,
    Case(
        name="JobQueueRedisDown stays quiet while another exporter takes over",
        alert="JobQueueRedisDown",
        samples={
            series("jobqueue_up", redis="default"): "1x7 stale",
            series("jobqueue_up", redis="default", instance=WEB_2): "_x9 0 1x60",
        },
        quiet=tuple(range(7, 20)),
    ),
    Case(
        name="JobQueueRedisDown goes on although another exporter takes over, which cannot read it either",
        alert="JobQueueRedisDown",
        samples={
            series("jobqueue_up", redis="default"): "1 0x7 stale",
            series("jobqueue_up", redis="default", instance=WEB_2): "_x10 0x60",
        },
        quiet=(3,),
        firing=dict.fromkeys((4, 9, 10, 12, 20), (BY_NAME["JobQueueRedisDown"].firing,)),
    ),
    Case(
        name="JobQueueFailedJobs stays quiet while another exporter takes over",
        alert="JobQueueFailedJobs",
        samples=moved("jobqueue_jobs_kept", "500x7", "500x60", result="failed"),
        quiet=tuple(range(7, 20)),
    ),
    Case(
        name="DepthgaugePostgresDown ends as soon as the other exporter reads it",
        alert="DepthgaugePostgresDown",
        samples={
            series("depthgauge_postgres_up", APP): "1 0x7 stale",
            series("depthgauge_postgres_up", APP, instance=WEB_2): "_x10 1x60",
        },
        quiet=(3, 10, 12, 20),
        firing=dict.fromkeys((4, 9), (BY_NAME["DepthgaugePostgresDown"].firing,)),
    ),
)

WORKERS = "queue:jobqueue_workers:sum"
WAIT = "queue:jobqueue_wait_seconds:max"
RATE = "queue:jobqueue_jobs_completed:rate5m"
COMPLETED = "jobqueue_jobs_completed_total"
FAILED = "jobqueue_jobs_failed_total"


def value(number: float) -> list[tuple[dict[str, str], float]]:
    return [(Q, number)]


FIGURES = (
    Figures(
        name="workers are added up over hosts and with the registry; a backlog counts once",
        samples={
            series(JOBS, Q, state="waiting"): "7x10",
            series(JOBS, Q, state="waiting", instance=WEB_2): "6x10",
            series("jobqueue_workers", Q): "2x10",
            series("jobqueue_workers", Q, instance=WEB_2): "3x10",
            series("jobqueue_registry_workers", Q): "4x10",
            series("jobqueue_registry_workers", Q, instance=WEB_2): "4x10",
        },
        values={("queue:jobqueue_waiting:max", 5): value(7), (WORKERS, 5): value(9)},
    ),
    Figures(
        name="one kind of workers alone is enough, and none is no number",
        samples={
            series("jobqueue_workers", Q): "2x10",
            series("jobqueue_registry_workers", {**Q, "queue": "reports"}): "0x10",
            series(JOBS, {**Q, "queue": "unknown"}, state="waiting"): "7x10",
        },
        values={(WORKERS, 5): [(Q, 2), ({**Q, "queue": "reports"}, 0)]},
    ),
    Figures(
        name="the wait is that of the newest head told, and there is none while nothing waits",
        samples={
            series(JOBS, Q, state="waiting"): "1x4 0x10",
            series(OLDEST, Q): "0x10",
            series(OLDEST, Q, instance=WEB_2): "60x10",
        },
        values={(WAIT, 4): value(180), (WAIT, 6): []},
    ),
    Figures(
        name="of those who have seen a head without a time, who knows it longest is believed",
        samples={
            series(JOBS, Q, state="waiting"): "1x10",
            series(FIRST_SEEN, Q): "0x10",
            series(FIRST_SEEN, Q, instance=WEB_2): "60x10",
        },
        values={(WAIT, 4): value(240)},
    ),
    Figures(
        name="throughput, failure ratio and time to drain",
        samples={
            series(JOBS, Q, state="waiting"): "120x20",
            series(COMPLETED, Q): "0+60x20",
            series(FAILED, Q): "0+60x20",
            # Who reads the same Redis too sees the same counters: they are not added up.
            series(COMPLETED, Q, instance=WEB_2): "0+60x20",
        },
        values={
            (RATE, 10): value(1),
            ("queue:jobqueue_jobs_failed:rate5m", 10): value(1),
            ("queue:jobqueue_jobs_failed_per_processed:ratio_rate5m", 10): value(0.5),
            ("queue:jobqueue_drain_seconds:estimate", 10): value(60),
        },
    ),
    Figures(
        name="where failures are not counted, the time to drain is told by what is completed",
        samples={series(JOBS, Q, state="waiting"): "120x20", series(COMPLETED, Q): "0+60x20"},
        values={("queue:jobqueue_drain_seconds:estimate", 10): value(120)},
    ),
    Figures(
        name="no ratio and no estimate while nothing is done",
        samples={
            series(JOBS, Q, state="waiting"): "120x20",
            series(COMPLETED, Q): "5x20",
            series(FAILED, Q): "5x20",
        },
        values={
            (RATE, 10): value(0),
            ("queue:jobqueue_jobs_failed_per_processed:ratio_rate5m", 10): [],
            ("queue:jobqueue_drain_seconds:estimate", 10): [],
        },
    ),
    Figures(
        name="a counter that goes on at another exporter makes no leap, and its rate is whole again after five minutes",
        samples={
            series(COMPLETED, Q): "5000+60x10 stale",
            series(COMPLETED, Q, instance=WEB_2): "_x12 5720+60x20",
        },
        values={
            (RATE, 10): value(1),
            (RATE, 14): value(0.5),
            (RATE, 18): value(1),
        },
    ),
    Figures(
        name="failed and dead jobs that are kept, once each",
        samples={
            series("jobqueue_jobs_kept", Q, result="failed"): "5x10",
            series("jobqueue_jobs_kept", Q, result="failed", instance=WEB_2): "5x10",
            series("jobqueue_jobs_kept", Q, result="dead"): "2x10",
            series("jobqueue_jobs_kept", Q, result="finished"): "900x10",
        },
        values={("queue:jobqueue_failed_kept:max", 5): value(7)},
    ),
)
