"""Passwords against bcrypt hashes."""

import threading

import bcrypt
import pytest

from depthgauge import passwords
from depthgauge.passwords import Passwords, TooBusy
from depthgauge.secrets import Secret
from tests.plugins.waiting import wait_for

ANN = bcrypt.hashpw(b"correct", bcrypt.gensalt(4))


class Counting:
    """bcrypt itself, counted; waits while ``held`` is set."""

    def __init__(self) -> None:
        self.calls: list[tuple[bytes, bytes]] = []
        self.free = threading.Event()
        self.free.set()

    def __call__(self, password: bytes, hashed: bytes) -> bool:
        self.calls.append((password, hashed))
        assert self.free.wait(10)
        return bcrypt.checkpw(password, hashed)


def make(check: Counting, wait: float = 5.0) -> Passwords:
    return Passwords([("ann", Secret(ANN.decode()))], salt=b"x", check=check, wait=wait)


def test_right_and_wrong_are_computed_once() -> None:
    check = Counting()
    users = make(check)
    for _ in range(3):
        assert users.good("ann", "correct")
        assert not users.good("ann", "wrong")
    assert len(check.calls) == 2


def test_an_unknown_user_costs_what_a_known_one_does() -> None:
    check = Counting()
    users = make(check)
    # Also with a password that is right for somebody else.
    assert not users.good("bob", "correct")
    assert check.calls == [(b"correct", ANN)]
    assert users.good("ann", "correct")
    assert not users.good("bob", "correct")


def test_a_password_that_bcrypt_would_cut_is_wrong() -> None:
    hashed = bcrypt.hashpw(b"x" * 72, bcrypt.gensalt(4)).decode()
    check = Counting()
    users = Passwords([("ann", Secret(hashed))], salt=b"x", check=check)
    assert users.good("ann", "x" * 72)
    assert not users.good("ann", "x" * 73)
    assert not users.good("ann", "ä" * 40)
    # Older bcrypt libraries do not refuse such a password: they are not asked.
    assert len(check.calls) == 1


def test_without_users_nobody_is_good() -> None:
    nobody = Passwords([], salt=b"x")
    assert not nobody
    assert not nobody.good("ann", "correct")


def test_what_is_remembered_is_bounded() -> None:
    check = Counting()
    users = make(check)
    assert users.good("ann", "correct")
    for number in range(passwords.CACHED + 20):
        assert not users.good("ann", str(number))
    assert len(check.calls) == 1 + passwords.CACHED + 20
    # Wrong ones push out wrong ones only.
    assert users.good("ann", "correct")
    assert len(check.calls) == 1 + passwords.CACHED + 20
    assert not users.good("ann", "0")
    assert len(check.calls) == 2 + passwords.CACHED + 20


def test_one_at_a_time_and_no_endless_queue() -> None:
    check = Counting()
    check.free.clear()
    users = make(check, wait=0.05)
    first = threading.Thread(target=users.good, args=("ann", "slow"))
    first.start()
    wait_for(lambda: check.calls)
    with pytest.raises(TooBusy):
        users.good("ann", "correct")
    check.free.set()
    first.join()
    assert users.good("ann", "correct")
    assert [password for password, _ in check.calls] == [b"slow", b"correct"]


def test_few_may_wait_for_the_one_that_is_computed() -> None:
    check = Counting()
    check.free.clear()
    users = make(check)
    waiting = [
        threading.Thread(target=users.good, args=("ann", f"slow-{number}")) for number in range(passwords.WAITING)
    ]
    for thread in waiting:
        thread.start()
    wait_for(lambda: users._places._value == 0)
    with pytest.raises(TooBusy):
        users.good("ann", "correct")
    check.free.set()
    for thread in waiting:
        thread.join()
    assert users.good("ann", "correct")
