"""Whether rules can be put in place of others while workers run: with what is kept already.

What is measured (slices, windows, metrics, journeys and the other declarations) is settled when a worker
starts, by its rules file. A version of the rules that comes later changes what is told, not what is kept.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from stream.alerting.drivers import together
from stream.measures.metric import EVER
from stream.measures.partials import Owners

if TYPE_CHECKING:
    from stream.alerting.model import MetricRule, RuleBook
    from stream.measures.declare import Declarations

WAY_OUT: Final = (
    "what is kept is settled by the rules file of CX_RULES when workers start: change that file, restart the"
    " workers, then apply"
)
_SETTLED: Final = (
    ("questions", "questions"),
    ("revenue", "money.revenue"),
    ("cost", "money.cost"),
    ("topics", "topics"),
    ("drivers", "drivers"),
    ("min_slice_n", "privacy.min_slice_n"),
)


def not_kept(book: RuleBook, kept: RuleBook, silent: RuleBook) -> list[str]:
    """What the rules need that is not there, a line each; empty: they can take the place of ``kept``.

    Args:
        book: the rules that are to hold.
        kept: those the workers started with.
        silent: what a file says that says nothing; declarations it leaves out are those of ``kept``.
    """
    found = _not_declared(book.declared, kept.declared, silent.declared)
    groupings = {(), *kept.groupings}
    found += [
        f"slices: {_shown(grouping)} are not kept"
        for grouping in book.slices
        if tuple(sorted(grouping)) not in groupings
    ]
    windows = {EVER, *kept.declared.windows, *kept.windows}
    metrics = set(kept.declared.metrics)
    owners = Owners(together(kept.metric_rules))
    for rule in book.metric_rules:
        who = f"rule {rule.alert!r} (line {rule.line})"
        found += [
            f"{who}: {_shown(grouping)} are not kept"
            for grouping in _groupings(rule)
            if grouping not in groupings
        ]
        found += [
            f"{who}: {_shown(grouping)} are not kept together with {_shown(rule.grouping)}"
            for grouping in _groupings(rule)
            if grouping in groupings and not owners.beside(rule.grouping, grouping)
        ]
        if rule.metric not in metrics:
            found.append(f"{who}: {rule.metric} is not computed")
        found += [f"{who}: the window {name} is not kept" for name in rule.windows if name not in windows]
    return found


def _groupings(rule: MetricRule) -> list[tuple[str, ...]]:
    return [rule.grouping, *(tuple(sorted((*rule.grouping, driver))) for driver in rule.drivers)]


def _shown(grouping: tuple[str, ...]) -> str:
    return f"slices by {', '.join(grouping)}"


def _not_declared(said: Declarations, kept: Declarations, silent: Declarations) -> list[str]:
    found = []
    if said.metrics != silent.metrics:
        found += [f"metrics: {name} is not computed" for name in said.metrics if name not in kept.metrics]
    journeys = {journey.name: journey for journey in kept.journeys}
    for journey in said.journeys:
        if journey not in silent.journeys and journeys.get(journey.name) != journey:
            what = "is kept otherwise" if journey.name in journeys else "is not kept"
            found.append(f"journeys: {journey.name} {what}")
    for name, shown in _SETTLED:
        if getattr(said, name) not in (getattr(kept, name), getattr(silent, name)):
            found.append(f"{shown}: is declared otherwise than now")
    found += [
        f"goals: the one of {goal.metric}{dict(goal.where) or ''} is not published now"
        for goal in said.goals
        if goal not in kept.goals
    ]
    found += [
        f"experiments: {trial.name} is not measured now"
        for trial in said.experiments
        if trial not in kept.experiments
    ]
    return found
