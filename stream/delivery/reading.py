"""Delivery files: text in, a typed DeliveryPlan out, or one DeliveryError that says where and what to do.

Pure: the caller reads the file. The form is Alertmanager's, as far as it goes; ``docs/delivery.md`` has all of it.
"""

from __future__ import annotations

import re
from ipaddress import ip_network
from typing import TYPE_CHECKING, Final

from stream.alerting.hygiene import Matcher, MatchOp
from stream.alerting.matching import MAX_VALUE, expression, parse_matcher
from stream.alerting.nodes import NodesError, parse
from stream.alerting.parts import LABEL
from stream.alerting.reading import Place, RuleError, suggest
from stream.delivery.model import GIVE_UP_MS, DeliveryPlan, Route
from stream.delivery.targets import KINDS, mail_defaults, targets_of

if TYPE_CHECKING:
    from ipaddress import IPv4Network, IPv6Network

    from stream.delivery.model import Target
    from stream.delivery.targets import MailDefaults

_TOP: Final = ("give_up_after", "stale_after", "allow_private", "global", "receivers", "route")
_ROUTE: Final = ("receiver", "matchers", "continue", "routes")
_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,63}", re.ASCII)
_MOST: Final = 1_000
_MOST_MATCHERS: Final = 20
_DEPTH: Final = 10

_IN_RULES: Final = (
    "is for the rules file: what keeps alerts few is decided there, in event time; drop it here"
)
_ELSEWHERE: Final = {
    "inhibit_rules": f"{_IN_RULES} (there: inhibit)",
    "mute_time_intervals": f"{_IN_RULES} (there: contact.quiet_hours, silences)",
    "time_intervals": f"{_IN_RULES} (there: contact.quiet_hours)",
    "templates": "texts are the annotations of rules; drop it",
}
_OF_ROUTES: Final = {
    **{
        name: f"{_IN_RULES} (there: route.{name})"
        for name in ("group_by", "group_wait", "group_interval", "repeat_interval")
    },
    "mute_time_intervals": f"{_IN_RULES} (there: contact.quiet_hours)",
    "active_time_intervals": f"{_IN_RULES} (there: contact.quiet_hours)",
    "match": "write it as matchers: {label: value}",
    "match_re": "write it as matchers: ['label=~\"expression\"']",
}
_BY_ALERTMANAGER: Final = "is not spoken here; send to an Alertmanager that does: alertmanager_configs"
_FOREIGN: Final = {
    f"{name}_configs": _BY_ALERTMANAGER
    for name in ("discord", "jira", "opsgenie", "pagerduty", "pushover", "sns", "telegram", "victorops",
                 "webex", "wechat", "rocketchat", "mattermost", "msteamsv2")
    if name != "msteamsv2"
} | {"msteamsv2_configs": "write msteams_configs: it sends what Teams' workflows take"}  # fmt: skip


class DeliveryError(RuleError):
    """A delivery file is wrong: where exactly, in what, and what to do. ``rule`` is the receiver's name."""

    def __str__(self) -> str:
        return super().__str__().replace(": rule ", ": receiver ", 1) if self.rule else super().__str__()


def read_delivery(text: str, filename: str) -> DeliveryPlan:
    """Parse and check a delivery file. Where secrets are is read, not the secrets.

    Raises:
        DeliveryError: the first thing wrong, with file, line, receiver and field.
    """
    try:
        return _plan(text, filename)
    except RuleError as wrong:
        raise DeliveryError(wrong.file, wrong.line, wrong.rule, wrong.field, wrong.problem) from None


def _plan(text: str, filename: str) -> DeliveryPlan:
    try:
        node = parse(text)
    except NodesError as wrong:
        problem = wrong.problem.replace("a rules file", "a delivery file")
        raise RuleError(filename, wrong.line, None, "", problem) from None
    if node is None:
        raise RuleError(filename, 1, None, "", "is empty; it needs `receivers` and a `route`")
    root = Place(filename, None, "", node, node.line)
    fields = root.mapping(_TOP, _ELSEWHERE, what="a mapping with `receivers` and `route`")
    for name in ("receivers", "route"):
        if name not in fields:
            raise root.missing(name)
    receivers = _receivers(fields["receivers"], mail_defaults(fields.get("global")))
    return DeliveryPlan(
        filename,
        _route(fields["route"], receivers, None, 0),
        receivers,
        fields["give_up_after"].duration(least=60_000) if "give_up_after" in fields else GIVE_UP_MS,
        fields["stale_after"].duration(least=1) if "stale_after" in fields else None,
        _allowed(fields["allow_private"]) if "allow_private" in fields else (),
    )


