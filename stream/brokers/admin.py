"""Whether the topics on the broker are what `stream.topics.layout` asks for, and creating those that lack.

Kafka and Faust accept a topic with the wrong partitions or without compaction in silence, and the state
is wrong or lost much later; hence a check at every start.
"""

from __future__ import annotations

import asyncio
import contextlib
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType
from aiokafka.errors import IncompatibleBrokerVersion, KafkaError, TopicAlreadyExistsError, for_code

from stream.brokers.diagnose import diagnose
from stream.topics import Cleanup

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterable, Mapping, Sequence

    from stream.topics import TopicSpec

_SETTLE_SECONDS: Final = 30.0
_UNLIMITED: Final = "-1"
_CLEANUP: Final = "cleanup.policy"
_RETENTION: Final = "retention.ms"
_MAX_MESSAGE: Final = "max.message.bytes"
_MIN_ISR: Final = "min.insync.replicas"


class What(StrEnum):
    """In what a topic differs from the layout."""

    MISSING = "missing"
    PARTITIONS = "partitions"
    CLEANUP = "cleanup.policy"
    RETENTION = "retention.ms"
    MAX_MESSAGE = "max.message.bytes"
    MIN_ISR = "min.insync.replicas"
    REPLICATION = "replication"


# With these the program would compute wrongly, lose state or stop at a large record; the others are an
# operator's own choice.
BLOCKING: Final = frozenset({What.MISSING, What.PARTITIONS, What.CLEANUP, What.MAX_MESSAGE})


@dataclass(frozen=True, slots=True)
class Difference:
    """One thing about one topic that is not as the layout has it.

    `want` and `found` are as Kafka writes them; `found` is empty for a missing topic, whose `want` is its
    number of partitions.
    """

    topic: str
    what: What
    want: str
    found: str

    def __str__(self) -> str:
        """One line for a person."""
        if self.what is What.MISSING:
            return f"{self.topic}: missing (partitions wanted: {self.want})"
        return f"{self.topic}: {self.what} is {self.found}, must be {self.want}"


class Extent(NamedTuple):
    """Records of a topic over all partitions: ``gone`` from its beginning, and ever ``written``."""

    gone: int
    written: int


class BrokerAway(RuntimeError):  # noqa: N818 - a state of the world, to be retried
    """No broker answers at the address given; `why` says what is wrong, as far as it can be told."""

    def __init__(self, message: str, why: str = "no answer") -> None:
        self.why = why
        super().__init__(message)


class LayoutWrong(RuntimeError):  # noqa: N818 - reads as what happened
    """Topics are missing or differ in what matters; the message lists them and says what to do."""

    def __init__(self, differences: Sequence[Difference], *, secured: bool = False) -> None:
        self.differences = tuple(differences)
        lines = [f"the topics on the broker are not as they must be ({len(differences)}):"]
        lines += [f"  {difference}" for difference in differences]
        if any(d.what is What.MISSING for d in differences):
            lines.append("create the missing ones with: cx topics create")
            if secured:
                lines.append("or this user may not see them; what it must be allowed: cx topics acls worker")
        if any(d.what is not What.MISSING for d in differences):
            lines.append("what can be done about those that differ: cx topics create --alter --plan")
        super().__init__("\n".join(lines))


async def plan(
    bootstrap: str,
    layout: Iterable[TopicSpec],
    replication: int = 1,
    security: Mapping[str, Any] | None = None,
    *,
    min_isr: int = 1,
) -> list[Difference]:
    """What is missing or different, in the order of the layout; empty when all is well.

    More replicas than wanted are fine. A broker that cannot describe configurations (the embedded one)
    is judged by partitions alone.

    Args:
        bootstrap: comma-separated ``host:port`` list.
        layout: the topics wanted.
        replication: replicas each partition must have at least.
        security: further arguments of aiokafka's admin client (``security_protocol``, ``ssl_context``,
            ``sasl_mechanism``, ...); None: plain text.
        min_isr: ``min.insync.replicas`` that each topic must have at least.

    Raises:
        BrokerAway: no broker answers.
    """
    wanted = tuple(layout)
    async with _admin(bootstrap, security) as admin:
        found = await _found(admin)
        present = [topic.name for topic in wanted if topic.name in found]
        configs = await _configs(admin, present)
    differences: list[Difference] = []
    for topic in wanted:
        if topic.name in found:
            differences += _compare(topic, replication, min_isr, found[topic.name], configs.get(topic.name))
        else:
            differences.append(Difference(topic.name, What.MISSING, str(topic.partitions or 1), ""))
    return differences


