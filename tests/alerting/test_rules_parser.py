"""Whatever a rules file holds, it is read or refused: nothing else is raised, run or opened, and soon."""

from __future__ import annotations

import json
import re
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import babel
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from stream.alerting.lint import remarks
from stream.alerting.rules import RuleBook, RuleError, load_rules
from stream.alerting.templates import show

if TYPE_CHECKING:
    from collections.abc import Iterator

EXAMPLES: Final = (Path(__file__).parents[2] / "examples" / "rules.yml").read_text(encoding="utf-8")
EVERY_KIND: Final = """\
language: en
slices: [[segment], [touchpoint, channel]]
goals: [{metric: csat, where: {segment: vip}, goal: 80, baseline: {ago: 7d, weeks: 4}, by: 2026-12-31}]
groups:
  - name: journey
    rules:
      - {alert: A, metric: nps, by: [segment], window: 1h, below: 30, evidence: interval, min_n: 50, for: 5m,
         resolve: {above: 35}, labels: {team: a}, annotations: {summary: {en: "{value}", it: "{segment}"}},
         links: {dashboard: "https://grafana.example/d/cx?var-segment={segment}"}, limit: {alerts: 20, per: 1h}}
      - {alert: B, metric: csat, window: 1h, drop: {points: 10, from: {ago: 7d, weeks: 4}}, drivers: [channel]}
      - {alert: C, metric: ces, change: {direction: down, one_false_alarm_per: 10000, from: 7d}}
      - {alert: D, metric: csat, burn_rate: {goal: 99, page: [[1h, 5m, 14.4]], ticket: [[3d, 6h, 1]]}}
      - {alert: E, metric: nps, by: [channel], no_data: 30m, keep_firing: 10m, renotify: 4h}
      - {alert: F, metric: nps, by: [channel], window: 1h, above: 3, evidence: anytime, fdr: 0.1}
      - {alert: G, on: reply, when: {metric: nps, score: {lte: 6}, customer.expected_value: {gte: 500}}}
      - {alert: H, expect: {after: {kind: promise_made}, then: {kind: promise_kept}, same: ref, within: due_at}}
      - {alert: I, sequence: {steps: [{kind: a}, {metric: nps}], unless: {kind: b}, within: 2h}}
      - {alert: J, count: {of: {kind: ticket_opened}, at_least: 3, within: 7d}}
      - {alert: K, customer: {churn_probability: {gte: 0.7}}, every: 1d, action: {type: call, within: 2h}}
inhibit: [{source: {severity: critical}, target: ['severity=~"warning|info"'], equal: [segment]}]
silences: [{matchers: {segment: vip}, starts_at: 2026-01-01T00:00:00Z, ends_at: 2026-01-02T00:00:00Z, author: a,
   comment: b}]
contact: {per_customer: 2, within: 7d, quiet_hours: ["21:00", "08:00"], time_zone: Europe/Rome}
hold_out: {share: 0.1}
route: {group_by: [alertname], group_wait: 30s, group_interval: 5m, repeat_interval: 4h}
storm: {alerts: 50, per: 10m}
"""
WORDS: Final = sorted(set(re.findall(r"[A-Za-z_.]+|[0-9]+[a-z]?|\S", EVERY_KIND)))
FRAGMENTS: Final = st.sampled_from(
    [*WORDS, "\n", "\n  ", "\n      ", ": ", "- ", "&a ", "*a", "!!", "!!python/name:os.system", "|", ">", "#",
     "%YAML 1.1", "? ", "---", "...", "\t", "\x00", "é", "\u2028", "\ufeff", "null", "~", "<<", ".inf", "1e999",
     "{{", "{n.__class__}", "{0}", "(a+)+$", "../../etc/passwd", "{__import__('os')}"]
)  # fmt: skip


def _reads(text: str) -> RuleBook | None:
    """Read or refused, and if refused in one line that names a line of the file."""
    said: list[tuple[int, str]] = []
    book = None
    try:
        book = load_rules(text, "r.yml")
        said += [(remark.line, str(remark)) for remark in remarks(book, 1_800_000_000_000)]
    except RuleError as error:
        said.append((error.line, str(error)))
    for line, words in said:
        assert 1 <= line <= len(text.splitlines()) + 1
        assert "\n" not in words
    return book


