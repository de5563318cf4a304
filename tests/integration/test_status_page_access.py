"""The status page for everybody: phones, dark and light, the keyboard, screen readers."""

import itertools
import json
from typing import Any, Final

import pytest
from selenium.webdriver.common.action_chains import ActionChains
from selenium.webdriver.common.keys import Keys

from tests.plugins.browser import WIDE, Browser
from tests.plugins.fleet import Fleet
from tests.plugins.fleet_numbers import process, queue
from tests.plugins.parts import NPM
from tests.plugins.screenshots import Screenshot, in_trouble

pytestmark = pytest.mark.needs("chromium")

RULES: Final = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]


def troubled(fleet: Fleet) -> None:
    """One of each state, so that every colour is on the page."""
    now = fleet.now
    fleet.find("mail").update(waiting=120, workers=0, oldestJobAgeSeconds=862)
    fleet.queues.append(queue("exports", now, waiting=480, oldestJobAgeSeconds=432, trend="growing"))
    fleet.queues.append(queue("paused", now, paused=True))
    fleet.processes.append(process("mail", 7, now, state="FATAL", uptimeSeconds=None, spawnError="gone"))
    fleet.processes.append(process("mail", 8, now, state="STOPPED"))
    fleet.processes.append(process("mail", 9, now, state="EXITED", exitStatus=2))
    fleet.sources[2].update(up=False, error="refused")


def loaded(browser: Browser, fleet: Fleet) -> None:
    browser.open(fleet.signed_in)
    browser.find("#queues tbody tr")
    browser.find("#charts canvas")


def complaints(browser: Browser) -> list[dict[str, Any]]:
    # The page's own policy allows no script from outside, a debugger's commands are not under it.
    source = (NPM / "node_modules" / "axe-core" / "axe.min.js").read_text()
    browser.command("Runtime.evaluate", expression=source)
    script = f"axe.run(document, {{runOnly: {json.dumps(RULES)}}}).then((found) => arguments[0](found.violations))"
    found: list[dict[str, Any]] = browser.driver.execute_async_script(script)
    return [
        {"id": each["id"], "help": each["help"], "nodes": [node["html"][:200] for node in each["nodes"][:4]]}
        for each in found
    ]


@pytest.mark.needs("axe")
@pytest.mark.parametrize(("width", "scheme"), [(WIDE[0], "light"), (WIDE[0], "dark"), (320, "light")])
def test_axe_finds_nothing(browser: Browser, fleet: Fleet, scheme: str, width: int) -> None:
    troubled(fleet)
    browser.media(prefers_color_scheme=scheme)
    browser.resize(width, 900, mobile=width == 320)
    loaded(browser, fleet)
    assert complaints(browser) == []


@pytest.mark.needs("axe")
def test_axe_finds_nothing_in_the_form_and_in_grey_numbers(browser: Browser, fleet: Fleet) -> None:
    browser.open(fleet.url)
    browser.find("#token")
    assert complaints(browser) == []
    browser.open(fleet.signed_in)
    browser.find("#queues tbody tr")
    fleet.stop()
    browser.wait_text("#banner", "cannot be reached")
    assert complaints(browser) == []


@pytest.mark.parametrize("width", [320, 390, 768, 1024])
def test_no_width_makes_the_page_scroll_sideways(browser: Browser, fleet: Fleet, width: int) -> None:
    troubled(fleet)
    fleet.queues.append(queue("a-very-long-name-of-a-queue-" * 8, fleet.now, waiting=3))
    browser.resize(width, 800, mobile=True)
    loaded(browser, fleet)
    browser.run("document.querySelector('input[value=\"custom\"]').click()")
    assert browser.run("return document.documentElement.scrollWidth") <= width
    beyond = """return [...document.querySelectorAll("#content *, header *, #banner *")].filter((e) => {
        const box = e.getBoundingClientRect();
        return box.width > 1 && box.right > innerWidth + 1 && !e.closest(".chart, .scroll, .unseen");
    }).map((e) => e.outerHTML.slice(0, 120))"""
    assert browser.run(beyond) == []


def test_a_phone_shows_rows_as_cards_that_are_still_a_table(browser: Browser, fleet: Fleet) -> None:
    browser.resize(320, 800, mobile=True)
    loaded(browser, fleet)
    cell = browser.find("#queues tbody td.waiting")
    assert browser.run("return getComputedStyle(arguments[0], '::before').content", cell) == '"Waiting"'
    nodes = browser.command("Accessibility.getFullAXTree")["nodes"]
    roles = [node.get("role", {}).get("value") for node in nodes]
    assert roles.count("table") == 2
    assert roles.count("row") == 2 + len(fleet.queues) + len(fleet.processes)


def test_dark_and_light_are_the_readers_choice(browser: Browser, fleet: Fleet) -> None:
    seen = {}
    for scheme in ("light", "dark"):
        browser.media(prefers_color_scheme=scheme)
        if scheme == "light":
            loaded(browser, fleet)
        style = "const s = getComputedStyle(document.body); return [s.backgroundColor, s.color]"
        canvas = "return document.querySelector('#charts canvas').toDataURL()"
        seen[scheme] = (browser.run(style), browser.run(canvas))
    assert seen["light"][0] == ["rgb(245, 246, 248)", "rgb(26, 32, 40)"]
    assert seen["dark"][0] == ["rgb(15, 19, 23)", "rgb(228, 233, 238)"]
    assert seen["light"][1] != seen["dark"][1], "charts are drawn anew"


