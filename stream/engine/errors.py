"""What can go wrong in the engine, each with its way out in the message."""

from __future__ import annotations


class EngineError(Exception):
    """Base of the engine's own errors."""


class PublishFailed(EngineError):  # noqa: N818 - reads as what happened
    """The broker did not take records; the batch they came from is not acknowledged and will be read again."""


class RecoveryFailed(EngineError):  # noqa: N818
    """A table could not be rebuilt from its changelog."""


class NewerFormat(EngineError):  # noqa: N818
    """A record was written by a newer version of the program, in a format that this one cannot read."""

    def __init__(self, topic: str, partition: int, offset: int, found: int, known: int) -> None:
        super().__init__(
            f"{topic}/{partition} offset {offset}: written in format {found} by a newer version, this one reads "
            f"formats up to {known}; start the version that wrote it, or a newer one"
        )


class Stalled(EngineError):  # noqa: N818
    """A partition has work and makes no progress; the process should be restarted by its supervisor."""


class StoreRefused(EngineError, ValueError):  # noqa: N818
    """Tables cannot be kept on disk as it was asked for."""


class StoreBroken(EngineError):  # noqa: N818
    """The disk did not do as it was told; the process stops, and a next one reads the table anew."""
