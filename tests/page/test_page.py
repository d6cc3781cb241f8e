"""The live page in a real Chromium, over a running demo."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx
import pytest
from playwright.sync_api import Page, expect

from stream.cli.demo_stack import Stack
from tests.api.conftest import KEYS, OPERATE, Server, settings_of
from tests.docs.pages import ROOT
from tests.page.conftest import View
from tests.waiting import until

Look = Callable[..., View]
VIEWS = ("overview", "journey", "alerts", "customers", "rules")
ONE_MEGABYTE = 1_000_000

pytestmark = [pytest.mark.timeout(420)]


def first_customer(demo: Stack) -> str:
    """Whom it would cost most to lose."""
    found = until(
        "a customer is ranked",
        lambda: httpx.get(f"{demo.page_url}/v1/customers?n=1").json().get("customers"),
    )
    return str(found[0]["customer_id"])


def as_of(demo: Stack) -> datetime:
    """Event time of the newest values."""
    whole = httpx.get(f"{demo.page_url}/v1/metrics?by=whole").json()
    return datetime.fromisoformat(whole["as_of"])


def test_the_overview_shows_values_with_interval_and_number(demo: Stack, look: Look) -> None:
    """NPS of all customers, how sure it is, and on how many replies."""
    page = look(demo.page_url).open()
    expect(page.get_by_role("heading", name="all customers", level=1)).to_be_visible()
    card = page.get_by_role("button", name="NPS")
    expect(card).to_contain_text(" to ")
    expect(card).to_contain_text("on ")
    page.get_by_role("button", name="CSAT").click()
    expect(page.get_by_role("heading", name="CSAT of all customers, window 1h")).to_be_visible()
    expect(page.get_by_role("img", name="CSAT of all customers, window 1h: chart")).to_be_visible()


def test_a_slice_opens_from_the_table(demo: Stack, look: Look) -> None:
    """The table of a grouping leads to the member's own values."""
    page = look(demo.page_url).open()
    page.get_by_label("Grouping").select_option("segment")
    page.get_by_role("button", name="vip").click()
    expect(page.get_by_role("heading", name="segment vip", level=1)).to_be_visible()
    page.get_by_role("button", name="Back to all customers").click()
    expect(page.get_by_role("heading", name="all customers", level=1)).to_be_visible()


def test_nothing_is_asked_of_other_hosts_and_nothing_complains(demo: Stack, look: Look) -> None:
    """Every view, from start to end: own host alone, no error, no warning, no breach of the policy."""
    view = look(demo.page_url)
    for name in VIEWS:
        view.open(name)
    hosts = {urlsplit(url).netloc for url in view.asked if not url.startswith("data:")}
    assert hosts == {urlsplit(demo.page_url).netloc}
    assert view.complaints == []


def test_the_first_view_is_smaller_than_a_megabyte(demo: Stack, look: Look) -> None:
    """All that is fetched until figures are there, uncompressed."""
    view = look(demo.page_url)
    sizes: list[int] = []
    view.page.on("requestfinished", lambda request: sizes.append(request.sizes()["responseBodySize"]))
    page = view.open()
    expect(page.get_by_role("button", name="NPS")).to_be_visible()
    assert 50_000 < sum(sizes) < ONE_MEGABYTE


def test_new_replies_move_the_page_by_themselves(demo: Stack, look: Look) -> None:
    """Events posted over HTTP are on the page without a reload."""
    page = look(demo.page_url).open()
    shown = page.get_by_role("button", name="NPS").locator(".value")
    before = shown.inner_text()
    at = as_of(demo) + timedelta(seconds=30)
    replies = [
        {
            "event_id": f"page-{number}",
            "customer_id": f"page-{number % 40}",
            "occurred_at": at.astimezone(UTC).isoformat(),
            "metric": "nps",
            "score": 0,
        }
        for number in range(400)
    ]
    assert httpx.post(f"{demo.page_url}/v1/events", json=replies).json()["accepted"] == len(replies)
    expect(shown).not_to_have_text(before)


def test_an_alert_is_explained_and_acknowledged(demo: Stack, look: Look) -> None:
    """What fires, on what evidence and why; who looks at it says so, and the page shows it."""
    page = look(demo.page_url).open("alerts")
    alert = page.get_by_role("listitem").filter(has=page.get_by_role("button", name="Acknowledge")).first
    expect(alert).to_contain_text("interval")
    expect(alert).to_contain_text("window 1h")
    alert.get_by_role("button", name="Why?").click()
    expect(alert.get_by_role("heading", name="What was told")).to_be_visible()
    alert.get_by_role("button", name="Acknowledge").click()
    expect(page.get_by_text("acknowledged", exact=True).first).to_be_visible()


def test_an_alert_is_silenced_with_a_reason(demo: Stack, look: Look) -> None:
    """The form asks why; the silence is on the topic afterwards."""
    page = look(demo.page_url).open("alerts")
    page.get_by_role("button", name="Silence…").first.click()
    page.get_by_label("Your name").fill("Eva")
    page.get_by_label("Why").fill("being looked at")
    page.get_by_role("button", name="Silence", exact=True).click()
    silences = until(
        "the silence is there", lambda: httpx.get(f"{demo.page_url}/v1/silences").json().get("silences")
    )
    assert (silences[0]["author"], silences[0]["comment"]) == ("Eva", "being looked at")


