"""What holds after whatever happened: state as computed offline, alerts by their ids."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from stream import topics
from stream.customers import decode, stamp_of
from tests.e2e import offline
from tests.e2e.harness import Deployment
from tests.e2e.records import value
from tests.e2e.traffic import LATE_HORIZON_MS, LATENESS_MS

if TYPE_CHECKING:
    from collections.abc import Iterable

    from confluent_kafka import Message

#: Of ``traffic.RULES``.
GROUPINGS = [("segment",), ("touchpoint", "channel"), ("channel",), ("segment", "channel")]


#: What is computed offline; of the others the tests compare one run with another.
COMPUTED = ("nps", "csat", "ces", "revenue")


def customers_of(messages: Iterable[Message]) -> dict[str, dict[str, Any]]:
    """The customers table, from its changelog."""
    newest: dict[str, bytes] = {}
    for message in messages:
        key, held = (message.key() or b"").decode(), value(message)
        if key not in newest or stamp_of(held) >= stamp_of(newest[key]):
            newest[key] = held
    found = {}
    names = (
        "events", "replies", "first_ms", "last_ms", "purchases", "first_purchase_ms", "last_purchase_ms",
        "tickets_opened", "tickets_resolved", "tickets_reopened", "stamp_t", "stamp_r", "spend", "segment",
    )  # fmt: skip
    for key, held in newest.items():
        customer = decode(held)
        figures = {name: getattr(customer, name) for name in names}
        figures["scores"] = {metric: (score[0], score[2]) for metric, score in customer.scores.items()}
        figures["open"] = {ticket[0] for ticket in customer.tickets if ticket[3] & 8}
        found[key] = figures
    return found


def same(what: str, got: dict[str, Any], want: dict[str, Any]) -> None:
    """Fail with the first keys at which two mappings differ, and both values."""
    keys = [key for key in sorted(got.keys() | want.keys()) if got.get(key) != want.get(key)]
    if keys:
        lines = [f"{key}:\n  got  {got.get(key)}\n  want {want.get(key)}" for key in keys[:5]]
        pytest.fail(f"{what}: {len(keys)} of {len(want)} differ\n" + "\n".join(lines))


def by_id(alerts: list[bytes]) -> dict[str, set[bytes]]:
    """Alert id -> the values it was published with."""
    found: dict[str, set[bytes]] = {}
    for alert in alerts:
        found.setdefault(json.loads(alert)["id"], set()).add(alert)
    return found


def plain(slices: dict[str, dict[str, Any]]) -> dict[str, Any]:
    """Metrics by slice, metric and window: what can be counted, the floats rounded."""
    return {
        f"{slice_key} {metric} {window}": (
            figures["n"],
            None if figures["value"] is None else round(figures["value"], 6),
            {name: round(part, 6) for name, part in figures["parts"].items()},
        )
        for slice_key, metrics in slices.items()
        for metric, windows in metrics.items()
        for window, figures in windows.items()
    }


def check_state(deployment: Deployment) -> None:
    """Tables, metrics and dead letters are what an offline computation over the inputs says."""
    messages = [m for topic in topics.INPUTS for m in deployment.read(topic)]
    records = offline.frame(messages, LATENESS_MS, LATE_HORIZON_MS)
    counts = dict(records["verdict"].value_counts().iter_rows())
    assert min(counts[name] for name in ("applied", "duplicate", "late", "deadletter")) > 20, counts

    found = customers_of(deployment.read(deployment.changelog(topics.CUSTOMERS_TABLE)))
    same("customers", found, offline.customers(records))

    got = plain(
        {
            slice_key: {
                metric: windows for metric, windows in record["metrics"].items() if metric in COMPUTED
            }
            for slice_key, record in deployment.final_metrics().items()
        }
    )
    same("metrics", got, plain(offline.metrics(records, offline.frontier(records), GROUPINGS)))

    refused = records.filter(records["verdict"].is_in(["late", "deadletter"]))
    wanted = set(refused.select("topic", "partition", "offset").iter_rows())
    dead = set()
    for message in deployment.read(topics.DEADLETTERS):
        headers = {name: held.decode() for name, held in message.headers() or [] if name != "truth"}
        dead.add((headers["topic"], int(headers["partition"]), int(headers["offset"])))
    assert dead == wanted
