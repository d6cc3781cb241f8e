"""What each kind of user must be allowed on the brokers, topic by topic: no more than its work needs."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final

from stream import topics

#: What people, downstream services and the command line write, and workers only read.
_TOLD: Final = frozenset({topics.RULES, topics.SILENCES, topics.ACTIONS, topics.REDRIVES})
#: What workers write and never read.
_SAID: Final = frozenset({topics.DECISIONS, topics.DEADLETTERS, topics.CUSTOMERS})

ROLES: Final = {
    "worker": "cx worker",
    "producer": "whatever sends events: cx send, an app, cx serve for its ingest",
    "subscriber": "reads alerts, metrics and profiles, and writes nothing",
    "serve": "cx serve: reads outputs, takes events, silences and acknowledgements",
    "operator": "cx topics, rules, silences, deadletters, customers erase",
}


@dataclass(frozen=True, slots=True)
class Acl:
    """Operations allowed on one resource: ``kind`` is topic, group or transactional-id."""

    kind: str
    name: str
    operations: tuple[str, ...]

    def as_json(self, principal: str) -> dict[str, Any]:
        """As an object."""
        return {
            "principal": principal,
            "resource": self.kind,
            "name": self.name,
            "operations": list(self.operations),
        }


def acls(role: str, app_id: str) -> tuple[Acl, ...]:
    """What a role must be allowed. Describe comes with Read and Write, idempotent writing with Write.

    Args:
        role: one of `ROLES`.
        app_id: of the deployment: its group, and the first part of the names of its changelogs.

    Raises:
        KeyError: no such role.
    """
    make = {
        "worker": _worker,
        "producer": _producer,
        "subscriber": _subscriber,
        "serve": _serve,
        "operator": _operator,
    }
    return tuple(make[role](app_id))


def _worker(app_id: str) -> Iterator[Acl]:
    for spec in topics.layout(app_id, 1):
        if spec.name in _TOLD:
            yield Acl("topic", spec.name, ("Read", "DescribeConfigs"))
        elif spec.name in _SAID:
            yield Acl("topic", spec.name, ("Write", "DescribeConfigs"))
        else:
            yield Acl("topic", spec.name, ("Read", "Write", "DescribeConfigs"))
    yield Acl("group", app_id, ("Read",))


def _producer(_app_id: str) -> Iterator[Acl]:
    for name in topics.INPUTS:
        yield Acl("topic", name, ("Write",))


def _subscriber(_app_id: str) -> Iterator[Acl]:
    for name in (topics.ALERTS, topics.METRICS, topics.CUSTOMERS):
        yield Acl("topic", name, ("Read",))
    yield Acl("group", "*", ("Read",))


def _serve(app_id: str) -> Iterator[Acl]:
    written = {
        *topics.INPUTS,
        topics.RULES,
        topics.SILENCES,
        topics.ACTIONS,
        topics.ERASURES,
        topics.REDRIVES,
    }
    # Of these an erasure says for how long bytes stay.
    named = {*topics.NAMING, *topics.naming_by_key(app_id)}
    for spec in topics.layout(app_id, 1):
        operations = ["Read"]
        if spec.name in written:
            operations.append("Write")
        if spec.name in named:
            operations.append("DescribeConfigs")
        yield Acl("topic", spec.name, tuple(operations))
    yield Acl("group", app_id, ("Describe",))  # an erasure waits for workers, if there are any
    yield Acl("group", topics.ERASING_GROUP, ("Describe",))


def _operator(app_id: str) -> Iterator[Acl]:
    everything = ("Create", "Read", "Write", "Delete", "Alter", "DescribeConfigs", "AlterConfigs")
    for spec in topics.layout(app_id, 1):
        yield Acl("topic", spec.name, everything)
    yield Acl("group", app_id, ("Read", "Delete"))
    yield Acl("group", topics.ERASING_GROUP, ("Describe",))
