"""``cx worker``, with what the tests need of it: a short session, and a death in the middle of a batch.

``E2E_DIE_AT_SEND``: the process kills itself, as ``kill -9`` would, while its n-th publishing is under way.
"""

from __future__ import annotations

import asyncio
import os
import random
import signal
from typing import TYPE_CHECKING, Any

from stream import app
from stream.cli import main
from stream.engine.producer import BatchProducer

if TYPE_CHECKING:
    from collections.abc import Iterable

# A killed worker's partitions are free after this long, instead of ten seconds for each of many kills.
app.SESSION_TIMEOUT_S = 3.0
app.HEARTBEAT_S = 0.5


def die_at(send: int) -> None:
    """End the process as ``kill -9`` does while its ``send``-th ``send_many`` is under way."""
    original = BatchProducer.send_many
    rng = random.Random(send)
    count = 0

    async def send_many(self: BatchProducer, topic: str, records: Iterable[Any]) -> int:
        nonlocal count
        count += 1
        if count == send:
            task = asyncio.create_task(original(self, topic, records))
            await asyncio.wait([task], timeout=rng.choice([0.0, 0.001, 0.003, 1.0]))
            os.kill(os.getpid(), signal.SIGKILL)
        return await original(self, topic, records)

    BatchProducer.send_many = send_many  # type: ignore[method-assign]


if __name__ == "__main__":
    if at := int(os.environ.get("E2E_DIE_AT_SEND", "0")):
        die_at(at)
    main()
