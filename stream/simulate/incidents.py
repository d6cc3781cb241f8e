"""Incidents: when something goes wrong on purpose, where, and in which figures it must show."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from schemas import format_ms

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

MINUTE_MS: Final = 60_000
DAY_MS: Final = 24 * 60 * MINUTE_MS


@dataclass(frozen=True, slots=True)
class Incident:
    """Something that goes wrong between two instants.

    Attributes:
        name: in words.
        start_ms: its beginning, event time, epoch milliseconds.
        end_ms: its end, not included.
        where: the dimensions and values of the events it touches; all must match.
        effect: what it does to them. ``nps``, ``csat``, ``ces``: points added to the mean score, on the
            metric's usual scale. ``wait``: factor on waiting, resolution and delivery times. ``abandon``:
            added to the probability that a journey is given up.
        shows: the figures it shows in: pairs of a metric and a slice. All of them fall.
        every_ms: it comes back after so long; None: only once.
    """

    name: str
    start_ms: int
    end_ms: int
    where: Mapping[str, str]
    effect: Mapping[str, float]
    shows: tuple[tuple[str, Mapping[str, str]], ...] = field(default=())
    every_ms: int | None = None

    def __post_init__(self) -> None:
        if self.end_ms <= self.start_ms:
            raise ValueError(f"incident {self.name!r}: ends before it starts")
        if self.every_ms is not None and self.every_ms < self.end_ms - self.start_ms:
            raise ValueError(f"incident {self.name!r}: comes back before it ends")

    def active(self, time_ms: int) -> bool:
        """Whether it is on at an instant."""
        since = time_ms - self.start_ms
        if since < 0:
            return False
        if self.every_ms is not None:
            since %= self.every_ms
        return since < self.end_ms - self.start_ms

    def touches(self, time_ms: int, dims: Mapping[str, object]) -> bool:
        """Whether an event at an instant, with these dimensions, suffers from it."""
        return self.active(time_ms) and all(dims.get(name) == value for name, value in self.where.items())


def outcomes(incidents: Iterable[Incident], until_ms: int) -> Iterator[dict[str, Any]]:
    """Every time that an incident came before a moment, as ``cx rules test`` reads outcomes.

    ``metric`` names those it shows in, ``where`` what it touches.
    """
    for incident in incidents:
        start_ms = incident.start_ms
        while start_ms < until_ms:
            yield {
                "name": incident.name,
                "starts_at": format_ms(start_ms),
                "ends_at": format_ms(start_ms + incident.end_ms - incident.start_ms),
                "where": dict(incident.where),
                "metric": sorted({metric for metric, _ in incident.shows}),
            }
            if incident.every_ms is None:
                break
            start_ms += incident.every_ms


def default_incidents(start_ms: int) -> tuple[Incident, ...]:
    """The incidents of the demo: three in the first five hours after ``start_ms``, then the same every day.

    At the usual density each makes its figure move within a one-hour window, and is over early enough for
    the window to recover before the next, and for the last to recover within six and a half hours.
    """

    def at(minutes: int) -> int:
        return start_ms + minutes * MINUTE_MS

    return (
        Incident(
            "checkout refuses stored cards",
            at(60),
            at(125),
            where={"segment": "vip", "touchpoint": "checkout"},
            effect={"nps": -6.0, "abandon": 0.15},
            shows=(("nps", {"segment": "vip"}),),
            every_ms=DAY_MS,
        ),
        Incident(
            "chat outage",
            at(150),
            at(205),
            where={"touchpoint": "support", "channel": "chat"},
            effect={"csat": -2.2, "ces": -2.0, "wait": 3.0, "abandon": 0.3},
            shows=(("csat", {"touchpoint": "support", "channel": "chat"}),),
            every_ms=DAY_MS,
        ),
        Incident(
            "courier delays",
            at(235),
            at(290),
            where={"touchpoint": "delivery"},
            effect={"ces": -3.0, "wait": 2.0},
            shows=(("ces", {"touchpoint": "delivery"}),),
            every_ms=DAY_MS,
        ),
    )