async def check(
    bootstrap: str,
    layout: Iterable[TopicSpec],
    replication: int = 1,
    security: Mapping[str, Any] | None = None,
) -> list[Difference]:
    """As `plan`, but what is in `BLOCKING` raises; the harmless rest is returned.

    Raises:
        LayoutWrong: with all that blocks.
        BrokerAway: no broker answers.
    """
    differences = await plan(bootstrap, layout, replication, security)
    blocking = [difference for difference in differences if difference.what in BLOCKING]
    if blocking:
        secured = (security or {}).get("security_protocol", "PLAINTEXT") != "PLAINTEXT"
        raise LayoutWrong(blocking, secured=secured)
    return differences


async def create(
    bootstrap: str,
    layout: Iterable[TopicSpec],
    replication: int = 1,
    security: Mapping[str, Any] | None = None,
    *,
    min_isr: int | None = None,
) -> list[str]:
    """Create the topics that are missing and wait until they can be used; existing ones stay as they are.

    Two callers at once are fine: a topic the other one created meanwhile is not an error. ``min_isr`` None
    leaves ``min.insync.replicas`` to the broker.

    Returns:
        Names of the topics created.

    Raises:
        BrokerAway: no broker answers.
        KafkaError: the broker refuses (e.g. more replicas than brokers).
    """
    wanted = tuple(layout)
    async with _admin(bootstrap, security) as admin:
        found = await _found(admin)
        missing = [topic for topic in wanted if topic.name not in found]
        if missing:
            response = await admin.create_topics([_new(topic, replication, min_isr) for topic in missing])
            for name, code, *message in response.topic_errors:
                if code not in {0, TopicAlreadyExistsError.errno}:
                    raise for_code(code)(f"topic {name}: {message[0] if message else 'refused'}")
            names = {topic.name for topic in missing}
            await _until(admin, lambda now: all(name in now and _led(now[name]) for name in names))
    return [topic.name for topic in missing]


async def partitions(bootstrap: str, security: Mapping[str, Any] | None = None) -> dict[str, int]:
    """How many partitions each topic on the broker has.

    Raises:
        BrokerAway: no broker answers.
    """
    async with _admin(bootstrap, security) as admin:
        return {name: len(found) for name, found in (await _found(admin)).items()}


async def extents(
    bootstrap: str, names: Iterable[str], security: Mapping[str, Any] | None = None
) -> dict[str, Extent]:
    """What has been written to topics, and what has gone from them.

    Raises:
        BrokerAway, KafkaError: no broker answers, or it refuses.
    """
    there = await partitions(bootstrap, security)
    sources = [TopicPartition(name, each) for name in names for each in range(there.get(name, 0))]
    if not sources:
        return {}
    consumer = AIOKafkaConsumer(bootstrap_servers=bootstrap, group_id=None, **(security or {}))
    try:
        await consumer.start()
        starts = await consumer.beginning_offsets(sources)
        ends = await consumer.end_offsets(sources)
    finally:
        await consumer.stop()
    found: dict[str, Extent] = {}
    for source in sources:
        so_far = found.get(source.topic, Extent(0, 0))
        found[source.topic] = Extent(so_far.gone + starts[source], so_far.written + ends[source])
    return found


async def delete(bootstrap: str, names: Iterable[str], security: Mapping[str, Any] | None = None) -> None:
    """Delete topics and wait until they are gone; one that does not exist is fine. For tests.

    Raises:
        BrokerAway: no broker answers.
    """
    unwanted = set(names)
    async with _admin(bootstrap, security) as admin, asyncio.timeout(_SETTLE_SECONDS):
        # Asked for again as long as one is seen: one created a moment ago may only now come into sight.
        while existing := sorted(unwanted & (await _found(admin)).keys()):
            await admin.delete_topics(existing)
            await asyncio.sleep(0.05)


