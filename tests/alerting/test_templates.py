"""Annotation texts: names in braces, and nothing that could run."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stream.alerting.templates import Template, TemplateError, parse_template, show

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
