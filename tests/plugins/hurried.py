"""The ``depthgauge`` command for tests in a hurry: ``python -m tests.plugins.hurried exporter …``.

It is the real command, but for two numbers that users have no way to set: an interval below a second, so that an hour of slots
fits into a minute, and the time after which a silent database is cut off.
"""

import os
from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from typing import Final

import cli.exporter
import cli.sink
from cli.main import main
from depthgauge.settings import HistorySettings
from exporter.settings import ExporterSettings
from sink.daemon import Sink

PROGRAM: Final = "tests.plugins.hurried"
INTERVAL: Final = "HURRIED_INTERVAL"
DEADLINE: Final = "HURRIED_DATABASE_DEADLINE"


def hurry(*, interval: float | None = None, database_deadline: float | None = None) -> Mapping[str, str]:
    """Return the environment that tells these numbers (seconds)."""
    told = {INTERVAL: interval, DEADLINE: database_deadline}
    return {name: str(value) for name, value in told.items() if value is not None}


def _hurried_main() -> None:
    run = cli.exporter.run

    def run_hurried(settings: ExporterSettings, history: HistorySettings | None = None) -> int:
        return run(replace(settings, interval=float(os.environ.get(INTERVAL, settings.interval))), history)

    cli.exporter.run = run_hurried
    if DEADLINE in os.environ:
        hurried = partial(Sink, database_deadline=float(os.environ[DEADLINE]))
        setattr(cli.sink, Sink.__name__, hurried)
    main(prog_name="depthgauge")


if __name__ == "__main__":
    _hurried_main()
