"""The whole way, on a real Kafka, a real Redis and a real worker: events in over HTTP, everything else out."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from stream.api.shapes import (
    AlertDetail,
    AlertsPage,
    Backtest,
    CustomerExport,
    ErasureDone,
    Explanation,
    MetricsPage,
    Rules,
    Series,
    TopCustomers,
)
from tests.api.conftest import INGEST, KEYS, OPERATE, PRIVACY, READ, Server, bearer, settings_of
from tests.api.test_guard import problem
from tests.api.test_stream import Events
from tests.e2e.harness import Deployment
from tests.waiting import until

if TYPE_CHECKING:
    from pathlib import Path

    from pydantic import BaseModel

    from stream.brokers.kafka import KafkaServer

RULES = """
slices: [[segment]]
groups:
  - name: whole
    rules:
      - alert: UnhappyWithTicketOpen
        on: reply
        when: {metric: nps, score: {lte: 6}, customer.open_tickets: {gte: 1}}
        annotations: {summary: "A reply of {score} with a ticket open"}
        action: {type: callback, owner: care, within: 2h}
      - alert: NpsLow
        metric: nps
        by: [segment]
        window: 1h
        below: 0
        min_n: 5
        resolve: {above: 10}
"""
OF_ADA = {"customer_id": "ada/1", "segment": "vip"}
ADA: list[dict[str, Any]] = [
    {"event_id": "t", "occurred_at": "2026-01-12T07:30:00Z", "kind": "ticket_opened", "ref": "T"},
    {
        "event_id": "p",
        "occurred_at": "2026-01-12T07:31:00Z",
        "kind": "purchase",
        "value": 20.0,
        "currency": "EUR",
    },
    {
        "event_id": "r",
        "occurred_at": "2026-01-12T07:40:00Z",
        "metric": "nps",
        "score": 2,
        "comment": "no-more",
    },
]
for each in ADA:
    each.update(OF_ADA)


def replies() -> list[dict[str, Any]]:
    """Replies of many, low at first; the last is from much later, so that time goes on."""
    found = [
        {
            "event_id": f"e{number}",
            "customer_id": f"c{number}",
            "occurred_at": f"2026-01-12T08:{number:02}:00Z",
            "metric": "nps",
            "score": 1,
            "segment": "vip",
        }
        for number in range(20)
    ]
    return [*found, {**found[0], "event_id": "late", "occurred_at": "2026-01-12T08:55:00Z", "score": 10}]


def test_the_whole_way(kafka: KafkaServer, redis_url: str, tmp_path: Path) -> None:
    """An event posted comes out as an alert over SSE, as metrics and a profile; and the person is erased."""
    deployment = Deployment(kafka.bootstrap, tmp_path, RULES, CX_REDIS_URL=redis_url).create()
    settings = settings_of(
        kafka.bootstrap,
        app_id=deployment.app_id,
        redis_url=redis_url,
        rules=tmp_path / "rules.yml",
        api_keys=KEYS,
    )
    with deployment.worker() as worker, Server(settings) as server:
        worker.wait_ready()
        server.ready()
        client = server.client

        def get(path: str, shape: type[BaseModel], secret: str = READ, **query: Any) -> Any:
            answer = client.get(path, headers=bearer(secret), params=query)
            assert answer.status_code == 200, answer.text
            shape.model_validate_json(answer.content, strict=False)  # the answer is what OpenAPI says
            return answer.json()

        with Events(server, only="alerts", customers=True) as events:
            events.until_ready()
            for event in ADA:
                assert client.post("/v1/events", json=event, headers=bearer(INGEST)).status_code == 200
            name, alert = events.next()
            assert (name, alert["subject"], alert["data"]["alert"]) == (
                "alert",
                "customer:ada/1",
                "UnhappyWithTicketOpen",
            )
            assert client.post("/v1/events", json=replies(), headers=bearer(INGEST)).json()["accepted"] == 21
            name, low = events.next()
            assert (name, low["subject"]) == ("alert", "nps{segment=vip}")

        _alerts(client, get, alert, low)
        _metrics(get)
        _customers(client, get)
        assert get("/v1/rules", Rules)["versions"][0]["in_force"]
        history = "\n".join(json.dumps(event) for event in [*ADA, *replies()])
        asked = {"rules": RULES, "events": history, "now": "2026-01-13T00:00:00Z"}
        answer = client.post("/v1/rules/backtest", json=asked, headers=bearer(READ), timeout=60)
        Backtest.model_validate_json(answer.content, strict=False)
        assert [each["id"] for each in answer.json()["alerts"]] == [alert["id"], low["id"]]
        assert worker.stop() == 0


def _alerts(client: Any, get: Any, alert: dict[str, Any], low: dict[str, Any]) -> None:
    page = get("/v1/alerts", AlertsPage)
    assert [each["event"] for each in page["alerts"]] == [low]
    assert (page["firing"], page["firing_customers"]) == (1, 1)
    both = get("/v1/alerts", AlertsPage, customers=True)["alerts"]
    assert [each["event"]["id"] for each in both] == [low["id"], alert["id"]]
    first = get("/v1/alerts", AlertsPage, customers=True, limit=1)
    rest = get("/v1/alerts", AlertsPage, customers=True, limit=1, after=first["next"])
    assert [each["event"]["id"] for each in [*first["alerts"], *rest["alerts"]]] == [low["id"], alert["id"]]
    assert rest["next"] is None
    mark = low["data"]["fingerprint"]
    explained = get(f"/v1/alerts/{mark}/explain", Explanation)
    assert {each["heading"]: each["text"] for each in explained["lines"]}["fires when"].startswith("nps")
    assert "(an old log" in explained["headline"]  # of January: the clock says nothing of it
    asked = {"status": "acknowledged", "note": "we call them"}
    assert client.post(f"/v1/alerts/{mark}/actions", json=asked, headers=bearer(OPERATE)).status_code == 201
    detail = until("the action", lambda: (d := get(f"/v1/alerts/{mark}", AlertDetail))["actions"] and d)
    assert (detail["row"]["action"]["by"], detail["row"]["action"]["alert_id"]) == ("ops", low["id"])


def _metrics(get: Any) -> None:
    def vip() -> Any:
        page = get("/v1/metrics", MetricsPage, by="segment", metric="nps", window="1h")
        return page["slices"] and page["slices"][0]["metrics"]["nps"]["1h"]["n"] >= 20 and page

    page = until("the metrics of vip", vip)
    assert [each["slice"] for each in page["slices"]] == [{"segment": "vip"}]
    assert get("/v1/metrics", MetricsPage, by="whole")["slices"][0]["slice"] == {}
    assert get("/v1/metrics", MetricsPage, segment="none") == {"as_of": None, "slices": [], "next": None}
    first = get("/v1/metrics", MetricsPage, limit=1)
    rest = get("/v1/metrics", MetricsPage, limit=1, after=first["next"])
    assert [each["slice"] for each in [*first["slices"], *rest["slices"]]] == [{"segment": "vip"}, {}]
    asked = {"metric": "nps", "window": "5m", "segment": "vip"}
    series = until("a series", lambda: (s := get("/v1/series", Series, **asked))["points"] and s)
    assert series["points"][-1]["n"] >= 1
    later = get(
        "/v1/series", Series, metric="nps", window="5m", segment="vip", **{"from": "2027-01-01T00:00:00Z"}
    )
    assert later["points"] == []


def _customers(client: Any, get: Any) -> None:
    def shown() -> Any:
        answer = client.get("/v1/customers/ada%2F1", headers=bearer(READ))
        return answer.status_code == 200 and answer.json()

    profile = until("the profile", shown)
    assert profile["customer_id"] == "ada/1"
    assert "no-more" not in json.dumps(profile)
    top = get("/v1/customers", TopCustomers)
    assert [each["customer_id"] for each in top["customers"]][:1] == ["ada/1"]
    held = get("/v1/customers/ada%2F1/export", CustomerExport, PRIVACY)
    assert held["profile"]["customer_id"] == "ada/1"
    wrong = client.post("/v1/customers/ada%2F1/erase", json={"confirm": "ada"}, headers=bearer(PRIVACY))
    problem(wrong, 422, "not-fitting")
    answer = client.post(
        "/v1/customers/ada%2F1/erase", json={"confirm": "ada/1"}, headers=bearer(PRIVACY), timeout=60
    )
    assert answer.status_code == 202, answer.text
    assert ErasureDone.model_validate_json(answer.content).carried_out
    problem(client.get("/v1/customers/ada%2F1", headers=bearer(READ)), 404, "not-found")
    problem(client.get("/v1/customers/ada%2F1/export", headers=bearer(PRIVACY)), 404, "not-found")

    def forgotten() -> bool:
        pages = [
            client.get("/v1/alerts", params={"customers": True, "state": "all"}, headers=bearer(READ)).text,
            client.get("/v1/alerts/events", params={"customers": True}, headers=bearer(READ)).text,
        ]
        return not any("ada/1" in page for page in pages)

    until("the alerts about the person are gone", forgotten, 20)
