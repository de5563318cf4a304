"""The codec of stream entries."""

import zlib
from datetime import UTC, datetime

import pytest

from depthgauge import stream
from depthgauge.errors import CorruptEntry, NewerVersion
from depthgauge.snapshot import Cycle, RedisQueues, Snapshot
from depthgauge.snapshot import Queue as QueuePart

NOW = datetime(2026, 11, 24, 12, 0, 0, tzinfo=UTC)


def snapshot(**changes: object) -> Snapshot:
    values: dict[str, object] = {
        "host": "web-1",
        "run_id": "r1",
        "seq": 7,
        "slot": NOW,
        "taken_at": NOW,
        "interval": 15.0,
        "cycle": Cycle(seconds=0.1),
        "queues": (RedisQueues(redis="default", observed_at=NOW, queues=(QueuePart(system="rq", name="high"),)),),
    }
    return Snapshot(**{**values, **changes})  # type: ignore[arg-type]  # the keys are the fields'


def entry(made: Snapshot) -> dict[bytes, bytes]:
    return {name.encode(): value for name, value in stream.encode(made).items()}


def test_round_trip() -> None:
    made = snapshot()

    assert stream.decode(entry(made)) == made


def test_newer_minor_with_unknown_fields_is_read() -> None:
    fields = entry(snapshot(version="1.9"))
    body = zlib.decompress(fields[b"d"]).replace(b'"seq":7', b'"seq":7,"novelty":{"a":1}')

    assert stream.decode({**fields, b"d": zlib.compress(body)}).seq == 7


def test_newer_major_is_refused_before_its_body_is_read() -> None:
    with pytest.raises(NewerVersion, match="upgrade"):
        stream.decode({**entry(snapshot()), b"v": b"2.0", b"d": b"\xff\xff"})


@pytest.mark.parametrize(
    "changes",
    [
        {b"d": b"no zlib"},
        {b"d": zlib.compress(b"no json")},
        {b"d": zlib.compress(b'{"host": 5}')},
        {b"d": stream.pack(snapshot())[:-4]},
        {b"seq": b"seven"},
        {b"seq": b"8"},
        {b"slot": b"2026-11-24T12:00:00"},
        {b"slot": b"yesterday"},
        {b"host": b"\xff"},
        {b"v": b"one"},
        {b"d": zlib.compress(b" " * (stream.MAX_BODY + 1))},
    ],
    ids=lambda changes: "+".join(f"{k.decode()}={v[:12]!r}" for k, v in changes.items()),
)
def test_corrupt_entries_are_told(changes: dict[bytes, bytes]) -> None:
    with pytest.raises(CorruptEntry):
        stream.decode({**entry(snapshot()), **changes})


@pytest.mark.parametrize("missing", [b"v", b"host", b"run", b"seq", b"slot", b"d"])
def test_missing_field_is_corrupt(missing: bytes) -> None:
    fields = entry(snapshot())
    del fields[missing]

    with pytest.raises(CorruptEntry, match="has no field"):
        stream.decode(fields)
