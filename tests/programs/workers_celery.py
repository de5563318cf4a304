"""A Celery application whose workers have nothing to do."""

import os

from celery import Celery

app = Celery("workers_celery", broker=os.environ["REDIS_URL"])
app.conf.worker_hijack_root_logger = False
