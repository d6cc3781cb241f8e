"""``cx customers`` as people run it: over files, and over the table of the workers."""

from __future__ import annotations

import gzip
import json
from math import exp, lgamma, log
from typing import TYPE_CHECKING, Any

import pytest
from confluent_kafka import Producer

from schemas.times import format_ms
from stream import topics
from stream.alerting.watch import Trail, Watch
from stream.compute.base import Base
from stream.customers import Customer, decode, encode, fold
from stream.customers.ranking import rank
from stream.intake import partition_of
from stream.intake.event import Event
from stream.measures import Groupings
from stream.pipeline import PipelineConfig
from tests.e2e.harness import PARTITIONS, Deployment

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Callable, Iterable
    from pathlib import Path

    from stream.brokers.embedded import EmbeddedKafka
    from stream.brokers.kafka import KafkaServer

Cx = "Callable[..., subprocess.CompletedProcess[str]]"

DAY = 86_400_000
WEEK = 7 * DAY
START = 1_768_204_800_000  # 2026-01-12T08:00:00Z
MODEL = {"r": 0.243, "alpha": 4.414, "a": 0.793, "b": 2.426, "p": 6.25, "q": 3.74, "gamma": 15.44}
FIRST = ("customer_id", "expected_purchases", "expected_value", "p_alive", "churn_probability", "recency")


def bought(
    number: int, customer: str, days: float, value: float | None = 10.0, **more: Any
) -> dict[str, Any]:
    """A purchase."""
    line = {"event_id": f"e{number}", "customer_id": customer, "occurred_at": START + round(days * DAY)}
    return {**line, "kind": "purchase", "value": value, "currency": "EUR", **more}


def scored(number: int, customer: str, days: float, score: int) -> dict[str, Any]:
    """A reply."""
    line = {"event_id": f"e{number}", "customer_id": customer, "occurred_at": START + round(days * DAY)}
    return {**line, "metric": "nps", "score": score, "segment": "vip"}


def text(lines: Iterable[dict[str, Any]]) -> str:
    """As a file."""
    return "".join(json.dumps(line) + "\n" for line in lines)


def world() -> list[dict[str, Any]]:
    """A hundred days of twenty customers, in the order of their times: each with a rhythm of their own."""
    lines = []
    for customer in range(20):
        rhythm = 1.5 + customer * 0.9
        for visit in range(2 + customer % 7 * 3):
            days = (customer % 4) * 2 + visit * rhythm
            if days < 100 and customer % 5:
                lines.append(bought(0, f"c{customer:02}", days, 5.0 + customer * 3 + visit % 3))
            if days < 100 and (visit + customer) % 4 == 0:
                lines.append(scored(0, f"c{customer:02}", days + 0.01, (visit * 3 + customer) % 11))
    lines.sort(key=lambda line: line["occurred_at"])
    return [{**line, "event_id": f"e{number}"} for number, line in enumerate(lines)]


def expected_purchases(x: int, recency: float, age: float, weeks: float) -> float:
    """Equation 10 of [Fader, Hardie, Lee 2005] as it is printed, its 2F1 by Gauss' series in logarithms."""
    r, alpha, a, b = (MODEL[name] for name in ("r", "alpha", "a", "b"))
    z = weeks / (alpha + age + weeks)
    series = 0.0
    for k in range(3000):
        term = lgamma(r + x + k) - lgamma(r + x) + lgamma(b + x + k) - lgamma(b + x)
        term -= lgamma(a + b + x - 1 + k) - lgamma(a + b + x - 1) + lgamma(k + 1)
        series += exp(term + k * log(z))
    later = ((alpha + age) / (alpha + age + weeks)) ** (r + x) * series
    return (a + b + x - 1) / (a - 1) * (1 - later) * alive(x, recency, age)


def alive(x: int, recency: float, age: float) -> float:
    """P(alive) of the same paper."""
    r, alpha, a, b = (MODEL[name] for name in ("r", "alpha", "a", "b"))
    return 1 / (1 + (x > 0) * a / (b + x - 1 or 1) * ((alpha + age) / (alpha + recency)) ** (r + x))


