"""How a snapshot travels: the fields of a stream entry, the codec, and every key on the bus.

An entry is ``v, host, run, seq, slot`` in clear and ``d``, the zlib-compressed JSON of the snapshot, so that an entry
with a corrupt body can still be accounted for. The cache holds the same ``d``.
"""

import zlib
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Final

import msgspec

from depthgauge.errors import CorruptEntry, NewerVersion
from depthgauge.snapshot import VERSION, Snapshot, major

STREAM: Final = "depthgauge:snapshots"
GROUP: Final = "sink"
QUARANTINE: Final = "depthgauge:quarantine"
HOSTS: Final = "depthgauge:hosts"
"""Sorted set: host by the unix time of its last slot."""
LATEST_PREFIX: Final = "depthgauge:latest:"
LEASE_PREFIX: Final = "depthgauge:lease:"

CLEAR: Final = (b"v", b"host", b"run", b"seq", b"slot")
"""The fields of an entry that stand in clear."""

MAX_BODY: Final = 16 * 1024 * 1024
"""Bytes a decompressed snapshot may have."""

_COMPRESSION: Final = 3


class Header(msgspec.Struct, frozen=True, kw_only=True):
    """The clear part of an entry: enough to account for it."""

    version: str
    host: str
    run_id: str
    seq: int
    slot: datetime


def encode(snapshot: Snapshot) -> dict[str, bytes]:
    """Return the fields of the snapshot's stream entry."""
    return {
        "v": snapshot.version.encode(),
        "host": snapshot.host.encode(),
        "run": snapshot.run_id.encode(),
        "seq": str(snapshot.seq).encode(),
        "slot": snapshot.slot.isoformat().encode(),
        "d": pack(snapshot),
    }


def pack(snapshot: Snapshot) -> bytes:
    """Return the compressed JSON of a snapshot."""
    return zlib.compress(msgspec.json.encode(snapshot), _COMPRESSION)


def unpack(body: bytes) -> Snapshot:
    """Return the snapshot packed in ``body``; raise CorruptEntry when there is none, or one larger than MAX_BODY."""
    inflater = zlib.decompressobj()
    try:
        raw = inflater.decompress(body, MAX_BODY)
        if inflater.unconsumed_tail:
            raise CorruptEntry(f"snapshot is larger than {MAX_BODY} bytes when decompressed")
        if not inflater.eof:
            raise CorruptEntry("snapshot is cut short")
        snapshot = msgspec.json.decode(raw, type=Snapshot)
    except (zlib.error, msgspec.MsgspecError, UnicodeDecodeError) as exc:
        raise CorruptEntry(f"snapshot cannot be decoded: {exc}") from exc
    for moment in (snapshot.slot, snapshot.taken_at):
        if moment.tzinfo is None:
            raise CorruptEntry("snapshot has a time without a zone")
    return snapshot


def header(fields: Mapping[bytes, bytes]) -> Header:
    """Return the clear fields of an entry; raise CorruptEntry when one is missing or malformed."""
    try:
        version, host, run_id, seq, slot = (fields[name].decode() for name in CLEAR)
        moment = datetime.fromisoformat(slot)
        major(version)
        if moment.tzinfo is None:
            raise ValueError(f"slot {slot!r} has no time zone")
        return Header(version=version, host=host, run_id=run_id, seq=int(seq), slot=moment.astimezone(UTC))
    except KeyError as exc:
        raise CorruptEntry(f"entry has no field {exc.args[0]!r}") from exc
    except ValueError as exc:
        raise CorruptEntry(f"entry has a malformed field: {exc}") from exc


def decode(fields: Mapping[bytes, bytes]) -> Snapshot:
    """Return the snapshot of an entry.

    Raise NewerVersion for a newer major, CorruptEntry for anything unreadable or at odds with its own clear fields.
    """
    head = header(fields)
    if major(head.version) > major(VERSION):
        raise NewerVersion(
            f"snapshot {head.seq} of {head.host} has version {head.version}, this depthgauge reads up to {VERSION}: upgrade it"
        )
    if b"d" not in fields:
        raise CorruptEntry("entry has no field b'd'")
    snapshot = unpack(fields[b"d"])
    inner = Header(
        version=snapshot.version, host=snapshot.host, run_id=snapshot.run_id, seq=snapshot.seq, slot=snapshot.slot
    )
    if inner != head:
        raise CorruptEntry("the entry's clear fields and its snapshot disagree")
    return snapshot
