"""The same input gives the same alerts, byte for byte, however it is cut into batches and shared out."""

from __future__ import annotations

import json
from collections import Counter
from itertools import islice
from typing import TYPE_CHECKING

import pytest

from schemas.times import format_ms
from tests.e2e.harness import Deployment
from tests.e2e.records import send
from tests.e2e.traffic import HISTORIES, HYGIENE, POLICY, RULES, START_MS, traffic

if TYPE_CHECKING:
    from pathlib import Path

    from stream.brokers.kafka import KafkaServer

pytestmark = [pytest.mark.kafka, pytest.mark.slow]

RECORDS = 25_000
END = format_ms(START_MS + 2 * 3_600_000)


@pytest.mark.timeout(600)
def test_replay_is_byte_identical(kafka: KafkaServer, tmp_path: Path) -> None:
    """Large batches, small ones, and two workers with little room publish the same multiset of ``cx.alerts``."""

    def alerts(workers: int, batch: int, inflight: int, *, keep: bool = True) -> Counter[bytes]:
        env = {"CX_MAX_BATCH_RECORDS": str(batch), "CX_MAX_INFLIGHT_RECORDS": str(inflight), **POLICY}
        rules = RULES + HISTORIES + HYGIENE
        deployment = Deployment(kafka.bootstrap, tmp_path, rules, **env).create(keep_inputs=keep)
        if not keep:
            send(kafka.bootstrap, islice(traffic(4), RECORDS))
        deployment.run(workers)
        # Where nothing more comes, time goes on to the present, as far as it is by then.
        return Counter(alert for alert in deployment.alerts() if json.loads(alert)["time"] < END)

    once = alerts(1, 5_000, 50_000, keep=False)
    by_rule = Counter(json.loads(alert)["data"]["alert"] for alert in once)
    assert by_rule.keys() == {
        "NpsLow", "NpsHigh", "CsatFell", "EffortRose", "Detractor", "UnhappyWithTicket", "BigPurchase",
        "NpsChanged", "NpsSurelyLow", "CsatBurns", "VipSilent",
        "Unanswered", "ThreeTimes", "Leaving", "NothingBought",
    }, by_rule  # fmt: skip
    states = Counter(json.loads(alert)["data"]["state"] for alert in once)
    assert states["resolved"] > 10, states
    assert max(once.values()) == 1, [alert for alert, n in once.items() if n > 1]

    assert differ(alerts(1, 37, 50_000), once) == {}
    assert differ(alerts(2, 700, 1_000), once) == {}


def differ(found: Counter[bytes], wanted: Counter[bytes]) -> dict[str, tuple[int, int]]:
    """Alerts that are too many and too few, by rule and state."""
    more, fewer = (
        Counter(" ".join(json.loads(one)["data"][name] for name in ("alert", "state")) for one in some)
        for some in ((found - wanted).elements(), (wanted - found).elements())
    )
    return {name: (more[name], fewer[name]) for name in sorted(more | fewer)}
