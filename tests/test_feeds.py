"""What workers read whole and follow: the rules and the silences of the topics."""

from __future__ import annotations

import asyncio
import json
import logging
from typing import TYPE_CHECKING, Any

import pytest
from confluent_kafka import Producer
from hypothesis import given
from hypothesis import strategies as st

from schemas import format_ms
from stream import topics
from stream.alerting.rules import load_rules
from stream.brokers.embedded import EmbeddedKafka
from stream.deployment import load_book, read_version
from stream.feeds import Feeds, Refused, Version, decode_silence, decode_version, model_key, version_key
from stream.serving import Telemetry
from stream.settings import Settings
from tests.waiting import eventually

if TYPE_CHECKING:
    from collections.abc import Iterator

    from stream.alerting.hygiene import Silence
    from stream.alerting.model import RuleBook

AT = 1_772_366_400_000
KEPT = "slices: [[segment]]\ngroups: []"


def rules(name: str, by: str = "segment") -> str:
    """A file with one rule."""
    return f"groups: [{{name: g, rules: [{{alert: {name}, metric: nps, by: [{by}], window: 1h, below: 3}}]}}]"


def version(text: str, from_ms: int = AT, **more: Any) -> tuple[bytes, bytes]:
    """Key and value of a version."""
    record = {"valid_from": format_ms(from_ms), "rules": text, "name": "rules.yml", **more}
    return version_key(from_ms), json.dumps(record).encode()


def silence(name: str = "s-1", **more: Any) -> tuple[bytes, bytes]:
    """Key and value of a silence."""
    record = {"id": name, "matchers": ["segment=vip"], "starts_at": AT, "ends_at": AT + 1000}
    return name.encode(), json.dumps({**record, "author": "ada", "comment": "why", **more}).encode()


def settings(**more: Any) -> Settings:
    """Of a worker without rules of its own."""
    return Settings(_env_file=None, redis_url=None, **more)


def feeds(told: list[Any] | None = None, **more: Any) -> Feeds:
    """Feeds that keep slices by segment, and note what they tell."""
    kept = load_rules(KEPT, "kept.yml")
    found = Feeds(settings(**more), kept, Telemetry())
    notes: list[Any] = [] if told is None else told

    def of_rules(book: RuleBook, from_ms: int) -> None:
        notes.append((alerts(book), from_ms))

    def of_silences(silences: list[Silence]) -> None:
        notes.append([each.id for each in silences])

    found.on_rules.append(of_rules)
    found.on_silences.append(of_silences)
    return found


def alerts(book: RuleBook) -> list[str]:
    """Names of its rules."""
    return [rule.alert for rule in book.metric_rules]


def held(found: Feeds) -> list[tuple[list[str], int]]:
    """The versions, as rules and moment."""
    return [(alerts(each.book), each.from_ms) for each in found.versions]


def verdicts(found: Feeds) -> dict[tuple[str, str], float]:
    """What /metrics says became of the records."""
    counted = {}
    for family in found._telemetry.registry.collect():
        for sample in family.samples:
            if sample.name == "cx_feed_records_total" and sample.value:
                counted[sample.labels["topic"], sample.labels["verdict"]] = sample.value
    return counted


async def test_versions_are_in_the_order_of_their_moments() -> None:
    """Each is told as it comes; one for the same moment replaces the earlier one."""
    told: list[Any] = []
    found = feeds(told)
    await found.take_rules(*version(rules("B"), AT + 1), 0)
    await found.take_rules(*version(rules("A")), 1)
    await found.take_rules(*version(rules("C"), AT + 1), 2)
    assert held(found) == [(["A"], AT), (["C"], AT + 1)]
    assert told == [(["B"], AT + 1), (["A"], AT), (["C"], AT + 1)]
    assert verdicts(found) == {(topics.RULES, "applied"): 3}


async def test_a_version_that_is_called_off_leaves_those_before_it() -> None:
    """From its moment on the version before goes on, and before the first one the rules of the file."""
    told: list[Any] = []
    found = feeds(told)
    await found.take_rules(*version(rules("A")), 0)
    await found.take_rules(*version(rules("B"), AT + 5), 1)
    await found.take_rules(version_key(AT + 5), None, 2)
    await found.take_rules(version_key(AT), None, 3)
    await found.take_rules(version_key(AT + 9), None, 4)
    assert held(found) == []
    assert told[2:] == [(["A"], AT + 5), ([], AT)]


