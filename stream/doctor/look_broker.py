"""The facts of Kafka: topics, the group, and the newest records."""

from __future__ import annotations

import asyncio
from collections import Counter
from typing import TYPE_CHECKING, Any, Final

from aiokafka.errors import KafkaError
from confluent_kafka import KafkaException
from confluent_kafka import admin as kafka_admin

from stream import topics
from stream.brokers import admin
from stream.brokers.changes import propose
from stream.brokers.security import aiokafka_security, confluent_config
from stream.doctor.facts import Group, PartitionState, Progress, Sample, TopicState
from stream.feeds import Refused as VersionRefused
from stream.feeds import decode_version
from stream.privacy.broker import Broker
from stream.privacy.entries import Entry, Refused, Source
from stream.privacy.register import Register

if TYPE_CHECKING:
    from collections.abc import Iterator

    from stream.alerting.model import RuleBook
    from stream.settings import Settings

SAMPLES: Final = 500
"""Records looked at from the end of each input partition."""
_HOUR_MS: Final = 3_600_000
_ANSWER_S: Final = 10.0


def look_at_broker(settings: Settings, book: RuleBook | None, now_ms: int) -> dict[str, Any]:
    """What can be known of the brokers, by the names of `Facts`."""
    layout = topics.layout(settings.app_id, settings.partitions, settings.retention)
    security = aiokafka_security(settings)
    try:
        differences = asyncio.run(
            admin.plan(settings.brokers, layout, settings.replication, security, min_isr=settings.in_sync)
        )
        extents = asyncio.run(admin.extents(settings.brokers, [each.name for each in layout], security))
    except (admin.BrokerAway, KafkaError, TimeoutError, ValueError) as error:
        return {"broker_problem": str(error)}
    found: dict[str, Any] = {"changes": propose(differences, extents)}
    broker = Broker(settings)
    try:
        found |= _states(settings, broker, [each.name for each in layout])
        found |= _records(settings, broker, book, now_ms)
    except (Refused, KafkaException) as error:
        found["broker_problem"] = f"the broker answers, and refuses to be looked at: {error}"
    finally:
        broker.close()
    return found


def _states(settings: Settings, broker: Broker, names: list[str]) -> dict[str, Any]:
    cluster = kafka_admin.AdminClient({**confluent_config(settings), "log_level": 0}).list_topics(
        timeout=_ANSWER_S
    )
    there = [name for name in names if name in cluster.topics]
    configs = broker.configs(there)
    states = {
        name: TopicState(
            [
                PartitionState(partition.leader, len(partition.replicas), len(partition.isrs))
                for _, partition in sorted(cluster.topics[name].partitions.items())
            ],
            {key: value for key, (value, _) in configs.get(name, {}).items()},
        )
        for name in there
    }
    sources = broker.sources(topics.INPUTS)
    committed = broker.committed(settings.app_id, sources)
    members = broker.members(settings.app_id)
    progress = {
        (source.topic, source.partition): Progress(*broker.span(source), committed.get(source))
        for source in sources
    }
    return {
        "brokers": len(cluster.brokers),
        "topics": states,
        "group": Group("STABLE" if members else "EMPTY", max(members, 0), progress),
    }


def _records(settings: Settings, broker: Broker, book: RuleBook | None, now_ms: int) -> dict[str, Any]:
    found: dict[str, Any] = {"samples": {}}
    for topic in topics.INPUTS:
        found["samples"][topic] = [
            Sample(source.partition, entry.key, entry.value or b"", entry.timestamp)
            for source in broker.sources([topic])
            for entry in _last(broker, source)
        ]
    reasons = Counter(
        reason
        for source in broker.sources([topics.DEADLETTERS])
        for entry in _last(broker, source)
        if entry.timestamp >= now_ms - _HOUR_MS and (reason := _reason(entry))
    )
    found["deadletters"] = dict(reasons)
    ends = [broker.span(source) for source in broker.sources([topics.METRICS])]
    found["metrics_records"] = sum(end - first for first, end in ends)
    found |= _versions(settings, broker, book)
    if broker.sources([topics.ERASURES]):
        found["unfinished_erasure"] = Register(broker, settings).mark is not None
    return found


def _last(broker: Broker, source: Source) -> Iterator[Entry]:
    first, end = broker.span(source)
    yield from broker.read(source, max(first, end - SAMPLES), end)


def _reason(entry: Entry) -> str:
    """Of a dead letter; empty for the note that one was sent again."""
    found = dict(entry.headers).get("reason", "")
    return found.decode(errors="replace") if isinstance(found, bytes) else str(found or "")


def _versions(settings: Settings, broker: Broker, book: RuleBook | None) -> dict[str, Any]:
    if book is None:
        return {}
    newest: dict[bytes | None, bytes | None] = {}
    for source in broker.sources([topics.RULES]):
        for entry in broker.read(source, *broker.span(source)):
            newest[entry.key] = entry.value
    refused = []
    held = {key: value for key, value in newest.items() if value is not None}
    for key, value in held.items():
        try:
            decode_version(key, value, settings, book)
        except VersionRefused as error:
            refused.append(str(error))
    return {"rules_versions": len(held), "refused_versions": refused}
