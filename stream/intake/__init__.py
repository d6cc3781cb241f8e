"""Raw records in, events or reasons out: the only door through which data gets in."""

from stream.intake.decode import decode
from stream.intake.event import NONE_DECLARED, Asked, Event, Limits, Rejection
from stream.intake.routing import Route, partition_of, route

__all__ = [
    "NONE_DECLARED",
    "Asked",
    "Event",
    "Limits",
    "Rejection",
    "Route",
    "decode",
    "partition_of",
    "route",
]
