"""An alert as an e-mail. Alerts of one fingerprint are one thread; an id that is sent twice is one message."""

from __future__ import annotations

import re
from email.message import EmailMessage
from email.policy import SMTP
from email.utils import format_datetime
from typing import TYPE_CHECKING, Final

from schemas.times import parse
from stream.delivery.words import words_of

if TYPE_CHECKING:
    from stream.delivery.model import Mail
    from stream.delivery.notice import Notice

_ID: Final = re.compile(r"[^A-Za-z0-9.-]", re.ASCII)
_DOMAIN: Final = "cx-pulse.invalid"


def letter(notice: Notice, mail: Mail) -> EmailMessage:
    """The message, with the event's id in ``Message-ID`` and ``X-CX-Event-Id``."""
    words = words_of(notice)
    message = EmailMessage(policy=SMTP)
    message["From"] = mail.sender
    message["To"] = ", ".join(mail.to)
    message["Subject"] = words.title
    message["Date"] = format_datetime(parse(notice.data.as_of))
    message["Message-ID"] = f"<{_ID.sub('-', notice.id)}@{_DOMAIN}>"
    message["References"] = f"<{_ID.sub('-', notice.data.fingerprint)}@{_DOMAIN}>"
    message["Auto-Submitted"] = "auto-generated"
    message["X-CX-Event-Id"] = _ID.sub("-", notice.id)
    lines = [words.title, ""]
    if words.text:
        lines += [words.text, ""]
    width = max((len(name) for name, _ in words.facts), default=0)
    lines += [f"{name:<{width}}  {text}" for name, text in words.facts]
    if words.links:
        lines += ["", *(f"{name}: {address}" for name, address in words.links)]
    message.set_content("\n".join(lines) + "\n")
    return message
