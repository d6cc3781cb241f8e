"""Two scales for one question: refused where the question is declared, kept apart where it is not."""

from __future__ import annotations

import json

from stream.intake import Event, Limits, Rejection, decode
from stream.measures import add, observation, value_of
from stream.measures.declare import Question

ANSWERS = [([1, 7], 7), ([1, 10], 1)]


def reply(number, scale, score):
    """A reply to the question `effort` on a scale."""
    return json.dumps(
        {"event_id": f"e-{number}", "customer_id": "c", "occurred_at": number, "metric": "ces",
         "question": "effort", "scale": scale, "score": score}
    ).encode()  # fmt: skip


def test_undeclared_they_are_kept_apart():
    """Both are taken; there is no mean over two scales, only over the places on them, 0 to 100."""
    stats = {}
    for number, (scale, score) in enumerate(ANSWERS):
        event = decode(reply(number, scale, score), (), Limits())
        assert isinstance(event, Event)
        add(stats, *observation(event.metric, event.score, event.scale, event.higher_is_better))
    value = value_of("ces", stats, 0.95)
    assert (value.value, value.n, value.interval, value.parts["normalised"]) == (None, 2, None, 50.0)


def test_declared_the_other_one_is_refused():
    """The declared scale is taken, another one is a dead letter that says so."""
    questions = {"effort": Question("ces", (1, 10), higher_is_better=True)}
    taken = [
        decode(reply(n, scale, score), (), Limits(), questions) for n, (scale, score) in enumerate(ANSWERS)
    ]
    assert taken[0] == Rejection("scale_conflict", "$.scale: must be as declared for its question")
    assert isinstance(taken[1], Event)
