"""Command lines of the Python systems beside RQ, as /proc shows them and as supervisord.conf has them."""

import shlex
from collections.abc import Mapping

import pytest

from exporter.command_lines import COMMAND_LINES
from exporter.command_lines.reader import no_variable


def serves(system: str, line: str | list[str], variables: Mapping[str, str] | None = None) -> list[str] | None:
    (reader,) = (each for each in COMMAND_LINES if each.system == system)
    words = shlex.split(line) if isinstance(line, str) else line
    queues = reader.serves(words, (variables or {}).get)
    assert queues == reader.serves(tuple(words), (variables or {}).get), "what kind of sequence it is must not matter"
    return None if queues is None else list(queues)


@pytest.mark.parametrize(
    ("line", "queues"),
    [
        ("celery -A app worker", ["celery"]),
        ("celery -A app worker -Q high,default", ["high", "default"]),
        ("celery -A app worker -Qhigh -c2", ["high"]),
        ("celery --app=app worker --queues=high,default --loglevel=INFO", ["high", "default"]),
        ("celery -A app worker --queues ' high, default,' -E -B", ["high", "default"]),
        ("celery -A app worker -Q a -Q b", ["b"]),
        ("celery -A app worker -EQ a", ["a"]),
        ("celery -A app worker -Q a,b,c -X b", ["a", "c"]),
        ("celery -A app worker --exclude-queues b", []),
        ("/venv/bin/python /venv/bin/celery -A app worker -n w1@%h -Q a", ["a"]),
        ("python3.11 -m celery -A app worker -Q a", ["a"]),
        ("python -m celery -A app worker -Q a -n w1@host --pidfile=/run/w1.pid --logfile=/var/log/w1.log", ["a"]),
        ("python manage.py celery worker -Q a --settings app.prod", ["a"]),
        ("celery worker -A app -Q a --time-limit 300", ["a"]),
        ("nice -n 10 celery -A app worker -Q a", ["a"]),
        ("gosu celery celery -A app worker -Q a", ["a"]),
        ("watchmedo auto-restart -d . -p '*.py' -- celery -A app worker -Q a", ["a"]),
        ("celery -A worker worker", ["celery"]),
        ("celery -b redis://h:6379/0 -A app worker", ["celery"]),
        ("celery -b sentinel://h:26379 -A app worker", ["celery"]),
        ("celery --broker=amqp://guest@h// -A app worker", None),
        ("celery -A app beat", None),
        ("celery -A app flower --broker=redis://h/0", None),
        ("celery -A app inspect active_queues", None),
        ("celery -A worker beat", None),
        ("celery multi start w1 -A app -Q a", None),
        ("celery", None),
        ("tail -f /var/log/celery worker", None),
        ("vim celery worker", None),
        ("rq worker high", None),
        ("", None),
    ],
)
def test_celery(line: str, queues: list[str] | None) -> None:
    assert serves("celery", line) == queues


@pytest.mark.parametrize(
    ("title", "queues"),
    [
        ("[celeryd: celery@vm:MainProcess] -active- (-A app worker -Q high,default -c 2)", ["high", "default"]),
        ("[celeryd: w1@vm:MainProcess] -active- (worker -A app)", ["celery"]),
        ("[celeryd: w(1)@vm:MainProcess] -active- (-A app worker -n w(1)@vm -Q a)", ["a"]),
        ("[celeryd: w1@vm:MainProcess] -active- (-A app worker -Q my queue)", []),
        ("[celeryd: w1@vm:MainProcess] -active- (-A app worker -X slow)", []),
        ("[celeryd: w1@vm:MainProcess]", []),
        ("[celeryd: celery@vm:ForkPoolWorker-1]", []),
        ("[celery beat]", None),
        ("[celeryev:vm] cam", None),
    ],
)
def test_celery_rewrites_its_title_where_setproctitle_is_installed(title: str, queues: list[str] | None) -> None:
    assert serves("celery", [title, "", ""]) == queues


