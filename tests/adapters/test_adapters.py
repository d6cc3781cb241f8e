"""What senders' calls become: recorded examples, and whatever else may come."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stream.adapters import MappingError, load_adapters, read_adapter
from stream.intake import Event, Limits, decode
from tests.docs.pages import ROOT, blocks, code, rows

EXAMPLES = sorted((Path(__file__).parent / "examples").glob("*/*.json"))
ADAPTERS = load_adapters()
MINIMAL = """
sender: shop
about: the shop
records:
  - fields: {event_id: id, customer_id: who, occurred_at: at, kind: {value: purchase}}
"""


def convert(source: str, payload: Any) -> Any:
    """One source over a payload, as the field `ref` of a record."""
    text = MINIMAL.replace("kind:", f"ref: {source}, kind:")
    records = read_adapter(text, "shop.yml").convert({"id": "1", "who": "c", "at": 0, **payload})
    return records[0].get("ref")


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: f"{path.parent.name}-{path.stem}")
def test_a_recorded_call_becomes_these_records(path: Path) -> None:
    """Each sender's call, word for word, gives the records beside it."""
    example = json.loads(path.read_text())
    assert ADAPTERS[path.parent.name].convert(example["payload"]) == example["records"]


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: f"{path.parent.name}-{path.stem}")
def test_what_comes_out_is_accepted_by_the_contract(path: Path) -> None:
    """An adapter that makes dead letters of good calls is of no use."""
    for record in json.loads(path.read_text())["records"]:
        found = decode(json.dumps(record).encode(), (), Limits())
        assert isinstance(found, Event), found


def test_every_sender_has_an_example() -> None:
    """What is shipped has been tried."""
    assert {path.parent.name for path in EXAMPLES} == set(ADAPTERS)


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=12,
)


@given(json_values, st.sampled_from(sorted(ADAPTERS)))
def test_no_payload_makes_an_adapter_fail(payload: Any, sender: str) -> None:
    """Whatever comes, the answer is records, perhaps none."""
    assert isinstance(ADAPTERS[sender].convert(payload), list)


@given(st.data(), st.sampled_from([path for path in EXAMPLES if json.loads(path.read_text())["records"]]))
def test_a_call_with_a_wild_part_gives_records_or_none(data: st.DataObject, path: Path) -> None:
    """One value of a real call replaced by another of any type."""
    payload = json.loads(path.read_text())["payload"]
    holder: Any = payload
    while True:
        key = data.draw(st.sampled_from(sorted(holder) if isinstance(holder, dict) else range(len(holder))))
        if not holder[key] or not isinstance(holder[key], (dict, list)) or data.draw(st.booleans()):
            break
        holder = holder[key]
    holder[key] = data.draw(json_values)
    records = ADAPTERS[path.parent.name].convert(payload)
    assert all(not isinstance(value, list) for record in records for value in record.values())


@pytest.mark.parametrize(
    ("source", "payload", "found"),
    [
        ("a.b", {"a": {"b": "x"}}, "x"),
        ("a.1", {"a": ["x", "y"]}, "y"),
        ("a.2", {"a": ["x", "y"]}, None),
        ("a.b", {"a": "text"}, None),
        ("a", {"a": {"no": "scalar"}}, None),
        ("'{a}-{b}'", {"a": 1, "b": "x"}, "1-x"),
        ("'{a}-{b}'", {"a": 1}, None),
        ("{value: x}", {}, "x"),
        ("{first: [a, b, c]}", {"b": "x", "c": "y"}, "x"),
        ("{from: a, map: {good: 5}}", {"a": "good"}, "5"),
        ("{from: a, map: {good: 5}}", {"a": "other"}, None),
        ("{from: a, number: true}", {"a": " 7.0 "}, "7"),
        ("{from: a, number: true}", {"a": "nan"}, None),
        ("{from: a, time: true}", {"a": 1772356542}, "1772356542000"),
        ("{from: a, time: true}", {"a": "1772356542123"}, "1772356542123"),
        ("{from: a, time: true}", {"a": "2026-03-01T09:15:42-0300"}, "1772367342000"),
        ("{from: a, time: true}", {"a": "2026-03-01T09:15:42"}, "1772356542000"),
        ("{from: a, time: true}", {"a": "yesterday"}, "yesterday"),
    ],
)
def test_a_source_finds(source: str, payload: dict[str, Any], found: Any) -> None:
    """The kinds of sources, one by one."""
    assert convert(source, payload) == found


@pytest.mark.parametrize(
    ("change", "refusal"),
    [
        (("sender: shop", "sender: 'My Shop'"), r"shop\.yml: sender: "),
        (("kind:", "knd:"), r"shop\.yml: records\.0: .*'knd' is no field of a record"),
        (("kind: {value: purchase}", "value: price"), r"one of 'kind' \(a touchpoint\) and 'metric'"),
        (("customer_id: who, ", ""), r"'customer_id' is missing"),
        (("event_id: id", "event_id: {from: id, time: true, number: true}"), r"one of map, time and number"),
        (("about: the shop", "about: [the, shop]"), r"shop\.yml: about: "),
        (("  - fields", "  - fields: [}"), r"shop\.yml:5: not YAML"),
    ],
)
def test_a_wrong_mapping_is_refused_with_file_and_place(change: tuple[str, str], refusal: str) -> None:
    """The text names where to look and what is allowed."""
    with pytest.raises(MappingError, match=refusal):
        read_adapter(MINIMAL.replace(*change), "shop.yml")


def test_a_directory_adds_senders_and_takes_the_place_of_ours(tmp_path: Path) -> None:
    """A deployment's own mapping wins; two for one sender are refused."""
    (tmp_path / "shop.yml").write_text(MINIMAL)
    (tmp_path / "segment.yaml").write_text(MINIMAL.replace("shop", "segment"))
    found = load_adapters(tmp_path)
    assert found["shop"].about == "the shop"
    assert found["segment"].about == "the segment"
    assert "typeform" in found
    (tmp_path / "z.yml").write_text(MINIMAL)
    with pytest.raises(MappingError, match="'shop' has another file"):
        load_adapters(tmp_path)


def test_the_page_lists_every_sender() -> None:
    """docs/adapters.md names those that ship, and no other."""
    page = (ROOT / "docs" / "adapters.md").read_text()
    table = page.partition("## Setting one up")[0]
    assert {code(row[0])[0] for row in rows(table)} == set(ADAPTERS)


def test_the_page_s_mapping_makes_an_event() -> None:
    """The example of docs/adapters.md, tried on a call."""
    [text] = [block.text for block in blocks(ROOT / "docs" / "adapters.md") if block.word == "mapping"]
    payload = {
        "type": "rated",
        "member": {"number": 77, "tier": "gold"},
        "app": {"version": "3.1"},
        "ratings": [{"id": "r1", "at": "2026-03-01T09:15:42Z", "stars": "4"}, {"id": "r2"}],
    }
    assert read_adapter(text, "loyalty.yml").convert(payload) == [
        {
            "event_id": "loyalty:r1",
            "customer_id": "77",
            "occurred_at": 1772356542000,
            "metric": "csat",
            "score": 4,
            "touchpoint": "app",
            "segment": "vip",
            "attributes": {"version": "3.1"},
        }
    ]
