"""Keys and values as raw bytes: decoding is the agent's, record by record."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from faust.serializers.schemas import Schema

if TYPE_CHECKING:
    from collections.abc import Callable

    from faust.types import AppT, Message


class RawSchema(Schema[Any, Any]):
    """Hand keys and values on untouched, so that one bad record never takes its neighbours along.

    Faust's own decoding acknowledges what it cannot decode and throws the error into the agent.
    """

    def __init__(self) -> None:
        super().__init__(key_type=bytes, value_type=bytes, key_serializer="raw", value_serializer="raw")

    def loads_key(
        self, app: AppT, message: Message, *, loads: Callable[..., Any] | None = None, serializer: Any = None
    ) -> Any:
        """Return the key as fetched."""
        del app, loads, serializer
        return message.key

    def loads_value(
        self, app: AppT, message: Message, *, loads: Callable[..., Any] | None = None, serializer: Any = None
    ) -> Any:
        """Return the value as fetched: a ``Batch`` for hot topics, bytes for the others."""
        del app, loads, serializer
        return message.value
