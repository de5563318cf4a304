"""The compose file's database, played by Debian 13's TimescaleDB inside the stack's network: its port, user, password and name."""

import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from psycopg import conninfo

from tests.plugins.compose import Service
from tests.plugins.containers import Network
from tests.plugins.timescale_server import ENVIRONMENT, START_TIMEOUT, TimescaleServer
from tests.plugins.trixie import POSTGRES_BIN, Trixie
from tests.plugins.waiting import wait_for

PORT: Final = 5432


class StackDatabase(TimescaleServer):
    """The server, with the database and the superuser that the service's environment names."""

    def __init__(self, trixie: Trixie, service: Service, network: Network, secrets: Path) -> None:
        super().__init__(trixie, "stack")
        self.port = PORT
        self._service = service
        self._network = network
        given: Mapping[str, str] = service.environment
        assert given["POSTGRES_USER"] == "postgres"
        self._password = (secrets / Path(given["POSTGRES_PASSWORD_FILE"]).name).read_text()

    def dsn_of(self, name: str, password: str) -> str:
        """Return what a role logs in with, inside of the network."""
        return conninfo.make_conninfo(
            host="127.0.0.1", port=PORT, user=name, password=password, dbname=self._service.environment["POSTGRES_DB"]
        )

    def _inside(self, *command: str) -> list[str]:
        return [*self._network.enter, *super()._inside(*command)]

    def _answers(self) -> bool:
        assert self._process is not None
        assert self._process.poll() is None, f"TimescaleDB ended while starting:\n{self.log.read_text()[-4000:]}"
        return self._run("pg_isready", "-h", "127.0.0.1").returncode == 0

    def _run(self, program: str, *words: str) -> subprocess.CompletedProcess[str]:
        command = self._inside(f"{POSTGRES_BIN}/{program}", *words)
        environment = {**ENVIRONMENT, "PGPASSWORD": self._password}
        return subprocess.run(command, check=False, capture_output=True, text=True, timeout=30, env=environment)

    def up(self) -> "StackDatabase":
        """Start it, make the database as the image would, and wait until the health check, as written, is content."""
        self.start()
        made = self._run(
            "createdb", "-h", "127.0.0.1", "-U", "postgres", "-w", self._service.environment["POSTGRES_DB"]
        )
        assert made.returncode == 0, made.stderr
        wait_for(self.is_healthy, START_TIMEOUT, what="TimescaleDB is healthy")
        return self

    def is_healthy(self) -> bool:
        program, *words = self._service.healthcheck
        return self._run(program, *words).returncode == 0
