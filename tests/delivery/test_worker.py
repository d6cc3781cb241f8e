"""Workers deliver what is on a real Kafka: to a receiver that was down, through kills, and on request."""

from __future__ import annotations

import asyncio
import base64
import json
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import pytest
import standardwebhooks
from aiohttp import web
from confluent_kafka import Producer

from stream import topics
from tests.delivery.conftest import free_port
from tests.delivery.events import event
from tests.delivery.receivers import Hook, Post, hook
from tests.e2e.harness import Deployment, WorkerProcess
from tests.waiting import until

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from stream.brokers.kafka import KafkaServer
    from tests.delivery.conftest import Alertmanager

pytestmark = [pytest.mark.kafka, pytest.mark.slow]

SECRET = "whsec_" + base64.b64encode(b"s" * 32).decode()
ALERTS = 200
FILE = """
allow_private: [127.0.0.0/8]
route:
  receiver: care
  routes: [{matchers: {severity: info}, receiver: gone}]
receivers:
  - name: care
    webhook_configs: [{url: "http://127.0.0.1:%d/", secret_env: HOOK}]
    alertmanager_configs: [{url: "%s", resend_delay: 2s}]
  - name: gone
    webhook_configs: [{url: "http://127.0.0.1:%d/"}]
"""


def tell(bootstrap: str, events: list[bytes]) -> None:
    """Publish alert events as workers do."""
    producer = Producer({"bootstrap.servers": bootstrap, "partitioner": "murmur2_random", "log_level": 0})
    for each in events:
        producer.produce(topics.ALERTS, each, key=json.loads(each)["data"]["fingerprint"].encode())
    assert producer.flush(20) == 0


def cx(deployment: Deployment, *arguments: str) -> Any:
    """Run a command against the deployment; its JSON."""
    done = subprocess.run(
        [sys.executable, "-m", "stream.cli", "delivery", *arguments, "--json"],
        env={"PATH": "/usr/bin:/bin", **deployment.env},
        cwd=deployment.folder,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


async def ready(worker: WorkerProcess) -> WorkerProcess:
    """Wait for it without keeping receivers from answering."""
    return await asyncio.to_thread(worker.wait_ready)


async def settled(server: Hook, wanted: set[str], within: float = 60.0) -> None:
    """Wait until every id has come."""
    async with asyncio.timeout(within):
        while {post.headers["webhook-id"] for post in server.posts} != wanted:
            server.came.clear()
            await server.came.wait()


async def goes_and_comes_back(deployment: Deployment, worker: WorkerProcess, gone: int) -> None:
    """A receiver that says 410 is left alone until a redrive."""
    async with hook(lambda _n, _p: web.Response(status=410), port=gone):
        assert cx(deployment, "redrive", "--yes")["asked"]  # it is owed, and waits for its turn
        said = await asyncio.to_thread(
            until_rows, deployment, lambda said: any(row["state"] == "parked" for row in said["alerts"])
        )
    (row,) = said["alerts"]
    assert (row["target"], row["id"], row["why"]) == ("gone/webhook", "i", "gone")
    assert said["targets"] == [{"target": "gone/webhook", "owed": 0, "parked": 1, "trouble": "gone (410)"}]
    counters = await asyncio.to_thread(worker.counters, "cx_delivery_parked")
    assert counters['{receiver="gone/webhook"}'] == 1
    async with hook(port=gone) as server:
        assert cx(deployment, "redrive", "--target", "gone/webhook", "--yes")["found"] == 1
        await settled(server, {"i"})


@pytest.mark.timeout(180)
async def test_every_alert_arrives_whatever_dies(
    kafka: KafkaServer, tmp_path: Path, alertmanager: Callable[[str], Alertmanager]
) -> None:
    """A receiver that was down gets every alert, with its own id and in order, though senders are killed.

    An Alertmanager has what fires, and no longer once it is over. A receiver that is gone gets none until somebody
    asks for it. Nothing of alerts or secrets is in a log.
    """
    care, gone = free_port(), free_port()
    path = tmp_path / "delivery.yml"
    there = alertmanager("http://127.0.0.1:9/")
    path.write_text(FILE % (care, there.url, gone))
    deployment = Deployment(kafka.bootstrap, tmp_path, CX_DELIVERY=str(path), HOOK=SECRET).create()
    workers: list[WorkerProcess] = []

    async def start() -> WorkerProcess:
        workers.append(deployment.worker())
        return await ready(workers[-1])

    def events(first: int, count: int, **given: Any) -> list[bytes]:
        return [event(f"n{n}", fingerprint=f"f{n % 20}", **given) for n in range(first, first + count)]

    try:
        worker = await start()
        tell(kafka.bootstrap, [*events(0, ALERTS // 2), event("i", severity="info", fingerprint="i")])
        await asyncio.to_thread(deployment_owes, deployment, ALERTS // 2)
        worker.kill()  # with all of it owed, and the receiver down
        tell(kafka.bootstrap, events(ALERTS // 2, ALERTS // 2))
        worker = await start()

        def answer(number: int, _post: Post) -> web.Response:
            if number == 40:
                workers[-1].kill()  # it never hears that this one was taken
            return web.Response(status=503 if number == 5 else 200)

        wanted = {f"n{n}" for n in range(ALERTS)}
        async with hook(answer, port=care) as server:
            await asyncio.to_thread(workers[-1].process.wait, 60)
            await start()
            await settled(server, wanted)
            for post in server.posts:
                standardwebhooks.Webhook(SECRET).verify(post.body, post.headers)
            names = list(dict.fromkeys(post.headers["webhook-id"] for post in server.posts))
            assert len(server.posts) < ALERTS + 30  # again only what was under way in a kill
            for mark in range(20):
                order = [int(name[1:]) for name in names if int(name[1:]) % 20 == mark]
                assert order == sorted(order)

            marks = {f"f{number}" for number in range(20)}
            assert (await asyncio.to_thread(there.alerts)).keys() == marks
            tell(kafka.bootstrap, [event("last", fingerprint="f1", state="resolved")])
            await settled(server, {*wanted, "last"})
            await asyncio.to_thread(until, "f1 is over", lambda: there.alerts().keys() == marks - {"f1"})
            await asyncio.to_thread(
                until_rows,
                deployment,
                lambda said: not any(row["target"] == "care/webhook" for row in said["alerts"]),
            )

        await goes_and_comes_back(deployment, workers[-1], gone)
        assert await asyncio.to_thread(workers[-1].stop) == 0
        assert len(cx(deployment, "list")["alerts"]) == 0
    finally:
        for each in workers:
            each.close()
        deployment.close()
    logs = "".join(each.log for each in workers)
    assert "gone/webhook: the receiver is gone (410)" in logs
    assert "care/webhook: does not take alerts (connection)" in logs
    for hidden in ("NPS of vip", SECRET, "whsec_", f":{care}"):
        assert hidden not in logs


def deployment_owes(deployment: Deployment, count: int) -> None:
    """Wait until so many alerts are owed."""
    until_rows(deployment, lambda said: len(said["alerts"]) > count)


def until_rows(deployment: Deployment, condition: Any) -> Any:
    """What ``cx delivery list`` says, once it says so."""
    for _ in range(30):
        said = cx(deployment, "list", "--limit", "1000")
        if condition(said):
            return said
    raise AssertionError(f"never: {said['targets']}")
