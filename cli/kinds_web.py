"""Kinds of settings of what a daemon serves: tokens and origins."""

import re
from typing import Final
from urllib.parse import urlsplit

from cli.kinds import Kind, Wrong, text_of
from depthgauge.secrets import Secret

MIN_TOKEN: Final = 16
MAX_TOKEN: Final = 512
MAX_TOKENS: Final = 100

_TOKEN: Final = re.compile(r"[A-Za-z0-9._~+/-]+=*")
_WEB: Final = {"http": 80, "https": 443}


def tokens_of(secret: Secret | None) -> tuple[Secret, ...]:
    """Return the tokens one by one."""
    return tuple(Secret(line) for line in secret.reveal().split("\n")) if secret is not None else ()


def _tokens(value: object) -> Secret:
    if not isinstance(value, str):
        raise Wrong("is no text in quotes")
    lines = [line.strip() for line in value.splitlines()]
    found = [line for line in lines if line and not line.startswith("#")]
    if not found:
        raise Wrong(f"holds no token; write one of at least {MIN_TOKEN} characters a line (openssl rand -hex 32)")
    if len(found) > MAX_TOKENS:
        raise Wrong(f"holds {len(found)} tokens, at most {MAX_TOKENS} are taken")
    for number, token in enumerate(found, 1):
        if not MIN_TOKEN <= len(token) <= MAX_TOKEN:
            raise Wrong(f"token {number} has {len(token)} characters, {MIN_TOKEN} to {MAX_TOKEN} are allowed")
        if not _TOKEN.fullmatch(token):
            raise Wrong(f"token {number} has a character that no token may have; use letters, digits and - . _ ~ + /")
    return Secret("\n".join(dict.fromkeys(found)))


def _tokens_text(text: str) -> str:
    return text.replace(",", "\n")


def _origin(value: object) -> str:
    origin = text_of(value)
    wanted = "write an origin such as https://grafana.example.org, without a path"
    try:
        parts = urlsplit(origin)
        port = parts.port
    except ValueError as exc:
        raise Wrong(f"is no origin; {wanted}") from exc
    if parts.scheme not in _WEB or not parts.hostname or origin != f"{parts.scheme}://{parts.netloc}" or "@" in origin:
        raise Wrong(f"is {origin!r}; {wanted}")
    if origin != origin.lower() or port == _WEB[parts.scheme]:
        raise Wrong(f"is {origin!r}; write it as browsers do: in small letters, without the usual port")
    return origin


TOKENS: Final = Kind(name="token, or several, one a line", parse=_tokens, from_text=_tokens_text)
ORIGIN: Final = Kind(name="origin such as https://grafana.example.org", parse=_origin)
