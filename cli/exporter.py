"""``depthgauge exporter``."""

import sys
from collections.abc import Callable

from cli.signals import stop_on_signals
from depthgauge.reload import Reloaded
from exporter.daemon import Daemon
from exporter.settings import ExporterSettings


def run(settings: ExporterSettings, load: Callable[[], Reloaded] | None = None) -> int:
    """Run the exporter until it is told to stop; return the exit status. ``load`` reads the configuration again."""
    daemon = Daemon(settings, load=load)
    with stop_on_signals(daemon.reloader.hang_up) as stop:
        try:
            daemon.run(stop)
        except OSError as exc:
            print(f"depthgauge exporter: cannot listen on {', '.join(settings.web.listen)}: {exc}", file=sys.stderr)
            return 1
    return 0
