"""The web config file: the format of Prometheus's exporter-toolkit, as far as it can be kept here, and no further.

Facts of the format are from exporter-toolkit's docs/web-configuration.md. A key or value that would have no effect is a
mistake, so that nobody believes in a protection that is not there.
"""

import re
from pathlib import Path
from typing import Final

from cli.web_tls import KEYS as TLS_KEYS
from cli.web_tls import tls
from cli.web_yaml import Complain, Entry, compose, flag, table, word
from depthgauge.secrets import Secret
from depthgauge.settings import RateLimit, WebConfig

KEYS: Final = ("tls_server_config", "http_server_config", "basic_auth_users", "rate_limit")
HEADERS: Final[dict[str, tuple[str, ...]]] = {
    "Strict-Transport-Security": (),
    "X-Content-Type-Options": ("nosniff",),
    "X-Frame-Options": ("deny", "sameorigin"),
    "X-XSS-Protection": (),
    "Content-Security-Policy": (),
}
"""Those that may be set, with the values that they may have; without any, every value."""
MOST_USERS: Final = 1000
MOST_COST: Final = 15
"""Of a bcrypt hash: more would take seconds a login."""

_HASH: Final = re.compile(r"\$2[aby]\$(\d\d)\$[./A-Za-z0-9]{53}")
_HEADER_VALUE: Final = re.compile(r"[\x20-\x7e]{1,4096}")
_GO_DURATION: Final = re.compile(r"(\d{1,9}(?:\.\d{1,9})?)(ns|us|µs|ms|s|m|h)")
_UNITS: Final = {"ns": 1e-9, "us": 1e-6, "µs": 1e-6, "ms": 1e-3, "s": 1.0, "m": 60.0, "h": 3600.0}


def read(text: str, folder: Path, complain: Complain) -> WebConfig:
    """Return what a file's text says, relative paths from ``folder``; what is wrong is complained of, and left out.

    Certificates and keys are not looked at.
    """
    root = compose(text, complain)
    parts = table(root, complain, KEYS) if root is not None else {}
    http = table(parts["http_server_config"], complain, ("http2", "headers")) if "http_server_config" in parts else {}
    if "http2" in http:
        # It is on by default in files that others made; HTTP/1.1 is what is spoken here.
        flag(http["http2"], complain, default=True)
    return WebConfig(
        tls=tls(table(parts["tls_server_config"], complain, TLS_KEYS), parts["tls_server_config"], folder, complain)
        if "tls_server_config" in parts
        else None,
        headers=_headers(http["headers"], complain) if "headers" in http else (),
        users=_users(parts["basic_auth_users"], complain) if "basic_auth_users" in parts else (),
        rate_limit=_rate_limit(parts["rate_limit"], complain) if "rate_limit" in parts else None,
    )


def _headers(entry: Entry, complain: Complain) -> tuple[tuple[str, str], ...]:
    made = []
    for name, each in table(entry, complain, tuple(HEADERS)).items():
        value = word(each, complain)
        if value is None:
            continue
        if HEADERS[name] and value not in HEADERS[name]:
            complain(each.line, each.name, f"has to be {' or '.join(HEADERS[name])}")
        elif not _HEADER_VALUE.fullmatch(value):
            complain(each.line, each.name, "has to be one line of ASCII, of 1 to 4096 characters")
        else:
            made.append((name, value))
    return tuple(made)


def _users(entry: Entry, complain: Complain) -> tuple[tuple[str, Secret], ...]:
    made = []
    found = table(entry, complain)
    if not found:
        complain(entry.line, entry.name, "has no user: nothing would be protected; leave it out or name one")
    if len(found) > MOST_USERS:
        complain(entry.line, entry.name, f"has {len(found)} users, at most {MOST_USERS} are taken")
    for name, each in found.items():
        value = word(each, complain) or ""
        hashed = _HASH.fullmatch(value)
        if not name or ":" in name:
            complain(each.line, each.name, "no client can send a user name that is empty or has a colon in it")
        elif hashed is None:
            complain(
                each.line, entry.name, f"the password of {name!r} is no bcrypt hash; make one: htpasswd -nBC 10 {name}"
            )
        elif not 4 <= int(hashed[1]) <= MOST_COST:
            complain(each.line, entry.name, f"the hash of {name!r} has the cost {hashed[1]}, 4 to {MOST_COST} is taken")
        else:
            made.append((name, Secret(value)))
    return tuple(made)


def _rate_limit(entry: Entry, complain: Complain) -> RateLimit | None:
    parts = table(entry, complain, ("interval", "burst"))
    interval = _interval(parts["interval"], complain) if "interval" in parts else 0.0
    if "burst" in parts and "interval" not in parts:
        complain(entry.line, entry.name, "limits nothing without an interval")
    burst = 1
    if "burst" in parts:
        value = word(parts["burst"], complain)
        if value is not None and not re.fullmatch(r"[1-9]\d{0,8}", value):
            complain(parts["burst"].line, parts["burst"].name, "has to be a whole number of at least 1")
        elif value is not None:
            burst = int(value)
    return RateLimit(interval=interval, burst=burst) if interval else None


def _interval(entry: Entry, complain: Complain) -> float:
    value = word(entry, complain) or ""
    parts = _GO_DURATION.findall(value)
    if value != "0" and (not parts or "".join(map("".join, parts)) != value):
        complain(entry.line, entry.name, "has to be a duration such as 100ms, 1s or 1m30s")
        return 0.0
    return sum(float(number) * _UNITS[unit] for number, unit in parts)
