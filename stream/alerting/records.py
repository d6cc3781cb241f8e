"""Which of many sorts of records one record is of, at the cost of one look-up for most records.

Tests on fields with few distinct values (metric, kind, score, slices, ...) depend on nothing else, so which
sorts pass them is remembered per combination of those values, however many sorts there are. Only those left
over test the rest: ``value``, ``ref``, ``attributes.*``.
"""

from __future__ import annotations

from operator import attrgetter
from typing import TYPE_CHECKING, Any, Final, Generic, NamedTuple, Protocol, TypeVar

from stream.alerting.checks import check_of
from stream.alerting.model import On

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from stream.alerting.checks import Passes
    from stream.alerting.model import Check

T = TypeVar("T")

SIGNAL: Final = "customer."
"""Fields that begin like this are none of the record's: they are signals of its customer."""
_ATTRIBUTE: Final = "attributes."
_FEW: Final = frozenset(
    {"metric", "kind", "score", "question", "pillar", "survey", "currency",
     "segment", "stage", "touchpoint", "channel", "product", "variant", "region"}
)  # fmt: skip
_REMEMBERED: Final = 50_000


class EventLike(Protocol):
    """What every record has; the fields a rule names are looked up by name."""

    @property
    def event_id(self) -> str: ...  # noqa: D102
    @property
    def customer_id(self) -> str: ...  # noqa: D102
    @property
    def time_ms(self) -> int: ...  # noqa: D102
    @property
    def metric(self) -> str | None: ...  # noqa: D102
    @property
    def kind(self) -> str | None: ...  # noqa: D102


class Sort(NamedTuple, Generic[T]):
    """A sort of record: tests by what they cost, and whom it is of."""

    of: T
    cheap: tuple[tuple[str, Passes], ...]
    own: tuple[tuple[str, Passes], ...]


class RecordIndex(Generic[T]):
    """Sorts of records, ready to be asked.

    Args:
        sorts: the kind of record, its tests (those of signals are passed over), and what is answered with.
    """

    def __init__(self, sorts: Iterable[tuple[On, Iterable[Check], T]]) -> None:
        compiled = [(on, _compile(tests, of)) for on, tests, of in sorts]
        self._replies = [sort for on, sort in compiled if on is On.REPLY]
        self._touchpoints = [sort for on, sort in compiled if on is On.TOUCHPOINT]
        tested = sorted({name for _, sort in compiled for name, _ in sort.cheap} - {"metric", "kind"})
        # Two names at least: with one, attrgetter would return a bare value.
        self._key: Callable[[EventLike], tuple[Any, ...]] = attrgetter("metric", "kind", *tested)
        self._left: dict[tuple[Any, ...], tuple[Sort[T], ...]] = {}

    def likely(self, event: EventLike) -> tuple[Sort[T], ...]:
        """Those whose cheap tests a record passes, in their order; none for most records."""
        if not (self._touchpoints if event.metric is None else self._replies):
            return ()
        key = self._key(event)
        left = self._left.get(key)
        return self._narrow(event, key) if left is None else left

    def found(self, event: EventLike) -> list[T]:
        """Those all of whose tests a record passes, in their order."""
        return [sort.of for sort in self.likely(event) if passes(sort, event)]

    def _narrow(self, event: EventLike, key: tuple[Any, ...]) -> tuple[Sort[T], ...]:
        sorts = self._touchpoints if event.metric is None else self._replies
        left = tuple(
            sort for sort in sorts if all(passes(getattr(event, name)) for name, passes in sort.cheap)
        )
        if len(self._left) >= _REMEMBERED:
            self._left.clear()
        self._left[key] = left
        return left


def passes(sort: Sort[Any], event: EventLike) -> bool:
    """Whether a record that passes a sort's cheap tests passes the others."""
    return not sort.own or all(passes(value_of(event, name)) for name, passes in sort.own)


def value_of(event: EventLike, name: str) -> Any:
    """A field of a record by the name that rules have for it; None where it is absent."""
    if name.startswith(_ATTRIBUTE):
        attributes: Mapping[str, Any] | None = getattr(event, "attributes", None)
        return None if attributes is None else attributes.get(name.removeprefix(_ATTRIBUTE))
    return getattr(event, name)


def _compile(tests: Iterable[Check], of: T) -> Sort[T]:
    cheap: list[tuple[str, Passes]] = []
    own: list[tuple[str, Passes]] = []
    for test in tests:
        if test.field.startswith(SIGNAL):
            continue
        (cheap if test.field in _FEW else own).append((test.field, check_of(test)))
    return Sort(of, tuple(cheap), tuple(own))
