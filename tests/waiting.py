"""Waiting for what tells nobody when it happens: a process, a broker, a page, another task.

A limit is only there to end a test that has failed. It says nothing about how soon something has to come, and
leaves a busy machine its time.
"""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable


def until(what: str, condition: Callable[[], Any], within: float = 90.0, every: float = 0.05) -> Any:
    """Ask until the answer is true and return it; fails naming ``what`` after ``within`` seconds."""
    deadline = time.monotonic() + within
    while not (answer := condition()):
        if time.monotonic() > deadline:
            raise AssertionError(f"not within {within:g} s: {what}")
        time.sleep(every)
    return answer


async def eventually(condition: Callable[[], Any], within: float = 60.0, every: float = 0.02) -> Any:
    """As ``until``, while the loop goes on; the answer of a coroutine function is awaited."""
    async with asyncio.timeout(within):
        while True:
            answer = condition()
            if asyncio.iscoroutine(answer):
                answer = await answer
            if answer:
                return answer
            await asyncio.sleep(every)
