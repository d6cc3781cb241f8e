"""``cx customers erase ID --rewrite --wait``: of the person no byte is left, of everybody else all."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from stream import topics
from stream.privacy import erasing
from stream.privacy.broker import Broker
from stream.settings import Settings
from tests.e2e.harness import Deployment
from tests.e2e.records import ToSend, send
from tests.privacy.erased import (
    COMMENT,
    ID,
    RULES,
    START_MS,
    contents,
    customers,
    cx,
    in_redis,
    on_disk,
    world,
)
from tests.waiting import until

if TYPE_CHECKING:
    from pathlib import Path

    from stream.brokers.kafka import KafkaServer

pytestmark = [pytest.mark.kafka, pytest.mark.slow]

POLICY = {"CX_LATENESS_MS": "1000", "CX_LATE_HORIZON_MS": str(24 * 3600 * 1000), "CX_MAX_AHEAD_MS": "300000"}


class Died(BaseException):
    """The process ends here."""


def cut_short(deployment: Deployment, late: list[ToSend]) -> None:
    """Begin a rewrite again and again; each time the process ends a little later, in the midst of something.

    Meanwhile a producer that nobody has stopped writes ``late``, some at each attempt.
    """
    settings = Settings(
        _env_file=None, **{n.removeprefix("CX_").lower(): v for n, v in deployment.env.items()}
    )
    left = list(late)
    for at in (1, 4, 7, 12, 17, 22, 27, 30):
        count = 0

        def step(name: str, real: Any, at: int = at) -> Any:
            def wrapped(self: Broker, *arguments: Any, **named: Any) -> Any:
                nonlocal count
                count += 1
                if count == at:
                    if name == "append" and at % 2:  # some of it has got through
                        entries = list(arguments[1])
                        real(self, arguments[0], entries[: len(entries) // 2])
                    elif at % 3 == 0:
                        real(self, *arguments, **named)
                    raise Died
                if left and name == "append" and arguments[0].topic == topics.REPLIES:
                    send(deployment.bootstrap, [left.pop()])
                return real(self, *arguments, **named)

            return wrapped

        with pytest.MonkeyPatch.context() as patch:
            for name in ("append", "delete_before", "commit", "configure"):
                patch.setattr(Broker, name, step(name, getattr(Broker, name)))
            with pytest.raises(Died):
                erasing.rewrite(settings, [ID] if at < 12 else [], [])
    send(deployment.bootstrap, left)


@pytest.mark.timeout(300)
def test_no_byte_is_left_and_nobody_else_is_touched(
    quick_kafka: KafkaServer, tmp_path: Path, redis_url: str
) -> None:
    """However often it is cut short, logs, tables, outputs and Redis hold neither id nor comment; others all."""
    deployment = Deployment(quick_kafka.bootstrap, tmp_path, RULES, CX_REDIS_URL=redis_url, **POLICY).create()
    send(quick_kafka.bootstrap, world())
    deployment.run()
    assert ID in customers(deployment)
    assert in_redis(redis_url, ID) == [ID]
    seen = on_disk(quick_kafka, ID, COMMENT)
    for name in (
        *topics.INPUTS,
        topics.DEADLETTERS,
        topics.ALERTS,
        deployment.changelog(topics.CUSTOMERS_TABLE),
    ):
        assert any(path.startswith(f"{name}-") for path in seen[ID]), (name, seen)
    before = {name: contents(deployment, name) for name in topics.INPUTS}
    others = {who: state for who, state in customers(deployment).items() if who != ID}
    metrics = deployment.final_metrics()

    late = [record for record in world(2, begin=60, person=None) if record.topic == topics.REPLIES]
    cut_short(deployment, late)
    with deployment.worker() as worker:
        until("the worker waits", lambda: "cut short" in str(worker.readiness().get("checks")), 30)
        assert worker.stop() == 0
    done = cx(deployment, "customers", "erase", "--rewrite", "--wait", "--yes", "--json")
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    assert told["proven"]
    assert ID not in done.stdout + done.stderr
    assert on_disk(quick_kafka, ID, COMMENT) == {}
    assert in_redis(redis_url, ID, COMMENT) == []

    for name in topics.INPUTS:
        kept = contents(deployment, name)
        gone = before[name] - kept
        # Nothing is there twice, and nothing is new but what came in between.
        new = [record.value for record in late if record.topic == name]
        assert sorted(each[2] for each in (kept - before[name]).elements()) == sorted(new)
        assert all(ID.encode() in (each[1] or b"") + (each[2] or b"") for each in gone)
    assert customers(deployment) == others
    assert deployment.lag(*topics.INPUTS) == len(late)

    news = world(10, begin=62, person=None)
    send(quick_kafka.bootstrap, news)
    news += late
    with deployment.worker() as worker:
        deployment.drained(worker)
        applied = worker.counters("cx_records_total")
        assert sum(n for labels, n in applied.items() if "applied" in labels) == len(news), applied
        assert sum(n for labels, n in applied.items() if "applied" not in labels) == 0, applied
        assert worker.stop() == 0
    after = customers(deployment)
    assert ID not in after
    assert sum(state[0] for state in after.values()) == sum(s[0] for s in others.values()) + len(news)
    replies = sum(record.topic == topics.REPLIES for record in news)
    total = deployment.final_metrics()["{}"]["metrics"]["nps"]["24h"]["n"]
    assert total - metrics["{}"]["metrics"]["nps"]["24h"]["n"] == replies

    replay = Deployment(quick_kafka.bootstrap, tmp_path, RULES, **POLICY).create(keep_inputs=True)
    replay.run()
    assert customers(replay) == after
    assert on_disk(quick_kafka, ID, COMMENT) == {}


IDS = (ID, "anon-7f3-lovelace", "shop/4711-lovelace")


def told(who: str, minute: int, **said: Any) -> ToSend:
    """A record about one of the person's ids, with the comment where it is a reply."""
    event = {
        "customer_id": who,
        "event_id": f"{who}-{minute}",
        "occurred_at": START_MS + minute * 60_000,
        **said,
    }
    if "metric" in said:
        event["comment"] = COMMENT
    return ToSend(
        topics.REPLIES if "metric" in said else topics.TOUCHPOINTS, who.encode(), json.dumps(event).encode()
    )


