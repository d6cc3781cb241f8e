"""Reads what a rules file declares: metrics, questions, journeys, money, topics, drivers, privacy."""

from __future__ import annotations

import re
from types import MappingProxyType
from typing import TYPE_CHECKING, Final, get_args

from schemas import SCALES
from schemas.touchpoint import MAX_KIND
from stream.comments import problem_of
from stream.measures.declare import (
    CART,
    DAY_MS,
    LANGUAGES,
    QUEUE,
    DriverOf,
    DriversSpec,
    JourneySpec,
    MoneySpec,
    Question,
    TopicsSpec,
)
from stream.measures.drivers import MOST_CANDIDATES
from stream.measures.registry import METRICS, REPLY_METRICS, STANDARD

if TYPE_CHECKING:
    from collections.abc import Mapping

    from stream.alerting.reading import Place

_NAME: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_.-]{0,63}", re.ASCII)
_ATTRIBUTE: Final = re.compile(r"attributes\.[^\x00-\x1f]{1,128}")
_NPS: Final = "nps"
ALL: Final = "all"
_ENDS: Final = 2
_MOST_TOPICS: Final = 200


def metrics_of(place: Place | None) -> tuple[str, ...]:
    """The metrics to compute, in the order of the registry; the standard ones where none are named."""
    if place is None:
        return STANDARD
    if place.is_scalar and not place.is_empty and place.text(what="all, or a list of metrics") == ALL:
        return tuple(METRICS)
    wanted: list[str] = []
    for item in place.items("a list of metrics such as [nps, csat]"):
        name = item.choice(METRICS, "metric")
        if name in wanted:
            raise item.error(f"{name} is named twice")
        wanted.append(name)
    if not wanted:
        raise place.error("is empty; leave it out to have the standard metrics")
    return tuple(name for name in METRICS if name in wanted)


def questions_of(places: list[Place]) -> Mapping[str, Question]:
    """Question -> what its replies are."""
    found: dict[str, Question] = {}
    for place in places:
        fields = place.mapping(("question", "metric", "scale", "higher_is_better"), what="a question")
        if "question" not in fields:
            raise place.missing("question", "missing; the text that replies have in `question`")
        name = fields["question"].text(1_000)
        if name in found:
            raise fields["question"].error("this question is declared twice")
        if len(fields) == 1:
            raise place.error("says nothing of the question; give metric, scale or higher_is_better")
        metric = fields["metric"].choice(REPLY_METRICS, "metric of replies") if "metric" in fields else None
        scale = _scale(fields["scale"]) if "scale" in fields else None
        if metric == _NPS and scale is not None and scale != SCALES[_NPS]:
            raise fields["scale"].error("must be [0, 10] for nps")
        better = fields["higher_is_better"].boolean() if "higher_is_better" in fields else None
        found[name] = Question(metric, scale, better)
    return MappingProxyType(found)


def _scale(place: Place) -> tuple[float, float]:
    ends = place.items("the lowest and the highest answer, such as [1, 10]")
    if len(ends) != _ENDS:
        raise place.error("must be the lowest and the highest answer, such as [1, 10]")
    low, high = (float(end.number()) for end in ends)
    if low >= high:
        raise ends[1].error("must be above the lowest answer; say higher_is_better: false if 1 is the best")
    return low, high


def journeys_of(places: list[Place]) -> tuple[JourneySpec, ...]:
    """The built-in journeys and those declared; one declared by a built-in's name takes its place."""
    found = {journey.name: journey for journey in (CART, QUEUE)}
    lines: dict[str, int] = {}
    for place in places:
        fields = place.mapping(("name", "begun", "finished", "abandoned", "within"), what="a journey")
        for name in ("name", "begun", "finished"):
            if name not in fields:
                raise place.missing(name)
        name = fields["name"].text(what="a name such as form")
        if not _NAME.fullmatch(name):
            raise fields["name"].error("must start with a letter and hold only letters, digits and _ . -")
        if name in lines:
            raise fields["name"].error(f"a journey of this name is already on line {lines[name]}")
        lines[name] = place.line
        used: set[str] = set()
        begun, finished = (_kinds(fields[part], used) for part in ("begun", "finished"))
        for part, kinds in (("begun", begun), ("finished", finished)):
            if not kinds:
                raise fields[part].error("is empty; name at least one kind of event")
        found[name] = JourneySpec(
            name=name,
            begun=begun,
            finished=finished,
            abandoned=_kinds(fields["abandoned"], used) if "abandoned" in fields else (),
            within_ms=fields["within"].duration(least=1) if "within" in fields else DAY_MS,
        )
    return tuple(found.values())


