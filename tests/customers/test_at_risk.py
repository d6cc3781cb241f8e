"""What unhappy customers put at risk: once a customer, over any crash, and however two topics interleave."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stream.alerting.rules import load_rules
from stream.customers import (
    APPLIED,
    Contributor,
    Customer,
    CustomerConfig,
    Telling,
    decode,
    encode,
    fold,
)
from stream.customers.contribute import Contribution
from stream.customers.state import story_of
from stream.intake.event import Event
from stream.measures import NO_DIMS, Stats, add, observation
from stream.measures.declare import Declarations
from stream.measures.value_at_risk import unhappy
from tests.customers.oracle import DAY, T0, reply, touch

DECLARED = Declarations(metrics=("value_at_risk",))
ROOMY = CustomerConfig(max_moments=1000, stray_ms=1000 * DAY, dedup_per_customer=1000)
HOUR = DAY // 24


class Told:
    """One customer, told events as they arrive, each topic with its own offsets."""

    def __init__(self, config: CustomerConfig = ROOMY, declared: Declarations = DECLARED) -> None:
        self.config = config
        self.contributor = Contributor(declared, config)
        self.customer = Customer()
        self.offsets = {"t": -1, "r": -1}
        self.found: list[Contribution] = []
        self.unpaired: Counter[str] = Counter()

    def tell(self, event: Event) -> list[Contribution]:
        """An event that is new; the customer is written and read again, and gives the same once more."""
        topic = "t" if event.metric is None else "r"
        self.offsets[topic] = offset = self.offsets[topic] + 1
        assert fold(self.customer, event, topic, offset, self.config) == APPLIED
        given_ = self._given(event, offset << 1 | (topic == "r"), fresh=True)
        self.customer = decode(encode(self.customer))
        assert self._given(event, offset << 1 | (topic == "r"), fresh=False) == given_
        self.found += given_
        return given_

    def _given(self, event: Event, arrival: int, *, fresh: bool) -> list[Contribution]:
        telling = Telling((-1, -1), self.unpaired)
        gives = self.contributor.contributions if event.metric is None else self.contributor.replies
        if event.metric is None and not self.contributor.concerned(event):
            return []
        return gives(self.customer, event, arrival, telling, fresh=fresh)


def cells(found: list[Contribution]) -> dict[tuple[int, Any], Stats]:
    """Sums by moment and place; nothing where all was taken back."""
    sums: dict[tuple[int, Any], Stats] = {}
    for at_ms, dims, key, vec in found:
        add(sums.setdefault((at_ms, dims), {}), key, vec)
    return {at: stats for at, stats in sums.items() if stats}


def upset(at_ms: int, segment: str | None = None, event_id: str = "") -> Event:
    """A detractor."""
    return reply(event_id or f"r{at_ms}{segment}", at_ms, "nps", 2.0, segment=segment)


def buys(at_ms: int, value: float | None, currency: str | None = "EUR", event_id: str = "") -> Event:
    """A purchase."""
    return touch(event_id or f"p{at_ms}", at_ms, "purchase", value=value, currency=currency)


def of(*events: Event) -> list[tuple[int, Stats]]:
    """Days after the beginning, and sums."""
    told = Told()
    for event in events:
        told.tell(event)
    return sorted(((at - T0) // DAY, stats) for (at, _), stats in cells(told.found).items())


def test_a_customer_counts_at_the_newest_unhappy_reply() -> None:
    """The one before it is taken back, to the last unit, wherever it was counted."""
    got = of(buys(T0, 60.0), upset(T0 + 2 * DAY, "vip"), buys(T0 + 3 * DAY, 40.0), upset(T0 + 5 * DAY, "new"))
    assert got == [(5, {"value_at_risk": [1], "value_at_risk|EUR": [1, 1_000_000]})]


def test_what_is_bought_within_a_day_before_is_not_at_risk_yet() -> None:
    """It may come late, and by another topic: a reply says the same before it and after it."""
    reply_, purchases = upset(T0 + 2 * DAY), [buys(T0 + (50 - back) * HOUR, 1.0) for back in (25, 26, 27, 28)]
    told = Told()
    for event in purchases:
        told.tell(event)
    hour = (T0 + DAY) // HOUR
    settled = sum(event.time_ms // HOUR < hour for event in purchases)
    assert told.tell(reply_)[1:] == [
        (reply_.time_ms, NO_DIMS, "value_at_risk|EUR", (1, 10_000 * settled)),
    ]
    assert 0 < settled < 4


def test_an_unhappy_reply_that_comes_late_changes_nothing() -> None:
    """There is a newer one."""
    told = Told()
    told.tell(upset(T0 + 2 * HOUR))
    assert told.tell(upset(T0 + HOUR)) == []


def test_who_is_content_counts_nowhere() -> None:
    """Neither do purchases alone."""
    assert of(buys(T0, 40.0), reply("n", T0 + 2 * DAY, "nps", 10.0), reply("c", T0, "csat", 4.0)) == []


def test_currencies_are_kept_apart_as_revenue_does() -> None:
    """Upper-cased, none is XXX, and what is no code is no money."""
    paid = [buys(T0 + i, 1.0, code) for i, code in enumerate(("EUR", "eur", None, "E€", "USD"))]
    [(_, stats)] = of(*paid, upset(T0 + 2 * DAY))
    assert stats == {
        "value_at_risk": [1],
        "value_at_risk|EUR": [1, 20_000],
        "value_at_risk|USD": [1, 10_000],
        "value_at_risk|XXX": [1, 10_000],
    }


def test_a_reply_long_ago_is_let_go() -> None:
    """Nobody takes back what no window holds any more."""
    told = Told()
    told.tell(upset(T0))
    assert told.tell(upset(T0 + 92 * DAY)) == [(T0 + 92 * DAY, NO_DIMS, "value_at_risk", (1,))]


@pytest.mark.parametrize(
    ("metric", "scale", "higher", "worst", "best"),
    [
        ("nps", (0.0, 10.0), True, 6, 7),
        ("csat", (1.0, 5.0), True, 3, 4),
        ("ces", (1.0, 7.0), True, 3, 4),
        ("ces", (1.0, 7.0), False, 5, 4),
        ("loyalty", (1.0, 10.0), True, 5, 6),
        ("engagement", (1.0, 10.0), True, 5, 6),
    ],
)
def test_where_unhappiness_ends(
    metric: str, scale: tuple[float, float], higher: bool, worst: float, best: float
) -> None:
    """Detractors, the dissatisfied, and the worse half of a scale; the score next to it is not."""
    assert unhappy(metric, worst, scale, higher)
    assert not unhappy(metric, best, scale, higher)
    assert observation(metric, best, scale, higher) is not None
    assert not unhappy(metric, scale[1] + 1, scale, higher)


def test_purchases_are_held_by_the_hour_of_two_days() -> None:
    """However much is bought, the state stays small."""
    told = Told(CustomerConfig())
    for i in range(600):
        told.tell(buys(T0 + i * HOUR // 4, 1.0))
    story = story_of(told.customer, (-1, -1))
    assert len(story.bought) <= 49
    assert {units for _, _, units in story.bought} == {40_000}


def test_what_customers_spent_has_to_be_kept() -> None:
    """Without it there is nothing to put at risk, which is said at once; the rest of a profile is not needed."""
    with pytest.raises(ValueError, match="keep it"):
        Contributor(DECLARED, CustomerConfig(profile=False, spend=False))
    told = Told(CustomerConfig(profile=False))
    told.tell(buys(T0, 5.0))
    given_ = told.tell(upset(T0 + 2 * DAY))
    assert [(key, vec) for _, _, key, vec in given_] == [
        ("value_at_risk", (1,)),
        ("value_at_risk|EUR", (1, 50_000)),
    ]


def test_where_nobody_asks_nothing_is_kept() -> None:
    """Neither replies nor purchases are looked at, and the state has no story."""
    told = Told(declared=Declarations(metrics=("nps",)))
    assert not told.contributor.hears_replies
    assert not told.contributor.concerned(buys(T0, 1.0))
    assert Told(declared=Declarations(metrics=("nps",), at_risk=True)).contributor.hears_replies


@st.composite
def topics(draw: st.DrawFn) -> tuple[list[Event], list[Event]]:
    """Purchases and replies of a few days, each in the order of a topic: anything may be late there by a day."""
    events: list[Event] = []
    arrivals: dict[str, int] = {}
    for i in range(draw(st.integers(0, 12))):
        at_ms = T0 + draw(st.integers(0, 30)) * 4 * HOUR
        if draw(st.booleans()):
            value = draw(st.sampled_from((None, 1.5, -0.5, 20.0)))
            events.append(buys(at_ms, value, draw(st.sampled_from(("EUR", "USD", None))), f"e{i}"))
        else:
            segment = draw(st.sampled_from(("vip", "new")))
            events.append(reply(f"e{i}", at_ms, "nps", draw(st.sampled_from((0.0, 10.0))), segment=segment))
        arrivals[f"e{i}"] = at_ms + draw(st.integers(0, 23)) * HOUR
    events.sort(key=lambda event: arrivals[event.event_id])
    return [e for e in events if e.metric is None], [e for e in events if e.metric is not None]


def interleaved(data: st.DataObject, touches: list[Event], replies: list[Event]) -> list[Event]:
    """Either topic in its order; a reply not before what was bought more than a day before it."""
    left, out = list(touches), []
    for each in replies:
        due = [i for i, event in enumerate(left) if event.time_ms <= each.time_ms - DAY]
        taken = max(data.draw(st.integers(0, len(left))), due[-1] + 1 if due else 0)
        out += [*left[:taken], each]
        left = left[taken:]
    return out + left


@settings(max_examples=150)
@given(topics(), st.data())
def test_it_does_not_depend_on_how_two_topics_interleave(
    both: tuple[list[Event], list[Event]], data: st.DataObject
) -> None:
    """Each reply says the same; all together, the newest unhappy one and what was bought until a day before."""
    first, second = Told(), Told()
    for told in (first, second):
        for event in interleaved(data, *both):
            told.tell(event)
    assert first.found == second.found
    sums = cells(first.found)
    upsets = [event for event in both[1] if event.score == 0.0]
    if not upsets:
        assert not sums
        return
    # Two of one moment: the one whose place is the greater.
    newest = max(upsets, key=lambda event: (event.time_ms, event.segment == "vip"))
    want: Stats = {"value_at_risk": [1]}
    spent = Counter[str]()
    for event in both[0]:
        if event.value is not None and event.time_ms // HOUR < (newest.time_ms - DAY) // HOUR:
            spent[event.currency or "XXX"] += round(event.value * 10_000)
    want |= {f"value_at_risk|{code}": [1, units] for code, units in spent.items() if units}
    [((at_ms, dims), stats)] = sums.items()
    assert (at_ms, dims) == (newest.time_ms, (newest.segment, *NO_DIMS[1:]))
    assert stats == want


@pytest.mark.parametrize(
    ("rules", "kept"),
    [
        ("[{alert: A, metric: nps, window: 1h, below: 30}]", True),
        ("[{alert: A, metric: revenue, window: 1h, below: 30}]", False),
        ("[{alert: A, on: reply, when: {metric: nps, score: 0}}]", False),
    ],
)
def test_it_is_kept_where_alerts_are_about_replies(rules: str, kept: bool) -> None:
    """A window's rule on a reply metric is enough; others, or none, cost nothing."""
    declared = load_rules(f"groups: [{{name: g, rules: {rules}}}]", "rules.yml", windows=("1h",)).declared
    assert declared.at_risk == kept
    assert Contributor(declared, CustomerConfig()).hears_replies == kept
