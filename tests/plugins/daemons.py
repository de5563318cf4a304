"""The daemons as users start them: real processes of the ``depthgauge`` command."""

import os
import re
import signal
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, TypeAlias

import pytest
from prometheus_client.parser import text_string_to_metric_families

from tests.plugins.waiting import wait_for

Labels = frozenset[tuple[str, str]]

STOP_TIMEOUT = 10.0


class Daemon:
    """One process of ``depthgauge``; ``environ`` is added to its environment, ``program`` is the module that is run.

    ``config`` is the text of its file; None starts it without one.
    """

    def __init__(
        self,
        command: str,
        config: str | None,
        folder: Path,
        *args: str,
        environ: Mapping[str, str] | None = None,
        program: str = "cli.main",
    ) -> None:
        self.command = command
        self.folder = folder
        folder.mkdir(parents=True, exist_ok=True)
        self.config = folder / "depthgauge.toml"
        self._named = () if config is None else ("--config.file", str(self.config))
        if config is not None:
            self.config.write_text(config)
        self.log = folder / f"{command}.log"
        self._args = args
        self._environ = dict(environ or {})
        self._program = program
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> "Daemon":
        """Start the process; does not wait for it to be ready."""
        environment = {name: value for name, value in os.environ.items() if not name.startswith("DEPTHGAUGE_")}
        with self.log.open("ab") as output:
            self._process = subprocess.Popen(
                [
                    *(sys.executable, "-m", self._program, self.command, *self._named),
                    *("--web.listen-address", "127.0.0.1:0", *self._args),
                ],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                env={**environment, "XDG_STATE_HOME": str(self.config.parent / "own"), **self._environ},
            )
        return self

    @property
    def process(self) -> subprocess.Popen[bytes]:
        assert self._process is not None, "not started"
        return self._process

    @property
    def text(self) -> str:
        """What it has logged."""
        return self.log.read_text()

    @property
    def url(self) -> str:
        """Its address, told by its log since it listens on a free port."""

        def told() -> str | None:
            assert self.process.poll() is None, f"{self.command} ended with {self.process.returncode}:\n{self.text}"
            found = re.findall(r"https?://127\.0\.0\.1:\d+", self.text)
            return found[-1] if found else None

        return str(wait_for(told, 20, what=f"{self.command} tells its address; {self.log}"))

    def get(self, path: str) -> str | None:
        """GET a page; None unless it answers 200."""
        try:
            with urllib.request.urlopen(self.url + path, timeout=5) as answer:
                return str(answer.read().decode())
        except (urllib.error.URLError, OSError):
            return None

    def ready(self) -> "Daemon":
        """Wait until it is ready."""
        wait_for(lambda: self.get("/-/ready") is not None, 30, what=f"{self.command} is ready; log:\n{self.text}")
        return self

    def samples(self, family: str) -> dict[Labels, float]:
        """Return the samples of one metric by their labels."""
        text = self.get("/metrics")
        assert text is not None, self.text
        return {
            frozenset(sample.labels.items()): sample.value
            for each in text_string_to_metric_families(text)
            for sample in each.samples
            if sample.name == family
        }

    def value(self, family: str, **labels: str) -> float | None:
        """Return the one sample with these labels; None where there is none."""
        found = [value for have, value in self.samples(family).items() if set(labels.items()) <= have]
        assert len(found) <= 1, found
        return found[0] if found else None

    def stop(self) -> int:
        """SIGTERM; return the exit status."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGCONT)
            self.process.terminate()
        return self.process.wait(STOP_TIMEOUT)

    def kill(self) -> None:
        """SIGKILL."""
        self.process.kill()
        self.process.wait(STOP_TIMEOUT)


MakeDaemon: TypeAlias = Callable[..., Daemon]


@pytest.fixture
def make_daemon(tmp_path: Path) -> Iterator[MakeDaemon]:
    """Give a function that makes daemons (``make_daemon("exporter", config)``), all ended with the test."""
    made: list[Daemon] = []

    def make(command: str, config: str | None, *args: str, folder: Path | None = None, **options: Any) -> Daemon:
        daemon = Daemon(command, config, folder or tmp_path / f"{command}-{len(made)}", *args, **options)
        made.append(daemon)
        return daemon.start()

    yield make
    for daemon in made:
        if daemon.process.poll() is None:
            daemon.kill()
