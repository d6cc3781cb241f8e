"""For producers without a Kafka client: events to ``cx serve`` over HTTP, from ordinary and from async code.

>>> from stream.client import Client, reply
>>> with Client("http://localhost:8080", key="…") as cx:                               # doctest: +SKIP
...     cx.send(reply("c-77", "nps", 3, segment="vip", comment="Nobody called back"))

Needs the extra ``client`` (httpx).
"""

from __future__ import annotations

from stream.client.events import Event, EventsRefused, RefusedEvent, SendFailed, reply, touchpoint
from stream.client.http import AsyncClient, Client

__all__ = [
    "AsyncClient",
    "Client",
    "Event",
    "EventsRefused",
    "RefusedEvent",
    "SendFailed",
    "reply",
    "touchpoint",
]
