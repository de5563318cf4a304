"""``depthgauge sink``."""

import gc
import sys
from typing import Final

from cli.signals import stop_on_signals
from sink.daemon import Sink
from sink.settings import SinkSettings

SWITCH_INTERVAL: Final = 0.0005
COLLECT_AFTER: Final = 20_000
"""Objects made before the garbage collector looks for cycles: a batch has many, all of which go when it is written."""


def run(settings: SinkSettings) -> int:
    """Run the sink until it is told to stop; return the exit status. SchemaError comes through."""
    # One thread decodes while the other waits for the database: it is to go on as soon as there is an answer.
    sys.setswitchinterval(SWITCH_INTERVAL)
    gc.set_threshold(COLLECT_AFTER)
    daemon = Sink(settings)
    with stop_on_signals() as stop:
        try:
            daemon.run(stop)
        except OSError as exc:
            print(f"depthgauge sink: cannot listen on {', '.join(settings.web.listen)}: {exc}", file=sys.stderr)
            return 1
    return 0
