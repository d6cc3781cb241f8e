"""The reader for event loops, by TLS and as a user of its own, against a real Redis."""

from __future__ import annotations

import asyncio
import json
import re
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import redis
import trustme

from stream import topics
from stream.serving import ReadModel, Telemetry
from stream.serving.reader import Point, Reader, ReadModelAway
from tests.serving.conftest import RedisProcess
from tests.serving.test_readmodel import running, written
from tests.waiting import eventually

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

MINUTE = 60_000
PAGE = Path(__file__).parents[2] / "docs" / "read-model.md"


@pytest.fixture
async def reader(redis_process: RedisProcess) -> AsyncIterator[Reader]:
    """A reader of the test's own Redis."""
    one = Reader(redis_process.url, timeout=0.5)
    yield one
    await one.close()


def metrics(value: float | None, n: int = 3) -> bytes:
    """A ``cx.metrics`` object with two windows."""
    nps = {"value": value, "n": n, "interval": [value - 1, value + 1] if value is not None else None}
    return json.dumps({"slice": {}, "final": True, "metrics": {"nps": {"5m": nps, "24h": nps}}}).encode()


def profile(name: str, risk: float | None, currency: str | None = "EUR") -> bytes:
    """A ``cx.customers`` object, as far as it matters here."""
    return json.dumps({"customer_id": name, "value_at_risk": risk, "currency": currency}).encode()


def alert(name: str, at: str) -> bytes:
    """A ``cx.alerts`` object, as far as it matters here."""
    return json.dumps({"id": name, "data": {"starts_at": at}}).encode()


async def test_series_have_the_first_value_of_each_step(redis_process: RedisProcess, reader: Reader) -> None:
    """Whatever order they come in, and never more than the ring holds."""
    async with running(redis_process) as model:
        for minute in (3, 1, 2):
            model.offer_sample("{}", -1, minute * MINUTE + 5_000, metrics(minute))
            model.offer_sample("{}", -1, minute * MINUTE + 9_000, metrics(99))
        model.offer_sample("{}", -1, 4 * MINUTE, metrics(None))
        await written(model)
        assert await reader.series("{}", "nps", "5m") == [
            *(Point(n * MINUTE + 5_000, n, 3, n - 1, n + 1) for n in (1, 2, 3)),
            Point(4 * MINUTE, None, 3, None, None),
        ]
        assert [each.at_ms for each in await reader.series("{}", "nps", "24h")] == [MINUTE + 5_000]
        assert [p.value for p in await reader.series("{}", "nps", "5m", 2 * MINUTE, 3 * MINUTE)] == [2]
        for minute in range(5, 300):
            model.offer_metrics("{}", minute * MINUTE, True, metrics(minute))
        await written(model)
        found = await reader.series("{}", "nps", "5m")
        assert (len(found), found[-1].value) == (240, 299)
        assert await reader.series("{}", "csat", "5m") == await reader.series("?", "nps", "5m") == []


async def test_slices_with_a_history_are_bounded(redis_process: RedisProcess, reader: Reader) -> None:
    """Beyond the bound the longest unchanged slices lose theirs."""
    async with running(redis_process, max_series=3) as model:
        for number in range(6):
            model.offer_metrics(str(number), (number + 1) * MINUTE, True, metrics(1))
        await written(model)
    assert [n for n in range(6) if await reader.series(str(n), "nps", "5m")] == [3, 4, 5]


async def test_profiles_are_found_and_ordered(redis_process: RedisProcess, reader: Reader) -> None:
    """By value at risk, in one currency or in all; whoever is removed is in no order."""
    async with running(redis_process) as model:
        for name, risk, currency in (
            ("a", 5.0, "EUR"),
            ("b", 7.0, "EUR"),
            ("c", 6.0, "GBP"),
            ("d", None, None),
        ):
            model.offer_profile(name, 1_000, profile(name, risk, currency), risk, currency)
        await written(model)
        assert [each["customer_id"] for each in await reader.top(3)] == ["b", "c", "a"]
        assert [each["customer_id"] for each in await reader.top(5, currency="EUR")] == ["b", "a"]
        assert (await reader.profile("d") or {})["value_at_risk"] is None
        model.offer_profile("b", 2_000, profile("b", 1.0, "GBP"), 1.0, "GBP")
        model.offer_profile("a", 900, profile("a", 99.0), 99.0, "EUR")  # older than what is there
        model.offer_profile("c", 0, None)
        await written(model)
        assert [(each["customer_id"], each["value_at_risk"]) for each in await reader.top(9)] == [
            ("a", 5.0),
            ("b", 1.0),
        ]
        assert await reader.profile("c") is None


