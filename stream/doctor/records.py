"""Checks of what producers send, by a look at the newest records of each input partition."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Final

import msgspec

from stream.doctor.findings import Level
from stream.intake import Event, Limits, decode
from stream.intake.routing import partition_of, route

if TYPE_CHECKING:
    from stream.doctor.facts import Facts, Sample
    from stream.settings import Settings

Found = tuple[Level, str, str]

_SHARE: Final = 0.01  # of a topic's newest records, before it is worth a word
_SILENT_MS: Final = 3_600_000


def key_is_no_customer(facts: Facts) -> Iterator[Found]:
    """Records of one customer in several partitions, each with a part of the story."""
    for topic, samples in facts.samples.items():
        other = sum(_customer(sample) not in {None, sample.key} for sample in samples)
        if other > len(samples) * _SHARE:
            yield (
                Level.ERROR,
                f"{topic}: {other} of the newest {len(samples)} records are not keyed by their customer_id",
                "producers must set the key to customer_id; what is there counts in the wrong partition",
            )


def partition_not_of_key(facts: Facts) -> Iterator[Found]:
    """A producer whose client spreads keys in another way than Kafka's Java client does."""
    for topic, samples in facts.samples.items():
        state = facts.topics.get(topic)
        if state is None:
            continue
        count = len(state.partitions)
        other = sum(
            sample.key is not None
            and _customer(sample) == sample.key
            and partition_of(sample.key, count) != sample.partition
            for sample in samples
        )
        if other > len(samples) * _SHARE:
            yield (
                Level.ERROR,
                f"{topic}: {other} of the newest {len(samples)} records are in another partition than their key's",
                "librdkafka (kcat, confluent-kafka): partitioner=murmur2_random, as Java's client",
            )


def records_refused(facts: Facts) -> Iterator[Found]:
    """Records that become dead letters."""
    for topic, samples in facts.samples.items():
        reasons: dict[str, int] = {}
        for sample in samples:
            event = decode(sample.value, (), Limits())
            if not isinstance(event, Event):
                reasons[str(event.reason)] = reasons.get(str(event.reason), 0) + 1
        if sum(reasons.values()) > len(samples) * _SHARE:
            words = ", ".join(f"{count} {reason}" for reason, count in sorted(reasons.items()))
            yield (
                Level.WARNING,
                f"{topic}: of the newest {len(samples)} records these would be dead letters: {words}",
                "cx deadletters list says why; the contract is in schemas/json",
            )


def event_time_off(facts: Facts) -> Iterator[Found]:
    """Clocks, time zones or units that are wrong at a producer's."""
    if facts.settings is None:
        return
    for topic, samples in facts.samples.items():
        ahead, late = _off(samples, facts.settings)
        if ahead > len(samples) * _SHARE:
            yield (
                Level.WARNING,
                f"{topic}: {ahead} of the newest {len(samples)} records lie ahead of when Kafka took them",
                "occurred_at is when it happened, with its offset: look at the producer's clock and time zone",
            )
        if late > len(samples) * _SHARE:
            yield (
                Level.WARNING,
                f"{topic}: {late} of the newest {len(samples)} records came later than CX_LATE_HORIZON_MS",
                "send sooner, or raise CX_LATE_HORIZON_MS; a log of the past is fed in order, as cx send does",
            )


def deadletters_new(facts: Facts) -> Iterator[Found]:
    """Refused within the last hour."""
    if facts.deadletters:
        words = ", ".join(f"{count} {reason}" for reason, count in sorted(facts.deadletters.items()))
        yield Level.WARNING, f"dead letters of the last hour: {words}", "cx deadletters list, show, redrive"


def rules_version_refused(facts: Facts) -> Iterator[Found]:
    """A version of the rules on cx.rules that workers leave out."""
    for problem in facts.refused_versions:
        yield Level.ERROR, f"cx.rules: {problem}", "`cx rules apply` a version that is right"


def inputs_silent(facts: Facts) -> Iterator[Found]:
    """Records were sent once, and none lately."""
    newest = max((sample.timestamp_ms for each in facts.samples.values() for sample in each), default=None)
    if newest is not None and facts.now_ms - newest > _SILENT_MS:
        hours = (facts.now_ms - newest) / 3_600_000
        yield (
            Level.NOTE,
            f"the newest record came {hours:.0f} hours ago",
            "look at the producers, if that is no surprise",
        )


def _customer(sample: Sample) -> bytes | None:
    try:
        customer = route(sample.value).customer
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError):
        return None
    return None if customer is None else customer.encode(errors="surrogatepass")


def _off(samples: Iterable[Sample], settings: Settings) -> tuple[int, int]:
    ahead = late = 0
    for sample in samples:
        event = decode(sample.value, (), Limits())
        if isinstance(event, Event):
            ahead += event.time_ms > sample.timestamp_ms + settings.max_ahead_ms
            late += event.time_ms < sample.timestamp_ms - settings.late_horizon_ms
    return ahead, late


CHECKS: Final = (
    key_is_no_customer,
    partition_not_of_key,
    records_refused,
    event_time_off,
    deadletters_new,
    rules_version_refused,
    inputs_silent,
)
