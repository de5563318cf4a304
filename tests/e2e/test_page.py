"""The status page of a real exporter in a real Chromium: supervisord, Redis, the sink's rows, and one that dies."""

from pathlib import Path

import pytest
import redis
import rq

from depthgauge.secrets import Secret
from sink.migrate import migrate
from tests.plugins.browser import Browser
from tests.plugins.daemons import MakeDaemon
from tests.plugins.redis_server import MakeRedis, RedisServer
from tests.plugins.supervisord import MakeSupervisord, Program, python
from tests.plugins.waiting import wait_for

pytestmark = [
    pytest.mark.needs("chromium", "redis-server", "rq", "supervisord", "timescaledb"),
    pytest.mark.timeout(180),
]

SLEEPER = python("import time; time.sleep(600)")
TOKEN = "a-token-of-the-test"


def enqueue(server: RedisServer, name: str, count: int) -> None:
    with redis.Redis(port=server.port) as client:
        queue = rq.Queue(name, connection=client)
        for _ in range(count):
            queue.enqueue("builtins.print")


def test_the_page_of_a_real_exporter(
    *,
    browser: Browser,
    make_daemon: MakeDaemon,
    make_redis: MakeRedis,
    make_supervisord: MakeSupervisord,
    timescale_database: str,
    tmp_path: Path,
) -> None:
    migrate(Secret(timescale_database))
    jobs, bus = make_redis(), make_redis()
    enqueue(jobs, "mail", 3)
    supervisord = make_supervisord(
        [
            Program("mail", SLEEPER),
            Program("broken", "/nowhere/at/all", options={"startsecs": "1", "startretries": "0"}),
        ]
    )
    token_file = tmp_path / "token"
    token_file.write_text(TOKEN)
    token_file.chmod(0o600)
    config = (
        f'[exporter]\nhost = "web-1"\ninterval = 1\nstate_dir = "{tmp_path}/state"\n'
        f'[[supervisor]]\nname = "main"\nurl = "{supervisord.unix_url}"\n'
        '[[supervisor.queues]]\nprogram = "mail"\nsystem = "rq"\nqueues = ["mail"]\n'
        f'[[redis]]\nname = "default"\nurl = "{jobs.url}"\n'
        f'[bus]\nurl = "{bus.url}"\n[sink]\ndsn = "{timescale_database}"\n[history]\ndsn = "{timescale_database}"\n'
        f'[web]\ntoken_file = "{token_file}"\n'
    )
    exporter = make_daemon("exporter", config).ready()
    make_daemon("sink", config).ready()

    browser.open(f"{exporter.url}/#token={TOKEN}")
    browser.find("#queues tbody tr")
    assert browser.driver.current_url == f"{exporter.url}/"
    assert browser.shown("#sign-in") == []
    assert browser.texts("#queues tbody th") == ["mail"]
    assert "Host web-1" in browser.text("#facts")
    assert browser.text("#processes tbody tr:nth-child(1) .state").endswith("FATAL")
    browser.wait_text("#troubles", "broken on web-1: FATAL: supervisord has given up starting it")

    enqueue(jobs, "mail", 40)
    wait_for(lambda: "43" in browser.texts("#queues tbody td.waiting"), 20, what="the queue grows on the page")
    supervisord.rpc.stopProcess("mail")
    browser.wait_text("#troubles", "mail: 43 jobs wait, nobody works on it.", 20)
    assert browser.console() == []
    assert browser.violations() == []

    # The first rows are a few seconds away, and the page looks again once a minute: a reader would not wait either.
    def drawn() -> bool:
        browser.run("document.querySelector('#history-queue').dispatchEvent(new Event('change', {bubbles: true}))")
        return "record" in browser.text("#history-status") and bool(browser.shown("#charts canvas"))

    wait_for(drawn, 30, what="history is drawn", step=0.5)
    assert browser.console() == []

    supervisord.stop()
    browser.wait_text("#banner", "No answer from supervisord main", 30)
    jobs.stop()
    browser.wait_text("#banner", "No answer from the queues of Redis default", 30)
    assert browser.violations() == []
    elsewhere = [
        each for each in browser.requests() if not each.startswith((exporter.url, "data:", "about:", "chrome://"))
    ]
    assert elsewhere == []
