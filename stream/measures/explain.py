"""Why a metric changed: an exact account over the members of a grouping, and which grouping to look at first.

``decompose`` is for every metric that is a mean over its observations, so that the whole is the members' values
weighted by their n: scores, rates, mean durations. ``adtributor`` is for rates. Neither knows causes: both say
where a change took place.
"""

from __future__ import annotations

from fractions import Fraction
from math import log
from typing import TYPE_CHECKING, Final, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Mapping

_LEAST_POWER: Final = 0.10
_ENOUGH_POWER: Final = 0.67
_SHOWN: Final = 3
_NO_CHANGE: Final = 1e-12  # of a rate: what rounding leaves


class Share(NamedTuple):
    """What a member has to do with a change; its contribution is ``service + mix``.

    Attributes:
        member: Its name.
        n_before: Its weight in the earlier period, 0 where it was absent.
        n_after: Its weight in the later one.
        before: Its value in the earlier period, None where it was absent.
        after: Its value in the later one.
        service: Because its own value changed.
        mix: Because its share of the whole changed, or it came or went.
    """

    member: str
    n_before: int
    n_after: int
    before: float | None
    after: float | None
    service: float
    mix: float


class Change(NamedTuple):
    """A change and its shares, the largest contribution first.

    Attributes:
        before: Weighted mean of the members in the earlier period.
        after: The same in the later one.
        change: ``after`` less ``before``: the sum of all ``service`` and ``mix``.
        shares: One for each member of either period.
    """

    before: float
    after: float
    change: float
    shares: tuple[Share, ...]

    @property
    def service(self) -> float:
        """Sum of the members' own changes."""
        return sum(share.service for share in self.shares)

    @property
    def mix(self) -> float:
        """Sum of the changes of share."""
        return sum(share.mix for share in self.shares)


def decompose(before: Mapping[str, tuple[int, float]], after: Mapping[str, tuple[int, float]]) -> Change:
    """Change of a weighted mean N as service w1 (N1 - N0) and mix (w1 - w0) (N0 - whole N0) of each member.

    Shares w are weights over the period's total. A member that is absent in the earlier period has no earlier
    value: its own later one stands for it, so that its service is 0 and all it brings is mix, w1 (N1 - whole N0).
    One that is absent in the later period has the share 0 there: its service is 0, its mix -w0 (N0 - whole N0).
    With this the parts add up to the change, exactly: rational arithmetic, and one rounding for each figure.

    Args:
        before: Member -> (weight, value) in the earlier period. Weights are counts; 0 is as good as absent.
        after: The same in the later period.

    Raises:
        ValueError: A negative weight, or a period without any: there is no mean, and no change.
    """
    total0, mean0 = _mean(before, "earlier")
    total1, mean1 = _mean(after, "later")
    shares = []
    for member in dict.fromkeys((*before, *after)):
        n0, value0 = before.get(member, (0, 0.0))
        n1, value1 = after.get(member, (0, 0.0))
        if not n0 and not n1:
            continue
        later = Fraction(value1)
        earlier = Fraction(value0) if n0 else later
        w0, w1 = Fraction(n0, total0), Fraction(n1, total1)
        service = w1 * (later - earlier)
        mix = (w1 - w0) * (earlier - mean0)
        found = Share(
            member, n0, n1, value0 if n0 else None, value1 if n1 else None, float(service), float(mix)
        )
        shares.append((-abs(service + mix), member, found))
    shares.sort(key=lambda each: each[:2])
    return Change(float(mean0), float(mean1), float(mean1 - mean0), tuple(share for *_, share in shares))


def _mean(values: Mapping[str, tuple[int, float]], which: str) -> tuple[int, Fraction]:
    if any(n < 0 for n, _ in values.values()):
        raise ValueError(f"a weight in the {which} period is negative")
    total = sum(n for n, _ in values.values())
    if not total:
        raise ValueError(f"there is nothing in the {which} period")
    return total, sum((n * Fraction(value) for n, value in values.values() if n), Fraction()) / total


class Rate(NamedTuple):
    """What a rate is made of: ``hits`` (not negative) in ``n``."""

    hits: float
    n: float


