"""The demo's producer: puts jobs on three queues for ever. Nobody works on the third.

What it leaves behind has a bound, so that it may run for months: queues that grow stop at 500 jobs, failed jobs are kept an hour.
"""

import itertools
import sys
import time
from pathlib import Path
from typing import Final

import redis
import rq

from cli.demo.jobs import build_report, send_mail

MOST: Final = 500
"""Jobs that a queue may have that nobody drains fast enough."""
KEEP_FAILED: Final = 3600
"""Seconds that a failed job is kept; RQ's default is a year."""


def main() -> None:
    """Run until killed; the arguments are the URL of the Redis and, where it wants one, a file that holds its password."""
    password = Path(sys.argv[2]).read_text().strip() if len(sys.argv) > 2 else None
    connection = redis.Redis.from_url(sys.argv[1], password=password)
    mail, reports, invoices = (rq.Queue(name, connection=connection) for name in ("mail", "reports", "invoices"))
    for number in itertools.count(1):
        mail.enqueue(send_mail, number, failure_ttl=KEEP_FAILED)
        if number % 4 == 1 and reports.count < MOST:
            reports.enqueue(build_report, number, failure_ttl=KEEP_FAILED)
        if number % 6 == 1 and invoices.count < MOST:
            invoices.enqueue(build_report, number, failure_ttl=KEEP_FAILED)
        time.sleep(0.25)


if __name__ == "__main__":
    main()
