"""The compose file's stack, running: questions to its Prometheus and database, and which panels of the dashboards are filled."""

import time
import urllib.request
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, LiteralString, TypeVar

import psycopg

from tests.plugins import dashboards, grafana_macros, grafana_promql, grafana_sql
from tests.plugins.containers import Container, Network, Stack
from tests.plugins.prometheus import Prometheus
from tests.plugins.stack_database import StackDatabase

T = TypeVar("T")


class StackPrometheus(Prometheus):
    """The stack's own, asked from inside of its network."""

    def __init__(self, network: Network) -> None:
        self.port = 9090
        self._network = network

    def ask(self, path: str, **parameters: object) -> Any:
        return self._network.ask(lambda: Prometheus.ask(self, path, **parameters))


@dataclass(frozen=True)
class Running:
    """The stack, once everything in it is healthy."""

    stack: Stack
    database: StackDatabase
    secrets: Path
    began: float
    """When the last of it had been started, by the monotonic clock."""

    def secret(self, name: str) -> str:
        return (self.secrets / name).read_text()

    def get(self, url: str, **headers: str) -> str:
        """GET a page from inside of the stack's network."""

        def ask() -> str:
            with urllib.request.urlopen(urllib.request.Request(url, headers=headers), timeout=10) as answer:
                return str(answer.read().decode())

        return self.stack.network.ask(ask)

    @property
    def prometheus(self) -> "StackPrometheus":
        return StackPrometheus(self.stack.network)

    def query(self, expression: str) -> dict[frozenset[tuple[str, str]], float]:
        return self.prometheus.query(expression)

    @property
    def reader(self) -> str:
        """What Grafana logs in with."""
        return self.database.dsn_of("depthgauge_reader", self.secret("reader_password"))

    def on(self, dsn: str, work: Callable[[psycopg.Connection[Any]], T]) -> T:
        """Return what is done on a connection from inside of the stack's network."""

        def ask() -> T:
            with psycopg.connect(dsn, connect_timeout=5) as connection:
                return work(connection)

        return self.stack.network.ask(ask)

    def select(self, dsn: str, statement: LiteralString) -> list[Any]:
        return self.on(dsn, lambda connection: connection.execute(statement).fetchall())

    def container(self, name: str) -> Container:
        return self.stack.containers[name]


def filled_from_prometheus(running: Running) -> dict[str, dict[str, bool]]:
    """Return for each board which of its panels have something to show."""
    now = time.time()
    asked = grafana_promql.Asked(start=now - 300, end=now, step=15, scrape=15)
    found: dict[str, dict[str, bool]] = {}
    for uid, board in grafana_promql.boards().items():
        panels = found[uid] = {}
        for panel, target in dashboards.targets(board):
            result, _ = grafana_promql.run(running.prometheus, board, target, asked)
            name = dashboards.place(panel)
            panels[name] = panels.get(name, False) or not grafana_promql.is_empty(result)
    return found


def filled_from_the_database(running: Running) -> dict[str, dict[str, bool]]:
    """Return the same for the boards over the database, asked as the role that Grafana logs in as."""
    now = datetime.now(UTC)
    plain = grafana_macros.Asked(start=now - timedelta(minutes=5), end=now, timescaledb=True)

    def look(connection: psycopg.Connection[Any]) -> dict[str, dict[str, bool]]:
        found: dict[str, dict[str, bool]] = {}
        for uid, board in grafana_sql.boards().items():
            asked = replace(plain, variables=grafana_sql.all_chosen(connection, board, plain))
            panels = found[uid] = {}
            if not all(asked.variables.values()):
                panels["there is nothing to choose from yet"] = False
                continue
            for target in grafana_sql.targets(board):
                result, _ = grafana_sql.run(connection, target, asked)
                name = f"{target.panel} {target.title}"
                panels[name] = panels.get(name, False) or not grafana_promql.is_empty(result)
        return found

    return running.on(running.reader, look)
