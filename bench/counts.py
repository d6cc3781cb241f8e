"""The benchmark's job on the engine: counts by minute and state by customer, both in changelogs."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from stream.engine import Batch, BatchApp, Lanes

if TYPE_CHECKING:
    from collections.abc import AsyncIterator


class Input(msgspec.Struct, gc=False):
    """What the job reads of a record."""

    customer_id: str
    occurred_at: int
    segment: str
    metric: str | None = None
    score: float = 0.0
    value: float = 0.0


class CustomerState(msgspec.Struct, array_like=True, gc=False):
    """State by customer: how many events, replies, the sum of scores and money, the last time, the stamp."""

    offset: int
    events: int
    replies: int
    score: float
    value: float
    last: int


TOPIC = "bench.events"
COUNTS = "counts"
CUSTOMERS = "customers"

decode = msgspec.json.Decoder(Input).decode
encoder = msgspec.json.Encoder()
decode_customer = msgspec.json.Decoder(CustomerState).decode
decode_count = msgspec.json.Decoder(tuple[int, int]).decode


def make_app(broker: str, app_id: str, **options: object) -> BatchApp:
    """Build the job as a Faust app."""
    app = BatchApp(app_id, broker=f"kafka://{broker}", hot_topics=[TOPIC], own_process=True, **options)
    counts = app.batch_table(COUNTS, source=TOPIC, stamp_of=lambda v: decode_count(v)[0])
    customers = app.batch_table(CUSTOMERS, source=TOPIC, stamp_of=lambda v: decode_customer(v).offset)

    async def fold(partition: int, batches: list[Batch]) -> None:
        held_counts, held_customers = counts.partition(partition), customers.partition(partition)
        new_counts: dict[bytes, list[int]] = {}
        new_customers: dict[bytes, CustomerState] = {}
        for batch in batches:
            for record in batch.records:
                event = decode(record.value)
                offset = record.offset
                key = record.key
                state = new_customers.get(key)
                if state is None:
                    stored = held_customers.get(key)
                    state = (
                        decode_customer(stored)
                        if stored is not None
                        else CustomerState(-1, 0, 0, 0.0, 0.0, 0)
                    )
                    new_customers[key] = state
                if offset > state.offset:
                    state.offset = offset
                    state.events += 1
                    state.value += event.value
                    state.last = max(state.last, event.occurred_at)
                    if event.metric is not None:
                        state.replies += 1
                        state.score += event.score
                if event.metric is not None:
                    cell = b"%d|%s|%s" % (
                        event.occurred_at // 60_000,
                        event.metric.encode(),
                        event.segment.encode(),
                    )
                    count = new_counts.get(cell)
                    if count is None:
                        stored = held_counts.get(cell)
                        count = new_counts[cell] = (
                            list(decode_count(stored)) if stored is not None else [-1, 0]
                        )
                    if offset > count[0]:
                        count[0] = offset
                        count[1] += 1
        encode = encoder.encode
        await counts.write(partition, [(k, encode(v)) for k, v in new_counts.items()])
        await customers.write(partition, [(k, encode(v)) for k, v in new_customers.items()])

    lanes = Lanes(app, fold)

    @app.agent(app.hot_topic(TOPIC))
    async def events(stream: AsyncIterator[Batch]) -> None:
        async for batch in stream:
            lanes.submit(batch)

    return app
