"""A simulation repeats itself, keeps to the contract, and its incidents show."""

from __future__ import annotations

import hashlib
from collections import Counter
from dataclasses import replace
from itertools import islice
from typing import Any

import pytest

from stream.comments import LANGUAGES, TopicFinder
from stream.customers import Customer, fold, signals
from stream.intake import Event, Limits, Rejection, decode
from stream.measures import METRICS, Groupings
from stream.measures.declare import Declarations
from stream.pipeline import CustomersPartition, PipelineConfig
from stream.simulate import DEFAULT_START_MS, Incident, Simulated, Simulation, default_incidents, to_json
from stream.simulate.defects import DEFECTS
from stream.topics import INPUTS, REPLIES, TOUCHPOINTS
from tests.simulate.test_incidents_trip_rules import Arrived

HOUR = 3600_000
SEEDS = (1, 2, 3)


def read(value: bytes) -> Event:
    """Decode a record that must be good."""
    event = decode(value, (), Limits())
    assert isinstance(event, Event), event
    return event


def first(simulation: Simulation, n: int) -> list[Event]:
    """The first good events."""
    return [read(to_json(record)) for record in islice(simulation.events(), n)]


def records(n: int, seed: int = 1, **options: Any) -> list[Simulated]:
    """The first records as they arrive."""
    return list(islice(Simulation(seed, **options).records(), n))


def nps(scores: list[float]) -> float:
    """Net promoter score, by its definition."""
    return 100 * (sum(s >= 9 for s in scores) - sum(s <= 6 for s in scores)) / len(scores)


def csat(scores: list[float]) -> float:
    """Percentage of 4 and 5."""
    return 100 * sum(s >= 4 for s in scores) / len(scores)


def ces(scores: list[float]) -> float:
    """Mean effort score."""
    return sum(scores) / len(scores)


FIGURES = {"nps": nps, "csat": csat, "ces": ces}


def test_the_same_seed_gives_the_same_bytes() -> None:
    """Also when iterated a second time, and whatever the seed of the process."""
    options: dict[str, Any] = {"bad": 0.05, "duplicates": 0.05, "late": 0.05, "disorder_ms": 2000}
    simulation = Simulation(7, **options)
    once = [(r.value, r.truth, r.topic, r.key) for r in islice(simulation.records(), 3000)]
    assert [(r.value, r.truth, r.topic, r.key) for r in islice(simulation.records(), 3000)] == once
    assert [(r.value, r.truth, r.topic, r.key) for r in records(3000, 7, **options)] == once
    assert [r.value for r in records(100, 8, **options)] != [value for value, *_ in once[:100]]


def test_the_bytes_of_a_seed_are_the_same_everywhere() -> None:
    """Runs on other machines and versions can be compared; who changes the simulation changes this."""
    digest = hashlib.sha256()
    for r in records(1000, 1, bad=0.05, duplicates=0.05, late=0.05, disorder_ms=2000):
        digest.update(r.value)
    assert digest.hexdigest()[:16] == "0ff2a94a89c9c885"


def test_defects_leave_the_events_underneath_as_they_are() -> None:
    """Bad, late and repeated records are laid over the same base stream."""
    plain = {to_json(record) for record in islice(Simulation(3).events(), 2000)}
    odd = records(2500, 3, bad=0.1, duplicates=0.1, late=0.1, disorder_ms=5000)
    base = [r.value for r in odd if r.truth in {"ok", "late"}]
    assert len(set(base)) == len(base)
    assert set(base[:1500]) <= plain


def test_events_come_in_event_time_order_in_the_contract_s_shape() -> None:
    """Every good record decodes; times never go back."""
    events = first(Simulation(1), 5000)
    times = [e.time_ms for e in events]
    assert times == sorted(times)
    assert times[0] >= DEFAULT_START_MS
    assert len({e.event_id for e in events}) == len(events)
    assert {e.segment for e in events} == {"vip", "regular", "new", "business"}
    assert {e.touchpoint for e in events} == {
        "website", "app", "checkout", "support", "delivery", "billing", "onboarding", "advertising"
    }  # fmt: skip
    assert {e.channel for e in events} == {
        "web",
        "app",
        "chat",
        "phone",
        "email",
        "store",
        "search",
        "social",
    }


def test_topics_and_keys_are_those_of_the_contract() -> None:
    """Replies and touchpoints go to their topics, keyed by customer."""
    for r in records(1000):
        event = read(r.value)
        assert r.topic == (REPLIES if event.metric else TOUCHPOINTS)
        assert r.key == event.customer_id
        assert r.time_ms == event.time_ms


def test_disorder_is_bounded() -> None:
    """No record is further behind the newest before it than declared, and some are behind."""
    newest, worst = 0, 0
    for r in records(5000, disorder_ms=2000):
        newest = max(newest, r.time_ms)
        worst = max(worst, newest - r.time_ms)
    assert 500 < worst <= 2000


