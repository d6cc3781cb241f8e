"""Every kind of rule, from records on Kafka to `cx.alerts`: who was told of what, and when."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import pytest

from schemas.times import parse, to_ms
from tests.e2e.harness import Deployment
from tests.e2e.records import send
from tests.e2e.timelines import DAY, END, HOUR, RULES, START_MS, STORIES, Seen, records

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from stream.brokers.kafka import KafkaServer

pytestmark = [pytest.mark.kafka, pytest.mark.slow]

#: What has to be seen of each story. Windows move in panes, so their minutes are met within one.
EXPECTED: dict[str, list[Seen]] = {
    # 50 replies at the end of minute 24, then five minutes; above 35 when 43 of 120 are new promoters.
    "NpsLowForVip": [Seen(29.7, "firing", "vip"), Seen(81.2, "resolved", "vip")],
    # Three of the last hour's 12 are unhappy, against one in ten of the week; most of the hour is happy again.
    "CsatFell": [
        Seen(36 * HOUR + 4.2, "firing", "checkout web"),
        Seen(38 * HOUR + 34.2, "resolved", "checkout web"),
    ],
    # The seventh reply of 1 or 2 after 480 of 5 or 6.
    "EffortChanged": [Seen(DAY + 6.2, "firing", "delivery app")],
    # 7 of the last hour's 24 are bad, 14.6 times as many as 98 % allow; half an hour with fewer than 12 %.
    "CsatBudget": [Seen(DAY + 6.2, "firing", "business"), Seen(DAY + HOUR + 22.2, "resolved", "business")],
    "RepliesStopped": [
        Seen(40.2, "firing", "kiosk"),
        Seen(70.2, "resolved", "kiosk"),
        Seen(100.2, "firing", "kiosk"),
    ],
    "UnhappyAndValuable": [Seen(4 * DAY, "firing", "rich")],
    "TicketUnanswered": [
        Seen(10 + DAY, "firing", "never"),
        Seen(15 + DAY, "firing", "too-late"),
        Seen(15 + 30 * HOUR, "resolved", "too-late"),
    ],
    "ContactedThreeTimes": [Seen(4 * DAY, "firing", "again")],
    # With the detractor's score, after three tickets reopened; until all are resolved.
    "LikelyToLeave": [Seen(4 * DAY + 130, "firing", "leaver"), Seen(4 * DAY + 180, "resolved", "leaver")],
    "LeftAtTheTill": [Seen(2 * HOUR, "firing", "walker")],
}


@pytest.fixture(scope="module")
def alerts(kafka: KafkaServer, tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, Any]]:
    """What two workers publish of all stories."""
    folder: Path = tmp_path_factory.mktemp("timelines")
    deployment = Deployment(kafka.bootstrap, folder, RULES).create()
    send(kafka.bootstrap, records())
    deployment.run(2)
    return in_story(set(deployment.alerts()))


def in_story(values: Iterable[bytes]) -> list[dict[str, Any]]:
    """Alerts until the stories end, in order. Where nothing more comes, workers let time go on to the present."""
    found = [alert for alert in map(json.loads, values) if minute_of(alert) < END]
    assert len({alert["id"] for alert in found}) == len(found)
    return sorted(found, key=lambda alert: (alert["data"]["as_of"], alert["id"]))


def minute_of(alert: dict[str, Any]) -> float:
    """When, as the stories count."""
    return (to_ms(parse(alert["data"]["as_of"])) - START_MS) / 60_000


def told(alerts: list[dict[str, Any]], rule: str) -> list[dict[str, Any]]:
    """The alerts of a rule in its own story."""
    return [
        alert
        for alert in alerts
        if alert["data"]["alert"] == rule
        and not (alert["subject"].startswith("customer:") and f":{rule}-" not in alert["subject"])
    ]


def seen(alert: dict[str, Any], rule: str) -> Seen:
    """A transition as the stories tell it."""
    data = alert["data"]
    labels = {name: value for name, value in data["labels"].items() if name != "team"}
    subject = alert["subject"]
    who = (
        subject.removeprefix(f"customer:{rule}-")
        if subject.startswith("customer:")
        else " ".join(labels[name] for name in sorted(labels, key=["touchpoint", "channel", "segment"].index))
    )
    return Seen(minute_of(alert), data["state"], who)


@pytest.mark.timeout(300)
@pytest.mark.parametrize("rule", STORIES)
def test_the_story_of_a_rule(alerts: list[dict[str, Any]], rule: str) -> None:
    """Each rule tells what its story is about, at that minute, and nothing else."""
    found = [seen(alert, rule) for alert in told(alerts, rule)]
    expected = EXPECTED[rule]
    assert [(each.state, each.who) for each in found] == [(each.state, each.who) for each in expected], found
    assert [each.minute for each in found] == pytest.approx([each.minute for each in expected], abs=1.0)


@pytest.mark.timeout(120)
def test_the_backtest_says_the_same(alerts: list[dict[str, Any]], tmp_path: Path) -> None:
    """`cx rules test` over the same events prints what the workers published, alert by alert."""
    (tmp_path / "rules.yml").write_text(RULES, encoding="utf-8")
    (tmp_path / "events.ndjson").write_bytes(b"".join((one.value or b"") + b"\n" for one in records()))
    done = subprocess.run(
        [
            sys.executable,
            "-m",
            "stream.cli",
            "rules",
            "test",
            "rules.yml",
            "--events",
            "events.ndjson",
            "--json",
        ],
        cwd=tmp_path,
        check=True,
        capture_output=True,
    )
    assert in_story(done.stdout.splitlines()) == alerts
