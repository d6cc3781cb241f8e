"""Where a record goes: which input topic, whose it is, which partition. The same for sending and computing."""

from __future__ import annotations

from base64 import b64decode
from typing import Any, Final, NamedTuple

import msgspec
from msgspec import UNSET, Raw, UnsetType


class Route(NamedTuple):
    """Which input topic takes a record (replies, or else touchpoints), and its customer; None: none is named."""

    reply: bool
    customer: str | None


class Head(msgspec.Struct, gc=False):
    """The few fields of a record that say where it goes, of any type."""

    customer_id: Any = None
    metric: Any = None
    specversion: Raw | UnsetType = UNSET
    data: Raw | UnsetType = UNSET
    data_base64: Any = None


#: As ``route``, for loops that cannot spare a call: the head may be that of a CloudEvent (``specversion``).
read_head: Final = msgspec.json.Decoder(Head).decode

_SEED: Final = 0x9747B28C
_M: Final = 0x5BD1E995
_32: Final = 0xFFFFFFFF


def route(value: bytes) -> Route:
    """Where a record belongs, by a look at the few fields that say so; of a CloudEvent, those of what it carries.

    Whether the record fits the contract is not asked: one that names no customer, or a number for one, has
    ``customer`` None, and is refused wherever it goes.

    Raises:
        msgspec.ValidationError: the value is JSON, but no object.
        msgspec.DecodeError: the value is no JSON.
        RecursionError: it nests deeper than can be read.
    """
    head = read_head(value)
    if head.specversion is not UNSET:
        head = _carried(head)
    customer = head.customer_id
    return Route(head.metric is not None, customer if type(customer) is str else None)


def _carried(head: Head) -> Head:
    """The head of what a structured CloudEvent carries; its own where that is no record."""
    try:
        if head.data is not UNSET:
            return read_head(head.data)
        if type(head.data_base64) is str:
            return read_head(b64decode(head.data_base64, validate=True))
    except (ValueError, RecursionError):  # msgspec's errors are of the former
        pass
    return head


def partition_of(key: bytes, partitions: int) -> int:
    """The partition of a key, as Kafka's Java client and every client set to ``murmur2`` choose it."""
    return (murmur2(key) & 0x7FFFFFFF) % partitions


def murmur2(data: bytes) -> int:
    """Austin Appleby's MurmurHash2 with Kafka's seed, 32 bits (``org.apache.kafka.common.utils.Utils``)."""
    size = len(data)
    h = _SEED ^ size
    whole = size & ~3
    for at in range(0, whole, 4):
        k = int.from_bytes(data[at : at + 4], "little") * _M & _32
        k = (k ^ k >> 24) * _M & _32
        h = h * _M & _32 ^ k
    if whole < size:
        h = (h ^ int.from_bytes(data[whole:], "little")) * _M & _32
    h = (h ^ h >> 13) * _M & _32
    return h ^ h >> 15
