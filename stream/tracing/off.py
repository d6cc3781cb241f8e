"""The hooks, as they are where nobody asks for traces: they do nothing."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, MutableMapping, Sequence
from typing import Any, Final, Protocol, TypeVar

Message = MutableMapping[str, Any]
Asgi = Callable[
    [Message, Callable[[], Awaitable[Message]], Callable[[Message], Awaitable[None]]], Awaitable[None]
]
Headers = Sequence[tuple[str, bytes]]
Place = tuple[int, int]
"""Partition and offset of an alert."""


class Record(Protocol):
    """What a hook looks at of a Kafka record: never its key, never its value."""

    @property
    def headers(self) -> Headers: ...  # noqa: D102 - see the class


class Fetched(Protocol):
    """Records of one topic-partition."""

    @property
    def topic(self) -> str: ...  # noqa: D102 - see the class
    @property
    def records(self) -> Sequence[Record]: ...  # noqa: D102 - see the class


class Outcome(Protocol):
    """What came of an attempt: ``delivered`` or another word, and a word for the reason."""

    @property
    def kind(self) -> str: ...  # noqa: D102 - see the class
    @property
    def why(self) -> str: ...  # noqa: D102 - see the class


B = TypeVar("B", bound=Fetched)
R = TypeVar("R")
O = TypeVar("O", bound=Outcome)  # noqa: E741 - an outcome
Handler = Callable[[int, list[B]], Awaitable[R]]


class Tracing:
    """Off. What is on is `stream.tracing.otel.Otel`, with the same hooks."""

    def rounds(self, group: str, handler: Handler[B, R]) -> Handler[B, R]:
        """A handler of batches, with a span around each of its rounds.

        Args:
            group: the consumer group.
            handler: called with a partition number and its batches.
        """
        del group
        return handler

    def context(self) -> dict[str, str]:
        """The current span's context as W3C headers; empty where there is none."""
        return {}

    def headers(self) -> Headers:
        """The same, as headers of a Kafka record."""
        return ()

    def told(self, place: Place, record: Record) -> None:
        """An alert was read from ``cx.alerts``: attempts to deliver it are linked to where it was published."""

    async def attempt(self, target: str, alerts: Iterable[Place], send: Callable[[], Awaitable[O]]) -> O:
        """Send, with a span around it.

        Args:
            target: the target's key, a name from the delivery file.
            alerts: where those that are sent stand on ``cx.alerts``.
            send: one attempt.
        """
        del target, alerts
        return await send()

    def served(self, app: Asgi) -> Asgi:
        """An ASGI app, with a span around each request."""
        return app

    def stop(self) -> None:
        """Send what is left, for a few seconds at most."""


OFF: Final = Tracing()
