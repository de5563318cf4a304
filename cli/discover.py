"""Finding supervisord's socket without being told: its configuration's usual places, then the socket's."""

import configparser
import glob
import os
import stat
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from depthgauge.secrets import Secret

CONFIGS: Final = (
    "/etc/supervisor/supervisord.conf",
    "/etc/supervisord.conf",
    "/usr/local/etc/supervisord.conf",
    "/opt/homebrew/etc/supervisord.conf",
)
"""Where distributions and supervisor itself (supervisor/options.py) look; never the working directory."""
SOCKETS: Final = (
    "/run/supervisor.sock",
    "/var/run/supervisor.sock",
    "/run/supervisor/supervisor.sock",
    "/run/supervisord/supervisord.sock",
    "/run/supervisord.sock",
    "/tmp/supervisor.sock",  # noqa: S108  supervisor's own default
)
_ROUNDS: Final = 5


@dataclass(frozen=True, kw_only=True, slots=True)
class Places:
    """Where to look; tests give folders of their own."""

    configs: tuple[Path, ...] = (
        *(Path(place) for place in CONFIGS),
        Path(sys.prefix) / "etc" / "supervisord.conf",
        Path(sys.prefix) / "supervisord.conf",
    )
    sockets: tuple[Path, ...] = tuple(Path(place) for place in SOCKETS)
    environ: Mapping[str, str] = field(default_factory=dict)
    """For ``%(ENV_…)s`` in a supervisord.conf."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Found:
    """What was found; ``url`` is None when nothing was."""

    url: str | None = None
    username: str | None = None
    password: Secret | None = None
    place: str = ""
    """The file or socket it was found by."""
    warnings: tuple[str, ...] = ()
    """What went wrong on the way."""


def find_supervisor(places: Places) -> Found:
    """Return the supervisord of this host. Nothing found, or unreadable places, are warnings, never an error.

    A configuration whose socket is there goes first, then a well-known socket, then any configuration: its supervisord
    may be started later.
    """
    warnings: list[str] = []
    candidates = [
        found for path in places.configs if (found := _from_config(path, places.environ, warnings)) is not None
    ]
    for found in candidates:
        if (
            found.url is not None
            and found.url.startswith("unix://")
            and _is_socket(Path(found.url.removeprefix("unix://")))
        ):
            return _with_warnings(found, warnings)
    for path in places.sockets:
        if _is_socket(path):
            return _with_warnings(Found(url=f"unix://{path}", place=str(path)), warnings)
    if candidates:
        return _with_warnings(candidates[0], warnings)
    looked = ", ".join(str(path) for path in (*places.configs[:2], *places.sockets[:2]))
    warnings.append(
        f"no supervisord was found (looked at {looked} and others); name it in [[supervisor]] if there is one"
    )
    return Found(warnings=tuple(warnings))


def _with_warnings(found: Found, warnings: Sequence[str]) -> Found:
    return Found(
        url=found.url,
        username=found.username,
        password=found.password,
        place=found.place,
        warnings=(*warnings, *found.warnings),
    )


def _is_socket(path: Path) -> bool:
    try:
        return stat.S_ISSOCK(path.stat().st_mode)
    except (OSError, ValueError):
        return False


def _from_config(path: Path, environ: Mapping[str, str], warnings: list[str]) -> Found | None:
    """Return the server that a supervisord.conf describes, None when there is no such file or it describes none."""
    try:
        parser = _parse(path, environ)
    except FileNotFoundError:
        return None
    except NotADirectoryError:
        return None
    except (OSError, configparser.Error, UnicodeDecodeError, ValueError) as exc:
        # A parser's message may quote a line that holds a password.
        reason = exc.strerror if isinstance(exc, OSError) else type(exc).__name__
        warnings.append(f"{path} cannot be read ({reason})")
        return None
    expand = _Expansion(path, environ)
    for section, key in (("unix_http_server", "file"), ("inet_http_server", "port")):
        if not parser.has_option(section, key):
            continue
        value = expand(parser.get(section, key)).strip()
        url = _unix_url(value, path) if key == "file" else _inet_url(value)
        if url is None:
            warnings.append(f"{path}: {key} in [{section}] is not understood")
            continue
        return _found(parser, section, url, path, expand)
    return None


def _parse(path: Path, environ: Mapping[str, str]) -> configparser.RawConfigParser:
    # As supervisor.options.UnhosedConfigParser reads it.
    parser = configparser.RawConfigParser(strict=False, inline_comment_prefixes=(";", "#"))
    with path.open(encoding="utf-8") as file:
        parser.read_file(file)
    if parser.has_option("include", "files"):
        expand = _Expansion(path, environ)
        for pattern in expand(parser.get("include", "files")).split():
            parser.read(sorted(glob.glob(str(path.parent / pattern))), encoding="utf-8")  # noqa: PTH207  patterns may be absolute
    return parser


class _Expansion:
    """Puts in ``%(here)s``, ``%(host_node_name)s`` and ``%(ENV_X)s``; what is not known stays as it is."""

    def __init__(self, path: Path, environ: Mapping[str, str]) -> None:
        self._values = {f"ENV_{name}": value for name, value in environ.items()}
        self._values["here"] = str(path.absolute().parent)
        self._values["host_node_name"] = os.uname().nodename

    def __call__(self, text: str) -> str:
        try:
            return text % self._values
        except (KeyError, TypeError, ValueError):
            return text


def _unix_url(value: str, config: Path) -> str | None:
    if not value or "%(" in value:
        return None
    path = Path(value).expanduser()
    return f"unix://{path if path.is_absolute() else config.absolute().parent / path}"


def _inet_url(value: str) -> str | None:
    """Return the URL for ``9001``, ``:9001``, ``*:9001`` or ``host:9001``, as supervisor.datatypes.inet_address reads it."""
    host, _, port = value.rpartition(":")
    if not port.isascii() or not port.isdigit() or not 0 < int(port) <= 65_535:
        return None
    if host in {"", "*", "0.0.0.0"}:  # noqa: S104  it is compared with, not listened on
        host = "127.0.0.1"
    return f"http://{host}:{port}/RPC2"


def _found(parser: configparser.RawConfigParser, section: str, url: str, path: Path, expand: _Expansion) -> Found:
    def get(where: str, key: str) -> str | None:
        return expand(parser.get(where, key)).strip() or None if parser.has_option(where, key) else None

    username, password = get(section, "username"), get(section, "password")
    warnings: tuple[str, ...] = ()
    if password is not None and password.startswith("{SHA}"):
        # The server keeps only a hash; the client's section has the password itself.
        password = get("supervisorctl", "password")
        username = get("supervisorctl", "username") or username
        if password is None:
            warnings = (f"{path} holds only a hash of the password; put the password into [[supervisor]]",)
    return Found(
        url=url,
        username=username if password is not None else None,
        password=Secret(password) if password is not None else None,
        place=str(path),
        warnings=warnings,
    )
