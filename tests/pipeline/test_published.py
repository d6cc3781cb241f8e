"""What one metrics partition publishes: experiments, corrections, baselines, and what privacy leaves out."""

from __future__ import annotations

import json
from random import Random
from typing import TYPE_CHECKING, Any

import pytest

from schemas import format_ms
from stream import topics
from stream.alerting.rules import load_rules
from stream.measures import Groupings, Mark, Partial, Stats, encode_mark, encode_partial
from stream.pipeline import MetricsPartition, PipelineConfig

if TYPE_CHECKING:
    from collections.abc import Iterable

    from stream.alerting.model import RuleBook
    from stream.pipeline import MetricsChanges

PANE_MS = 10_000
HOUR = 3_600_000 // PANE_MS
START = 4 * 7 * 24 * HOUR
A, B, C = (f'{{"channel":"web","variant":"{letter}"}}' for letter in "ABC")
VIP = '{"segment":"vip"}'

RULES = """
experiments:
  - name: trial
    metrics: [csat]
    control: A
    where: {channel: web}
    starts_at: 1970-01-01T00:00:00Z
goals:
  - {metric: csat, where: {segment: vip}, goal: 80, baseline: {ago: 1h}}
privacy: {min_slice_n: 10}
groups:
  - name: g
    rules:
      - {alert: Low, metric: csat, by: [segment], window: 5m, below: 50}
"""


class Path:
    """A partition and the log that it is fed with, one source saying everything."""

    def __init__(self, book: RuleBook) -> None:
        config = PipelineConfig(topics.INPUTS, 1, Groupings(book.groupings, 10), declared=book.declared)
        self.sources = sorted(config.sources)
        self.part = MetricsPartition(0, config, book, {})
        self.version = 0

    def run(self, pane: int, sums: dict[str, Stats], known: int | None = None) -> MetricsChanges:
        """Feed what came in one pane, known in it or later, and close the panes up to then."""
        closes = (pane if known is None else known) + 1
        return self.part.run([*self.partials(pane, closes - 1, sums), *self.marks(closes)])

    def partials(self, pane: int, known: int, sums: dict[str, Stats]) -> Iterable[bytes]:
        """What came in one pane."""
        for slice_key, stats in sums.items():
            self.version += 1
            yield encode_partial(Partial.of(slice_key, self.sources[0], pane, known, stats, self.version))[1]

    def marks(self, closes: int, newest: int | None = None) -> Iterable[bytes]:
        """Every source has closed the panes below ``closes``, and has heard of ``newest``."""
        newest = closes - 1 if newest is None else newest
        for source in self.sources:
            self.version += 1
            yield encode_mark(Mark(source, closes, False, (self.version, False), newest))[1]


@pytest.fixture
def path() -> Path:
    """A fresh partition with the rules above."""
    return Path(load_rules(RULES, "r.yml"))


def _published(changes: MetricsChanges) -> dict[str, dict[str, Any]]:
    return {record.slice_key: json.loads(record.payload) for record in changes.metrics}


def _value(object_: dict[str, Any], window: str) -> dict[str, Any]:
    found: dict[str, Any] = object_["metrics"]["csat"][window]
    return found


def test_a_variant_is_published_again_when_its_control_changes(path: Path) -> None:
    """The difference is to the control as of the same moment, although the variant itself was silent."""
    first = _published(path.run(START, {A: {"csat": [60, 100]}, B: {"csat": [70, 100]}}))
    assert _value(first[B], "trial")["versus"]["difference"] == 10
    assert "versus" not in _value(first[A], "trial")
    second = _published(path.run(START + 1, {A: {"csat": [100, 100]}}))
    assert set(second) == {A, B}
    assert _value(second[B], "trial")["versus"]["difference"] == -10
    third = _published(path.run(START + 2, {C: {"csat": [90, 100]}}))
    assert set(third) == {C}
    assert _value(third[C], "trial")["versus"]["difference"] == 10


