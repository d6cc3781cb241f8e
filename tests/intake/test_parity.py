"""The fast path and the pydantic models accept and refuse the same records, and read them alike."""

import importlib
import json
import re
from datetime import UTC, date, datetime, timedelta, timezone
from types import SimpleNamespace
from typing import Any, get_args

import pytest
from hypothesis import assume, example, given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from schemas import SCALES, Record, Reply, Touchpoint
from schemas.record import Stage
from schemas.reply import Metric
from stream.intake import Event, Limits, Rejection, decode
from stream.intake.contract import event_of
from stream.intake.event import Event as EventStruct

# The function of that name hides the module in the package.
decode_module = importlib.import_module("stream.intake.decode")

# Text that JSON can carry: no lone surrogates (they are in the table of reasons).
texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=200)
plain_texts = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\x00"), max_size=100)
floats = st.floats(allow_nan=False, allow_infinity=False)
numbers = st.one_of(st.integers(-20, 20), st.integers(), st.integers(-(10**400), 10**400), floats)
scalars = st.one_of(st.none(), st.booleans(), numbers, texts)
junk = st.recursive(
    scalars,
    lambda inner: st.one_of(st.lists(inner, max_size=4), st.dictionaries(texts, inner, max_size=4)),
    max_leaves=10,
)
offsets = st.integers(-23 * 60 - 59, 23 * 60 + 59).map(lambda minutes: timezone(timedelta(minutes=minutes)))
# Hypothesis wants naive bounds; a day inside the years accepted, for the offsets.
FIRST = datetime(1970, 1, 2)  # noqa: DTZ001
LAST = datetime(9999, 12, 30)  # noqa: DTZ001
good_times = st.one_of(
    st.integers(0, 253_402_300_799_999),
    st.datetimes(FIRST, LAST, timezones=offsets).map(datetime.isoformat),
    st.datetimes(FIRST, LAST).map(lambda t: t.isoformat() + "Z"),
)
times = st.one_of(
    good_times,
    st.integers(),
    st.datetimes().map(datetime.isoformat),
    st.datetimes(timezones=offsets).map(datetime.isoformat),
    st.from_regex(r"\A\d{4}-\d\d-\d\d[Tt ]\d\d:\d\d:\d\d(\.\d{1,12})?([Zz]|[+-]\d\d:?\d\d)\Z"),
    st.datetimes().map(lambda t: t.isoformat()[:19] + ".9999999999Z"),
    junk,
)
DIMENSIONS = ("channel", "touchpoint", "segment", "product", "variant", "region")
REPLY_ONLY = ("question", "pillar", "survey", "comment")

good_base = {
    "event_id": plain_texts.filter(bool),
    "customer_id": plain_texts.filter(bool),
    "occurred_at": good_times,
}
good_slices: dict[str, Any] = {name: st.none() | plain_texts for name in DIMENSIONS}
good_slices["stage"] = st.none() | st.sampled_from(get_args(Stage))
good_scalars = st.one_of(st.none(), st.booleans(), st.integers(-(2**63), 2**63 - 1), floats, plain_texts)
unknown = {"x": junk, "specversion": junk}

good_touchpoints = st.fixed_dictionaries(
    {**good_base, "kind": plain_texts.map(lambda t: t[:64])},
    optional={
        **good_slices,
        **unknown,
        "ref": st.none() | plain_texts,
        "value": st.none() | floats | st.integers(-(10**300), 10**300),
        "currency": st.none() | plain_texts,
        "due_at": st.none() | good_times,
        "attributes": st.none() | st.dictionaries(plain_texts, good_scalars, max_size=32),
        "score": st.none() | floats,
        "comment": st.none() | plain_texts,
        "higher_is_better": st.none() | st.booleans(),
        "metric": st.none(),
    },
)


@st.composite
def good_replies(draw: st.DrawFn) -> dict[str, Any]:
    """A reply that fits, its score within its own or the metric's scale."""
    metric = draw(st.sampled_from(get_args(Metric)))
    scale = (
        None if metric == "nps" else draw(st.none() | st.tuples(floats, floats).filter(lambda s: s[0] < s[1]))
    )
    low, high = scale or SCALES[metric]
    document = draw(
        st.fixed_dictionaries(
            {**good_base, "score": st.floats(low, high)},
            optional={
                **good_slices,
                **unknown,
                **{name: st.none() | plain_texts for name in REPLY_ONLY},
                "in_reply_to": st.none() | plain_texts.filter(bool),
                "higher_is_better": st.none() | st.booleans(),
                "kind": st.none() | plain_texts.map(lambda t: t[:64]),
                "ref": st.none() | plain_texts,
                "value": st.none() | floats,
                "attributes": st.none() | st.dictionaries(plain_texts, good_scalars, max_size=5),
            },
        )
    )
    return {**document, "metric": metric, **({} if scale is None else {"scale": list(scale)})}


