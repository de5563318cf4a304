import shlex

import pytest

from exporter.command_lines import COMMAND_LINES
from exporter.command_lines.reader import no_variable


def serves(system: str, line: str | list[str]) -> list[str] | None:
    (reader,) = (each for each in COMMAND_LINES if each.system == system)
    words = shlex.split(line) if isinstance(line, str) else line
    queues = reader.serves(words, no_variable)
    assert queues == reader.serves(tuple(words), no_variable), "what kind of sequence it is must not matter"
    return None if queues is None else list(queues)


@pytest.mark.parametrize(
    ("line", "queues"),
    [
        ("php artisan queue:work", ["default"]),
        ("/usr/bin/php8.2 /srv/app/artisan queue:work redis --queue=high,default --tries=3", ["high", "default"]),
        ("php artisan queue:work --queue high,low --sleep 3", ["high", "low"]),
        ("php artisan queue:work --sleep 3 redis --queue=a", ["a"]),
        ("php artisan queue:work redis-long --queue=a", ["a"]),
        ("php -d memory_limit=512M artisan queue:work --queue=a", ["a"]),
        ("php artisan --env=production queue:work --queue=a", ["a"]),
        ("nice -n 5 php artisan queue:work --queue=a", ["a"]),
        ("php artisan queue:listen --queue=a", ["a"]),
        ("php artisan queue:work --queue=a --queue=b", ["b"]),
        ("php artisan queue:work --queue=", ["default"]),
        ("php artisan queue:work '--queue={high},mail:eu'", ["high", "mail:eu"]),
        ("php artisan queue:work '--queue= a , b '", ["a", "b"]),
        ("php artisan queue:work database --queue=a", None),
        ("php artisan queue:work sqs", None),
        (
            "php artisan horizon:work redis --name=default --supervisor=web-1:s-1 --queue='high,a' --tries=0",
            ["high", "a"],
        ),
        ("php8.2 artisan horizon:work long-running --queue=a", ["a"]),
        ("php artisan horizon", []),
        ("php artisan horizon:supervisor web-1:s-1 redis --queue=a,b --balance=auto", []),
        ("php artisan horizon:terminate", None),
        ("php artisan queue:restart", None),
        ("php artisan schedule:work", None),
        ("vim queue:work", None),
        ("rq worker high", None),
        ("", None),
    ],
)
def test_laravel(line: str, queues: list[str] | None) -> None:
    assert serves("laravel", line) == queues


@pytest.mark.parametrize(
    ("line", "queues"),
    [
        ("rq worker", ["default"]),
        ("rq worker high default low", ["high", "default", "low"]),
        ("/venv/bin/python /venv/bin/rq worker high", ["high"]),
        ("python -m rq.cli worker --url redis://h:1/0 high", ["high"]),
        ("rq worker -u redis://h:1/0 -n name -q -v high", ["high"]),
        ("rq worker -uredis://h:1/0 -nname high", ["high"]),
        ("rq worker --name=x --results-ttl 500 --burst high", ["high"]),
        ("rq worker -bqn name high", ["high"]),
        ("rq worker -ds random high", ["high"]),
        ("rq worker -d high", ["high"]),
        ("rq worker --dequeue-strategy round_robin high", ["high"]),
        ("rq worker high --with-scheduler -s low", ["high", "low"]),
        ("rq worker -- high -odd", ["high", "-odd"]),
        ("rq worker -c settings", []),
        ("rq worker --config=settings", []),
        ("rq worker -c settings high", ["high"]),
        ("rq worker-pool high -n 4", ["high"]),
        ("rq worker-pool -l DEBUG --num-workers 4", ["default"]),
        ("rqworker high", ["high"]),
        ("python manage.py rqworker high low --with-scheduler", ["high", "low"]),
        ("python manage.py rqworker -v 2 --settings app.prod high", ["high"]),
        ("/srv/manage.py rqworker", ["default"]),
        ("rq cron jobs.py", None),
        ("rq info high", None),
        ("rq enqueue worker", None),
        ("rqscheduler", None),
        ("tail -f rqworker", None),
        ("php artisan queue:work", None),
        ("", None),
    ],
)
def test_rq(line: str, queues: list[str] | None) -> None:
    assert serves("rq", line) == queues


@pytest.mark.parametrize(
    ("argv", "queues"),
    [
        (["rq:worker:w1: Listening on high,default"], ["high", "default"]),
        (["rq:worker:w1: Listening on high, default", "", ""], ["high", "default"]),
        (["rq:worker:w1:", "Listening", "on", "high,default"], ["high", "default"]),
        (["rq:worker:w1: Listening on mail queue\0\0"], ["mail queue"]),
        (["rq:worker:w1: Forked 4711 at 1700000000.0"], []),
    ],
)
def test_rq_rewrites_its_title_where_setproctitle_is_installed(argv: list[str], queues: list[str] | None) -> None:
    assert serves("rq", argv) == queues