class Suspect(NamedTuple):
    """One member that may be to blame.

    Attributes:
        member: Its name.
        power: Share of the change that it explains; 1 is all of it, below 0 it worked against it.
        surprise: How unlike its earlier part of the whole its later one is: Jensen-Shannon divergence in nats.
    """

    member: str
    power: float
    surprise: float


class Blame(NamedTuple):
    """A grouping of which a few members explain most of a change.

    Attributes:
        grouping: Its name.
        suspects: The members, the most surprising first.
        power: Share of the change they explain together.
        surprise: Sum of their surprises; groupings are ranked by it.
    """

    grouping: str
    suspects: tuple[Suspect, ...]
    power: float
    surprise: float


Rates = tuple["Mapping[str, Rate]", "Mapping[str, Rate]"]
"""Member -> rate in the earlier and in the later period."""


def adtributor(
    groupings: Mapping[str, Rates],
    least: float = _LEAST_POWER,
    enough: float = _ENOUGH_POWER,
    shown: int = _SHOWN,
) -> list[Blame]:
    """Groupings that concentrate a change of a rate, the most surprising first.

    Adtributor [Bhagwan et al., "Adtributor: revenue debugging in advertising systems", NSDI 2014] for a derived
    measure: in each grouping members are taken in the order of their surprise, those that explain at least
    ``least``, until together they explain ``enough``; a grouping that never does is left out. A member's power
    is how far the earlier rate moves when its hits and n alone are replaced by the later ones, normalised over
    its grouping; its surprise is that of its share of the hits plus that of its share of n.

    The earlier period stands for the forecast of the paper; it is scaled to the later one's n, so the two may be
    of different length.

    Args:
        groupings: Grouping -> its members' rates. Each is judged by itself, so they need not cover the same.
        least: Power that a member must have, T_EEP of the paper.
        enough: Power at which a grouping is explained, T_EP of the paper.
        shown: How many groupings at most.
    """
    blames = []
    for grouping, (before, after) in groupings.items():
        taken: list[Suspect] = []
        for suspect in _suspects(before, after):
            if suspect.power > least:
                taken.append(suspect)
            power = sum(each.power for each in taken)
            if power > enough:
                blames.append(Blame(grouping, tuple(taken), power, sum(each.surprise for each in taken)))
                break
    return sorted(blames, key=lambda blame: (-blame.surprise, blame.grouping))[:shown]


def _suspects(before: Mapping[str, Rate], after: Mapping[str, Rate]) -> list[Suspect]:
    """Every member of a grouping, the most surprising first; none where the rate did not change."""
    nothing = Rate(0, 0)
    n0 = sum(rate.n for rate in before.values())
    n1 = sum(rate.n for rate in after.values())
    if not n0 or not n1:
        return []
    scale = n1 / n0
    hits0 = scale * sum(rate.hits for rate in before.values())
    hits1 = sum(rate.hits for rate in after.values())
    moved: dict[str, tuple[float, float]] = {}
    for member in dict.fromkeys((*before, *after)):
        was, now = before.get(member, nothing), after.get(member, nothing)
        more_hits, more_n = now.hits - scale * was.hits, now.n - scale * was.n
        rest = n1 + more_n  # of the earlier period with this member as it is now
        move = (more_hits * n1 - more_n * hits0) / (n1 * rest) if rest > 0 else 0.0
        surprise = _divergence(scale * was.hits, hits0, now.hits, hits1) + _divergence(
            scale * was.n, n1, now.n, n1
        )
        moved[member] = move, surprise
    total = sum(move for move, _ in moved.values())
    if not total or abs(hits1 - hits0) <= _NO_CHANGE * n1:
        return []
    found = [Suspect(member, move / total, surprise) for member, (move, surprise) in moved.items()]
    return sorted(found, key=lambda each: (-each.surprise, each.member))


def _divergence(part0: float, whole0: float, part1: float, whole1: float) -> float:
    """One member's term of the Jensen-Shannon divergence between shares of two wholes; 0 <= term <= log 2 / 2."""
    p = part0 / whole0 if whole0 else 0.0
    q = part1 / whole1 if whole1 else 0.0
    return (_term(p, p + q) + _term(q, p + q)) / 2


def _term(share: float, both: float) -> float:
    return share * log(2 * share / both) if share else 0.0
