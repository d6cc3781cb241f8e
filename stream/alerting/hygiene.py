"""What keeps alerts few, typed: limits, inhibitions, silences, groups, contact. Times are in milliseconds."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final


@dataclass(frozen=True, slots=True)
class Limit:
    """At most so many alerts of a rule in so long; a summary tells of the rest."""

    alerts: int
    per_ms: int


class MatchOp(StrEnum):
    """As in Alertmanager: equal, unequal, and whole-text regular expressions."""

    EQ = "="
    NE = "!="
    RE = "=~"
    NRE = "!~"


@dataclass(frozen=True, slots=True)
class Matcher:
    """A test of an alert's label; ``alertname`` and ``severity`` are labels too. An absent label is empty."""

    label: str
    op: MatchOp
    value: str


@dataclass(frozen=True, slots=True)
class Inhibition:
    """While an alert that matches ``source`` fires, those that match ``target`` are not told.

    Only where the ``equal`` labels agree. An alert does not inhibit itself.
    """

    source: tuple[Matcher, ...]
    target: tuple[Matcher, ...]
    equal: tuple[str, ...]
    line: int = field(default=0, compare=False)


@dataclass(frozen=True, slots=True)
class Silence:
    """From one moment to another, alerts that match are not told."""

    id: str
    matchers: tuple[Matcher, ...]
    starts_at_ms: int
    ends_at_ms: int
    author: str
    comment: str
    line: int = field(default=0, compare=False)


@dataclass(frozen=True, slots=True)
class QuietHours:
    """Minutes of the day, in a time zone; from a later to an earlier one: over midnight."""

    from_minute: int
    to_minute: int
    time_zone: str


@dataclass(frozen=True, slots=True)
class Contact:
    """How often one customer's alerts ask for an action, and when they wait: they are delayed, not dropped."""

    per_customer: int | None
    within_ms: int
    quiet: QuietHours | None


EVERY_LABEL: Final = "..."
"""What Alertmanager writes for all labels there are."""


@dataclass(frozen=True, slots=True)
class Grouped:
    """Alerts of equal ``by`` labels are told together: the first waits ``wait_ms``, then every ``interval_ms``.

    ``by`` of ``EVERY_LABEL`` alone: each alert by itself.
    """

    by: tuple[str, ...]
    wait_ms: int
    interval_ms: int


@dataclass(frozen=True, slots=True)
class Hygiene:
    """What keeps alerts few. ``storm``: with more over all rules, a summary takes their place."""

    inhibitions: tuple[Inhibition, ...] = ()
    silences: tuple[Silence, ...] = ()
    contact: Contact | None = None
    hold_out: float = 0.0
    grouped: Grouped | None = None
    storm: Limit | None = None
    #: Where in the file each of them is, by its name there.
    lines: tuple[tuple[str, int], ...] = field(default=(), compare=False)
