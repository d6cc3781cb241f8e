"""One customer's state, folded event by event: exact under replay, small, and read as named signals."""

from __future__ import annotations

from .contribute import Contributor, Telling
from .fold import APPLIED, DUPLICATE, REPLAYED, TOPIC_CODES, fold, was_applied
from .identity import customer_hash
from .risk import PRIOR, Churn, churn_probability
from .signals import SIGNALS, signal, signals
from .state import Customer, CustomerConfig, decode, encode, stamp_of
from .value import ValueModel

__all__ = [
    "APPLIED",
    "DUPLICATE",
    "PRIOR",
    "REPLAYED",
    "SIGNALS",
    "TOPIC_CODES",
    "Churn",
    "Contributor",
    "Customer",
    "CustomerConfig",
    "Telling",
    "ValueModel",
    "churn_probability",
    "customer_hash",
    "decode",
    "encode",
    "fold",
    "signal",
    "signals",
    "stamp_of",
    "was_applied",
]
