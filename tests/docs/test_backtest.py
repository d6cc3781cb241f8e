"""The page about rules on history."""

from __future__ import annotations

import re

from stream.backtest import read_outcomes
from stream.backtest.outcomes import USEFUL, USELESS
from stream.backtest.report import HEADINGS
from stream.cli.rules_test import test as command
from stream.cli.rules_tune import tune
from tests.docs.pages import ROOT, blocks

PAGE = ROOT / "docs" / "backtest.md"
TEXT = PAGE.read_text(encoding="utf-8")


def test_the_outcomes_of_the_page_are_read() -> None:
    """An incident over two lines, and an action."""
    (shown,) = [block.text for block in blocks(PAGE) if block.language == "json"]
    lines = re.sub(r",\n ", ", ", shown).encode().splitlines()
    incidents, judgements = read_outcomes(lines)
    assert incidents[0].metric == ("csat", "ces")
    assert incidents[0].where == {"touchpoint": "support", "channel": "chat"}
    assert judgements[0].useful is True


def test_columns_outcomes_and_options_are_those_there_are() -> None:
    """Each column is explained, each word for an outcome named, and no option is made up."""
    assert all(f"`{name}`" in TEXT for name in HEADINGS if name != "rule")
    assert all(f"`{word}`" in TEXT for word in USEFUL | USELESS)
    known = {option for each in (command, tune) for param in each.params for option in param.opts}
    named = set(re.findall(r"(--[a-z][a-z-]+)", TEXT)) - {"--only"}  # of make bench
    assert named - known == {"--incidents"}, "that is an option of cx simulate"