def test_every_record_is_what_its_label_says() -> None:
    """Ok and late decode, bad is refused for the labelled reason, a duplicate repeats an earlier id."""
    sent: set[str] = set()
    newest = 0
    seen: Counter[str] = Counter()
    for r in records(20_000, bad=0.05, duplicates=0.03, late=0.02):
        seen[r.truth] += 1
        result = decode(r.value, (), Limits())
        if r.truth.startswith("bad:"):
            assert isinstance(result, Rejection)
            assert result.reason == r.truth.removeprefix("bad:")
            continue
        assert isinstance(result, Event)
        if r.truth == "duplicate":
            assert result.event_id in sent
            continue
        assert result.event_id not in sent
        sent.add(result.event_id)
        assert (r.truth == "late") == (newest - r.time_ms >= 60_000)
        newest = max(newest, r.time_ms)
    assert {f"bad:{reason}" for reason in DEFECTS} | {"ok", "duplicate", "late"} == set(seen)
    bad = sum(n for truth, n in seen.items() if truth.startswith("bad:"))
    assert bad == pytest.approx(0.05 * 20_000 / 1.08, rel=0.15)
    assert seen["duplicate"] == pytest.approx(0.03 * 20_000 / 1.08, rel=0.2)
    assert seen["late"] == pytest.approx(0.02 * 20_000 / 1.08, rel=0.2)


@pytest.mark.parametrize("reason", sorted(DEFECTS))
def test_every_way_to_spoil_a_record_is_refused_for_its_reason(reason: str) -> None:
    """Each defect, laid on a touchpoint and on a reply."""
    base = list(islice(Simulation(1).events(), 300))
    touchpoint = next(r for r in base if "kind" in r)
    reply = next(r for r in base if "metric" in r)
    for defect in DEFECTS[reason]:
        for record in (touchpoint, reply):
            result = decode(defect(record), (), Limits())
            assert isinstance(result, Rejection)
            assert result.reason == reason


@pytest.mark.parametrize("seed", SEEDS)
def test_twenty_thousand_events_span_the_incidents_and_the_recovery(seed: int) -> None:
    """They take between 6 and 7 hours of event time; the last incident is over an hour before."""
    last = first(Simulation(seed), 20_000)[-1]
    assert 6.0 < (last.time_ms - DEFAULT_START_MS) / HOUR < 7.0
    assert last.time_ms - max(i.end_ms for i in default_incidents(DEFAULT_START_MS)) > HOUR


@pytest.mark.parametrize("seed", SEEDS)
def test_declared_incidents_show_in_plain_aggregates(seed: int) -> None:
    """While an incident lasts its figure is far below what it is before and after, on at least 30 replies."""
    simulation = Simulation(seed)
    events = first(simulation, 20_000)
    for incident in simulation.incidents:
        for metric, where in incident.shows:
            figure = FIGURES[metric]
            of = [
                e for e in events if e.metric == metric and all(getattr(e, k) == v for k, v in where.items())
            ]
            during = [e.score for e in of if incident.active(e.time_ms) and e.score is not None]
            before = [e.score for e in of if e.time_ms < incident.start_ms and e.score is not None]
            after = [e.score for e in of if e.time_ms >= incident.end_ms and e.score is not None]
            assert min(len(during), len(before), len(after)) >= 30
            fall = {"nps": 60.0, "csat": 40.0, "ces": 1.5}[metric]
            assert figure(during) < min(figure(before), figure(after)) - fall


def test_without_incidents_nothing_falls() -> None:
    """The same customers on a quiet day: no half hour of the watched figures is bad."""
    events = first(Simulation(1, incidents=()), 20_000)
    for metric, where, least in (("nps", ("segment", "vip"), 20.0), ("csat", ("channel", "chat"), 60.0)):
        of = [e for e in events if e.metric == metric and getattr(e, where[0]) == where[1]]
        for start in range(0, len(of) - 50, 25):
            assert FIGURES[metric]([e.score or 0.0 for e in of[start : start + 50]]) > least


def test_some_detractors_have_a_ticket_open() -> None:
    """Rules on one customer find somebody, and not everybody."""
    found = asked = 0
    customers: dict[str, Customer] = {}
    for offset, event in enumerate(first(Simulation(1), 20_000)):
        c = customers.setdefault(event.customer_id, Customer())
        fold(c, event, "t", offset)
        if event.metric == "nps" and event.score is not None and event.score <= 6:
            asked += 1
            found += (signals(c, event.time_ms)["open_tickets"] or 0) >= 1
    assert 5 < found < asked / 2


def test_every_metric_has_something_to_measure() -> None:
    """What the simulation writes feeds the sums of every metric, and every pillar is asked about."""
    config = PipelineConfig(
        INPUTS, 1, Groupings([["pillar"]], 100), declared=Declarations(metrics=tuple(METRICS))
    )
    customers = CustomersPartition(0, config, None, {}, {})
    logs: dict[str, list[Arrived]] = {topic: [] for topic in INPUTS}
    for r in records(8000):
        logs[r.topic].append(Arrived(len(logs[r.topic]), r.time_ms, r.key.encode(), r.value))
    partials = customers.run(logs.items()).partials
    fed = {
        key.partition("|")[0] for partial in partials if partial.slice_key == "{}" for key in partial.stats
    }
    assert {stem for metric in METRICS.values() for stem in metric.stems} - {"drivers"} <= fed
    pillars = {partial.slice_key for partial in partials} - {"{}"}
    assert len(pillars) == 6


