"""Mistakes about Kafka: each made on a real one, each found."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from typing import Any

import pytest
from confluent_kafka import Consumer, Producer, TopicPartition
from confluent_kafka import admin as kafka_admin

from schemas.erasure import REWRITE, RewriteMark
from stream import topics
from stream.brokers.security import confluent_config
from stream.doctor import Facts, Finding, examine, look
from stream.doctor.facts import PartitionState, TopicState
from stream.settings import Settings
from tests.conftest import Deployment

Deploy = Callable[..., Deployment]
NOW = round(time.time() * 1000)


def settings_of(place: Deployment, **more: Any) -> Settings:
    """Settings of a deployment without Redis and worker."""
    given = {
        "brokers": place.bootstrap,
        "partitions": place.partitions,
        "app_id": place.app_id,
        "redis_url": "",
    }
    return Settings(_env_file=None, http_port=0, **(given | more))  # type: ignore[call-arg]


def findings(settings: Settings) -> dict[str, Finding]:
    """What the doctor finds, by check; the last of each."""
    return {each.check: each for each in examine(look(settings, None, {}))}


def reply(customer: str, **more: Any) -> bytes:
    """A reply of now."""
    at = round(time.time() * 1000)
    record = {
        "event_id": f"{customer}-{at}",
        "customer_id": customer,
        "occurred_at": at,
        "metric": "nps",
        "score": 3,
    }
    return json.dumps(record | more).encode()


def send(
    place: Deployment, *records: tuple[str | None, bytes], topic: str = topics.REPLIES, **config: Any
) -> None:
    """Send with keys as they are given; partitioned as the Java client does."""
    producer = Producer({"bootstrap.servers": place.bootstrap, "partitioner": "murmur2_random", **config})
    for key, value in records:
        producer.produce(topic, value, key)
    assert producer.flush(10) == 0


def commit(place: Deployment, offset: int) -> None:
    """Say that the workers have read partition 0 of the replies so far."""
    member = Consumer({"bootstrap.servers": place.bootstrap, "group.id": place.app_id})
    member.commit(offsets=[TopicPartition(topics.REPLIES, 0, offset)], asynchronous=False)
    member.close()


def configure(place: Deployment, topic: str, **values: str) -> None:
    """Change a topic's settings."""
    api: Any = kafka_admin
    changes = [
        api.ConfigEntry(name.replace("_", "."), value, incremental_operation=api.AlterConfigOpType.SET)
        for name, value in values.items()
    ]
    resource = api.ConfigResource(api.ResourceType.TOPIC, topic, incremental_configs=changes)
    client = api.AdminClient({"bootstrap.servers": place.bootstrap})
    for future in client.incremental_alter_configs([resource]).values():
        future.result(10)


def test_nothing_is_found_where_nothing_is_wrong(deploy: Deploy) -> None:
    """But notes: no worker runs yet, and there are no rules."""
    found = findings(settings_of(deploy(2)))
    assert set(found) <= {"workers-none", "rules-none"}


def test_broker_away() -> None:
    """Nobody listens; the text says what to look at."""
    settings = Settings(_env_file=None, brokers="localhost:9", redis_url="", http_port=0)  # type: ignore[call-arg]
    assert "nobody listens" in findings(settings)["broker-away"].what


def test_topic_missing(deploy: Deploy) -> None:
    """Another app id has other changelogs."""
    place = deploy(2)
    assert "other-customers-changelog" in findings(settings_of(place, app_id="other"))["topic-missing"].what


def test_topic_different(deploy: Deploy) -> None:
    """Partitions as they are not."""
    place = deploy(2)
    assert "partitions" in findings(settings_of(place, partitions=3))["topic-different"].what


def test_retention_short(deploy: Deploy) -> None:
    """An hour is less than records may be late."""
    place = deploy(2)
    configure(place, topics.REPLIES, retention_ms="3600000")
    assert topics.REPLIES in findings(settings_of(place))["retention-short"].what


def test_min_isr_unreachable(deploy: Deploy) -> None:
    """Two copies wanted in sync, and one broker."""
    place = deploy(2)
    configure(place, topics.ALERTS, min_insync_replicas="2")
    assert "every write is refused" in findings(settings_of(place))["min-isr-unreachable"].what


def test_workers_none(deploy: Deploy) -> None:
    """What waits is counted."""
    place = deploy(2)
    send(place, ("a", reply("a")), ("b", reply("b")))
    assert "2 records wait" in findings(settings_of(place))["workers-none"].what


def test_workers_idle_and_behind(deploy: Deploy) -> None:
    """A group of three on two partitions, and a batch of records that nobody takes."""
    place = deploy(2)
    send(place, *[(f"c-{i}", reply(f"c-{i}")) for i in range(60)])
    members = [
        Consumer({"bootstrap.servers": place.bootstrap, "group.id": place.app_id, "session.timeout.ms": 6000})
        for _ in range(3)
    ]
    try:
        deadline = time.monotonic() + 30
        for member in members:
            member.subscribe([topics.REPLIES])
        while time.monotonic() < deadline:
            for member in members:
                member.poll(0.1)
            found = findings(settings_of(place, max_batch_records=1))
            if "workers-idle" in found:
                break
    finally:
        for member in members:
            member.close()
    assert "3 workers share 2 partitions" in found["workers-idle"].what
    assert "records wait" in found["workers-behind"].what


