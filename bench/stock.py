"""The benchmark's job on stock Faust, written as its documentation has it: one event at a time, two tables."""

from __future__ import annotations

from typing import Any

import faust

from bench.counts import COUNTS, CUSTOMERS, TOPIC


def make_app(broker: str, app_id: str) -> faust.App:
    """Build the job; topics exist already, so nothing is declared."""
    app = faust.App(
        app_id,
        broker=f"kafka://{broker}",
        store="memory://",
        web_enabled=False,
        autodiscover=False,
        topic_allow_declare=False,
        topic_disable_leader=True,
        broker_commit_interval=1.0,
        consumer_auto_offset_reset="earliest",
        producer_linger_ms=5,
    )
    topic = app.topic(TOPIC, value_serializer="json", key_serializer="raw")
    counts = app.Table(COUNTS, default=int)
    customers = app.Table(CUSTOMERS, default=lambda: [0, 0, 0.0, 0.0, 0])

    @app.agent(topic)
    async def events(stream: Any) -> None:
        async for event in stream:
            state = list(customers[event["customer_id"]])
            state[0] += 1
            state[3] += event.get("value", 0.0)
            state[4] = max(state[4], event["occurred_at"])
            metric = event.get("metric")
            if metric is not None:
                state[1] += 1
                state[2] += event["score"]
                counts[f"{event['occurred_at'] // 60_000}|{metric}|{event['segment']}"] += 1
            customers[event["customer_id"]] = state

    return app
