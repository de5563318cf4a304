"""Names of queues that belong to several applications in one Redis: a prefix each, and a label that tells them apart."""

from collections.abc import Iterable, Mapping
from typing import Final, NamedTuple

from depthgauge.names import clean

_BETWEEN: Final = b"\0"
"""Between prefix and name in a handle: no prefix has it."""


def handle_of(prefix: bytes, name: bytes) -> bytes:
    """Return the handle of a queue that is found under a prefix."""
    return prefix + _BETWEEN + name


def parts_of(handle: bytes) -> tuple[bytes, bytes]:
    """Return prefix and name of such a handle."""
    prefix, _, name = handle.partition(_BETWEEN)
    return prefix, name


def labels(queues: Iterable[tuple[bytes, bytes]], *, between: bytes = b":") -> Mapping[tuple[bytes, bytes], str]:
    """Return the ``queue`` label of each prefix and name.

    A name that only one prefix has is its label; a name that several have becomes prefix, ``between`` and name, once a
    prefix. The name ``""`` stands for numbers of the application as a whole and is labelled in the same way.
    """
    each = tuple(dict.fromkeys(queues))
    owners: dict[bytes, int] = {}
    for _, name in each:
        owners[name] = owners.get(name, 0) + 1
    return {
        (prefix, name): clean(name if owners[name] == 1 else (prefix + between + name if name else prefix))
        for prefix, name in each
    }


class FoundQueue(NamedTuple):
    """A queue that was found, for people."""

    system: str
    name: str
    """The bare name, cleaned."""
    bare: bytes
    """The name as it stands in the keys: what to configure in ``queues``."""
    pins: Mapping[str, bytes]
    """The prefixes of its application, by the section they are configured in."""
    by: str
    """What has told it: a key and its type, or the set of names."""


def labels_of(found: FoundQueue) -> tuple[str, ...]:
    """Return the ``queue`` labels that a queue may have: its name, or prefix and name where several have the name.

    That of a consumer group begins with it.
    """
    prefix = found.pins.get(found.system)
    if prefix is None:
        return (found.name,)
    names = (found.bare, found.name.encode())
    return found.name, *(clean(prefix + between + name) for between in (b":", b"") for name in names)
