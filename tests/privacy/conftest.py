"""A Kafka of our own that removes files and cleans logs at once, instead of within minutes."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from stream.brokers.kafka import KafkaMissing, KafkaServer, install, java

if TYPE_CHECKING:
    from collections.abc import Iterator

QUICK = {
    "log.retention.check.interval.ms": "300",
    "log.initial.task.delay.ms": "100",
    "log.cleaner.backoff.ms": "200",
}


@pytest.fixture(scope="session")
def quick_kafka(request: pytest.FixtureRequest) -> Iterator[KafkaServer]:
    """A real Kafka whose brokers look every 0.3 s for what to remove."""
    try:
        java()
        install()
    except KafkaMissing:
        request.getfixturevalue("kafka")  # says it loudly, and fails in CI
    with KafkaServer(settings=QUICK) as server:
        yield server
