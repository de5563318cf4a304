"""The work that the demo's RQ workers do."""

import random
import time


def send_mail(recipient: int) -> str:
    """Take a moment; fail now and then, as mail does."""
    time.sleep(random.uniform(0.05, 0.3))  # noqa: S311  no secret depends on it
    if recipient % 17 == 0:
        raise ConnectionRefusedError(f"mail server refused recipient {recipient}")
    return f"mail {recipient} sent"


def build_report(number: int) -> int:
    """Take longer than reports are asked for, so that their queue grows."""
    time.sleep(2.0)
    return number
