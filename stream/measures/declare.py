"""What a deployment declares about its measures, beyond the events themselves. Plain values, checked when made.

A rules file is one way to write them (``stream.alerting``); whoever computes takes them from here and never
from the text. All times and durations are in milliseconds.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from types import MappingProxyType
from typing import TYPE_CHECKING, Final, Literal

from stream.measures.plans import DEFAULT_WINDOWS
from stream.measures.registry import METRICS, STANDARD
from stream.measures.slices import DIMENSIONS, slice_key

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import date

HOUR_MS: Final = 3_600_000
DAY_MS: Final = 24 * HOUR_MS
WEEK_MS: Final = 7 * DAY_MS

Where = tuple[tuple[str, str], ...]
"""A slice as sorted (dimension, value) pairs; () is the whole."""

DriverOf = Literal["question", "touchpoint"]

LANGUAGES: Final = ("en", "it")
"""Languages that have words of topics built in."""


@dataclass(frozen=True, slots=True)
class Question:
    """What the replies to one question are, where they do not say so themselves; None: as the reply says.

    Attributes:
        metric: One of the reply metrics.
        scale: Lowest and highest answer.
        higher_is_better: Whether the highest answer is the best.
    """

    metric: str | None = None
    scale: tuple[float, float] | None = None
    higher_is_better: bool | None = None

    def __post_init__(self) -> None:
        if self.scale is not None and not float("-inf") < self.scale[0] < self.scale[1] < float("inf"):
            raise ValueError("a scale goes from a lowest to a higher highest answer")


@dataclass(frozen=True, slots=True)
class JourneySpec:
    """Something customers begin and should finish in time: kinds of events, tied together by their ``ref``.

    Attributes:
        begun: Kinds that begin it; the first of them opens.
        finished: Kinds that finish it.
        abandoned: Kinds that give it up before the time is over.
        within_ms: How long after the beginning it counts as abandoned.
    """

    name: str
    begun: tuple[str, ...]
    finished: tuple[str, ...]
    abandoned: tuple[str, ...] = ()
    within_ms: int = DAY_MS

    def __post_init__(self) -> None:
        if not self.begun or not self.finished:
            raise ValueError(f"journey {self.name}: needs kinds that begin it and kinds that finish it")
        kinds = (*self.begun, *self.finished, *self.abandoned)
        if len(set(kinds)) != len(kinds):
            raise ValueError(f"journey {self.name}: a kind can have one part in it only")
        if self.within_ms <= 0:
            raise ValueError(f"journey {self.name}: the time to finish must be longer than nothing")


@dataclass(frozen=True, slots=True)
class MoneySpec:
    """Which amounts count: of events of ``kinds`` (empty: any), in ``field``.

    ``field`` is ``value``, or ``attributes.NAME`` of a numeric attribute.
    """

    kinds: tuple[str, ...] = ()
    field: str = "value"

    def __post_init__(self) -> None:
        if self.field != "value" and not self.attribute:
            raise ValueError(f"{self.field!r} holds no money: value, or attributes.NAME")

    @property
    def attribute(self) -> str | None:
        """The attribute's name; None where the money is the event's ``value``."""
        head, _, name = self.field.partition(".")
        return name or None if head == "attributes" else None


@dataclass(frozen=True, slots=True)
class BaselineSpec:
    """The past that a value is compared with: another window of now, or the same window of earlier.

    Attributes:
        window: Name of the window to compare with. None: the same one, earlier.
        ago_ms: How much earlier, in whole hours. None: as of now.
        weeks: How many of these, a week apart, taken together: from ``ago_ms`` on. With a week and 4 of
            them, a window of an hour is compared with that hour of the last four weeks.
    """

    window: str | None = None
    ago_ms: int | None = None
    weeks: int = 1

    def __post_init__(self) -> None:
        if (self.window is None) == (self.ago_ms is None):
            raise ValueError("a baseline has either a window or a time ago")
        if self.ago_ms is not None and (self.ago_ms <= 0 or self.ago_ms % HOUR_MS):
            raise ValueError("a baseline lies whole hours ago")
        if self.weeks < 1:
            raise ValueError("a baseline takes one week or more")

    @property
    def shifts_ms(self) -> tuple[int, ...]:
        """How long ago each of the windows taken together was; () for a window of now."""
        if self.ago_ms is None:
            return ()
        return tuple(self.ago_ms + week * WEEK_MS for week in range(self.weeks))


@dataclass(frozen=True, slots=True)
class Goal:
    """Lines that a metric's values in one slice are held against, with an owner and a date.

    Attributes:
        goal: What is aimed for.
        baseline: What it was: a number, or how to find it.
        benchmark: What others reach.
    """

    metric: str
    where: Where = ()
    goal: float | None = None
    baseline: float | BaselineSpec | None = None
    benchmark: float | None = None
    owner: str | None = None
    by: date | None = None

    def __post_init__(self) -> None:
        if self.goal is None and self.baseline is None and self.benchmark is None:
            raise ValueError(f"a goal of {self.metric} needs a goal, a baseline or a benchmark")

    @property
    def slice_key(self) -> str:
        """The slice it is about."""
        return slice_key(dict(self.where))


@dataclass(frozen=True, slots=True)
class Experiment:
    """A comparison of variants over a fixed stretch of time.

    Attributes:
        metrics: What is compared.
        control: The ``variant`` that the others are compared with.
        where: The part of the whole that takes part; ``variant`` is no part of it.
        ends_at_ms: End of the stretch; None: it goes on.
        confidence: Of the differences; None: that of all intervals.
    """

    name: str
    metrics: tuple[str, ...]
    control: str
    where: Where = ()
    starts_at_ms: int = 0
    ends_at_ms: int | None = None
    confidence: float | None = None

    def __post_init__(self) -> None:
        if not self.metrics:
            raise ValueError(f"experiment {self.name}: needs metrics to compare")
        if any(name == "variant" for name, _ in self.where):
            raise ValueError(f"experiment {self.name}: compares the variants, so it cannot be of one")
        if self.ends_at_ms is not None and self.ends_at_ms <= self.starts_at_ms:
            raise ValueError(f"experiment {self.name}: ends before it starts")

    @property
    def grouping(self) -> tuple[str, ...]:
        """Dimensions of its slices, sorted: those of ``where``, and ``variant``."""
        return tuple(sorted({name for name, _ in self.where} | {"variant"}))

    def slice_of(self, variant: str) -> str:
        """Key of the slice of one variant."""
        return slice_key({**dict(self.where), "variant": variant})


@dataclass(frozen=True, slots=True)
class TopicsSpec:
    """How topics are found in comments.

    Attributes:
        languages: Languages of the built-in words.
        words: Topic -> words of it, beside those built in.
    """

    languages: tuple[str, ...] = LANGUAGES
    words: Mapping[str, tuple[str, ...]] = field(default_factory=lambda: MappingProxyType({}))


@dataclass(frozen=True, slots=True)
class DriversSpec:
    """Which answers are looked at as explanations of an overall one.

    Attributes:
        overall: The metric to explain.
        by: Whether the explaining answers are told apart by their question or by their touchpoint.
        among: The questions or touchpoints that may explain.
        within_ms: How far apart two answers of one customer may be to belong together.
    """

    overall: str
    among: tuple[str, ...]
    by: DriverOf = "question"
    within_ms: int = 30 * DAY_MS

    def __post_init__(self) -> None:
        if not self.among or len(set(self.among)) != len(self.among):
            raise ValueError("drivers are sought among one or more, each named once")
        if self.within_ms <= 0:
            raise ValueError("answers that belong together lie some time apart")


CART: Final = JourneySpec("cart", ("cart_started", "checkout_started"), ("purchase",), (), DAY_MS)
QUEUE: Final = JourneySpec("queue", ("queue_entered",), ("queue_served",), ("queue_abandoned",), HOUR_MS)


@dataclass(frozen=True, slots=True)
class Declarations:
    """All of them.

    Attributes:
        metrics: Names of the metrics that are computed and published, in the order of the registry.
        windows: Names of the rolling windows, in the order in which they are published.
        min_slice_n: Values of a slice on fewer than this many are not shown; the whole always is.
        questions: Question -> what its replies are.
        journeys: By unique name.
        revenue: The amounts that are revenue.
        cost: The amounts that are cost.
        drivers: None: drivers are not sought.
        at_risk: Whether claims say what is at risk, so that it is kept although no metric publishes it.
    """

    metrics: tuple[str, ...] = STANDARD
    windows: tuple[str, ...] = DEFAULT_WINDOWS
    min_slice_n: int = 1
    questions: Mapping[str, Question] = field(default_factory=lambda: MappingProxyType({}))
    journeys: tuple[JourneySpec, ...] = (CART, QUEUE)
    revenue: MoneySpec = MoneySpec(("purchase",), "value")
    cost: MoneySpec = MoneySpec((), "attributes.cost")
    goals: tuple[Goal, ...] = ()
    experiments: tuple[Experiment, ...] = ()
    topics: TopicsSpec = field(default_factory=TopicsSpec)
    drivers: DriversSpec | None = None
    at_risk: bool = False

    def __post_init__(self) -> None:
        if unknown := [name for name in self.metrics if name not in METRICS]:
            raise ValueError(f"{unknown[0]!r} is no metric: {', '.join(METRICS)}")
        if self.min_slice_n < 1:
            raise ValueError(f"min_slice_n must be at least 1, not {self.min_slice_n}")
        for what, names in (
            ("journeys", [journey.name for journey in self.journeys]),
            ("experiments", [experiment.name for experiment in self.experiments]),
        ):
            if len(set(names)) != len(names):
                raise ValueError(f"two {what} have one name")
        for where in (*(goal.where for goal in self.goals), *(trial.where for trial in self.experiments)):
            if unknown := [name for name, _ in where if name not in DIMENSIONS]:
                raise ValueError(f"{unknown[0]!r} is no dimension: {', '.join(DIMENSIONS)}")
