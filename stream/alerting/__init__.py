"""Rules in, alerts out, and a named reason for every decision; pure, in event time.

``rules`` reads a file into a typed book. ``conditions`` says when a rule over a metric crosses its line, ``life``
leads it on one slice through its life, ``judge`` all of them on all slices; ``lane`` puts the claims of all slices
into one order; ``customer_rules`` looks at single records; ``events`` writes claims as CloudEvents. The syntax of
rules is in ``docs/rules.md``.
"""

from __future__ import annotations

from .claims import Claim, ClaimRecord, MarkRecord, decode_record, encode_record
from .customer_rules import CustomerRules, Match
from .events import CONTENT_TYPE, encode_event, fingerprint, to_cloudevent
from .judge import Judge, Judgement
from .lane import Lane, LaneChanges
from .life import State, Step, step
from .rules import RuleBook, RuleError, load_rules

__all__ = [
    "CONTENT_TYPE",
    "Claim",
    "ClaimRecord",
    "CustomerRules",
    "Judge",
    "Judgement",
    "Lane",
    "LaneChanges",
    "MarkRecord",
    "Match",
    "RuleBook",
    "RuleError",
    "State",
    "Step",
    "decode_record",
    "encode_event",
    "encode_record",
    "fingerprint",
    "load_rules",
    "step",
    "to_cloudevent",
]
