"""A real headless Chromium, driven by selenium through Debian's chromedriver; one for a module of tests."""

import json
import shutil
from collections.abc import Iterator
from typing import Any, Final

import pytest
from selenium.webdriver import Chrome, ChromeOptions
from selenium.webdriver.chrome.service import Service
from selenium.webdriver.common.by import By
from selenium.webdriver.remote.webelement import WebElement

from tests.plugins.waiting import wait_for

FLAGS: Final = (
    "--headless=new",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--disable-dev-shm-usage",
    "--no-proxy-server",
    "--force-device-scale-factor=1",
    "--lang=en-GB",
)
WIDE: Final = (1280, 900)
PATIENCE: Final = 15.0

_WATCH: Final = """
window.__violations = [];
document.addEventListener("securitypolicyviolation", (event) => window.__violations.push(event.violatedDirective));
"""


class Browser:
    """One window, with the questions that tests ask of it."""

    def __init__(self, driver: Chrome) -> None:
        self.driver = driver
        self.command("Page.addScriptToEvaluateOnNewDocument", source=_WATCH)

    def command(self, name: str, **arguments: Any) -> Any:
        """Give a command of the DevTools protocol."""
        return self.driver.execute_cdp_cmd(name, arguments)

    def reset(self) -> None:
        """Forget everything of the test before: page, session, sizes, colours, logs."""
        self.driver.get("about:blank")
        self.resize(*WIDE)
        self.media()
        self.requests()
        self.console()

    def resize(self, width: int, height: int, *, mobile: bool = False, scale: int = 1) -> None:
        """Give the window another size, in CSS pixels."""
        self.command(
            "Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=scale, mobile=mobile
        )

    def media(self, **features: str) -> None:
        """Emulate media features: ``media(prefers_color_scheme="dark")``; light and unmoved unless told."""
        wanted = {"prefers-color-scheme": "light", **{key.replace("_", "-"): each for key, each in features.items()}}
        listed = [{"name": name, "value": value} for name, value in wanted.items()]
        self.command("Emulation.setEmulatedMedia", media="", features=listed)

    def open(self, url: str) -> None:
        """Load a page. A server of its own for each test, thus an origin of its own, makes the session a new one."""
        self.driver.get("about:blank")
        self.driver.get(url)

    def run(self, script: str, *arguments: Any) -> Any:
        """Run JavaScript in the page and return what it returns."""
        return self.driver.execute_script(script, *arguments)

    def find(self, selector: str) -> WebElement:
        """Return the one element of a CSS selector, as soon as it is shown."""
        return wait_for(lambda: next(iter(self.shown(selector)), None), PATIENCE, what=f"{selector} is shown")

    def shown(self, selector: str) -> list[WebElement]:
        """Return all elements of a CSS selector that are displayed now."""
        return [each for each in self.driver.find_elements(By.CSS_SELECTOR, selector) if each.is_displayed()]

    def texts(self, selector: str) -> list[str]:
        """Return the texts of all elements of a CSS selector, in one call, as they are laid out."""
        found = self.run("return [...document.querySelectorAll(arguments[0])].map((e) => e.innerText)", selector)
        return [str(each) for each in found]

    def text(self, selector: str) -> str:
        """Return the text of the first of them, empty where there is none."""
        return next(iter(self.texts(selector)), "")

    def wait_text(self, selector: str, part: str, timeout: float = PATIENCE) -> str:
        """Wait until an element's text holds ``part``; return all of it."""

        def told() -> str | None:
            found = self.text(selector)
            return found if part in found else None

        try:
            return wait_for(told, timeout, step=0.05)
        except AssertionError:
            raise AssertionError(f"{selector} does not say {part!r} but {self.text(selector)!r}") from None

    def console(self) -> list[str]:
        """Return what the console said since the last call, warnings and errors."""
        entries = self.driver.get_log("browser")  # type: ignore[no-untyped-call]
        return [each["message"] for each in entries if each["level"] in ("SEVERE", "WARNING")]

    def violations(self) -> list[str]:
        """Return the directives of the Content-Security-Policy that this page has violated."""
        return list(self.run("return window.__violations"))

    def requests(self) -> list[str]:
        """Return the address of every request since the last call, those of the browser's own pages left out."""
        entries = self.driver.get_log("performance")  # type: ignore[no-untyped-call]
        messages = [json.loads(each["message"])["message"] for each in entries]
        sent = [each for each in messages if each["method"] == "Network.requestWillBeSent"]
        return [str(each["params"]["request"]["url"]) for each in sent]


@pytest.fixture(scope="module")
def chromium(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    """Give the module's browser."""
    options = ChromeOptions()
    options.binary_location = str(shutil.which("chromium"))
    for flag in (*FLAGS, f"--user-data-dir={tmp_path_factory.mktemp('chromium')}"):
        options.add_argument(flag)
    options.add_experimental_option("perfLoggingPrefs", {"enableNetwork": True, "enablePage": False})
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    driver = Chrome(options=options, service=Service(str(shutil.which("chromedriver"))))
    try:
        driver.set_page_load_timeout(30)
        yield Browser(driver)
    finally:
        driver.quit()


@pytest.fixture
def browser(chromium: Browser) -> Browser:
    """Give the module's browser as if it were new."""
    chromium.reset()
    return chromium
