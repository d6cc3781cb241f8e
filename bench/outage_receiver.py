"""A webhook receiver that is away for minutes, and ``kill -9`` of the worker that owes it alerts.

A real Kafka, ``cx worker`` as it is installed, and an HTTP server. Alerts are published at a steady rate for as
long as the receiver is away: in the first half nobody listens, then the worker is killed and another one started,
and in the second half the receiver answers 503. Once it takes alerts again, each must arrive: with its own id,
signed, and in order for each fingerprint.
"""

from __future__ import annotations

import asyncio
import base64
import json
import subprocess
import sys
import time
from collections import Counter
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Final

import standardwebhooks
from aiohttp import web
from confluent_kafka import Producer

from stream import topics
from stream.brokers.kafka import KafkaServer, free_port
from tests.delivery.events import event
from tests.delivery.receivers import Hook, Post, hook
from tests.e2e.harness import Deployment, WorkerProcess

PER_S: Final = 5
FINGERPRINTS: Final = 200
BEFORE: Final = 50
#: The longest wait between two attempts is a quarter of an hour.
AT_MOST_S: Final = 1_200.0
CX: Final = (sys.executable, "-m", "stream.cli")
SECRET: Final = "whsec_" + base64.b64encode(b"s" * 32).decode()
FILE: Final = """
allow_private: [127.0.0.0/8]
route: {receiver: crm}
receivers:
  - name: crm
    webhook_configs: [{url: "http://127.0.0.1:%d/", secret_env: HOOK}]
"""


@dataclass
class Receiver:
    """What was sent to an address, when (monotonic), and how it answered; ``status`` is its answer now.

    A signature is verified as the request comes, for it is refused when it is minutes old.
    """

    status: int = 200
    came: list[tuple[float, int, Post]] = field(default_factory=list)
    wrong: list[Post] = field(default_factory=list)

    def answer(self, _number: int, post: Post) -> web.Response:
        """Verify, remember and answer."""
        try:
            standardwebhooks.Webhook(SECRET).verify(post.body, post.headers)
        except standardwebhooks.WebhookVerificationError:
            self.wrong.append(post)
        self.came.append((time.monotonic(), self.status, post))
        return web.Response(status=self.status)

    def taken(self) -> list[tuple[float, Post]]:
        """What it said yes to."""
        return [(at, post) for at, status, post in self.came if status == 200]


def id_of(post: Post) -> str:
    """Of the alert."""
    return post.headers["webhook-id"]


class Telling:
    """Publishes alerts as workers do; the n-th has the id ``n<n>``."""

    def __init__(self, bootstrap: str) -> None:
        self._producer = Producer({"bootstrap.servers": bootstrap, "partitioner": "murmur2_random"})
        self.bodies: dict[str, bytes] = {}

    def tell(self, count: int) -> None:
        """Publish so many more."""
        for number in range(len(self.bodies), len(self.bodies) + count):
            mark = f"f{number % FINGERPRINTS}"
            self.bodies[f"n{number}"] = event(f"n{number}", fingerprint=mark)
            self._producer.produce(topics.ALERTS, self.bodies[f"n{number}"], mark)
        self._producer.flush(30)

    async def steadily(self, seconds: float) -> None:
        """Publish for so long."""
        began, first = time.monotonic(), len(self.bodies)
        while (passed := time.monotonic() - began) < seconds:
            self.tell(int(passed * PER_S) - (len(self.bodies) - first))
            await asyncio.sleep(1 / PER_S)


async def came(server: Hook, receiver: Receiver, wanted: set[str]) -> None:
    """Wait until each of the ids was taken."""
    async with asyncio.timeout(AT_MOST_S):
        while {id_of(post) for _, post in receiver.taken()} != wanted:
            server.came.clear()
            await server.came.wait()


def owed(deployment: Deployment) -> list[dict[str, Any]]:
    """What ``cx delivery list`` says, by target."""
    done = subprocess.run(
        [*CX, "delivery", "list", "--json"],
        env={"PATH": "/usr/bin:/bin", **deployment.env},
        cwd=deployment.folder,
        capture_output=True,
        check=True,
    )
    found: list[dict[str, Any]] = json.loads(done.stdout)["targets"]
    return found