@pytest.mark.parametrize(
    ("key", "value", "why"),
    [
        (*version("groups: 5"), "groups"),
        (*version(rules("A", by="region")), "slices by region are not kept"),
        (version_key(AT + 1), version(rules("A"))[1], "the key is not its valid_from"),
        (None, version(rules("A"))[1], "the key is not its valid_from"),
        (version_key(AT), b"{", "JSON"),
        (version_key(AT), b"\xff", "JSON"),
        (*version(""), "rules: "),
        (*version("x" * 1_100_000), "1 MiB"),
        (b"soon", None, "the key is no moment"),
        (None, None, "the key is no moment"),
    ],
)
async def test_bad_rules_are_told_counted_and_left_out(
    key: bytes | None, value: bytes | None, why: str, caplog: pytest.LogCaptureFixture
) -> None:
    """The rules that held go on, the log names topic, offset and reason, and nothing is raised."""
    found = feeds()
    await found.take_rules(*version(rules("A"), AT - 1), 1)
    with caplog.at_level(logging.ERROR):
        await found.take_rules(key, value, 42)
    assert held(found) == [(["A"], AT - 1)]
    assert verdicts(found)[topics.RULES, "refused"] == 1
    [said] = [record.getMessage() for record in caplog.records]
    assert said.startswith("cx.rules: the record at offset 42 is left out: ")
    assert why in said


@pytest.mark.parametrize(
    ("key", "value", "why"),
    [
        (*silence(matchers=["segment"]), "is no matcher"),
        (*silence(matchers=["segment=~("]), "not a regular expression"),
        (*silence(matchers=["segment!=vip"]), "matches every alert"),
        (*silence(matchers=[]), "matchers"),
        (*silence(ends_at=AT - 1), "ends_at must not be before"),
        (*silence(comment=""), "comment"),
        (b"other", silence()[1], "the key is not its id"),
        (b"s-1", b"[]", "object"),
    ],
)
def test_bad_silences_are_told_counted_and_left_out(
    key: bytes, value: bytes, why: str, caplog: pytest.LogCaptureFixture
) -> None:
    """Those that held go on."""
    found = feeds()
    assert found.take_silence(*silence("s-0"), 1)
    with caplog.at_level(logging.ERROR):
        assert not found.take_silence(key, value, 42)
    assert [each.id for each in found.silences] == ["s-0"]
    assert verdicts(found) == {(topics.SILENCES, "applied"): 1, (topics.SILENCES, "refused"): 1}
    assert why in caplog.records[0].getMessage()


def test_a_silence_is_replaced_and_deleted_by_its_id() -> None:
    """Says whether anything is different; deleting what is not there is no difference."""
    found = feeds()
    assert found.take_silence(*silence(), 0)
    assert not found.take_silence(*silence(), 1)
    assert found.take_silence(*silence(ends_at=AT + 9), 2)
    assert found.silences[0].ends_at_ms == AT + 9
    assert found.take_silence(b"s-1", None, 3)
    assert not found.take_silence(b"s-1", None, 4)
    assert found.silences == []


@given(key=st.none() | st.binary(), value=st.binary() | st.text().map(str.encode))
def test_no_record_does_more_than_be_refused(key: bytes | None, value: bytes) -> None:
    """Whatever is on the topics, decoding ends with Refused."""
    kept = load_rules(KEPT, "kept.yml")
    with pytest.raises(Refused):
        decode_version(key, value, settings(), kept)
    with pytest.raises(Refused):
        decode_silence(key, value)


def test_a_version_is_read_as_the_file_would_be() -> None:
    """The same windows, confidence and signals as of CX_RULES: what one accepts the other does."""
    key, value = version(rules("A"))
    kept = load_rules(KEPT, "kept.yml")
    found = decode_version(key, value, settings(confidence=0.9), kept)
    assert found == Version(AT, read_version(rules("A"), "rules.yml", settings(confidence=0.9), kept))
    assert found.book.metric_rules[0].confidence == 0.9
    assert load_book(settings()).declared == load_rules("groups: []", "x").declared


# On a broker.


@pytest.fixture
def embedded() -> Iterator[EmbeddedKafka]:
    """An empty broker with the program's topics."""
    with EmbeddedKafka(topics.layout("cx-pulse", 4)) as kafka:
        yield kafka


def send(kafka: EmbeddedKafka, topic: str, *records: tuple[bytes, bytes | None]) -> None:
    """Publish; done when the broker has it all."""
    producer = Producer({"bootstrap.servers": kafka.bootstrap, "log_level": 0})
    for key, value in records:
        producer.produce(topic, value, key)
    assert producer.flush(20) == 0


