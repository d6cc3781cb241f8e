"""What is done about topics that differ, and what is left: nothing that is done loses a record."""

from __future__ import annotations

from typing import Any

import pytest
from confluent_kafka import Producer

from stream.brokers import admin
from stream.brokers.admin import Difference, Extent, What
from stream.brokers.changes import Change, ChangeRefused, Do, apply, propose, seen
from stream.topics import ALERTS, METRICS, REPLIES, TOUCHPOINTS, Cleanup, TopicSpec, layout

APP = "cx-changes-test"
HOUR = 3_600_000
EMPTY = Extent(0, 0)


async def changes(bootstrap: str, partitions: int = 4, **options: Any) -> list[Change]:
    """What would be done."""
    differences = await admin.plan(bootstrap, layout(APP, partitions), **options)
    names = {each.topic for each in differences if each.what is not What.MISSING}
    return propose(differences, await admin.extents(bootstrap, names))


async def make(bootstrap: str, planned: list[Change], partitions: int = 4, **options: Any) -> None:
    """Make the changes, and wait until the broker shows them."""
    apply({"bootstrap.servers": bootstrap}, planned)
    await seen(planned, lambda: admin.plan(bootstrap, layout(APP, partitions), **options))


def one(what: What, want: str, found: str, extent: Extent = EMPTY) -> Change:
    """What is done about one difference of one topic."""
    [change] = propose([Difference(METRICS, what, want, found)], {METRICS: extent})
    return change


@pytest.mark.parametrize(
    ("what", "want", "found", "extent", "do"),
    [
        (What.RETENTION, "100", "50", Extent(0, 9), Do.ALTER),
        (What.RETENTION, "50", "100", Extent(0, 9), Do.LEAVE),
        (What.MAX_MESSAGE, "100", "50", Extent(0, 9), Do.ALTER),
        (What.MIN_ISR, "2", "1", Extent(0, 9), Do.ALTER),
        (What.REPLICATION, "3", "1", EMPTY, Do.LEAVE),
        (What.CLEANUP, "compact", "delete", Extent(0, 9), Do.ALTER),
        (What.CLEANUP, "compact", "delete", Extent(1, 9), Do.LEAVE),
        (What.CLEANUP, "delete", "compact", EMPTY, Do.ALTER),
        (What.CLEANUP, "delete", "compact", Extent(0, 1), Do.LEAVE),
        (What.PARTITIONS, "8", "4", EMPTY, Do.GROW),
        (What.PARTITIONS, "8", "4", Extent(0, 1), Do.LEAVE),
        (What.PARTITIONS, "8", "4", Extent(1, 1), Do.LEAVE),
        (What.PARTITIONS, "4", "8", EMPTY, Do.LEAVE),
        (What.MISSING, "4", "", EMPTY, Do.CREATE),
    ],
)
def test_only_what_loses_nothing_is_done(what: What, want: str, found: str, extent: Extent, do: Do) -> None:
    """A change that could delete a record, or take a key from its state, is left with a reason."""
    change = one(what, want, found, extent)
    assert change.do is do
    assert bool(change.why) == (do is Do.LEAVE)


def test_topics_grow_together_or_not_at_all() -> None:
    """One topic with records keeps all that would grow as they are: their keys meet in one partition."""
    differences = [Difference(name, What.PARTITIONS, "8", "4") for name in (TOUCHPOINTS, REPLIES, ALERTS)]
    assert {each.do for each in propose(differences, {})} == {Do.GROW}
    left = propose(differences, {REPLIES: Extent(0, 1)})
    assert {each.do for each in left} == {Do.LEAVE}
    assert "cx.replies hold records" in left[0].why
    assert "set CX_PARTITIONS=4, or see docs/production.md#more-partitions" in left[0].why


