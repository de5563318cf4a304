"""Sets and hashes that are read in one bounded step, by SSCAN and HSCAN: whole or not at all; and walks over sets of names.

The step ends once about so many members have come; a cursor that is not 0 then tells that there are more.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Final, TypeVar

from depthgauge.errors import ErrorKind
from depthgauge.resp import Command, Reply
from exporter.queues.payload import first_error, items
from exporter.queues.reader import Conversation

T = TypeVar("T")

MOST: Final = 50_000
"""Members looked at in one set by :func:`walk`, and taken from all of them; what is beyond is left out."""

_PAGE: Final = 1000
_ABREAST: Final = 100
"""Sets walked side by side in one round trip."""
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


def walk(sets: Sequence[bytes], take: Callable[[bytes, bytes], T | None]) -> Conversation[list[T]]:
    """Return what ``take(key, member)`` makes of the members of these sets; None leaves a member out.

    A set that shows a page of nothing but strangers is another program's, and is not walked to its end.
    """
    found: list[T] = []
    for start in range(0, len(sets), _ABREAST):
        cursors = dict.fromkeys(sets[start : start + _ABREAST], b"0")
        for _ in range(MOST // _PAGE):
            if not cursors or len(found) >= MOST:
                break
            replies = yield [("SSCAN", key, cursor, "COUNT", _PAGE) for key, cursor in cursors.items()]
            pages = {key: items(reply) for key, reply in zip(cursors, replies, strict=True)}
            cursors = {}
            for key, page in pages.items():
                if len(page) != 2:
                    continue
                cursor, members = page[0], [member for member in items(page[1]) if isinstance(member, bytes)]
                taken = [made for member in members if (made := take(key, member)) is not None]
                found += taken
                if isinstance(cursor, bytes) and cursor != b"0" and (taken or not members):
                    cursors[key] = cursor
    return found[:MOST]


def names_in(keys: Sequence[bytes]) -> Conversation[Mapping[bytes, Sequence[bytes]]]:
    """Return the plausible names in each of these sets."""
    names: dict[bytes, dict[bytes, None]] = {key: {} for key in keys}
    for key, name in (yield from walk(keys, lambda key, member: (key, member) if plausible((member,)) else None)):
        names[key][name] = None
    return {key: tuple(each) for key, each in names.items()}
