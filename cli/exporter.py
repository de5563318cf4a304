"""``depthgauge exporter``."""

import contextlib
import sys
from collections.abc import Callable, Iterator

from cli.signals import stop_on_signals
from depthgauge.history import History
from depthgauge.reload import Reloaded
from depthgauge.settings import HistorySettings
from exporter.daemon import Daemon
from exporter.settings import ExporterSettings


def run(settings: ExporterSettings, load: Callable[[], Reloaded] | None = None) -> int:
    """Run the exporter until it is told to stop; return the exit status. ``load`` reads the configuration again."""
    with _reader(settings.history) as reader:
        daemon = Daemon(settings, history=reader, load=load)
        with stop_on_signals(daemon.reloader.hang_up) as stop:
            try:
                daemon.run(stop)
            except OSError as exc:
                print(f"depthgauge exporter: cannot listen on {', '.join(settings.web.listen)}: {exc}", file=sys.stderr)
                return 1
    return 0


@contextlib.contextmanager
def _reader(history: HistorySettings | None) -> Iterator[History | None]:
    if history is None:
        yield None
        return
    # The database driver is a dozen MiB that an exporter without history need not carry.
    from sink.history import history_reader  # noqa: PLC0415

    with history_reader(history.dsn) as reader:
        yield reader
