"""An alert in words, for people: the same for Slack, Teams and e-mail."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from stream.delivery.notice import Notice

_LONGEST: Final = 1_000  # characters of one text
_MOST_LINKS: Final = 10
_MARKS: Final = {
    "firing": "FIRING",
    "resolved": "RESOLVED",
    "amended": "CORRECTED",
    "withdrawn": "WITHDRAWN",
    "no_data": "NO DATA",
}


@dataclass(frozen=True, slots=True)
class Words:
    """``title`` is one line; ``facts`` are heading and text; ``links`` are name and address, http(s) only."""

    title: str
    text: str
    facts: tuple[tuple[str, str], ...]
    links: tuple[tuple[str, str], ...]
    mood: str
    """``critical``, ``warning``, ``info``, or ``over``."""


def words_of(notice: Notice) -> Words:
    """What people are told of an alert."""
    data = notice.data
    notes = dict(data.annotations)
    summary = notes.pop("summary", "") or data.alert
    texts = [
        notes[name] for name in ("description", *sorted(notes.keys() - {"description"})) if name in notes
    ]
    mark = _MARKS.get(data.state, data.state.upper())
    return Words(
        title=_line(
            f"[{mark}] {data.alert}: {summary}" if summary != data.alert else f"[{mark}] {data.alert}", 250
        ),
        text="\n".join(_cut(text, _LONGEST) for text in texts[:10]),
        facts=tuple((name, _line(text, 300)) for name, text in _facts(notice) if text),
        links=tuple(
            (_line(name, 60), address)
            for name, address in sorted(data.links.items())[:_MOST_LINKS]
            if address.startswith(("https://", "http://"))
            and len(address) <= _LONGEST
            and address.isprintable()
        ),
        mood="over" if notice.over else notice.severitytext,
    )


def _facts(notice: Notice) -> list[tuple[str, str]]:
    data = notice.data
    action = data.action
    due = f", by {action.due_by}" if action is not None and action.due_by else ""
    return [
        ("Severity", notice.severitytext),
        ("About", notice.subject),
        ("Since", data.starts_at),
        ("Until", data.ends_at or ""),
        ("Evidence", _evidence(data.claim)),
        ("Driven by", "; ".join(_driver(each) for each in data.drivers[:3])),
        ("At risk", _at_risk(data.at_risk)),
        ("Action", "" if action is None else action.type + due),
        ("Owner", "" if action is None else action.owner or ""),
        ("Note", "held out: do nothing, so as to compare" if data.hold_out else ""),
    ]


def _evidence(claim: dict[str, Any]) -> str:
    value, n, interval = claim.get("value"), claim.get("n"), claim.get("interval")
    name = claim.get("metric") or claim.get("signal")
    if value is None or name is None:
        return ""
    said = f"{name} {_number(value)}"
    if isinstance(interval, list) and len(interval) == 2:  # noqa: PLR2004 - both ends
        said += f" ({_number(interval[0])} to {_number(interval[1])})"
    if n is not None:
        said += f" on {n}"
    return said + (f" in {claim['window']}" if claim.get("window") else "")


def _driver(driver: dict[str, Any]) -> str:
    members = ", ".join(f"{name} {value}" for name, value in dict(driver.get("slice") or {}).items())
    return f"{members} {_number((driver.get('service') or 0) + (driver.get('mix') or 0))}"


def _at_risk(at_risk: dict[str, Any] | None) -> str:
    if not at_risk:
        return ""
    value = at_risk.get("value")
    money = "" if value is None else f", {_number(value)} {at_risk.get('currency') or ''}".rstrip()
    return f"{at_risk.get('customers')} customers{money}"


def _number(value: Any) -> str:
    return f"{value:.6g}" if isinstance(value, float) else str(value)


def _line(text: str, most: int) -> str:
    return _cut(" ".join("".join(each if each.isprintable() else " " for each in text).split()), most)


def _cut(text: str, most: int) -> str:
    return text if len(text) <= most else text[: most - 1] + "…"
