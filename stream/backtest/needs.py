"""What of a deployment its rules look at: the rest need not be computed to know the alerts."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Final

from msgspec.structs import replace as replace_struct

from stream.alerting.model import SignalRule
from stream.measures import Groupings
from stream.measures.value_at_risk import AT_RISK

if TYPE_CHECKING:
    from stream.alerting.rules import RuleBook
    from stream.measures.slices import Dims
    from stream.pipeline import PipelineConfig


class Needs:
    """What a deployment computes, and the least of it that gives the same alerts.

    Which members of a grouping have a place, and which are ``other``, depends on the events of every metric that
    is computed. As long as no grouping can have more members than places, it does not matter; so the values
    that events have are noted, and ``full`` says when the least is no longer enough.

    Args:
        config: of the deployment.
        book: its rules.
        all_of_it: whether all that is deployed is to be computed.

    Attributes:
        config: what is to be computed.
        book: the rules, with declarations that fit ``config``.
    """

    def __init__(self, config: PipelineConfig, book: RuleBook, *, all_of_it: bool) -> None:
        self._noted: Final[set[Dims]] = set()
        self._seen = 0
        self._members: Final = config.groupings.tracker()
        self.config: Final = config if all_of_it else _least(config, book, self._noted)
        self.book: Final = replace(book, declared=self.config.declared)

    @property
    def full(self) -> bool:
        """Whether some grouping may have more members than places, as far as events were seen."""
        if len(self._noted) > self._seen:
            self._seen = len(self._noted)
            for dims in self._noted:
                self._members.of(dims)
        return self._members.full


def _least(config: PipelineConfig, book: RuleBook, noted: set[Dims]) -> PipelineConfig:
    rules = book.metric_rules
    metrics = {rule.metric for rule in rules}
    windows = {name for rule in rules for name in rule.windows}
    groupings = {rule.grouping for rule in rules}
    groupings.update(tuple(sorted((*rule.grouping, name))) for rule in rules for name in rule.drivers)
    declared = replace(
        config.declared,
        metrics=tuple(name for name in config.declared.metrics if name in metrics),
        windows=tuple(name for name in config.declared.windows if name in windows),
        goals=(),
        experiments=(),
        drivers=None,
    )
    return replace(
        config,
        groupings=Groupings(groupings, config.groupings.max_members, noted),
        customers=replace_struct(
            config.customers,
            profile=_looks_at_customers(book),
            spend=declared.at_risk or AT_RISK in declared.metrics,
        ),
        declared=declared,
    )


def _looks_at_customers(book: RuleBook) -> bool:
    """Whether more matters of a customer than what tells duplicates apart and pairs events."""
    tests = [test for rule in book.customer_rules for test in rule.tests]
    tests += [test for rule in book.history_rules if isinstance(rule, SignalRule) for test in rule.tests]
    return any(test.field.startswith("customer.") for test in tests)