def failures(worker: WorkerProcess) -> int:
    """Attempts of it that failed."""
    return round(
        sum(n for labels, n in worker.counters("cx_deliveries_total").items() if 'outcome="failed"' in labels)
    )


def in_order(posts: list[Post]) -> bool:
    """Whether each fingerprint's alerts came in the order in which they were told, repeats aside."""
    numbers = list(dict.fromkeys(int(id_of(post)[1:]) for post in posts))
    return all(
        own == sorted(own)
        for mark in range(FINGERPRINTS)
        if (own := [number for number in numbers if number % FINGERPRINTS == mark])
    )


async def run(kafka: KafkaServer, folder: Path, minutes: float) -> dict[str, Any]:
    """One outage."""
    port, receiver, telling = free_port(), Receiver(), Telling(kafka.bootstrap)
    path = folder / "delivery.yml"
    path.write_text(FILE % port)
    deployment = Deployment(kafka.bootstrap, folder, CX_DELIVERY=str(path), HOOK=SECRET).create()

    async def start() -> WorkerProcess:
        worker = WorkerProcess({**deployment.env, "CX_COMMIT_INTERVAL_MS": "1000"}, folder, program=CX)
        opened.callback(worker.close)
        return await asyncio.to_thread(worker.wait_ready, 90)

    with ExitStack() as opened:
        opened.callback(deployment.close)
        worker = await start()
        async with hook(receiver.answer, port=port) as server:
            telling.tell(BEFORE)
            await came(server, receiver, set(telling.bodies))
        say(f"  the receiver does not listen for {minutes / 2:g} minutes …")
        await telling.steadily(minutes * 30)
        failed = await asyncio.to_thread(failures, worker)
        worker.kill()
        worker = await start()
        receiver.status = 503
        async with hook(receiver.answer, port=port) as server:
            say(f"  a worker was killed; the receiver answers 503 for {minutes / 2:g} minutes …")
            await telling.steadily(minutes * 30)
            list_before = await asyncio.to_thread(owed, deployment)
            say(f"  it is back; cx delivery list: {list_before}")
            back = time.monotonic()
            receiver.status = 200
            await came(server, receiver, set(telling.bodies))
            say("  all have arrived")
            list_after = await asyncio.to_thread(settled, deployment)
        failed += await asyncio.to_thread(failures, worker)
        if worker.stop() != 0:
            raise RuntimeError(worker.log[-4000:])
    taken = receiver.taken()
    after = [at - back for at, _ in taken if at > back]
    times = Counter(id_of(post) for _, post in taken)
    return {
        "minutes": minutes,
        "alerts": len(telling.bodies),
        "owed_at_return": sum(row["owed"] for row in list_before),
        "arrived": len(times),
        "duplicates": len(taken) - len(times),
        "strange_ids": len(times.keys() - telling.bodies.keys()),
        "changed_on_the_way": sum(post.body != telling.bodies.get(id_of(post)) for _, post in taken),
        "wrong_signatures": len(receiver.wrong),
        "in_order": in_order([post for _, post in taken]),
        "failed_attempts": failed,
        "attempts": failed + len(taken),
        "first_after_s": round(min(after), 1),
        "last_after_s": round(max(after), 1),
        "owed_or_parked_at_end": sum(row["owed"] + row["parked"] for row in list_after),
    }


def settled(deployment: Deployment, within: float = 60.0) -> list[dict[str, Any]]:
    """What is owed once nothing is, or after some time."""
    deadline = time.monotonic() + within
    found = owed(deployment)
    while any(row["owed"] for row in found) and time.monotonic() < deadline:
        time.sleep(1)
        found = owed(deployment)
    return found


def say(text: str) -> None:
    """Tell the person who waits."""
    print(text, file=sys.stderr, flush=True)


def measure(minutes: float = 10.0) -> dict[str, Any]:
    """The figures of one outage of so many minutes."""
    say(f"receiver: away for {minutes:g} minutes …")
    with TemporaryDirectory() as folder, KafkaServer() as kafka:
        return asyncio.run(run(kafka, Path(folder), minutes))