def _kinds(place: Place, used: set[str]) -> tuple[str, ...]:
    kinds = []
    for item in place.items("a list of kinds of events such as [cart_started]"):
        kind = item.text(MAX_KIND)
        if kind in used:
            raise item.error(f"{kind} is named twice; a kind has one part in a journey")
        used.add(kind)
        kinds.append(kind)
    return tuple(kinds)


def money_of(place: Place | None, revenue: MoneySpec, cost: MoneySpec) -> tuple[MoneySpec, MoneySpec]:
    """What is revenue and what is cost; ``revenue`` and ``cost`` where nothing is said."""
    if place is None:
        return revenue, cost
    fields = place.mapping(("revenue", "cost"), what="a mapping with revenue and cost")
    return (
        _money(fields["revenue"], revenue) if "revenue" in fields else revenue,
        _money(fields["cost"], cost) if "cost" in fields else cost,
    )


def _money(place: Place, otherwise: MoneySpec) -> MoneySpec:
    fields = place.mapping(("kinds", "field"), what="kinds and field")
    if not fields:
        raise place.error("is empty; give kinds, field or both")
    kinds, field = otherwise.kinds, otherwise.field
    if "kinds" in fields:
        kinds = _kinds(fields["kinds"], set())
    if "field" in fields:
        field = fields["field"].text(256)
        if field != "value" and not _ATTRIBUTE.fullmatch(field):
            raise fields["field"].error("must be value, or attributes.NAME of an attribute that is a number")
    return MoneySpec(kinds, field)


def topics_of(place: Place | None) -> TopicsSpec:
    """Languages and own words of topics."""
    if place is None:
        return TopicsSpec()
    fields = place.mapping(("languages", "words"), what="languages and words")
    languages = TopicsSpec().languages
    if "languages" in fields:
        named = [item.choice(LANGUAGES, "language") for item in fields["languages"].items()]
        languages = tuple(language for language in LANGUAGES if language in named)
    words: dict[str, tuple[str, ...]] = {}
    if "words" in fields:
        topics = fields["words"].mapping(None, what="a mapping of topics to lists of words")
        if len(topics) > _MOST_TOPICS:
            raise fields["words"].error(f"has more than {_MOST_TOPICS} topics")
        for name, own in topics.items():
            if not _NAME.fullmatch(name):
                raise own.error("a topic starts with a letter and holds only letters, digits and _ . -")
            listed = own.items("a list of words")
            words[name] = tuple(word.text() for word in listed)
            for word, text in zip(listed, words[name], strict=True):
                if problem := problem_of(text, languages):
                    raise word.error(problem)
            if not words[name]:
                raise own.error("is empty; a topic without words is never found")
    return TopicsSpec(languages, MappingProxyType(words))


def drivers_of(place: Place | None, kept: tuple[str, ...]) -> DriversSpec | None:
    """Which answers may explain which; None where nothing is said."""
    if place is None:
        return None
    fields = place.mapping(("overall", "by", "among", "within"), what="drivers")
    for name in ("overall", "among"):
        if name not in fields:
            raise place.missing(name)
    if "drivers" not in kept:
        raise place.error("drivers is left out of `metrics`; add it there")
    among: list[str] = []
    for item in fields["among"].items("a list of questions or touchpoints"):
        name = item.text(1_000)
        if name in among:
            raise item.error(f"{name} is named twice")
        among.append(name)
    if not 1 <= len(among) <= MOST_CANDIDATES:
        raise fields["among"].error(f"must name 1 to {MOST_CANDIDATES}, names {len(among)}")
    overall = fields["overall"].choice(REPLY_METRICS, "metric of replies")
    by: DriverOf = "question"
    if "by" in fields:
        by = "touchpoint" if fields["by"].choice(get_args(DriverOf), "way") == "touchpoint" else "question"
    within_ms = fields["within"].duration(least=1) if "within" in fields else 30 * DAY_MS
    return DriversSpec(overall, tuple(among), by, within_ms)


def min_slice_n_of(place: Place | None, otherwise: int) -> int:
    """On how few observations values of a slice are shown."""
    fields = {} if place is None else place.mapping(("min_slice_n",), what="a mapping with min_slice_n")
    return fields["min_slice_n"].integer(1, 1_000_000) if "min_slice_n" in fields else otherwise
