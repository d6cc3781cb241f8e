"""Drivers of a change: which members of a finer grouping a metric's value moved with, at the moment of a claim.

Finer slices are kept where the slice itself is (``Owners``), so that all figures are of the same instant, and
the members add up to the whole: what is in none of them, having no such dimension or being beyond the cap of
members, is one more member, shown as an empty value.
"""

from __future__ import annotations

from math import isclose
from typing import TYPE_CHECKING, Final

from stream.alerting.claims import Driver
from stream.measures import slice_key, value_of
from stream.measures.explain import decompose
from stream.measures.metric import EVER
from stream.measures.plans import window
from stream.measures.registry import METRICS
from stream.measures.slices import OTHER, parse_slice
from stream.measures.stats import Stats, subtract

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from stream.alerting.model import MetricRule

    Sums = Callable[[str], Mapping[str, Stats]]

#: Of each dimension at most this many members are told, those with the largest part.
SHOWN: Final = 5

_REST: Final = "\0"  # no member's name
_HOUR_MS: Final = 3_600_000
_LONGEST_MS: Final = 7 * 24 * _HOUR_MS


def together(rules: Iterable[MetricRule]) -> list[list[tuple[str, ...]]]:
    """Groupings that have to have one owner, for ``Owners``: those of each rule and of its drivers."""
    return [
        [rule.grouping, *(_finer(rule, dimension) for dimension in rule.drivers)]
        for rule in rules
        if rule.drivers
    ]


def compared(rule: MetricRule, windows: Iterable[str]) -> tuple[str, str] | None:
    """Names of the later and the earlier window whose difference is decomposed; None where there are none.

    Against its own past a rule's own two. Else the rule's window against the longest published one up to a week,
    as an hour against its week; a change, whose window is its reference, the other way round: the shortest
    window from an hour on against the reference.

    Args:
        rule: any with drivers.
        windows: names of the published windows.
    """
    if rule.baseline is not None:
        return rule.window, rule.baseline
    lengths = {name: window(name, 1).length_ms for name in windows}
    if rule.change is not None:
        earlier = rule.change.reference
        later = min(
            lengths, key=lambda name: (lengths[name] < _HOUR_MS, lengths[name], name), default=earlier
        )
    else:
        later = rule.window
        short = [name for name, length in lengths.items() if length <= _LONGEST_MS]
        earlier = max(short, key=lambda name: (lengths[name], name), default=later)
    if EVER in (later, earlier) or window(later, 1).length_ms >= window(earlier, 1).length_ms:
        return None
    return later, earlier


class Finer:
    """The finer slices met so far, by the slice that they are part of.

    Args:
        rules: those with drivers are of interest.
        slices: the slices there are already.
    """

    def __init__(self, rules: Iterable[MetricRule], slices: Iterable[str] = ()) -> None:
        self._dimensions: Final[dict[tuple[str, ...], set[str]]] = {}  # finer grouping -> those added in it
        for rule in rules:
            for dimension in rule.drivers:
                self._dimensions.setdefault(_finer(rule, dimension), set()).add(dimension)
        self._met: set[str] = set()
        self._members: dict[tuple[str, str], dict[str, str]] = {}
        self.meet(slices)

    def meet(self, slices: Iterable[str]) -> None:
        """Take note of slices, such as those that changed."""
        if not self._dimensions:
            return
        for key in slices:
            if key not in self._met:
                self._met.add(key)
                self._place(key)

    def members(self, of_slice: str, dimension: str) -> Mapping[str, str]:
        """Member -> slice key, of the parts of a slice by one more dimension."""
        return self._members.get((of_slice, dimension), {})

    def _place(self, key: str) -> None:
        values = parse_slice(key)
        if all(value == OTHER for value in values.values()):
            return  # what is beyond the cap of members may be of any slice
        for dimension in self._dimensions.get(tuple(sorted(values)), ()):
            rest = {name: value for name, value in values.items() if name != dimension}
            self._members.setdefault((slice_key(rest), dimension), {})[values[dimension]] = key


def drivers_of(
    rule: MetricRule, of_slice: str, sums_of: Sums, finer: Finer, later: str, earlier: str
) -> tuple[Driver, ...]:
    """The members that a change goes back to, the largest part first, by each of the rule's ``drivers``.

    All parts of one dimension add up to the value of the later window less that of the earlier one, exactly; of
    them ``SHOWN`` are told. A dimension is left out where that cannot be: a period without replies, replies on
    several scales, or members that overlap (topics of one reply).

    Args:
        rule: on a metric that is a mean of its observations.
        of_slice: the slice that the claim is about.
        sums_of: slice key -> window -> sums at the instant of the claim.
        finer: all finer slices that were met.
        later: name of a window.
        earlier: name of the window it is compared with.
    """
    found: list[Driver] = []
    for dimension in rule.drivers if rule.metric in METRICS else ():
        members = {member: sums_of(key) for member, key in finer.members(of_slice, dimension).items()}
        periods = []
        for name in (earlier, later):
            whole = _read(rule.metric, sums_of(of_slice).get(name, {}))
            parts = {member: _read(rule.metric, sums.get(name, {})) for member, sums in members.items()}
            values = _values(rule, whole, parts)
            if values is None:
                break
            periods.append(values)
        else:
            change = decompose(*periods)
            found += [
                Driver({dimension: "" if share.member == _REST else share.member}, share.service, share.mix)
                for share in change.shares[:SHOWN]
            ]
    return tuple(found)


def _finer(rule: MetricRule, dimension: str) -> tuple[str, ...]:
    return tuple(sorted((*rule.grouping, dimension)))


def _read(metric: str, stats: Stats) -> Stats:
    """The sums that a metric reads."""
    stems = METRICS[metric].stems
    return {key: vec for key, vec in stats.items() if key.partition("|")[0] in stems}


def _values(rule: MetricRule, whole: Stats, parts: dict[str, Stats]) -> dict[str, tuple[int, float]] | None:
    """Member -> (n, value) of one period; None where there is nothing, or it does not add up to the whole."""
    of_whole = value_of(rule.metric, whole, rule.confidence)
    if of_whole is None or of_whole.value is None:
        return None
    rest = {key: list(vec) for key, vec in whole.items()}
    for stats in parts.values():
        subtract(rest, stats)
    if any(x < 0 for vec in rest.values() for x in vec):
        return None
    values = {}
    for member, stats in (*parts.items(), (_REST, rest)):
        found = value_of(rule.metric, stats, rule.confidence)
        if found is not None and found.value is not None:
            values[member] = (found.n, found.value)
    total = sum(n for n, _ in values.values())
    summed = sum(n * value for n, value in values.values())
    if total != of_whole.n or not isclose(summed, total * of_whole.value, rel_tol=1e-9, abs_tol=1e-6):
        return None
    return values
