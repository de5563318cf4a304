"""Who asks: the Authorization header judged by tokens and passwords (RFC 6750, RFC 7617)."""

import base64
import binascii
import hashlib
import hmac
from collections.abc import Sequence
from enum import Enum
from typing import Final

from depthgauge.passwords import Passwords, TooBusy
from depthgauge.secrets import Secret

REALM: Final = "depthgauge"


class Verdict(Enum):
    """What an Authorization header is worth."""

    MISSING = "missing"
    WRONG = "wrong"
    TOKEN = "token"  # noqa: S105  a word, no password
    USER = "user"
    BUSY = "busy"
    """Not known: too many others are being checked."""


class Credentials:
    """The tokens and passwords that open something."""

    def __init__(self, tokens: Sequence[Secret], passwords: Passwords) -> None:
        self._tokens = [_digest(token.reveal()) for token in tokens]
        self._passwords = passwords

    @property
    def has_users(self) -> bool:
        """Whether everything that is served needs credentials."""
        return bool(self._passwords)

    @property
    def challenge(self) -> str:
        """The value of WWW-Authenticate."""
        bearer = f'Bearer realm="{REALM}"'
        return f'{bearer}, Basic realm="{REALM}", charset="UTF-8"' if self._passwords else bearer

    def judge(self, header: str | None) -> Verdict:
        """Judge a header's value."""
        if not header:
            return Verdict.MISSING
        scheme, _, value = header.partition(" ")
        if scheme.lower() == "bearer":
            return Verdict.TOKEN if self._is_token(value.strip()) else Verdict.WRONG
        if scheme.lower() == "basic":
            return self._judge_basic(value.strip())
        return Verdict.WRONG

    def _is_token(self, given: str) -> bool:
        digest, found = _digest(given), False
        # All are compared, so that the time tells neither which one it was nor how many there are before it.
        for token in self._tokens:
            found |= hmac.compare_digest(token, digest)
        return found

    def _judge_basic(self, value: str) -> Verdict:
        try:
            user, colon, password = base64.b64decode(value, validate=True).decode().partition(":")
        except (binascii.Error, ValueError):
            return Verdict.WRONG
        if not colon:
            return Verdict.WRONG
        try:
            return Verdict.USER if self._passwords.good(user, password) else Verdict.WRONG
        except TooBusy:
            return Verdict.BUSY


def _digest(token: str) -> bytes:
    return hashlib.sha256(token.encode("utf-8", "surrogateescape")).digest()
