"""The alert about jobs without workers, in every situation that it has to judge."""

from dataclasses import replace

from tests.plugins.proofs_queues import MAIL, PROOFS, Q
from tests.plugins.rule_tests import WEB_1, WEB_2, Case, Firing, Samples, series

ALERT = "JobQueueNoWorkers"
MINUTES = (5, 8, 15, 30)


def waiting(instance: str = WEB_1, **labels: str) -> str:
    return series("jobqueue_jobs", {**Q, "state": "waiting", **labels}, instance=instance)


def workers(instance: str = WEB_1, **labels: str) -> str:
    return series("jobqueue_workers", {**Q, **labels}, instance=instance)


def registry(instance: str = WEB_1, **labels: str) -> str:
    return series("jobqueue_registry_workers", {**Q, **labels}, instance=instance)


def firing(jobs: int = 3) -> Firing:
    return replace(PROOFS[1].firing, description=f"{MAIL} has had waiting jobs and no worker for 5m; {jobs} wait now.")


def quiet(about: str, samples: Samples, minutes: tuple[int, ...] = MINUTES) -> Case:
    return Case(name=f"{ALERT} stays quiet: {about}", alert=ALERT, samples=samples, quiet=minutes)


def fires(about: str, samples: Samples, at: int, *, until: int | None = None, expected: Firing | None = None) -> Case:
    found = expected or firing()
    looks = (at, at + 1, *(() if until is None else (until,)))
    return Case(
        name=f"{ALERT} fires: {about}",
        alert=ALERT,
        samples=samples,
        quiet=(at - 1,),
        firing=dict.fromkeys(looks, (found,)),
    )


