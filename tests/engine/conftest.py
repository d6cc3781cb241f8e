"""A rig for each of the engine's tests on a real Kafka."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest_asyncio

from stream.brokers.kafka import KafkaServer
from tests.engine.rig import Rig

if TYPE_CHECKING:
    from collections.abc import AsyncIterator


@pytest_asyncio.fixture
async def rig(kafka: KafkaServer, tmp_path: Path) -> AsyncIterator[Rig]:
    """Topics and apps of one test; the topics go with it."""
    made = Rig(kafka.bootstrap, tmp_path)
    yield made
    await made.close(drop_topics=kafka.running)
