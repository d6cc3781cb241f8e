"""All ids of a person: who asks for one to be erased means the person."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from stream import topics
from stream.customers import decode, stamp_of
from stream.intake import partition_of
from stream.privacy.entries import Source

if TYPE_CHECKING:
    from collections.abc import Collection

    from stream.customers.ids import Ids
    from stream.privacy.broker import Broker
    from stream.settings import Settings


def all_ids(broker: Broker, settings: Settings, names: Collection[str]) -> list[str]:
    """Some ids, and all that are of the same persons, as the customers table says: merged into them, or they into.

    Args:
        broker: whose logs are read: of the table the partitions where these ids can be, once for each step.
        settings: of the deployment.
        names: ids, those known to the table and others.

    Raises:
        Refused: the broker does not answer.
    """
    changelog = topics.changelog(settings.app_id, topics.CUSTOMERS_TABLE)
    sources = broker.sources([changelog])
    found = dict.fromkeys(names)
    fresh = list(found)
    while fresh and sources:
        wanted: dict[int, dict[bytes, str]] = {}
        for name in fresh:
            key = name.encode(errors="surrogateescape")
            wanted.setdefault(partition_of(key, len(sources)), {})[key] = name
        fresh = []
        for number, keys in wanted.items():
            for ids in _held(broker, Source(changelog, number), keys):
                others = [*ids.aliases, *([] if ids.to is None else [ids.to])]
                fresh += [one for one in others if one not in found]
                found |= dict.fromkeys(others)
    return list(found)


def _held(broker: Broker, source: Source, keys: Collection[bytes]) -> list[Ids]:
    """What is kept of the other ids of some customers."""
    newest: dict[bytes, bytes] = {}
    for entry in broker.read(source, *broker.span(source)):
        key, value = entry.key, entry.value
        if key is None or key not in keys:
            continue
        if value is None:
            newest.pop(key, None)
            continue
        try:
            if key not in newest or stamp_of(value) >= stamp_of(newest[key]):
                newest[key] = value
        except msgspec.DecodeError:  # of a newer version: workers of this one do not start either
            continue
    return [ids for value in newest.values() if (ids := decode(value).known.ids) is not None]
