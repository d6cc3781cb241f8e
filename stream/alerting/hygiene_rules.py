"""Reads what keeps alerts few: ``inhibit``, ``silences``, ``contact``, ``hold_out``, ``route``, ``storm``."""

from __future__ import annotations

import hashlib
import re
from typing import TYPE_CHECKING, Final, NamedTuple
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from stream.alerting.goals import time_of
from stream.alerting.hygiene import (
    EVERY_LABEL,
    Contact,
    Grouped,
    Hygiene,
    Inhibition,
    Matcher,
    MatchOp,
    QuietHours,
    Silence,
)
from stream.alerting.matching import check, parse_matcher, show_matcher
from stream.alerting.parts import LABEL, limit_of

if TYPE_CHECKING:
    from stream.alerting.reading import Place

HYGIENE_FIELDS: Final = ("inhibit", "silences", "contact", "hold_out", "route", "storm")
INHIBIT_FIELDS: Final = ("source", "target", "equal")
SILENCE_FIELDS: Final = ("matchers", "starts_at", "ends_at", "author", "comment", "id")
CONTACT_FIELDS: Final = ("per_customer", "within", "quiet_hours", "time_zone")
ROUTE_FIELDS: Final = ("group_by", "group_wait", "group_interval", "repeat_interval")

_CLOCK: Final = re.compile(r"([01]\d|2[0-3]):([0-5]\d)", re.ASCII)
_ZONE: Final = re.compile(r"[A-Za-z][A-Za-z0-9_+-]*(?:/[A-Za-z][A-Za-z0-9_+-]*){0,2}", re.ASCII)
_ID: Final = re.compile(r"[A-Za-z0-9_.-]{1,64}", re.ASCII)
_WEEK_MS: Final = 7 * 86_400_000
_WAIT_MS: Final = 30_000
_INTERVAL_MS: Final = 300_000
_MOST: Final = 1_000
_MOST_MATCHERS: Final = 20
_ENDS: Final = 2


class Hygienic(NamedTuple):
    """Hygiene, and how often firing alerts are told again where a rule does not say (0: never)."""

    hygiene: Hygiene
    renotify_ms: int


def hygiene_of(fields: dict[str, Place]) -> Hygienic:
    """What the top level of a file says of it; where it is silent nothing is kept back."""
    given = {name: place for name, place in fields.items() if name in HYGIENE_FIELDS and not place.is_empty}
    grouped, renotify_ms = _route(given["route"]) if "route" in given else (None, 0)
    return Hygienic(
        Hygiene(
            inhibitions=tuple(_inhibition(item) for item in _items(given.get("inhibit"))),
            silences=_silences(given.get("silences")),
            contact=_contact(given["contact"]) if "contact" in given else None,
            hold_out=_hold_out(given["hold_out"]) if "hold_out" in given else 0.0,
            grouped=grouped,
            storm=limit_of(given["storm"]) if "storm" in given else None,
            lines=tuple((name, place.line) for name, place in given.items()),
        ),
        renotify_ms,
    )


def _items(place: Place | None) -> list[Place]:
    items = [] if place is None else place.items()
    if place is not None and len(items) > _MOST:
        raise place.error(f"has more than {_MOST} entries")
    return items


def _inhibition(place: Place) -> Inhibition:
    fields = place.mapping(INHIBIT_FIELDS, what="source, target and equal")
    for name in ("source", "target"):
        if name not in fields:
            raise place.missing(name)
    equal: list[str] = []
    for item in fields["equal"].items("a list of labels such as [segment]") if "equal" in fields else []:
        label = _label(item, item.text())
        if label in equal:
            raise item.error(f"{label} is named twice")
        equal.append(label)
    return Inhibition(matchers_of(fields["source"]), matchers_of(fields["target"]), tuple(equal), place.line)


def _silences(place: Place | None) -> tuple[Silence, ...]:
    found: dict[str, Silence] = {}
    for item in _items(place):
        silence = _silence(item)
        if silence.id in found:
            raise item.error("says the same as another; give it an id of its own, or drop it")
        found[silence.id] = silence
    return tuple(found.values())


def _silence(place: Place) -> Silence:
    fields = place.mapping(SILENCE_FIELDS, what="a silence")
    for name in ("matchers", "starts_at", "ends_at", "author", "comment"):
        if name not in fields:
            raise place.missing(name)
    starts_at_ms, ends_at_ms = time_of(fields["starts_at"]), time_of(fields["ends_at"])
    if ends_at_ms <= starts_at_ms:
        raise fields["ends_at"].error("must be after starts_at")
    matchers = matchers_of(fields["matchers"])
    author = fields["author"].text()
    if "id" in fields:
        name = fields["id"].text(what="a name")
        if not _ID.fullmatch(name):
            raise fields["id"].error("must have 1 to 64 letters, digits and _ . -")
    else:
        name = silence_id(matchers, starts_at_ms, author)
    return Silence(
        name, matchers, starts_at_ms, ends_at_ms, author, fields["comment"].text(1_000), place.line
    )


