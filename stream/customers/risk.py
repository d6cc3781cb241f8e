"""A churn probability one can read: a sum of named reasons, with weights that are declared, not learned."""

from __future__ import annotations

from math import exp, log2
from typing import TYPE_CHECKING, Final, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Mapping

#: The prior: log-odds without any reason (about 5 %), and what each reason adds. It is a judgement to start
#: from, fitted to nothing: it orders customers, and how many of those at 0.7 really leave nobody has counted.
PRIOR: Final[dict[str, float]] = {
    "base": -3.0,
    "silence": 0.8,  # per doubling of the silence beyond the own rhythm, up to 4
    "detractor": 1.0,  # newest nps 0..6
    "promoter": -0.7,  # newest nps 9..10
    "dissatisfied": 0.7,  # newest csat below three quarters of its scale
    "effort": 0.7,  # newest ces below half of its scale
    "open_tickets": 0.4,  # each, up to 3
    "reopened_tickets": 0.5,  # each, up to 2
}
_SILENCE_MAX: Final = 4.0
_OPEN_MAX: Final = 3
_REOPENED_MAX: Final = 2
_DETRACTOR_MAX: Final = 6
_PROMOTER_MIN: Final = 9
_SATISFIED_PLACE: Final = 75.0
_EFFORT_PLACE: Final = 50.0
#: A score older than this says nothing about leaving any more.
SCORE_DAYS: Final = 90


class Churn(NamedTuple):
    """A probability to leave, 0..1, and its reasons with what each added to the log-odds, largest first.

    ``learned`` says whether it comes from cancellations, rather than from the declared prior.
    """

    value: float
    reasons: tuple[tuple[str, float], ...]
    learned: bool = False


def churn_probability(signals: Mapping[str, float | None]) -> Churn:
    """Probability of losing a customer: 1 / (1 + e^-(base + what each reason adds)).

    Args:
        signals: as ``signals`` gives them.
    """
    added = reasons_of(
        signals["silence_ratio"],
        _fresh(signals, "last_nps", "days_since_nps"),
        _fresh(signals, "last_csat_place", "days_since_csat"),
        _fresh(signals, "last_ces_place", "days_since_ces"),
        signals["open_tickets"],
        signals["reopened_tickets"],
    )
    reasons = sorted(added.items(), key=lambda item: (-item[1], item[0]))
    return Churn(probability(added), tuple(reasons))


def probability(added: Mapping[str, float]) -> float:
    """The probability that reasons come to, 0..1."""
    return 1.0 / (1.0 + exp(-(PRIOR["base"] + sum(added.values()))))


def reasons_of(
    silence: float | None,
    nps: float | None,
    csat: float | None,
    ces: float | None,
    open_tickets: float | None,
    reopened_tickets: float | None,
) -> dict[str, float]:
    """What each reason there is adds to the log-odds.

    Args:
        silence: ``silence_ratio``.
        nps: the newest nps score; None where it is older than ``SCORE_DAYS``, as with the next two.
        csat: the newest csat score as 0..100.
        ces: the newest ces score as 0..100.
        open_tickets: how many are open.
        reopened_tickets: how many were reopened.
    """
    added: dict[str, float] = {}
    if silence is not None and silence > 1.0:
        added["silence"] = PRIOR["silence"] * min(_SILENCE_MAX, log2(silence))
    if nps is not None and nps <= _DETRACTOR_MAX:
        added["detractor"] = PRIOR["detractor"]
    elif nps is not None and nps >= _PROMOTER_MIN:
        added["promoter"] = PRIOR["promoter"]
    if csat is not None and csat < _SATISFIED_PLACE:
        added["dissatisfied"] = PRIOR["dissatisfied"]
    if ces is not None and ces < _EFFORT_PLACE:
        added["effort"] = PRIOR["effort"]
    if open_tickets:
        added["open_tickets"] = PRIOR["open_tickets"] * min(_OPEN_MAX, open_tickets)
    if reopened_tickets:
        added["reopened_tickets"] = PRIOR["reopened_tickets"] * min(_REOPENED_MAX, reopened_tickets)
    return added


def _fresh(signals: Mapping[str, float | None], name: str, age: str) -> float | None:
    days = signals[age]
    return signals[name] if days is not None and days <= SCORE_DAYS else None