def test_nothing_moves_for_those_who_do_not_want_it(browser: Browser, fleet: Fleet) -> None:
    browser.media(prefers_reduced_motion="reduce")
    loaded(browser, fleet)
    moving = """return [...document.querySelectorAll("*")].filter((e) => {
        const s = getComputedStyle(e);
        return s.animationName !== "none" || s.transitionDuration.split(",").some((d) => parseFloat(d) > 0);
    }).length"""
    assert browser.run(moving) == 0


def test_the_keyboard_reaches_every_control_in_order(browser: Browser, fleet: Fleet) -> None:
    loaded(browser, fleet)
    name = "const e = document.activeElement; return e.id || e.value || e.textContent.trim() || e.className"
    path: list[str] = []
    for _ in range(60):
        ActionChains(browser.driver).send_keys(Keys.TAB).perform()
        here = str(browser.run(name))
        if path and here == path[0]:
            break
        path.append(here)
        if here == "Ready":
            break
    queues = ["State", "Queue", "System", "Redis", "Waiting", "Recent", "Active", "Delayed"]
    queues += ["Failed", "Workers", "Oldest", "Drained in"]
    processes = ["State", "Process", "Host", "Queues", "Uptime", "Restarts", "CPU", "Memory"]
    charts = [each.text.partition("\n")[0] for each in browser.shown("#charts h3")]
    assert charts == ["Jobs", "Workers", "Failed jobs kept"]
    assert [each for each in path if each != "chart"] == [
        *("Skip to the content", "pause", "forget", "queues-filter", *queues, "1h", "history-queue"),
        *("processes-filter", *processes, "Metrics", "Healthy", "Ready"),
    ]
    assert path.count("chart") == 3


def test_the_keyboard_sorts_pauses_chooses_a_range_and_reads_a_chart(browser: Browser, fleet: Fleet) -> None:
    loaded(browser, fleet)

    def press(selector: str, *keys: str) -> None:
        browser.run("document.querySelector(arguments[0]).focus()", selector)
        ActionChains(browser.driver).send_keys(*keys).perform()

    press("#queues thead th:nth-child(5) button", Keys.ENTER)
    assert browser.find("#queues thead th:nth-child(5)").get_attribute("aria-sort") == "descending"
    press("#queues thead th:nth-child(5) button", Keys.SPACE)
    assert browser.find("#queues thead th:nth-child(5)").get_attribute("aria-sort") == "ascending"
    press('input[value="1h"]', Keys.ARROW_RIGHT)
    assert browser.run("return document.querySelector('input[name=range]:checked').value") == "6h"
    browser.wait_text("#history-status", "records")
    press("#charts .chart", Keys.HOME)
    first = browser.text("#charts .when")
    press("#charts .chart", Keys.ARROW_RIGHT, Keys.ARROW_RIGHT)
    assert first not in {browser.text("#charts .when"), "last"}
    told = str(browser.find("#charts .chart").get_attribute("aria-label"))
    assert told.startswith(browser.text("#charts .when"))
    assert "waiting" in told
    press("#pause", Keys.SPACE)
    assert browser.find("#pause").get_attribute("aria-pressed") == "true"


def test_landmarks_captions_and_live_parts(browser: Browser, fleet: Fleet) -> None:
    loaded(browser, fleet)
    nodes = browser.command("Accessibility.getFullAXTree")["nodes"]
    roles = {node.get("role", {}).get("value") for node in nodes}
    assert {"banner", "main", "contentinfo", "navigation", "table", "columnheader", "rowheader", "status"} <= roles
    assert browser.run("return [...document.querySelectorAll('table')].every((t) => t.caption.textContent.length > 20)")
    assert browser.find("#queues thead th").get_attribute("scope") == "col"
    assert browser.run("return document.querySelector('#banner').getAttribute('aria-live')") == "polite"
    levels = browser.run("return [...document.querySelectorAll('h1,h2,h3')].map((h) => Number(h.tagName[1]))")
    assert levels[0] == 1
    assert all(after - before <= 1 for before, after in itertools.pairwise(levels))


def test_pictures_for_the_readme(browser: Browser, fleet: Fleet, screenshot: Screenshot) -> None:
    in_trouble(fleet)
    browser.resize(1280, 1000)
    loaded(browser, fleet)
    browser.run("document.documentElement.style.scrollbarWidth = 'none'")
    screenshot("status-page.png", browser.driver.get_screenshot_as_png())
    browser.media(prefers_color_scheme="dark")
    browser.resize(390, 844, mobile=True, scale=2)
    screenshot("status-page-dark-phone.png", browser.driver.get_screenshot_as_png())
    assert browser.text("#verdict") == "3 things are in trouble"
    assert browser.console() == []
