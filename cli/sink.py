"""``depthgauge sink``."""

import sys

from cli.signals import stop_on_signals
from sink.daemon import Sink
from sink.settings import SinkSettings


def run(settings: SinkSettings) -> int:
    """Run the sink until it is told to stop; return the exit status. SchemaError comes through."""
    daemon = Sink(settings)
    with stop_on_signals() as stop:
        try:
            daemon.run(stop)
        except OSError as exc:
            print(f"depthgauge sink: cannot listen on {', '.join(settings.web.listen)}: {exc}", file=sys.stderr)
            return 1
    return 0
