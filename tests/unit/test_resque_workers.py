"""What the id of a Resque worker says of its queues, and what its work and heartbeat say."""

import pytest

from exporter.queues.resque_workers import Served, Worker, is_id, served, worker_of

QUEUES = (b"high", b"low", b".hid", b"mail", b"mail*", b"a:x", b"m/l", b"a{b", b"^x", b"H\xc3\xa9")
NOW = 1_800_000_000.5


@pytest.mark.parametrize(
    ("queues", "expected"),
    [
        (b"low,high", [b"high", b"low"]),
        (b" low , high", [b"high", b"low"]),
        (b"*", [name for name in QUEUES if name != b".hid"]),
        (b"h*,?ow", [b"high", b"low"]),
        (b"[^h]*,!m*", [b"low", b"a:x", b"a{b", b"^x", b"H\xc3\xa9"]),
        (b"mail\\*,*\\*", [b"mail*"]),
        (b"m*l", [b"mail", b"m/l"]),
        (b".*", [b".hid"]),
        (b"a{b", [b"a{b"]),
        (b"!low", []),
        (b"low,!low", []),
        (b"[", []),
    ],
)
def test_patterns_match_as_rubys_fnmatch_does(queues: bytes, expected: list[bytes]) -> None:
    assert list(served(queues, QUEUES)) == expected


def test_what_a_list_of_queues_means_is_found_out_once() -> None:
    remembered = Served()
    workers = [Worker(b"*", alive=True, busy=False, works_on=None)]
    first = remembered.by(workers, (b"a",))
    assert remembered.by(workers, (b"a",))[b"*"] is first[b"*"]
    assert list(remembered.by(workers, (b"a", b"b"))[b"*"]) == [b"a", b"b"]
    assert remembered.by([], (b"a", b"b")) == {}, "what no worker says any more is forgotten"


def test_only_host_pid_and_queues_are_an_id() -> None:
    assert [is_id(member) for member in (b"web-1:7:mail", b"web:7+1:a:b,*", b"php:12:x")] == [True] * 3
    others = (b"rq:worker:w1", b"web:7:", b"web:7", b":7:mail", b"web:7:" + b"x" * 20_000)
    assert [is_id(member) for member in others] == [False] * 5


@pytest.mark.parametrize(
    ("says", "busy", "queue"),
    [
        (b"", False, None),
        (b'{"queue":"mail","run_at":"x","payload":{"class":"J","args":["', True, b"mail"),
        (b'{"run_at": "x", "queue": "a\\"b"}', True, b'a"b'),
        (b'{"payload":{"queue":"mail"}}', True, None),
        (b'{"queue":"ma', True, None),
        (b'{"queue":"\\ud800"}', True, None),
        (b"\xff\xfe", True, None),
    ],
)
def test_the_queue_of_the_work_stands_before_the_payload(says: bytes, busy: bool, queue: bytes | None) -> None:
    worker = worker_of(b"web:1:*", says, None, NOW)
    assert (worker.busy, worker.works_on) == (busy, queue)


@pytest.mark.parametrize(
    ("beat", "alive"),
    [
        (None, True),
        (b"2027-01-15T07:59:00+00:00", True),
        (b"2027-01-15T07:55:00Z", True),
        (b"2027-01-15T07:54:59Z", False),
        (b"2027-01-15T08:54:59+01:00", False),
        (b"2027-01-15T09:00:00Z", True),
        (b"garbage", True),
    ],
)
def test_a_worker_is_dead_300_seconds_after_its_last_heartbeat(beat: bytes | None, alive: bool) -> None:
    assert worker_of(b"web:1:*", b"", beat, NOW).alive is alive
