"""An alert event as delivery reads it from ``cx.alerts``."""

from __future__ import annotations

from typing import Any, Final

import msgspec

from schemas.times import parse, to_ms

OVER: Final = frozenset({"resolved", "withdrawn"})


class Unreadable(ValueError):  # noqa: N818 - reads as what happened
    """A record of ``cx.alerts`` is no alert event."""


class Action(msgspec.Struct, frozen=True):
    """What is to be done, by whom and until when."""

    type: str
    owner: str | None = None
    due_by: str | None = None


class Data(msgspec.Struct, frozen=True):
    """The ``data`` of the event: what delivery needs of it."""

    alert: str
    state: str
    fingerprint: str
    labels: dict[str, str]
    starts_at: str
    as_of: str
    annotations: dict[str, str] = {}
    ends_at: str | None = None
    claim: dict[str, Any] = {}
    drivers: list[dict[str, Any]] = []
    at_risk: dict[str, Any] | None = None
    action: Action | None = None
    hold_out: bool = False
    links: dict[str, str] = {}
    reason: str = ""


class Notice(msgspec.Struct, frozen=True):
    """One alert event. ``id`` is the event's: the same whenever it is told again."""

    id: str
    subject: str
    severitytext: str
    data: Data

    @property
    def over(self) -> bool:
        """Whether it says that the alert is over."""
        return self.data.state in OVER or self.data.ends_at is not None

    @property
    def momentary(self) -> bool:
        """Whether it is about a single record: nothing that lasts, so nothing will resolve it."""
        return "on" in self.data.claim

    @property
    def customer(self) -> str | None:
        """The customer it is about."""
        return self.subject.removeprefix("customer:") if self.subject.startswith("customer:") else None

    @property
    def as_of_ms(self) -> int:
        """Event time of the decision."""
        return moment_ms(self.data.as_of)

    @property
    def labels(self) -> dict[str, str]:
        """What matchers of routes see: the alert's labels, its name and severity, what is to be done by whom."""
        action = self.data.action
        done = {} if action is None else {"action": action.type, "owner": action.owner or ""}
        return {**done, **self.data.labels, "alertname": self.data.alert, "severity": self.severitytext}


def moment_ms(text: str) -> int:
    """Epoch milliseconds of a time of an event that ``decode`` has let pass."""
    return to_ms(parse(text))


_decoder: Final = msgspec.json.Decoder(Notice)


def decode(event: bytes) -> Notice:
    """The event of a record's value.

    Raises:
        Unreadable: it is none; the text holds nothing of it.
    """
    try:
        notice = _decoder.decode(event)
        for text in (notice.data.as_of, notice.data.starts_at, notice.data.ends_at):
            if text is not None:
                moment_ms(text)
    except (msgspec.DecodeError, ValueError, RecursionError):
        raise Unreadable("no alert event") from None
    return notice
