"""The exposition text: names by the conventions, values as reported, nothing personal."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from prometheus_client import CollectorRegistry, Gauge, generate_latest
from prometheus_client.parser import text_string_to_metric_families

from stream.serving import Telemetry, Verdict
from stream.serving.business import slice_label

if TYPE_CHECKING:
    from prometheus_client.metrics_core import Metric


@dataclass(frozen=True)
class Gap:
    """A line as `Telemetry.values` reads it."""

    gap: float


@dataclass(frozen=True)
class Figure:
    """A metric's value as `Telemetry.values` reads it."""

    value: float | None
    n: int
    interval: tuple[float, float] | None
    goal: Gap | None = None
    baseline: Gap | None = None
    benchmark: Gap | None = None


def samples(telemetry: Telemetry) -> dict[tuple[str, tuple[tuple[str, str], ...]], float]:
    """Every exported series; fails when one appears twice."""
    found: dict[tuple[str, tuple[tuple[str, str], ...]], float] = {}
    for family in text_string_to_metric_families(telemetry.render().decode()):
        for sample in family.samples:
            key = (sample.name, tuple(sorted(sample.labels.items())))
            assert key not in found, "a series appears twice"
            found[key] = sample.value
    return found


def everything() -> Telemetry:
    """A telemetry to which everything happened once."""
    telemetry = Telemetry()
    telemetry.records("cx.replies", Verdict.APPLIED, 5)
    telemetry.records("cx.replies", Verdict.APPLIED, 2)
    telemetry.deadletter("not_json", 3)
    telemetry.misrouted("cx.replies")
    telemetry.batch("cx.replies", 100, 0.012)
    telemetry.inflight(42)
    telemetry.level("cx_partition_lag", {("cx.replies", "3"): 17, ("cx.replies", "4"): 0})
    telemetry.level("cx_watermark_delay_seconds", {("cx.replies", "3"): 10.5})
    telemetry.record_age("cx.replies", 0.25)
    telemetry.event_age("cx.replies", 2.5)
    telemetry.rebalanced()
    telemetry.delivered("care/webhook", "delivered", 2)
    telemetry.delivered("care/webhook", "refused")
    telemetry.delivery_seconds("care/webhook", 0.2)
    telemetry.delivery_taken("routed")
    telemetry.commit_age(1.5)
    telemetry.committed(4)
    telemetry.recovered("customers", 1_000, 0.5)
    telemetry.other_members("segment", 2)
    telemetry.unpaired("never_opened", 4)
    telemetry.decision("not_enough_replies", 9)
    telemetry.alert("NpsLow", "firing")
    telemetry.values(0, '{"segment":"vip"}', {"nps": {"1h": Figure(12.5, 240, (4.1, 20.9))}})
    telemetry.readmodel_error("connection")
    telemetry.readmodel_written("metrics", 3)
    telemetry.readmodel_up(up=True)
    return telemetry


