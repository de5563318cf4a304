"""Waiting for something to become true, with a deadline, instead of sleeping for luck."""

import time
from collections.abc import Callable
from typing import Literal, TypeVar

T = TypeVar("T")


def wait_for(
    condition: Callable[[], T | Literal[False] | None], timeout: float = 10.0, *, what: str = "", step: float = 0.01
) -> T:
    """Call ``condition`` until it returns something true, and return that; raise AssertionError after ``timeout`` seconds."""
    deadline = time.monotonic() + timeout
    while not (value := condition()):
        if time.monotonic() > deadline:
            raise AssertionError(f"after {timeout} s still not: {what or condition}")
        time.sleep(step)
    return value
