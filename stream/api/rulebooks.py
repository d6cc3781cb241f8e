"""The versions of the rules, read once for each change of ``cx.rules``, off the event loop."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, NamedTuple

from stream.accounts.versions import Known, known_versions

if TYPE_CHECKING:
    from stream.alerting.model import Rule, RuleBook
    from stream.api.parts import Parts


class Rulebooks(NamedTuple):
    """The rules that the deployment starts with, and what came on the topic, the earliest first."""

    kept: RuleBook
    known: list[Known]

    def at(self, at_ms: int) -> RuleBook:
        """The rules that judge at a moment of event time."""
        found = self.in_force(at_ms)
        return self.kept if found is None or found.book is None else found.book

    def in_force(self, at_ms: int) -> Known | None:
        """The version that holds at a moment; None: the rules of the start do."""
        valid = [each for each in self.known if each.book is not None and each.from_ms <= at_ms]
        return valid[-1] if valid else None

    @classmethod
    async def of(cls, parts: Parts) -> Rulebooks:
        """As the topic is now."""
        values = dict(parts.live.rules)

        async def ask() -> Rulebooks:
            return cls(
                parts.book, await asyncio.to_thread(known_versions, parts.settings, values, parts.book)
            )

        found: Rulebooks = await parts.cache.get(("rules", parts.live.rules_version), 3600.0, ask)
        return found


def rule_of(book: RuleBook, name: str) -> Rule | None:
    """The rule of a name."""
    for rule in (*book.metric_rules, *book.customer_rules, *book.history_rules):
        if rule.alert == name:
            return rule
    return None
