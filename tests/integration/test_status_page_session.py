"""How the status page asks: the token, a server that goes and comes back, replies that say no, a hidden window."""

import re

import pytest
from selenium.webdriver.common.keys import Keys

from depthgauge.httpd import Response, text
from tests.plugins.browser import Browser
from tests.plugins.fleet import Fleet
from tests.plugins.waiting import wait_for

pytestmark = pytest.mark.needs("chromium")

TOKEN = "s3cret+/=%_token"


def bearers(fleet: Fleet) -> set[str | None]:
    """What the API was asked with; what the gate refused is not among it."""
    return {each.headers.get("authorization") for each in fleet.asked if each.path.startswith("/api/")}


def nowhere_but_in_the_header(browser: Browser, fleet: Fleet) -> bool:
    lines = [f"{each.path}?{each.query}" for each in fleet.asked]
    referrers = [each.headers.get("referer", "") for each in fleet.asked]
    shown = [browser.driver.current_url, browser.run("return document.documentElement.outerHTML")]
    return not any("s3cret" in each for each in (*lines, *referrers, *shown))


def pass_by(browser: Browser, seconds: float) -> None:
    """Let the page have this time, by its own clock: rounds come every 2 s here."""
    browser.run("window.__since = performance.now()")
    over = f"return performance.now() - window.__since > {1000 * seconds}"
    wait_for(lambda: browser.run(over), what=f"{seconds} s have gone by", step=0.1)


def test_a_token_in_the_fragment_signs_in_and_leaves_the_address(browser: Browser, fleet: Fleet) -> None:
    fleet.token = TOKEN
    browser.open(fleet.signed_in)
    browser.find("#queues tbody tr")
    browser.find("#charts canvas")
    assert browser.driver.current_url == fleet.url
    assert browser.shown("#sign-in") == []
    assert bearers(fleet) == {f"Bearer {TOKEN}"}
    assert nowhere_but_in_the_header(browser, fleet)
    assert browser.console() == []
    browser.driver.refresh()
    browser.find("#queues tbody tr")
    assert bearers(fleet) == {f"Bearer {TOKEN}"}, "it is kept for this tab"
    assert browser.run("return Object.keys(localStorage).length + document.cookie.length") == 0


def test_the_form_asks_for_a_token_and_says_when_it_is_wrong(browser: Browser, fleet: Fleet) -> None:
    fleet.token = TOKEN
    browser.open(fleet.url)
    field = browser.find("#token")
    assert browser.shown("#content") == []
    assert browser.text("#sign-in-error") == ""
    field.send_keys("not ä token", Keys.ENTER)
    browser.wait_text("#sign-in-error", "This is no token")
    field.clear()
    field.send_keys("wrong", Keys.ENTER)
    browser.wait_text("#sign-in-error", "does not accept this token")
    browser.find("#token").send_keys(f" {TOKEN} ", Keys.ENTER)
    browser.find("#queues tbody tr")
    assert browser.driver.current_url == fleet.url
    assert nowhere_but_in_the_header(browser, fleet)
    browser.find("#forget").click()
    browser.find("#token")
    assert browser.shown("#content, #forget") == []
    assert browser.run("return sessionStorage.length") == 0


def test_a_token_that_is_changed_meanwhile_brings_the_form(browser: Browser, fleet: Fleet) -> None:
    fleet.token = TOKEN
    browser.open(fleet.signed_in)
    browser.find("#queues tbody tr")
    fleet.token = "another"
    browser.wait_text("#sign-in-error", "does not accept this token")
    browser.run("location.hash = '#token=another'")
    browser.find("#queues tbody tr")
    assert "another" not in browser.driver.current_url


def test_a_server_that_goes_leaves_grey_numbers_and_comes_back(browser: Browser, fleet: Fleet) -> None:
    browser.open(fleet.signed_in)
    browser.find("#queues tbody tr")
    fleet.stop()
    banner = browser.wait_text("#banner", "cannot be reached")
    assert re.search(r"since \d\d:\d\d: the connection failed\. The last numbers stay below, in grey\.", banner)
    assert browser.find("#content").get_attribute("data-stale") == "true"
    assert "grayscale" in browser.find("#content").value_of_css_property("filter")
    assert browser.texts("#queues tbody th") == ["default", "mail", "reports"]
    fleet.find("mail")["waiting"] = 77
    fleet.start()
    wait_for(lambda: browser.text("#banner") == "", 20, what="the banner goes")
    assert browser.find("#content").get_attribute("data-stale") is None
    assert "77" in browser.texts("#queues tbody tr:nth-child(2) td")


def test_a_server_that_was_never_there_is_said_too(browser: Browser, fleet: Fleet) -> None:
    fleet.failing["/api/system/queue/stats"] = Response(
        503,
        b'{"error": {"code": "service_unavailable", "message": "the first collection has not ended yet"}}',
        content_type="application/json",
    )
    browser.open(fleet.signed_in)
    browser.wait_text("#banner", "The exporter has no numbers since")
    assert "the first collection has not ended yet" in browser.text("#banner")
    assert browser.shown("#content, #loading") == []
    fleet.failing.clear()
    browser.find("#queues tbody tr")


def test_one_part_that_fails_takes_no_other_with_it(browser: Browser, fleet: Fleet) -> None:
    fleet.failing["/api/system/health"] = text(500, "internal error, see the log")
    browser.open(fleet.signed_in)
    browser.wait_text("#banner", "The health cannot be shown: the exporter answered with status 500.")
    assert browser.texts("#queues tbody th") == ["default", "mail", "reports"]


def test_too_many_requests_are_followed_by_patience(browser: Browser, fleet: Fleet) -> None:
    browser.open(fleet.signed_in)
    browser.find("#queues tbody tr")
    fleet.failing["/api/system/queue/stats"] = text(429, "slow down", {"Retry-After": "30"})
    browser.wait_text("#banner", "The exporter asks to wait")
    fleet.asked.clear()
    pass_by(browser, 2.5)
    assert fleet.paths() == []


def test_it_rests_while_hidden_and_when_told_to(browser: Browser, fleet: Fleet) -> None:
    browser.open(fleet.signed_in)
    browser.find("#queues tbody tr")
    browser.find("#pause").click()
    assert browser.find("#pause").get_attribute("aria-pressed") == "true"
    browser.wait_text("#banner", "Paused")
    fleet.find("mail")["waiting"] = 4321
    asked = len(fleet.paths())
    pass_by(browser, 2.5)
    assert len(fleet.paths()) == asked
    browser.find("#pause").click()
    assert browser.find("#pause").get_attribute("aria-pressed") == "false"
    wait_for(lambda: "4,321" in browser.texts("#queues tbody td"), what="it goes on")
    # A headless window is never really hidden.
    hide = """Object.defineProperty(document, "hidden", {value: arguments[0], configurable: true});
        document.dispatchEvent(new Event("visibilitychange"))"""
    browser.run(hide, True)
    fleet.find("mail")["waiting"] = 5432
    pass_by(browser, 0.3)
    asked = len(fleet.paths())
    pass_by(browser, 2.5)
    assert len(fleet.paths()) == asked
    browser.run(hide, False)
    wait_for(lambda: "5,432" in browser.texts("#queues tbody td"), what="it is read at once when shown again")
