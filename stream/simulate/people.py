"""The customers of a simulation."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

if TYPE_CHECKING:
    from random import Random


class Segment(NamedTuple):
    """What the customers of a segment have in common.

    Attributes:
        share: of the customers.
        weight: how much more often than a regular customer they show up.
        basket: mean value of a purchase.
        mood: added to their scores, in standard deviations.
    """

    share: float
    weight: float
    basket: float
    mood: float


SEGMENTS: Final[dict[str, Segment]] = {
    "vip": Segment(0.15, 2.8, 240.0, 0.15),
    "regular": Segment(0.55, 1.0, 60.0, 0.0),
    "new": Segment(0.20, 0.8, 45.0, 0.0),
    "business": Segment(0.10, 1.4, 900.0, 0.05),
}

#: Region -> share, language of its customers, currency.
REGIONS: Final[dict[str, tuple[float, str, str]]] = {
    "it-north": (0.40, "it", "EUR"),
    "it-south": (0.25, "it", "EUR"),
    "ireland": (0.15, "en", "EUR"),
    "britain": (0.20, "en", "GBP"),
}


class Person(NamedTuple):
    """One simulated customer; everything about them is made up.

    Attributes:
        basket: mean value of a purchase, in ``currency``.
        mood: added to their scores, in standard deviations of a score.
        digital: whether they are at home in the app rather than on the web.
    """

    customer_id: str
    segment: str
    region: str
    language: str
    currency: str
    basket: float
    mood: float
    digital: bool
    weight: float


def population(rng: Random, size: int) -> list[Person]:
    """Make up customers.

    Args:
        rng: seeded.
        size: how many, at least 1.
    """
    segments = list(SEGMENTS)
    shares = [SEGMENTS[name].share for name in segments]
    regions = list(REGIONS)
    region_shares = [REGIONS[name][0] for name in regions]
    people = []
    for i in range(size):
        name = rng.choices(segments, shares)[0]
        segment = SEGMENTS[name]
        region = rng.choices(regions, region_shares)[0]
        _, language, currency = REGIONS[region]
        people.append(
            Person(
                customer_id=f"c-{i:06d}",
                segment=name,
                region=region,
                language=language,
                currency=currency,
                basket=segment.basket * rng.lognormvariate(0.0, 0.4),
                mood=segment.mood + rng.gauss(0.0, 0.3),
                digital=rng.random() < 0.45,  # noqa: PLR2004 - a share
                weight=segment.weight * rng.lognormvariate(0.0, 0.5),
            )
        )
    return people
