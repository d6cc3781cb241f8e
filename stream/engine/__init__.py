"""A batch engine for Faust: whole fetches as messages, exact commits, tables written and recovered in bulk.

Stock Faust moves one record per hop through queues, tasks and locks. Here everything fetched for one
topic-partition travels as ONE message, and three promises hold:

1. *Nothing is committed before it is durable.* A batch is committed only after ``batch.ack()``, and a
   partition only up to its acknowledged prefix. ``send_many`` and ``BatchTable.write`` return when all
   in-sync replicas have the records; any failure stops the process with nothing acknowledged.
2. *State can be exact.* A handler folds, publishes, writes its tables, and only then returns. After a crash
   batches come again; values that carry the offset they have seen let the fold skip what is already in.
   Recovery keeps the value with the higher stamp.
3. *Memory is bounded.* At most ``max_inflight_records`` are out at once; then nothing more is fetched.

A whole program; its topics ``clicks`` and ``counts-counts-changelog``, with as many partitions, exist::

    from collections import Counter

    from stream.engine import Batch, BatchApp, Lanes

    app = BatchApp("counts", broker="kafka://localhost:9092", hot_topics=["clicks"])
    table = app.batch_table("counts", source="clicks")

    async def count(partition: int, batches: list[Batch]) -> None:
        seen = Counter(record.key for batch in batches for record in batch.records)
        now = table.partition(partition)
        await table.write(partition, [(k, b"%d" % (int(now.get(k, 0)) + n)) for k, n in seen.items()])

    lanes = Lanes(app, count)

    @app.agent(app.hot_topic("clicks"))
    async def clicks(stream):
        async for batch in stream:
            lanes.submit(batch)

Topics that are not hot, and everything else of Faust, behave as before. Not supported: ``exactly_once``,
windowed and global tables, standby replicas, ``producer_threaded``, ``concurrency`` above 1 on hot topics.
"""

from .app import BatchApp, Phase
from .batch import Batch, Record
from .errors import (
    EngineError,
    NewerFormat,
    PublishFailed,
    RecoveryFailed,
    Stalled,
    StoreBroken,
    StoreRefused,
)
from .formats import Format
from .inflight import InFlight, Partition
from .lanes import Lanes
from .producer import Outgoing
from .schema import RawSchema
from .stores import Stores
from .table import BatchTable, Entry

__all__ = [
    "Batch",
    "BatchApp",
    "BatchTable",
    "EngineError",
    "Entry",
    "Format",
    "InFlight",
    "Lanes",
    "NewerFormat",
    "Outgoing",
    "Partition",
    "Phase",
    "PublishFailed",
    "RawSchema",
    "Record",
    "RecoveryFailed",
    "Stalled",
    "StoreBroken",
    "StoreRefused",
    "Stores",
]
