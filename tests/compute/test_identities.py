"""Ids of one person in files: customers are joined at the end; pseudonyms stand for aliases as well."""

from __future__ import annotations

import json
from dataclasses import replace
from random import Random
from typing import Any

import pytest

from stream import topics
from stream.compute.base import Base
from stream.measures import Groupings
from stream.pipeline import PipelineConfig
from stream.privacy.pseudonyms import Pseudonyms
from tests.customers.test_joining import CONFIG, what
from tests.pipeline.test_identities import as_one, traffic

SETUP = replace(PipelineConfig(topics.INPUTS, 4, Groupings((), 4)), customers=CONFIG)


def people(events: list[dict[str, Any]]) -> dict[str, Any]:
    """The customers of a file."""
    base = Base(SETUP, None, None)
    lines = [json.dumps(each).encode() for each in events]
    for topic in topics.INPUTS:
        base.take(0, lines, topics=(topic,), waiting=())
    base.finish()
    return {name: what(customer) for name, customer in base.customers() if customer.events}


@pytest.mark.parametrize("seed", range(20))
def test_customers_of_a_file_are_people(seed: int) -> None:
    """Whatever the order of the lines, ids that are identified come to the customer of one id."""
    rng = Random(seed)
    events = traffic(rng)
    whole = people(as_one(events))
    assert people(events) == whole
    rng.shuffle(events)
    assert people(events) == whole


def test_an_alias_has_the_pseudonym_of_the_id() -> None:
    """The alias that an event names is called as the customer of that id is, and nothing else is changed."""
    names = Pseudonyms("k" * 32)
    sent = {"customer_id": "eva", "kind": "identified", "attributes": {"alias": "anon", "plan": "a"}}
    found = json.loads(names.record(json.dumps(sent).encode()))
    wanted = {"alias": names.of("anon"), "plan": "a"}
    assert found == {"customer_id": names.of("eva"), "kind": "identified", "attributes": wanted}
    other = {**sent, "kind": "something"}
    assert json.loads(names.record(json.dumps(other).encode()))["attributes"] == sent["attributes"]
