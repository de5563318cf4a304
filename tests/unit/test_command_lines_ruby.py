"""Command lines and titles of the Ruby systems, and what an environment tells of Resque and Laravel."""

import shlex
from collections.abc import Mapping

import pytest

from exporter.command_lines import COMMAND_LINES


def serves(system: str, line: str | list[str], variables: Mapping[str, str] | None = None) -> list[str] | None:
    (reader,) = (each for each in COMMAND_LINES if each.system == system)
    words = shlex.split(line) if isinstance(line, str) else line
    queues = reader.serves(words, (variables or {}).get)
    return None if queues is None else list(queues)


@pytest.mark.parametrize(
    ("line", "queues"),
    [
        ("sidekiq", []),
        ("sidekiq -C config/sidekiq.yml", []),
        ("sidekiq -q high,5 -q default -q low,1", ["high", "default", "low"]),
        ("ruby /usr/bin/sidekiq -qhigh,2 -r ./app.rb", ["high"]),
        ("bundle exec sidekiq -e production --queue=critical --queue default -c 10", ["critical", "default"]),
        ("bundle exec sidekiq -C config/sidekiq.yml -q mail", ["mail"]),
        ("sidekiqctl stop", None),
        ("ruby app.rb", None),
        ("tail -f sidekiq", None),
    ],
)
def test_sidekiq(line: str, queues: list[str] | None) -> None:
    assert serves("sidekiq", line) == queues


@pytest.mark.parametrize(
    ("title", "is_worker"),
    [
        ("sidekiq 6.4.1  [0 of 10 busy]", True),
        ("sidekiq 7.3.9 shop [3 of 5 busy]", True),
        ("sidekiq 8.0.0 shop [3 of 5 busy] stopping", True),
        ("sidekiq exporter", True),
        ("not sidekiq 6.4.1 [0 of 10 busy]", False),
    ],
)
def test_sidekiq_rewrites_its_title(title: str, is_worker: bool) -> None:
    assert serves("sidekiq", [*title.split(" "), "", ""]) == ([] if is_worker else None)
    assert (serves("sidekiq", [title]) == []) is (is_worker and "busy" in title)


@pytest.mark.parametrize(
    ("argv", "variables", "queues"),
    [
        (["resque-2.7.0: Waiting for high,default", "", ""], {}, ["high", "default"]),
        (["app[web-1] resque-1.27.4: Waiting for mail"], {}, None),
        (["app-resque-1.27.4: Waiting for mail"], {}, ["mail"]),
        (["resque-2.7.0: Processing mail since 1700000000 [Mailer]"], {"QUEUE": "mail, slow"}, ["mail", "slow"]),
        (["resque-2.7.0: Forked 4711 at 1700000000"], {"QUEUE": "one", "QUEUES": "high,low"}, ["high", "low"]),
        (["resque-2.7.0: Forked 4711 at 1700000000"], {}, []),
        (["resque-2.7.0: Paused"], {"QUEUES": "mail_*"}, []),
        (["resque-2.7.0: Waiting for *"], {}, []),
        (["resque-scheduler-4.10.0: Processing Delayed Items"], {}, None),
        (["resque-pool-master[app]:", "managing", "[12,", "13]"], {"QUEUE": "a"}, []),
        (["rake", "resque:work"], {"QUEUE": "a,b"}, ["a", "b"]),
        (["rake", "resque:work"], {"QUEUE": "*"}, []),
        (["rake", "resque:work"], {"QUEUE": "a,!b"}, []),
        (["rake", "resque:work"], {}, []),
        (["rake", "environment", "resque:work", "QUEUE=x,y"], {"QUEUE": "a"}, ["x", "y"]),
        (["bundle", "exec", "rake", "resque:workers", "COUNT=5", "QUEUES=x"], {}, ["x"]),
        (["env", "QUEUE=x", "bundle", "exec", "rails", "resque:work"], {}, ["x"]),
        (["rake", "resque:scheduler"], {"QUEUE": "a"}, None),
        (["rake", "db:migrate"], {"QUEUE": "a"}, None),
    ],
)
def test_resque(argv: list[str], variables: Mapping[str, str], queues: list[str] | None) -> None:
    assert serves("resque", argv, variables) == queues


@pytest.mark.parametrize(
    ("line", "variables", "queues"),
    [
        ("php artisan queue:work", {"QUEUE_CONNECTION": "database"}, None),
        ("php artisan queue:work --queue=a", {"QUEUE_CONNECTION": "sqs"}, None),
        ("php artisan queue:work", {"QUEUE_CONNECTION": "redis", "REDIS_QUEUE": "mail"}, ["mail"]),
        ("php artisan queue:work redis", {"QUEUE_CONNECTION": "database", "REDIS_QUEUE": "mail"}, ["mail"]),
        ("php artisan queue:work redis --queue=a", {"REDIS_QUEUE": "mail"}, ["a"]),
        ("php artisan queue:work redis-long", {"REDIS_QUEUE": "mail"}, ["default"]),
        ("php artisan horizon:work redis --queue=a", {"QUEUE_CONNECTION": "database"}, ["a"]),
    ],
)
def test_laravels_defaults_may_stand_in_the_environment(
    line: str, variables: Mapping[str, str], queues: list[str] | None
) -> None:
    assert serves("laravel", line, variables) == queues


def test_only_a_worker_has_its_environment_read() -> None:
    asked: list[str] = []

    def variable(name: str) -> None:
        asked.append(name)

    for each in COMMAND_LINES:
        for line in ("nginx", "rake db:migrate", "php artisan schedule:work", "celery -A app beat", "sidekiq -q a"):
            each.serves(shlex.split(line), variable)
    assert asked == []
    for line in ("php artisan queue:work redis --queue=a", "celery -b redis://h -A app worker"):
        for each in COMMAND_LINES:
            each.serves(shlex.split(line), variable)
    assert asked == []
