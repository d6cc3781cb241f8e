"""What a partition of the inputs is told and what it answers: configuration, dead letters, changes."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from schemas import Reason
from stream.customers import CustomerConfig
from stream.intake import Limits
from stream.measures import Groupings, Mark, PaneConfig, Partial
from stream.measures.declare import Declarations

if TYPE_CHECKING:
    from stream.alerting.claims import Claim, Decision
    from stream.alerting.contact import Outbox
    from stream.pipeline.merging import SourceRecord

Entry = tuple[bytes, bytes | None]

#: How a record ended. Every record of an input ends in exactly one of them.
DEADLETTER: Final = "deadletter"
LATE: Final = "late"
ERASED: Final = "erased"
#: Passed on to the partition of the id that stays, where it ends once more.
FORWARDED: Final = "forwarded"

TIME_DETAIL: Final[dict[str, str]] = {
    Reason.TOO_LATE: "occurred_at: behind the watermark by more than CX_LATE_HORIZON_MS",
    Reason.TOO_EARLY: "occurred_at: ahead of the record's timestamp by more than CX_MAX_AHEAD_MS",
}


@dataclass(frozen=True, slots=True)
class PipelineConfig:
    """What decides the outcome besides the input; the same values give the same outcome.

    Attributes:
        topics: the input topics, in the order of their codes ``t`` and ``r``.
        partitions: of each input topic.
        confidence: of published intervals.
        models_every_ms: event time between samples of customers for models; 0: none.
        models_sample: customers in such a sample, over all partitions.
        declared: the metrics, windows, journeys and the like.
    """

    topics: tuple[str, str]
    partitions: int
    groupings: Groupings
    limits: Limits = field(default_factory=Limits)
    panes: PaneConfig = field(default_factory=PaneConfig)
    customers: CustomerConfig = field(default_factory=CustomerConfig)
    confidence: float = 0.95
    models_every_ms: int = 0
    models_sample: int = 20_000
    declared: Declarations = field(default_factory=Declarations)

    @property
    def sources(self) -> frozenset[str]:
        """Every source topic-partition."""
        return frozenset(source_name(t, p) for t in self.topics for p in range(self.partitions))


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """A refused record, with where it stood and why; ``detail`` holds no value of the record."""

    record: SourceRecord
    topic: str
    reason: str
    detail: str


@dataclass(frozen=True, slots=True)
class Passed:
    """A record for another partition of the inputs: the key says which."""

    topic: str
    key: bytes
    value: bytes
    headers: list[tuple[str, bytes]]


@dataclass(slots=True)
class CustomersChanges:
    """What a batch came to, in the order in which it is made durable.

    First ``passed``, ``deadletters``, ``claims``, ``examples``, ``partials`` and then ``marks`` are published,
    awaited; then ``customers`` are written and awaited; then ``cells`` and, after them in the same log,
    ``sources``. So a customer that is durable may be ahead of its panes, never behind: a replay asks it what
    became of each record. The counters are for telling: ``verdicts`` by topic and verdict, ``decisions`` by
    reason, ``decided`` why alerts about customers were, or were not, told;
    ``misrouted`` (records not keyed by their customer) by topic, ``other_members`` by grouping, ``unpaired``
    (touchpoints that do not fit what is known of their reference, or hold no money where some is due) by reason.
    """

    passed: list[Passed] = field(default_factory=list)
    deadletters: list[DeadLetter] = field(default_factory=list)
    claims: list[Claim] = field(default_factory=list)
    partials: list[Partial] = field(default_factory=list)
    examples: list[bytes] = field(default_factory=list)
    marks: list[Mark] = field(default_factory=list)
    cells: list[Entry] = field(default_factory=list)
    customers: list[Entry] = field(default_factory=list)
    sources: list[Entry] = field(default_factory=list)
    done: dict[str, int] = field(default_factory=dict)  # topic -> offset up to which all is in
    verdicts: Counter[tuple[str, str]] = field(default_factory=Counter)
    decisions: Counter[str] = field(default_factory=Counter)
    decided: list[Decision] = field(default_factory=list)
    misrouted: Counter[str] = field(default_factory=Counter)
    other_members: Counter[str] = field(default_factory=Counter)
    unpaired: Counter[str] = field(default_factory=Counter)

    def took(self, outbox: Outbox) -> None:
        """Add what came of the rules on customers."""
        self.claims += outbox.claims
        self.decisions += outbox.counted
        self.decided += outbox.decided


def source_name(topic: str, partition: int) -> str:
    """Name of a source topic-partition in partials, marks and panes."""
    return f"{topic}/{partition}"
