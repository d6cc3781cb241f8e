"""People with several ids on a real Kafka, merged by two workers of which one is killed again and again."""

from __future__ import annotations

import json
from random import Random
from typing import TYPE_CHECKING, Any

import pytest
from click.testing import CliRunner

from stream import topics
from stream.cli.root import cx as root
from stream.customers import decode
from stream.customers.ids import merged_into
from tests.e2e.checks import customers_of, same
from tests.e2e.harness import Deployment
from tests.e2e.records import ToSend, send, value
from tests.pipeline.test_identities import as_one, traffic
from tests.waiting import until

if TYPE_CHECKING:
    from pathlib import Path

    from click.testing import Result

    from stream.brokers.kafka import KafkaServer

pytestmark = [pytest.mark.kafka, pytest.mark.slow]

#: Counted by id, and what is made of it.
BY_ID = {"customers", "acquisition_cost", "lifetime_value", "value_at_risk"}
PEOPLE, SIZE, KILLS = 8, 400, 2
START = 1_768_204_800_000
RULES = "metrics: all\ngroups: []\n"


def records(events: list[dict[str, Any]]) -> list[ToSend]:
    """As a producer sends them, either topic."""
    return [
        ToSend(
            topics.REPLIES if "metric" in each else topics.TOUCHPOINTS,
            each["customer_id"].encode(),
            json.dumps(each).encode(),
        )
        for each in events
    ]


def people(deployment: Deployment) -> dict[str, Any]:
    """Everybody who was not merged into somebody, without the records that made them."""
    table = customers_of(deployment.read(deployment.changelog(topics.CUSTOMERS_TABLE)))
    stamps = {"stamp_t", "stamp_r"}
    return {
        name: {field: value for field, value in held.items() if field not in stamps}
        for name, held in table.items()
        if held["events"]
    }


@pytest.mark.timeout(300)
def test_several_ids_come_to_one_person_over_kills(kafka: KafkaServer, tmp_path: Path) -> None:
    """Two workers, one killed while it passes records on: nothing is lost or twice; a replay says the same."""
    rng = Random(6)
    events = traffic(rng, PEOPLE, SIZE)
    live = Deployment(kafka.bootstrap, tmp_path, RULES).create()
    busy = {"CX_IDLE_AFTER_MS": "600000"}
    with live.worker(**busy) as steady:
        steady.wait_ready()
        for turn in range(KILLS):
            with live.worker(**busy, E2E_DIE_AT_SEND=str(rng.randrange(3, 30))) as victim:
                chunk = records(events[turn * SIZE // KILLS : (turn + 1) * SIZE // KILLS])
                while chunk and victim.process.poll() is None:
                    send(kafka.bootstrap, chunk[:20])
                    del chunk[:20]
                    if victim.process.poll() is None:
                        victim.get("/health/live")
                send(kafka.bootstrap, chunk)
                if victim.process.poll() is None:
                    victim.kill()
        send(kafka.bootstrap, records(events[SIZE:]))
        until("the rest is taken in", lambda: steady.alive() and live.lag(*topics.INPUTS) == 0, 90)
        forwarded = steady.counters("cx_records_total")
        assert steady.stop() == 0, steady.log[-4000:]
    live.run(2)
    assert any("forwarded" in labels and n for labels, n in forwarded.items()), forwarded
    found, metrics = people(live), _whole(live)
    assert len(found) == PEOPLE

    again = Deployment(kafka.bootstrap, tmp_path, RULES).create(keep_inputs=True)
    again.run(1)
    same("people of a replay", people(again), found)
    replayed = _whole(again)

    whole = Deployment(kafka.bootstrap, tmp_path, RULES).create()
    send(kafka.bootstrap, records(as_one(events)))
    whole.run(1)
    same("people", found, people(whole))
    same("metrics", metrics, _whole(whole))
    same("metrics of a replay", replayed, metrics)


@pytest.mark.timeout(120)
def test_an_alias_says_where_it_went_and_all_ids_are_erased(kafka: KafkaServer, tmp_path: Path) -> None:
    """`show` of an alias names the person, whose ids it lists; who erases one of them erases all, marks too."""
    deployment = Deployment(kafka.bootstrap, tmp_path, RULES).create()
    ids = {f"p0-{n}" for n in range(4)}
    events = [
        {"event_id": f"i{n}", "customer_id": "p0-0", "occurred_at": START + n, "kind": "identified"}
        | {"attributes": {"alias": f"p0-{n}"}}
        for n in (1, 2, 3)
    ]
    seen = {"event_id": "e", "customer_id": "p0-2", "occurred_at": START, "kind": "session_started"}
    with deployment.worker() as worker:
        worker.wait_ready()
        send(kafka.bootstrap, records([seen, {**seen, "event_id": "o", "customer_id": "other"}, *events]))
        until("all are merged", lambda: worker.alive() and len(_held(deployment)) == 2, 60)
        told = cx(deployment, "show", "p0-2")
        assert told.exit_code == 1
        assert "this id was merged into p0-0: cx customers show p0-0" in told.output
        shown = json.loads(cx(deployment, "show", "p0-0", "--json").stdout)
        assert {*shown["aliases"], "p0-0"} == ids
        assert shown["events"] == 4
        erased = cx(deployment, "erase", "p0-3", "--yes")
        assert erased.exit_code == 0, erased.output
        log = deployment.read(deployment.changelog(topics.CUSTOMERS_TABLE))
        newest = {(message.key() or b"").decode(): message.value() for message in log}
        assert {name for name, value in newest.items() if value} == {"other"}
        assert worker.stop() == 0


def _held(deployment: Deployment) -> set[str]:
    """Who is a customer and was not merged into somebody; empty as long as an alias has something to come."""
    log = deployment.read(deployment.changelog(topics.CUSTOMERS_TABLE))
    newest = {(message.key() or b"").decode(): decode(value(message)) for message in log if message.value()}
    aliases = [name for name, customer in newest.items() if merged_into(customer) is not None]
    person = newest["p0-0"].known.ids if "p0-0" in newest else None
    whole = person is not None and all(joined for _, _, joined in person.aliases.values())
    return {*newest} - {*aliases} if whole and len(aliases) == 3 else set()


def cx(deployment: Deployment, *words: str) -> Result:
    """``cx customers`` against the deployment."""
    return CliRunner().invoke(root, ["customers", *words], env={**deployment.env, "CX_REDIS_URL": ""})


def _whole(deployment: Deployment) -> dict[str, Any]:
    """Newest final values of everybody in the longest windows."""
    record = deployment.final_metrics()["{}"]
    return {name: held for name, held in record["metrics"].items() if name not in BY_ID}
