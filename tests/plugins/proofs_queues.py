"""Proofs of the alerts about queues; the cases without workers are in proofs_workers, those of take-overs in proofs_takeover."""

from tests.plugins.rule_tests import WEB_2, Case, Proof, series

Q = {"redis": "default", "system": "laravel", "queue": "mail"}
MAIL = "Queue mail (laravel in Redis default)"
UP = series("jobqueue_up", redis="default")
WAITING = series("jobqueue_jobs", Q, state="waiting")
WORKERS = series("jobqueue_workers", Q)
OLDEST = series("jobqueue_oldest_job_timestamp_seconds", Q)
FIRST_SEEN = series("jobqueue_head_first_seen_timestamp_seconds", Q)
COMPLETED = series("jobqueue_jobs_completed_total", Q)
FAILED = series("jobqueue_jobs_failed_total", Q)
KEPT = series("jobqueue_jobs_kept", Q, result="failed")
DEAD = series("jobqueue_jobs_kept", Q, result="dead")
PAUSED = series("jobqueue_paused", Q)

PROOFS = (
    Proof(
        alert="JobQueueRedisDown",
        severity="critical",
        samples={UP: "1 0x30"},
        fires_at=4,
        labels={"redis": "default"},
        summary="No exporter can read the queues in a Redis.",
        description="The queues in Redis default have not been read for 3m: nothing is known of their jobs.",
        below={
            "it answers again a step earlier": {UP: "1 0x2 1x30"},
            "one reading before the exporter has gone": {UP: "1 0 stale"},
            "another exporter reads it": {series("jobqueue_up", redis="default", instance=WEB_2): "1x30"},
        },
    ),
    Proof(
        alert="JobQueueNoWorkers",
        severity="critical",
        samples={WAITING: "3x30", WORKERS: "0x30"},
        fires_at=5,
        labels=Q,
        summary="Jobs wait in a queue that no worker serves.",
        description=f"{MAIL} has had waiting jobs and no worker for 5m; 3 wait now.",
        below={
            "no job waits": {WAITING: "0x30"},
            "one worker": {WORKERS: "1x30"},
            "a worker comes a step earlier": {WORKERS: "0x4 1x30"},
        },
    ),
    Proof(
        alert="JobQueueWaitTooLong",
        severity="warning",
        samples={WAITING: "1x40", OLDEST: "0x40"},
        fires_at=14,
        labels=Q,
        summary="The next job of a queue has been waiting for too long.",
        description=f"{MAIL}: its next job has been waiting for 14m 0s, more than 10m.",
        later=f"{MAIL}: its next job has been waiting for 16m 0s, more than 10m.",
        below={
            "ten minutes are not too long": {OLDEST: "0x10 60+60x30"},
            "it is taken a step earlier": {OLDEST: "0x13 _x30", WAITING: "1x13 0x30"},
            "heads without stored times are taken, though more come than go": {
                OLDEST: "_x40",
                FIRST_SEEN: "0x4 300x4 600x4 900x4 1200x4 1500x9",
                WAITING: "1+1x40",
            },
        },
    ),
    Proof(
        alert="JobQueueWaitCritical",
        severity="critical",
        samples={WAITING: "1x90", OLDEST: "0x90"},
        fires_at=64,
        labels=Q,
        summary="The next job of a queue has been waiting for far too long.",
        description=f"{MAIL}: its next job has been waiting for 1h 4m 0s, more than 1h.",
        later=f"{MAIL}: its next job has been waiting for 1h 6m 0s, more than 1h.",
        below={"an hour is not too long": {OLDEST: "0x60 60+60x30"}},
    ),
    Proof(
        alert="JobQueueStuck",
        severity="critical",
        samples={WAITING: "4x60", OLDEST: "0x60", WORKERS: "2x60"},
        fires_at=30,
        labels=Q,
        summary="A queue with workers stands still.",
        description=f"{MAIL} has 4 waiting jobs, and none was taken or done in 30m.",
        below={
            "a job is taken every half an hour": {OLDEST: "0x29 60x29 120x29"},
            "a head without a stored time came after another": {OLDEST: "0x14 stale", FIRST_SEEN: "_x15 900x30"},
            "many jobs of the same second are taken": {WAITING: "9x14 8x14 7x14 6x14"},
            "the queue was empty half an hour ago": {WAITING: "0 4x18 0 4x60"},
            "jobs are done, though more come than go": {COMPLETED: "0x14 1x14 2x14 3x14"},
            "jobs fail": {FAILED: "0x14 1x14 2x14 3x14"},
            "no workers, which has an alert of its own": {WORKERS: "0x60"},
            "it is paused": {PAUSED: "1x60"},
        },
    ),
    Proof(
        alert="JobQueueFailureRatioHigh",
        severity="warning",
        samples={COMPLETED: "0+900x40", FAILED: "0+101x40"},
        fires_at=11,
        labels=Q,
        summary="Many jobs of a queue fail.",
        description=f"{MAIL}: 10.09% of its jobs fail, more than 10%.",
        below={
            "one in ten": {FAILED: "0+100x40"},
            "too few to tell": {COMPLETED: "0+0.5x40", FAILED: "0+0.9x40"},
        },
    ),
    Proof(
        alert="JobQueueFailedJobs",
        severity="warning",
        samples={KEPT: "100x5 110 111x70"},
        fires_at=7,
        labels=Q,
        summary="Failed jobs of a queue pile up.",
        description=f"{MAIL}: 11 jobs have failed for good within an hour, more than 10.",
        below={
            "ten are not many": {KEPT: "100x5 110x70"},
            "they were there before": {KEPT: "500x70"},
            "old ones go": {KEPT: "500x5 400x70"},
        },
    ),
    Proof(
        alert="JobQueuePaused",
        severity="info",
        samples={PAUSED: "1x80"},
        fires_at=60,
        labels=Q,
        summary="A queue has been paused for long.",
        description=f"{MAIL} has been paused for 1h: was it forgotten?",
        below={"it goes on a step earlier": {PAUSED: "1x59 0x20"}},
    ),
)
MORE = (
    Case(
        name="JobQueueStuck knows heads without stored times, and queues whose workers nobody knows",
        alert="JobQueueStuck",
        samples={WAITING: "4x60", FIRST_SEEN: "0x60"},
        quiet=(29,),
        firing={30: (PROOFS[4].firing,)},
    ),
    Case(
        name="JobQueueStuck fires beside counters that stand still",
        alert="JobQueueStuck",
        samples={WAITING: "4x60", OLDEST: "0x60", WORKERS: "2x60", COMPLETED: "70x60", FAILED: "3x60"},
        quiet=(29,),
        firing={30: (PROOFS[4].firing,)},
    ),
    Case(
        name="JobQueueStuck stays quiet: a missed scrape of a queue that is paused",
        alert="JobQueueStuck",
        samples={WAITING: "4x60", OLDEST: "0x60", PAUSED: "1x34 stale 1x25"},
        quiet=(34, 35, 36),
    ),
    Case(
        name="JobQueueStuck says nothing where no head is known",
        alert="JobQueueStuck",
        samples={WAITING: "4x60", WORKERS: "2x60"},
        quiet=(30, 45, 60),
    ),
    Case(
        name="JobQueueFailedJobs adds failed and dead jobs",
        alert="JobQueueFailedJobs",
        samples={KEPT: "100 106x20", DEAD: "0 5x20"},
        quiet=(0,),
        firing={1: (PROOFS[6].firing,)},
    ),
)
CASES = (*(case for proof in PROOFS for case in proof.cases()), *MORE)
