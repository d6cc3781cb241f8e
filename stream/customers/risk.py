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
_SCORE_DAYS: Final = 90.0


class Churn(NamedTuple):
    """A probability to leave, 0..1, and its reasons with what each added to the log-odds, largest first."""

    value: float
    reasons: tuple[tuple[str, float], ...]


def churn_probability(signals: Mapping[str, float | None]) -> Churn:
    """Probability of losing a customer: 1 / (1 + e^-(base + what each reason adds)).

    Args:
        signals: as ``signals`` gives them.
    """
    added: dict[str, float] = {}
    silence = signals["silence_ratio"]
    if silence is not None and silence > 1.0:
        added["silence"] = PRIOR["silence"] * min(_SILENCE_MAX, log2(silence))
    nps = _fresh(signals, "last_nps", "days_since_nps")
    if nps is not None and nps <= _DETRACTOR_MAX:
        added["detractor"] = PRIOR["detractor"]
    elif nps is not None and nps >= _PROMOTER_MIN:
        added["promoter"] = PRIOR["promoter"]
    csat = _fresh(signals, "last_csat_place", "days_since_csat")
    if csat is not None and csat < _SATISFIED_PLACE:
        added["dissatisfied"] = PRIOR["dissatisfied"]
    ces = _fresh(signals, "last_ces_place", "days_since_ces")
    if ces is not None and ces < _EFFORT_PLACE:
        added["effort"] = PRIOR["effort"]
    for name, cap in (("open_tickets", _OPEN_MAX), ("reopened_tickets", _REOPENED_MAX)):
        count = signals[name]
        if count:
            added[name] = PRIOR[name] * min(cap, count)
    odds = PRIOR["base"] + sum(added.values())
    reasons = sorted(added.items(), key=lambda item: (-item[1], item[0]))
    return Churn(1.0 / (1.0 + exp(-odds)), tuple(reasons))


def _fresh(signals: Mapping[str, float | None], name: str, age: str) -> float | None:
    days = signals[age]
    return signals[name] if days is not None and days <= _SCORE_DAYS else None