async def test_profiles_are_bounded(redis_process: RedisProcess, reader: Reader) -> None:
    """Beyond the bound the longest unchanged go, from the order as well."""
    async with running(redis_process, max_profiles=10) as model:
        for number in range(30):
            name = f"c{number}"
            model.offer_profile(name, 1_000 + number, profile(name, 1.0), 1.0, "EUR")
        await written(model)
    assert {each["customer_id"] for each in await reader.top(99)} == {f"c{n}" for n in range(20, 30)}


async def test_alerts_active_recent_and_one_by_one(redis_process: RedisProcess, reader: Reader) -> None:
    """Newest start first; the recent ones in order, to go on with; one that is over is still found."""
    async with running(redis_process) as model:
        model.offer_alert("f1", "firing", 1_000, alert("a", "2026-01-01"))
        model.offer_alert("f2", "firing", 1_000, alert("b", "2026-01-02"))
        model.offer_alert("f1", "resolved", 2_000, alert("c", "2026-01-01"))
        model.offer_alert("f3", "firing", 3_000, alert("d", "2026-01-03"))
        await written(model)
    assert [each["id"] for each in await reader.alerts_active()] == ["d", "b"]
    first = await reader.alerts_recent(after="0-0", count=3)
    assert [each["id"] for each in first.alerts] == ["a", "b", "c"]
    rest = await reader.alerts_recent(after=first.position)
    assert [each["id"] for each in rest.alerts] == ["d"]
    assert [each["id"] for each in (await reader.alerts_recent(count=2)).alerts] == ["c", "d"]
    assert (await reader.alerts_recent(after="no position")).alerts[0]["id"] == "a"
    assert (await reader.alert("f1") or {})["id"] == "c"
    assert await reader.alert("f9") is None


async def test_metrics_and_slices(redis_process: RedisProcess, reader: Reader) -> None:
    """All, or those asked for; their keys alone."""
    async with running(redis_process) as model:
        model.offer_metrics("{}", 1_000, True, b'{"a": 1}')
        model.offer_metrics("x", 1_000, True, b'{"a": 2}')
        await written(model)
    assert await reader.metrics() == {"{}": {"a": 1}, "x": {"a": 2}}
    assert await reader.metrics(["x", "y"]) == {"x": {"a": 2}}
    assert set(await reader.slices()) == {"{}", "x"}


async def test_a_redis_that_is_away_is_one_error(redis_process: RedisProcess, reader: Reader) -> None:
    """With the address and without a password, on every method."""
    await reader.ping()
    redis_process.kill()
    for asked in (
        reader.metrics(),
        reader.series("{}", "nps", "1h"),
        reader.top(3),
        reader.alert("f"),
        reader.ping(),
    ):
        with pytest.raises(ReadModelAway, match=str(redis_process.port)):
            await asked


@pytest.fixture
def secured(tmp_path: Path) -> Iterator[tuple[RedisProcess, Path, Path]]:
    """A server that speaks TLS alone and wants a certificate; its authority, and a client's certificate."""
    authority = trustme.CA()
    ca, own, client = tmp_path / "ca.pem", tmp_path / "server.pem", tmp_path / "client.pem"
    authority.cert_pem.write_to_path(ca)
    authority.issue_cert("127.0.0.1").private_key_and_cert_chain_pem.write_to_path(own)
    authority.issue_cert("cx-worker").private_key_and_cert_chain_pem.write_to_path(client)
    server = RedisProcess(tmp_path)
    command = ["/usr/bin/redis-server", "--port", "0", "--tls-port", str(server.port), "--bind", "127.0.0.1"]
    command += ["--tls-cert-file", str(own), "--tls-key-file", str(own), "--tls-ca-cert-file", str(ca)]
    command += ["--save", "", "--dir", str(tmp_path)]
    server.process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    server.url = server.url.replace("redis://", "rediss://")
    yield server, ca, client
    server.kill()