def test_what_happened_is_what_is_exported() -> None:
    """Every method shows under its name and labels."""
    found = samples(everything())
    on_three = (("partition", "3"), ("topic", "cx.replies"))
    vip = (("metric", "nps"), ("slice", "segment=vip"), ("window", "1h"))
    expected = {
        ("cx_records_total", (("topic", "cx.replies"), ("verdict", "applied"))): 7,
        ("cx_deadletters_total", (("reason", "not_json"),)): 3,
        ("cx_misrouted_records_total", (("topic", "cx.replies"),)): 1,
        ("cx_batch_records_sum", (("topic", "cx.replies"),)): 100,
        ("cx_batch_seconds_count", (("topic", "cx.replies"),)): 1,
        ("cx_inflight_records", ()): 42,
        ("cx_partition_lag", on_three): 17,
        ("cx_watermark_delay_seconds", on_three): 10.5,
        ("cx_record_age_seconds_sum", (("topic", "cx.replies"),)): 0.25,
        ("cx_event_age_seconds_sum", (("topic", "cx.replies"),)): 2.5,
        ("cx_rebalances_total", ()): 1,
        ("cx_deliveries_total", (("outcome", "refused"), ("receiver", "care/webhook"))): 1,
        ("cx_delivery_seconds_count", (("receiver", "care/webhook"),)): 1,
        ("cx_commit_age_seconds", ()): 1.5,
        ("cx_commits_total", ()): 4,
        ("cx_recovery_records_total", (("table", "customers"),)): 1_000,
        ("cx_recovery_seconds", (("table", "customers"),)): 0.5,
        ("cx_other_members_total", (("grouping", "segment"),)): 2,
        ("cx_unpaired_total", (("reason", "never_opened"),)): 4,
        ("cx_alert_decisions_total", (("reason", "not_enough_replies"),)): 9,
        ("cx_alerts_total", (("alert", "NpsLow"), ("state", "firing"))): 1,
        ("cx_metric_value", vip): 12.5,
        ("cx_metric_replies", vip): 240,
        ("cx_metric_interval_lower", vip): 4.1,
        ("cx_metric_interval_upper", vip): 20.9,
        ("cx_metric_slices_omitted", ()): 0,
        ("cx_readmodel_errors_total", (("reason", "connection"),)): 1,
        ("cx_readmodel_writes_total", (("kind", "metrics"),)): 3,
        ("cx_readmodel_up", ()): 1,
    }
    assert expected.items() <= found.items()
    assert any(name == "cx_build_info" for name, _ in found)


def test_counters_begin_at_zero_where_their_labels_are_known() -> None:
    """The first record refused is an increase that Prometheus can see."""
    found = samples(Telemetry())
    for name, labels in (
        ("cx_deadletters_total", {"reason": "too_late"}),
        ("cx_records_total", {"topic": "cx.replies", "verdict": "deadletter"}),
        ("cx_misrouted_records_total", {"topic": "cx.touchpoints"}),
        ("cx_feed_records_total", {"topic": "cx.rules", "verdict": "refused"}),
        ("cx_readmodel_errors_total", {"reason": "overflow"}),
    ):
        assert found[name, tuple(sorted(labels.items()))] == 0, name


def test_names_follow_the_conventions() -> None:
    """cx_ or process_ prefix, counters end in _total, no _created series, help on every family."""
    for family in text_string_to_metric_families(everything().render().decode()):
        assert re.fullmatch(r"(cx|process)_[a-z_]+", family.name)
        assert family.documentation
        for sample in family.samples:
            assert not sample.name.endswith("_created")
            if family.type == "counter":
                assert sample.name.endswith("_total")
            assert "customer" not in sample.labels


def test_two_telemetries_share_nothing() -> None:
    """Registries are private: two workers in one process do not mix."""
    one, two = Telemetry(), Telemetry()
    one.inflight(5)
    assert samples(two)["cx_inflight_records", ()] == 0


def test_gauges_of_a_lost_partition_disappear() -> None:
    """What went to another worker is not reported here any more, counters stay."""
    telemetry = everything()
    telemetry.values(1, '{"segment":"basic"}', {"nps": {"1h": Figure(1, 2, None)}})
    telemetry.level("cx_partition_lag", {("cx.replies", "4"): 1})
    telemetry.level("cx_watermark_delay_seconds", {})
    telemetry.owner_lost(0)
    found = samples(telemetry)
    assert not [key for key in found if ("partition", "3") in key[1]]
    assert {dict(labels)["slice"] for name, labels in found if name == "cx_metric_value"} == {"segment=basic"}
    assert found["cx_records_total", (("topic", "cx.replies"), ("verdict", "applied"))] == 7


def test_a_level_has_the_labels_of_its_family() -> None:
    """Whoever looks at something else than the family says is told so, not Prometheus."""
    telemetry = Telemetry()
    with pytest.raises(
        ValueError, match=r"cx_partition_lag: 1 values for the labels \('topic', 'partition'\)"
    ):
        telemetry.level("cx_partition_lag", {("cx.replies",): 1})
    with pytest.raises(KeyError):
        telemetry.level("cx_unheard_of", {})


