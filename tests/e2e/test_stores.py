"""Workers with tables on disk: killed, started again, and refused where that cannot be."""

from __future__ import annotations

from random import Random
from typing import TYPE_CHECKING

import pytest

from stream import topics
from tests.e2e.checks import by_id, check_state, same
from tests.e2e.harness import PARTITIONS, Deployment
from tests.e2e.load import Load
from tests.e2e.records import send
from tests.e2e.test_kills import die, plan
from tests.e2e.test_start import refused
from tests.e2e.traffic import POLICY, RULES
from tests.privacy.erased import cx, world
from tests.waiting import until

if TYPE_CHECKING:
    from pathlib import Path

    from stream.brokers.kafka import KafkaServer

pytestmark = pytest.mark.kafka

SEED = 20261123
#: Not those whom other tests on the same broker search for.
ID = "mary.somerville@example.org"


def on_disk(folder: Path) -> dict[str, str]:
    """Settings."""
    return {"CX_STORE": "rocksdb", "CX_DATA_DIR": str(folder), "CX_STORE_MEMORY_MB": "32"}


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_kills_leave_no_trace(kafka: KafkaServer, tmp_path: Path) -> None:
    """After kill -9 on disk, state equals an offline computation, and alerts those of a quiet run in memory."""
    deployment = Deployment(kafka.bootstrap, tmp_path, RULES, **POLICY, **on_disk(tmp_path / "data")).create()
    rng = Random(SEED)
    load = Load(deployment.bootstrap, SEED, 20_000, 700)
    load.start()
    try:
        for _ in range(2):
            with deployment.worker(CX_IDLE_AFTER_MS="600000", **plan(rng)) as victim:
                die(deployment, rng, victim)
    finally:
        load.finish()
    with deployment.worker() as last:
        deployment.drained(last, within=120)
        assert last.stop() == 0, last.log[-4000:]
    check_state(deployment)
    with deployment.worker() as again:  # stopped in good order: there is nothing to read back
        again.wait_ready()
        assert sum(again.counters("cx_recovery_records_total").values()) == 0
        assert again.stop() == 0
    names = {path.name for path in (tmp_path / "data" / deployment.app_id / topics.CUSTOMERS_TABLE).iterdir()}
    assert names == {str(partition) for partition in range(PARTITIONS)}
    alerts = by_id(deployment.alerts())

    quiet = Deployment(kafka.bootstrap, tmp_path, RULES, **POLICY).create(keep_inputs=True)
    quiet.run()
    wanted = by_id(quiet.alerts())
    assert len(wanted) > 20
    same("alerts", alerts, wanted)


@pytest.mark.timeout(90)
def test_refused_at_the_start(kafka: KafkaServer, tmp_path: Path) -> None:
    """No directory, or one that another worker uses: exit code 2, one message, and the way out."""
    nowhere = Deployment(kafka.bootstrap, tmp_path, CX_STORE="rocksdb").create()
    assert "CX_DATA_DIR: is not set" in refused(nowhere)
    taken = Deployment(kafka.bootstrap, tmp_path, **on_disk(tmp_path / "data")).create()
    with taken.worker() as first:
        first.wait_ready()
        said = refused(taken)
        assert "in use by another worker; give each its own" in said
        assert f"CX_DATA_DIR={tmp_path / 'data'}" in said
        assert first.stop() == 0


@pytest.mark.slow
@pytest.mark.timeout(180)
def test_who_is_erased_leaves_the_disk(kafka: KafkaServer, tmp_path: Path) -> None:
    """A running worker takes an erased person out of the files of its tables, not only out of its answers."""
    folder = tmp_path / "data"
    deployment = Deployment(kafka.bootstrap, tmp_path, RULES, **POLICY, **on_disk(folder)).create()
    send(kafka.bootstrap, world(30, 0, ID, "as good as the connexion allows"))

    def files() -> list[str]:
        held = {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}
        return [str(path) for path, content in held.items() if ID.encode() in content]

    with deployment.worker() as worker:
        deployment.drained(worker)
        assert worker.stop() == 0  # writes everything to disk
    assert files()
    with deployment.worker() as worker:
        worker.wait_ready()
        done = cx(deployment, "customers", "erase", ID, "--yes")
        assert done.returncode == 0, done.stderr
        until("nothing is left", lambda: worker.alive() and not files(), 30)
        assert worker.stop() == 0
    assert files() == []