def before_merging() -> list[ToSend]:
    """Every id has a past of its own: a detractor, a ticket that nobody answers, a broken record."""
    found = []
    for number, who in enumerate(IDS):
        found += [
            told(who, 1 + number, metric="nps", score=2),
            told(who, 4 + number, kind="ticket_opened", ref=f"T-{number}"),
            told(who, 7 + number, kind="purchase", value=12.5),
            ToSend(topics.REPLIES, None, f'{{"customer_id": "{who}", "comment": "{COMMENT}"'.encode()),
        ]
    return found


def merging() -> list[ToSend]:
    """The shop's id is the anonymous one's, and this one is the person's."""
    anonymous, shop = IDS[1:]
    return [
        told(anonymous, 25, kind="identified", attributes={"alias": shop}),
        told(ID, 26, kind="identified", attributes={"alias": anonymous}),
    ]


@pytest.mark.timeout(120)
def test_all_ids_of_a_person_go(quick_kafka: KafkaServer, tmp_path: Path, redis_url: str) -> None:
    """Whichever id of a merged person is given, no log and no table has any of them; others are as before."""
    deployment = Deployment(quick_kafka.bootstrap, tmp_path, RULES, CX_REDIS_URL=redis_url, **POLICY).create()
    with deployment.worker() as worker:
        for records in (
            [*world(24, person=None), *before_merging(), *merging()],
            [*world(4, begin=27, person=None), *(told(who, 28, kind="purchase", value=1.0) for who in IDS)],
        ):
            send(quick_kafka.bootstrap, records)
            deployment.drained(worker)
        assert worker.stop() == 0
    held = customers(deployment)
    assert held[ID][0] == 14
    assert in_redis(redis_url, *IDS, COMMENT)
    seen = on_disk(quick_kafka, *IDS, COMMENT)
    table = deployment.changelog(topics.CUSTOMERS_TABLE)
    for who in IDS:
        for name in (*topics.INPUTS, topics.DEADLETTERS, topics.ALERTS, table):
            assert any(path.startswith(f"{name}-") for path in seen[who]), (who, name)
    before = {name: contents(deployment, name) for name in topics.INPUTS}

    done = cx(deployment, "customers", "erase", IDS[2], "--rewrite", "--wait", "--yes", "--json")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["proven"]
    assert on_disk(quick_kafka, *IDS, COMMENT) == {}
    assert in_redis(redis_url, *IDS, COMMENT) == []
    assert customers(deployment) == {who: state for who, state in held.items() if who not in IDS}
    for name in topics.INPUTS:
        kept = contents(deployment, name)
        assert not kept - before[name]
        gone = [str(each) for each in (before[name] - kept).elements()]
        assert gone
        assert all(any(who in each for who in IDS) for each in gone)
