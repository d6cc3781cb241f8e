"""Formats of what is written for later: older ones are migrated, newer ones refused, the first costs nothing."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from aiokafka import TopicPartition

from stream.engine import Batch, BatchTable, Format, Lanes, NewerFormat, Outgoing
from stream.engine.formats import HEADER, Migrated
from stream.engine.recovery import read_changelogs
from tests.engine.rig import Rig, crashed, producing, running
from tests.waiting import eventually

if TYPE_CHECKING:
    from stream.engine import BatchApp


def second(version: int, key: bytes | None, value: bytes) -> bytes | None:
    """Format 2: what was ``text`` is ``2:text``; what has become needless goes."""
    assert version == 1
    return None if key == b"needless" else b"2:" + value


TWO = Format(2, second)


async def recover(app: BatchApp, table: BatchTable) -> None:
    """Forget a table and read it from its changelog."""
    table.drop(0)
    consumer = app.new_consumer(fetch_max_wait_ms=50)
    await consumer.start()
    try:
        await read_changelogs(consumer, {TopicPartition(table.changelog_topic_name, 0): (table, 0)})
    finally:
        await consumer.stop()


async def test_a_table_of_an_older_version_is_migrated(rig: Rig) -> None:
    """What the version before has written is read as this one has it; what this one writes stays as it is."""
    await rig.changelog("kept")
    old = rig.app("input")
    kept = old.batch_table("kept", source="input")
    async with producing(old):
        await kept.write(0, [(b"a", b"one"), (b"needless", b"x"), (b"gone", b"y"), (b"gone", None)])
    new = rig.app("input")
    table = new.batch_table("kept", source="input", format=TWO)
    await recover(new, table)
    assert table.partition(0) == {b"a": b"2:one"}
    async with producing(new):
        await table.write(0, [(b"b", b"2:two")])
    await recover(new, table)
    assert table.partition(0) == {b"a": b"2:one", b"b": b"2:two"}


async def test_a_table_of_a_newer_version_is_refused(rig: Rig) -> None:
    """The version before does not touch what it would only half understand; it says who can, and no value."""
    topic = await rig.changelog("kept")
    new = rig.app("input")
    async with producing(new):
        await new.batch_table("kept", source="input", format=TWO).write(0, [(b"anna", b"2:secret")])
    old = rig.app("input")
    with pytest.raises(
        NewerFormat, match=rf"{topic}/0 offset 0: written in format 2 .* up to 1; start "
    ) as told:
        await recover(old, old.batch_table("kept", source="input"))
    assert "secret" not in str(told.value)
    assert "anna" not in str(told.value)


async def test_the_first_format_says_nothing(rig: Rig) -> None:
    """Records of format 1 carry no header: what was written before there were formats is format 1."""
    topic = await rig.changelog("kept")
    app = rig.app("input")
    async with producing(app):
        await app.batch_table("kept", source="input").write(0, [(b"a", b"one")])
    [record] = (await rig.read(topic))[0]
    assert not record.headers


async def test_messages_between_agents_have_formats_too(rig: Rig) -> None:
    """A topic with a format: older messages come migrated, newer ones stop an older worker."""
    topic = await rig.topic()
    rig.send(topic, [(b"k", b"old")])
    new = rig.app(topic, formats={topic: TWO})
    found: list[bytes | None] = []

    async def take(_partition: int, batches: list[Batch]) -> None:
        found.extend(record.value for batch in batches for record in batch.records)

    rig.consume(new, Lanes(new, take), topic)
    async with running(new):
        await eventually(lambda: found == [b"2:old"])
        await new.batch_producer.send_many(topic, [Outgoing(b"k", b"2:new")])
        await eventually(lambda: found == [b"2:old", b"2:new"])
        await eventually(lambda: rig.committed(topic) == 2)
        await eventually(lambda: rig.committed(topic) == 2)
    third = rig.app(topic, formats={topic: TWO})
    async with producing(third):
        await third.batch_producer.send_many(topic, [Outgoing(b"k", b"2:not for the old")])
    old = rig.app(topic, formats={topic: Format()})
    rig.consume(old, Lanes(old, take), topic)
    async with running(old):
        assert isinstance(await crashed(old), NewerFormat)
    assert rig.committed(topic) == 2
    assert b"2:not for the old" not in found


def test_records_in_todays_format_are_handed_on_as_they_came() -> None:
    """Nothing is copied while there is nothing to migrate, and other headers mean nothing."""
    records = [Migrated(0, 0, b"k", b"v", [("theirs", b"x")]), Migrated(1, 0, b"k", None, [])]
    assert Format().read("t", 0, records) is records
    both = [*records, Migrated(2, 0, b"k", b"w", [("theirs", b"x"), (HEADER, b"2")])]
    assert [each.value for each in TWO.read("t", 0, both)] == [b"2:v", None, b"w"]


def test_a_version_without_a_way_from_those_before_is_a_mistake() -> None:
    """Who raises a version must say how to read what is there."""
    with pytest.raises(ValueError, match="migrate"):
        Format(2)
    with pytest.raises(ValueError, match="version"):
        Format(0)
