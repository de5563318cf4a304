"""``depthgauge exporter``."""

import sys

from cli.signals import stop_on_signals
from exporter.daemon import Daemon
from exporter.settings import ExporterSettings


def run(settings: ExporterSettings) -> int:
    """Run the exporter until it is told to stop; return the exit status."""
    daemon = Daemon(settings)
    with stop_on_signals() as stop:
        try:
            daemon.run(stop)
        except OSError as exc:
            print(f"depthgauge exporter: cannot listen on {', '.join(settings.web.listen)}: {exc}", file=sys.stderr)
            return 1
    return 0
