"""Who is erased: recognised by a fingerprint, up to a place in each log, and by nothing else."""

from __future__ import annotations

import base64
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.erasure import Erasure, PrivacyKey, RewriteMark
from stream.privacy.concerns import Concerns
from stream.privacy.entries import Entry, Source
from stream.privacy.erasures import Erasures, note_key, note_of
from stream.privacy.finding import customers_in, needles, subject_of
from stream.privacy.fingerprints import Keys, KeyUnknown, check_of, fingerprint
from stream.privacy.pseudonyms import Pseudonyms

SALT = b"0123456789abcdef" * 2
CHECK = check_of(SALT)
ids = st.text(min_size=1, max_size=30)


def erasures(*customers: str, **ends: int) -> Erasures:
    """Who is erased, up to which place in ``cx.replies/0`` and the like."""
    found = Erasures(Keys())
    found.take(f"key/{CHECK}".encode(), PrivacyKey(salt=SALT.hex()).model_dump_json().encode())
    for customer in customers:
        erase(found, customer, **ends)
    return found


def erase(found: Erasures, customer: str, **ends: int) -> None:
    """One more."""
    places = {f"cx.{name}/0": end for name, end in ends.items()}
    record = Erasure(at=1_768_204_800_000, key=CHECK, ends=places)  # type: ignore[arg-type]
    found.take(f"erased/{fingerprint(SALT, customer)}".encode(), record.model_dump_json().encode())


@given(ids, ids)
def test_only_who_is_erased_is_and_only_below_the_end(one: str, other: str) -> None:
    """A record is refused exactly when it is about someone erased and stands below the end that was noted."""
    found = erasures(one, replies=10)
    assert found.erased(one, "cx.replies", 0, 9)
    assert not found.erased(one, "cx.replies", 0, 10)
    assert found.erased(other, "cx.replies", 0, 9) == (other == one)
    assert found.below("cx.replies", 0) == 10
    assert found.below("cx.touchpoints", 3) == -1


def test_a_later_erasure_takes_the_place_of_the_first() -> None:
    """Who came back and is erased again is erased up to the later end; others who were asked about stay."""
    found = erasures("ada", replies=10)
    assert found.of("bob") is None
    version = found.version
    erase(found, "ada", replies=20)
    erase(found, "bob", replies=5)
    assert found.erased("ada", "cx.replies", 0, 15)
    assert found.erased("bob", "cx.replies", 0, 4)
    assert found.version == version + 2


def test_nothing_on_the_topic_names_anybody() -> None:
    """Neither key nor value of an erasure holds the id, nor a hash that can be had without the key."""
    import hashlib  # noqa: PLC0415

    mark = fingerprint(SALT, "ada")
    assert "ada" not in mark
    assert mark not in hashlib.sha256(b"ada").hexdigest()
    assert fingerprint(b"another key", "ada") != mark


def test_another_key_is_refused_by_the_name_of_its_setting() -> None:
    """A worker that cannot tell whom erasures are about must not start."""
    own = "a secret that nobody knows"
    record = PrivacyKey(salt=None).model_dump_json().encode()
    Erasures(Keys(own)).take(f"key/{check_of(own.encode())}".encode(), record)
    for wrong in (None, "another secret, also long"):
        with pytest.raises(KeyUnknown, match=r"^CX_PRIVACY_KEY: ") as refused:
            Erasures(Keys(wrong)).take(f"key/{check_of(own.encode())}".encode(), record)
        assert own not in str(refused.value)
        assert str(wrong) not in str(refused.value)


def test_a_rewrite_is_seen_until_its_last_mark_is_gone() -> None:
    """The main mark goes last."""
    found = erasures()
    mark = RewriteMark(run="ab", started_at=1).model_dump_json().encode()  # type: ignore[arg-type]
    found.take(b"rewrite", mark)
    found.take(b"rewrite/cx.replies/0", b"{}")
    assert found.rewriting
    found.take(b"rewrite/cx.replies/0", None)
    assert found.rewriting
    found.take(b"rewrite", None)
    assert not found.rewriting


def test_what_was_carried_out_is_not_open() -> None:
    """A partition that has noted an erasure with these ends need not look again; with later ones it must."""
    found = erasures("ada", replies=10, touchpoints=7)
    sources = ("cx.touchpoints/0", "cx.replies/0")
    ((mark, erasure),) = found.open_in({}, sources).items()
    notes = {note_key(mark): note_of(erasure, sources)}
    assert found.open_in(notes, sources) == {}
    erase(found, "ada", replies=11, touchpoints=7)
    assert list(found.open_in(notes, sources)) == [mark]
    erase(found, "ada", replies=10, touchpoints=7, alerts=99)  # of outputs only
    assert found.open_in(notes, sources) == {}
    assert found.among([b"bob", b"ada", "\u00fc".encode()], {mark: erasure}) == [b"ada"]


