"""Alerts about supervisord and its processes."""

from typing import Final

from cli.rules.model import Alert, Threshold

FATAL: Final = 200
EXITED: Final = 100

_WORDS: Final = "Process {{ $labels.group }}:{{ $labels.process }} of supervisord {{ $labels.supervisor }} on {{ $labels.instance }}"

DOWN: Final = Threshold(
    name="supervisor.down", default=180, unit="time", help="how long a supervisord may be unreadable"
)
PROCESS_FATAL: Final = Threshold(name="process.fatal", default=180, unit="time", help="how long a process may be FATAL")
RESTARTS: Final = Threshold(
    name="process.restarts", default=5, unit="count", help="restarts of a process that are allowed in 15 minutes"
)
PROCESS_EXITED: Final = Threshold(
    name="process.exited", default=300, unit="time", help="how long a process may stay EXITED after a failure"
)


ALERTS: Final = (
    Alert(
        name="SupervisorDown",
        severity="critical",
        threshold=DOWN,
        expr=lambda c: f"{c.last('supervisor_up')} == 0",
        lasting=DOWN,
        summary="A supervisord cannot be read.",
        description=(
            "Supervisord {{ $labels.supervisor }} on {{ $labels.instance }} has not answered for {limit}: "
            "whether its workers run is not known."
        ),
    ),
    Alert(
        name="SupervisorProcessFatal",
        severity="critical",
        threshold=PROCESS_FATAL,
        expr=lambda c: f"{c.last('supervisor_process_state')} == {FATAL}",
        lasting=PROCESS_FATAL,
        summary="Supervisord has given up a process.",
        description=_WORDS + " is FATAL: supervisord could not start it and will not try again.",
    ),
    Alert(
        name="SupervisorProcessCrashLoop",
        severity="critical",
        threshold=RESTARTS,
        expr=lambda c: f"{c.grown('supervisor_process_restarts_total', '15m')} > {c.number(RESTARTS)}",
        summary="A process is restarted again and again.",
        description=_WORDS + " was restarted {{ $value }} times at least in 15 minutes, more than {limit}.",
    ),
    Alert(
        name="SupervisorProcessExited",
        severity="warning",
        threshold=PROCESS_EXITED,
        expr=lambda c: (
            f"{c.last('supervisor_process_exit_status')} != 0\nand\n{c.last('supervisor_process_state')} == {EXITED}"
        ),
        lasting=PROCESS_EXITED,
        summary="A process ended with an error and was not started again.",
        description=_WORDS + " has been EXITED for {limit}, with status {{ $value }}.",
    ),
)
