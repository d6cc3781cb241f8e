"""Filling a Redis that has lost what it had leaves nothing behind when it is broken off."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from types import SimpleNamespace
from typing import Any

from aiokafka import AIOKafkaConsumer

from agents.filling import Filling


async def test_a_fill_broken_off_while_it_connects_closes_its_consumer() -> None:
    """Redis goes away again, or the partition does, while no broker has answered yet."""
    asked, left = asyncio.Event(), asyncio.Event()

    async def silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        asked.set()
        while await reader.read(1_000):
            pass
        writer.close()
        await writer.wait_closed()
        left.set()

    async with await asyncio.start_server(silent, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        consumers: list[Any] = []

        def new_consumer() -> AIOKafkaConsumer:
            consumers.append(AIOKafkaConsumer(bootstrap_servers=f"127.0.0.1:{port}"))
            return consumers[-1]

        async def all_again(partition: int) -> None:
            del partition

        context: Any = SimpleNamespace(
            app=SimpleNamespace(new_consumer=new_consumer), settings=SimpleNamespace(redis_series=())
        )
        readmodel: Any = SimpleNamespace(filler=SimpleNamespace())
        profiles: Any = SimpleNamespace(all_again=all_again)
        fill = asyncio.create_task(Filling(context, readmodel, profiles).fill(0))
        await asked.wait()
        fill.cancel()
        with suppress(asyncio.CancelledError):
            await fill
        assert [consumer._closed for consumer in consumers] == [True]
        await left.wait()
