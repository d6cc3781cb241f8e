"""A running demo and a real Chromium that looks at it."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from importlib import resources
from itertools import chain
from pathlib import Path
from typing import Any

import httpx
import pytest
from playwright.sync_api import Browser, BrowserContext, ConsoleMessage, Page, expect, sync_playwright

from stream.cli.demo_feed import Feeder, simulated
from stream.cli.demo_stack import Stack
from stream.cli.sending import Sender
from tests.conftest import without
from tests.waiting import until

AXE = Path(__file__).parent / "vendor" / "axe.js"
# Two hours and a quarter of the simulated day: the first incident's alert fires at 09:27 and resolves at 10:42.
EVENTS = 7_500
FLAGS = (
    *("--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"),
    # Chromium's own errands: here nobody answers them.
    *("--disable-background-networking", "--disable-component-update", "--disable-sync"),
)


expect.set_options(timeout=60_000)  # a machine may be busy; what comes is waited for and no longer


@pytest.fixture(scope="module")
def demo() -> Iterator[Stack]:
    """The stack of ``make demo``, fed with some hours of customers, with an alert that goes on firing."""
    rules = resources.files("stream.cli").joinpath("demo.yml").read_text(encoding="utf-8")
    with Stack(rules, page=True) as stack:
        feeder = Feeder(Sender({"bootstrap.servers": stack.bootstrap}), simulated(1, EVENTS), None)
        feeder.start()
        try:
            with httpx.Client(base_url=stack.page_url, timeout=20) as api:

                def alerts() -> bool:
                    feeder.processed = feeder.sent  # the broker keeps this much
                    stack.watch()
                    return bool(feeder.done and api.get("/v1/alerts").json().get("alerts"))

                until("an alert fires", alerts, 240)

                def history() -> bool:  # the page asks for it once, when it is opened
                    found = api.get("/v1/series", params={"metric": "csat", "window": "1h"}).json()
                    return len(found.get("points", ())) > 4

                until("there is a history", history, 120)
            yield stack
        finally:
            feeder.stop()


@pytest.fixture(scope="module")
def chromium() -> Iterator[Browser]:
    """Debian's Chromium."""
    path = shutil.which("chromium") or shutil.which("chromium-browser")
    if path is None:
        without("Chromium", "not installed (Debian: chromium). Tests of the live page were LEFT OUT")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=list(FLAGS))
        yield browser
        browser.close()


@pytest.fixture(scope="module")
def axe() -> str:
    """axe-core's program."""
    if not AXE.is_file():
        without("axe-core", "not downloaded (make parts). The page was NOT TESTED for accessibility")
    return AXE.read_text()


class View:
    """A page of Chromium, with all that it asked for and complained of."""

    def __init__(self, context: BrowserContext, base: str) -> None:
        self.base = base
        self.page: Page = context.new_page()
        self.asked: list[str] = []
        self.complaints: list[str] = []
        self.page.on("request", lambda request: self.asked.append(request.url))
        self.page.on("pageerror", lambda error: self.complaints.append(str(error)))
        self.page.on("console", self._heard)

    def _heard(self, message: ConsoleMessage) -> None:
        if message.type in {"error", "warning"}:
            self.complaints.append(message.text)

    def open(self, view: str = "overview") -> Page:
        """Go to a view, and wait until it has something to show."""
        self.page.goto(f"{self.base}/#/{view}")
        self.page.get_by_role("heading", level=1).wait_for()
        return self.page


@pytest.fixture
def look(chromium: Browser) -> Iterator[Callable[..., View]]:
    """Function that opens a window: ``look(base, width=390, scheme="dark")``."""
    opened: list[BrowserContext] = []

    def window(base: str, width: int = 1280, height: int = 900, scheme: Any = "light", **more: Any) -> View:
        context = chromium.new_context(
            viewport={"width": width, "height": height}, color_scheme=scheme, locale="en-GB", **more
        )
        context.set_default_timeout(30_000)
        opened.append(context)
        return View(context, base)

    yield window
    for context in opened:
        context.close()


@pytest.fixture(autouse=True)
def _no_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever the environment says of proxies, this is all on one machine."""
    for name in chain(*[(each, each.upper()) for each in ("http_proxy", "https_proxy", "all_proxy")]):
        if name in os.environ:
            monkeypatch.delenv(name)