def test_every_kind_is_in_what_is_bent_here() -> None:
    """The file that the tests below damage is right, and has all kinds of rules and of hygiene."""
    book = _reads(EVERY_KIND)
    assert book is not None
    assert {rule.kind for rule in book.metric_rules} == {
        "below", "above", "drop", "change", "burn_rate", "no_data",
    }  # fmt: skip
    assert {type(rule).__name__ for rule in book.history_rules} == {"SequenceRule", "CountRule", "SignalRule"}
    assert book.hygiene.inhibitions
    assert book.hygiene.silences
    assert _reads(EXAMPLES) is not None


@given(st.text() | st.lists(FRAGMENTS, max_size=60).map("".join) | st.lists(FRAGMENTS).map(" ".join))
def test_no_text_whatever_raises_anything_but_a_rule_error(text: str) -> None:
    """The parser never fails in a way of its own."""
    _reads(text)


@given(st.binary(max_size=300))
def test_no_bytes_whatever_do(data: bytes) -> None:
    """As above, for what is no text at all."""
    _reads(data.decode("utf-8", "surrogateescape"))
    _reads(data.decode("latin-1"))


@given(st.data())
def test_a_right_file_with_one_piece_changed_is_read_or_refused(data: st.DataObject) -> None:
    """Near misses are refused as cleanly as noise."""
    start = data.draw(st.integers(0, len(EVERY_KIND)))
    end = data.draw(st.integers(start, min(len(EVERY_KIND), start + 12)))
    piece = data.draw(FRAGMENTS | st.text(max_size=5))
    _reads(EVERY_KIND[:start] + piece + EVERY_KIND[end:])


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8) | st.sampled_from(WORDS),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.text(max_size=8) | st.sampled_from(WORDS), inner, max_size=3)
    ),
    max_leaves=8,
)
# Each of them with one field after the other replaced.
SHAPES: Final[tuple[dict[str, Any], ...]] = (
    {"metric": "nps", "window": "1h", "below": 3, "by": ["segment"], "where": {"stage": "exit"},
     "evidence": "anytime", "confidence": 0.9, "fdr": 0.1, "min_n": 5, "for": "5m", "resolve": {"above": 4},
     "keep_firing": "5m", "renotify": "1h", "drivers": ["channel"], "cooldown": "1h", "severity": "info",
     "labels": {"a": "b"}, "annotations": {"a": "b"}, "links": {"a": "https://a/"}, "action": {"type": "a"},
     "limit": {"alerts": 1, "per": "1h"}},
    {"metric": "nps", "window": "1h", "drop": {"points": 3, "from": "7d"}},
    {"metric": "nps", "change": {"direction": "up", "one_false_alarm_per": 500}},
    {"metric": "csat", "burn_rate": {"goal": 80, "page": [["1h", "5m", 3]]}},
    {"metric": "csat", "no_data": "30m"},
    {"on": "reply", "when": {"score": 3}},
    {"expect": {"after": {"kind": "a"}, "then": {"kind": "b"}, "within": "1h"}},
    {"sequence": {"steps": [{"kind": "a"}, {"kind": "b"}], "within": "1h"}},
    {"count": {"of": {"kind": "a"}, "at_least": 3, "within": "1h"}},
    {"customer": {"spend": {"gte": 3}}, "every": "1d"},
)  # fmt: skip
TOP: Final = (
    "slices",
    "goals",
    "groups",
    "inhibit",
    "silences",
    "contact",
    "hold_out",
    "route",
    "storm",
    "language",
)


