"""Settings that take effect while a daemon runs: on SIGHUP, and on POST /-/reload."""

import logging
import threading
from collections.abc import Callable
from dataclasses import dataclass
from http import HTTPStatus

from depthgauge.errors import ConfigError
from depthgauge.gate import Gate
from depthgauge.http_message import Response, text
from depthgauge.settings import WebSettings
from depthgauge.tls import TlsError

log = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True, slots=True)
class Reloaded:
    """A configuration that was read again, and has no mistake."""

    web: WebSettings
    restart: tuple[str, ...]
    """Settings that have changed and take effect with a restart only."""
    warnings: tuple[str, ...] = ()
    apply: Callable[[], None] = lambda: None
    """What else takes effect at once: the log."""


class Reloader:
    """Reads a configuration again and lets the gate go by it; one reload at a time.

    ``load`` raises ConfigError, ``complete`` adds to the settings what this daemon has found out itself.
    """

    def __init__(
        self,
        gate: Gate,
        load: Callable[[], Reloaded] | None,
        *,
        now: Callable[[], float],
        complete: Callable[[WebSettings], WebSettings] = lambda settings: settings,
    ) -> None:
        self._gate = gate
        self._load = load
        self._now = now
        self._complete = complete
        self._lock = threading.Lock()
        self.good = True
        """Whether the configuration was good when it was last read."""
        self.last_good = now()
        """Unix time of the last good one."""
        if load is not None:
            gate.reload = self._respond

    def reload(self) -> Reloaded | None:
        """Read the configuration and let it take effect; None where there is none to read.

        Raise ConfigError with everything that is wrong, and change nothing.
        """
        if self._load is None:
            return None
        with self._lock:
            try:
                found = self._load()
                self._apply(found)
            except ConfigError as exc:
                self.good = False
                for problem in exc.problems:
                    log.error("the configuration is not reloaded: %s", problem)  # noqa: TRY400  the sentence says it all
                raise
            self.good, self.last_good = True, self._now()
        for warning in found.warnings:
            log.warning(warning)
        if found.restart:
            log.warning("the configuration is reloaded; restart to apply: %s", ", ".join(found.restart))
        else:
            log.info("the configuration is reloaded")
        return found

    def hang_up(self) -> None:
        """Reload because of a signal: the log has told what is wrong."""
        try:
            self.reload()
        except ConfigError as exc:
            log.debug("%d mistakes keep the settings as they are", len(exc.problems))

    def _apply(self, found: Reloaded) -> None:
        try:
            self._gate.apply(self._complete(found.web))
        except TlsError as exc:
            # The files have changed since they were looked at a moment ago.
            raise ConfigError((f"tls_server_config.{exc.part}: {exc}",)) from exc
        found.apply()

    def _respond(self) -> Response:
        try:
            found = self.reload()
        except ConfigError as exc:
            told = "\n".join(exc.problems)
            return text(HTTPStatus.INTERNAL_SERVER_ERROR, f"nothing has changed, the configuration is wrong:\n{told}")
        assert found is not None
        if found.restart:
            return text(HTTPStatus.OK, f"reloaded; restart to apply: {', '.join(found.restart)}")
        return text(HTTPStatus.OK, "reloaded")
