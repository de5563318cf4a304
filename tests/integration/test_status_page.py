"""What the status page shows, in a real Chromium, over a scripted API."""

import re
from datetime import timedelta

import pytest

from tests.plugins.browser import Browser
from tests.plugins.fleet import Fleet
from tests.plugins.fleet_numbers import MIB, iso, process, queue
from tests.plugins.waiting import wait_for

pytestmark = pytest.mark.needs("chromium")


def cells(browser: Browser, table: str, row: int) -> list[str]:
    return [each.replace("\n", " ") for each in browser.texts(f"#{table} tbody tr:nth-child({row}) > *")]


def loaded(browser: Browser, fleet: Fleet) -> None:
    browser.open(fleet.signed_in)
    browser.find("#queues tbody tr")
    browser.find("#charts canvas")


def test_it_loads_whole_quiet_and_from_nowhere_else(browser: Browser, fleet: Fleet) -> None:
    loaded(browser, fleet)
    assert browser.driver.title == "Depthgauge"
    assert browser.text("#verdict") == "All queues are fine."
    assert browser.text("#banner") == ""
    assert "2 hosts: web-1, web-2" in browser.text("#facts")
    assert "whole fleet, from the cache" in browser.text("#facts")
    assert re.search(r"read \d+ s ago", browser.text("#facts").replace("\n", " "))
    figures = dict(zip(browser.texts("#glance dt"), browser.texts("#glance .value"), strict=True))
    assert figures == {
        "Workers": "12",
        "Waiting": "15",
        "Active": "7",
        "Delayed": "24",
        "Oldest job": "3 s",
        "Failed": "2",
    }
    assert cells(browser, "queues", 1) == (
        ["● fine", "default", "laravel", "default", "12", "", "4", "0", "2", "6", "3 s", "steady"]
    )
    assert cells(browser, "processes", 1)[:5] == ["● RUNNING", "default:default_00", "web-1", "default", "1 d 2 h"]
    assert len(browser.shown("#charts canvas")) == 3
    assert browser.violations() == []
    assert browser.console() == []
    addresses = browser.requests()
    assert {"style.css", "app.js", "uPlot.iife.min.js"} <= {address.rpartition("/")[2] for address in addresses}
    elsewhere = [each for each in addresses if not each.startswith((fleet.url, "data:", "about:", "chrome://"))]
    assert elsewhere == []


def test_health_and_performance_have_their_tiles(browser: Browser, fleet: Fleet) -> None:
    loaded(browser, fleet)
    tiles = [each.replace("\n", " ") for each in browser.texts("#health-tiles .tile")]
    assert [each.partition(" ")[0] for each in tiles] == ["Redis", "Database", "Probe", "Host", "Host"]
    redis, database, probe, host, _ = tiles
    assert "310 MiB of 1.0 GiB" in redis
    assert "Hit rate 97 %" in redis
    assert "Transactions 412 a second" in database
    assert "99 % within 3.7 ms" in database
    assert "Status 200" in probe
    assert "CPU (4 cores) 37 %" in host
    assert "Disk / 30.4 GiB left" in host
    assert "Up, last 24 h 100 %" in host


def test_it_follows_without_a_reload_and_keeps_the_readers_place(browser: Browser, fleet: Fleet) -> None:
    fleet.queues += [queue(f"bulk{number}", fleet.now, waiting=0) for number in range(40)]
    loaded(browser, fleet)
    browser.run("window.__mark = document.querySelector('#queues tbody tr')")
    button = browser.find("#queues thead th:nth-child(5) button")
    button.click()
    browser.run("document.documentElement.scrollTop = 200")
    top = "return document.querySelector('#queues-title').getBoundingClientRect().top"
    before = browser.run(top)
    fleet.find("reports").update(waiting=731, workers=0, oldestJobAgeSeconds=862)
    browser.wait_text("#troubles", "reports: 731 jobs wait, nobody works on it. Oldest since 14 min.")
    assert browser.driver.title == "(1) Depthgauge"
    assert browser.text("#verdict") == "1 thing is in trouble"
    assert cells(browser, "queues", 1)[:5] == ["■ no workers", "reports", "laravel", "default", "731"]
    assert browser.run("return document.activeElement.textContent") == "Waiting"
    assert abs(browser.run(top) - before) < 2, "what was in view stays where it was, though the list above has grown"
    assert browser.run("return window.__mark.isConnected") is True
    assert browser.run("return document.querySelector('#queues th[aria-sort]').textContent") == "Waiting"
    fleet.find("reports").update(waiting=0)
    browser.wait_text("#verdict", "All queues are fine.")
    wait_for(lambda: fleet.unchanged > 3, what="what has not changed is not sent again")


