"""What is shown of a slice: to subscribers, to dashboards, and to rules."""

from __future__ import annotations

import json
import re
from datetime import date
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas import Metrics
from stream.measures import (
    METRICS,
    WHOLE,
    Shown,
    Stats,
    add,
    all_values,
    duration,
    encode_metrics,
    money,
    value_of,
)
from stream.measures.declare import BaselineSpec, Declarations, Experiment, Goal
from stream.measures.experiments import compare
from stream.measures.lines import shifted, shifts
from stream.measures.wanted import window_config

VIP = '{"segment":"vip"}'
A, B = '{"channel":"web","variant":"A"}', '{"channel":"web","variant":"B"}'
DAY_MS = 86_400_000
PLAIN = Declarations()
ALL = Declarations(metrics=tuple(METRICS))
DOCS = (Path(__file__).parents[2] / "docs" / "rules.md").read_text(encoding="utf-8")


def published(slice_key, sums, declared=PLAIN, controls=None, corrected=None):
    """What a subscriber reads of the sums."""
    values = Shown(declared, 0.95).values(slice_key, sums, controls or {})
    encoded = encode_metrics(slice_key, 1_700_000_000_000, True, values, corrected)
    Metrics.model_validate_json(encoded)
    return json.loads(encoded)


def shown(slice_key, sums, declared=PLAIN, **more):
    """Its values by metric and window."""
    return published(slice_key, sums, declared, **more)["metrics"]


def everything() -> Stats:
    """Sums of which every metric but the drivers has a value."""
    stats: Stats = {
        "nps": [88, 4, 8], "csat": [37, 50], "ces|1|7|+": [2, 80000, 3400000000], "loyalty": [2, 10000, 10**8],
        "engagement": [0, 0, 1, 2, 3], "purchases": [30, 1], "subscribers": [5, 25, 20], "tickets": [9, 1],
        "ended|cart": [5, 2], "ended|queue": [4, 1], "sessions": [8, 3], "acquired": [6], "customers": [70, 1, 0],
    }  # fmt: skip
    for seen in (*duration("resolution_time", 9_000), *duration("waiting_time", 4_000)):
        add(stats, *seen)
    for stem, amount in (("revenue", 12.5), ("cost", 3), ("acquisition_spend", 60)):
        seen = money(stem, amount, "EUR")
        assert seen is not None
        add(stats, *seen)
    add(stats, "value_at_risk", (2,))
    add(stats, "value_at_risk|EUR", (1, 500_000))
    return stats


EVER = {"subscribers": [2505, 2600, 95], "revenue|EUR": [9, 9_000_000, 10**13], "acquired": [6]}


def test_the_contract():
    """A value has slice, time, finality, and per metric and window value, n, interval, confidence, parts."""
    windows = {"1h": {"nps": [88, 4, 8]}, "24h": {"nps": [88, 4, 8], "csat": [37, 50]}, "7d": {}}
    value = published(VIP, windows)
    assert value["slice"] == {"segment": "vip"}
    assert (value["as_of"], value["final"]) == ("2023-11-14T22:13:20Z", True)
    assert {name: list(by_window) for name, by_window in value["metrics"].items()} == {
        "nps": ["1h", "24h"],
        "csat": ["24h"],
    }
    nps = value_of("nps", windows["1h"], 0.95)
    assert value["metrics"]["nps"]["1h"] == {
        "value": 80.0,
        "n": 100,
        "interval": list(nps.interval),
        "confidence": 0.95,
        "parts": {"promoters": 0.88, "passives": 0.04, "detractors": 0.08},
    }
    assert value["metrics"]["csat"]["24h"]["value"] == 74
    assert "corrected_from" not in value


def test_nothing_to_publish():
    """A slice without observations has no metrics, and no zeros."""
    assert encode_metrics("{}", 0, False, Shown(PLAIN, 0.95).values("{}", {"1h": {}})) == (
        b'{"slice":{},"as_of":"1970-01-01T00:00:00Z","final":false,"metrics":{}}'
    )


def test_one_answer_has_no_interval_of_its_mean():
    """A mean of one answer is published with a null interval."""
    [value] = shown(WHOLE, {"1h": {"ces|1|7|+": [1, 40000, 1600000000]}})["ces"].values()
    assert (value["value"], value["interval"]) == (5, None)