def test_celery_by_its_environment_works_for_another_broker() -> None:
    line = "celery -A app worker -Q a"
    assert serves("celery", line, {"CELERY_BROKER_URL": "amqp://h"}) is None
    assert serves("celery", line, {"CELERY_BROKER_URL": "redis://:pw@h/0"}) == ["a"]
    assert serves("celery", f"{line} -b redis://h", {"CELERY_BROKER_URL": "amqp://h"}) == ["a"]


@pytest.mark.parametrize(
    ("line", "queues"),
    [
        ("dramatiq app", []),
        ("dramatiq app.tasks app.more -Q high default", ["high", "default"]),
        ("dramatiq app --queues high default --processes 2 -t 4", ["high", "default"]),
        ("dramatiq --queues high default -- app", ["high", "default"]),
        ("dramatiq app -p 2 --queue high --watch .", ["high"]),
        ("dramatiq app --queues=high", ["high"]),
        ("dramatiq app -Qhigh -v", ["high"]),
        ("dramatiq app -Q a -Q b", ["b"]),
        ("dramatiq-gevent app -Q a", ["a"]),
        ("/venv/bin/python /venv/bin/dramatiq app -Q a", ["a"]),
        ("python -m dramatiq app -Q a", ["a"]),
        ("python manage.py rundramatiq --queues a b --processes 4", ["a", "b"]),
        ("python -m periodiq app", None),
        ("less dramatiq -Q a", None),
    ],
)
def test_dramatiq(line: str, queues: list[str] | None) -> None:
    assert serves("dramatiq", line) == queues


@pytest.mark.parametrize(
    ("system", "line", "is_worker"),
    [
        ("arq", "/venv/bin/python /venv/bin/arq app.worker.WorkerSettings", True),
        ("arq", "arq --watch src app.WorkerSettings --burst", True),
        ("arq", "python -m arq app.WorkerSettings", True),
        ("arq", "arq --check app.WorkerSettings", False),
        ("arq", "arq --version", False),
        ("arq", "tail -f /var/log/arq app.log", False),
        ("saq", "/venv/bin/python /venv/bin/saq app.settings --workers 2", True),
        ("saq", "saq --web --port 8080 app.settings", True),
        ("saq", "saq app.settings --check", False),
        ("saq", "saq -e other.settings --quiet", False),
        ("huey", "/venv/bin/python /venv/bin/huey_consumer app.huey -w 2 -k process", True),
        ("huey", "python huey_consumer.py app.huey", True),
        ("huey", "python manage.py run_huey", True),
        ("huey", "python manage.py migrate", False),
        ("taskiq", "/venv/bin/python /venv/bin/taskiq worker app:broker -w 2", True),
        ("taskiq", "python -m taskiq worker app:broker --fs-discover", True),
        ("taskiq", "taskiq scheduler app:scheduler", False),
        ("taskiq", "taskiq", False),
    ],
)
def test_systems_whose_queues_stand_in_the_program(system: str, line: str, is_worker: bool) -> None:
    assert serves(system, line) == ([] if is_worker else None)


@pytest.mark.parametrize(
    "line",
    [
        "celery -A app worker -Q a",
        "rq worker a",
        "php artisan queue:work",
        "php artisan horizon",
        "dramatiq app",
        "arq app.Settings",
        "saq app.settings",
        "huey_consumer app.huey",
        "taskiq worker app:broker",
        "sidekiq",
        "rake resque:work",
        "nginx: worker process",
        "/usr/sbin/php-fpm8.2 --nodaemonize",
        "gunicorn app:app --workers 4",
        "node worker.js",
    ],
)
def test_no_line_is_two_systems(line: str) -> None:
    claimed = [each.system for each in COMMAND_LINES if each.serves(shlex.split(line), no_variable) is not None]
    assert len(claimed) == (0 if line.startswith(("nginx", "/usr", "gunicorn", "node")) else 1)
