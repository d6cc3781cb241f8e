"""Alerts as Alertmanager's ``/api/v2/alerts`` takes them.

Alertmanager knows an alert by its labels, and takes one that nobody pushes again for over. So what fires is pushed
again and again, each time with the moment at which it is to be taken for over if nobody does.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import msgspec

from schemas.times import format_ms
from stream.delivery.notice import moment_ms

if TYPE_CHECKING:
    from collections.abc import Iterable

    from stream.delivery.notice import Notice

PATH: Final = "/api/v2/alerts"
_LONGEST: Final = 2_000
_encoder: Final = msgspec.json.Encoder()


def lasts(notice: Notice) -> bool:
    """Whether an alert has to be pushed again until it is over."""
    return not notice.over and not notice.momentary


def alertmanager(notices: Iterable[Notice], now_ms: int, hold_ms: int) -> bytes:
    """The body of a push: an array of alerts.

    Times of the data may be ahead of the clock; Alertmanager would hold an alert of the future back, so nothing
    begins or ends later than now.
    """
    return _encoder.encode([_alert(notice, now_ms, hold_ms) for notice in notices])


def _alert(notice: Notice, now_ms: int, hold_ms: int) -> dict[str, Any]:
    data = notice.data
    starts_ms = min(moment_ms(data.starts_at), now_ms)
    if notice.over:
        ends_ms = max(starts_ms, min(moment_ms(data.ends_at or data.as_of), now_ms))
    else:
        ends_ms = now_ms + hold_ms
    found: dict[str, Any] = {
        "labels": labels_of(notice),
        "annotations": {name: text[:_LONGEST] for name, text in _annotations(notice).items() if text},
        "startsAt": format_ms(starts_ms),
        "endsAt": format_ms(ends_ms),
    }
    link = next(
        (url for _, url in sorted(data.links.items()) if url.startswith(("https://", "http://"))), None
    )
    if link is not None and link.isprintable() and " " not in link:
        found["generatorURL"] = link
    return found


def labels_of(notice: Notice) -> dict[str, str]:
    """The alert's identity there. ``fingerprint`` tells apart what has the same labels: customers, tickets."""
    customer = notice.customer
    found = {
        **notice.labels,
        **({} if customer is None else {"customer": customer}),
        "fingerprint": notice.data.fingerprint,
    }
    return {name: text[:_LONGEST] for name, text in found.items() if text}


def _annotations(notice: Notice) -> dict[str, str]:
    data = notice.data
    due = data.action.due_by if data.action is not None else None
    claim = {name: str(data.claim[name]) for name in ("value", "n") if data.claim.get(name) is not None}
    own = {"state": data.state, "about": notice.subject, "event_id": notice.id, "due_by": due or ""}
    return {**own, **claim, **data.annotations}
