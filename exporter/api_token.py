"""The token of the API where nobody has set one: made once, kept in the state folder, never shown in a log."""

import contextlib
import logging
import os
import stat
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Final

from depthgauge.secrets import Secret
from depthgauge.settings import WebSettings
from exporter.durable import sync_folder, write_all

log = logging.getLogger(__name__)

FILE: Final = "api.token"
"""In the state folder."""
HOW: Final = "set [web] token_file or DEPTHGAUGE_API_TOKEN_FILE"
_LEAST: Final = 16
_MOST: Final = 4096


class ApiTokens:
    """Completes settings that have no token. ``folder`` keeps the one that is made, ``random`` makes it."""

    def __init__(self, folder: Path | None, *, random: Callable[[], str]) -> None:
        self._folder = folder
        self._random = random
        self._in_memory: Secret | None = None
        self._told: str | None = None

    def complete(self, settings: WebSettings) -> WebSettings:
        """Return the settings with a token: theirs, else the one that the state folder keeps, else one in memory."""
        return settings if settings.tokens else replace(settings, tokens=(self._token(),))

    def _token(self) -> Secret:
        if self._folder is None:
            self._tell("the API's token is in memory only and nobody knows it: %s, or exporter.state_dir", HOW)
            return self._unknown()
        path = self._folder / FILE
        try:
            token = self._kept(path)
        except (OSError, ValueError) as exc:
            reason = exc.strerror if isinstance(exc, OSError) and exc.strerror else str(exc)
            self._tell(
                "the API's token cannot be kept in %s: %s; until that is mended, nobody knows it: %s", path, reason, HOW
            )
            return self._unknown()
        self._tell("the API's token is in %s", path)
        return token

    def _unknown(self) -> Secret:
        self._in_memory = self._in_memory or Secret(self._random())
        return self._in_memory

    def _tell(self, message: str, *arguments: object) -> None:
        told = message % arguments
        if told != self._told:
            self._told = told
            log.log(logging.INFO if len(arguments) == 1 and arguments[0] is not HOW else logging.WARNING, "%s", told)

    def _kept(self, path: Path) -> Secret:
        with contextlib.suppress(FileNotFoundError):
            return _read(path)
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        fresh = path.with_name(f"{path.name}.{os.getpid()}.new")
        try:
            descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
            try:
                write_all(descriptor, f"{self._random()}\n".encode())
                os.fsync(descriptor)
            finally:
                os.close(descriptor)
            # A link does not replace what another exporter has put there meanwhile.
            with contextlib.suppress(FileExistsError):
                path.hardlink_to(fresh)
        finally:
            with contextlib.suppress(FileNotFoundError):
                fresh.unlink()
        sync_folder(path.parent)
        return _read(path)


def _read(path: Path) -> Secret:
    with path.open("rb") as file:
        if stat.S_IMODE(os.fstat(file.fileno()).st_mode) & 0o077:
            log.warning("others than this user may read the API's token: chmod 600 %s", path)
        token = file.read(_MOST).decode("ascii").strip()
    if len(token) < _LEAST or not token.isprintable() or " " in token:
        raise ValueError(f"what it holds is no token of {_LEAST} characters; delete it, and a new one is made")
    return Secret(token)
