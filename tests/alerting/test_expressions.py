"""Expressions: what Python's ``re`` says of whole texts, and never slowly."""

from __future__ import annotations

import re
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stream.alerting.expressions import MAX_LENGTH, Expression

PIECES = st.sampled_from(
    [
        "a",
        "b",
        "c",
        "é",
        ".",
        "\\d",
        "\\D",
        "\\w",
        "\\W",
        "\\s",
        "\\.",
        "\\-",
        "[ab]",
        "[^a]",
        "[a-c\\d]",
        "[]a]",
        "[-b]",
        "[\\]x]",
    ]
)
ATOMS = st.recursive(
    PIECES,
    lambda inner: st.one_of(
        st.lists(inner, min_size=1, max_size=3).map(lambda some: f"({''.join(some)})"),
        st.lists(inner, min_size=1, max_size=3).map(lambda some: f"(?:{'|'.join(some)})"),
        st.tuples(inner, st.sampled_from(["*", "+", "?", "*?", "{2}", "{1,}", "{0,2}"])).map(
            lambda pair: f"({pair[0]}){pair[1]}"
        ),
    ),
    max_leaves=6,
)
TEXTS = st.text(st.sampled_from("abcABé1_ .-]\n"), max_size=8)


@given(st.lists(ATOMS, max_size=4).map("".join), TEXTS, st.sampled_from(["", "(?i)"]))
def test_it_says_what_python_says_of_the_whole_text(body: str, text: str, flag: str) -> None:
    """Where both read an expression, both say the same."""
    assert Expression(flag + body).matches(text) == bool(
        re.fullmatch(flag + body, text, re.ASCII | _case(flag))
    )


def _case(flag: str) -> re.RegexFlag:
    # Of letters beyond ASCII, Python ignores the case only without re.ASCII; the texts have none in capitals.
    return re.IGNORECASE if flag else re.NOFLAG


@given(st.text(st.sampled_from("ab(|)*+?{1,2}[]^$\\d-.:"), max_size=12), TEXTS)
def test_any_text_is_an_expression_or_refused(body: str, text: str) -> None:
    """Nothing but a ValueError comes out, and what is read here Python reads in the same way."""
    try:
        expression = Expression(body)
    except ValueError:
        return
    assert expression.matches(text) == bool(re.fullmatch(body, text, re.ASCII))


@pytest.mark.parametrize("body", ["(a*)*b", "(a|a)*b", "(a?){30}a{30}b", "(.*a){12}b", "((a+)+)+b"])
def test_what_takes_others_forever_takes_a_moment(body: str) -> None:
    """The time is at most steps times characters, whatever the expression; with ``re`` these take hours."""
    began = time.process_time()
    assert not Expression(body).matches("a" * 200)
    assert time.process_time() - began < 2


@pytest.mark.parametrize(
    ("body", "problem"),
    [
        ("(", r"a \( without its \)"),
        (")", r"a \) without its \("),
        ("[a", r"a \[ without its \]"),
        ("*a", "nothing before it"),
        ("a**", "a repetition of a repetition"),
        ("a{2", "one number or two"),
        ("a{3,2}", "larger number first"),
        ("a{9999}", "more than 1000 steps"),
        ("((a{40}){40}){40}", "more than 1000 steps"),
        ("(?=a)", "only"),
        ("(a)\\1", "not known"),
        ("a^b", "at the start only"),
        ("a$b", "at the end only"),
        ("\\", "at the end"),
        ("[z-a]", "backwards"),
        ("[\\d-z]", "from one character"),
        ("[[:alpha:]]", "named classes"),
        ("(" * 60 + ")" * 60, "inside each other"),
        ("a" * (MAX_LENGTH + 1), "longer than"),
    ],
)
def test_what_is_not_here_is_refused_in_words(body: str, problem: str) -> None:
    """A refusal says what is wrong."""
    with pytest.raises(ValueError, match=problem):
        Expression(body)


def test_the_ends_may_be_marked() -> None:
    """``^`` and ``$`` at the ends change nothing, for it is always the whole text."""
    assert Expression("^chat|web$").matches("web")
    assert not Expression("chat").matches("live chat")
