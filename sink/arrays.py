"""Columns of Python values as PostgreSQL's binary arrays, packed here because one dumper call a value is what ingest would wait for.

The format is that of ``array_recv`` in PostgreSQL's src/backend/utils/adt/arrayfuncs.c: dimensions, whether there are NULLs, the
element's type, then every element with its length before it; an element is what its type's ``recv`` function takes.
"""

import struct
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, Final

import msgspec
import psycopg
from psycopg import pq
from psycopg.abc import Buffer
from psycopg.adapt import Dumper

_NULL: Final = struct.pack(">i", -1)
_HEAD: Final = struct.Struct(">iiIii")
_EMPTY: Final = struct.Struct(">iiI")
_LENGTH: Final = struct.Struct(">i").pack
_BIGINT: Final = struct.Struct(">iq").pack
_FLOAT: Final = struct.Struct(">id").pack
_BOOLEAN: Final = struct.Struct(">i?").pack
_EPOCH: Final = datetime(2000, 1, 1, tzinfo=UTC)
_MICROSECOND: Final = timedelta(microseconds=1)


class Packed:
    """An array, ready to be sent; the statement has to cast it to its type."""

    __slots__ = ("data",)

    def __init__(self, data: bytes) -> None:
        self.data = data


class _PackedDumper(Dumper):
    format = pq.Format.BINARY
    oid = 0
    """Unknown: the server takes it from the cast."""

    def dump(self, obj: Packed) -> Buffer:
        return obj.data


def register(connection: "psycopg.Connection[Any]") -> None:
    """Teach a connection to send :class:`Packed` arrays."""
    connection.adapters.register_dumper(Packed, _PackedDumper)


def pack(kind: str, column: Sequence[Any]) -> Packed:
    """Return a column as an array of one of the types in KINDS; one without any value is empty, which unnest fills with NULLs.

    Raise ValueError, TypeError or OverflowError for a value that the type cannot hold.
    """
    oid, encode = KINDS[kind]
    if column[0] is None and column.count(None) == len(column):
        return Packed(_EMPTY.pack(0, 0, oid))
    try:
        elements = encode(column)
    except struct.error as exc:
        raise OverflowError(f"a number is none of PostgreSQL's type {kind}: {exc}") from exc
    return Packed(_HEAD.pack(1, 1, oid, len(column), 1) + b"".join(elements))


def _numbers(element: Callable[[int, Any], bytes], size: int) -> Callable[[Sequence[Any]], Iterable[bytes]]:
    def encode(column: Sequence[Any]) -> Iterable[bytes]:
        return [_NULL if value is None else element(size, value) for value in column]

    return encode


def _repeated(element: Callable[[Any], bytes]) -> Callable[[Sequence[Any]], Iterable[bytes]]:
    """Encode each value that a column has once only: names and times come again and again."""

    def encode(column: Sequence[Any]) -> Iterable[bytes]:
        known = {value: _NULL if value is None else element(value) for value in set(column)}
        return [known[value] for value in column]

    return encode


def _documents(column: Sequence[Any]) -> Iterable[bytes]:
    return [_NULL if value is None else _sized(b"\x01" + msgspec.json.encode(value)) for value in column]


def _sized(data: bytes) -> bytes:
    return _LENGTH(len(data)) + data


def _text(value: str) -> bytes:
    return _sized(value.encode())


def _integer(value: int) -> bytes:
    return _BIGINT(8, value)


def _time(value: datetime) -> bytes:
    return _BIGINT(8, (value - _EPOCH) // _MICROSECOND)


KINDS: Final[Mapping[str, tuple[int, Callable[[Sequence[Any]], Iterable[bytes]]]]] = {
    "text": (25, _repeated(_text)),
    "bigint": (20, _repeated(_integer)),
    "float8": (701, _numbers(_FLOAT, 8)),
    "boolean": (16, _numbers(_BOOLEAN, 1)),
    "timestamptz": (1184, _repeated(_time)),
    "jsonb": (3802, _documents),
}
"""The types there are: object identifier and encoder (src/include/catalog/pg_type.dat)."""
