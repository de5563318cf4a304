"""``depthgauge demo``: run the main job on embedded defaults until Ctrl-C, or once with ``--check``."""

import signal
import sys
import time
from types import FrameType
from typing import Final, NoReturn

from cli.demo.stack import DemoError, Stack
from cli.demo.view import Seen, addresses, look, table

CHECK_SECONDS: Final = 85.0
REFRESH: Final = 2.0


def run(*, check: bool) -> int:
    """Run the demo; return the exit status."""
    started = time.monotonic()

    def say(text: str) -> None:
        print(f"[{time.monotonic() - started:5.1f} s] {text}", flush=True)

    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, _interrupt)
    try:
        with Stack(say) as stack:
            deadline = started + CHECK_SECONDS
            stack.start(deadline)
            say("waiting for the first snapshot in /metrics, in the cache and in the database")
            seen = _first(stack, deadline)
            say("the first snapshot has arrived everywhere")
            if check:
                _report(stack, seen)
                return 0
            _show(stack)
    except DemoError as exc:
        print(f"depthgauge demo: {exc}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("\nstopped", flush=True)
        return 130 if check else 0
    return 0


def _first(stack: Stack, deadline: float) -> Seen:
    while True:
        seen = look(stack.folder)
        missing = seen.missing()
        if not missing:
            return seen
        if time.monotonic() > deadline:
            logs = "\n".join(f"{name}: {stack.log_of(name)}" for name in ("exporter", "sink"))
            raise DemoError(f"no snapshot in {' and '.join(missing)} within {CHECK_SECONDS:.0f} s:\n{logs}")
        time.sleep(0.25)


def _report(stack: Stack, seen: Seen) -> None:
    assert seen.metrics is not None
    samples = [line for line in seen.metrics.splitlines() if line and not line.startswith("#")]
    print(f"\n/metrics    {len(samples)} samples, for instance")
    for line in [line for line in samples if line.startswith("jobqueue_jobs{")][:3]:
        print(f"            {line}")
    print(f"cache       snapshot {seen.cached.seq if seen.cached else '-'} of host demo")
    print(f"database    {seen.stored} snapshots in depthgauge.snapshots\n")
    print("\n".join(table(seen)))
    print("\n" + "\n".join(addresses(stack.folder)) + "\n", flush=True)


def _show(stack: Stack) -> None:
    """Print the table again and again: in place on a terminal, one after the other elsewhere."""
    in_place = sys.stdout.isatty()
    print("\n" + "\n".join(addresses(stack.folder)) + "\n\nCtrl-C stops everything.\n", flush=True)
    height = 0
    while True:
        seen = look(stack.folder)
        lines = [*table(seen), "", f"snapshots in the database: {seen.stored}"]
        if in_place and height:
            print(f"\x1b[{height}A\x1b[J", end="")
        print("\n".join(lines), flush=True)
        height = len(lines)
        time.sleep(REFRESH if in_place else REFRESH * 5)


def _interrupt(number: int, frame: FrameType | None) -> NoReturn:
    raise KeyboardInterrupt(f"signal {number} in {frame}")