def test_failures_that_rise_are_trouble(browser: Browser, fleet: Fleet) -> None:
    loaded(browser, fleet)
    fleet.find("mail")["failed"] = 12
    browser.wait_text("#troubles", "mail: 12 jobs failed in the last")
    assert cells(browser, "queues", 1)[0] == "▲ failures"


def test_the_newest_failure_stands_in_the_cell_of_failed_jobs(browser: Browser, fleet: Fleet) -> None:
    fleet.find("mail").update(failed=7, newestFailureAt=iso(fleet.now - timedelta(days=400)))
    loaded(browser, fleet)
    told = """return [...document.querySelectorAll("#queues td[title^='newest failure']")]
        .map((each) => [each.title, each.textContent])"""
    [[title, text]] = browser.run(told)
    year = (fleet.now - timedelta(days=400)).year
    assert re.fullmatch(rf"newest failure: \d+ \w+ {year}, \d\d:\d\d", title)
    assert text == f"7, {title}"
    fleet.find("mail").update(failed=None, newestFailureAt=None)
    wait_for(lambda: browser.run(told) == [], what="it goes with the failed jobs")


def test_a_dead_source_a_missing_host_and_old_numbers_are_said_in_words(browser: Browser, fleet: Fleet) -> None:
    fleet.sources[2].update(up=False, error="refused", lastSuccessAt=iso(fleet.now - timedelta(minutes=12)))
    fleet.missing = ["web-3"]
    fleet.age = 500.0
    loaded(browser, fleet)
    banner = browser.text("#banner")
    assert re.search(r"No answer from supervisord main on web-2 since \d\d:\d\d \(12 min\): connection refused", banner)
    assert "Host web-3 does not report" in banner
    assert "These numbers are old: nothing has been read for 8 min." in banner
    assert browser.text("#verdict") == "No trouble in what can be read."
    fleet.sources[2].update(up=True)
    fleet.missing, fleet.age = [], 1.0
    wait_for(lambda: browser.text("#banner") == "", what="the banner goes when all is well")


def test_the_worst_stands_first_everywhere(browser: Browser, fleet: Fleet) -> None:
    fleet.health[0]["usedMemoryBytes"] = 940 * MIB
    fleet.health[1]["up"] = False
    fleet.health[2].update(up=False, status=502)
    fleet.find("mail").update(waiting=120, workers=0, oldestJobAgeSeconds=862)
    fleet.processes.append(process("mail", 7, fleet.now, state="FATAL", spawnError="can't find command 'php'"))
    loaded(browser, fleet)
    assert browser.text("#verdict") == "5 things are in trouble"
    items = [each.replace("\n", " ") for each in browser.texts("#troubles li")]
    assert items[0] == "■ Critical mail: 120 jobs wait, nobody works on it. Oldest since 14 min."
    assert "mail:mail_07 on web-1: FATAL: supervisord has given up starting it (can't find command 'php')" in items[1]
    assert "Database app: does not answer." in items[2]
    assert "Probe site: answers with status 502." in items[3]
    assert items[4].startswith("▲ Warning Redis default: uses 92 % of its 1.0 GiB.")
    assert cells(browser, "processes", 1)[0] == "■ FATAL"
    assert "away" in browser.texts("#health-tiles .tile")[1].split("\n")


def test_queues_are_sorted_and_filtered(browser: Browser, fleet: Fleet) -> None:
    fleet.find("reports")["oldestJobAgeSeconds"] = None
    loaded(browser, fleet)

    def names() -> list[str]:
        return browser.texts("#queues tbody th")

    heading = "#queues thead th:nth-child(11)"
    browser.find(f"{heading} button").click()
    assert names() == ["default", "mail", "reports"]
    assert browser.find(heading).get_attribute("aria-sort") == "descending"
    browser.find(f"{heading} button").click()
    assert names() == ["mail", "default", "reports"], "what is not known stands last both ways"
    browser.find("#queues-filter").send_keys("MAI")
    assert names() == ["mail"]
    assert browser.text("#queues-status") == "1 queue, of 3"
    browser.find("#queues-filter").send_keys("x")
    assert browser.text("#queues-status") == "None of 3 queues matches “maix”."


def test_numbers_of_all_queues_together_have_words_for_a_name(browser: Browser, fleet: Fleet) -> None:
    fleet.queues.append(queue("", fleet.now, system="sidekiq", waiting=3, workers=0))
    loaded(browser, fleet)
    browser.wait_text("#troubles", "all queues of sidekiq: 3 jobs wait, nobody works on it")
    browser.find("#queues-filter").send_keys("all queues")
    assert browser.texts("#queues tbody th") == ["all queues of sidekiq"]
    offered = browser.texts("#history-queue option")
    assert offered.count("All queues") == 1
    assert "" not in offered


