"""Buckets of permits."""

from depthgauge.limits import Clients, Shared
from depthgauge.listeners import client_of


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def test_a_burst_then_one_at_a_time() -> None:
    clock = Clock()
    shared = Shared(2.0, 3, clock)
    assert [shared.take() for _ in range(4)] == [0, 0, 0, 2.0]
    clock.now += 0.5
    assert shared.take() == 1.5
    clock.now += 1.5
    assert shared.take() == 0
    clock.now += 1000
    assert [shared.take() > 0 for _ in range(4)] == [False, False, False, True]


def test_clients_are_counted_apart_and_looking_takes_nothing() -> None:
    clients = Clients(Clock())
    assert clients.look("a", 1.0, 1) == 0
    assert len(clients) == 0
    assert clients.take("a", 1.0, 1) == 0
    assert clients.take("b", 1.0, 1) == 0
    assert clients.look("a", 1.0, 1) == 1.0
    assert clients.take("a", 1.0, 1) == 1.0


def test_the_table_stays_small() -> None:
    clients = Clients(Clock(), most=3)
    for number in range(100):
        clients.take(str(number), 1.0, 1)
    assert len(clients) == 3
    assert clients.take("99", 1.0, 1) > 0
    assert clients.take("0", 1.0, 1) == 0


def test_who_is_one_client() -> None:
    assert client_of("192.0.2.7") == client_of("::ffff:192.0.2.7") == "192.0.2.7"
    assert client_of("2001:db8::1") == client_of("2001:db8::ffff:1:2:3") == "2001:db8::/64"
    assert client_of("2001:db8:0:1::1") != client_of("2001:db8::1")
    assert client_of("fe80::1%eth0") == "fe80::/64"
    assert client_of("a socket") == "a socket"