def test_shares_are_plausible() -> None:
    """Journeys are given up, tickets reopened, subscriptions cancelled, friends referred: some, not most."""
    events = first(Simulation(1), 20_000)
    kinds = Counter(e.kind for e in events)
    bought = [e for e in events if e.kind == "purchase"]
    carts = {e.ref for e in events if e.kind == "cart_started"}
    assert 0.1 < 1 - len(carts & {e.ref for e in bought}) / len(carts) < 0.4
    assert (
        0.02 < sum(bool(e.attributes and "referred_by" in e.attributes) for e in bought) / len(bought) < 0.1
    )
    assert 0.1 < kinds["subscription_cancelled"] / kinds["subscription_started"] < 0.6
    assert 0 < kinds["ticket_reopened"] / kinds["ticket_resolved"] < 0.15
    live: set[tuple[str, str | None]] = set()
    for e in events:
        if e.kind == "subscription_started":
            live.add((e.customer_id, e.ref))
        elif e.kind == "subscription_cancelled":
            live.remove((e.customer_id, e.ref))
    opened = {e.ref for e in events if e.kind == "ticket_opened"}
    answered = [e.ref in opened for e in events if e.kind == "self_service_answered"]
    assert 0.1 < sum(answered) / len(answered) < 0.5


def test_comments_are_about_what_they_follow() -> None:
    """In both languages some comments have topics and some have none; those of a delivery name it often."""
    finder = TopicFinder(LANGUAGES, {})
    found: dict[str | None, Counter[str]] = {}
    without = 0
    events = [e for e in first(Simulation(1), 20_000) if e.comment is not None]
    for e in events:
        topics = finder.find(e.comment or "")
        without += not topics
        found.setdefault(e.touchpoint, Counter()).update(topics)
    assert 0.1 < without / len(events) < 0.5
    assert len(set().union(*found.values())) >= 12
    assert "delivery" in dict(found["delivery"].most_common(2))
    assert found["support"]["delivery"] == 0 < found["support"]["waiting"]
    assert {e.region[:2] for e in events if e.region} == {"it", "ir", "br"}


def test_the_density_is_the_declared_one() -> None:
    """Events an hour, over a whole simulated day of usual hours, come to what was asked for."""
    for rate in (3400.0, 850.0):
        events = first(Simulation(5, events_per_hour=rate, incidents=()), int(rate * 8))
        hours = (events[-1].time_ms - events[0].time_ms) / HOUR
        assert len(events) / hours == pytest.approx(rate, rel=0.1)


def test_two_simulations_are_not_each_other_s_duplicates() -> None:
    """Another seed or another start has other event ids."""
    ids = [
        {record["event_id"] for record in islice(simulation.events(), 200)}
        for simulation in (Simulation(1), Simulation(2), Simulation(1, start_ms=DEFAULT_START_MS + 1))
    ]
    assert len(set.union(*ids)) == 600


@pytest.mark.parametrize(
    ("minute", "on"), [(-1, False), (0, True), (9, True), (10, False), (60, True), (69, True), (70, False)]
)
def test_an_incident_is_on_from_its_start_to_before_its_end_and_comes_back(minute: int, on: bool) -> None:
    """Ten minutes at every hour."""
    incident = Incident("x", 0, 600_000, where={}, effect={}, every_ms=HOUR)
    assert incident.active(minute * 60_000) is on
    if minute >= 10:
        assert not replace(incident, every_ms=None).active(minute * 60_000)


def test_an_incident_touches_where_all_dimensions_match() -> None:
    """One that differs, or is absent, is elsewhere."""
    incident = Incident("x", 0, 10, where={"segment": "vip", "channel": "chat"}, effect={})
    assert incident.touches(5, {"segment": "vip", "channel": "chat", "region": "x"})
    assert not incident.touches(5, {"segment": "vip", "channel": "phone"})
    assert not incident.touches(5, {"segment": "vip"})
    assert not incident.touches(10, {"segment": "vip", "channel": "chat"})


def test_arguments_without_sense_are_refused() -> None:
    """The error names the argument."""
    for name, value in (
        ("customers", 0),
        ("events_per_hour", 0.0),
        ("disorder_ms", -1),
        ("bad", 1.5),
        ("duplicates", -0.1),
        ("late", 2.0),
    ):
        options: dict[str, Any] = {name: value}
        with pytest.raises(ValueError, match=name):
            Simulation(1, **options)
    with pytest.raises(ValueError, match="ends before"):
        Incident("x", 10, 10, where={}, effect={})
    with pytest.raises(ValueError, match="comes back"):
        Incident("x", 0, 10, where={}, effect={}, every_ms=5)