def test_the_journey_has_its_stages_and_touchpoints(demo: Stack, look: Look) -> None:
    """Five stages from left to right; in one a touchpoint with its score in words and figures."""
    page = look(demo.page_url).open("journey")
    for stage in ("Entice", "Enter", "Engage", "Exit", "Extend"):
        expect(page.get_by_role("heading", name=stage)).to_be_visible()
    assert page.locator(".touch").count() > 1
    expect(page.locator(".touch").first).to_contain_text(" on ")


def test_a_customer_is_found_in_the_order_of_value_at_risk(demo: Stack, look: Look) -> None:
    """The list, and one customer's profile behind it."""
    customer = first_customer(demo)
    page = look(demo.page_url).open("customers")
    page.get_by_role("link", name=customer, exact=True).click()
    expect(page.get_by_role("heading", name=customer, exact=True)).to_be_visible()
    page.goto(f"{demo.page_url}/#/customers/nobody")
    expect(page.get_by_role("alert")).to_be_visible()


def test_rules_are_tried_on_a_history(demo: Stack, look: Look, tmp_path: Path) -> None:
    """A rules file and events from this machine; what would have fired is listed."""
    history = tmp_path / "history.ndjson"
    at = datetime(2026, 3, 1, 12, tzinfo=UTC)
    history.write_text(
        "".join(
            json.dumps(
                {
                    "event_id": str(n),
                    "customer_id": f"c-{n}",
                    "occurred_at": (at + timedelta(seconds=n)).isoformat(),
                    "metric": "nps",
                    "score": 2,
                }
            )
            + "\n"
            for n in range(300)
        )
    )
    page = look(demo.page_url).open("rules")
    rule = "{alert: Low, metric: nps, window: 5m, below: 0, evidence: interval, min_n: 30}"
    page.get_by_label("or its text").fill(f"groups: [{{name: g, rules: [{rule}]}}]")
    page.get_by_role("button", name="Check").click()
    expect(page.get_by_text("Fine: 1 rules.")).to_be_visible()
    page.get_by_label("History: events, one a line").set_input_files(history)
    page.get_by_role("button", name="Try on the history").click()
    expect(page.get_by_role("rowheader", name="Low", exact=True)).to_be_visible()
    page.get_by_label("or its text").fill("groups: 7")
    page.get_by_role("button", name="Check").click()
    expect(page.get_by_text("Line 1,")).to_be_visible()


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_no_fault(demo: Stack, look: Look, axe: str, scheme: str) -> None:
    """Every view in both themes, with what can be unfolded unfolded; not even a slight one."""
    view = look(demo.page_url, scheme=scheme, bypass_csp=True)  # axe is put in from outside
    for name in (*VIEWS, f"customers/{first_customer(demo)}"):
        page = view.open(name)
        if name == "alerts":
            page.get_by_role("button", name="Why?").first.click()
            page.get_by_role("button", name="Silence…").first.click()
            expect(page.get_by_role("heading", name="What was told").first).to_be_visible()
        page.evaluate(axe)
        found: dict[str, Any] = page.evaluate("axe.run()")
        faults = [(each["id"], each["impact"], each["nodes"][0]["html"]) for each in found["violations"]]
        assert faults == [], name


def too_wide(page: Page) -> bool:
    """Whether one would have to scroll sideways."""
    return bool(page.evaluate("document.documentElement.scrollWidth > document.documentElement.clientWidth"))


@pytest.mark.parametrize("view", VIEWS)
def test_a_phone_is_wide_enough(demo: Stack, look: Look, view: str) -> None:
    """Nothing sticks out at 360 pixels."""
    page = look(demo.page_url, width=360, height=740).open(view)
    until("it has done with reading", lambda: not page.get_by_text("Reading…").count())
    assert not too_wide(page)


def test_the_keyboard_is_enough(demo: Stack, look: Look) -> None:
    """Tab finds the way to the content first, then the views; Enter opens one, and the focus is in it."""
    page = look(demo.page_url).open()
    page.keyboard.press("Tab")
    expect(page.get_by_text("Skip to the content")).to_be_focused()
    for _ in range(3):
        page.keyboard.press("Tab")
    expect(page.get_by_role("link", name="Journey")).to_be_focused()
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", name="Journey", level=1)).to_be_visible()
    expect(page.get_by_role("main")).to_be_focused()


def test_the_theme_is_kept(demo: Stack, look: Look) -> None:
    """Who turns the theme finds it so again."""
    page = look(demo.page_url).open()
    page.get_by_role("button", name="switch to the dark theme").click()
    page.reload()
    expect(page.get_by_role("button", name="switch to the light theme")).to_be_visible()


def test_where_keys_are_needed_one_is_asked_for(demo: Stack, look: Look) -> None:
    """Without a key there is a form and nothing else; with one, what its roles allow."""
    with Server(settings_of(demo.bootstrap, redis_url=demo.redis_url, api_keys=KEYS)) as server:
        server.ready()
        page = look(server.url).open()
        expect(page.get_by_role("heading", name="A key is needed")).to_be_visible()
        page.get_by_label("API key").fill(OPERATE)
        page.get_by_role("button", name="Enter").click()
        expect(page.get_by_role("heading", name="all customers", level=1)).to_be_visible()


def test_the_page_tells_of_it(demo: Stack) -> None:
    """docs/page.md names every view."""
    text = (ROOT / "docs" / "page.md").read_text().lower()
    assert all(view in text for view in VIEWS)