@contextlib.asynccontextmanager
async def _admin(bootstrap: str, security: Mapping[str, Any] | None) -> AsyncIterator[Any]:
    admin = AIOKafkaAdminClient(bootstrap_servers=bootstrap, **(security or {}))
    try:
        try:
            await admin.start()
            await _found(admin)  # some ways of being refused show only now
        except (KafkaError, OSError) as error:
            why = await diagnose(bootstrap, security) or type(error).__name__
            raise BrokerAway(f"no Kafka broker answers at {bootstrap}: {why}", why) from error
        yield admin
    finally:
        await admin.close()


async def _found(admin: Any) -> dict[str, list[dict[str, Any]]]:
    """Partitions by topic. All topics are asked for: naming one could make the broker create it."""
    return {topic["topic"]: topic["partitions"] for topic in await admin.describe_topics()}


async def _configs(admin: Any, names: Sequence[str]) -> dict[str, dict[str, str]]:
    if not names:
        return {}
    asked = {_CLEANUP: None, _RETENTION: None, _MAX_MESSAGE: None, _MIN_ISR: None}
    resources = [ConfigResource(ConfigResourceType.TOPIC, name, asked) for name in names]
    try:
        responses = await admin.describe_configs(resources)
    except IncompatibleBrokerVersion:
        return {}
    configs: dict[str, dict[str, str]] = {}
    for response in responses:
        for code, message, _kind, name, entries in response.resources:
            if code:
                raise for_code(code)(f"topic {name}: {message}")
            configs[name] = {entry[0]: entry[1] for entry in entries}
    return configs


def _compare(
    topic: TopicSpec,
    replication: int,
    min_isr: int,
    partitions: Sequence[Mapping[str, Any]],
    config: Mapping[str, str] | None,
) -> list[Difference]:
    differences = []
    want = topic.partitions or 1
    if len(partitions) != want:
        differences.append(Difference(topic.name, What.PARTITIONS, str(want), str(len(partitions))))
    if config is not None:
        cleanup = ",".join(sorted(config[_CLEANUP].replace(" ", "").split(",")))
        if cleanup != topic.cleanup:
            differences.append(Difference(topic.name, What.CLEANUP, str(topic.cleanup), cleanup))
        retention = config[_RETENTION]
        keeps_by_time = topic.retention_ms is not None and topic.cleanup is Cleanup.DELETE
        if keeps_by_time and retention not in {str(topic.retention_ms), _UNLIMITED}:
            differences.append(Difference(topic.name, What.RETENTION, str(topic.retention_ms), retention))
        wanted, largest = topic.max_message_bytes, config[_MAX_MESSAGE]
        if wanted is not None and int(largest) < wanted:
            differences.append(Difference(topic.name, What.MAX_MESSAGE, str(wanted), largest))
        if int(config[_MIN_ISR]) < min_isr:
            differences.append(Difference(topic.name, What.MIN_ISR, str(min_isr), config[_MIN_ISR]))
    replicas = min((len(partition["replicas"]) for partition in partitions), default=replication)
    if replicas < replication:
        differences.append(Difference(topic.name, What.REPLICATION, str(replication), str(replicas)))
    return differences


def _new(topic: TopicSpec, replication: int, min_isr: int | None) -> Any:
    config = {_CLEANUP: str(topic.cleanup)}
    if topic.retention_ms is not None:
        config[_RETENTION] = str(topic.retention_ms)
    if topic.max_message_bytes is not None:
        config[_MAX_MESSAGE] = str(topic.max_message_bytes)
    if min_isr is not None:
        config[_MIN_ISR] = str(min_isr)
    return NewTopic(topic.name, topic.partitions or 1, replication, topic_configs=config)


def _led(partitions: Sequence[Mapping[str, Any]]) -> bool:
    return bool(partitions) and all(partition["leader"] >= 0 for partition in partitions)


async def _until(admin: Any, settled: Any) -> None:
    """Wait until the broker's metadata shows what the controller has agreed to."""
    async with asyncio.timeout(_SETTLE_SECONDS):
        while not settled(await _found(admin)):
            await asyncio.sleep(0.05)  # the broker tells nobody: asking again is all there is