async def test_tls_with_an_authority_of_ones_own(secured: tuple[RedisProcess, Path, Path]) -> None:
    """Reads and writes with the right files; without the authority nothing is said at all."""
    server, ca, client = secured
    model = ReadModel(server.url, Telemetry(), interval=0.02, ca=ca, cert=client)
    await model.start()
    model.offer_metrics("{}", 1_000, True, b'{"a": 1}')
    await written(model)
    await model.stop()
    reader = Reader(server.url, ca=ca, cert=client)
    assert await reader.metrics() == {"{}": {"a": 1}}
    await reader.close()
    stranger = Reader(server.url)
    with pytest.raises(ReadModelAway, match="certificate"):
        await stranger.ping()
    await stranger.close()


async def test_the_users_of_the_page_are_enough(redis_process: RedisProcess) -> None:
    """What docs/read-model.md gives workers lets them fill it; what it gives readers lets them read, no more."""
    found = re.search(r"```text acl\n(.*?)```", PAGE.read_text(), re.DOTALL)
    assert found is not None
    with redis_process.client() as client:
        for line in found[1].splitlines():
            client.execute_command("ACL", "SETUSER", *line.split()[1:])  # type: ignore[no-untyped-call]
        client.execute_command("ACL", "SETUSER", "default", "off")  # type: ignore[no-untyped-call]
    url = redis_process.url.replace("//", "//cx-worker:secret@")
    model = ReadModel(url, Telemetry(), interval=0.02)
    await model.start()
    model.offer_metrics("{}", 61_000, True, metrics(5))
    model.offer_profile("a", 1_000, profile("a", 1.0), 1.0, "EUR")
    model.offer_alert("f", "firing", 1_000, alert("a", "2026-01-01"))
    await written(model)
    assert [name async for name in model.customer_ids()] == ["a"]
    await model.stop()
    reading = redis_process.url.replace("//", "//cx-reader:secret@")
    reader = Reader(reading)
    assert [each["customer_id"] for each in await reader.top(1)] == ["a"]
    assert len(await reader.series("{}", "nps", "5m")) == 1
    assert await reader.alert("f")
    assert await reader.metrics()
    assert (await reader.alerts_recent()).alerts
    await reader.ping()
    await reader.close()
    other = redis.Redis.from_url(reading)
    with pytest.raises(redis.exceptions.NoPermissionError):
        other.delete(topics.REDIS_METRICS)
    other.close()


async def test_what_redis_does_not_have_is_filled_once(redis_process: RedisProcess) -> None:
    """Each partition that is not noted; again after a FLUSHALL in the middle of it; not for the next worker."""
    filled: list[int] = []
    async with running(redis_process) as model:

        async def fill(partition: int) -> None:
            filled.append(partition)
            if len(filled) == 1:
                with redis_process.client() as client:
                    client.flushall()
                await eventually(lambda: model.filler._losses > 1)
            model.offer_profile(f"c{partition}", 1_000, profile("c", 1.0), 1.0, "EUR")

        model.filler.fill = fill
        model.filler.hold([0, 1])
        with redis_process.client() as client:
            await eventually(lambda: client.hlen("cx:readmodel:filled") == 2)
            assert filled[0] == 0
            assert sorted(filled) == [0, 0, 1]
            assert client.hlen(topics.REDIS_CUSTOMERS) == 2
    again: list[int] = []
    async with running(redis_process) as model:

        async def note(partition: int) -> None:
            again.append(partition)

        model.filler.fill = note
        model.filler.hold([0, 1, 2])
        await eventually(lambda: again == [2])


async def test_partitions_are_filled_at_the_same_time(redis_process: RedisProcess) -> None:
    """None waits for another's; one that goes wrong holds no other back, and is tried again."""
    together = asyncio.Barrier(3)
    async with running(redis_process) as model:

        async def fill(partition: int) -> None:
            await together.wait()
            if partition == 1 and model.filler._partitions == {0, 1, 2}:
                raise ConnectionError("away")

        model.filler.fill = fill
        model.filler.hold([0, 1, 2])
        with redis_process.client() as client:
            await eventually(lambda: sorted(client.hkeys("cx:readmodel:filled")) == [b"0", b"2"])
            model.filler.hold([1, 3, 4])
            await eventually(lambda: client.hlen("cx:readmodel:filled") == 5)
