"""Asking the JSON API of a daemon as a client does that knows its token, where it has one."""

import json
import time
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

from tests.plugins.daemons import Daemon


def state_of(folder: Path) -> str:
    """Return the line of a configuration that lets a daemon keep its state, its token too, below its folder."""
    state = folder / "state"
    state.mkdir(parents=True, exist_ok=True)
    return f'state_dir = "{state}"\n'


def token_of(daemon: Daemon) -> str | None:
    """Return the token that the daemon made; None where it has none."""
    path = daemon.folder / "state" / "api.token"
    return path.read_text().strip() if path.exists() else None


class Answer:
    """What came back from one request, whatever its status."""

    def __init__(self, daemon: Daemon, path: str, *, method: str = "GET", known: bool = True, **headers: str) -> None:
        names = {name.replace("_", "-"): value for name, value in headers.items()}
        token = token_of(daemon)
        if known and token is not None:
            names["Authorization"] = f"Bearer {token}"
        request = urllib.request.Request(daemon.url + path, method=method, headers=names)
        started = time.monotonic()
        try:
            with urllib.request.urlopen(request, timeout=10) as found:
                self.status, self.headers, self.body = found.status, found.headers, found.read()
        except urllib.error.HTTPError as exc:
            with exc:
                self.status, self.headers, self.body = exc.code, exc.headers, exc.read()
        self.seconds = time.monotonic() - started

    @property
    def told(self) -> Any:
        """The body, which has to be JSON."""
        return json.loads(self.body)