def _receivers(place: Place, mail: MailDefaults) -> dict[str, tuple[Target, ...]]:
    items = place.items("a list of receivers")
    if not 1 <= len(items) <= _MOST:
        raise place.error(f"must have 1 to {_MOST} receivers")
    found: dict[str, tuple[Target, ...]] = {}
    for item in items:
        named = item.member("name")
        if named is None:
            item.mapping(None, what="a receiver")
            raise item.missing("name")
        name = named.text(64, what="a name")
        if not _NAME.fullmatch(name):
            raise named.error("must have 1 to 64 letters, digits and _ . -, and begin with a letter or digit")
        if name in found:
            raise named.error(f"{name!r} is a receiver already; give this one a name of its own")
        fields = item.named(name).mapping(("name", *KINDS), _FOREIGN, what="a receiver")
        found[name] = targets_of(name, fields, mail)
    return found


def _route(place: Place, receivers: dict[str, tuple[Target, ...]], above: str | None, depth: int) -> Route:
    fields = place.mapping(_ROUTE, _OF_ROUTES, what="a route")
    if depth > _DEPTH:
        raise place.error(f"routes are nested deeper than {_DEPTH} levels")
    if above is None and (wrong := [name for name in ("matchers", "continue") if name in fields]):
        raise fields[wrong[0]].error("the root takes every alert; put it into a route below, under routes")
    if "receiver" in fields:
        name = fields["receiver"].text(64, what="a receiver's name")
        if name not in receivers:
            raise fields["receiver"].error(
                f"undefined receiver {name!r} used in route{suggest(name, receivers)}"
            )
    elif above is None:
        raise place.missing("receiver", "missing; the root says who gets what no other route takes")
    else:
        name = above
    below = fields["routes"].items("a list of routes") if "routes" in fields else []
    if len(below) > _MOST:
        raise fields["routes"].error(f"has more than {_MOST} routes")
    return Route(
        name,
        _matchers(fields["matchers"]) if "matchers" in fields else (),
        fields["continue"].boolean() if "continue" in fields else False,
        tuple(_route(each, receivers, name, depth + 1) for each in below),
        place.line,
    )


def _matchers(place: Place) -> tuple[Matcher, ...]:
    """As in rules files; but here ``severity!=critical`` may stand by itself."""
    if place.is_scalar:
        raise place.error(
            "must be a mapping such as {severity: critical}, or a list such as ['severity=critical']"
        )
    found = []
    if place.is_list:
        for item in place.items():
            try:
                found.append(
                    (item, parse_matcher(item.text(2_000, what="a matcher such as severity=critical")))
                )
            except ValueError as wrong:
                raise wrong if isinstance(wrong, RuleError) else item.error(str(wrong)) from None
    else:
        for name, value in place.mapping(None).items():
            found.append((value, Matcher(name, MatchOp.EQ, value.text(MAX_VALUE, what="text"))))
    if not 1 <= len(found) <= _MOST_MATCHERS:
        raise place.error(f"must have 1 to {_MOST_MATCHERS} matchers")
    for item, matcher in found:
        _check(item, matcher)
    return tuple(matcher for _, matcher in found)


def _check(place: Place, matcher: Matcher) -> None:
    if not LABEL.fullmatch(matcher.label):
        raise place.error("a label's name has letters, digits and _ only")
    if matcher.label in ("alert", "state", "customer"):
        known = "beside an alert's own there are alertname, severity, owner and action"
        raise place.error(f"{matcher.label} is no label; {known}")
    if len(matcher.value) > MAX_VALUE:
        raise place.error(f"the value is longer than {MAX_VALUE} characters")
    if matcher.op in (MatchOp.RE, MatchOp.NRE):
        try:
            expression(matcher.value)
        except ValueError as wrong:
            raise place.error(f"not a regular expression: {wrong}") from None


def _allowed(place: Place) -> tuple[IPv4Network | IPv6Network, ...]:
    found = []
    for item in place.items("a list of networks such as [10.0.0.0/8]"):
        text = item.text(64, what="a network such as 10.0.0.0/8")
        try:
            found.append(ip_network(text))
        except ValueError as wrong:
            raise item.error(f"{text!r} is no network such as 10.0.0.0/8: {wrong}") from None
    return tuple(found)
