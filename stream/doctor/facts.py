"""What is known of a deployment; None, or an empty collection, where it could not be asked."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from stream.alerting.model import RuleBook
    from stream.brokers.changes import Change
    from stream.settings import Settings


class Package(NamedTuple):
    """A distribution the engine reaches into: which versions it was made for, and which is here."""

    name: str
    wanted: str
    found: str
    fits: bool


class PartitionState(NamedTuple):
    """One partition of a topic as the brokers see it."""

    leader: int
    replicas: int
    in_sync: int


class TopicState(NamedTuple):
    """A topic of ours: its partitions, and its configuration as Kafka writes it."""

    partitions: Sequence[PartitionState]
    config: Mapping[str, str]


class Progress(NamedTuple):
    """Offsets of one input partition; ``committed`` None: the group has never committed."""

    first: int
    end: int
    committed: int | None


class Sample(NamedTuple):
    """A record of an input topic, from near its end."""

    partition: int
    key: bytes | None
    value: bytes
    timestamp_ms: int


class Group(NamedTuple):
    """The workers' consumer group."""

    state: str
    members: int
    progress: Mapping[tuple[str, int], Progress]


class RedisState(NamedTuple):
    """The Redis of the read model."""

    version: str
    clock_ms: int
    used_bytes: int
    most_bytes: int
    policy: str
    evicted: int
    slices: int


@dataclass(frozen=True, slots=True)
class Facts:
    """Everything the checks may look at."""

    now_ms: int
    environ: Mapping[str, str] = field(default_factory=dict)
    settings: Settings | None = None
    settings_problem: str | None = None
    book: RuleBook | None = None
    book_problem: str | None = None
    delivery_problem: str | None = None
    adapters_problem: str | None = None
    traces_problem: str | None = None
    open_files: int | None = None
    packages: Sequence[Package] = ()

    broker_problem: str | None = None
    brokers: int | None = None
    changes: Sequence[Change] = ()
    topics: Mapping[str, TopicState] = field(default_factory=dict)
    group: Group | None = None
    samples: Mapping[str, Sequence[Sample]] = field(default_factory=dict)
    metrics_records: int = 0
    deadletters: Mapping[str, int] = field(default_factory=dict)
    refused_versions: Sequence[str] = ()
    rules_versions: int = 0
    unfinished_erasure: bool = False

    redis_problem: str | None = None
    redis: RedisState | None = None
    worker_problem: str | None = None
