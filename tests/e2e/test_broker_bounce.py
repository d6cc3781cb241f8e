"""The broker dies under load and comes back."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

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


class Supervisor:
    """Starts a worker again whenever it has ended, as a service manager does."""

    def __init__(self, deployment: Deployment) -> None:
        self._deployment = deployment
        self._done = threading.Event()
        self.workers: list[WorkerProcess] = [self._start()]
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def _start(self) -> WorkerProcess:
        # Nothing is idle before the end, see test_kills.
        return self._deployment.worker(CX_IDLE_AFTER_MS="600000")

    def _run(self) -> None:
        while not self._done.wait(0.2):
            if self.workers[-1].process.poll() is not None:
                self.workers.append(self._start())

    def stop(self) -> None:
        """End it and its worker."""
        self._done.set()
        self._thread.join()
        for worker in self.workers[:-1]:
            assert (worker.process.poll() or 0) > 0, f"ended without a failure:\n{worker.log[-3000:]}"
        last = self.workers[-1]
        if last.process.poll() is None:
            last.stop()

    def close(self) -> None:
        """Leave nothing running."""
        self._done.set()
        self._thread.join()
        for worker in self.workers:
            worker.close()


@pytest.mark.timeout(300)
def test_a_broker_killed_under_load_loses_nothing(kafka: KafkaServer, tmp_path: Path) -> None:
    """After kill -9 and restart of the broker the worker, or its successor, goes on; all is exact."""
    deployment = Deployment(kafka.bootstrap, tmp_path, RULES, **POLICY).create()
    load = Load(kafka.bootstrap, 8, at_least=15_000, per_second=800)
    supervisor = Supervisor(deployment)
    try:

        def committed() -> int:
            return sum(deployment.committed(*topics.INPUTS).values())

        load.start()
        until("under load", lambda: committed() > 1_000)
        kafka.kill()
        until("producers notice", lambda: load.feed.waiting > 500)
        kafka.restart()
        before = committed()
        until("the group goes on", lambda: committed() > before + 2_000, 120)
        kafka.kill()
        kafka.restart()
        before = committed()
        until("the group goes on", lambda: committed() > before, 120)
        load.finish()
        supervisor.stop()
        deployment.run()
        check_state(deployment)
        alerts = by_id(deployment.alerts())
        quiet = Deployment(kafka.bootstrap, tmp_path, RULES, **POLICY).create(keep_inputs=True)
        quiet.run()
        same("alerts", alerts, by_id(quiet.alerts()))
    finally:
        supervisor.close()
        kafka.start()
        load.finish()
        deployment.close()
