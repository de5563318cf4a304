"""One URL that is asked again and again: whether it answers, and how fast."""

import logging
import threading
import time
from collections.abc import Callable
from datetime import datetime
from typing import Final

from depthgauge.errors import ErrorKind, SourceError
from depthgauge.health import Probe
from exporter.sampling import ResponseTimes, Sampler
from exporter.settings import ProbeSettings
from exporter.sources.http_get import Answer, HttpGet
from exporter.sources.trust import Trust

log = logging.getLogger(__name__)

KIND: Final = "probe"
FIRST_ERROR_STATUS: Final = 400


class ProbeSource:
    """Asks the URL every ``settings.every`` seconds once it is started, and tells how that went.

    Without :meth:`start` each :meth:`collect` asks once itself. ``timeout`` is what one collect may take, in seconds.
    A URL that does not answer is a finding and no failure of the source.
    """

    kind: Final = KIND

    def __init__(
        self,
        settings: ProbeSettings,
        *,
        clock: Callable[[], datetime],
        timeout: float,
        trust: Trust | None = None,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self.target = settings.name
        self._settings = settings
        self._clock = clock
        self._monotonic = monotonic
        self._timeout = timeout
        self._get = HttpGet(settings.url, ca_file=settings.ca_file, monotonic=monotonic, trust=trust)
        self._times = ResponseTimes(monotonic=monotonic)
        self._sampler: Sampler | None = None
        self._asked = threading.Event()
        self._lock = threading.Lock()
        self._answer: Answer | None = None
        self._error: ErrorKind | None = None
        self._asked_at = 0.0
        self._expires_at: datetime | None = None

    def start(self) -> None:
        """Begin to ask, in a thread of its own."""
        if self._sampler is None:
            self._sampler = Sampler(
                f"probe:{self.target}", self.attempt, every=self._settings.every, monotonic=self._monotonic
            )
            self._sampler.start()

    def close(self) -> None:
        """Ask no more; an attempt in flight ends by its own deadline."""
        if self._sampler is not None:
            self._sampler.close()

    def attempt(self, timeout: float | None = None) -> None:
        """Ask once and note how it went, within ``timeout`` seconds (else the setting's); raise nothing for what a URL may do."""
        try:
            answer = self._get.ask(self._settings.timeout if timeout is None else timeout)
        except SourceError as exc:
            self._times.fail()
            self._note(None, exc.kind, str(exc))
        else:
            self._times.add(answer.seconds)
            self._note(answer, None, f"{self._get.shown} answers {answer.status}")

    def collect(self) -> Probe:
        """Return how the newest attempt went and the response times; raise SourceError where there was no attempt for long."""
        if self._sampler is None:
            self.attempt(min(self._timeout, self._settings.timeout))
        elif not self._asked.wait(self._timeout):
            raise SourceError(ErrorKind.TIMEOUT, f"{self._get.shown}: the first attempt has not ended yet")
        with self._lock:
            answer, error, expires_at = self._answer, self._error, self._expires_at
            age = self._monotonic() - self._asked_at
        if age > 2 * self._settings.every + self._settings.timeout:
            raise SourceError(ErrorKind.TIMEOUT, f"{self._get.shown}: no attempt has ended for {age:.0f} s")
        return Probe(
            observed_at=self._clock(),
            name=self.target,
            up=_is_up(answer),
            status=answer.status if answer is not None else None,
            error=error,
            certificate_expires_at=expires_at,
            response=self._times.take(),
        )

    def _note(self, answer: Answer | None, error: ErrorKind | None, message: str) -> None:
        with self._lock:
            is_first = not self._asked.is_set()
            was_up, before = _is_up(self._answer), self._error
            self._answer, self._error, self._asked_at = answer, error, self._monotonic()
            if answer is not None:
                self._expires_at = answer.certificate_expires_at
            # Kept when there is no answer: a certificate that has just run out is the likely reason.
        self._asked.set()
        is_up = _is_up(answer)
        if not is_up and (is_first or was_up or before != error):
            log.warning("probe %s: %s", self.target, message, extra={"reason": error.value if error else "status"})
        elif is_up and not was_up and not is_first:
            log.info("probe %s: %s again", self.target, message)


def _is_up(answer: Answer | None) -> bool:
    return answer is not None and answer.status < FIRST_ERROR_STATUS
