"""The page of the signals is true: every signal, every weight, and the example."""

from __future__ import annotations

import doctest

from stream.customers import PRIOR, SIGNALS
from tests.docs.pages import ROOT, code, rows, section

PAGE = ROOT / "docs" / "signals.md"


def test_the_table_has_every_signal() -> None:
    """In their order, and in the words that they have in the code."""
    listed = {code(row[0])[0]: row[1] for row in rows(PAGE.read_text())[: len(SIGNALS)]}
    assert list(listed.items()) == list(SIGNALS.items())


def test_the_weights_are_those_of_the_prior() -> None:
    """A weight that is changed is changed on the page."""
    listed = {code(row[0])[0]: float(row[1]) for row in rows(section(PAGE, "churn_probability"))}
    assert listed == PRIOR


def test_the_example_gives_what_it_shows() -> None:
    """It runs as it stands."""
    found = doctest.testfile(str(PAGE), module_relative=False)
    assert found.attempted > 0
    assert found.failed == 0
