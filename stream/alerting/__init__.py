"""Rules in, alerts out, and a named reason for every decision; pure, in event time.

``rules`` reads a file into a typed book. ``conditions`` leads one rule on one slice through its life;
``lane`` puts the claims of all slices into one order; ``customer_rules`` looks at single records;
``events`` writes claims as CloudEvents. The syntax of rules is in ``docs/rules.md``.
"""

from __future__ import annotations

from .claims import Claim, ClaimRecord, MarkRecord, decode_record, encode_record
from .conditions import State, Step, decode_state, disposable, encode_state, step, wake_at
from .customer_rules import CustomerRules, Match
from .events import CONTENT_TYPE, encode_event, fingerprint, to_cloudevent
from .lane import Lane, LaneChanges
from .rules import RuleBook, RuleError, load_rules

__all__ = [
    "CONTENT_TYPE",
    "Claim",
    "ClaimRecord",
    "CustomerRules",
    "Lane",
    "LaneChanges",
    "MarkRecord",
    "Match",
    "RuleBook",
    "RuleError",
    "State",
    "Step",
    "decode_record",
    "decode_state",
    "disposable",
    "encode_event",
    "encode_record",
    "encode_state",
    "fingerprint",
    "load_rules",
    "step",
    "to_cloudevent",
    "wake_at",
]
