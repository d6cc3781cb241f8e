"""Whether an alert's labels are as matchers say: of silences and inhibitions, as in Alertmanager.

Labels are the claim's own, with ``alertname`` and ``severity``. A label that is absent is an empty text.
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import TYPE_CHECKING, Final

from stream.alerting.expressions import Expression
from stream.alerting.hygiene import Matcher, MatchOp

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from stream.alerting.claims import Claim

MAX_VALUE: Final = 1000
"""Characters of a matcher's value. A label's value that is longer is as no expression says."""

_WRITTEN: Final = re.compile(r"\s*([A-Za-z_][A-Za-z0-9_.]*)\s*(=~|!~|!=|=)\s*(.*?)\s*", re.ASCII | re.DOTALL)
_QUOTED: Final = re.compile(r'"((?:[^"\\]|\\.)*)"', re.DOTALL)

expression = lru_cache(maxsize=4096)(Expression)
"""The compiled expression of a text. Raises ValueError, as Expression does."""


def labels_of(claim: Claim) -> dict[str, str]:
    """What matchers see of a claim."""
    return {**claim.labels, "alertname": claim.alert, "severity": claim.severity}


def matches(matchers: Iterable[Matcher], labels: Mapping[str, str]) -> bool:
    """Whether every matcher holds; no matcher at all always does.

    Raises:
        ValueError: a regular expression that ``check`` refuses.
    """
    return all(_holds(matcher, labels.get(matcher.label, "")) for matcher in matchers)


def check(matchers: Iterable[Matcher]) -> None:
    """Refuse matchers that cannot be meant.

    Raises:
        ValueError: none at all, all of them hold for an alert without labels, or a wrong expression;
            the text names the matcher.
    """
    matchers = tuple(matchers)
    for matcher in matchers:
        if len(matcher.value) > MAX_VALUE:
            raise ValueError(f"{matcher.label}: the value is longer than {MAX_VALUE} characters")
        if matcher.op in (MatchOp.RE, MatchOp.NRE):
            try:
                expression(matcher.value)
            except ValueError as error:
                raise ValueError(f"{matcher.label}: not a regular expression: {error}") from None
    if matches(matchers, {}):
        raise ValueError(
            "at least one matcher must ask for a label that is there: else it matches every alert"
        )


def parse_matcher(text: str) -> Matcher:
    r"""A matcher as people write it: ``segment=vip``, ``channel=~"chat|web"``. ``check`` it, too.

    Quotes may be left out. In quotes, ``\"`` and ``\\`` stand for the characters themselves and ``\n`` for a
    line's end, as in Alertmanager; every other backslash stays.

    Raises:
        ValueError: no matcher.
    """
    found = _WRITTEN.fullmatch(text)
    if found is None:
        raise ValueError(f'{text!r} is no matcher; write label="value", or with != =~ !~ in place of =')
    label, op, value = found.groups()
    if value.startswith('"'):
        quoted = _QUOTED.fullmatch(value)
        if quoted is None:
            raise ValueError(f"{text!r}: a quote is open, or something follows it")
        value = re.sub(r'\\(["\\n])', lambda pair: "\n" if pair[1] == "n" else pair[1], quoted[1])
    return Matcher(label, MatchOp(op), value)


def show_matcher(matcher: Matcher) -> str:
    """The inverse of parse_matcher, always in quotes."""
    value = matcher.value.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
    return f'{matcher.label}{matcher.op}"{value}"'


def _holds(matcher: Matcher, value: str) -> bool:
    if matcher.op is MatchOp.EQ:
        return value == matcher.value
    if matcher.op is MatchOp.NE:
        return value != matcher.value
    found = len(value) <= MAX_VALUE and _says(matcher.value, value)
    return found == (matcher.op is MatchOp.RE)


@lru_cache(maxsize=16_384)
def _says(text: str, value: str) -> bool:
    """Whether an expression is of a value: the members of slices come again and again."""
    return expression(text).matches(value)
