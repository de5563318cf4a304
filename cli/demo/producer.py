"""The demo's producer: puts jobs on three queues for ever. Nobody works on the third."""

import itertools
import sys
import time

import redis
import rq

from cli.demo.jobs import build_report, send_mail


def main() -> None:
    """Run until killed; the first argument is the URL of the Redis."""
    connection = redis.Redis.from_url(sys.argv[1])
    mail, reports, invoices = (rq.Queue(name, connection=connection) for name in ("mail", "reports", "invoices"))
    for number in itertools.count(1):
        mail.enqueue(send_mail, number)
        if number % 4 == 1:
            reports.enqueue(build_report, number)
        if number % 6 == 1 and invoices.count < 500:
            invoices.enqueue(build_report, number)
        time.sleep(0.25)


if __name__ == "__main__":
    main()
