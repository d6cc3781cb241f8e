"""A small exact job on the engine, in the tests' process or as one of its own that can be killed.

Counts records by key: a value of the table is ``stamp,count,sum``. Every record also goes to an output topic
under the id ``partition-offset``.
"""

from __future__ import annotations

import asyncio
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from stream.engine import Batch, BatchApp, BatchTable, Lanes, Outgoing, Stores
from tests.engine.rig import Rig, crashed, running

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

TABLE = "counted"


def stamp_of(value: bytes) -> int:
    """Read the stamp of a value."""
    return int(value.split(b",")[0])


def read(value: bytes | None) -> tuple[int, int, int]:
    """Read stamp, count and sum."""
    if value is None:
        return (-1, 0, 0)
    stamp, count, total = value.split(b",")
    return (int(stamp), int(count), int(total))


class Counter:
    """The job in one app.

    Args:
        out: output topic.
        written: called after everything is durable and before the batches are acknowledged.
    """

    def __init__(
        self,
        rig: Rig,
        topic: str,
        out: str,
        written: Callable[[int, list[Batch]], Awaitable[None]] | None = None,
        **options: object,
    ) -> None:
        self.app: BatchApp = rig.app(topic, **options)
        self.table: BatchTable = self.app.batch_table(TABLE, source=topic, stamp_of=stamp_of)
        self.handled: list[tuple[int, int]] = []
        self._out = out
        self._written = written
        self.lanes = Lanes(self.app, self.fold)
        rig.consume(self.app, self.lanes, topic)

    async def fold(self, partition: int, batches: list[Batch]) -> None:
        """Fold, publish, write."""
        held = self.table.partition(partition)
        now: dict[bytes, tuple[int, int, int]] = {}
        ids = []
        for batch in batches:
            for record in batch.records:
                key = record.key or b""
                stamp, count, total = now.get(key) or read(held.get(key))
                if record.offset > stamp:
                    now[key] = (record.offset, count + 1, total + int(record.value or b"0"))
                ids.append(b"%d-%d" % (partition, record.offset))
                self.handled.append((partition, record.offset))
        await self.app.batch_producer.send_many(self._out, [Outgoing(one, b"") for one in ids])
        await self.table.write(partition, [(k, b"%d,%d,%d" % v) for k, v in now.items()])
        if self._written is not None:
            await self._written(partition, batches)


async def check_exact(rig: Rig, topic: str, out: str) -> None:
    """Compare the changelog with a plain computation over the input, and the outputs with its offsets."""
    expected: dict[int, dict[bytes, tuple[int, int]]] = {}
    ids = set()
    for partition, records in (await rig.read(topic)).items():
        expected[partition] = {}
        for record in records:
            count, total = expected[partition].get(record.key, (0, 0))
            expected[partition][record.key] = (count + 1, total + int(record.value))
            ids.add(b"%d-%d" % (partition, record.offset))
    found: dict[int, dict[bytes, bytes]] = {}
    for partition, records in (await rig.read(f"{rig.group}-{TABLE}-changelog")).items():
        found[partition] = {}
        for record in records:
            if read(record.value) >= read(found[partition].get(record.key)):
                found[partition][record.key] = record.value
    counted = {p: {k: read(v)[1:] for k, v in now.items()} for p, now in found.items()}
    for partition, keys in expected.items():
        wrong = {
            k: (keys[k], counted[partition].get(k)) for k in keys if counted[partition].get(k) != keys[k]
        }
        assert not wrong, f"partition {partition}: {len(wrong)} of {len(keys)} keys are wrong: {wrong}"
        assert len(counted[partition]) == len(keys)
    published = {record.key for records in (await rig.read(out)).values() for record in records}
    assert len(ids - published) == 0, "an output is missing"
    assert len(published - ids) == 0, "an output nothing caused"


async def _main(bootstrap: str, group: str, folder: str, topic: str, out: str, hold: str) -> int:
    def say(*words: object) -> None:
        sys.stdout.write(" ".join(map(str, words)) + "\n")
        sys.stdout.flush()

    async def written(partition: int, batches: list[Batch]) -> None:
        say("written", partition, batches[-1].last_offset)
        if hold == "fail":
            raise LookupError("no luck")
        if hold == "hold":
            await asyncio.Event().wait()

    on_disk = os.environ.get("COUNTER_STORES")
    stores = None if on_disk is None else Stores(Path(on_disk), memory_mb=16)
    job = Counter(Rig(bootstrap, Path(folder), group, stores=stores), topic, out, written)
    async with running(job.app, wait=hold != "fail"):
        say("ready", os.getpid())
        if hold == "leave" and job.app.batch_consumer is not None:
            thread: Any = job.app.batch_consumer._thread
            thread.thread_loop.call_soon_threadsafe(thread._consumer._coordinator._coordination_task.cancel)
        reason = await crashed(job.app, within=600)
        say("crashed", type(reason).__name__)
    return 1


if __name__ == "__main__":
    sys.exit(asyncio.run(_main(*sys.argv[1:])))
