"""docs/delivery.md says what the code does."""

from __future__ import annotations

import base64
import re

from stream.delivery import line, outbox, records, targets
from stream.delivery.model import GIVE_UP_MS, HOLD_MS, RESEND_MS, TIMEOUT_MS, Kind
from stream.delivery.posting import _outcome
from stream.delivery.reading import _TOP, read_delivery
from stream.delivery.records import Fate, Verdict
from stream.delivery.routes import receivers_of
from stream.delivery.schedule import FIRST_MS, LONGEST_ASKED_MS, LONGEST_MS
from stream.delivery.signing import LEAST, MOST, signed_headers
from tests.docs.pages import ROOT, blocks, code, rows, section

PAGE = ROOT / "docs" / "delivery.md"
TEXT = PAGE.read_text(encoding="utf-8")


def block(word: str) -> str:
    """The one block that is marked so."""
    (found,) = [each.text for each in blocks(PAGE) if each.word == word]
    return found


def test_the_file_at_the_top_does_what_it_seems_to() -> None:
    """It is read, and routes as its reader expects."""
    plan = read_delivery(block("delivery"), "delivery.yml")
    assert receivers_of(plan.route, {"severity": "critical", "action": "callback"}) == ["crm", "on-call"]
    assert receivers_of(plan.route, {"severity": "warning"}) == ["care"]


def test_the_lines_for_verifying_verify() -> None:
    """Copied into a receiver they accept what is sent."""
    key = b"k" * 32
    body = b'{"id": "a"}'
    import time  # noqa: PLC0415

    scope = {
        "secret": "whsec_" + base64.b64encode(key).decode(),
        "body": body,
        "headers": signed_headers("a", int(time.time()), body, (key,)),
    }
    exec(block("verify"), scope)  # noqa: S102 - our own page
    assert scope["event"] == {"id": "a"}


def test_every_field_is_on_the_page() -> None:
    """The tables of fields and targets are those of the reader."""
    tables = rows(section(PAGE, "The file"))
    fields = {code(row[0])[0] for row in tables if len(code(row[0])) == 1 and row[0].startswith("`")}
    assert fields == {*_TOP, *targets.KINDS}
    for name in targets._DEFAULTS:
        assert f"`{name}" in TEXT, name


def test_every_outcome_and_verdict_is_on_the_page() -> None:
    """What metrics say is explained."""
    said = section(PAGE, "Metrics and what to do")
    verdicts = {word for row in rows(said) for word in code(row[0])}
    assert set(map(str, Verdict)) <= verdicts
    (outcomes,) = [row[1] for row in rows(said) if "cx_deliveries_total" in row[0]]
    assert set(code(outcomes)) == {"outcome", "failed", "refused", "gone", *map(str, Fate)}


def test_answers_mean_what_the_table_says() -> None:
    """Of each row of the table of answers."""
    meaning = {
        "delivered": "delivered",
        "the receiver is gone": "gone",
        "refused": "refused",
        "the receiver is in": "failed",
    }
    found = 0
    for answer, said in rows(section(PAGE, "Webhooks")):
        kinds = [kind for words, kind in meaning.items() if said.startswith(words)]
        for status in re.findall(r"\b[2-5](?:\d\d|xx)\b", answer if kinds else ""):
            if status == "4xx":
                continue
            number = int(status.replace("xx", "03" if status == "5xx" else "02"))
            assert [_outcome(Kind.WEBHOOK, number, None, b"").kind] == kinds, status
            found += 1
    assert found >= 12


def test_figures_are_those_of_the_code() -> None:
    """Waits, limits and defaults."""
    minute, hour = 60_000, 3_600_000
    assert (5_000, 15 * minute, hour) == (FIRST_MS, LONGEST_MS, LONGEST_ASKED_MS)
    assert (24 * hour, 15 * minute, minute, 10_000) == (GIVE_UP_MS, HOLD_MS, RESEND_MS, TIMEOUT_MS)
    assert (5, 10_000, 28 * 24 * hour) == (outbox.REFUSALS, outbox.MOST, outbox.PARKED_MS)
    assert (24, 64, 24 * hour) == (LEAST, MOST, line.CUSTOMER_HELD_MS)
    for said in (
        "5 s after a first failure", "up to a quarter of an hour", "up to an hour", "`24h`",
        "(15m)", "(1m)", "(`10s`)",
        "refuses five times", "10,000 alerts", "28 days", "24 to 64 bytes", "pushed for a day",
    ):  # fmt: skip
        assert said in TEXT, said
    assert records.PARKED in TEXT
