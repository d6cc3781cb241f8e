"""What late data does to alerts that were told: their claims change, or should never have been made.

A firing keeps the sums its rule was judged by. What becomes known later and lies in those windows is added, and
the rule is judged again as of the moment it fired: the figures are then those that judging everything in order
would have given. Tests that go on over time are not judged again: they took the replies in as they came.
"""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING, Final, NamedTuple

from msgspec.structs import replace

from stream.alerting.conditions import Reason, crossing, look
from stream.alerting.inquiries import goes_on
from stream.alerting.metric_claims import metric_claim
from stream.alerting.thresholds import Reader, values_of
from stream.measures.metric import EVER
from stream.measures.registry import METRICS
from stream.measures.stats import CUSTOMERS, Stats, add

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from stream.alerting.claims import Claim
    from stream.alerting.conditions import Values
    from stream.alerting.life import Told
    from stream.alerting.model import MetricRule

    Times = Callable[[str, int, int], int]

_OWN_FIGURES: Final = frozenset(
    {"value", "n", "interval", "currency", "change_interval", "burn_rate", "burns"}
)


class Late(NamedTuple):
    """What became of a firing: ``told`` None where it is withdrawn, ``claim`` None where nothing is told."""

    told: Told | None
    claim: Claim | None


def basis(rule: MetricRule, sums: Mapping[str, Stats]) -> dict[str, Stats]:
    """What a firing is judged by: the sums that its rule reads; {} where late data has no say.

    Those are tests that go on over time, and distinct customers, of whom there are no sums.
    """
    return {
        name: {key: list(vec) for key, vec in sums.get(name, {}).items() if _stem(key) in stems}
        for name, stems in _read(rule).items()
    }


def reconsidered(
    rule: MetricRule,
    slice_key: str,
    told: Told,
    news: Iterable[tuple[int, Stats]],
    times: Times,
    *,
    pane_ms: int,
    t_ms: int,
) -> Late:
    """Judge a firing again, with what became known at ``t_ms`` about (pane, sums).

    Args:
        rule: that fired.
        slice_key: the slice.
        told: the firing.
        news: as ``Closing.news`` has it.
        times: as ``Windows.times``.
        pane_ms: length of a pane.
        t_ms: now.
    """
    starts_at_ms = told.claim.starts_at_ms
    instant = starts_at_ms // pane_ms
    sums = dict(told.sums)
    for pane, stats in news:
        for name, stems in _read(rule).items():
            count = times(name, pane, instant)
            more = {key: vec for key, vec in stats.items() if _stem(key) in stems} if count else {}
            if more:
                sums[name] = _plus(sums.get(name, {}), more, count)
    if sums == told.sums:
        return Late(told, None)
    values = values_of(rule, Reader(sums, rule.metric, rule.confidence))
    if crossing(rule, values) is not None:
        return Late(None, _claim(rule, slice_key, told, values, t_ms, withdrawn=True))
    claim = _claim(rule, slice_key, told, values, t_ms, withdrawn=False)
    if (claim.figures, claim.baseline) == (told.claim.figures, told.claim.baseline):
        return Late(replace(told, sums=sums), None)
    return Late(replace(told, claim=claim, sums=sums), claim)


def _claim(
    rule: MetricRule, slice_key: str, told: Told, values: Values, t_ms: int, *, withdrawn: bool
) -> Claim:
    old = told.claim
    kept = {
        name: figure
        for name, figure in old.figures.items()
        if name not in _OWN_FIGURES and name != "in_words" and not (name == "change" and rule.baseline)
    }
    claim = metric_claim(
        rule,
        slice_key,
        look(rule, values),
        "withdrawn" if withdrawn else "amended",
        Reason.LATE_DATA,
        as_of_ms=t_ms,
        starts_at_ms=old.starts_at_ms,
        ends_at_ms=told.ends_at_ms,
        more=kept,
    )
    return replace(claim, drivers=old.drivers, at_risk=old.at_risk)


@lru_cache(maxsize=8192)
def _windows_of(metric: str, windows: tuple[str, ...]) -> dict[str, frozenset[str]]:
    known = METRICS[metric]
    found = {name: frozenset(known.stems) for name in windows}
    if known.ever:
        found[EVER] = found.get(EVER, frozenset()) | frozenset(known.ever)
    return found


def _read(rule: MetricRule) -> dict[str, frozenset[str]]:
    """Window -> the stems that the rule reads of it; {} where late data has no say."""
    if rule.metric not in METRICS or goes_on(rule) or CUSTOMERS in METRICS[rule.metric].stems:
        return {}
    return _windows_of(rule.metric, rule.windows)


def _plus(held: Stats, more: Stats, count: int) -> Stats:
    sums = {key: list(vec) for key, vec in held.items()}
    for key, vec in more.items():
        add(sums, key, vec, count)
    return sums


def _stem(key: str) -> str:
    return key.partition("|")[0]
