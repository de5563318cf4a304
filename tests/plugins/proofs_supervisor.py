"""Proofs of the alerts about supervisord, its processes, and the health of servers, hosts and URLs."""

from tests.plugins.rule_tests import WEB_1, Proof, series

MAIN = {"supervisor": "main"}
HERE = {"instance": WEB_1, "job": "depthgauge-exporter"}
PROCESS = {**MAIN, "group": "mail", "process": "mail_00"}
WORDS = "Process mail:mail_00 of supervisord main on web-1:10139"
SUPERVISOR_UP = series("supervisor_up", MAIN)
STATE = series("supervisor_process_state", PROCESS)
RESTARTS = series("supervisor_process_restarts_total", PROCESS)
EXIT = series("supervisor_process_exit_status", PROCESS)

SUPERVISORS = (
    Proof(
        alert="SupervisorDown",
        severity="critical",
        samples={SUPERVISOR_UP: "1 0x30"},
        fires_at=4,
        labels={**MAIN, **HERE},
        summary="A supervisord cannot be read.",
        description=("Supervisord main on web-1:10139 has not answered for 3m: whether its workers run is not known."),
        below={
            "it answers again a step earlier": {SUPERVISOR_UP: "1 0x2 1x30"},
            "one reading before the exporter has gone": {SUPERVISOR_UP: "1 0 stale"},
        },
    ),
    Proof(
        alert="SupervisorProcessFatal",
        severity="critical",
        samples={STATE: "20 200x30"},
        fires_at=4,
        labels={**PROCESS, **HERE},
        summary="Supervisord has given up a process.",
        description=f"{WORDS} is FATAL: supervisord could not start it and will not try again.",
        below={
            "BACKOFF is not FATAL": {STATE: "20 30x30"},
            "it was started a step earlier": {STATE: "20 200x2 20x30"},
            "it was taken away as soon as it was seen": {STATE: "20 200 stale"},
        },
    ),
    Proof(
        alert="SupervisorProcessCrashLoop",
        severity="critical",
        samples={RESTARTS: "0x2 1 2 3 4 5 6x30"},
        fires_at=8,
        labels={**PROCESS, **HERE},
        summary="A process is restarted again and again.",
        description=f"{WORDS} was restarted 6 times at least in 15 minutes, more than 5.",
        below={
            "five restarts": {RESTARTS: "0x2 1 2 3 4 5x30"},
            "six in more than 15 minutes": {RESTARTS: "0x2 1x2 2x2 3x2 4x2 5x2 6x30"},
            "an exporter that starts anew": {RESTARTS: "90x7 0x30"},
        },
    ),
    Proof(
        alert="SupervisorProcessExited",
        severity="warning",
        samples={STATE: "20 100x30", EXIT: "_ 3x30"},
        fires_at=6,
        labels={**PROCESS, **HERE},
        summary="A process ended with an error and was not started again.",
        description=f"{WORDS} has been EXITED for 5m, with status 3.",
        below={
            "it ended well": {EXIT: "_ 0x30"},
            "it was started a step earlier": {STATE: "20 100x4 20x30", EXIT: "_ 3x4 _x30"},
        },
    ),
)

REDIS = {"target": "default"}
USED = series("depthgauge_redis_memory_used_bytes", REDIS)
MOST = series("depthgauge_redis_memory_max_bytes", REDIS)
EVICTED = series("depthgauge_redis_evicted_keys_total", REDIS)
APP = {"target": "app"}
POSTGRES_UP = series("depthgauge_postgres_up", APP)
ACTIVE = series("depthgauge_postgres_connections", APP, state="active")
IDLE = series("depthgauge_postgres_connections", APP, state="idle")
IN_TRANSACTION = series("depthgauge_postgres_connections", APP, state="idle in transaction")
ALLOWED = series("depthgauge_postgres_max_connections", APP)
DISK = {"target": "web-1", "mountpoint": "/var"}
USED_RATIO = series("depthgauge_host_disk_used_ratio", DISK)
SITE = {"target": "site"}
PROBE_UP = series("depthgauge_probe_up", SITE)

HEALTH = (
    Proof(
        alert="DepthgaugeRedisMemoryHigh",
        severity="warning",
        samples={USED: "901x30", MOST: "1000x30"},
        fires_at=5,
        labels=REDIS,
        summary="A Redis has nearly reached its memory limit.",
        description="Redis default uses 90.1% of its maxmemory, more than 90%.",
        below={"nine tenths": {USED: "900x30"}, "a Redis without a limit": {MOST: "0x30"}},
    ),
    Proof(
        alert="DepthgaugeRedisEvicting",
        severity="warning",
        samples={EVICTED: "0x3 1x30"},
        fires_at=4,
        labels=REDIS,
        summary="A Redis throws keys out for want of memory.",
        description="Redis default has evicted 1 keys in 15 minutes: where they were jobs, these are lost.",
        below={"it did so before": {EVICTED: "7x30"}},
    ),
    Proof(
        alert="DepthgaugePostgresDown",
        severity="critical",
        samples={POSTGRES_UP: "1 0x30"},
        fires_at=4,
        labels=APP,
        summary="No exporter can read a PostgreSQL.",
        description="PostgreSQL app has not answered any exporter for 3m.",
        below={
            "it answers again a step earlier": {POSTGRES_UP: "1 0x2 1x30"},
            "one reading before the exporter has gone": {POSTGRES_UP: "1 0 stale"},
        },
    ),
    Proof(
        alert="DepthgaugePostgresConnectionsHigh",
        severity="warning",
        samples={ACTIVE: "401x30", IDLE: "400x30", ALLOWED: "1000x30"},
        fires_at=5,
        labels=APP,
        summary="A PostgreSQL has few connections left.",
        description="PostgreSQL app has 80.1% of its max_connections in use, more than 80%.",
        below={
            "four fifths": {ACTIVE: "400x30"},
            "connections that go from one state to another and back are not counted in both": {
                IDLE: "600x30",
                ACTIVE: " ".join(("150", "stale") * 15),
                IN_TRANSACTION: " ".join(("stale", "150") * 15),
            },
        },
    ),
    Proof(
        alert="DepthgaugeHostDiskFull",
        severity="warning",
        samples={USED_RATIO: "0.901x40"},
        fires_at=15,
        labels={**DISK, **HERE},
        summary="A file system is nearly full.",
        description="/var on web-1 is 90.1% full, more than 90%.",
        below={"nine tenths": {USED_RATIO: "0.9x40"}},
    ),
    Proof(
        alert="DepthgaugeProbeDown",
        severity="critical",
        samples={PROBE_UP: "1 0x30"},
        fires_at=4,
        labels={**SITE, **HERE},
        summary="A probed URL does not answer, or answers with an error.",
        description="Probe site has failed for 3m, seen from web-1:10139.",
        below={
            "it answers again a step earlier": {PROBE_UP: "1 0x2 1x30"},
            "one reading before the exporter has gone": {PROBE_UP: "1 0 stale"},
        },
    ),
)
SUPERVISOR_CASES = tuple(case for proof in SUPERVISORS for case in proof.cases())
HEALTH_CASES = tuple(case for proof in HEALTH for case in proof.cases())
