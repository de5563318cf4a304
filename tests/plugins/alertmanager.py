"""A real Alertmanager: alerts are given to it by its API, and it says which of them it holds back."""

import json
import re
import shutil
import subprocess
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeAlias

import pytest

from cli.rules.table import ALERTS
from tests.plugins.ports import free_port
from tests.plugins.waiting import wait_for

STOP_TIMEOUT = 20.0

Labels: TypeAlias = Mapping[str, str]


class Alertmanager:
    """One server with a configuration."""

    def __init__(self, folder: Path, config: Path) -> None:
        self.port = free_port()
        self._log = folder / "alertmanager.log"
        with self._log.open("wb") as log:
            self._process = subprocess.Popen(
                [
                    str(shutil.which("prometheus-alertmanager")),
                    *(f"--config.file={config}", f"--storage.path={folder / 'alertmanager'}"),
                    *(f"--web.listen-address=127.0.0.1:{self.port}", "--cluster.listen-address="),
                ],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )
        wait_for(self._ready, 30, what=f"Alertmanager is ready; log: {self._log}")

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self.port}"

    def fire(self, *alerts: Labels) -> None:
        """Let alerts fire."""
        request = urllib.request.Request(
            f"http://{self.address}/api/v2/alerts",
            data=json.dumps([{"labels": dict(labels)} for labels in alerts]).encode(),
            headers={"Content-Type": "application/json"},
        )
        with urllib.request.urlopen(request, timeout=5) as answer:
            assert answer.status == 200

    def alerts(self) -> Sequence[dict[str, Any]]:
        """Return all alerts that fire, with their state."""
        with urllib.request.urlopen(f"http://{self.address}/api/v2/alerts", timeout=5) as answer:
            found: list[dict[str, Any]] = json.load(answer)
        return found

    def held_back(self) -> list[dict[str, str]]:
        """Return the labels of the alerts that others inhibit."""
        return [alert["labels"] for alert in self.alerts() if alert["status"]["inhibitedBy"]]

    def stop(self) -> None:
        self._process.terminate()
        self._process.wait(STOP_TIMEOUT)

    def _ready(self) -> bool:
        assert self._process.poll() is None, self._log.read_text()
        try:
            with urllib.request.urlopen(f"http://{self.address}/-/ready", timeout=1) as answer:
                return bool(answer.status == 200)
        except (urllib.error.URLError, OSError):
            return False


def selected(matchers: Sequence[str]) -> set[str]:
    """Return the names of the alerts that an inhibition's matchers of a name select."""
    (matcher,) = matchers
    _, operator, value = matcher.split(" ", 2)
    pattern = value.strip('"') if operator == "=~" else re.escape(value)
    return {alert.name for alert in ALERTS if re.fullmatch(pattern, alert.name)}


MakeAlertmanager: TypeAlias = Callable[[Path], Alertmanager]


@pytest.fixture
def make_alertmanager(tmp_path: Path) -> Iterator[MakeAlertmanager]:
    """Give a function that starts an Alertmanager with a configuration."""
    started: list[Alertmanager] = []

    def make(config: Path) -> Alertmanager:
        folder = tmp_path / f"alertmanager-{len(started)}"
        folder.mkdir()
        started.append(Alertmanager(folder, config))
        return started[-1]

    yield make
    for server in started:
        server.stop()
