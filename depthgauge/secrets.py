"""Values that must never be printed."""

import re
from typing import Final

MASK: Final = "********"

_URL_PASSWORD: Final = re.compile(r"(?P<head>[a-zA-Z][a-zA-Z0-9+.-]{0,30}://[^/?#\s@]*?:)[^/\s]*(?P<at>@)")
"""Schemes are short, so a long word is not searched to its end from each of its letters. ``?`` and ``#`` may stand unescaped in
a password: libpq takes them."""
_QUERY_PASSWORD: Final = re.compile(
    r"(?P<key>[?&;](?:password|passwd|sslpassword|sentinel_password)=)[^&;\s]+", re.IGNORECASE
)
_DSN_PASSWORD: Final = re.compile(
    r"(?P<key>\b(?:password|passwd|sslpassword|sentinel_password)\s*=\s*)('(?:[^'\\]|\\.)*'|\S+)", re.IGNORECASE
)


class Secret:
    """A text that shows stars; :meth:`reveal` gives it out, at the edge where it is used."""

    __slots__ = ("_value",)

    def __init__(self, value: str) -> None:
        self._value = value

    def reveal(self) -> str:
        """Return the text itself."""
        return self._value

    def __repr__(self) -> str:
        return f"Secret({MASK!r})"

    __str__ = __repr__

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Secret) and other._value == self._value

    def __hash__(self) -> int:
        return hash(("Secret", self._value))


def masked(url: str) -> str:
    """Return a URL or a libpq connection string without its passwords."""
    text = _URL_PASSWORD.sub(rf"\g<head>{MASK}\g<at>", url)
    text = _QUERY_PASSWORD.sub(rf"\g<key>{MASK}", text)
    return _DSN_PASSWORD.sub(rf"\g<key>{MASK}", text)
