"""What a rules file declares of questions and topics reaches the sums."""

from __future__ import annotations

import json

from stream.measures import Groupings
from stream.measures.declare import Declarations, Question, TopicsSpec
from stream.pipeline import CustomersPartition, PipelineConfig
from tests.pipeline.path import Stored

TOPICS = ("cx.touchpoints", "cx.replies")


def run(groupings, declared, *replies):
    """Part sums of NPS and CES by slice and key, and the dead letters' reasons."""
    config = PipelineConfig(TOPICS, 1, Groupings(groupings, 100), declared=declared)
    partition = CustomersPartition(0, config, None, {}, {})
    records = []
    for number, changes in enumerate(replies):
        made = {"event_id": f"e{number}", "customer_id": "c", "occurred_at": 1000 + number, **changes}
        records.append(Stored(number, 1000 + number, b"c", json.dumps(made).encode(), []))
    changes = partition.run([(TOPICS[1], records)])
    sums = {
        (partial.slice_key, key): vector
        for partial in changes.partials
        for key, vector in partial.stats.items()
        if key.partition("|")[0] in {"nps", "ces"}
    }
    return sums, [letter.reason for letter in changes.deadletters]


def test_topics_of_comments_are_slices():
    """A reply counts once in each topic of its comment, and no word of the comment is in anything published."""
    comment = "Mario Rossi says: the courier was rude, and no parcheggio"
    sums, _ = run(
        [["topic"]],
        Declarations(topics=TopicsSpec(("en",), {"parking": ("parcheggio",)})),
        {"metric": "nps", "score": 10, "comment": comment},
        {"metric": "nps", "score": 0, "comment": "a friendly courier"},
        {"metric": "nps", "score": 0, "comment": "hm"},
        {"metric": "nps", "score": 0},
    )
    counts = {slice_key: sum(vector[:3]) for (slice_key, _), vector in sums.items()}
    assert counts == {
        "{}": 4,
        '{"topic":"delivery"}': 2,
        '{"topic":"parking"}': 1,
        '{"topic":"staff"}': 2,
    }


def test_declared_questions_lend_their_scale():
    """A reply that gives no scale is measured on its question's; one that gives another is a dead letter."""
    sums, dead = run(
        [],
        Declarations(questions={"effort": Question("ces", (1, 10), higher_is_better=False)}),
        {"metric": "ces", "score": 9, "question": "effort"},
        {"metric": "ces", "score": 7, "scale": [1, 7], "question": "effort"},
        {"metric": "ces", "score": 11, "question": "effort"},
    )
    assert list(sums) == [("{}", "ces|1|10|-")]
    assert dead == ["scale_conflict", "out_of_range"]
