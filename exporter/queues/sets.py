"""Sets and hashes that are read in one bounded step, by SSCAN and HSCAN: whole or not at all; and walks over sets of names.

The step ends once about so many members have come; a cursor that is not 0 then tells that there are more.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Final

from depthgauge.errors import ErrorKind
from depthgauge.resp import Command, Reply
from exporter.queues.payload import first_error, items
from exporter.queues.reader import Conversation

MAX_NAMES: Final = 50_000
"""Names taken from one set by :func:`walk`; the walk over a longer one ends early."""

_PAGE: Final = 1000
_LONGEST: Final = 512


def scan_set(key: bytes, most: int) -> Command:
    """Return the command that reads a set of at most about ``most`` members."""
    return ("SSCAN", key, 0, "COUNT", most)


def scan_hash(key: bytes, most: int) -> Command:
    """Return the command that reads a hash of at most about ``most`` fields."""
    return ("HSCAN", key, 0, "COUNT", most)


def whole(reply: Reply) -> list[Reply] | None:
    """Return what such a command gave: members, or fields and values by turns; None if that is not all of them."""
    page = items(reply)
    return items(page[1]) if len(page) == 2 and page[0] == b"0" else None


def members(reply: Reply) -> list[bytes] | None:
    """Return the members of a set, each once; None if that is not all of them."""
    found = whole(reply)
    return None if found is None else list(dict.fromkeys(member for member in found if isinstance(member, bytes)))


def pairs(reply: Reply) -> Mapping[bytes, Reply]:
    """Return the values of a hash by field; nothing if that is not all of them."""
    found = whole(reply) or ()
    return {field: value for field, value in zip(found[::2], found[1::2], strict=False) if isinstance(field, bytes)}


def problem(reply: Reply) -> str | None:
    """Return the error kind of a reply to such a command; too large where it did not give all."""
    if (error := first_error((reply,))) is not None:
        return error
    return ErrorKind.TOO_LARGE if whole(reply) is None else None


def plausible(names: Iterable[Reply]) -> list[bytes]:
    """Return what can be names of queues: bytes of moderate length, without NUL."""
    return [name for name in names if isinstance(name, bytes) and 0 < len(name) <= _LONGEST and b"\0" not in name]


def walk(keys: Sequence[bytes]) -> Conversation[Mapping[bytes, Sequence[bytes]]]:
    """Return the plausible names in each of these sets, all walked side by side."""
    names: dict[bytes, dict[bytes, None]] = {key: {} for key in keys}
    cursors: dict[bytes, bytes] = dict.fromkeys(keys, b"0")
    while cursors:
        replies = yield [("SSCAN", key, cursor, "COUNT", _PAGE) for key, cursor in cursors.items()]
        for key, reply in zip(tuple(cursors), replies, strict=True):
            page = items(reply)
            cursor = page[0] if len(page) == 2 else None
            names[key] |= dict.fromkeys(plausible(items(page[1]) if len(page) == 2 else ()))
            if isinstance(cursor, bytes) and cursor != b"0" and len(names[key]) < MAX_NAMES:
                cursors[key] = cursor
            else:
                del cursors[key]
    return {key: tuple(each) for key, each in names.items()}
