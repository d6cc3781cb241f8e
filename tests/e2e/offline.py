"""What the tables and metrics must be, computed from the input topics with polars and from nothing else.

Written from the definitions, and sharing no code with the program:

- A source is one partition of an input topic. Its watermark is its newest event time less the lateness.
- A record is too late when its event time is further than the late horizon behind the watermark of the
  records before it; of an event id that a customer's source has had before, the record is a duplicate.
- A reply's pane is its event time divided by the pane's length. It becomes known at the closing of its own
  pane, or, when the watermark has passed that already, of the pane that the watermark is in.
- At the end every source is idle, and all panes are final, up to that of the newest event.
- A window of length L over panes of length g, at the instant T, reaches back from T to ceil(T/g)*g - L.
"""

from __future__ import annotations

import json
from datetime import datetime
from typing import TYPE_CHECKING, Any

import polars as pl

from stream.topics import INPUTS

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from confluent_kafka import Message

PANE_MS = 10_000
MINUTE_MS = 60_000
HOUR_MS = 60 * MINUTE_MS
WINDOWS = {
    "5m": (5 * MINUTE_MS, PANE_MS),
    "1h": (HOUR_MS, PANE_MS),
    "24h": (24 * HOUR_MS, 5 * MINUTE_MS),
    "7d": (7 * 24 * HOUR_MS, HOUR_MS),
    "30d": (30 * 24 * HOUR_MS, HOUR_MS),
    "90d": (90 * 24 * HOUR_MS, 6 * HOUR_MS),
}
SCALES = {"nps": (0, 10), "csat": (1, 5), "ces": (1, 7)}
SCHEMA = {
    "topic": pl.String,
    "partition": pl.Int64,
    "offset": pl.Int64,
    "truth": pl.String,
    "event_id": pl.String,
    "customer": pl.String,
    "time": pl.Int64,
    "metric": pl.String,
    "kind": pl.String,
    "segment": pl.String,
    "touchpoint": pl.String,
    "channel": pl.String,
    "ref": pl.String,
    "currency": pl.String,
    "value": pl.Float64,
    "score": pl.Float64,
    "low": pl.Float64,
    "high": pl.Float64,
    "upwards": pl.Boolean,
}


def _row(message: Message) -> dict[str, Any]:
    truth = dict(message.headers() or [])["truth"].decode()
    row: dict[str, Any] = {
        "topic": message.topic(),
        "partition": message.partition(),
        "offset": message.offset(),
        "truth": truth,
    }
    if truth == "bad":
        return row
    event = json.loads(message.value() or b"")
    at = event["occurred_at"]
    if isinstance(at, str):
        at = round(datetime.fromisoformat(at).timestamp() * 1000)
    row |= {name: event.get(name) for name in ("metric", "kind", "segment", "touchpoint", "channel", "ref")}
    row |= {"event_id": event["event_id"], "customer": event["customer_id"], "time": at}
    row |= {"value": event.get("value"), "currency": event.get("currency")}
    if event.get("metric"):
        low, high = event.get("scale", SCALES[event["metric"]])
        row |= {"score": event["score"], "low": low, "high": high}
        row["upwards"] = event.get("higher_is_better", True)
    return row


