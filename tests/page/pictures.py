"""Pictures of the live page for docs/page.md: ``python -m tests.page.pictures`` writes them to docs/pictures."""

from __future__ import annotations

import shutil
import sys
import time
from importlib import resources
from typing import TYPE_CHECKING, Any

from playwright.sync_api import Browser, Page, sync_playwright

from stream.cli.demo_feed import Feeder, simulated
from stream.cli.demo_stack import Stack
from stream.cli.sending import Sender
from tests.docs.pages import ROOT
from tests.page.conftest import FLAGS

if TYPE_CHECKING:
    from collections.abc import Iterator

FOLDER = ROOT / "docs" / "pictures"
SECONDS = 120  # of the demo, at 180 times the speed of the wall clock: six hours of customers


def open_page(browser: Browser, base: str, view: str, *, width: int, height: int, scheme: Any) -> Page:
    """A window on a view, with the first alert unfolded."""
    context = browser.new_context(
        viewport={"width": width, "height": height}, color_scheme=scheme, locale="en-GB"
    )
    page = context.new_page()
    page.goto(f"{base}/#/{view}")
    page.get_by_role("heading", level=1).wait_for()
    if view == "alerts":
        page.get_by_role("button", name="Why?").first.click()
        page.get_by_role("heading", name="What was told").first.wait_for()
    page.wait_for_timeout(1500)  # charts are drawn
    return page


def shots(browser: Browser, base: str) -> Iterator[str]:
    """Write the pictures; yields their names."""
    for view in ("overview", "journey", "alerts", "customers"):
        page = open_page(browser, base, view, width=1180, height=1250, scheme="light")
        page.screenshot(path=FOLDER / f"page-{view}.png")
        yield f"page-{view}.png"
    phones = [
        open_page(browser, base, view, width=390, height=844, scheme="dark").screenshot()
        for view in ("overview", "alerts")
    ]
    side = browser.new_context(viewport={"width": 800, "height": 844}).new_page()
    side.set_content(
        "<body style='margin:0;display:flex;gap:20px;background:#888'>"
        + "".join(f"<img src='data:image/png;base64,{_base64(shot)}'>" for shot in phones)
    )
    side.screenshot(path=FOLDER / "page-phone.png")
    yield "page-phone.png"


def _base64(content: bytes) -> str:
    from base64 import b64encode  # noqa: PLC0415

    return b64encode(content).decode()


def main() -> None:
    """Run the demo for two minutes and look at it."""
    rules = resources.files("stream.cli").joinpath("demo.yml").read_text(encoding="utf-8")
    chromium = shutil.which("chromium")
    with Stack(rules, page=True) as stack, sync_playwright() as playwright:
        feeder = Feeder(Sender({"bootstrap.servers": stack.bootstrap}), simulated(1, None), 180.0)
        feeder.start()
        for _ in range(SECONDS):
            feeder.processed = feeder.sent
            stack.watch()
            time.sleep(1)
        browser = playwright.chromium.launch(executable_path=chromium, args=list(FLAGS))
        for name in shots(browser, stack.page_url):
            sys.stdout.write(f"{FOLDER / name}\n")
        feeder.stop()


if __name__ == "__main__":
    main()
