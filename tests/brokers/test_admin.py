"""Topics on the broker against the layout."""

from __future__ import annotations

import pytest
from aiokafka.errors import InvalidReplicationFactorError

from stream.brokers.admin import BrokerAway, Difference, LayoutWrong, What, check, create, plan
from stream.brokers.embedded import EmbeddedKafka
from stream.topics import METRICS, REPLIES, TOUCHPOINTS, Cleanup, TopicSpec, layout

APP = "cx-admin-test"
WANTED = layout(APP, 4)
WEEK = str(7 * 24 * 3600 * 1000)


async def test_everything_is_missing_at_first(empty: str) -> None:
    """On a new broker the plan lists every topic, in the layout's order."""
    differences = await plan(empty, WANTED)
    assert [(d.topic, d.what) for d in differences] == [(topic.name, What.MISSING) for topic in WANTED]
    assert differences[3] == Difference("cx.claims", What.MISSING, "1", "")


async def test_what_is_created_passes_the_check(empty: str) -> None:
    """After create nothing differs: partitions, compaction and retention are the layout's."""
    assert await create(empty, WANTED) == [topic.name for topic in WANTED]
    assert await check(empty, WANTED) == []


async def test_creating_twice_is_fine(empty: str) -> None:
    """A second create makes only what is still missing."""
    await create(empty, WANTED[:3])
    assert await create(empty, WANTED) == [topic.name for topic in WANTED[3:]]
    assert await create(empty, WANTED) == []


async def test_wrong_partitions_are_refused(empty: str) -> None:
    """Other partitions than the layout's are one clear error, naming topic, found and wanted."""
    await create(empty, layout(APP, 4))
    with pytest.raises(LayoutWrong) as caught:
        await check(empty, layout(APP, 8))
    assert Difference(REPLIES, What.PARTITIONS, "8", "4") in caught.value.differences
    assert "cx.replies: partitions is 4, must be 8" in str(caught.value)
    assert "cx.claims" not in str(caught.value)


@pytest.mark.parametrize("cleanup", ["delete", "compact,delete"])
async def test_missing_compaction_is_refused(empty: str, cleanup: str) -> None:
    """A table's topic that also deletes by time would lose state: refused."""
    await create(empty, [topic for topic in WANTED if topic.name != METRICS])
    await _create_with(empty, METRICS, 4, {"cleanup.policy": cleanup})
    await create(empty, WANTED)  # makes nothing, and waits until all are in sight
    with pytest.raises(LayoutWrong) as caught:
        await check(empty, WANTED)
    assert caught.value.differences == (Difference(METRICS, What.CLEANUP, "compact", cleanup),)


async def test_compaction_of_an_input_is_refused(empty: str) -> None:
    """Compacting an input topic would drop a customer's earlier events: refused."""
    await create(empty, [topic for topic in WANTED if topic.name != TOUCHPOINTS])
    await create(empty, [TopicSpec(TOUCHPOINTS, Cleanup.COMPACT, 4)])
    with pytest.raises(LayoutWrong, match=r"cx\.touchpoints: cleanup\.policy is compact, must be delete"):
        await check(empty, WANTED)


async def test_another_retention_is_told_and_does_not_block(empty: str) -> None:
    """How long inputs are kept is an operator's choice: told, not refused."""
    await create(empty, [TopicSpec(REPLIES, Cleanup.DELETE, 4, 3_600_000)])
    await create(empty, WANTED)
    assert await check(empty, WANTED) == [Difference(REPLIES, What.RETENTION, WEEK, "3600000")]


async def test_keeping_for_ever_is_fine(empty: str) -> None:
    """Unlimited retention keeps at least what the layout asks for."""
    await create(empty, [TopicSpec(REPLIES, Cleanup.DELETE, 4, -1)])
    await create(empty, WANTED)
    assert await plan(empty, WANTED) == []


async def test_fewer_replicas_are_told(empty: str) -> None:
    """Fewer replicas than wanted are told for every topic, and do not block a start."""
    await create(empty, WANTED)
    differences = await check(empty, WANTED, replication=3)
    assert differences == [Difference(topic.name, What.REPLICATION, "3", "1") for topic in WANTED]


async def test_more_replicas_than_brokers_are_refused_by_name(empty: str) -> None:
    """The broker's refusal names the topic and reaches the caller."""
    with pytest.raises(InvalidReplicationFactorError, match=r"topic cx\.touchpoints: .*replication factor"):
        await create(empty, WANTED, replication=3)


async def test_a_missing_topic_says_how_to_make_it(empty: str) -> None:
    """The error for missing topics names the command that creates them."""
    with pytest.raises(LayoutWrong, match=r"cx\.claims: missing \(partitions wanted: 1\)") as caught:
        await check(empty, WANTED)
    assert "cx topics create" in str(caught.value)


async def test_no_broker_is_told_apart() -> None:
    """Nobody at the address is BrokerAway, naming the address: to be retried, not a wrong layout."""
    with pytest.raises(BrokerAway, match=r"127\.0\.0\.1:1: nobody listens there \(CX_BROKERS\)"):
        await plan("127.0.0.1:1", WANTED)


async def test_a_broker_that_cannot_describe_is_judged_by_partitions() -> None:
    """The embedded broker knows no configurations; its partitions are checked all the same."""
    with EmbeddedKafka(WANTED) as embedded:
        assert await plan(embedded.bootstrap, WANTED) == []
        differences = await plan(embedded.bootstrap, layout(APP, 3))
    assert Difference(REPLIES, What.PARTITIONS, "3", "4") in differences


async def test_connection_arguments_reach_the_client() -> None:
    """What `security` holds goes to aiokafka's client as it is."""
    with pytest.raises(BrokerAway, match="TLS"), EmbeddedKafka() as embedded:
        await plan(
            embedded.bootstrap, WANTED, security={"security_protocol": "SSL", "ssl_context": _context()}
        )


def _context() -> object:
    import ssl  # noqa: PLC0415

    return ssl.create_default_context()


async def _create_with(bootstrap: str, name: str, partitions: int, config: dict[str, str]) -> None:
    from aiokafka.admin import AIOKafkaAdminClient, NewTopic  # noqa: PLC0415

    client = AIOKafkaAdminClient(bootstrap_servers=bootstrap)
    await client.start()
    try:
        await client.create_topics([NewTopic(name, partitions, 1, topic_configs=config)])
    finally:
        await client.close()
