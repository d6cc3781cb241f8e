"""A hundred thousand records, one in twenty of them bad, whatever bad may be."""

from __future__ import annotations

import json
from collections import Counter
from random import Random
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from schemas import DeadLetterHeaders
from stream import topics
from tests.e2e.harness import Deployment
from tests.e2e.records import Feed, ToSend, chunks

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from stream.brokers.kafka import KafkaServer

pytestmark = [pytest.mark.kafka, pytest.mark.slow]

RECORDS = 100_000
START_MS = 1_768_204_800_000
#: Stands in every id and comment, good or bad: what must never be seen in a log.
PRIVATE = "zzprivate"

_FIELDS = [
    "event_id", "customer_id", "occurred_at", "metric", "kind", "score", "scale", "segment", "stage", "comment",
    "value", "attributes", "due_at", "specversion", "data", "higher_is_better",
]  # fmt: skip
_TEXTS = st.one_of(st.just(PRIVATE), st.text(max_size=20), st.sampled_from(_FIELDS))
_SCALARS = st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), _TEXTS)
#: Any JSON, with the names of the contract here and there; lone surrogates, NaN and huge numbers included.
_JSON = st.recursive(
    _SCALARS,
    lambda inner: st.one_of(st.lists(inner, max_size=4), st.dictionaries(_TEXTS, inner, max_size=6)),
    max_leaves=12,
)
#: What no field of these names may be.
_WRONG: dict[str, st.SearchStrategy[Any]] = {
    "event_id": st.one_of(st.integers(), st.just(""), st.just(PRIVATE * 20), st.lists(st.text())),
    "customer_id": st.one_of(st.none(), st.booleans(), st.just(PRIVATE * 40), st.just(f"{PRIVATE}\0")),
    "occurred_at": st.one_of(
        st.none(),
        st.booleans(),
        st.integers(max_value=-1),
        st.just("2026-01-12T09:00:00"),
        st.text(max_size=9),
    ),
    "metric": st.one_of(st.just("nsp"), st.integers(), st.lists(st.integers()), st.just(PRIVATE)),
    "score": st.one_of(
        st.none(), st.text(), st.floats(min_value=10.001), st.floats(max_value=-0.001), st.just(float("nan"))
    ),
    "segment": st.one_of(st.integers(), st.lists(st.text()), st.just(PRIVATE * 20)),
    "stage": st.one_of(st.just("limbo"), st.integers()),
    "scale": st.one_of(st.just([5, 1]), st.just([1]), st.text(), st.just({PRIVATE: 1})),
    "comment": st.one_of(st.just(PRIVATE * 2000), st.integers(), st.lists(st.just(PRIVATE))),
}


def made(strategy: st.SearchStrategy[Any], count: int) -> list[Any]:
    """The same ``count`` examples on every run."""
    found: list[Any] = []

    @settings(
        derandomize=True,
        database=None,
        deadline=None,
        max_examples=count,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(strategy)
    def collect(example: Any) -> None:
        found.append(example)

    collect()
    return found


def good(number: int) -> dict[str, Any]:
    """A record that fits the contract."""
    event: dict[str, Any] = {
        "event_id": f"{PRIVATE}-{number}",
        "customer_id": f"{PRIVATE}-{number * 7919 % 5_000}",
        "occurred_at": START_MS + number * 100,
        "segment": ("vip", "new")[number % 2],
    }
    if number % 3:
        return event | {"metric": "nps", "score": number % 11, "comment": f"{PRIVATE} said {number}"}
    return event | {"kind": "purchase", "value": number % 100, "currency": "EUR"}


def bad_values() -> Iterator[bytes | None]:
    """Endless bad values, from several sources in turn."""
    rng = Random(5)
    anything = made(_JSON, 700)
    # Not an event by luck: none has all that an event needs.
    for example in anything:
        if isinstance(example, dict):
            example.pop("event_id", None)
    wrong = made(st.sampled_from(sorted(_WRONG)).flatmap(lambda n: st.tuples(st.just(n), _WRONG[n])), 1_500)
    raw = made(st.binary(max_size=200), 500)
    number = 10_000_000
    while True:
        number += 3
        event = good(number + number % 3 + 1)
        text = json.dumps(event)
        name, value = rng.choice(wrong)
        yield json.dumps({**event, "metric": "nps", "score": 5, name: value}).encode()
        yield json.dumps(rng.choice(anything)).encode()
        yield rng.choice(raw)
        yield rng.randbytes(rng.randrange(300))
        yield text.encode()[: rng.randrange(len(text))]
        yield text.encode("utf-16")
        missing = rng.choice(["event_id", "customer_id", "occurred_at"])
        yield json.dumps({key: held for key, held in event.items() if key != missing}).encode()
        if not rng.randrange(50):
            yield None
            yield text[:-1].encode() + b',"more":' + b"[" * 500 + b"]" * 500 + b"}"
            yield text[:-1].encode() + b',"more":"' + b"x" * 70_000 + b'"}'


def records() -> Iterator[ToSend]:
    """The whole input: every twentieth record is bad."""
    bad = bad_values()
    for number in range(RECORDS):
        topic = topics.INPUTS[number % 7 % 2]
        event = good(number)
        key = event["customer_id"].encode()
        if number % 20 == 7:
            yield ToSend(topic, key, next(bad), "bad")
        else:
            yield ToSend(topic, key, json.dumps(event).encode())


@pytest.mark.timeout(300)
def test_exactly_the_bad_ones_are_dead_letters(kafka: KafkaServer, tmp_path: Path) -> None:
    """The worker lives, the dead letters are the bad records, unchanged, and no log tells on anyone."""
    deployment = Deployment(kafka.bootstrap, tmp_path, "slices: [[segment]]\n").create()
    with deployment.worker() as worker:
        feed = Feed(kafka.bootstrap)
        for chunk in chunks(records(), 5_000):
            feed.send(chunk)
        feed.flush()
        deployment.drained(worker, within=200)
        assert worker.ready()
        applied = sum(
            n for labels, n in worker.counters("cx_records_total").items() if 'verdict="applied"' in labels
        )
        exposed = worker.get("/metrics")
        assert worker.stop() == 0

    sent = {
        (m.topic(), m.partition(), m.offset()): (dict(m.headers() or [])["truth"], m.key(), m.value())
        for topic in topics.INPUTS
        for m in deployment.read(topic)
    }
    wanted = {at: (key, value) for at, (truth, key, value) in sent.items() if truth == b"bad"}
    assert (len(sent), len(wanted)) == (RECORDS, RECORDS // 20)

    got: Counter[tuple[str | None, int, int]] = Counter()
    for message in deployment.read(topics.DEADLETTERS):
        headers = DeadLetterHeaders.from_kafka(message.headers() or [])
        at = (headers.topic, headers.partition, headers.offset)
        got[at] += 1
        held = sent[at]
        assert held[0] == b"bad", f"{at} is a dead letter: {headers.reason} {headers.detail}\n{held[2]!r}"
        assert (message.key(), message.value()) == held[1:]
        assert PRIVATE not in headers.detail
    missed = [(at, wanted[at][1]) for at in wanted.keys() - got.keys()]
    assert not missed, f"{len(missed)} bad records were taken, such as {missed[:3]}"
    assert set(got.values()) == {1}
    assert applied == RECORDS - len(wanted)
    assert PRIVATE not in worker.log
    assert exposed is not None
    assert PRIVATE not in exposed[1]
