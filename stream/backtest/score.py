"""How good alerts were: episodes held against incidents and what people made of them. Pure.

An *episode* is one alert from its first firing to its end. It is *right* if it began while an incident that it
can be about lasted, or within ``grace_ms`` after; or if somebody found it useful. It is *wrong* if somebody
found it useless, or, where incidents are given, if it is about none. An incident is *found* by a rule if an
episode of it is right about it; its *delay* is from the beginning of the incident to that of the first such
episode.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field
from statistics import median
from typing import TYPE_CHECKING, Final, NamedTuple

from stream.alerting.model import MetricRule

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from stream.alerting.claims import Claim
    from stream.alerting.model import Rule
    from stream.alerting.rules import RuleBook
    from stream.backtest.outcomes import Incident, Judgement

DAY_MS: Final = 86_400_000
WEEK_MS: Final = 7 * DAY_MS


@dataclass(slots=True)
class Episode:
    """One alert from its first firing to its end.

    Attributes:
        claims: all that was told of it, in order.
        ends_at_ms: None: it had not ended when the history did.
        withdrawn: late data took it back.
        right: whether it was right; None: nobody can say.
        about: the incidents it is right about, by their place.
    """

    alert: str
    fingerprint: str
    labels: dict[str, str]
    starts_at_ms: int
    claims: list[Claim] = field(default_factory=list)
    ends_at_ms: int | None = None
    withdrawn: bool = False
    right: bool | None = None
    about: list[int] = field(default_factory=list)


class Score(NamedTuple):
    """What one rule did over a history.

    Attributes:
        alerts: episodes.
        per_day: of them.
        firing_ms: their time together; of several slices at once, each.
        open: of them that had not ended.
        withdrawn: of them that late data took back.
        right: of them.
        wrong: of them.
        found: incidents that it found ...
        missed: ... and that it did not, of those it could be about.
        delays_ms: of those found.
    """

    rule: str
    alerts: int
    per_day: float
    firing_ms: int
    open: int
    withdrawn: int
    right: int
    wrong: int
    found: int
    missed: int
    delays_ms: tuple[int, ...]

    @property
    def precision(self) -> float | None:
        """Share of the right ones among those of which one can say, 0..1."""
        judged = self.right + self.wrong
        return self.right / judged if judged else None

    @property
    def recall(self) -> float | None:
        """Share of the incidents found, 0..1."""
        there = self.found + self.missed
        return self.found / there if there else None

    @property
    def delay_ms(self) -> float | None:
        """Median delay."""
        return median(self.delays_ms) if self.delays_ms else None


def episodes(alerts: Iterable[Claim]) -> list[Episode]:
    """Put the events of alerts together, in the order of their beginnings.

    Args:
        alerts: in order.
    """
    found: dict[tuple[str, int], Episode] = {}
    for claim in alerts:
        at = (claim.fingerprint, claim.starts_at_ms)
        episode = found.get(at)
        if episode is None:
            episode = Episode(claim.alert, claim.fingerprint, claim.labels, claim.starts_at_ms)
            found[at] = episode
        episode.claims.append(claim)
        # What is on one record of a customer has no end and no length.
        instant = claim.subject.startswith("customer:") and claim.state == "firing"
        episode.ends_at_ms = claim.starts_at_ms if instant else claim.ends_at_ms
        episode.withdrawn = claim.state == "withdrawn"
    return sorted(found.values(), key=lambda each: (each.starts_at_ms, each.alert, each.fingerprint))


def judge(
    found: Sequence[Episode],
    book: RuleBook,
    incidents: Sequence[Incident],
    judgements: Sequence[Judgement],
    grace_ms: int,
) -> None:
    """Say of each episode whether it was right; what was withdrawn is neither."""
    rules = {rule.alert: rule for rule in all_rules(book)}
    for episode in found:
        rule = rules.get(episode.alert)
        if episode.withdrawn or rule is None:
            continue
        episode.about = [
            place
            for place, incident in enumerate(incidents)
            if concerns(incident, rule)
            and _fits(incident.where, episode.labels)
            and incident.starts_at_ms <= episode.starts_at_ms
            and (incident.ends_at_ms is None or episode.starts_at_ms < incident.ends_at_ms + grace_ms)
        ]
        if episode.about:
            episode.right = True
        elif isinstance(rule, MetricRule) and incidents:
            episode.right = False
    _hear(found, judgements)


def scores(
    found: Sequence[Episode],
    names: Iterable[str],
    book: RuleBook,
    incidents: Sequence[Incident],
    span_ms: tuple[int, int],
) -> list[Score]:
    """The score of every rule, in the order given, and then of what else was told (storms and the like).

    Args:
        found: judged.
        names: of the rules.
        book: the rules.
        incidents: as they were given to ``judge``.
        span_ms: beginning and end of the history.
    """
    of_rule: dict[str, list[Episode]] = defaultdict(list)
    for episode in found:
        of_rule[episode.alert].append(episode)
    rules = {rule.alert: rule for rule in all_rules(book)}
    all_names = dict.fromkeys([*names, *sorted(of_rule)])
    return [_score(name, of_rule[name], rules.get(name), incidents, span_ms) for name in all_names]


def all_rules(book: RuleBook) -> list[Rule]:
    """Every rule, in the order of the file."""
    rules: list[Rule] = [*book.metric_rules, *book.customer_rules, *book.history_rules]
    return sorted(rules, key=lambda rule: rule.line)


def concerns(incident: Incident, rule: Rule) -> bool:
    """Whether a rule could tell of an incident: it is named, or its metric and slices fit."""
    if incident.alert:
        return rule.alert in incident.alert
    if not isinstance(rule, MetricRule):
        return False
    return (not incident.metric or rule.metric in incident.metric) and _fits(incident.where, dict(rule.where))


def _fits(where: Mapping[str, str], labels: Mapping[str, str]) -> bool:
    return all(labels.get(name, value) == value for name, value in where.items())


def _hear(found: Sequence[Episode], judgements: Sequence[Judgement]) -> None:
    of_alert: dict[str, list[Episode]] = defaultdict(list)
    for episode in found:
        of_alert[episode.fingerprint].append(episode)
    for judgement in judgements:
        meant = of_alert.get(judgement.fingerprint, [])
        if judgement.alert_id is not None:
            meant = [each for each in meant if any(claim.id == judgement.alert_id for claim in each.claims)]
        elif judgement.at_ms is not None:
            meant = [each for each in meant if each.starts_at_ms <= judgement.at_ms][-1:]
        if judgement.useful is not None:
            for episode in meant:
                episode.right = judgement.useful


def _score(
    name: str,
    found: Sequence[Episode],
    rule: Rule | None,
    incidents: Sequence[Incident],
    span_ms: tuple[int, int],
) -> Score:
    since_ms, until_ms = span_ms
    first: dict[int, int] = {}
    for episode in found:
        for place in episode.about if episode.right else ():
            first.setdefault(place, episode.starts_at_ms - incidents[place].starts_at_ms)
    meant = [
        place
        for place, incident in enumerate(incidents)
        if rule is not None and concerns(incident, rule) and _within(incident, span_ms)
    ]
    return Score(
        name,
        alerts=len(found),
        per_day=len(found) / max((until_ms - since_ms) / DAY_MS, 1 / 24),
        firing_ms=sum((until_ms if e.ends_at_ms is None else e.ends_at_ms) - e.starts_at_ms for e in found),
        open=sum(episode.ends_at_ms is None for episode in found),
        withdrawn=sum(episode.withdrawn for episode in found),
        right=sum(episode.right is True for episode in found),
        wrong=sum(episode.right is False for episode in found),
        found=len(first),
        missed=len([place for place in meant if place not in first]),
        delays_ms=tuple(sorted(first.values())),
    )


def _within(incident: Incident, span_ms: tuple[int, int]) -> bool:
    since_ms, until_ms = span_ms
    ends_ms = until_ms if incident.ends_at_ms is None else incident.ends_at_ms
    return incident.starts_at_ms < until_ms and ends_ms > since_ms