def test_lines_are_a_diff() -> None:
    """A plan reads as a diff: new, changed, left."""
    assert str(one(What.MISSING, "4", "")) == "+ cx.metrics  partitions 4"
    assert str(one(What.MIN_ISR, "2", "1")) == "~ cx.metrics  min.insync.replicas 1 -> 2"
    assert str(one(What.RETENTION, "1", "2")).startswith("! cx.metrics  retention.ms 2 -> 1; shorter would")


async def test_empty_topics_grow(empty: str) -> None:
    """Before the first record all topics that must grow do, and then the layout is as it must be."""
    await admin.create(empty, layout(APP, 4))
    planned = await changes(empty, 6)
    assert {each.do for each in planned} == {Do.GROW}
    await make(empty, planned, 6)
    assert await admin.plan(empty, layout(APP, 6)) == []


async def test_topics_with_records_do_not_grow(empty: str) -> None:
    """After the first record none does, and nothing of the broker has changed."""
    await admin.create(empty, layout(APP, 4))
    producer = Producer({"bootstrap.servers": empty})
    producer.produce(TOUCHPOINTS, b"{}", b"ada")
    assert producer.flush(20) == 0
    planned = await changes(empty, 6)
    assert {each.do for each in planned} == {Do.LEAVE}
    apply({"bootstrap.servers": empty}, planned)
    assert await admin.plan(empty, layout(APP, 4)) == []


async def test_what_can_be_altered_is_and_the_rest_of_a_topic_stays(empty: str) -> None:
    """Short retention is lengthened and min ISR raised; a setting that nobody named is as it was."""
    from aiokafka.admin import AIOKafkaAdminClient, NewTopic  # noqa: PLC0415

    client = AIOKafkaAdminClient(bootstrap_servers=empty)
    await client.start()
    own = {"cleanup.policy": "delete", "retention.ms": str(HOUR), "segment.ms": "123456"}
    await client.create_topics([NewTopic(REPLIES, 4, 1, topic_configs=own)])
    await client.close()
    await admin.create(empty, layout(APP, 4))
    planned = await changes(empty)
    assert [(each.difference.topic, each.difference.what, each.do) for each in planned] == [
        (REPLIES, What.RETENTION, Do.ALTER)
    ]
    await make(empty, planned)
    assert await admin.plan(empty, layout(APP, 4)) == []
    assert await _config(empty, REPLIES, "segment.ms") == "123456"


async def test_in_sync_replicas_are_set_and_checked(empty: str) -> None:
    """What is created has the min ISR asked for; fewer is told and can be altered."""
    await admin.create(empty, layout(APP, 4))
    planned = await changes(empty, min_isr=2)
    assert {(each.difference.what, each.do) for each in planned} == {(What.MIN_ISR, Do.ALTER)}
    assert len(planned) == len(layout(APP, 4))
    await make(empty, planned[:1], min_isr=2)
    assert len(await changes(empty, min_isr=2)) == len(planned) - 1
    spec = TopicSpec(REPLIES, Cleanup.DELETE, 4)
    await admin.delete(empty, [REPLIES])
    await admin.create(empty, [spec], min_isr=2)
    assert await admin.plan(empty, [spec], min_isr=2) == []


async def test_a_refusal_of_the_broker_names_the_topic(empty: str) -> None:
    """What the broker does not do is said with the topic and its own words."""
    await admin.create(empty, layout(APP, 4))
    wrong = Change(Difference(REPLIES, What.MIN_ISR, "0", "1"), Do.ALTER)
    with pytest.raises(ChangeRefused, match=r"cx\.replies: min\.insync\.replicas: "):
        apply({"bootstrap.servers": empty}, [wrong])


async def _config(bootstrap: str, topic: str, name: str) -> str:
    from aiokafka.admin import AIOKafkaAdminClient  # noqa: PLC0415
    from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType  # noqa: PLC0415

    client = AIOKafkaAdminClient(bootstrap_servers=bootstrap)
    await client.start()
    try:
        [answer] = await client.describe_configs(
            [ConfigResource(ConfigResourceType.TOPIC, topic, {name: None})]
        )
        return str(answer.resources[0][4][0][1])
    finally:
        await client.close()