good_records = st.one_of(good_touchpoints, good_replies())
anything: dict[str, Any] = {
    "event_id": st.one_of(plain_texts, junk, st.just("x" * 129)),
    "customer_id": st.one_of(plain_texts, junk, st.just("x" * 257)),
    "occurred_at": times,
    "due_at": times,
    "metric": st.one_of(st.sampled_from([*get_args(Metric), "NPS", ""]), junk),
    "kind": st.one_of(texts, junk),
    **{name: st.one_of(texts, junk, st.just("x" * 129)) for name in DIMENSIONS},
    "stage": st.one_of(st.sampled_from([*get_args(Stage), "", "Enter"]), junk),
    "ref": st.one_of(texts, junk),
    "value": st.one_of(numbers, junk),
    "currency": st.one_of(texts, junk),
    "attributes": st.one_of(st.dictionaries(texts, scalars, max_size=40), junk),
    "score": st.one_of(numbers, junk),
    "scale": st.one_of(st.lists(numbers, min_size=1, max_size=3), junk),
    "higher_is_better": st.one_of(st.booleans(), junk),
    **{name: st.one_of(texts, junk) for name in REPLY_ONLY},
    "in_reply_to": st.one_of(texts, junk),
}


@st.composite
def records(draw: st.DrawFn) -> dict[str, Any]:
    """A record that fits, with up to three fields replaced by anything or left out."""
    document = dict(draw(good_records))
    for name in draw(st.lists(st.sampled_from(sorted(anything)), max_size=3)):
        if draw(st.booleans()):
            document[name] = draw(anything[name])
        else:
            document.pop(name, None)
    return document


def wire(document: dict[str, Any], *, ascii_only: bool = True) -> bytes:
    """The document as JSON."""
    return json.dumps(document, ensure_ascii=ascii_only).encode()


def by_pydantic(raw: bytes) -> Event | None:
    """What the models say, with pydantic's own JSON parser; None where they refuse."""
    document = json.loads(raw)
    model: type[Record] = Reply if document.get("metric") is not None else Touchpoint
    try:
        return event_of(model.model_validate_json(raw))
    except ValidationError:
        return None


@settings(max_examples=200, deadline=None)
@given(records(), st.booleans())
@example({"event_id": "e", "customer_id": "c", "occurred_at": 0, "metric": "ces", "score": 10**400}, True)
@example(
    {"event_id": "e", "customer_id": "c", "occurred_at": 0, "kind": "", "attributes": {"a": 2**63}}, True
)
def test_decode_and_the_models_agree(document: dict[str, Any], ascii_only: bool) -> None:
    """A record is accepted by both or by neither, and its fields have the same values."""
    raw = wire(document, ascii_only=ascii_only)
    decoded = decode(raw, (), Limits(max_bytes=10**6))
    expected = by_pydantic(raw)
    if expected is None:
        assert isinstance(decoded, Rejection), decoded
    else:
        assert decoded == expected
        assert [type(value) for value in field_values(decoded)] == [type(v) for v in field_values(expected)]


asked = st.builds(
    SimpleNamespace,
    metric=st.none() | st.sampled_from(get_args(Metric)),
    scale=st.none() | st.sampled_from([(0.0, 10.0), (1.0, 5.0), (1.0, 7.0), (1.0, 10.0), (-1.0, 1.0)]),
    higher_is_better=st.none() | st.booleans(),
)


@st.composite
def answers(draw: st.DrawFn) -> dict[str, Any]:
    """A reply to a question that may be declared, which says much, little or nonsense of its scale."""
    document = dict(draw(good_replies()))
    document["question"] = draw(st.sampled_from(["q", "q", "q", "other", None, 5, []]))
    for name, values in {
        "metric": st.sampled_from([*get_args(Metric), "?"]),
        "scale": st.none() | st.sampled_from([[0, 10], [1, 5], [1, 7], [1.0, 10], [-1, 1], [5, 1], 7]),
        "higher_is_better": st.none() | st.booleans() | st.just("yes"),
        "score": st.integers(-2, 12),
        "comment": st.sampled_from(["\u00e8 vero", '"higher_is_better"', None]),
    }.items():
        if draw(st.booleans()):
            document[name] = draw(values)
        elif draw(st.booleans()):
            document.pop(name, None)
    return document


