"""Ten deaths of workers under load, and others that join and leave: nothing lost, nothing twice."""

from __future__ import annotations

import os
import signal
import subprocess
from random import Random
from typing import TYPE_CHECKING, Any

import pytest

from stream import topics
from tests.e2e.checks import by_id, check_state, same
from tests.e2e.harness import Deployment, WorkerProcess
from tests.e2e.load import Load
from tests.e2e.traffic import POLICY, RULES
from tests.waiting import until

if TYPE_CHECKING:
    from pathlib import Path

    from stream.brokers.kafka import KafkaServer

pytestmark = [pytest.mark.kafka, pytest.mark.slow]

SEED = int(os.environ.get("E2E_SEED", "20260112"))
AT_LEAST = 40_000
PER_SECOND = 900


def under_load(deployment: Deployment, *workers: WorkerProcess) -> None:
    """Wait until the group gets on with its input."""
    before = sum(deployment.committed(*topics.INPUTS).values())

    def on() -> bool:
        return sum(deployment.committed(*topics.INPUTS).values()) > before or any(
            worker.process.poll() is not None for worker in workers
        )

    until("the group commits inputs", on, 60)


def die(deployment: Deployment, rng: Random, worker: WorkerProcess) -> None:
    """End a worker at a random moment of its work: by its own plan, or else by ours."""
    under_load(deployment, worker)
    if worker.process.poll() is None:
        try:
            worker.process.wait(rng.uniform(0, 1.5))
        except subprocess.TimeoutExpired:
            worker.kill()
    assert worker.process.poll() == -signal.SIGKILL, worker.log[-4000:]


def plan(rng: Random) -> dict[str, str]:
    """Half of the workers end themselves in the middle of a batch."""
    return {"E2E_DIE_AT_SEND": str(rng.randrange(3, 150))} if rng.random() < 0.6 else {}


def with_kills(deployment: Deployment, seed: int) -> None:
    """Run traffic through workers that are killed ten times, with a second one that comes and goes."""
    rng = Random(f"kills {seed}")
    load = Load(deployment.bootstrap, seed, AT_LEAST, PER_SECOND)
    started: list[WorkerProcess] = []

    def start(**env: str) -> WorkerProcess:
        # Until the end nothing is idle: what is carried along as idle and comes back is known later, and how
        # much later depends on the clock.
        worker = deployment.worker(**{"CX_IDLE_AFTER_MS": "600000", **env})
        started.append(worker)
        return worker

    try:
        load.start()
        for _ in range(4):
            die(deployment, rng, start(**plan(rng)))
        steady = start().wait_ready()
        for _ in range(3):  # one beside a steady one, which takes over
            die(deployment, rng, start(**plan(rng)))
        guest = start().wait_ready()  # joins, works, and leaves in good order
        under_load(deployment, guest)
        assert guest.stop() == 0, guest.log[-4000:]
        second = start().wait_ready()
        die(deployment, rng, steady)  # the elder dies, the younger takes over
        die(deployment, rng, second)
        die(deployment, rng, start(**plan(rng)))
        load.finish()
        last = [start(CX_IDLE_AFTER_MS="1500") for _ in range(2)]
        deployment.drained(*last, within=120)
        for worker in last:
            assert worker.stop() == 0, worker.log[-4000:]
    finally:
        load._enough.set()
        for worker in started:
            worker.__exit__(None, None, None)


@pytest.mark.timeout(420)
def test_kills_leave_no_trace(kafka: KafkaServer, tmp_path: Path) -> None:
    """After ten kill -9, joins and leaves, state equals an offline computation and alerts a quiet run's."""
    print(f"seed {SEED}: repeat with E2E_SEED={SEED}")  # noqa: T201 - shown when the test fails
    deployment = Deployment(kafka.bootstrap, tmp_path, RULES, **POLICY).create()
    with_kills(deployment, SEED)
    check_state(deployment)
    alerts = by_id(deployment.alerts())

    quiet = Deployment(kafka.bootstrap, tmp_path, RULES, **POLICY).create(keep_inputs=True)
    quiet.run()
    check_state(quiet)
    wanted = by_id(quiet.alerts())
    assert len(wanted) > 200
    same("alerts", alerts, wanted)
    assert all(len(values) == 1 for values in alerts.values())
    same("every metric", _values(deployment), _values(quiet))


def _values(deployment: Deployment) -> dict[str, Any]:
    """The newest final values of every slice."""
    return {key: record["metrics"] for key, record in deployment.final_metrics().items()}