def cloud(data: dict[str, Any], *, packed: bool) -> bytes:
    """A structured CloudEvent."""
    envelope: dict[str, Any] = {"specversion": "1.0", "id": "1", "source": "s", "type": "t"}
    if packed:
        return json.dumps(
            {**envelope, "data_base64": base64.b64encode(json.dumps(data).encode()).decode()}
        ).encode()
    return json.dumps({**envelope, "data": data}).encode()


@pytest.mark.parametrize(
    ("key", "value"),
    [
        (b"ada", None),
        (b"ada", b"\xff\xfe"),
        (None, b'{"customer_id": "ada", "metric": "nps"}'),
        (None, b'{"customer_id": "\\u0061da", "metric": "nps"}'),
        (None, b'{"customer_id": "ada", "comment": "cut of'),
        (None, b'[{"customer_id": "ada"}]'),
        (None, b'{"customer": "ada"}'),
        (None, b"customer_id=x,ada,7"),
        (None, cloud({"customer_id": "ada"}, packed=False)),
        (None, cloud({"customer_id": "ada"}, packed=True)),
        (b"bob", b'{"customer_id": "ada"}'),
        (b"ada", b'{"customer_id": "bob"}'),
    ],
)
def test_whom_a_record_may_be_about(key: bytes | None, value: bytes | None) -> None:
    """However broken a record is, whom it names is found."""
    assert "ada" in set(customers_in(key, value))


def test_what_others_say_is_theirs() -> None:
    """A record that names its customer is not about whom it mentions, or who has the same name as a segment."""
    value = b'{"customer_id": "bob", "segment": "ada", "comment": "ask ada", "ref": "ada"}'
    assert set(customers_in(b"bob", value)) == {"bob"}


@given(st.binary(max_size=200), st.none() | st.binary(max_size=20))
def test_no_bytes_are_too_broken(value: bytes, key: bytes | None) -> None:
    """Looking for a customer never fails."""
    for one in customers_in(key, value):
        assert isinstance(one, str)
        needles(one)
    subject_of(value)


def entry(value: dict[str, Any], offset: int = 0, stood: int | None = None) -> Entry:
    """A record; as a dead letter, with where it stood."""
    held: list[tuple[str, str | bytes | None]] = []
    if stood is not None:
        held = [("topic", b"cx.replies"), ("partition", b"0"), ("offset", str(stood).encode())]
    return Entry(offset, 0, None, json.dumps(value).encode(), held)


def alert(customer: str, mark: str) -> dict[str, Any]:
    """An alert event."""
    return {"subject": f"customer:{customer}", "data": {"fingerprint": mark}}


def test_what_goes_of_each_topic() -> None:
    """Alerts go by their subject, actions by their alert, letters by where their record stood."""
    concerns = Concerns(erasures("ada", replies=10, alerts=5, deadletters=0))
    replies, letters = Source("cx.replies", 0), Source("cx.deadletters", 0)
    alerts, actions = Source("cx.alerts", 0), Source("cx.actions", 0)
    assert concerns.goes(replies, entry({"customer_id": "ada"}, 9))
    assert not concerns.goes(replies, entry({"customer_id": "ada"}, 10))
    assert not concerns.goes(replies, entry({"customer_id": "bob"}, 1))
    assert concerns.goes(letters, entry({"customer_id": "ada"}, 77, stood=9))
    assert not concerns.goes(letters, entry({"customer_id": "ada"}, 77, stood=10))
    assert concerns.goes(alerts, entry(alert("ada", "f1"), 4))
    assert not concerns.goes(alerts, entry(alert("ada", "f2"), 5))
    assert not concerns.goes(alerts, entry({"subject": "nps{segment=ada}", "data": {"fingerprint": "f3"}}, 1))
    assert concerns.goes(actions, entry({"fingerprint": "f1"}))
    assert not concerns.goes(actions, entry({"fingerprint": "f2"}))
    assert concerns.customers == {"ada"}


@given(ids)
def test_a_pseudonym_stands_for_one_id_and_stays(customer: str) -> None:
    """The same id gives the same pseudonym, which is left as it is; another key gives another one."""
    one = Pseudonyms("a key of some length")
    name = one.of(customer)
    assert name == one.of(customer) == one.of(name)
    assert name != Pseudonyms("another key of that").of(customer)


@pytest.mark.parametrize("packed", [True, False])
def test_a_pseudonym_takes_the_place_of_the_id(packed: bool) -> None:
    """Bare or in a CloudEvent: the id is gone, everything else is there; who names nobody is left alone."""
    one = Pseudonyms("a key of some length")
    bare = {"customer_id": "ada", "metric": "nps", "score": 7.5, "unknown": [1, None, {"a": "ü"}]}
    assert json.loads(one.record(json.dumps(bare).encode())) == {**bare, "customer_id": one.of("ada")}
    wrapped = one.record(cloud(bare, packed=packed))
    assert b"ada" not in wrapped
    assert set(customers_in(None, wrapped)) == {one.of("ada")}
    for nobody in (b'{"metric": "nps"}', b'{"customer_id": 7}', b"[1]", b'{"customer_id": ""}'):
        assert one.record(nobody) == nobody
