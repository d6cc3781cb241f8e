"""The wire contracts: what goes in, what comes out. Validation and documents, no other logic."""

from schemas.action import ActionTaken
from schemas.alert import Alert, AlertEvent, Claim
from schemas.cloudevent import CloudEvent, RecordEvent
from schemas.customer import CustomerProfile
from schemas.deadletter import DeadLetterHeaders, Reason
from schemas.decision import Decision
from schemas.export import export
from schemas.metrics import Metrics, WindowValue
from schemas.model import ModelVersion
from schemas.record import DIMENSIONS, Record
from schemas.reply import SCALES, Reply
from schemas.rules import RulesVersion
from schemas.silence import Silence
from schemas.times import format_ms, to_ms
from schemas.touchpoint import Touchpoint

__all__ = [
    "DIMENSIONS",
    "SCALES",
    "ActionTaken",
    "Alert",
    "AlertEvent",
    "Claim",
    "CloudEvent",
    "CustomerProfile",
    "DeadLetterHeaders",
    "Decision",
    "Metrics",
    "ModelVersion",
    "Reason",
    "Record",
    "RecordEvent",
    "Reply",
    "RulesVersion",
    "Silence",
    "Touchpoint",
    "WindowValue",
    "export",
    "format_ms",
    "to_ms",
]