async def test_empty_topics_are_read_at_once(embedded: EmbeddedKafka) -> None:
    """Nothing there is no reason to wait."""
    found = feeds(brokers=embedded.bootstrap)
    async with asyncio.timeout(10):
        await found.start()
    assert (found.versions, found.silences) == ([], [])
    await found.stop()


async def test_all_is_read_before_the_start_and_what_comes_is_followed(embedded: EmbeddedKafka) -> None:
    """After start everything that was there is known; later records are told as they come, the bad left out."""
    send(embedded, topics.RULES, version(rules("A")), (b"bad", b"bad"), version(rules("B"), AT + 1))
    send(embedded, topics.SILENCES, silence("s-1"), silence("s-2"), (b"s-1", None))
    told: list[Any] = []
    found = feeds(told, brokers=embedded.bootstrap)
    await found.start()
    assert held(found) == [(["A"], AT), (["B"], AT + 1)]
    assert [each.id for each in found.silences] == ["s-2"]
    told.clear()
    following = asyncio.create_task(found.follow())
    send(embedded, topics.RULES, (b"bad", b"bad"), version(rules("C"), AT + 2))
    send(embedded, topics.SILENCES, silence("s-3"))
    await eventually(lambda: len(told) == 2)
    assert sorted(told, key=str) == [(["C"], AT + 2), ["s-2", "s-3"]]
    assert not following.done()
    following.cancel()
    await asyncio.gather(following, return_exceptions=True)
    await found.stop()
    assert verdicts(found)[topics.RULES, "refused"] == 2


def model(name: str = "bgnbd", from_ms: int = AT, **more: Any) -> tuple[bytes, bytes]:
    """Key and value of a version of a model."""
    parameters = {"r": 0.3, "alpha": 5.0, "a": 0.7, "b": 2.0}
    record = {"name": name, "valid_from": from_ms, "as_of": from_ms - 1000, "parameters": parameters, **more}
    return model_key(name, from_ms), json.dumps(record).encode()


@given(st.permutations([(AT, 0.3), (AT + 5000, 0.4), (AT + 9000, 0.5)]))
def test_models_hold_from_their_moments_in_whatever_order_they_come(order: list[tuple[int, float]]) -> None:
    """Before the first the declared ones, then each to the next; one called off gives way to that before it."""
    found = feeds()
    for from_ms, r in order:
        parameters = {"r": r, "alpha": 5.0, "a": 0.7, "b": 2.0}
        found.take_model(*model(from_ms=from_ms, parameters=parameters), 0)

    def at(moment_ms: int) -> float:
        return found.models.at(moment_ms).value.r

    assert [at(AT - 1), at(AT), at(AT + 4999), at(AT + 5000), at(2**60)] == [0.243, 0.3, 0.3, 0.4, 0.5]
    assert found.models.known_ms == AT + 8000
    found.take_model(model_key("bgnbd", AT + 5000), None, 0)
    assert [at(AT + 5000), at(AT + 9000)] == [0.3, 0.5]
    assert verdicts(found) == {(topics.MODELS, "applied"): 3, (topics.MODELS, "removed"): 1}


@pytest.mark.parametrize(
    ("record", "why"),
    [
        ((b"bgnbd|2026", b"{}"), "name: Field required"),
        ((b"other", model()[1]), "the key is not its name and valid_from, bgnbd|2026-03-01T12:00:00Z"),
        (model(parameters={"r": 1.0}), "parameters: alpha: is missing among the parameters of bgnbd"),
        (
            model(parameters={"r": -1.0, "alpha": 1.0, "a": 2.0, "b": 1.0}),
            "parameters: r: must be more than 0",
        ),
        ((b"bgnbd|never", None), "the key is no moment"),
    ],
)
def test_a_wrong_version_of_a_model_is_left_out(
    record: tuple[bytes, bytes | None], why: str, caplog: pytest.LogCaptureFixture
) -> None:
    """The log says why, it is counted, and what held goes on."""
    found = feeds()
    with caplog.at_level(logging.ERROR):
        found.take_model(*record, 7)
    assert why in caplog.text
    assert "offset 7" in caplog.text
    assert verdicts(found) == {(topics.MODELS, "refused"): 1}
    assert found.models.at(2**60) == found.models.at(0)


def test_no_parameters_are_the_declared_ones() -> None:
    """A version without any, as before there was enough to fit to."""
    found = feeds()
    found.take_model(*model(), 0)
    found.take_model(*model(from_ms=AT + 5000, parameters={}, outcome="kept", reason="too few"), 1)
    assert found.models.at(AT).value.r == 0.3
    assert found.models.at(AT + 5000) == found.models.at(0)
