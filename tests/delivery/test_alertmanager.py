"""A real Alertmanager takes what is pushed: it groups, notifies and resolves."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from stream.delivery.line import Parcel
from stream.delivery.reading import read_delivery
from stream.delivery.records import Outcome
from stream.delivery.sender import Sender
from tests.delivery.events import event
from tests.delivery.receivers import hook

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.delivery.conftest import Alertmanager

FILE = """
allow_private: [127.0.0.0/8]
route: {receiver: it}
receivers: [{name: it, alertmanager_configs: [{url: "%s/", resend_delay: 1s, resolve_timeout: 3s}]}]
"""


async def test_alerts_fire_in_groups_and_resolve(alertmanager: Callable[[str], Alertmanager]) -> None:
    """Two alerts of a rule are one notification; one resolves by its event, one because nobody pushes it any more.

    The second is of the future, as the clocks of data may be; a customer's alert is apart from another's.
    """
    now_ms = time.time_ns() // 1_000_000
    async with hook() as told:
        there = alertmanager(told.url)
        plan = read_delivery(FILE % there.url, "delivery.yml")
        (target,) = plan.targets.values()
        sender = Sender(plan)
        await sender.start()

        async def push(*events: bytes) -> Outcome:
            return await sender.send(Parcel(target, (0,), events, 0))

        links = {"dashboard": "https://grafana.example.org/d/1"}
        first = event("a", fingerprint="f1", at_ms=now_ms, links=links)
        ahead = event("b", fingerprint="f2", labels={}, at_ms=now_ms + 3_600_000, subject="customer:ada")
        assert (await push(first, ahead)).kind == "delivered"
        await told.wait(1)
        (group,) = told.posts
        assert group.json["status"] == "firing"
        assert group.json["groupLabels"] == {"alertname": "NpsLow"}
        found = {each["labels"]["fingerprint"]: each for each in group.json["alerts"]}
        assert found["f1"]["annotations"]["summary"] == "NPS of vip is -12 on 40 replies"
        assert found["f1"]["annotations"]["event_id"] == "a"
        assert found["f1"]["generatorURL"] == links["dashboard"]
        assert found["f1"]["labels"].items() >= {"segment": "vip", "severity": "warning"}.items()
        assert found["f2"]["labels"]["customer"] == "ada"
        assert there.alerts().keys() == {"f1", "f2"}

        assert (await push(event("c", state="resolved", fingerprint="f1", at_ms=now_ms))).kind == "delivered"
        over: dict[str, dict[str, Any]] = {}
        while over.keys() != {"f1", "f2"}:
            await told.wait(len(told.posts) + 1)
            over |= {
                each["labels"]["fingerprint"]: each
                for each in told.posts[-1].json["alerts"]
                if each["status"] == "resolved"
            }
        assert there.alerts() == {}
        await sender.stop()


async def test_what_an_alertmanager_does_not_take_is_refused(
    alertmanager: Callable[[str], Alertmanager],
) -> None:
    """It is not tried for ever: here a label that cannot be one."""
    there = alertmanager("http://127.0.0.1:9/")
    plan = read_delivery(FILE % there.url, "delivery.yml")
    (target,) = plan.targets.values()
    sender = Sender(plan)
    await sender.start()
    outcome = await sender.send(Parcel(target, (0,), (event(labels={"a-b": "c"}),), 0))
    await sender.stop()
    assert (outcome.kind, outcome.why) == ("refused", "http_400")