def frame(messages: Iterable[Message], lateness_ms: int, late_horizon_ms: int) -> pl.DataFrame:
    """One row a record, with its ``verdict`` and, where it was applied, ``pane`` and ``known``."""
    source = ["topic", "partition"]
    records = pl.DataFrame([_row(m) for m in messages], schema=SCHEMA, orient="row").sort(*source, "offset")
    bad = records.filter(pl.col("truth") == "bad").with_columns(verdict=pl.lit("deadletter"))
    # A record that is too late is behind the newest, and a repeated one was counted: neither moves it.
    good = records.filter(pl.col("truth") != "bad").with_columns(
        watermark=pl.col("time").cum_max().shift(1).over(source) - lateness_ms
    )
    too_late = pl.col("time") < (pl.col("watermark") - late_horizon_ms).fill_null(0)
    late = good.filter(too_late).with_columns(verdict=pl.lit("late"))
    taken = good.filter(~too_late)
    first = pl.struct("customer", "event_id").is_first_distinct().over(source)
    taken = taken.with_columns(verdict=pl.when(first).then(pl.lit("applied")).otherwise(pl.lit("duplicate")))
    taken = taken.with_columns(pane=pl.col("time") // PANE_MS)
    closed = (pl.col("watermark").fill_null(0) // PANE_MS).clip(lower_bound=0)
    taken = taken.with_columns(known=pl.max_horizontal("pane", closed))
    return pl.concat([bad, late, taken], how="diagonal").sort(*source, "offset")


def frontier(records: pl.DataFrame) -> int:
    """How many panes are final when every source has become idle."""
    newest = records.filter(pl.col("verdict") == "applied")["time"].max()
    assert isinstance(newest, int)
    return newest // PANE_MS + 1


Figures = dict[str, Any]


def metrics(
    records: pl.DataFrame, instant: int, groupings: Iterable[tuple[str, ...]]
) -> dict[str, dict[str, dict[str, Figures]]]:
    """Slice key -> metric -> window -> ``value``, ``n`` and ``parts``, at an instant (a number of panes)."""
    applied = records.filter((pl.col("verdict") == "applied") & (pl.col("known") < instant))
    end_ms = instant * PANE_MS
    found: dict[str, dict[str, dict[str, Figures]]] = {}
    for window, (length_ms, tier_ms) in WINDOWS.items():
        begin_ms = -(-end_ms // tier_ms) * tier_ms - length_ms
        inside = applied.filter((pl.col("pane") * PANE_MS >= begin_ms) & (pl.col("pane") * PANE_MS < end_ms))
        for grouping in [(), *groupings]:
            names = sorted(grouping)
            members = inside.drop_nulls(names) if names else inside
            for values, rows in members.group_by(names) if names else [((), members)]:
                member = dict(zip(names, values, strict=True))
                key = json.dumps(member, separators=(",", ":"), ensure_ascii=False)
                for metric, figures in _figures(rows):
                    found.setdefault(key, {}).setdefault(metric, {})[window] = figures
    return found


def _figures(rows: pl.DataFrame) -> Iterator[tuple[str, Figures]]:
    """Metrics of some applied records."""
    for (metric,), replies in rows.drop_nulls("metric").group_by(["metric"]):
        yield str(metric), _VALUES[str(metric)](replies)
    purchases = rows.filter(pl.col("kind") == "purchase")
    if not purchases.is_empty():
        yield "revenue", _revenue(purchases)


def _nps(rows: pl.DataFrame) -> Figures:
    n = rows.height
    promoters = rows.filter(pl.col("score") >= 9).height
    detractors = rows.filter(pl.col("score") <= 6).height
    parts = {
        "promoters": promoters / n,
        "passives": (n - promoters - detractors) / n,
        "detractors": detractors / n,
    }
    return {"value": 100 * (promoters - detractors) / n, "n": n, "parts": parts}


def _csat(rows: pl.DataFrame) -> Figures:
    ten = pl.col("high") == 10
    satisfied = rows.filter((ten & (pl.col("score") >= 8)) | (~ten & (pl.col("score") >= 4))).height
    n = rows.height
    return {"value": 100 * satisfied / n, "n": n, "parts": {"satisfied": satisfied / n}}


def _ces(rows: pl.DataFrame) -> Figures:
    place = 100 * (pl.col("score") - pl.col("low")) / (pl.col("high") - pl.col("low"))
    effortless = rows.select(pl.when("upwards").then(place).otherwise(100 - place)).to_series().mean()
    one_scale = rows.select("low", "high", "upwards").unique().height == 1
    return {
        "value": rows["score"].mean() if one_scale else None,
        "n": rows.height,
        "parts": {"normalised": effortless},
    }


def _revenue(rows: pl.DataFrame) -> Figures:
    sums = dict(rows.group_by("currency").agg(pl.col("value").sum()).iter_rows())
    total = next(iter(sums.values())) if len(sums) == 1 else None
    parts = sums if total is None else {"mean": total / rows.height}
    return {"value": total, "n": rows.height, "parts": parts}


_VALUES = {"nps": _nps, "csat": _csat, "ces": _ces}


def customers(records: pl.DataFrame) -> dict[str, Figures]:
    """Customer -> what the table must say of it."""
    applied = records.filter(pl.col("verdict") == "applied")
    touchpoints, replies = INPUTS
    plain = applied.group_by("customer").agg(
        events=pl.len(),
        replies=pl.col("metric").is_not_null().sum(),
        first_ms=pl.col("time").min(),
        last_ms=pl.col("time").max(),
        purchases=(pl.col("kind") == "purchase").sum(),
        first_purchase_ms=pl.col("time").filter(pl.col("kind") == "purchase").min(),
        last_purchase_ms=pl.col("time").filter(pl.col("kind") == "purchase").max(),
        tickets_opened=(pl.col("kind") == "ticket_opened").sum(),
        tickets_resolved=(pl.col("kind") == "ticket_resolved").sum(),
        tickets_reopened=(pl.col("kind") == "ticket_reopened").sum(),
    )
    found = {row.pop("customer"): row for row in plain.to_dicts()}
    # Duplicates move the stamps too: they were looked at.
    seen = records.filter(pl.col("verdict").is_in(["applied", "duplicate"]))
    for name, topic in (("stamp_t", touchpoints), ("stamp_r", replies)):
        stamps = seen.filter(pl.col("topic") == topic).group_by("customer").agg(pl.col("offset").max())
        for figures in found.values():
            figures[name] = -1
        for row in stamps.to_dicts():
            found[row["customer"]][name] = row["offset"]
    for figures in found.values():
        figures |= {"spend": {}, "scores": {}, "open": set(), "segment": None}
    money = (pl.col("value") * 10_000).round().cast(pl.Int64).sum()
    spent = applied.filter(pl.col("kind") == "purchase").group_by("customer", "currency").agg(money)
    for row in spent.to_dicts():
        found[row["customer"]]["spend"][row["currency"]] = row["value"]
    newest = applied.with_columns(arrival=pl.col("offset") * 2 + (pl.col("topic") == replies).cast(pl.Int64))
    newest = newest.sort("time", "arrival")
    scores = newest.filter(pl.col("metric").is_not_null()).group_by("customer", "metric").last()
    for row in scores.to_dicts():
        found[row["customer"]]["scores"][row["metric"]] = (row["time"], row["score"])
    tickets = newest.filter(pl.col("ref").is_not_null()).group_by("customer", "ref").last()
    for row in tickets.filter(pl.col("kind") != "ticket_resolved").to_dicts():
        found[row["customer"]]["open"].add(row["ref"])
    segments = applied.drop_nulls("segment").sort("time", "segment").group_by("customer", maintain_order=True)
    for row in segments.last().to_dicts():
        found[row["customer"]]["segment"] = row["segment"]
    return found
