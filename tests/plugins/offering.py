"""A process of its own with a publisher and a spool, to be killed: ``python -m tests.plugins.offering URL FOLDER RUN COUNT``.

It offers so many snapshots, a few at a time, and prints the number of each that is settled.
"""

import sys
import threading
from pathlib import Path

from tests.plugins.publishers import Running
from tests.plugins.waiting import wait_for


def main(url: str, folder: str, run_id: str, count: str) -> None:
    """Offer and tell, until killed."""
    running = Running(url, folder=Path(folder), run_id=run_id)
    told = 0
    for first in range(1, int(count) + 1, 7):
        last = min(first + 6, int(count))
        running.offer(*range(first, last + 1))
        wait_for(lambda: running.settled[-1:] >= [last], timeout=20, step=0.0005)  # noqa: B023  used before it changes
        while told < len(running.settled):
            print(running.settled[told], flush=True)  # noqa: T201  this is how it tells
            told += 1
    threading.Event().wait()


if __name__ == "__main__":
    main(*sys.argv[1:])
