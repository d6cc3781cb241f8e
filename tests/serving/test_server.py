"""The operations endpoint over real HTTP."""

from __future__ import annotations

import asyncio
import json
from contextlib import asynccontextmanager
from itertools import pairwise
from time import sleep, thread_time
from typing import TYPE_CHECKING

import aiohttp
import pytest

from bench.scrape import SLICES, client_s, scrapes, values_of
from stream.serving import Health, ListenError, OpsServer, Telemetry

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator


@asynccontextmanager
async def serving(health: Health) -> AsyncIterator[tuple[str, aiohttp.ClientSession]]:
    """A listening server, its base URL and a client."""
    telemetry = Telemetry()
    telemetry.inflight(3)
    server = OpsServer("127.0.0.1", 0, telemetry, health)
    await server.start()
    async with aiohttp.ClientSession() as session:
        yield f"http://127.0.0.1:{server.port}", session
    await server.stop()
    await server.stop()


async def test_metrics_in_the_text_format() -> None:
    """/metrics answers the exposition text with its content type."""
    async with serving(Health()) as (base, session), session.get(f"{base}/metrics") as answer:
        assert answer.status == 200
        assert answer.headers["Content-Type"] == "text/plain; version=0.0.4; charset=utf-8"
        assert b"\ncx_inflight_records 3.0\n" in await answer.read()


async def test_ready_says_which_check_fails_and_why() -> None:
    """503 while any check is not ok, with a reason per check; 200 once all are."""
    state = {"ok": False, "reason": "recovering customers: 12000 left"}
    health = Health()
    health.register("broker", lambda: (True, "connected"))
    health.register("recovery", lambda: (bool(state["ok"]), str(state["reason"])))
    async with serving(health) as (base, session):
        async with session.get(f"{base}/health/ready") as answer:
            assert answer.status == 503
            assert await answer.json() == {
                "ready": False,
                "checks": {
                    "broker": {"ok": True, "reason": "connected"},
                    "recovery": {"ok": False, "reason": "recovering customers: 12000 left"},
                },
            }
        state["ok"] = True
        async with session.get(f"{base}/health/ready") as answer:
            assert answer.status == 200
            assert (await answer.json())["ready"] is True


async def test_live_asks_no_check() -> None:
    """Liveness answers 200 as long as the loop runs, whatever the checks would say."""
    asked = []
    health = Health()
    health.register("broken", lambda: (asked.append(1) is None, "asked"))
    async with serving(health) as (base, session), session.get(f"{base}/health/live") as answer:
        assert answer.status == 200
    assert not asked


def test_readiness_without_checks_and_with_a_raising_one() -> None:
    """No checks yet is not ready; a check that raises fails by its exception's name only."""
    health = Health()
    assert not health.readiness().ready

    def broken() -> tuple[bool, str]:
        raise KeyError("a customer's id")

    health.register("broken", broken)
    health.register("fine", lambda: (True, "ok"))
    readiness = health.readiness()
    assert not readiness.ready
    assert readiness.checks["broken"].reason == "the check failed: KeyError"
    health.unregister("broken")
    health.unregister("broken")
    assert health.readiness().ready


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "PATCH", "HEAD"])
async def test_only_get(method: str) -> None:
    """Other methods are refused."""
    async with (
        serving(Health()) as (base, session),
        session.request(method, f"{base}/metrics", data=b"x" * 10_000) as answer,
    ):
        assert answer.status == 405


async def test_a_taken_port_is_one_clear_error() -> None:
    """The message names the settings and the address."""
    blocker = await asyncio.start_server(lambda _r, _w: None, "127.0.0.1", 0)
    port = blocker.sockets[0].getsockname()[1]
    server = OpsServer("127.0.0.1", port, Telemetry(), Health())
    with pytest.raises(ListenError, match=f"CX_HTTP_PORT: cannot listen on 127.0.0.1:{port}"):
        await server.start()
    await server.stop()
    blocker.close()
    await blocker.wait_closed()


async def test_five_thousand_slices_all_new_are_scraped_quickly_and_rendering_rests_often(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A scrape of which all is new takes less than a tenth of prometheus_client's, with a rest every 10 ms.

    Both in time of a processor: how busy the machine is with other things is no matter here. The loop waits no
    longer than rendering goes on; `bench.scrape` measures milliseconds by the clock.
    """
    telemetry = Telemetry(max_slices=SLICES)
    keys = [json.dumps({"product": str(number)}) for number in range(SLICES)]
    values = [values_of(number, 2) for number in range(SLICES)]
    rests: list[list[float]] = []

    def rest(seconds: float) -> None:
        rests[-1].append(thread_time())
        sleep(seconds)

    monkeypatch.setattr("stream.serving.server.sleep", rest)

    def fresh() -> Iterator[None]:
        for _ in range(6):
            for key, its in zip(keys, values, strict=True):
                telemetry.values(0, key, its)
            rests.append([])
            yield

    took = await scrapes(telemetry, fresh())
    assert min(size for *_, size in took) > 10_000_000
    assert min(cpu for cpu, *_ in took) < client_s(2) / 10
    assert min(max(after - before for before, after in pairwise(each)) for each in rests) < 0.010
