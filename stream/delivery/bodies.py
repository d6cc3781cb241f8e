"""What is posted to Slack and Teams. Texts of alerts are taken as text: they cannot become markup or mentions."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Final

import msgspec

from stream.delivery.words import words_of

if TYPE_CHECKING:
    from stream.delivery.notice import Notice

JSON: Final = "application/json; charset=utf-8"
CLOUDEVENT: Final = "application/cloudevents+json; charset=utf-8"

_COLOURS: Final = {"critical": "#c4314b", "warning": "#d98c00", "info": "#3b6fb6", "over": "#2e7d32"}
_STYLES: Final = {"critical": "attention", "warning": "warning", "info": "accent", "over": "good"}
_TEAMS_SPECIAL: Final = re.compile(r"([\\`*_\[\]#~<>|])")
_encoder: Final = msgspec.json.Encoder()


def slack(notice: Notice) -> bytes:
    """An incoming webhook's message: a coloured attachment, with the event's id in its footer."""
    words = words_of(notice)
    facts = [
        {"title": name, "value": slack_text(text), "short": len(text) <= 40}  # noqa: PLR2004 - fits half a line
        for name, text in words.facts
    ]
    links = " · ".join(f"<{slack_text(address)}|{slack_text(name)}>" for name, address in words.links)
    attachment: dict[str, Any] = {
        "color": _COLOURS.get(words.mood, _COLOURS["info"]),
        "fallback": slack_text(words.title),
        "title": slack_text(words.title),
        "text": "\n".join(part for part in (slack_text(words.text), links) if part),
        "fields": facts,
        "footer": f"cx-pulse · {notice.id}",
        "mrkdwn_in": [],
    }
    if words.links:
        attachment["title_link"] = words.links[0][1]
    return _encoder.encode({"attachments": [attachment]})


def slack_text(text: str) -> str:
    """As Slack wants text escaped: so that ``<!channel>`` in a comment is six letters and two signs."""
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def teams(notice: Notice) -> bytes:
    """What Teams' workflows ("post to a channel when a webhook request is received") take: an Adaptive Card."""
    words = words_of(notice)
    body: list[dict[str, Any]] = [
        {
            "type": "Container",
            "style": _STYLES.get(words.mood, "accent"),
            "items": [
                {"type": "TextBlock", "text": teams_text(words.title), "weight": "bolder", "wrap": True}
            ],
        }
    ]
    if words.text:
        body.append({"type": "TextBlock", "text": teams_text(words.text), "wrap": True})
    facts = [{"title": name, "value": teams_text(text)} for name, text in words.facts]
    body.append({"type": "FactSet", "facts": facts})
    body.append(
        {
            "type": "TextBlock",
            "text": f"cx-pulse · {teams_text(notice.id)}",
            "isSubtle": True,
            "size": "small",
        }
    )
    card = {
        "$schema": "http://adaptivecards.io/schemas/adaptive-card.json",
        "type": "AdaptiveCard",
        "version": "1.4",
        "fallbackText": words.title,
        "body": body,
        "actions": [
            {"type": "Action.OpenUrl", "title": name, "url": address} for name, address in words.links[:6]
        ],
    }
    content = "application/vnd.microsoft.card.adaptive"
    return _encoder.encode({"type": "message", "attachments": [{"contentType": content, "content": card}]})


def teams_text(text: str) -> str:
    """Text whose Markdown is taken literally."""
    return _TEAMS_SPECIAL.sub(r"\\\1", text)