def test_records_gone_unread(deploy: Deploy) -> None:
    """Records deleted before anyone read them."""
    place = deploy(1)
    send(place, *[("a", reply("a")) for _ in range(5)])
    commit(place, 1)
    api: Any = kafka_admin
    client = api.AdminClient({"bootstrap.servers": place.bootstrap})
    for future in client.delete_records([TopicPartition(topics.REPLIES, 0, 4)]).values():
        future.result(10)
    assert "3 records are gone" in findings(settings_of(place))["records-gone-unread"].what


def test_offsets_beyond_the_end(deploy: Deploy) -> None:
    """The group had read more than there is: the topic was made anew."""
    place = deploy(1)
    send(place, ("a", reply("a")))
    commit(place, 7)
    assert "had read up to 7" in findings(settings_of(place))["offsets-beyond-the-end"].what


def test_erasure_unfinished(deploy: Deploy) -> None:
    """The mark of a rewrite that was cut short."""
    place = deploy(1)
    mark = RewriteMark.model_validate_json(json.dumps({"run": "ab" * 8, "started_at": NOW}))
    send(place, (REWRITE, mark.model_dump_json().encode()), topic=topics.ERASURES)
    assert "interrupted" in findings(settings_of(place))["erasure-unfinished"].what


def test_key_is_no_customer(deploy: Deploy) -> None:
    """Keyed by something else."""
    place = deploy(2)
    send(place, *[(f"order-{i}", reply("a")) for i in range(20)])
    assert "not keyed by their customer_id" in findings(settings_of(place))["key-is-no-customer"].what


def test_partition_not_of_key(deploy: Deploy) -> None:
    """Librdkafka's own way of choosing partitions."""
    place = deploy(4)
    send(place, *[(f"c-{i}", reply(f"c-{i}")) for i in range(40)], partitioner="consistent")
    found = findings(settings_of(place))
    assert "another partition" in found["partition-not-of-key"].what
    assert "key-is-no-customer" not in found


def test_records_refused(deploy: Deploy) -> None:
    """What would be dead letters, by reason and without their content."""
    place = deploy(1)
    send(place, *[("a", reply("a", score="secret-3")) for _ in range(5)])
    finding = findings(settings_of(place))["records-refused"]
    assert "5 bad_type" in finding.what
    assert "secret" not in finding.what


@pytest.mark.parametrize(("hours", "words"), [(2, "ahead"), (-60, "later than")])
def test_event_time_off(deploy: Deploy, hours: int, words: str) -> None:
    """A clock that is hours wrong, either way."""
    place = deploy(1)
    at = round(time.time() * 1000) + hours * 3_600_000
    send(place, *[("a", reply("a", occurred_at=at)) for _ in range(5)])
    assert words in findings(settings_of(place))["event-time-off"].what


def test_deadletters_new(deploy: Deploy) -> None:
    """Letters of the last hour, by reason; the note that one was sent again is none."""
    place = deploy(1)
    producer = Producer({"bootstrap.servers": place.bootstrap})
    producer.produce(topics.DEADLETTERS, b"{", "a", headers={"reason": b"not_json"})
    producer.produce(topics.DEADLETTERS, b"", "a", headers={"cx-redriven": b"1"})
    assert producer.flush(10) == 0
    assert findings(settings_of(place))["deadletters-new"].what == "dead letters of the last hour: 1 not_json"


def test_rules_version_refused(deploy: Deploy) -> None:
    """A version that workers leave out."""
    place = deploy(1)
    send(place, ("2026-03-01T12:00:00Z", b'{"rules": 7}'), topic=topics.RULES)
    assert "cx.rules" in findings(settings_of(place))["rules-version-refused"].what


def test_inputs_silent(deploy: Deploy) -> None:
    """The newest record is of this morning."""
    place = deploy(1)
    producer = Producer({"bootstrap.servers": place.bootstrap})
    producer.produce(topics.REPLIES, reply("a"), "a", timestamp=round(time.time() * 1000) - 5 * 3_600_000)
    assert producer.flush(10) == 0
    assert "5 hours ago" in findings(settings_of(place))["inputs-silent"].what


def test_partition_without_leader_and_under_replicated_and_replicas_one(deploy: Deploy) -> None:
    """What a cluster of several brokers can show, from facts: there is one broker here."""
    settings = settings_of(deploy(1))
    states = {
        topics.ALERTS: TopicState(
            [PartitionState(-1, 3, 0), PartitionState(1, 3, 2), PartitionState(2, 3, 3)], {}
        )
    }
    found = {each.check: each for each in examine(Facts(NOW, settings=settings, brokers=3, topics=states))}
    assert "partitions 0 have no leader" in found["partition-without-leader"].what
    assert "partitions 1 have replicas out of sync" in found["partition-under-replicated"].what
    assert "3 brokers" in found["replicas-one"].what


def test_what_is_shown_holds_no_secret(deploy: Deploy) -> None:
    """Whatever is found, no password is in it."""
    settings = settings_of(deploy(1), redis_url="redis://:hush-hush@redis.example:1/0")
    assert confluent_config(settings)
    text = " ".join(each.what + each.cure for each in examine(look(settings, None, {})))
    assert "hush" not in text
