"""Queue systems of Python in environments of their own: programs of tests/programs run there, beside the real library.

The environments are those of ``tests/plugins/environments.py``.
"""

import json
import os
import subprocess
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, Final, TypeAlias

import psutil
import pytest

from tests.plugins.environments import environment_of

PROGRAMS: Final = Path(__file__).resolve().parents[1] / "programs"
TIMEOUT: Final = 60.0


class Systems:
    """Runs programs with the Python of one environment, in ``tests/programs``; what was started ends with the test."""

    def __init__(self, name: str) -> None:
        folder = environment_of(name)
        assert folder is not None, f"{name} is missing: run .ci/systems {name}"
        self.bin = folder / "bin"
        self._started: list[subprocess.Popen[bytes]] = []

    def run(self, *words: str, environment: Mapping[str, str] | None = None) -> str:
        """Run ``python WORDS`` to its end and return what it printed."""
        done = subprocess.run(
            [str(self.bin / "python"), *words],
            cwd=PROGRAMS,
            env=self._environment(environment),
            capture_output=True,
            text=True,
            timeout=TIMEOUT,
            check=False,
            stdin=subprocess.DEVNULL,
        )
        assert done.returncode == 0, f"{words} failed: {done.stdout}{done.stderr}"
        return done.stdout

    def ask(self, *words: str, environment: Mapping[str, str] | None = None) -> Any:
        """Run ``python WORDS`` and return the JSON it printed."""
        return json.loads(self.run(*words, environment=environment))

    def start(self, *words: str, environment: Mapping[str, str] | None = None) -> "subprocess.Popen[bytes]":
        """Start a command of the environment (``celery …``, ``python …``) that stays."""
        self._started.append(
            subprocess.Popen(
                [str(self.bin / words[0]), *words[1:]],
                cwd=PROGRAMS,
                env=self._environment(environment),
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                start_new_session=True,
            )
        )
        return self._started[-1]

    def _environment(self, more: Mapping[str, str] | None) -> dict[str, str]:
        return {"PATH": f"{self.bin}:{os.environ['PATH']}", "PYTHONPATH": str(PROGRAMS), "TZ": "UTC", **(more or {})}

    def stop(self, process: "subprocess.Popen[bytes]", *, kill: bool = False) -> None:
        """End a program and what it has started: by SIGTERM and patience, or at once."""
        if process.poll() is None:
            parent = psutil.Process(process.pid)
            # The parent first: it would clean up behind children that are killed.
            family = [parent, *parent.children(recursive=True)]
            if not kill:
                process.terminate()
                psutil.wait_procs(family, timeout=10)
            for each in family:
                if each.is_running():
                    each.kill()
        process.wait(20)

    def close(self) -> None:
        for process in self._started:
            self.stop(process, kill=True)


MakeSystems: TypeAlias = Callable[[str], Systems]


@pytest.fixture
def make_systems() -> Iterator[MakeSystems]:
    """Give a function that gives an environment: ``make_systems("systems")``, ``make_systems("systems-redis5")``."""
    made: list[Systems] = []

    def make(name: str) -> Systems:
        made.append(Systems(name))
        return made[-1]

    yield make
    for each in made:
        each.close()
