"""``depthgauge sink``."""

import sys
from collections.abc import Callable

from cli.signals import stop_on_signals
from depthgauge.reload import Reloaded
from sink.daemon import Sink
from sink.settings import SinkSettings


def run(settings: SinkSettings, load: Callable[[], Reloaded] | None = None) -> int:
    """Run the sink until it is told to stop; return the exit status. ``load`` reads the configuration again. SchemaError comes through."""
    daemon = Sink(settings, load=load)
    with stop_on_signals(daemon.reloader.hang_up) as stop:
        try:
            daemon.run(stop)
        except OSError as exc:
            print(f"depthgauge sink: cannot listen on {', '.join(settings.web.listen)}: {exc}", file=sys.stderr)
            return 1
    return 0
