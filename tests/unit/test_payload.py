import json
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from exporter.queues.heads import PAUSE, HeadMemory
from exporter.queues.laravel import LaravelReader
from exporter.queues.payload import at_path, eligible, seconds
from exporter.settings import PrefixSettings

NOW = 1_800_000_000.0


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (1_799_999_990, 1_799_999_990.0),
        (1_799_999_990.5, 1_799_999_990.5),
        ("1799999990.5", 1_799_999_990.5),
        (b"1799999990", 1_799_999_990.0),
        (1_799_999_990_500, 1_799_999_990.5),
        (1_799_999_990_500_000, 1_799_999_990.5),
        ("1.7999999905e+15", 1_799_999_990.5),
        ("2027-01-15T07:59:50Z", 1_799_999_990.0),
        ("2027-01-15T08:59:50+01:00", 1_799_999_990.0),
        ("2027-01-15T07:59:50", 1_799_999_990.0),
        (0, None),
        (-1_799_999_990, None),
        (17, None),
        (10**400, None),
        (1e300, None),
        ("nan", None),
        ("-inf", None),
        ("", None),
        ("soon", None),
        (True, None),
        (None, None),
        ([1_799_999_990], None),
        ("0001-01-01T00:00:00+23:59", None),
    ],
)
def test_times_are_told_by_their_magnitude(value: object, expected: float | None) -> None:
    assert seconds(value) == expected


def test_a_head_is_never_eligible_later_than_now() -> None:
    assert eligible(NOW - 5, NOW) == datetime.fromtimestamp(NOW - 5, UTC)
    assert eligible(NOW + 5, NOW) == datetime.fromtimestamp(NOW, UTC), "a clock that is ahead"
    assert eligible(NOW + 90_000, NOW) is None, "absurd"
    assert eligible(12.0, NOW) is None, "absurd"
    assert eligible(None, NOW) is None


@pytest.mark.parametrize(
    ("body", "path", "expected"),
    [
        (b'{"a": {"b": 5}, "c": [1]}', "a.b", 5),
        (b'{"a": {"b": 5}}', "a", {"b": 5}),
        (b'{"a": {"b": 5}}', "a.c", None),
        (b'{"a": 5}', "a.b", None),
        (b"[1]", "a", None),
        (b"{", "a", None),
        (b"\xff\xfe", "a", None),
        (b'{"a":' + b"[" * 200_000, "a", None),
        (b'{"b":' + b"[" * 5_000 + b"]" * 5_000 + b',"a":1}', "a", None),
    ],
)
def test_a_dotted_path_into_a_payload(body: bytes, path: str, expected: object) -> None:
    assert at_path(body, path) == expected


@given(st.binary(max_size=200), st.text(max_size=20))
def test_no_payload_is_too_odd_for_a_path(body: bytes, path: str) -> None:
    at_path(body, path)


_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=20),
    lambda children: st.lists(children, max_size=3) | st.dictionaries(st.text(max_size=5), children, max_size=3),
    max_leaves=5,
)


@given(
    st.binary(max_size=100)
    | st.dictionaries(st.sampled_from(["id", "attempts", "createdAt", "pushedAt", "delay"]), _JSON).map(
        lambda value: json.dumps(value).encode()
    )
)
def test_no_payload_is_too_odd_for_laravel(body: bytes) -> None:
    talk = LaravelReader(PrefixSettings(prefix=""), PrefixSettings(), ("q",)).read((), NOW)
    next(iter(talk))
    talk.send([1, 0, 0, 0])
    with pytest.raises(StopIteration) as stop:
        talk.send([body])
    (queue,) = stop.value.value
    assert queue.live.waiting == 1
    assert (queue.head_eligible_at is None) != (queue.head_first_seen_at is None)
    if queue.head_eligible_at is not None:
        assert queue.head_eligible_at.timestamp() <= NOW


def test_a_head_is_seen_first_once() -> None:
    heads = HeadMemory()
    first = heads.first_seen(b"q", b"head", NOW)
    assert heads.first_seen(b"q", b"head", NOW + 30) == first
    assert heads.first_seen(b"q", b"head", NOW - 0.01) == first, "the clock is known to so much only"
    assert heads.first_seen(b"q", b"other", NOW + 60) == datetime.fromtimestamp(NOW + 60, UTC)
    assert heads.first_seen(b"q", b"head", NOW + 90) == datetime.fromtimestamp(NOW + 90, UTC), "it came back anew"
    assert heads.first_seen(b"q", b"head", NOW - 90) == datetime.fromtimestamp(NOW - 90, UTC), "the clock was set back"


def test_a_large_head_is_left_alone_for_ten_minutes() -> None:
    heads = HeadMemory()
    assert heads.readable(b"q", NOW)
    heads.pause(b"q", NOW)
    assert not heads.readable(b"q", NOW + PAUSE - 1)
    assert heads.readable(b"other", NOW)
    assert heads.readable(b"q", NOW + PAUSE)
    heads.pause(b"q", NOW)
    assert heads.readable(b"q", NOW - 3600), "the clock was set back: nobody waits an hour and ten minutes"


def test_memory_of_heads_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("exporter.queues.heads.MOST", 3)
    heads = HeadMemory()
    for number in range(5):
        heads.first_seen(b"%d" % number, b"head", NOW)
    assert heads.first_seen(b"4", b"head", NOW + 9) == datetime.fromtimestamp(NOW, UTC)
    assert heads.first_seen(b"0", b"head", NOW + 9) == datetime.fromtimestamp(NOW + 9, UTC)
