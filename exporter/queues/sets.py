"""Sets of names that a queue system keeps, walked without ever asking for all members at once."""

from collections.abc import Callable, Sequence
from typing import Final, TypeVar

from exporter.queues.payload import items
from exporter.queues.reader import Conversation

T = TypeVar("T")

MOST: Final = 50_000
"""Members looked at in one set, and taken from all of them; what is beyond is left out."""

_PAGE: Final = 1000
_ABREAST: Final = 100
"""Sets walked side by side in one round trip."""


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
