"""A real Prometheus that scrapes what a test tells it to."""

import json
import shutil
import subprocess
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeAlias

import pytest

from tests.plugins.ports import free_port
from tests.plugins.waiting import wait_for

STOP_TIMEOUT = 20.0


class Prometheus:
    """One server; ``query`` gives the samples of an instant query by their labels. Targets of one job have commas between."""

    def __init__(
        self,
        folder: Path,
        targets: Mapping[str, str | Sequence[str]],
        *,
        rules: str | None = None,
        alertmanager: str | None = None,
    ) -> None:
        self.port = free_port()
        self._log = folder / "prometheus.log"
        config: dict[str, Any] = {
            "global": {"scrape_interval": "1s", "scrape_timeout": "1s", "evaluation_interval": "1s"},
            "scrape_configs": [
                {
                    "job_name": job,
                    "static_configs": [{"targets": each.split(",") if isinstance(each, str) else [*each]}],
                }
                for job, each in targets.items()
            ],
        }
        if rules is not None:
            (folder / "rules.yml").write_text(rules)
            config["rule_files"] = ["rules.yml"]
        if alertmanager is not None:
            config["alerting"] = {"alertmanagers": [{"static_configs": [{"targets": [alertmanager]}]}]}
        path = folder / "prometheus.yml"
        path.write_text(json.dumps(config))  # JSON is YAML
        with self._log.open("wb") as log:
            self._process = subprocess.Popen(
                [
                    str(shutil.which("prometheus")),
                    *(f"--config.file={path}", f"--storage.tsdb.path={folder / 'data'}"),
                    f"--web.listen-address=127.0.0.1:{self.port}",
                ],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )
        wait_for(self._ready, 30, what=f"Prometheus is ready; log: {self._log}")

    def query(self, expression: str) -> dict[frozenset[tuple[str, str]], float]:
        """Return the values of an instant query by labels (without the metric's name, job and instance)."""
        found = {}
        for result in self.ask("query", query=expression)["result"]:
            labels = {
                key: value for key, value in result["metric"].items() if key not in {"__name__", "job", "instance"}
            }
            found[frozenset(labels.items())] = float(result["value"][1])
        return found

    def ask(self, path: str, **parameters: object) -> Any:
        """Return the data that a page of the API answers with; fail with what it says where it refuses."""
        url = f"http://127.0.0.1:{self.port}/api/v1/{path}?" + urllib.parse.urlencode(parameters, doseq=True)
        try:
            with urllib.request.urlopen(url, timeout=10) as answer:
                body: dict[str, Any] = json.load(answer)
        except urllib.error.HTTPError as refusal:
            raise AssertionError(f"{path} {parameters}: {refusal.read().decode()}") from refusal
        assert body["status"] == "success", body
        return body["data"]

    def query_all(self, expression: str) -> list[dict[str, str]]:
        """Return all labels of an instant query's series, job and instance among them."""
        return [dict(result["metric"]) for result in self.ask("query", query=expression)["result"]]

    def one(self, expression: str) -> float | None:
        """Return the value of a query that has one result; None where it has none."""
        found = list(self.query(expression).values())
        assert len(found) <= 1, found
        return found[0] if found else None

    def rule_problems(self) -> dict[str, str]:
        """Return what rules could not be evaluated, by name."""
        rules = [rule for group in self.ask("rules")["groups"] for rule in group["rules"]]
        assert rules
        return {rule["name"]: rule["lastError"] for rule in rules if rule["health"] != "ok"}

    def stop(self) -> None:
        self._process.terminate()
        self._process.wait(STOP_TIMEOUT)

    def _ready(self) -> bool:
        assert self._process.poll() is None, self._log.read_text()
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.port}/-/ready", timeout=1) as answer:
                return bool(answer.status == 200)
        except (urllib.error.URLError, OSError):
            return False


MakePrometheus: TypeAlias = Callable[..., Prometheus]


@pytest.fixture
def make_prometheus(tmp_path: Path) -> Iterator[MakePrometheus]:
    """Give a function that starts a Prometheus: ``make_prometheus(exporter="127.0.0.1:10139")``, with rules if told."""
    started: list[Prometheus] = []

    def make(*, rules: str | None = None, alertmanager: str | None = None, **targets: str) -> Prometheus:
        folder = tmp_path / f"prometheus-{len(started)}"
        folder.mkdir()
        started.append(Prometheus(folder, targets, rules=rules, alertmanager=alertmanager))
        return started[-1]

    yield make
    for server in started:
        server.stop()