def test_what_is_published_of_an_experiment_does_not_depend_on_batches() -> None:
    """Variants and control in any batches end with the same objects as pane by pane."""
    rng = Random(7)
    steps = [
        (START + number, {key: {"csat": [rng.randrange(20), 20]} for key in rng.sample([A, B, C], 2)})
        for number in range(40)
    ]
    ends = []
    for size in (1, 3, 40):
        path = Path(load_rules(RULES, "r.yml"))
        newest: dict[str, dict[str, Any]] = {}
        for at in range(0, len(steps), size):
            log = []
            for pane, sums in steps[at : at + size]:
                log += [*path.partials(pane, pane, sums), *path.marks(pane + 1)]
            newest |= _published(path.part.run(log))
        ends.append(newest)
    assert ends[0] == ends[1] == ends[2]
    assert _value(ends[0][B], "trial")["n"] > 300


def test_a_correction_names_the_earliest_time_it_concerns(path: Path) -> None:
    """Late data makes the next object say from when on earlier ones were wrong, and only that one."""
    many: Stats = {"csat": [10, 20]}
    assert "corrected_from" not in _published(path.run(START, {VIP: many}))[VIP]
    late = _published(path.run(START - 3, {VIP: many}, known=START + 1))[VIP]
    assert late["corrected_from"] == format_ms((START - 3) * PANE_MS)
    assert "corrected_from" not in _published(path.run(START + 2, {VIP: many}))[VIP]


def test_a_baseline_is_found_an_hour_ago(path: Path) -> None:
    """The goal's slice is held against the same window of then, with its n."""
    path.run(START + 10, {VIP: {"csat": [9, 10]}})
    found = _published(path.run(START + HOUR + 20, {VIP: {"csat": [16, 20]}}))[VIP]
    hour = _value(found, "1h")
    assert hour["goal"] == {"value": 80.0, "gap": hour["value"] - 80}
    assert _value(found, "5m")["baseline"] == {"value": 90.0, "gap": -10.0, "window": "1h@1h", "n": 10}


def test_a_slice_on_too_few_is_shown_to_nobody(path: Path) -> None:
    """Nothing is published of it, and no rule sees it; the next reply may make it enough."""
    few = path.run(START, {VIP: {"csat": [0, 9]}, "{}": {"csat": [0, 9]}})
    assert _published(few)[VIP]["metrics"] == {}
    assert _value(_published(few)["{}"], "5m")["n"] == 9
    assert not few.claims
    assert few.decisions == {"not_enough_replies": 1}
    [claim] = path.run(START + 1, {VIP: {"csat": [0, 1]}}).claims
    assert (claim.figures["n"], claim.figures["value"]) == (10, 0)


def test_provisional_values_are_the_final_ones_to_be(path: Path) -> None:
    """What is still open is shown by the same rules: metrics, lines, controls and privacy."""
    path.run(START, {A: {"csat": [60, 100]}})
    pane = START + 1
    assert {record.slice_key for record in path.part.provisional()} == {A}
    sums: dict[str, Stats] = {B: {"csat": [70, 100]}, VIP: {"csat": [1, 9]}}
    path.part.run([*path.partials(pane, pane, sums), *path.marks(pane, newest=pane)])
    found = {record.slice_key: json.loads(record.payload) for record in path.part.provisional()}
    assert {key: value["final"] for key, value in found.items()} == {B: False, VIP: False}
    assert found[VIP]["metrics"] == {}
    assert _value(found[B], "5m")["value"] == 70
    final = _published(path.run(pane, {}))
    assert _value(final[B], "trial")["versus"]["difference"] == 10
    assert {**found[B], "final": True} == final[B]


def test_gauges_see_what_was_published(path: Path) -> None:
    """The values handed to gauges are those that were published."""
    [record] = path.run(START, {VIP: {"csat": [16, 20], "nps": [1, 1, 1]}}).metrics
    assert {name: set(windows) for name, windows in record.values.items()} == {
        name: set(windows) for name, windows in json.loads(record.payload)["metrics"].items()
    }
    assert set(record.values) == {"csat"}
