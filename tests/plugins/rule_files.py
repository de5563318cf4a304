"""Which proofs stand in which file of prometheus/rules/tests."""

from tests.plugins import proofs_own, proofs_queues, proofs_supervisor, proofs_takeover, proofs_workers
from tests.plugins.rule_tests import document

FILES = {
    "queues.yml": document("Alerts about queues.", proofs_queues.CASES),
    "no_workers.yml": document("JobQueueNoWorkers in every situation that it has to judge.", proofs_workers.CASES),
    "takeover.yml": document("A lease goes from one exporter to another.", proofs_takeover.CASES),
    "recordings.yml": document("Recording rules.", proofs_takeover.FIGURES),
    "supervisors.yml": document("Alerts about supervisord and its processes.", proofs_supervisor.SUPERVISOR_CASES),
    "health.yml": document("Alerts about servers, hosts and URLs.", proofs_supervisor.HEALTH_CASES),
    "exporters.yml": document("Alerts about exporters and the bus.", proofs_own.EXPORTER_CASES),
    "sinks.yml": document("Alerts about sinks.", proofs_own.SINK_CASES),
}