def test_every_metric_is_published_where_it_lives():
    """Rolling windows have every metric but those of all time, which have the window ever alone."""
    found = shown(WHOLE, {"1h": everything(), "ever": EVER}, ALL)
    assert set(found) == {name for name, metric in METRICS.items() if metric.family != "explanation"}
    assert {name for name in found if "ever" in found[name]} == {"lifetime_value"}
    assert {name for name in found if "1h" in found[name]} == set(found) - {"lifetime_value"}
    assert found["churn_rate"]["1h"]["value"] == 0.8
    assert found["revenue"]["1h"]["currency"] == "EUR"


@given(st.lists(st.sampled_from([{}, {"nps": [1, 0, 0]}, {"nps": [1, 0, 1]}, {"csat": [1, 2]}]), max_size=6))
def test_each_window_has_the_values_of_its_own_sums(stats):
    """Equal or different, in any order: a window's values are those of its sums alone, and of the stock."""
    sums = {**dict(zip(PLAIN.windows, stats, strict=False)), "ever": EVER}
    found = Shown(PLAIN, 0.95).values(WHOLE, sums)
    for window in PLAIN.windows[: len(stats)]:
        alone = all_values(sums[window], 0.95, EVER, window=window)
        assert {name: found[name][window] for name in found if window in found[name]} == alone


def test_a_metric_that_is_not_wanted_is_not_published():
    """With `metrics` declared, only those."""
    wanted = Declarations(metrics=("csat", "revenue"))
    assert set(shown(WHOLE, {"1h": everything(), "ever": EVER}, wanted)) == {"csat", "revenue"}


def test_late_data_says_from_when_on():
    """A correction names the time from which on published values changed."""
    assert published(WHOLE, {}, corrected=1_699_999_000_000)["corrected_from"] == "2023-11-14T21:56:40Z"


@given(st.dictionaries(st.sampled_from(sorted(everything())), st.booleans()), st.integers(1, 80))
def test_no_value_of_a_slice_rests_on_too_few(kept, least):
    """Whatever the sums: of a slice nothing is shown below the least n, of the whole everything is."""
    stats = {key: vec for key, vec in everything().items() if kept.get(key, True)}
    sums = {"1h": stats, "ever": EVER}
    private = Declarations(metrics=ALL.metrics, min_slice_n=least)
    all_of_it = shown(WHOLE, sums, ALL)
    assert shown(WHOLE, sums, private) == all_of_it
    found = shown(VIP, sums, private)
    enough = {
        name: {window: value for window, value in windows.items() if value["n"] >= least}
        for name, windows in all_of_it.items()
    }
    assert found == {name: windows for name, windows in enough.items() if windows}
    for name in METRICS:
        read = Shown(private, 0.95).reader(VIP, sums, name, 0.95)
        for window in ("1h", "ever"):
            seen = read(window)
            expected = found.get(name, {}).get(window)
            assert (seen is None) == (expected is None or expected["value"] is None)


GOAL = Goal("csat", (("segment", "vip"),), 80, 71, 76, "retail", date(2026, 12, 31))


def test_lines_are_published_with_the_gap():
    """Goal, baseline and benchmark go with every window's value of that slice, above being positive."""
    sums = {"1h": {"csat": [37, 50]}, "24h": {"csat": [41, 50]}}
    declared = Declarations(goals=(GOAL,))
    found = shown(VIP, sums, declared)["csat"]
    assert found["1h"]["goal"] == {"value": 80.0, "gap": -6.0, "owner": "retail", "by": "2026-12-31"}
    assert found["1h"]["baseline"] == {"value": 71.0, "gap": 3.0, "owner": "retail"}
    assert found["1h"]["benchmark"] == {"value": 76.0, "gap": -2.0, "owner": "retail", "by": "2026-12-31"}
    assert found["24h"]["goal"]["gap"] == 2
    assert "goal" not in shown(WHOLE, sums, declared)["csat"]["1h"]


