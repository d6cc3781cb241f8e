"""Raw records in, events or reasons out: the only door through which data gets in."""

from stream.intake.decode import decode
from stream.intake.event import Event, Limits, Rejection

__all__ = ["Event", "Limits", "Rejection", "decode"]
