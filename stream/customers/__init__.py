"""One customer's state, folded event by event: exact under replay, small, and read as named signals."""

from __future__ import annotations

from .fold import APPLIED, DUPLICATE, REPLAYED, TOPIC_CODES, fold, was_applied
from .risk import PRIOR, Risk, churn_risk
from .signals import SIGNALS, signals
from .state import Customer, CustomerConfig, decode, encode, stamp_of

__all__ = [
    "APPLIED",
    "DUPLICATE",
    "PRIOR",
    "REPLAYED",
    "SIGNALS",
    "TOPIC_CODES",
    "Customer",
    "CustomerConfig",
    "Risk",
    "churn_risk",
    "decode",
    "encode",
    "fold",
    "signals",
    "stamp_of",
    "was_applied",
]
