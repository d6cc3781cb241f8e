"""What a backtest says of every rule, as plain values: for a table, for HTML, for a comparison."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

from stream.alerting.durations import duration_text
from stream.backtest.score import Episode, Score, all_rules, episodes, judge, scores

if TYPE_CHECKING:
    from collections.abc import Sequence

    from stream.backtest.outcomes import Incident, Judgement
    from stream.backtest.run import Replayed

_SECOND_MS = 1000
_MINUTE_MS = 60 * _SECOND_MS
_DAY_MS = 86_400_000

HEADINGS = ("rule", "alerts", "a day", "firing", "right", "wrong", "precision", "recall", "delay")


@dataclass(frozen=True, slots=True)
class Report:
    """A backtest held against what happened.

    Attributes:
        filename: of the rules.
        span_ms: beginning and end of the history; None without events.
        incidents: those given.
        episodes: judged, in order of their beginnings.
        scores: of every rule, in the order of the file, then of what else was told.
    """

    filename: str
    span_ms: tuple[int, int] | None
    incidents: Sequence[Incident]
    episodes: Sequence[Episode]
    scores: Sequence[Score]

    @property
    def judged(self) -> bool:
        """Whether there is anything to say about right and wrong."""
        return bool(self.incidents) or any(episode.right is not None for episode in self.episodes)


class Compared(NamedTuple):
    """What one rule does in two rules files.

    ``only`` are episodes of one that overlap none of the same alert in the other.
    """

    rule: str
    first: Score | None
    second: Score | None
    only_first: int
    only_second: int


def report(
    done: Replayed, incidents: Sequence[Incident], judgements: Sequence[Judgement], grace_ms: int
) -> Report:
    """Hold what was replayed against incidents and judgements."""
    found = episodes(done.alerts)
    judge(found, done.book, incidents, judgements, grace_ms)
    span_ms = None
    if done.since_ms is not None and done.until_ms is not None:
        span_ms = (done.since_ms, done.until_ms)
    names = [rule.alert for rule in all_rules(done.book)]
    return Report(
        done.book.filename,
        span_ms,
        incidents,
        found,
        scores(found, names, done.book, incidents, span_ms or (0, 0)),
    )


def compare(first: Report, second: Report) -> list[Compared]:
    """Two rules files over the same history, rule by rule; rules of one name are the same rule."""
    ones = {score.rule: score for score in first.scores}
    others = {score.rule: score for score in second.scores}
    return [
        Compared(
            name,
            ones.get(name),
            others.get(name),
            _without(name, first, second),
            _without(name, second, first),
        )
        for name in {**ones, **others}
    ]


def cells(score: Score) -> tuple[str, ...]:
    """A score as text, in the order of ``HEADINGS``."""
    found = score.found + score.missed
    return (
        score.rule,
        str(score.alerts),
        f"{score.per_day:.1f}",
        length(score.firing_ms) if score.firing_ms else "-",
        str(score.right) if score.right + score.wrong else "-",
        str(score.wrong) if score.right + score.wrong else "-",
        "-" if score.precision is None else f"{score.precision:.0%}",
        "-" if score.recall is None else f"{score.recall:.0%} ({score.found}/{found})",
        "-" if score.delay_ms is None else length(score.delay_ms),
    )


def length(ms: float) -> str:
    """A length of time to two figures that matter: ``45s``, ``2h5m``, ``3d4h``."""
    unit = _SECOND_MS if ms < 60 * _MINUTE_MS else _MINUTE_MS if ms < _DAY_MS else 60 * _MINUTE_MS
    return duration_text(int(ms) // unit * unit)


def _without(name: str, one: Report, other: Report) -> int:
    """How many episodes of a rule in ``one`` overlap none of the same slice or customer in ``other``."""
    theirs: dict[str, list[Episode]] = {}
    for episode in other.episodes:
        if episode.alert == name:
            theirs.setdefault(_who(episode), []).append(episode)
    return sum(
        not any(_overlap(episode, each) for each in theirs.get(_who(episode), ()))
        for episode in one.episodes
        if episode.alert == name
    )


def _who(episode: Episode) -> str:
    """What an alert is about: not its fingerprint, as labels may be others in another file."""
    return episode.claims[0].subject


def _overlap(one: Episode, other: Episode) -> bool:
    return (other.ends_at_ms is None or one.starts_at_ms <= other.ends_at_ms) and (
        one.ends_at_ms is None or other.starts_at_ms <= one.ends_at_ms
    )
