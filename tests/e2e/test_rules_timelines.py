"""Every kind of rule, from records on Kafka to `cx.alerts`: who was told of what, and when."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from schemas.times import parse, to_ms
from tests.e2e.harness import Deployment
from tests.e2e.records import send
from tests.e2e.timelines import DAY, HOUR, RULES, START_MS, STORIES, Seen, records

if TYPE_CHECKING:
    from pathlib import Path

    from stream.brokers.kafka import KafkaServer

pytestmark = [pytest.mark.kafka, pytest.mark.slow]

#: What has to be seen of each story. Windows move in panes, so their minutes are met within one.
EXPECTED: dict[str, list[Seen]] = {
    # 50 replies at the end of minute 24, then five minutes; above 35 when 43 of 120 are new promoters.
    "NpsLowForVip": [Seen(29.7, "firing", "vip"), Seen(81.4, "resolved", "vip")],
    # Of 10 replies an hour 3 and more are unhappy 20 minutes in; 10 points under the week's until it recovers.
    "CsatFell": [
        Seen(36 * HOUR + 3, "firing", "checkout web"),
        Seen(38 * HOUR + 40, "resolved", "checkout web"),
    ],
    "EffortChanged": [Seen(DAY + 6, "firing", "delivery app")],
    # Half of the answers are bad, 25 times what 98 % allow, once an hour of them outweighs the good ones.
    "CsatBudget": [Seen(DAY + 9, "firing", "business"), Seen(DAY + HOUR + 5, "resolved", "business")],
    "RepliesStopped": [Seen(40, "firing", "kiosk"), Seen(70, "resolved", "kiosk")],
    "UnhappyAndValuable": [Seen(4 * DAY, "firing", "rich")],
    "TicketUnanswered": [
        Seen(10 + DAY, "firing", "never"),
        Seen(15 + DAY, "firing", "too-late"),
        Seen(15 + 30 * HOUR, "resolved", "too-late"),
    ],
    "ContactedThreeTimes": [Seen(4 * DAY, "firing", "again")],
    "LikelyToLeave": [Seen(4 * DAY + 120, "firing", "leaver"), Seen(4 * DAY + 180, "resolved", "leaver")],
    "LeftAtTheTill": [Seen(2 * HOUR, "firing", "walker")],
}


@pytest.fixture(scope="module")
def alerts(kafka: KafkaServer, tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, Any]]:
    """What two workers publish of all stories."""
    folder: Path = tmp_path_factory.mktemp("timelines")
    deployment = Deployment(kafka.bootstrap, folder, RULES).create()
    send(kafka.bootstrap, records())
    deployment.run(2)
    found = {alert["id"]: alert for alert in map(json.loads, deployment.alerts())}
    return sorted(found.values(), key=lambda alert: (alert["data"]["as_of"], alert["id"]))


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
    minute = (to_ms(parse(data["as_of"])) - START_MS) / 60_000
    labels = {name: value for name, value in data["labels"].items() if name != "team"}
    subject = alert["subject"]
    who = (
        subject.removeprefix(f"customer:{rule}-")
        if subject.startswith("customer:")
        else " ".join(labels[name] for name in sorted(labels, key=["touchpoint", "channel", "segment"].index))
    )
    return Seen(minute, data["state"], who)


@pytest.mark.timeout(300)
@pytest.mark.parametrize("rule", STORIES)
def test_the_story_of_a_rule(alerts: list[dict[str, Any]], rule: str) -> None:
    """Each rule tells what its story is about, at that minute, and nothing else."""
    found = [seen(alert, rule) for alert in told(alerts, rule)]
    expected = EXPECTED[rule]
    assert [(each.state, each.who) for each in found] == [(each.state, each.who) for each in expected], found
    assert [each.minute for each in found] == pytest.approx([each.minute for each in expected], abs=1.0)
