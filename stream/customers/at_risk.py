"""What an unhappy customer puts at risk, as facts made and unmade.

A customer counts at their newest unhappy reply, with what they had spent until a day before. Replies and purchases
come by two topics, and how those interleave must not decide what a reply says: after a crash it would be said
again, and otherwise. A day before, all that was bought then is known, unless it comes later than any late event
should. So what was bought in the last days is held by the hour, to be left out.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from stream.measures.value_at_risk import AT_RISK

from .journeys import unpack
from .state import DAY_MS, Unhappy

if TYPE_CHECKING:
    from .contribute import Contribution
    from .journeys import Fact
    from .state import Customer, CustomerConfig, Story

FAMILY: Final = "#u"
#: What was bought counts as known this long after its hour.
SETTLED_MS: Final = DAY_MS
#: An unhappy reply is held this long behind the newest event: longer than the longest usual window. In a longer
#: one a customer who is unhappy again after that counts twice.
HELD_MS: Final = 91 * DAY_MS

_HOUR_MS: Final = DAY_MS // 24
_FACT: Final = 0  # there is one sort
_NO_CURRENCY: Final = "XXX"

Change = tuple[list["Fact"], list["Fact"]]
"""Facts made and unmade."""


def replied(story: Story, customer: Customer, arrival: int, time_ms: int, place: str) -> Change | None:
    """Take in an unhappy reply; None where it changes nothing, because a newer one is known.

    Replies of one topic replace each other; nobody sends them by both.

    Args:
        story: the customer's; changed in place.
        customer: after ``fold`` took the reply in.
        arrival: of the reply: offset * 2, and 1 more on the second topic.
        time_ms: of the reply.
        place: packed dimensions of the reply.
    """
    topic = arrival & 1
    held = story.unhappy.get(topic)
    if held is not None and held.time_ms < customer.last_ms - HELD_MS:
        held = None
    if held is not None and (time_ms, place) <= (held.time_ms, held.place):
        return None
    spend = customer.spend.copy()
    settled = (time_ms - SETTLED_MS) // _HOUR_MS
    for hour, currency, units in story.bought:
        if hour >= settled:
            spend[currency] -= units
    new = story.unhappy[topic] = Unhappy(time_ms, place, _money(spend))
    before, after = _facts(held), _facts(new)
    return [fact for fact in after if fact not in before], [fact for fact in before if fact not in after]


def bought(
    story: Story, customer: Customer, time_ms: int, currency: str, units: int, config: CustomerConfig
) -> None:
    """Note a purchase that ``fold`` added to the customer's spend, as long as it may have to be left out.

    Args:
        story: the customer's; changed in place.
        customer: after ``fold``.
        time_ms: of the purchase.
        currency: as in the customer's spend.
        units: money in units of 1e-4.
        config: limits.
    """
    floor = (customer.last_ms - config.stray_ms) // _HOUR_MS
    hour = time_ms // _HOUR_MS
    kept = [each for each in story.bought if each[0] >= floor]
    for i, (held, code, sofar) in enumerate(kept):
        if (held, code) == (hour, currency):
            kept[i] = (hour, code, sofar + units)
            break
    else:
        if hour >= floor:
            kept.append((hour, currency, units))
    story.bought = kept


def joined(mine: Story, theirs: Story, newest_ms: int) -> Change:
    """Join what an alias puts at risk: of two unhappy replies the newer counts, with the money known at its id.

    Args:
        mine: of the id that stays; changed in place.
        theirs: of the alias.
        newest_ms: newest event of both.
    """
    unmade: list[Fact] = []
    for topic, other in theirs.unhappy.items():
        held = mine.unhappy.get(topic)
        newer = other if held is None else max(held, other, key=lambda each: (each.time_ms, each.place))
        older = held if newer is other else other
        mine.unhappy[topic] = newer
        if older is not None and older.time_ms >= newest_ms - HELD_MS:
            unmade += _facts(older)
    sums = {(hour, currency): units for hour, currency, units in mine.bought}
    for hour, currency, units in theirs.bought:
        sums[hour, currency] = sums.get((hour, currency), 0) + units
    mine.bought = [(hour, currency, units) for (hour, currency), units in sorted(sums.items())]
    return [], unmade


def contributed(gained: list[Fact], lost: list[Fact]) -> list[Contribution]:
    """What the facts add to the sums of the reply's slices, at its time."""
    found: list[Contribution] = []
    for facts, sign in ((gained, 1), (lost, -1)):
        for time_ms, text, _, units in facts:
            currency, _, place = text.partition("|")
            if currency:
                found.append((time_ms, unpack(place), f"{AT_RISK}|{currency}", (sign, sign * units)))
            else:
                found.append((time_ms, unpack(place), AT_RISK, (sign,)))
    return found


def _money(spend: dict[str, int]) -> dict[str, int]:
    """Amounts by code, as of revenue: upper-cased, none is ``XXX``, and what is no code is no money."""
    sums: dict[str, int] = {}
    for currency, units in spend.items():
        code = currency.upper() or _NO_CURRENCY
        if units and code.isascii() and code.isalnum():
            sums[code] = sums.get(code, 0) + units
    return sums


def _facts(unhappy: Unhappy | None) -> list[Fact]:
    """That the customer counts, and their money; the text is the currency, ``|`` and the place."""
    if unhappy is None:
        return []
    time_ms, place = unhappy.time_ms, unhappy.place
    money = [(time_ms, f"{code}|{place}", _FACT, units) for code, units in sorted(unhappy.spend.items())]
    return [(time_ms, f"|{place}", _FACT, 1), *money]