def _paths(shape: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    for key, value in shape.items() if isinstance(shape, dict) else enumerate(shape):
        yield (*path, key)
        if isinstance(value, dict | list):
            yield from _paths(value, (*path, key))


def _replaced(shape: Any, path: tuple[Any, ...], value: object) -> Any:
    if not path:
        return value
    inner = {**shape} if isinstance(shape, dict) else [*shape]
    inner[path[0]] = _replaced(shape[path[0]], path[1:], value)
    return inner


@given(VALUES, st.data())
def test_any_value_in_any_field_is_read_or_refused(value: object, data: st.DataObject) -> None:
    """Well-formed YAML of the wrong shape is refused, never a crash."""
    shape = data.draw(st.sampled_from(SHAPES))
    path = data.draw(st.sampled_from(list(_paths(shape))))
    rule = {"alert": "A", **_replaced(shape, path, value)}
    _reads(_json({"groups": [{"name": "g", "rules": [rule]}]}))
    _reads(_json({data.draw(st.sampled_from(TOP)): value}))


def _json(value: object) -> str:
    return json.dumps(value, ensure_ascii=False).encode("utf-8", "replace").decode()


# --- nothing runs, nothing is opened -----------------------------------------------------------------------

_watched: list[str] | None = None
_FORBIDDEN: Final = frozenset(
    {"open", "exec", "compile", "import", "os.system", "subprocess.Popen", "os.listdir"}
)


# What languages look like is data of babel's own.
_BABEL: Final = str(Path(babel.__file__).parent)


def _hook(event: str, args: tuple[Any, ...]) -> None:
    if _watched is None or not (event in _FORBIDDEN or event.startswith(("socket.", "ctypes."))):
        return
    if not str(args[0]).startswith(_BABEL):
        _watched.append(f"{event} {args[:1]}")


sys.addaudithook(_hook)

HOSTILE: Final = (
    "!!python/object/apply:os.system ['true']",
    "!!python/name:os.system",
    "'{value.__class__.__mro__}'",
    "'{value!r:{n}}'",
    "\"{__import__('os').system('true')}\"",
    "'{0.__globals__}'",
    "'%(value)s ${value} {{value}}'",
    "{en: '{n}', ../../../etc/passwd: '{n}'}",
    "{en: '{n}', xx_YY: '{n}'}",
)


@pytest.mark.parametrize("hostile", HOSTILE)
@pytest.mark.parametrize("field", ["annotations: {a: %s}", "links: {a: %s}", "window: %s", "metric: %s"])
def test_no_text_of_a_rule_runs_code_or_opens_a_file(field: str, hostile: str) -> None:
    """Seen by the interpreter's own audit events, while a file is read and its texts are rendered."""
    global _watched  # noqa: PLW0603 - an audit hook cannot be taken away again, only be told to look elsewhere
    show(1234.5, "en")
    rule = "{alert: A, metric: nps, window: 1h, below: 3, " + field % hostile + "}"
    seen = _watched = []
    try:
        book = _reads("groups: [{name: g, rules: [" + rule + "]}]")
        for name, text in (*book.metric_rules[0].annotations, *book.metric_rules[0].links) if book else ():
            assert name
            assert "{" not in text.render({"n": 3, "value": 1234.5}).replace("{value}", "")
    finally:
        _watched = None
    assert seen == []


def test_the_hook_sees_what_it_looks_for() -> None:
    """The test above can fail."""
    global _watched  # noqa: PLW0603 - as above
    seen = _watched = []
    try:
        Path(__file__).read_bytes()
    finally:
        _watched = None
    assert len(seen) == 1


# --- and it takes no time to speak of ----------------------------------------------------------------------

_MIB: Final = 1024 * 1024
LARGE: Final = {
    "keys": "".join(f"k{n}: 1\n" for n in range(100_000)),
    "rules": "groups: [{name: g, rules: [\n"
    + "".join(f"{{alert: A{n}, metric: nps, window: 1h, below: 3}},\n" for n in range(15_000))
    + "]}]",
    "expressions": "inhibit:\n"
    + "".join(
        f"- {{source: ['a=~\"(a+)+{n}$\"'], target: ['a=~\"(.*a){{20}}{n}\"']}}\n" for n in range(1_000)
    ),
    "brackets": "[" * (_MIB - 10),
    "text": "groups: [{name: g, rules: [{alert: A, metric: nps, window: 1h, below: 3, annotations: {a: '"
    + "{n}" * 300_000
    + "'}}]}]",
    "word": "a" * (_MIB - 10) + ": 1",
    "number": "hold_out: {share: " + "1" * (_MIB - 30) + "}",
    "duration": "storm: {alerts: 1, per: " + "1h" * 500_000 + "}",
    "quotes": "'" * (_MIB - 10),
    "comment": "# " * (_MIB // 2 - 10),
}


@pytest.mark.parametrize("name", LARGE)
def test_the_largest_files_are_read_or_refused_within_seconds(name: str) -> None:
    """A file of a mebibyte of anything takes a few seconds at most: nothing in the parser is quadratic."""
    text = LARGE[name]
    assert len(text) <= _MIB
    began = time.process_time()
    _reads(text)
    assert time.process_time() - began < 20, "usually below 3 s"


@example("# nothing\n" * 1_000_000)
@given(st.integers(_MIB + 1, 4 * _MIB).map(lambda size: "a" * size))
def test_what_is_larger_is_refused_unread(text: str) -> None:
    """A rules file of 10 MB is refused by its size, with a way out."""
    with pytest.raises(RuleError, match="larger than 1 MiB; split it"):
        load_rules(text, "r.yml")
