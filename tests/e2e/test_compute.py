"""What workers publish of a file that was sent is what ``cx compute`` says of the file."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from stream import topics
from tests.compute.world import simulated, values, written
from tests.e2e.harness import Deployment

if TYPE_CHECKING:
    from pathlib import Path

    from stream.brokers.kafka import KafkaServer

pytestmark = [pytest.mark.kafka, pytest.mark.slow]

RULES = """
metrics: all
slices:
  - [segment]
  - [touchpoint, channel]
  - [survey]
goals:
  - {metric: nps, goal: 50}
  - {metric: csat, baseline: {ago: 7d}}
"""
#: Small enough for all of it to bite.
POLICY = {"CX_LATE_HORIZON_MS": str(15 * 60_000), "CX_MAX_MEMBERS": "5", "CX_IDLE_AFTER_MS": "500"}


@pytest.mark.timeout(300)
def test_every_value_on_kafka_is_that_of_the_file(kafka: KafkaServer, tmp_path: Path) -> None:
    """All metrics of all slices over all windows, of two workers, after late, repeated and bad lines."""
    files = [
        written(tmp_path / "hours.ndjson", simulated(11, 12_000, 3_400)),
        written(tmp_path / "days.ndjson", simulated(12, 4_000, 60, late=0.2)),
    ]
    deployment = Deployment(kafka.bootstrap, tmp_path, RULES, **POLICY).create()

    def cx(*arguments: str) -> subprocess.CompletedProcess[bytes]:
        return subprocess.run(
            [sys.executable, "-m", "stream.cli", *arguments, *map(str, files)],
            env=deployment.env,
            cwd=tmp_path,
            check=False,
            capture_output=True,
            timeout=120,
        )

    sent = cx("send", "--json")
    refused = json.loads(sent.stdout)["refused"]
    computed = cx("compute", "--json")
    assert computed.returncode == 0, computed.stderr
    deployment.run(2)

    want = {json.dumps(r["slice"]): r for r in map(json.loads, computed.stdout.splitlines())}
    found = {json.dumps(r["slice"]): r for r in deployment.final_metrics().values() if r["metrics"]}
    got, wanted = values(found), values(want)
    wrong = [key for key in got.keys() | wanted.keys() if got.get(key) != wanted.get(key)]
    told = [f"{key}: got {got.get(key)}, want {wanted.get(key)}" for key in sorted(wrong)[:5]]
    assert not wrong, f"{len(wrong)} of {len(wanted)} differ: {told}"
    assert found["{}"]["as_of"] == want["{}"]["as_of"]
    assert len(wanted) > 300
    # Lines that were not sent are dead letters of the file; of the others the same ones are.
    counts = re.search(rb"(\d+) dead letters.*, (\d+) too late", computed.stderr)
    assert counts is not None
    dead, late = map(int, counts.groups())
    assert min(refused, dead - refused, late) > 20, (refused, dead, late)
    # While the workers share out the partitions a record may be read twice: its dead letter says which it was.
    places = {
        tuple(value for name, value in message.headers() or [] if name in {"topic", "partition", "offset"})
        for message in deployment.read(topics.DEADLETTERS)
    }
    assert len(places) == dead - refused + late
