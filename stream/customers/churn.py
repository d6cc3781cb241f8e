"""The churn probability of a customer with its reasons: as learned where there is a contract, else as declared."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from .learning import sigmoid
from .learning_features import features
from .risk import Churn, churn_probability

if TYPE_CHECKING:
    from .signals import Signals
    from .state import Customer, CustomerConfig

#: A learned reason that adds less to the log-odds than this, up or down, is none.
LEAST: Final = 0.05


def churn_of(c: Customer, signals: Signals, now_ms: int, config: CustomerConfig) -> Churn:
    """The probability to lose a customer, and why.

    With a contract running and a model learned: the probability to cancel within the horizon of the lessons; a
    reason is what sets the customer apart from the usual one, weight times difference. Else ``churn_probability``.

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
        name: weight * (figure - usual)
        for name, weight, figure, usual in zip(model.names, weights, x, model.usual, strict=True)
    }
    reasons = sorted(
        ((name, odds) for name, odds in added.items() if abs(odds) >= LEAST),
        key=lambda item: (-item[1], item[0]),
    )
    odds = base + sum([weight * figure for weight, figure in zip(weights, x, strict=True)])
    return Churn(sigmoid(odds), tuple(reasons), learned=True)