ELSEWHERE = (
    quiet("workers on another host", {waiting(): "3x40", workers(): "0x40", workers(WEB_2): "2x40"}),
    quiet("workers that only the registry knows", {waiting(): "3x40", workers(): "0x40", registry(): "1x40"}),
    quiet("local workers that the registry does not know", {waiting(): "3x40", workers(): "1x40", registry(): "0x40"}),
    fires("no workers on any of two hosts", {waiting(): "3x40", workers(): "0x40", workers(WEB_2): "0x40"}, 5),
    fires(
        "the workers of the other host go",
        {waiting(): "3x40", workers(): "0x40", workers(WEB_2): "2x3 0x40"},
        9,
    ),
    fires(
        "both exporters read the same Redis, and it is one alert",
        {waiting(): "3x40", waiting(WEB_2): "3x40", workers(): "0x40", workers(WEB_2): "0x40"},
        5,
    ),
)
SILENT = (
    quiet(
        "supervisord is down, so nobody knows whether its workers run",
        {waiting(): "3x40", workers(): "2x3 stale", series("supervisor_up", supervisor="main"): "1x3 0x40"},
        (10, 20, 30, 40),
    ),
    Case(
        name=f"{ALERT} waits an hour for a host that had workers, while the other has none",
        alert=ALERT,
        samples={waiting(): "3x90", workers(): "0x90", workers(WEB_2): "2x3 stale"},
        quiet=(10, 30, 60, 68),
        firing={69: (firing(),)},
    ),
    fires(
        "a supervisord that goes down without workers ends nothing",
        {waiting(): "3x40", workers(): "0x8 stale"},
        5,
        until=40,
    ),
    fires(
        "an exporter that starts anew has not known its workers yet",
        {waiting(): "3x8 stale 3x300", workers(): "0x8 stale"},
        5,
        until=300,
    ),
    quiet(
        "an exporter that starts anew has not known workers that were there",
        {waiting(): "3x8 stale 3x200", workers(): "2x8 stale"},
        (14, 30, 70, 90, 200),
    ),
    Case(
        name=f"{ALERT} takes a target of another name for another host, and waits an hour for the first",
        alert=ALERT,
        samples={waiting(WEB_2): "3x120", workers(): "3x30 stale", workers(WEB_2): "_x31 3x5 0x100"},
        quiet=(30, 42, 60, 95),
        firing={96: (firing(),)},
    ),
    fires(
        "a missed scrape of a host that had workers is no silence",
        {waiting(WEB_2): "3x40", workers(WEB_2): "0x40", workers(): "2x3 0x6 stale 0x30"},
        9,
        until=12,
    ),
    fires("the registry is empty", {waiting(): "3x40", registry(): "2x3 0x40"}, 9),
    quiet(
        "the registry cannot be read any more, and had workers",
        {waiting(): "3x40", workers(): "0x40", registry(): "2x3 stale"},
    ),
    fires(
        "the registry cannot be read any more, and had none",
        {waiting(): "3x40", workers(): "0x40", registry(): "0x3 stale"},
        5,
        until=30,
    ),
)
SYSTEMS = (
    quiet(
        "delayed jobs that are not due",
        {waiting(): "0x40", workers(): "0x40", series("jobqueue_jobs", {**Q, "state": "delayed"}): "3x40"},
    ),
    fires(
        "delayed jobs that are overdue count as waiting",
        {
            waiting(): "0x4 3x40",
            workers(): "0x40",
            series("jobqueue_jobs", {**Q, "state": "delayed"}): "3x4 0x40",
        },
        10,
    ),
    fires(
        "an installation without supervisord, whose registry has no worker", {waiting(): "3x40", registry(): "0x40"}, 5
    ),
    quiet("an installation without supervisord, whose registry has a worker", {waiting(): "3x40", registry(): "1x40"}),
    quiet("an installation where no worker was ever known", {waiting(): "3x40"}),
    quiet("the workers of another queue are known", {waiting(): "3x40", workers(queue="reports"): "0x40"}),
    fires(
        "a queue of the same name in another Redis has workers",
        {waiting(): "3x40", workers(): "0x40", waiting(redis="other"): "9x40", workers(redis="other"): "1x40"},
        5,
    ),
    fires(
        "what a system keeps for all its queues together has no name",
        {waiting(system="sidekiq", queue=""): "3x40", registry(system="sidekiq", queue=""): "0x40"},
        5,
        expected=Firing(
            labels={"redis": "default", "system": "sidekiq", "severity": "critical"},
            summary=firing().summary,
            description=firing().description.replace(MAIL, "Queue (all together) (sidekiq in Redis default)"),
        ),
    ),
    Case(
        name=f"{ALERT} tells two queues apart",
        alert=ALERT,
        samples={
            waiting(): "3x40",
            workers(): "0x40",
            waiting(queue="reports"): "0x2 3x40",
            workers(queue="reports"): "0x40",
        },
        firing={
            5: (firing(),),
            8: (
                firing(),
                Firing(
                    labels={**Q, "queue": "reports", "severity": "critical"},
                    summary=firing().summary,
                    description=firing().description.replace("Queue mail", "Queue reports"),
                ),
            ),
        },
    ),
)
TAKE_OVERS = (
    fires(
        "another exporter takes over the Redis meanwhile",
        {waiting(): "3x2 stale", waiting(WEB_2): "_x5 3x40", workers(): "0x40", workers(WEB_2): "0x40"},
        5,
        until=20,
    ),
    fires(
        "another exporter takes over the Redis afterwards",
        {waiting(): "3x8 stale", waiting(WEB_2): "_x11 3x40", workers(): "0x40"},
        5,
        until=20,
    ),
    fires(
        "the registry is told by another exporter",
        {waiting(): "3x8 stale", waiting(WEB_2): "_x11 3x40", registry(): "0x8 stale", registry(WEB_2): "_x11 0x40"},
        5,
        until=20,
    ),
    quiet(
        "another exporter takes over while workers are there",
        {
            waiting(): "3x8 stale",
            waiting(WEB_2): "_x11 3x40",
            registry(): "2x8 stale",
            registry(WEB_2): "_x11 2x40",
            workers(): "0x40",
        },
        tuple(range(5, 25)),
    ),
    quiet(
        "the exporter of the host with the workers starts anew",
        {waiting(WEB_2): "3x40", workers(WEB_2): "0x40", workers(): "2x5 stale _x6 2x40"},
        tuple(range(5, 25)),
    ),
)
CASES = (*ELSEWHERE, *SILENT, *SYSTEMS, *TAKE_OVERS)
