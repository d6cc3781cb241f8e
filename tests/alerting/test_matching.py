"""Matchers: as Alertmanager's, in structure and in writing."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stream.alerting.hygiene import Matcher, MatchOp
from stream.alerting.matching import MAX_VALUE, check, matches, parse_matcher, show_matcher

LABELS = {"alertname": "NpsLow", "severity": "critical", "channel": "web"}


@pytest.mark.parametrize(
    ("text", "holds"),
    [
        ("channel=web", True),
        ("channel=chat", False),
        ("channel!=chat", True),
        ('channel=~"chat|web"', True),
        ('channel=~"we"', False),
        ('channel!~"chat|we"', True),
        ("region=", True),
        ("region!=north", True),
        ('region=~"|north"', True),
        ('region=~".+"', False),
        ("severity = critical", True),
    ],
)
def test_a_matcher_tests_one_label(text: str, holds: bool) -> None:
    """Equal, unequal, and expressions of the whole text; an absent label is empty."""
    assert matches([parse_matcher(text)], LABELS) is holds


def test_all_matchers_must_hold() -> None:
    """One that does not is enough to leave an alert alone."""
    both = [parse_matcher("channel=web"), parse_matcher("severity=warning")]
    assert not matches(both, LABELS)
    assert matches(both[:1], LABELS)


@given(
    st.from_regex(r"[a-z_][a-z0-9_.]{0,8}", fullmatch=True), st.sampled_from(MatchOp), st.text(max_size=20)
)
def test_a_matcher_is_read_as_it_is_written(label: str, op: MatchOp, value: str) -> None:
    """Writing and reading give the same matcher, whatever the value."""
    matcher = Matcher(label, op, value)
    assert parse_matcher(show_matcher(matcher)) == matcher


@given(st.text(max_size=30))
def test_any_text_is_a_matcher_or_refused(text: str) -> None:
    """Nothing but a ValueError comes out."""
    try:
        parse_matcher(text)
    except ValueError:
        return


@pytest.mark.parametrize("text", ["channel", "=web", "1a=b", 'channel="open', 'channel="a" b', ""])
def test_what_is_no_matcher_is_refused(text: str) -> None:
    """A refusal, and not another matcher than was meant."""
    with pytest.raises(ValueError, match=r"is no matcher|quote"):
        parse_matcher(text)


@pytest.mark.parametrize(
    ("texts", "problem"),
    [
        ([], "every alert"),
        (["region!=north"], "every alert"),
        (['channel=~".*"'], "every alert"),
        (['channel=~"("'], "channel: not a regular expression"),
        (["channel=" + "a" * (MAX_VALUE + 1)], "longer than"),
    ],
)
def test_matchers_that_cannot_be_meant_are_refused(texts: list[str], problem: str) -> None:
    """Wrong expressions, and what would silence everything."""
    with pytest.raises(ValueError, match=problem):
        check([parse_matcher(text) for text in texts])


def test_a_label_longer_than_any_value_is_as_no_expression_says() -> None:
    """Time is bounded by the label's length, too."""
    labels = {"channel": "a" * (MAX_VALUE + 1)}
    assert not matches([parse_matcher('channel=~"a+"')], labels)
    assert matches([parse_matcher('channel!~"a+"')], labels)
