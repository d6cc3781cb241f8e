"""Every topic, table, consumer group and Redis key name, in one place.

Input and output topics are contracts: producers and subscribers build on them.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Final

# Inputs
TOUCHPOINTS: Final = "cx.touchpoints"
REPLIES: Final = "cx.replies"
INPUTS: Final = (TOUCHPOINTS, REPLIES)
ACTIONS: Final = "cx.actions"  # what became of alerts, from downstream

# What every worker reads whole and follows, and the command line writes: one partition each
RULES: Final = "cx.rules"
SILENCES: Final = "cx.silences"
MODELS: Final = "cx.models"  # versions of what was fitted or learned, each with the moment it holds from
ERASURES: Final = "cx.erasures"  # who must be forgotten: fingerprints of ids, never ids
#: Of consumers that erase: never joined, nothing is committed under it, yet brokers are asked about it.
ERASING_GROUP: Final = "cx-erase"
FEEDS: Final = (RULES, SILENCES, MODELS)

# Between the agents
PARTIALS: Final = "cx.partials"
CLAIMS: Final = "cx.claims"
REDRIVES: Final = "cx.redrives"  # deliveries that are to be tried again, from the command line
EXAMPLES: Final = "cx.examples"  # what models are fitted to and learn from; nobody is named in them
BETWEEN: Final = (PARTIALS, CLAIMS, EXAMPLES)  # nobody else writes these: records have a format

# Outputs
METRICS: Final = "cx.metrics"
ALERTS: Final = "cx.alerts"
DECISIONS: Final = "cx.decisions"
CUSTOMERS: Final = "cx.customers"  # profiles, on change
DEADLETTERS: Final = "cx.deadletters"

#: Logs in which people are named, in the order in which an erasure looks through them: which actions go is known
#: by the alerts that go.
NAMING: Final = (*INPUTS, DEADLETTERS, ALERTS, ACTIONS)

# Tables (Faust names their changelog topics after the app)
CUSTOMERS_TABLE: Final = "customers"
PANES_TABLE: Final = "panes"
WINDOWS_TABLE: Final = "windows"
LANE_TABLE: Final = "lane"
MODELS_TABLE: Final = "models"
DELIVERIES_TABLE: Final = "deliveries"

# Redis keys of the read model
REDIS_METRICS: Final = "cx:metrics"  # hash: slice key -> newest cx.metrics object
REDIS_ALERTS: Final = "cx:alerts:active"  # hash: fingerprint -> newest firing cx.alerts object
REDIS_ENDED: Final = "cx:alerts:ended"  # hash: fingerprint -> newest cx.alerts object of one that is over
REDIS_RECENT: Final = "cx:alerts:recent"  # stream of bounded length: every cx.alerts object
REDIS_CUSTOMERS: Final = "cx:customers"  # hash: customer id -> newest cx.customers object
REDIS_AT_RISK: Final = "cx:customers:at_risk"  # and a currency: sorted set: customer id by value at risk
REDIS_SERIES: Final = "cx:series"  # and a slice: hash: metric and window -> final values over time


def changelog(app_id: str, table: str) -> str:
    """Name of a table's changelog topic, as Faust forms it."""
    return f"{app_id}-{table}-changelog"


def naming_by_key(app_id: str) -> tuple[str, ...]:
    """Compacted topics in which people are named: what stands there goes with a tombstone of its key."""
    return changelog(app_id, CUSTOMERS_TABLE), CUSTOMERS, DECISIONS


_DAY_MS: Final = 24 * 3600 * 1000


class Cleanup(StrEnum):
    """Kafka's ``cleanup.policy``."""

    DELETE = "delete"
    COMPACT = "compact"


@dataclass(frozen=True, slots=True)
class TopicSpec:
    """How one topic must look on the broker.

    ``partitions`` None stands for the deployment's ``CX_PARTITIONS``, other None for the broker's default.
    """

    name: str
    cleanup: Cleanup
    partitions: int | None = None
    retention_ms: int | None = None
    max_message_bytes: int | None = None


@dataclass(frozen=True, slots=True)
class Retention:
    """How long Kafka keeps what names people, milliseconds: events, alerts and what was done, dead letters."""

    inputs_ms: int = 7 * _DAY_MS
    alerts_ms: int = 28 * _DAY_MS
    deadletters_ms: int = 28 * _DAY_MS


def layout(app_id: str, partitions: int, retention: Retention = Retention()) -> tuple[TopicSpec, ...]:
    """Every topic cx-pulse needs, with its partitions and clean-up policy."""
    week = 7 * _DAY_MS
    return (
        TopicSpec(TOUCHPOINTS, Cleanup.DELETE, partitions, retention.inputs_ms),
        TopicSpec(REPLIES, Cleanup.DELETE, partitions, retention.inputs_ms),
        TopicSpec(PARTIALS, Cleanup.DELETE, partitions, week),
        TopicSpec(CLAIMS, Cleanup.DELETE, 1, week),
        TopicSpec(METRICS, Cleanup.COMPACT, partitions),
        TopicSpec(ALERTS, Cleanup.DELETE, partitions, retention.alerts_ms),
        TopicSpec(DECISIONS, Cleanup.COMPACT, partitions),
        TopicSpec(ACTIONS, Cleanup.DELETE, partitions, retention.alerts_ms),
        # A rules file of the largest size, as JSON, is more than Kafka takes by default.
        TopicSpec(RULES, Cleanup.COMPACT, 1, None, 4 * 1024 * 1024),
        TopicSpec(SILENCES, Cleanup.COMPACT, 1),
        TopicSpec(MODELS, Cleanup.COMPACT, 1),
        TopicSpec(ERASURES, Cleanup.COMPACT, 1),
        TopicSpec(REDRIVES, Cleanup.DELETE, partitions, week),
        TopicSpec(EXAMPLES, Cleanup.DELETE, 1, 4 * week),
        TopicSpec(CUSTOMERS, Cleanup.COMPACT, partitions),
        # Twice what Kafka takes by default: the largest input record and the headers that say why it is here.
        TopicSpec(DEADLETTERS, Cleanup.DELETE, partitions, retention.deadletters_ms, 2 * 1024 * 1024),
        TopicSpec(changelog(app_id, CUSTOMERS_TABLE), Cleanup.COMPACT, partitions),
        TopicSpec(changelog(app_id, PANES_TABLE), Cleanup.COMPACT, partitions),
        TopicSpec(changelog(app_id, WINDOWS_TABLE), Cleanup.COMPACT, partitions),
        TopicSpec(changelog(app_id, LANE_TABLE), Cleanup.COMPACT, 1),
        TopicSpec(changelog(app_id, MODELS_TABLE), Cleanup.COMPACT, 1),
        TopicSpec(changelog(app_id, DELIVERIES_TABLE), Cleanup.COMPACT, partitions),
    )
