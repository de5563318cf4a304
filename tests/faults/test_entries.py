"""Entries on the stream that no sink can write, among good ones."""

from datetime import UTC, datetime, timedelta
from typing import cast

import pytest

from depthgauge import stream
from tests.plugins.sinks import make_snapshot, publish, recent_slot
from tests.plugins.stage import EDITIONS, MakeStage, Stage, wait_value
from tests.plugins.waiting import wait_for

pytestmark = [pytest.mark.needs("redis-server", "postgres")]

RUN = ("web-1", "r1")


def broken(stage: Stage, seq: int, **fields: bytes) -> None:
    """Publish a snapshot whose entry has other fields than it should."""
    snapshot = make_snapshot(seq, base=recent_slot(back=20))
    stage.taken.add(snapshot)
    with stage.bus.client() as client:
        publish(client, snapshot, **fields)


def quarantined(stage: Stage) -> list[dict[bytes, bytes]]:
    with stage.bus.client() as client:
        found = cast("list[tuple[bytes, dict[bytes, bytes]]]", client.xrange(stream.QUARANTINE))
    return [fields for _, fields in found]


@pytest.mark.parametrize("edition", EDITIONS)
def test_truncated_and_corrupt(make_stage: MakeStage, edition: str) -> None:
    """All of them go to the quarantine with what is wrong; what stands between them is written."""
    stage = make_stage(edition)
    base = recent_slot(back=20)
    body = stream.pack(make_snapshot(3, base=base))
    bodies = {
        "truncated": body[: len(body) // 2],
        "empty": b"",
        "flipped": body[:20] + bytes([body[20] ^ 0xFF]) + body[21:],
        "another's": stream.pack(make_snapshot(2, base=base)),
        "a bomb": _bomb(),
    }
    for seq in range(1, 2 * len(bodies) + 1, 2):
        stage.publish(1, first=seq, base=base)
        broken(stage, seq + 1, d=[*bodies.values()][seq // 2])
    sink = stage.sink()
    stage.drained()

    assert sink.value("depthgauge_sink_snapshots_quarantined_total", reason="corrupt") == len(bodies)
    assert all(fields[b"error"] for fields in quarantined(stage))
    done = stage.account()
    assert done.counted == {"quarantined": len(bodies)}
    stage.record(
        "truncated, corrupt and mismatched bodies on the stream",
        'the stream `depthgauge:quarantine`, `depthgauge_sink_snapshots_quarantined_total{reason="corrupt"}`',
        account=done,
    )


def test_what_is_no_snapshot(make_stage: MakeStage) -> None:
    """Entries of somebody else's making count under no run: each stands in the quarantine."""
    stage = make_stage()
    stage.publish(2)
    with stage.bus.client() as client:
        client.xadd(stream.STREAM, {"hello": "world"})
        client.xadd(stream.STREAM, {"v": "x", "host": "\x00", "run": "", "seq": "-", "slot": "now", "d": b"\xff\xfe"})
        client.xadd(
            stream.STREAM, {"v": "1.1", "host": "web-1", "run": "r1", "seq": "7", "slot": "2026-01-01T00:00:00"}
        )
    stage.publish(2, first=3)
    sink = stage.sink()
    stage.drained()

    assert sink.value("depthgauge_sink_snapshots_quarantined_total", reason="corrupt") == 3
    assert len(quarantined(stage)) == 3
    stage.record(
        "entries on the stream that are no snapshots",
        'the stream `depthgauge:quarantine`, `depthgauge_sink_snapshots_quarantined_total{reason="corrupt"}`',
    )


def test_a_newer_version(make_stage: MakeStage) -> None:
    """Left where they are, for a sink that knows them."""
    stage = make_stage()
    stage.publish(5)
    for seq in (6, 7):
        broken(stage, seq, v=b"2.0", d=b"who knows")
    stage.publish(5, first=8)
    sink = stage.sink()
    wait_for(lambda: stage.ledger() == 10, 20)
    wait_value(sink, "depthgauge_sink_newer_entries", 2)
    assert "upgrade" in sink.text
    sink.stop()
    stage.sink()
    wait_for(lambda: stage.backlog() == 2, 20)

    done = stage.account()
    assert done.counted == {"left on the stream": 2}
    stage.record(
        "entries of a newer version on the stream", "left pending; `depthgauge_sink_newer_entries`", account=done
    )


def test_a_value_that_the_database_refuses(make_stage: MakeStage) -> None:
    stage = make_stage()
    base = recent_slot(back=20)
    poison = make_snapshot(11, base=base, queue="\x00")
    stage.publish(10, base=base)
    stage.taken.add(poison)
    with stage.bus.client() as client:
        publish(client, poison)
    stage.publish(10, first=12, base=base)
    sink = stage.sink()
    stage.drained()

    assert sink.value("depthgauge_sink_snapshots_quarantined_total", reason="refused") == 1
    done = stage.account()
    assert done.counted == {"quarantined": 1}
    stage.record(
        "a value on the stream that the database refuses",
        'the stream `depthgauge:quarantine`, `depthgauge_sink_snapshots_quarantined_total{reason="refused"}`',
        account=done,
    )


@pytest.mark.parametrize("edition", EDITIONS)
def test_too_late_and_too_early(make_stage: MakeStage, edition: str) -> None:
    stage = make_stage(edition)
    now = datetime.now(UTC).replace(second=0, microsecond=0)
    stage.publish(10)
    stage.publish(3, first=11, base=now - timedelta(days=40))
    stage.publish(2, first=14, base=now + timedelta(hours=2))
    sink = stage.sink()
    stage.drained()

    assert sink.value("depthgauge_sink_snapshots_too_late_total") == 3
    assert sink.value("depthgauge_sink_snapshots_quarantined_total", reason="future") == 2
    done = stage.account(elsewhere={RUN: {"too late": 3}})
    assert done.counted == {"too late": 3, "quarantined": 2}
    stage.record(
        "snapshots older than any row kept, and from the future",
        '`depthgauge_sink_snapshots_too_late_total`, `depthgauge_sink_snapshots_quarantined_total{reason="future"}`',
        account=done,
    )


def test_deleted_by_somebody_else(make_stage: MakeStage) -> None:
    """Entries that a sink has read and that are trimmed under its hands before it comes to write them."""
    stage = make_stage()
    stage.publish(20)
    with stage.bus.client() as client:
        client.xgroup_create(stream.STREAM, stream.GROUP, id="0")
        client.xreadgroup(stream.GROUP, "a", {stream.STREAM: ">"}, count=10)
        client.xtrim(stream.STREAM, maxlen=16, approximate=False)
    sink = stage.sink("a")
    stage.drained()

    assert sink.value("depthgauge_sink_entries_vanished_total") == 4
    done = stage.account(elsewhere={RUN: {"vanished": 4}})
    stage.record(
        "entries trimmed by somebody else after a sink had read them",
        "`depthgauge_sink_entries_vanished_total`",
        account=done,
    )


def _bomb() -> bytes:
    """Return a body that is small, and larger than any snapshot when decompressed."""
    import zlib

    return zlib.compress(b" " * (stream.MAX_BODY + 1))