def test_a_baseline_may_be_another_window_of_now():
    """The other window's value and n are the line; a window is no baseline of itself."""
    sums = {"1h": {"csat": [37, 50]}, "24h": {"csat": [71, 100]}}
    declared = Declarations(goals=(Goal("csat", baseline=BaselineSpec(window="24h")),))
    found = shown(WHOLE, sums, declared)["csat"]
    assert found["1h"]["baseline"] == {"value": 71.0, "gap": 3.0, "window": "24h", "n": 100}
    assert "baseline" not in found["24h"]


def test_a_baseline_may_be_the_same_window_of_earlier():
    """The shifted window's value is the line, and the shifted window itself is not published."""
    sums = {"1h": {"csat": [37, 50]}, "1h@7d,14d": {"csat": [71, 100]}, "5m": {"csat": [1, 2]}}
    goal = Goal("csat", baseline=BaselineSpec(ago_ms=7 * DAY_MS, weeks=2))
    found = shown(WHOLE, sums, Declarations(goals=(goal,)))["csat"]
    assert found["1h"]["baseline"] == {"value": 71.0, "gap": 3.0, "window": "1h@7d,14d", "n": 100}
    assert found["5m"]["baseline"]["window"] == "1h@7d,14d"
    assert set(found) == {"5m", "1h"}
    del sums["1h@7d,14d"]
    assert "baseline" not in shown(WHOLE, sums, Declarations(goals=(goal,)))["csat"]["1h"]


def test_a_baseline_of_another_sort_is_none():
    """Amounts in another currency, effort on another scale, or too few of them are nothing to compare with."""
    ago = BaselineSpec(ago_ms=7 * DAY_MS)
    cases = [
        ("revenue", {"revenue|EUR": [9, 90, 900]}, {"revenue|USD": [9, 90, 900]}),
        ("ces", {"ces|1|7|+": [9, 90, 900]}, {"ces|1|5|+": [9, 90, 900]}),
        ("csat", {"csat": [9, 9]}, {"csat": [4, 4]}),
    ]
    for metric, now, was in cases:
        goal = Goal(metric, GOAL.where, baseline=ago)
        declared = Declarations(goals=(goal,), min_slice_n=5)
        assert "baseline" not in shown(VIP, {"1h": now, "1h@7d": was}, declared)[metric]["1h"]
        assert "baseline" in shown(VIP, {"1h": now, "1h@7d": now}, declared)[metric]["1h"]


@pytest.mark.parametrize(
    ("metric", "window", "spec", "name"),
    [
        ("csat", "1h", BaselineSpec(ago_ms=7 * DAY_MS), "1h@7d"),
        ("csat", "24h", BaselineSpec(ago_ms=36 * 3_600_000), "24h@36h"),
        ("csat", "7d", BaselineSpec(ago_ms=7 * DAY_MS, weeks=3), "7d@7d,14d,21d"),
        ("csat", "5m", BaselineSpec(ago_ms=7 * DAY_MS), "1h@7d"),
        ("revenue", "5m", BaselineSpec(ago_ms=7 * DAY_MS), None),
        ("csat", "90m", BaselineSpec(ago_ms=7 * DAY_MS), None),
        ("csat", "30d", BaselineSpec(ago_ms=7 * DAY_MS), None),
        ("csat", "90d", BaselineSpec(ago_ms=91 * DAY_MS), "90d@91d"),
        ("csat", "90d", BaselineSpec(ago_ms=91 * DAY_MS + 3_600_000), None),
        ("csat", "ever", BaselineSpec(ago_ms=7 * DAY_MS), None),
        ("csat", "1h", BaselineSpec(window="7d"), None),
    ],
)
def test_which_earlier_window_a_window_is_compared_with(metric, window, spec, name):
    """The same one, or the whole hour for shorter ones; none that overlaps or is of another length."""
    assert shifted(window, spec, metric) == name


