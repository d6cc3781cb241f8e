"""The churn probability of a customer with its reasons: as learned where there is a contract, else as declared."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from .learning import sigmoid
from .learning_features import features
from .risk import Churn, churn_probability

if TYPE_CHECKING:
    from .signals import Signals
    from .state import Customer, CustomerConfig

#: Before the name of a figure: it is below what is usual.
LOW: Final = "low_"
#: Reason of a churn probability -> in words. Those that begin with ``LOW`` come from learned models only.
REASONS: Final[dict[str, str]] = {
    "silence": "silent beyond the own rhythm",
    "low_silence": "not silent beyond the own rhythm",
    "detractor": "newest nps 0 to 6",
    "low_detractor": "no nps of 0 to 6",
    "promoter": "newest nps 9 or 10",
    "low_promoter": "no nps of 9 or 10",
    "dissatisfied": "newest csat low",
    "low_dissatisfied": "no low csat",
    "effort": "newest ces low",
    "low_effort": "no low ces",
    "open_tickets": "open tickets",
    "low_open_tickets": "no open tickets",
    "reopened_tickets": "reopened tickets",
    "low_reopened_tickets": "no reopened tickets",
    "ticket_age": "a ticket open for long",
    "low_ticket_age": "no ticket open for long",
    "mood": "scores below the usual",
    "low_mood": "scores above the usual",
    "falling": "scores lower than before",
    "low_falling": "scores no lower than before",
    "broken_promises": "broken promises",
    "low_broken_promises": "no broken promises",
    "waits": "long waits",
    "low_waits": "no long waits",
    "quiet": "not heard of for long",
    "low_quiet": "heard of lately",
    "activity": "more active than is usual",
    "low_activity": "less active than is usual",
    "fading": "less active than before",
    "low_fading": "no less active than before",
    "tenure": "a contract for long",
    "low_tenure": "a contract since lately",
    "late_purchase": "late with the next purchase",
    "low_late_purchase": "not late with a purchase",
}
#: A learned reason that adds less to the log-odds than this, up or down, is none.
LEAST: Final = 0.05


def churn_of(c: Customer, signals: Signals, now_ms: int, config: CustomerConfig) -> Churn:
    """The probability to lose a customer, and why.

    With a contract running and a model learned: the probability to cancel within the horizon of the lessons; a
    reason is what sets the customer apart from what is usual, weight times difference, in either direction. Else
    ``churn_probability``.

    Args:
        c: With at least one event.
        signals: All of them, at the moment.
        now_ms: The moment, moved to the newest event if it is before that.
        config: As in ``fold``.
    """
    contract, model = c.contract, config.churn
    if contract is None or not contract.since_ms or model is None:
        return churn_probability(signals)
    x = features(c, max(now_ms, c.last_ms), contract.since_ms, config)
    base, *weights = model.weights
    added = {
        name if figure >= usual else LOW + name: weight * (figure - usual)
        for name, weight, figure, usual in zip(model.names, weights, x, model.usual, strict=True)
    }
    reasons = sorted(
        ((name, odds) for name, odds in added.items() if abs(odds) >= LEAST),
        key=lambda item: (-item[1], item[0]),
    )
    odds = base + sum([weight * figure for weight, figure in zip(weights, x, strict=True)])
    return Churn(sigmoid(odds), tuple(reasons), learned=True)