def test_a_slice_without_values_disappears() -> None:
    """New values replace all earlier ones of the slice, none remove it."""
    telemetry = Telemetry()
    telemetry.values(0, "{}", {"nps": {"5m": Figure(1, 2, None), "1h": Figure(3, 4, None)}})
    telemetry.render()
    telemetry.values(0, "{}", {"nps": {"1h": Figure(5, 6, None)}})
    found = {key: value for key, value in samples(telemetry).items() if key[0] == "cx_metric_value"}
    assert list(found.values()) == [5]
    telemetry.values(0, "{}", {"ces": {"1h": Figure(None, 3, None)}})
    assert not [key for key in samples(telemetry) if key[0] == "cx_metric_value"]
    telemetry.values(0, "{}", {})
    assert not [key for key in samples(telemetry) if key[0] == "cx_metric_value"]


def test_gaps_to_declared_lines_are_exported() -> None:
    """Each line that a value is held against is a series of its own."""
    telemetry = Telemetry()
    vip = Figure(74, 50, None, goal=Gap(-6.0), baseline=Gap(3.0))
    telemetry.values(0, '{"segment":"vip"}', {"csat": {"1h": vip, "24h": Figure(74, 50, None)}})
    found = {dict(labels)["line"]: value for (name, labels), value in samples(telemetry).items()
             if name == "cx_metric_gap" and ("slice", "segment=vip") in labels}  # fmt: skip
    assert found == {"goal": -6, "baseline": 3}


def test_slices_beyond_the_cap_are_counted_and_the_whole_is_always_there() -> None:
    """The number of series is bounded by configuration."""
    telemetry = Telemetry(max_slices=10)
    for number in range(15):
        telemetry.values(0, json.dumps({"product": str(number)}), {"nps": {"1h": Figure(1, 2, None)}})
    telemetry.values(0, "{}", {"nps": {"1h": Figure(1, 2, None)}})
    found = samples(telemetry)
    shown = {dict(labels)["slice"] for name, labels in found if name == "cx_metric_value"}
    assert len(shown) == 11
    assert "all" in shown
    assert found["cx_metric_slices_omitted", ()] == 5
    telemetry.owner_lost(0)
    assert samples(telemetry)["cx_metric_slices_omitted", ()] == 0


members = st.dictionaries(st.sampled_from(["segment", "stage", "channel"]), st.text(max_size=8), max_size=3)


@given(members, members)
def test_different_slices_have_different_labels(one: dict[str, str], two: dict[str, str]) -> None:
    """A label stands for one slice only, whatever its members are called; it survives the text format."""
    keys = [json.dumps(each, sort_keys=True, ensure_ascii=False) for each in (one, two)]
    labels = [slice_label(key) for key in keys]
    assert (labels[0] == labels[1]) == (one == two)
    telemetry = Telemetry()
    for key in keys:
        telemetry.values(0, key, {"nps": {"1h": Figure(1, 2, None)}})
    text = b"".join(telemetry.business.parts()).decode()
    values = [line for line in text.split("\n") if line.startswith("cx_metric_value{")]
    assert len(values) == len({*labels})


numbers = st.floats(allow_infinity=False, allow_subnormal=True)
figures = st.builds(
    Figure,
    st.none() | numbers,
    st.integers(0, 2**53),
    st.none() | st.tuples(numbers, numbers),
    *(st.none() | st.builds(Gap, numbers) for _ in range(3)),
)
#: Names as nobody should choose them: with quotes, backslashes, line ends, and what templates use inside.
wild = st.text(st.sampled_from('a"\\\n\r\0\1#%bs{},= é漢\U0001f600'), max_size=6) | st.text(max_size=6)
windows_of = st.dictionaries(wild.map(lambda name: name.replace("\0", "")), figures, min_size=1, max_size=3)
metrics_of = st.dictionaries(st.sampled_from(["nps", "csat", "100%b"]), windows_of, min_size=1, max_size=3)
members_of = st.dictionaries(st.sampled_from(["segment", "stage"]), wild, max_size=2)
slice_keys = members_of.map(lambda its: json.dumps(its, sort_keys=True))
contents = st.dictionaries(slice_keys, metrics_of, max_size=4)


