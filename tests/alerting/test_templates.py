"""Annotation texts: names in braces, and nothing that could run."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stream.alerting.templates import Template, TemplateError, is_language, parse_template, show

NAMES = frozenset({"n", "value", "customer.spend"})


@pytest.mark.parametrize(
    ("text", "rendered"),
    [
        ("", ""),
        ("plain", "plain"),
        ("{n}", "3"),
        ("{n}{value}", "312.5"),
        ("a {n} b {value} c {n}", "a 3 b 12.5 c 3"),
        ("{{n}}", "{n}"),
        ("{{{n}}}", "{3}"),
        ("{customer.spend}", "unknown"),
        ("100 % %s $n", "100 % %s $n"),
    ],
)
def test_known_names_are_replaced_and_the_rest_stays(text: str, rendered: str) -> None:
    """Doubled braces are braces; what is absent reads unknown."""
    values = {"n": 3, "value": 12.5, "customer.spend": None}
    assert parse_template(text, NAMES).render(values) == rendered


@pytest.mark.parametrize(
    "text",
    ["{", "}", "{}", "{ n }", "{n!r}", "{n:>99999999}", "{n[0]}", "{n.__class__}", "{0}", "{m}", "{n}}", "{{n}",
     "{n{n}}", "{__import__('os')}", "{customer.spend.real}"],
)  # fmt: skip
def test_everything_else_in_braces_is_refused(text: str) -> None:
    """No formats, conversions, indexes, attributes, nesting or unknown names."""
    with pytest.raises(TemplateError):
        parse_template(text, NAMES)


@pytest.mark.parametrize(
    ("value", "text"),
    [(12.5, "12.5"), (12.0, "12"), (8.666, "8.67"), (-0.001, "0"), (1e9, "1,000,000,000"), (7, "7"),
     (True, "yes"), (False, "no"), (None, "unknown"), (float("nan"), "unknown"), ("vip", "vip"), (100.0, "100")],
)  # fmt: skip
def test_values_read_as_people_write_them(value: float | str | None, text: str) -> None:
    """Two decimals at most and no trailing zeros."""
    assert show(value) == text


@given(st.text(alphabet="{}n.valuecstomrpd :!", max_size=30))
def test_any_text_is_a_template_or_refused(text: str) -> None:
    """Nothing but TemplateError comes out, and values are never parsed again."""
    try:
        template = parse_template(text, NAMES)
    except TemplateError:
        return
    assert isinstance(template, Template)
    rendered = template.render({"n": "{value}", "value": "{n}", "customer.spend": "}}"})
    assert len(rendered) >= len(template.pieces[0])


def test_braces_in_a_value_are_only_text() -> None:
    """A customer's segment cannot smuggle a placeholder in."""
    assert parse_template("{n}", NAMES).render({"n": "{value}"}) == "{value}"


@pytest.mark.parametrize(
    ("value", "language", "text"),
    [(1234.5, "en", "1,234.5"), (1234.5, "it", "1.234,5"), (1234.5, "de_CH", "1\u2019234.5"),
     (1234567, "hi", "12,34,567"),
     (-1234567.891, "it", "-1.234.567,89"), (8.666, "it", "8,67"), (12, "it", "12"), (-0.001, "it", "0"),
     (1234.5, "", "1234.5"), (None, "it", "unknown"), ("1234.5", "it", "1234.5")],
)  # fmt: skip
def test_numbers_are_as_the_language_writes_them(value: float | str | None, language: str, text: str) -> None:
    """Signs between digits are the language's; texts stay as they are."""
    assert show(value, language) == text
    assert parse_template("{n}", NAMES, language=language).render({"n": value}) == text


def test_a_value_may_know_languages() -> None:
    """A function of the language is asked for that of the text."""
    values = {"n": lambda language: f"in {language}", "value": lambda language: 1234.5}
    assert parse_template("{n}: {value}", NAMES, language="it").render(values) == "in it: 1.234,5"


def test_in_links_values_are_percent_encoded() -> None:
    """Nothing in a value gets out of its place in an address; numbers do not depend on the language."""
    link = parse_template("https://a/d?s={n}&v={value}", NAMES, language="it", link=True)
    assert link.render({"n": "a b&c=d/../#ü{", "value": 1234.5}) == (
        "https://a/d?s=a%20b%26c%3Dd%2F..%2F%23%C3%BC%7B&v=1234.5"
    )


@given(st.text(max_size=20))
def test_a_link_goes_where_it_is_written(value: str) -> None:
    """Whatever the value, the address before and behind it stays the same, and all is in ASCII without spaces."""
    text = value.encode("utf-8", "replace").decode()
    shown = parse_template("https://a/d?s={n}&t=1", NAMES, link=True).render({"n": text})
    assert shown.startswith("https://a/d?s=")
    assert shown.endswith("&t=1")
    assert not set(shown[len("https://a/d?s=") : -len("&t=1")]) & set("/?#&= \n")
    assert shown.isascii()


@pytest.mark.parametrize(
    ("code", "known"),
    [("en", True), ("it", True), ("pt_BR", True), ("zh_Hans", True), ("es_419", True), ("english", False),
     ("xx", False), ("EN", False), ("en-GB", False), ("../en", False), ("", False), ("en_XX", False)],
)  # fmt: skip
def test_languages_are_those_of_the_unicode_consortium(code: str, known: bool) -> None:
    """Codes as babel has them; nothing else gets as far as its data."""
    assert is_language(code) is known