def silence_id(matchers: tuple[Matcher, ...], starts_at_ms: int, author: str) -> str:
    """The id of a silence that has none: of whom and from when on, so that a longer one takes its place."""
    parts = "\n".join([author, str(starts_at_ms), *sorted(show_matcher(matcher) for matcher in matchers)])
    return hashlib.sha256(parts.encode()).hexdigest()[:16]


def matchers_of(place: Place) -> tuple[Matcher, ...]:
    """``{segment: vip}``, or ``['channel=~"chat|web"']``; all of them must hold."""
    matchers: list[Matcher] = []
    if place.is_scalar:
        raise place.error("must be a mapping such as {segment: vip}, or a list such as ['segment=vip']")
    if place.is_list:
        for item in place.items():
            try:
                matcher = parse_matcher(item.text(2_000, what="a matcher such as segment=vip"))
            except ValueError as wrong:
                raise item.error(str(wrong)) from None
            _label(item, matcher.label)
            matchers.append(matcher)
    else:
        for name, value in place.mapping(None).items():
            matchers.append(Matcher(_label(value, name), MatchOp.EQ, value.text(what="text")))
    if not 1 <= len(matchers) <= _MOST_MATCHERS:
        raise place.error(f"must have 1 to {_MOST_MATCHERS} matchers")
    try:
        check(matchers)
    except ValueError as wrong:
        raise place.error(str(wrong)) from None
    return tuple(matchers)


def _label(place: Place, name: str) -> str:
    if name in ("alert", "state", "customer"):
        raise place.error(f"{name} is no label; of an alert's own there are alertname and severity")
    if not LABEL.fullmatch(name):
        raise place.error("a label's name has letters, digits and _ only")
    return name


def _contact(place: Place) -> Contact:
    fields = place.mapping(CONTACT_FIELDS, what="a contact policy")
    if ("per_customer" in fields) != ("within" in fields):
        raise place.missing(
            "within" if "per_customer" in fields else "per_customer", "missing; both go together"
        )
    if ("quiet_hours" in fields) != ("time_zone" in fields):
        missing = "time_zone" if "quiet_hours" in fields else "quiet_hours"
        raise place.missing(missing, "missing; quiet hours are those of a time zone")
    return Contact(
        per_customer=fields["per_customer"].integer(1, 10_000) if "per_customer" in fields else None,
        within_ms=fields["within"].duration(least=1) if "within" in fields else _WEEK_MS,
        quiet=_quiet(fields["quiet_hours"], fields["time_zone"]) if "quiet_hours" in fields else None,
    )


def _quiet(place: Place, zone: Place) -> QuietHours:
    ends = place.items('two times such as ["21:00", "08:00"]')
    if len(ends) != _ENDS:
        raise place.error('must be two times such as ["21:00", "08:00"]')
    begins, ends_at = (_minute(end) for end in ends)
    if begins == ends_at:
        raise ends[1].error("must differ from the first: else it is quiet all day, or never")
    name = zone.text(what="a time zone such as Europe/Rome")
    try:
        if not _ZONE.fullmatch(name):
            raise ZoneInfoNotFoundError(name)
        ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        raise zone.error(
            f"no time zone {name[:60]!r} is known; write one such as Europe/Rome or UTC"
        ) from None
    return QuietHours(begins, ends_at, name)


def _minute(place: Place) -> int:
    found = _CLOCK.fullmatch(place.text(what='a time such as "21:00"'))
    if found is None:
        raise place.error('must be a time of the day such as "21:00"')
    return 60 * int(found[1]) + int(found[2])


def _hold_out(place: Place) -> float:
    fields = place.mapping(("share",), what="a mapping with share")
    if "share" not in fields:
        raise place.missing("share")
    share = fields["share"].number()
    if not 0 <= share < 1:
        raise fields["share"].error(
            f"must be 0 or more and below 1, not {share}: it is a share of the customers"
        )
    return float(share)


def _route(place: Place) -> tuple[Grouped, int]:
    fields = place.mapping(ROUTE_FIELDS, what="a route")
    by: list[str] = []
    for item in (
        fields["group_by"].items("a list of labels such as [alertname]") if "group_by" in fields else []
    ):
        name = item.text()
        label = name if name == EVERY_LABEL else _label(item, name)
        if label in by:
            raise item.error(f"{label} is named twice")
        by.append(label)
    if EVERY_LABEL in by and len(by) > 1:
        raise fields["group_by"].error(f"{EVERY_LABEL!r} is all labels; name no others beside it")
    grouped = Grouped(
        tuple(by) if "group_by" in fields else ("alertname",),
        fields["group_wait"].duration() if "group_wait" in fields else _WAIT_MS,
        fields["group_interval"].duration(least=1) if "group_interval" in fields else _INTERVAL_MS,
    )
    return grouped, fields["repeat_interval"].duration(least=1) if "repeat_interval" in fields else 0