def by_client(slices: dict[str, dict[str, dict[str, Figure]]]) -> bytes:
    """The same values, told to prometheus_client."""
    registry = CollectorRegistry()
    names = ("metric", "window", "slice")
    value_of = Gauge("cx_metric_value", "v", names, registry=registry)
    n_of = Gauge("cx_metric_replies", "n", names, registry=registry)
    lower = Gauge("cx_metric_interval_lower", "l", names, registry=registry)
    upper = Gauge("cx_metric_interval_upper", "u", names, registry=registry)
    gap = Gauge("cx_metric_gap", "g", (*names, "line"), registry=registry)
    omitted = Gauge("cx_metric_slices_omitted", "o", registry=registry)
    omitted.set(0)
    for key, metrics in slices.items():
        for metric, windows in metrics.items():
            for window, each in windows.items():
                labels = (metric, window, slice_label(key))
                if each.value is not None:
                    value_of.labels(*labels).set(each.value)
                n_of.labels(*labels).set(each.n)
                if each.interval is not None:
                    lower.labels(*labels).set(each.interval[0])
                    upper.labels(*labels).set(each.interval[1])
                for line in ("goal", "baseline", "benchmark"):
                    if (held := getattr(each, line)) is not None:
                        gap.labels(*labels, line).set(held.gap)
    return generate_latest(registry)


class Parsed:
    """A text read back by prometheus_client's parser, to be rendered by it again; without the help texts."""

    def __init__(self, text: bytes) -> None:
        self._families = list(text_string_to_metric_families(text.decode()))
        for family in self._families:
            family.documentation = ""

    def collect(self) -> list[Metric]:
        """The families."""
        return self._families


@settings(max_examples=50)
@given(contents)
def test_the_text_says_what_prometheus_client_would(slices: dict[str, dict[str, dict[str, Figure]]]) -> None:
    """Same families, types, series in the same order, labels and figures to the last bit, whatever names are."""
    telemetry = Telemetry()
    for key, values in slices.items():
        telemetry.values(0, key, {metric: dict(windows) for metric, windows in values.items()})
    ours = b"".join(telemetry.business.parts())
    assert generate_latest(Parsed(ours)) == generate_latest(Parsed(by_client(slices)))


def test_slices_with_other_windows_do_not_mix() -> None:
    """What is there of each value decides its series, however many slices there are and whatever they share."""
    full, bare = Figure(1.5, 2, (0.25, 2.75)), Figure(None, 3, None)
    slices = {
        json.dumps({"product": str(number)}): {
            "nps": {"1h": full if number % 2 else bare, "24h": full if number % 3 else bare},
            "csat": dict.fromkeys(("1h", "7d")[: 1 + number % 2], full),
        }
        for number in range(600)  # more than are put together at once
    }
    telemetry = Telemetry(max_slices=2_000)
    for key, values in slices.items():
        telemetry.values(0, key, values)
    ours = b"".join(telemetry.business.parts())
    assert generate_latest(Parsed(ours)) == generate_latest(Parsed(by_client(slices)))


def test_what_is_no_finite_number_is_nan() -> None:
    """As on cx.metrics, where JSON has none; the other figures stay in their places."""
    telemetry = Telemetry()
    telemetry.values(0, "{}", {"nps": {"1h": Figure(float("inf"), 2, (float("-inf"), 1.5))}})
    names = '{metric="nps",window="1h",slice="all"}'
    lines = b"".join(telemetry.business.parts()).decode().splitlines()
    assert [line for line in lines if names in line] == [
        f"cx_metric_value{names} NaN",
        f"cx_metric_replies{names} 2",
        f"cx_metric_interval_lower{names} NaN",
        f"cx_metric_interval_upper{names} 1.5",
    ]


def test_hooks_run_before_a_scrape_and_a_broken_one_spoils_nothing() -> None:
    """Ages and lags are fresh at each scrape."""
    telemetry = Telemetry()

    def broken() -> None:
        raise RuntimeError

    telemetry.on_scrape(broken)
    telemetry.on_scrape(lambda: telemetry.commit_age(7))
    assert samples(telemetry)["cx_commit_age_seconds", ()] == 7
