"""What can be done about topics that are not as they must be, without losing or tearing apart what is in them."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Any, Final

from confluent_kafka import KafkaException
from confluent_kafka.admin import (  # type: ignore[attr-defined] # exported without saying so
    AdminClient,
    AlterConfigOpType,
    ConfigEntry,
    ConfigResource,
    NewPartitions,
    ResourceType,
)

from stream.brokers.admin import Difference, Extent, What

if TYPE_CHECKING:
    from concurrent.futures import Future

_SECONDS: Final = 30.0
_WAY: Final = "docs/production.md#more-partitions"


class Do(StrEnum):
    """What becomes of a difference."""

    CREATE = "create"
    ALTER = "alter"
    GROW = "grow"
    LEAVE = "leave"


@dataclass(frozen=True, slots=True)
class Change:
    """A difference and what is to be done about it; `why` says why it is left, and the way out."""

    difference: Difference
    do: Do
    why: str = ""

    def __str__(self) -> str:
        """One line of a diff: ``+`` a new topic, ``~`` a change, ``!`` what is left as it is."""
        each = self.difference
        if self.do is Do.CREATE:
            return f"+ {each.topic}  partitions {each.want}"
        sign = "!" if self.do is Do.LEAVE else "~"
        why = f"; {self.why}" if self.why else ""
        return f"{sign} {each.topic}  {each.what} {each.found} -> {each.want}{why}"

    def as_json(self) -> dict[str, str]:
        """The same as an object."""
        each = self.difference
        said = {"topic": each.topic, "do": str(self.do), "what": str(each.what)}
        said |= {"found": each.found, "want": each.want}
        return {**said, "why": self.why} if self.why else said


def propose(differences: Sequence[Difference], extents: Mapping[str, Extent]) -> list[Change]:
    """What can be done, difference by difference. Nothing that is done deletes a record or moves a key.

    Args:
        differences: of `stream.brokers.admin.plan`.
        extents: of the topics that are there.
    """
    growing = [each.topic for each in differences if each.what is What.PARTITIONS]
    # Keys of several topics meet in one partition: they grow together or not at all.
    written = sorted(name for name in growing if extents.get(name, Extent(0, 0)).written)
    return [_change(each, extents.get(each.topic, Extent(0, 0)), written) for each in differences]


def _change(each: Difference, extent: Extent, written: Sequence[str]) -> Change:
    match each.what:
        case What.MISSING:
            return Change(each, Do.CREATE)
        case What.PARTITIONS:
            return _partitions(each, written)
        case What.CLEANUP:
            return _cleanup(each, extent)
        case What.RETENTION if int(each.found) > int(each.want):
            return Change(each, Do.LEAVE, "shorter would delete records; it may stay longer")
        case What.REPLICATION:
            return Change(
                each,
                Do.LEAVE,
                "replicas are moved by kafka-reassign-partitions.sh: docs/production.md#replicas",
            )
    return Change(each, Do.ALTER)


def _partitions(each: Difference, written: Sequence[str]) -> Change:
    if int(each.found) > int(each.want):
        why = f"Kafka takes no partitions away; set CX_PARTITIONS={each.found}, or see {_WAY}"
        return Change(each, Do.LEAVE, why)
    if written:
        more = f" and {len(written) - 1} more" if len(written) > 1 else ""
        why = (
            f"{written[0]}{more} hold records: a key's later records would go to another partition than its "
            f"state; set CX_PARTITIONS={each.found}, or see {_WAY}"
        )
        return Change(each, Do.LEAVE, why)
    return Change(each, Do.GROW)


def _cleanup(each: Difference, extent: Extent) -> Change:
    if each.want == "compact" and extent.gone:
        why = "records were deleted by time already, and what they held is lost; start over (docs/operations.md)"
        return Change(each, Do.LEAVE, why)
    if each.want == "delete" and extent.written:
        return Change(
            each, Do.LEAVE, "earlier records of a key may be compacted away already; create it anew"
        )
    return Change(each, Do.ALTER)


class ChangeRefused(RuntimeError):  # noqa: N818 - reads as what happened
    """The broker does not make a change; names the topic and says what the broker said."""


def apply(
    config: Mapping[str, Any],
    changes: Sequence[Change],
    made: Callable[[int], None] = lambda _: None,
) -> None:
    """Make the changes of kind ``alter`` and ``grow``; the other settings of a topic stay as they are.

    Args:
        config: of a confluent-kafka client (aiokafka's would reset what is not named).
        changes: of `propose`.
        made: told how many it has dealt with.

    Raises:
        ChangeRefused: the broker refuses one; those before it are made.
    """
    client = AdminClient({**config, "log_level": 0})
    for number, change in enumerate(changes):
        made(number)
        each = change.difference
        futures: dict[Any, Future[Any]] = {}
        if change.do is Do.GROW:
            futures = client.create_partitions([NewPartitions(each.topic, int(each.want))])
        elif change.do is Do.ALTER:
            entry = ConfigEntry(str(each.what), each.want, incremental_operation=AlterConfigOpType.SET)
            resource = ConfigResource(ResourceType.TOPIC, each.topic, incremental_configs=[entry])
            futures = client.incremental_alter_configs([resource])
        for future in futures.values():
            while not future.done():
                client.poll(0.05)  # tokens are asked for here
            try:
                future.result(_SECONDS)
            except KafkaException as error:
                raise ChangeRefused(f"{each.topic}: {each.what}: {error.args[0].str()}") from None


async def seen(changes: Sequence[Change], look: Callable[[], Awaitable[Sequence[Difference]]]) -> None:
    """Wait until the brokers show what `apply` has made; they hear of it from their controller a moment later.

    Args:
        changes: those applied.
        look: asks for what differs now.

    Raises:
        TimeoutError: they do not.
    """
    made = {each.difference for each in changes if each.do in {Do.ALTER, Do.GROW}}
    async with asyncio.timeout(_SECONDS):
        while made & set(await look()):
            await asyncio.sleep(0.05)  # a broker tells nobody
