"""The published form of values."""

from __future__ import annotations

import json

from stream.measures import encode_metrics, metric_values, value_of


def metrics_value(slice_key, as_of_ms, final, windows, confidence):
    """What a subscriber reads of the sums."""
    return json.loads(encode_metrics(slice_key, as_of_ms, final, metric_values(windows, confidence)))


def test_the_contract():
    """A value has slice, time, finality, and per metric and window value, n, interval, confidence, parts."""
    windows = {"1h": {"nps": [88, 4, 8]}, "24h": {"nps": [88, 4, 8], "csat": [37, 50]}, "7d": {}}
    value = metrics_value('{"segment":"vip"}', 1_700_000_000_000, True, windows, 0.95)
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


def test_nothing_to_publish():
    """A slice without observations has no metrics, and no zeros."""
    assert metrics_value("{}", 0, False, {"1h": {}}, 0.95) == {
        "slice": {},
        "as_of": "1970-01-01T00:00:00Z",
        "final": False,
        "metrics": {},
    }


def test_one_answer_has_no_interval_of_its_mean():
    """A mean of one answer is published with a null interval."""
    value = metrics_value("{}", 0, True, {"1h": {"ces|1|7|+": [1, 40000, 1600000000]}}, 0.95)
    assert value["metrics"]["ces"]["1h"]["interval"] is None
    assert value["metrics"]["ces"]["1h"]["value"] == 5
