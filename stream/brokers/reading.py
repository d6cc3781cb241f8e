"""A consumer that reads topics and belongs to no group: nobody's offsets are committed."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

from aiokafka import AIOKafkaConsumer

from stream.brokers.security import aiokafka_security

if TYPE_CHECKING:
    from stream.settings import Settings


def groupless(settings: Settings, *, reset: Literal["earliest", "none"] = "earliest", **options: Any) -> Any:
    """The consumer, not started yet.

    Args:
        settings: of the deployment.
        reset: where to go on from an offset that is not there any more; none: an error says so.
        options: further ones of aiokafka's.
    """
    return AIOKafkaConsumer(
        bootstrap_servers=settings.brokers,
        group_id=None,
        enable_auto_commit=False,
        auto_offset_reset=reset,
        **aiokafka_security(settings),
        **options,
    )