def test_the_windows_that_are_kept_are_those_that_are_asked_for():
    """Rolling windows, shifted ones of the goals' slices, stocks since the beginning, and experiments."""
    declared = Declarations(
        metrics=("csat", "churn_rate", "lifetime_value", "waiting_time"),
        windows=("5m", "1h", "7d"),
        goals=(
            Goal("csat", GOAL.where, baseline=BaselineSpec(ago_ms=7 * DAY_MS)),
            Goal("csat", baseline=BaselineSpec(ago_ms=7 * DAY_MS)),
        ),
        experiments=(Experiment("trial", ("csat",), "A", (("channel", "web"),), 5, 9),),
    )
    assert shifts(declared.goals, declared.windows) == {"1h@7d": (VIP, "{}"), "7d@7d": (VIP, "{}")}
    config = window_config(declared, 10_000)
    assert [window.name for window in config.windows] == ["5m", "1h", "7d", "1h@7d", "7d@7d"]
    assert [window.only for window in config.windows][2:4] == [(), (VIP, "{}")]
    assert config.ever == ("acquired", "revenue", "subscribers")
    [span] = config.spans
    assert (span.name, span.since_ms, span.until_ms, span.stems) == ("trial", 5, 9, ("csat",))
    assert span.covers(A)
    assert not span.covers(VIP)
    assert config.published == ("5m", "1h", "7d", "ever", "trial")
    assert config.customers == 0
    assert window_config(ALL, 10_000).customers > 0
    assert window_config(PLAIN, 10_000).customers == 0


TRIAL = Experiment("trial", ("csat",), "A", (("channel", "web"),), confidence=0.9)


def test_a_variant_is_published_beside_its_control():
    """In the experiment's window a variant has its value and how it differs; the control its value alone."""
    control, variant = {"csat": [400, 500]}, {"csat": [450, 500]}
    declared = Declarations(experiments=(TRIAL,))
    found = shown(B, {"trial": variant, "1h": variant}, declared, controls={"trial": control})["csat"]
    versus = compare("csat", control, variant, 0.9, "A")
    assert versus is not None
    assert versus.interval is not None
    assert found["trial"]["versus"] == {
        "variant": "A", "difference": 10.0, "interval": list(versus.interval), "evidence": "anytime",
    }  # fmt: skip
    assert found["trial"]["confidence"] == 0.9
    assert "versus" not in found["1h"]
    assert (
        "versus" not in shown(A, {"trial": control}, declared, controls={"trial": control})["csat"]["trial"]
    )
    for elsewhere in (WHOLE, VIP, '{"variant":"B"}'):
        assert shown(elsewhere, {"trial": variant}, declared) == {}


def test_a_control_on_too_few_is_not_given_away_by_the_difference():
    """Neither a variant below the least n nor the difference to such a control is shown."""
    declared = Declarations(experiments=(TRIAL,), min_slice_n=60)
    few, many = {"csat": [50, 59]}, {"csat": [50, 60]}
    assert shown(B, {"trial": few}, declared, controls={"trial": many}) == {}
    assert "versus" not in shown(B, {"trial": many}, declared, controls={"trial": few})["csat"]["trial"]
    assert "versus" in shown(B, {"trial": many}, declared, controls={"trial": many})["csat"]["trial"]


def _rounded(value):
    if isinstance(value, dict):
        return {key: _rounded(each) for key, each in value.items()}
    if isinstance(value, list):
        return [_rounded(each) for each in value]
    return round(value, 3 if abs(value) < 1 else 1) if isinstance(value, float) else value


def test_the_examples_of_the_rules_page_are_what_is_published():
    """The two values shown on the page are those of these sums."""
    goal, versus = [
        json.loads(text) for text in re.findall(r"^```json\n(.*?)^```", DOCS, re.MULTILINE | re.DOTALL)
    ]
    by = Goal(
        "csat", goal=80, baseline=BaselineSpec(ago_ms=7 * DAY_MS), owner="retail", by=date(2026, 12, 31)
    )
    sums = {"1h": {"csat": [37, 50]}, "1h@7d": {"csat": [32, 44]}}
    assert _rounded(shown(WHOLE, sums, Declarations(goals=(by,)))["csat"]["1h"]) == goal
    trial = Experiment("new_checkout", ("csat",), "A", (("channel", "web"),))
    found = shown(
        B,
        {"new_checkout": {"csat": [662, 812]}},
        Declarations(experiments=(trial,)),
        controls={"new_checkout": {"csat": [619, 800]}},
    )
    assert _rounded(found["csat"]["new_checkout"]) == versus
