"""Whether a read model says what the tables and topics say."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import msgspec
from redis import Redis

from stream import topics
from stream.customers import Customer, decode, stamp_of
from stream.customers.profile import moment
from stream.serving.reader import BlockingReader

if TYPE_CHECKING:
    from collections.abc import Iterable

_loads = msgspec.json.decode

OVER = {"resolved", "withdrawn"}


@dataclass(frozen=True)
class Tables:
    """What there is to say: customers, the newest metrics of each slice, the newest event of each alert."""

    customers: dict[str, Customer]
    metrics: dict[str, dict[str, Any]]
    alerts: dict[str, dict[str, Any]]

    def differences(self, url: str) -> list[str]:
        """What the Redis there says otherwise; empty where it says the same."""
        held = profiles_of(url)
        with Redis.from_url(url) as client:
            orders = list(client.scan_iter(f"{topics.REDIS_AT_RISK}:*"))
            order = dict(pair for key in orders for pair in client.zrange(key, 0, -1, withscores=True))  # type: ignore[union-attr]
        wrong = [
            f"profiles: {key}"
            for key, each in self.customers.items()
            if told(held.pop(key, None)) != (each.events, each.replies, moment(each.last_ms), each.purchases)
        ]
        wrong += [f"stranger: {key}" for key in held]
        wrong += [f"order: {key!r}" for key, risk in order.items() if risk < 0]
        reader = BlockingReader(url)
        wrong += self._metrics_behind(reader)
        firing = {key for key, each in self.alerts.items() if each["data"]["state"] not in OVER}
        wrong += [f"alert: {key}" for key in firing ^ set(reader.active_alerts())]
        reader.close()
        return wrong

    def not_yet(self, url: str) -> list[str]:
        """What the Redis there says less of, or says as it was before; it may say what is newer."""
        held = profiles_of(url)
        wrong = [
            f"profiles: {key}"
            for key, each in self.customers.items()
            if held.get(key, {}).get("events", 0) < each.events
        ]
        reader = BlockingReader(url)
        wrong += self._metrics_behind(reader)
        reader.close()
        with Redis.from_url(url) as client:
            known = {key.decode() for name in (topics.REDIS_ALERTS, topics.REDIS_ENDED)
                     for key in client.hkeys(name)}  # type: ignore[union-attr]  # fmt: skip
        return wrong + [f"alert: {key}" for key in self.alerts.keys() - known]

    def _metrics_behind(self, reader: BlockingReader) -> list[str]:
        metrics = reader.metrics()
        return [
            f"metrics: {key}"
            for key, each in self.metrics.items()
            if metrics.get(key, {}).get("as_of", "") < each["as_of"] or "metrics" not in metrics[key]
        ]


def profiles_of(url: str) -> dict[str, dict[str, Any]]:
    """Every profile that the Redis there has."""
    with Redis.from_url(url) as client:
        return {key.decode(): _loads(each) for key, each in client.hgetall(topics.REDIS_CUSTOMERS).items()}  # type: ignore[union-attr]


def customers_in(records: Iterable[tuple[str, bytes]]) -> dict[str, Customer]:
    """The customers table, by its changelog; without those who only have another id."""
    held: dict[str, bytes] = {}
    for key, state in records:
        if key not in held or stamp_of(state) >= stamp_of(held[key]):
            held[key] = state
    found = {key: decode(state) for key, state in held.items()}
    return {key: customer for key, customer in found.items() if customer.events}


def newest_in(records: Iterable[tuple[str, bytes]]) -> dict[str, dict[str, Any]]:
    """The newest value of each key of a compacted topic, by its moment."""
    found: dict[str, dict[str, Any]] = {}
    for key, text in records:
        each = _loads(text)
        version = (each["as_of"], each.get("final", False))
        if key not in found or version >= (found[key]["as_of"], found[key].get("final", False)):
            found[key] = each
    return found


def alerts_in(records: Iterable[tuple[str, bytes]]) -> dict[str, dict[str, Any]]:
    """The newest event of each alert."""
    return {key: _loads(text) for key, text in records}


def told(profile: dict[str, Any] | None) -> tuple[Any, ...] | None:
    """What of a profile the events alone decide."""
    if profile is None:
        return None
    return profile["events"], profile["replies"], profile["last_event"], profile["purchases"]