def test_thousands_of_queues_are_shown_by_and_by(browser: Browser, fleet: Fleet) -> None:
    one = queue("q", fleet.now, recent=None)
    fleet.queues = [{**one, "queue": f"q{number:05}"} for number in range(5000)]
    browser.open(fleet.signed_in)
    browser.wait_text("#queues-status", "5000 queues, 200 of them shown")
    assert len(browser.texts("#queues tbody th")) == 200
    browser.find("#queues-more").click()
    assert len(browser.texts("#queues tbody th")) == 400


def test_history_is_drawn_for_the_range_and_queue_that_are_chosen(browser: Browser, fleet: Fleet) -> None:
    loaded(browser, fleet)
    browser.wait_text("#history-status", "records, one a minute")
    label = str(browser.find("#charts .chart").get_attribute("aria-label"))
    assert re.match(r"Jobs\. waiting: last \d+, lowest \d+, highest \d+\.", label)
    drawn = "const c = document.querySelector('#charts canvas'); return c.toDataURL().length"
    before = browser.run(drawn)
    assert before > 2000
    browser.run("document.querySelector('input[value=\"7d\"]').click()")
    browser.wait_text("#history-status", "one every 10 min")
    assert browser.run(drawn) != before
    browser.find('#history-queue option[value="mail"]').click()
    wait_for(lambda: any("queue=mail" in path for path in fleet.paths()), what="the queue is asked for")
    browser.run("document.querySelector('input[value=\"custom\"]').click()")
    for field, value in (("from", "2026-01-01T00:00"), ("to", "2026-01-03T00:00")):
        browser.run(f"document.getElementById('history-{field}').value = '{value}'")
    browser.find("#history-custom button").click()
    browser.wait_text("#history-status", "one every 2 min")
    assert any("start_date=2026-01-01T00%3A00%3A00.000Z&end_date=2026-01-03" in path for path in fleet.paths())
    browser.run("document.getElementById('history-to').value = '2025-01-01T00:00'")
    browser.find("#history-custom button").click()
    browser.wait_text("#history-status", "Choose a start that lies before the end.")
    assert browser.console() == []


def test_history_that_is_not_configured_is_said_and_the_rest_is_there(browser: Browser, fleet: Fleet) -> None:
    fleet.history = False
    browser.open(fleet.signed_in)
    browser.wait_text("#history-status", "History is not configured")
    assert browser.shown("#charts, #history-form") == []
    assert browser.text("#verdict") == "All queues are fine."


def test_names_are_text_and_nothing_else(browser: Browser, fleet: Fleet) -> None:
    evil = '<img src=x onerror="window.__hit=1">"\'&<script>window.__hit=1</script>'
    fleet.queues.append(queue(evil, fleet.now, waiting=5, workers=0, system=evil, redis=evil))
    fleet.queues.append(queue("__proto__", fleet.now, waiting=1))
    fleet.queues.append(queue("ק\u202eאבג" + "w" * 500, fleet.now, waiting=2))
    fleet.processes.append(process(evil, 0, fleet.now, state="FATAL", spawnError=evil, host=evil))
    fleet.health.append({"host": evil, "kind": "probe", "target": evil, "up": False, "error": evil})
    fleet.sources.append({"host": evil, "kind": evil, "target": evil, "up": False, "error": evil})
    fleet.hosts, fleet.missing, fleet.source = [evil], [evil], evil
    loaded(browser, fleet)
    assert any(evil in each for each in browser.texts("#troubles li"))
    assert evil in browser.texts("#queues tbody th")
    assert evil in browser.text("#banner")
    assert "__proto__" in browser.texts("#queues tbody th")
    assert browser.run("return document.querySelectorAll('#content img, #content script, #banner img').length") == 0
    assert browser.run("return window.__hit") is None
    assert browser.violations() == []
    assert browser.console() == []
    assert browser.run("return document.documentElement.scrollWidth <= innerWidth") is True


def test_two_troubles_of_one_server_are_two_and_go_again(browser: Browser, fleet: Fleet) -> None:
    loaded(browser, fleet)
    [redis] = [each for each in fleet.health if each["kind"] == "redis"]
    before = len(browser.texts("#troubles li"))
    redis |= {"usedMemoryBytes": redis["maxMemoryBytes"], "clients": redis["maxClients"]}
    browser.wait_text("#troubles", "of at most 10,000 clients")
    assert len(browser.texts("#troubles li")) == before + 2
    for clients in (9995, 9996):
        redis["clients"] = clients
        browser.wait_text("#troubles", f"has {clients:,} of")
    assert len(browser.texts("#troubles li")) == before + 2
    redis |= {"usedMemoryBytes": 1, "clients": 1}
    wait_for(lambda: len(browser.texts("#troubles li")) == before, what="nothing is left of them")
