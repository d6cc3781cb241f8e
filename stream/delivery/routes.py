"""Which receivers an alert goes to: down the tree of routes, as in Alertmanager."""

from __future__ import annotations

from typing import TYPE_CHECKING

from stream.alerting.matching import matches

if TYPE_CHECKING:
    from collections.abc import Mapping

    from stream.delivery.model import DeliveryPlan, Route, Target
    from stream.delivery.notice import Notice


def receivers_of(route: Route, labels: Mapping[str, str]) -> list[str]:
    """Names of receivers, each once, in the order of the file; empty where the route does not match.

    A route whose children all say no takes the alert itself. The first child that matches ends the search,
    unless it ``continues``.
    """
    if not matches(route.matchers, labels):
        return []
    found: list[str] = []
    for child in route.routes:
        below = receivers_of(child, labels)
        found += [name for name in below if name not in found]
        if below and not child.continues:
            break
    return found or [route.receiver]


def targets_of(plan: DeliveryPlan, notice: Notice) -> list[Target]:
    """Where one alert event is to be sent."""
    return [
        target
        for name in receivers_of(plan.route, notice.labels)
        for target in plan.receivers[name]
        if (target.send_resolved or not notice.over) and (target.hold_out or not notice.data.hold_out)
    ]
