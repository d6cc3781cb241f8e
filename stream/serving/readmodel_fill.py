"""Which partitions a Redis has all of: those it was not filled with since it was started or emptied are filled.

Redis itself says so, by the id of its run noted for each partition: a Redis that was killed, emptied or replaced
by another does not have the note, and one that came back from a snapshot, or a replica, has another run.
"""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING, Final

from stream.serving.connect import AWAY, named
from stream.serving.readmodel_scripts import REDIS_FILLED

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable

    from redis.asyncio import Redis

_logger = logging.getLogger(__name__)
_AGAIN_S: Final = 5.0


class Filler:
    """Lets partitions be filled in the background.

    Args:
        address: of Redis, for the log.

    Attributes:
        fill: called with a partition that Redis may not have all of, and with several at the same time; it offers
            all there is, and returns once that is done. None: nothing is filled.
        drained: set whenever all that was offered is in Redis.
    """

    def __init__(self, address: str) -> None:
        self._address = address
        self.fill: Callable[[int], Awaitable[None]] | None = None
        self.drained = asyncio.Event()
        self._partitions: frozenset[int] = frozenset()
        self._unsure: set[int] = set()
        self._losses = 0
        self._task: asyncio.Task[None] | None = None

    def hold(self, partitions: Iterable[int]) -> None:
        """Say which partitions this worker has now."""
        self._partitions = frozenset(partitions)

    def lost(self) -> None:
        """Say that this is another Redis, or an empty one."""
        self._losses += 1

    def unsure(self) -> None:
        """Say that something was let go before it was in Redis."""
        self._unsure |= self._partitions

    async def look(self, redis: Redis, run_id: str) -> None:
        """Begin to fill what is missing, unless that goes on.

        Raises:
            redis.RedisError, OSError, TimeoutError: Redis is away.
        """
        partitions = sorted(self._partitions)
        if self.fill is None or not partitions or (self._task is not None and not self._task.done()):
            return
        marks = await redis.hmget(REDIS_FILLED, [str(each) for each in partitions])
        has = {p for p, mark in zip(partitions, marks, strict=True) if mark == run_id.encode()}
        missing = [p for p in partitions if p not in has or p in self._unsure]
        if missing:
            self._task = asyncio.create_task(self._fill(redis, missing, run_id), name="cx-readmodel-fill")

    async def stop(self) -> None:
        """Fill no more."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    async def _fill(self, redis: Redis, partitions: list[int], run_id: str) -> None:
        # All at once: in turn, each would wait for a round of profiles that all partitions share the time of.
        filled = (self._fill_one(redis, each, run_id) for each in partitions)
        outcomes = await asyncio.gather(*filled, return_exceptions=True)
        wrong = [each for each in outcomes if isinstance(each, Exception)]
        unexpected = next((each for each in wrong if not isinstance(each, AWAY)), None)
        if unexpected is not None:  # the stream must go on whatever happens here
            _logger.error("read model: filling is tried again", exc_info=unexpected)
            await asyncio.sleep(_AGAIN_S)
        elif wrong:
            _logger.warning("read model: %s is filled later: %s", self._address, named(wrong[0]))

    async def _fill_one(self, redis: Redis, partition: int, run_id: str) -> None:
        if self.fill is None or partition not in self._partitions:
            return
        losses = self._losses
        self._unsure.discard(partition)
        await self.fill(partition)
        self.drained.clear()
        await self.drained.wait()
        if partition in self._partitions and losses == self._losses:
            await redis.hset(REDIS_FILLED, str(partition), run_id)