def as_declared(document: dict[str, Any], declared: SimpleNamespace) -> Event | str | None:
    """By the rule itself: what the question lends is filled in, the models judge, what contradicts is refused."""
    lent = dict(document)
    concerned = document.get("question") == "q" and document.get("metric") is not None
    if concerned and declared.metric in (None, document.get("metric")):
        for name in ("scale", "higher_is_better"):
            if document.get(name) is None and getattr(declared, name) is not None:
                lent[name] = getattr(declared, name)
    event = by_pydantic(wire(lent))
    if event is None or not concerned:
        return event
    said = (event.metric, event.scale, event.higher_is_better)
    wanted = (declared.metric, declared.scale, declared.higher_is_better)
    same = all(want is None or want == each for want, each in zip(wanted, said, strict=True))
    return event if same else "scale_conflict"


@settings(max_examples=400, deadline=None)
@given(answers(), asked, st.booleans())
def test_declared_questions_are_read_alike(
    document: dict[str, Any], declared: SimpleNamespace, escaped: bool
) -> None:
    """What a question lends and what contradicts it is the same for the fast path and for the models."""
    raw = wire(document, ascii_only=False)
    if escaped:  # a field's name may be spelt in escapes
        raw = raw.replace(b"higher_is_better", rb"higher_is_b\u0065tter")
    decoded = decode(raw, (), Limits(), {"q": declared})
    expected = as_declared(document, declared)
    if isinstance(expected, Event):
        assert decoded == expected
    else:
        assert isinstance(decoded, Rejection)
        assert (decoded.reason == "scale_conflict") == (expected == "scale_conflict")


@settings(max_examples=100, deadline=None)
@given(good_records)
def test_what_fits_takes_the_fast_path(document: dict[str, Any]) -> None:
    """A record that fits is read by msgspec alone, unless it may hold a NUL; the models are not asked."""
    text = json.dumps(document)
    assume("\\u0000" not in text)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(decode_module, "judge", lambda *_: pytest.fail("asked the models"))
        assert isinstance(decode_module._record(text, Limits()), Event)


@pytest.mark.parametrize("said", [{}, {"scale": [1, 10]}, {"scale": [1, 10], "comment": "\u00e8"}])
@pytest.mark.parametrize("better", [None, True, False])
def test_what_a_question_lends_takes_the_fast_path(said: dict[str, Any], better: bool | None) -> None:
    """The models are not asked for a reply that leaves out what its question is declared with."""
    document = {**dict.fromkeys(("event_id", "customer_id"), "x"), "occurred_at": 0, "metric": "ces"}
    text = json.dumps({**document, "score": 9, "question": "q", **said})
    declared = SimpleNamespace(metric="ces", scale=(1.0, 10.0), higher_is_better=better)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(decode_module, "judge", lambda *_: pytest.fail("asked the models"))
        event = decode_module._record(text, Limits(), {"q": declared})
    assert isinstance(event, Event)
    assert (event.scale, event.higher_is_better) == ((1.0, 10.0), better is not False)


def field_values(event: object) -> list[Any]:
    """The values of an event's fields, in their order."""
    assert isinstance(event, EventStruct)
    return [getattr(event, name) for name in Event.__struct_fields__]


@settings(max_examples=200, deadline=None)
@given(records())
def test_details_hold_no_text_of_the_record(document: dict[str, Any]) -> None:
    """No key or text of the record beyond the contract's own words gets into a detail."""
    decoded = decode(wire(document), (), Limits())
    if isinstance(decoded, Rejection):
        words = set(re.findall(r"\w+", decoded.detail))
        for text in strings(document):
            if len(text) > 3 and text not in WORDS:
                assert text not in decoded.detail
                assert text not in words


# What details are worded with: names of fields, vocabularies, rules.
RULES = "must be have hold lie fit not the a an of at most within years to required or and characters entries"
WORDS = {*anything, *get_args(Metric), *get_args(Stage), *RULES.split()}


def strings(value: Any) -> list[str]:
    """Every key, text and number of a document, as text."""
    if isinstance(value, str):
        return [value]
    if isinstance(value, dict):
        return [*value, *(text for part in value.values() for text in strings(part))]
    if isinstance(value, list):
        return [text for part in value for text in strings(part)]
    return [str(value)] if isinstance(value, int | float) and not isinstance(value, bool) else []


@settings(max_examples=200, deadline=None)
@given(st.datetimes(FIRST, LAST, timezones=offsets))
def test_times_are_cut_to_the_millisecond(moment: datetime) -> None:
    """Whatever the offset, a time is the number of whole milliseconds since 1970 UTC."""
    utc = moment.astimezone(UTC)
    since_1970 = utc.toordinal() - date(1970, 1, 1).toordinal()
    seconds = since_1970 * 86_400 + utc.hour * 3600 + utc.minute * 60 + utc.second
    document = {"event_id": "e", "customer_id": "c", "occurred_at": moment.isoformat(), "kind": "k"}
    event = decode(wire(document), (), Limits())
    assert isinstance(event, Event)
    assert event.time_ms == seconds * 1000 + utc.microsecond // 1000