def brute(lines: list[dict[str, Any]], as_of: int, weeks: float = 39) -> dict[str, dict[str, Any]]:
    """What is expected of every customer, from the plain list of the events that count."""
    found = {}
    for customer in sorted({line["customer_id"] for line in lines}):
        mine = [line for line in lines if line["customer_id"] == customer and line["occurred_at"] <= as_of]
        times = sorted(line["occurred_at"] for line in mine if line.get("kind") == "purchase")
        spend = sum(line["value"] for line in mine if line.get("kind") == "purchase")
        if not mine:
            continue
        if not times:
            found[customer] = {
                "frequency": None,
                "recency": None,
                "expected_purchases": None,
                "p_alive": None,
            }
            continue
        n = len({at // DAY for at in times})
        recency, age = (times[-1] - times[0]) / WEEK, (as_of - times[0]) / WEEK
        purchases = expected_purchases(n - 1, recency, age, weeks)
        p, q, gamma = MODEL["p"], MODEL["q"], MODEL["gamma"]
        found[customer] = {
            "frequency": n - 1,
            "recency": recency,
            "age": age,
            "expected_purchases": purchases,
            "p_alive": alive(n - 1, recency, age),
            "expected_value": purchases * p * (gamma + spend) / (p * n + q - 1),
            "spend": spend,
            "days_since_last_purchase": (as_of - times[-1]) / DAY,
        }
    return found


def objects(done: subprocess.CompletedProcess[str]) -> list[dict[str, Any]]:
    """The lines of a command that ended well."""
    assert done.returncode == 0, done.stderr
    return [json.loads(line) for line in done.stdout.splitlines()]


def agrees(ranked: list[dict[str, Any]], wanted: dict[str, dict[str, Any]]) -> None:
    """Every figure that was recomputed is that, and the three orders are what they say."""
    assert {each["customer_id"] for each in ranked} == set(wanted)
    for each in ranked:
        for name, figure in wanted[each["customer_id"]].items():
            assert each[name] == (None if figure is None else pytest.approx(figure, rel=1e-9)), name
        if each["expected_value"] is not None:
            assert each["value_at_risk"] == pytest.approx(each["expected_value"] * each["churn_probability"])
        odds = -3.0 + sum(reason["adds"] for reason in each["reasons"])
        assert each["churn_probability"] == pytest.approx(1 / (1 + exp(-odds)))

    def order(name: str, sign: int) -> list[str]:
        last = float("inf")
        key = {e["customer_id"]: last if e[name] is None else sign * e[name] for e in ranked}
        return sorted(key, key=lambda customer: (key[customer], customer))

    assert [each["customer_id"] for each in ranked] == order("value_at_risk", -1)
    assert [each["rank"] for each in ranked] == list(range(1, len(ranked) + 1))
    for place, name, sign in (
        ("purchases_rank", "expected_purchases", -1),
        ("recency_rank", "days_since_last_purchase", 1),
    ):
        assert [e["customer_id"] for e in sorted(ranked, key=lambda e: e[place])] == order(name, sign)


def test_the_ranking_is_that_of_the_plain_computation(cx: Cx, tmp_path: Path) -> None:
    """Plain and gzip, with repeated and bad lines, which do not count, and late ones, which do."""
    lines = world()
    half = len(lines) // 2
    late = bought(9001, "c01", 2.0)  # a hundred days behind the newest touchpoint
    (tmp_path / "a.ndjson").write_text(text([*lines[:half], lines[half - 1], lines[half - 2]]) + "no JSON\n")
    (tmp_path / "b.ndjson.gz").write_bytes(gzip.compress(text([*lines[half:], late]).encode()))
    done = cx("customers", "rank", "a.ndjson", "b.ndjson.gz", "--json", CX_PARTITIONS="1")
    n = len(lines)
    assert done.stderr.splitlines() == [
        f"cx: a.ndjson:{half + 3}: not_json: $: must be JSON",
        f"cx: {n + 4} events: {n + 1} applied, 2 duplicates, 1 dead letters (not_json 1), 0 too late",
    ]
    ranked = objects(done)
    assert tuple(ranked[0])[:6] == FIRST
    agrees(ranked, brute([*lines, late], max(line["occurred_at"] for line in lines)))


def test_the_order_of_the_lines_does_not_matter(cx: Cx, tmp_path: Path) -> None:
    """A file that is sorted by customer, as exports are, gives what the same file by time gives."""
    lines = world()
    (tmp_path / "time.ndjson").write_text(text(lines))
    (tmp_path / "customer.ndjson").write_text(text(sorted(lines, key=lambda line: line["customer_id"])))
    by_time, by_customer = (
        objects(cx("customers", "rank", name, "--json")) for name in ("time.ndjson", "customer.ndjson")
    )
    names = (*FIRST, "value_at_risk")
    assert len(by_time) > 10
    assert [[each[name] for name in names] for each in by_customer] == [
        [each[name] for name in names] for each in by_time
    ]


@pytest.mark.parametrize("days", [31.5, 400.0])
def test_later_events_are_left_out_as_if_they_were_not_there(cx: Cx, tmp_path: Path, days: float) -> None:
    """As of a moment within the file, or beyond it; what comes late counts all the same."""
    lines = world()
    slow = bought(9001, "c03", 30.9)
    (tmp_path / "a.ndjson").write_text(text([*lines, slow]))
    as_of = START + round(days * DAY)
    arguments = ("a.ndjson", "--as-of", format_ms(as_of), "--horizon", "10w", "--json")
    done = cx("customers", "rank", *arguments, CX_PARTITIONS="1")
    counted = [line for line in lines if line["occurred_at"] <= as_of]
    counted.append(slow)
    if days < 100:
        assert done.stderr.endswith(f"cx: {len(lines) + 1 - len(counted)} later than --as-of, left out\n")
        assert f"cx: {len(counted)} events: {len(counted)} applied, 0 dup" in done.stderr
    else:
        assert "0 dead letters, 0 too late\n" in done.stderr
    agrees(objects(done), brute(counted, as_of, weeks=10))


def test_a_table_for_people(cx: Cx) -> None:
    """The order, both other places and the reasons; only so many, and what to be careful with on stderr."""
    lines = [
        bought(1, "bob", 0),
        bought(2, "ada", 0),
        bought(3, "eve", 0, currency="USD"),
        scored(4, "ada", 1, 2),
    ]
    lines += [scored(5, "ned", 1, 9), bought(6, "eve", 1), bought(7, "una", 1, 1.0, currency="USD")]
    done = cx("customers", "rank", "-", stdin=text(lines), timeout=60)
    rows = [line.split() for line in done.stdout.splitlines()]
    assert rows[0] == ["as", "of", "2026-01-13T08:00:00Z"]
    assert [row[1] for row in rows[2:]] == ["ada", "bob", "una", "eve", "ned"]
    assert "newest nps 0 to 6" in done.stdout.splitlines()[2]
    assert "newest nps" not in done.stdout.splitlines()[6], "a promoter's reason is none to leave"
    assert done.stderr.splitlines()[1:] == [
        "cx: 1 have no value: their money is in several currencies or in none asked for",
        "cx: EUR, USD are ordered as if they were one: see --currency",
    ]
    one = cx("customers", "rank", "-", "--top", "1", "--currency", "USD", stdin=text(lines))
    assert one.stdout.splitlines()[2].split()[1] == "eve"
    assert one.stderr.splitlines()[1] == "cx: and 4 more"


def test_ties_go_by_id_and_newcomers_come_last(cx: Cx) -> None:
    """Equal histories are in the order of their ids; who has never bought has no value, not a value of 0."""
    lines = [bought(n, name, 0) for n, name in enumerate(["d", "b", "c"])] + [scored(9, "a", 0, 0)]
    ranked = objects(cx("customers", "rank", "-", "--json", stdin=text(lines)))
    assert [each["customer_id"] for each in ranked] == ["b", "c", "d", "a"]
    assert ranked[3]["value_at_risk"] is None
    assert ranked[3]["churn_probability"] == pytest.approx(1 / (1 + exp(2.0)))


def test_what_is_wrong_is_said(cx: Cx) -> None:
    """Bad usage ends with 2; no customers are no mistake."""
    for arguments, words in (
        (("no-such.ndjson",), "no such file"),
        (("-", "--horizon", "0w"), "is no duration"),
        (("-", "--horizon", "600w"), "at most 520w"),
        (("-", "--as-of", "yesterday"), "write it with an offset"),
    ):
        done = cx("customers", "rank", *arguments, stdin="")
        assert (done.returncode, done.stdout) == (2, "")
        assert words in done.stderr
    nobody = cx("customers", "rank", "-", "--as-of", "2020-01-01T00:00:00Z", stdin=text(world()))
    assert (nobody.returncode, nobody.stdout) == (0, "")
    assert nobody.stderr.endswith("cx: no customers\n")


def test_what_was_packed_away_counts_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """With room for one customer as an object the base is that with room for all."""
    found = []
    for alive_most in (100_000, 1):
        monkeypatch.setattr("stream.compute.share.ALIVE", alive_most)
        monkeypatch.setattr("stream.compute.share.RUN", 16)
        config = PipelineConfig(("t", "r"), 2, Groupings((), 10))
        base = Base(config, None, None)
        lines = text(world()).encode().splitlines()
        for at in range(0, len(lines), 10):
            base.take(at, lines[at : at + 10], topics=("t", "r"), waiting=())
        base.finish()
        found.append(rank(base.customers(), START + 100 * DAY))
    assert len(found[0]) == 20
    assert found[0] == found[1]


# -- the table of the workers


def state(*events: Event) -> Customer:
    """A customer after some events."""
    customer = Customer()
    for offset, event in enumerate(events):
        fold(customer, event, "t" if event.kind else "r", offset)
    return customer


def purchase(number: int, days: float, value: float) -> Event:
    """A purchase of any customer."""
    return Event(
        event_id=f"e{number}", customer_id="c", time_ms=START + round(days * DAY), kind="purchase", value=value,
        currency="EUR",
    )  # fmt: skip


ADA = state(
    purchase(1, 0, 20.0),
    purchase(2, 7, 30.0),
    Event(event_id="r", customer_id="c", time_ms=START + 8 * DAY, metric="nps", score=3.0, scale=(0.0, 10.0)),
    Event(
        event_id="t", customer_id="c", time_ms=START + 9 * DAY, kind="ticket_opened", ref="T-1", segment="vip"
    ),
)
ADA.watch = Watch(trails=[Trail(1, "T-1", [], due_ms=START + 10 * DAY)], contacts=[START + 8 * DAY])
ADA.fired = {"Unhappy": START + 8 * DAY}
BOB = state(purchase(1, 0, 2.0))


@pytest.fixture
def keep(embedded_kafka: EmbeddedKafka) -> Callable[..., None]:
    """Write states to the changelog of the customers table, where workers write them."""

    def put(*states: tuple[str, Customer | bytes | None]) -> None:
        producer = Producer({"bootstrap.servers": embedded_kafka.bootstrap, "log_level": 0})
        for name, held in states:
            value = encode(held) if isinstance(held, Customer) else held
            partition = partition_of(name.encode(), 4)
            producer.produce(topics.changelog("cx-pulse", "customers"), value, name, partition)
        assert producer.flush(20) == 0

    return put


@pytest.fixture
def run(cx: Cx, embedded_kafka: EmbeddedKafka) -> Cx:
    """``cx customers …`` with the broker."""
    return lambda *arguments: cx("customers", *arguments, CX_BROKERS=embedded_kafka.bootstrap)


def test_a_profile_is_shown_in_words_and_as_json(run: Cx, keep: Callable[..., None]) -> None:
    """Signals, scores, tickets, spend, value, churn with its reasons, what is due, alerts and contacts."""
    keep(("ada", ADA), ("bob", BOB))
    done = run("show", "ada", "--as-of", "2026-01-22T08:00:00Z")
    assert done.returncode == 0, done.stderr
    said = [(line[2:12].strip(), line[14:]) for line in done.stdout.splitlines()[1:]]
    assert done.stdout.startswith("ada\n")
    assert said == [
        ("as of", "2026-01-22T08:00:00Z"),
        ("segment", "vip"),
        ("events", "4 events, 1 reply, from 2026-01-12T08:00:00Z to 2026-01-21T08:00:00Z"),
        ("activity", "0.4 events a day, one active day in 2.8, last heard 1.0 days ago"),
        ("score", "nps 3 at 2026-01-20T08:00:00Z (30 of 100)"),
        ("tickets", "1 open, 1 opened, 0 resolved, 0 reopened"),
        ("", "T-1 open since 2026-01-21T08:00:00Z"),
        ("purchases", "2 for 50.00 EUR, from 2026-01-12T08:00:00Z to 2026-01-19T08:00:00Z"),
        ("expected", "3.20 purchases; alive with 74%; last bought 3 days ago"),
        ("value", "85.75 EUR"),
        ("churn", "17%, by a declared prior"),
        ("", "newest nps 0 to 6 (+1.0)"),
        ("", "open tickets (+0.4)"),
        ("at risk", "14.40 EUR"),
        ("due", "2026-01-22T08:00:00Z T-1"),
        ("alerted", "Unhappy at 2026-01-20T08:00:00Z"),
        ("contacted", "2026-01-20T08:00:00Z"),
    ]
    [known] = objects(run("show", "ada", "--as-of", "2026-01-22T08:00:00Z", "--json"))
    assert known["as_of"] == "2026-01-22T08:00:00Z"
    assert (known["frequency"], known["recency"], known["signals"]["open_tickets"]) == (1, 1.0, 1)
    assert known["reasons"] == [
        {"reason": "detractor", "adds": 1.0},
        {"reason": "open_tickets", "adds": 0.4},
    ]
    assert known["due"] == [{"at": "2026-01-22T08:00:00Z", "ref": "T-1"}]


def touch(number: int, days: float, kind: str, **more: Any) -> Event:
    """A touchpoint of any customer."""
    return Event(
        event_id=f"e{number}", customer_id="c", time_ms=START + round(days * DAY), kind=kind, **more
    )  # fmt: skip


def test_touchpoints_trends_promises_and_waits_are_said_in_words(run: Cx, keep: Callable[..., None]) -> None:
    """What the JSON has is in the words too: the latest touchpoint first, and what is beyond the cap last."""
    places = (("nps", 9.0), ("nps", 8.0), ("nps", 4.0), ("csat", 5.0), ("csat", 5.0))
    replies = [
        Event(event_id=f"r{number}", customer_id="c", time_ms=START + number * DAY, metric=metric, score=score,
              scale=(0.0, 10.0))
        for number, (metric, score) in enumerate(places)
    ]  # fmt: skip
    eve = state(
        touch(1, 0, "session_started", touchpoint="web", stage="engage", channel="app", region="it"),
        touch(2, 2.5, "session_started", touchpoint="desk"),
        touch(3, 1, "session_started", touchpoint="web"),
        touch(4, 1, "promise_made", ref="P-1", due_ms=START + 2 * DAY),
        touch(5, 1.5, "promise_kept", ref="P-1"),
        touch(6, 2, "promise_made", ref="P-2", due_ms=START + 3 * DAY),
        touch(7, 2, "promise_made", ref="P-3"),
        *replies,
    )
    eve.known.attributes = {"tier": (START // 1000, "gold")}
    eve.known.touchpoints |= {"": 4095 + (START // 3_600_000 + 99 << 12)}
    eve.known.waits, eve.known.waited_ms = 3, 286_000
    keep(("eve", eve))
    done = run("show", "eve", "--as-of", "2026-01-22T08:00:00Z")
    assert done.returncode == 0, done.stderr
    said = [(line[2:12].strip(), line[14:]) for line in done.stdout.splitlines()[1:]]
    headings = ("stage", "channel", "region", "attribute", "touchpoint", "score", "promises", "", "waits")
    assert [each for each in said if each[0] in headings][:13] == [
        ("stage", "engage"),
        ("channel", "app"),
        ("region", "it"),
        ("attribute", "tier gold"),
        ("touchpoint", "desk: 1 event, the newest in the hour from 2026-01-14T20:00:00Z"),
        ("touchpoint", "web: 2 events, the newest in the hour from 2026-01-13T08:00:00Z"),
        ("touchpoint", "(others): 4095 events or more, the newest in the hour from 2026-01-16T11:00:00Z"),
        ("score", "csat 5 at 2026-01-16T08:00:00Z (50 of 100; as those before)"),
        ("score", "nps 4 at 2026-01-14T08:00:00Z (40 of 100; 45 below those before)"),
        ("promises", "2 open, 1 kept, 1 broken"),
        ("", "P-2 open, due 2026-01-15T08:00:00Z"),
        ("", "P-3 open, without a deadline"),
        ("waits", "3 in queues, 95 s on average"),
    ]


def test_the_newest_state_counts_and_a_deleted_one_does_not(run: Cx, keep: Callable[..., None]) -> None:
    """Newest is what has seen the most, whichever came last; nothing known ends with 1 and names nobody."""
    keep(("ada", ADA), ("ada", state(purchase(1, 0, 20.0))), ("bob", BOB), ("bob", None))
    assert objects(run("show", "ada", "--json"))[0]["purchases"] == 2
    assert [each["customer_id"] for each in objects(run("top", "--json"))] == ["ada"]
    for name in ("bob", "jane doe"):
        for command in ("show", "export"):
            done = run(command, name)
            assert (done.returncode, done.stdout) == (1, "")
            assert done.stderr.startswith("cx: nothing is known of this customer")
            assert name not in done.stderr


def test_the_top_is_the_ranking_of_the_table(run: Cx, keep: Callable[..., None]) -> None:
    """All partitions, ordered by the core that ranks files; so many of them."""
    states = {f"c{number}": state(purchase(1, number % 7, 3.0 + number)) for number in range(12)}
    keep(*states.items())
    at_ms = START + 20 * DAY
    ranked = rank(states.items(), at_ms)
    found = objects(run("top", "--as-of", format_ms(at_ms), "-n", "5", "--json"))
    assert [(each["customer_id"], each["value_at_risk"]) for each in found] == [
        (each.customer_id, each.value_at_risk) for each in ranked[:5]
    ]
    shown = run("top", "--as-of", format_ms(at_ms))
    assert [line.split()[1] for line in shown.stdout.splitlines()[2:]] == [
        each.customer_id for each in ranked
    ]


def test_an_export_holds_every_field_of_the_state(run: Cx, keep: Callable[..., None]) -> None:
    """By name, with what rules keep of the person, readable by anything that reads JSON."""
    keep(("ada", ADA))
    [found] = objects(run("export", "ada", "--json"))
    assert set(found["held"]) == set(Customer.__struct_fields__)
    assert found["held"]["spend"] == {"EUR": 500_000}
    assert found["held"]["seen"] == decode(encode(ADA)).seen.hex()
    assert found["held"]["watch"]["contacts"] == [START + 8 * DAY]
    assert found["held"]["story"]["threads"] == []
    assert found["profile"]["customer_id"] == "ada"
    assert json.loads(run("export", "ada").stdout)["held"] == found["held"]


def test_what_cannot_be_read_is_said(run: Cx, keep: Callable[..., None], cx: Cx) -> None:
    """A state of another make, a table that is not there, a broker that is not: 2, in one line."""
    keep(("ada", b"\xc1"))
    for done, words in (
        (run("show", "ada"), "makes no sense to this version"),
        (run("top"), "makes no sense to this version"),
        (cx("customers", "top", CX_BROKERS="localhost:1"), "no Kafka broker answers"),
    ):
        assert (done.returncode, done.stdout) == (2, "")
        assert words in done.stderr
        assert len(done.stderr.splitlines()) == 1


@pytest.mark.timeout(180)
def test_workers_and_files_agree(kafka: KafkaServer, cx: Cx, tmp_path: Path) -> None:
    """On a real Kafka: what a worker has folded is ranked, and shown, as the file it came from."""
    (tmp_path / "a.ndjson").write_text(text(world()))
    deployment = Deployment(kafka.bootstrap, tmp_path).create()
    settings = {**deployment.env, "CX_PARTITIONS": str(PARTITIONS)}
    assert cx("send", "a.ndjson", **settings).returncode == 0
    deployment.run()
    moment = ("--as-of", format_ms(START + 101 * DAY), "--json")
    ranked = objects(cx("customers", "rank", "a.ndjson", *moment, **settings))
    assert objects(cx("customers", "top", "-n", "100", *moment, **settings)) == ranked
    [known] = objects(cx("customers", "show", ranked[0]["customer_id"], *moment, **settings))
    for name in ("expected_value", "churn_probability", "value_at_risk", "reasons", "recency", "frequency"):
        assert known[name] == ranked[0][name]
