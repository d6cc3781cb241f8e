"""Late data corrects what was told: the claims of a run are those that the log in order would have given."""

from __future__ import annotations

from random import Random
from typing import TYPE_CHECKING

import pytest

from stream.alerting.rules import load_rules
from stream.measures import value_of
from tests.pipeline.judging import PANE_MS, Cell, lines, nps, run

if TYPE_CHECKING:
    from stream.alerting.claims import Claim
    from stream.measures import MetricValue

BOOK = load_rules(
    """
groups:
  - name: g
    rules:
      - {alert: Low, metric: nps, window: 1m, below: 0, min_n: 3}
      - {alert: Sure, metric: nps, window: 5m, below: 0, evidence: interval}
      - {alert: High, metric: nps, window: 1m, above: 40, for: 20s, resolve: {below: 10}}
      - {alert: Fell, metric: nps, window: 1m, drop: {points: 30, from: 5m}}
      - {alert: Quiet, metric: nps, no_data: 30s}
""",
    "r.yml",
    windows=("1m", "5m"),
)
LOW = load_rules(
    "groups: [{name: g, rules: [{alert: Low, metric: nps, window: 1m, below: 0, min_n: 3}]}]",
    "r.yml",
    windows=("1m", "5m"),
)
WINDOWS = {"1m": 6, "5m": 30}
PANES = 50


def random_cells(rng: Random) -> list[Cell]:
    """Replies about the line, a third of them late by up to minutes."""
    found = []
    for _ in range(rng.randrange(40)):
        pane, late = rng.randrange(PANES), rng.choice([0, 0, 0, 0, 1, 2, 5, 12, 33])
        promoters, detractors = rng.choice([(1, 0), (0, 1), (0, 3), (3, 0), (2, 2)])
        found.append(Cell("{}", pane, pane + late, nps(promoters, detractors)))
    return found


def at(minutes: float) -> int:
    """The pane that begins then."""
    return round(minutes * 6)


def test_late_promoters_amend_and_withdraw_a_firing_alert() -> None:
    """Late replies first change its figures; when they lift the value over the line it is taken back."""
    told = run(
        LOW,
        [
            Cell("{}", at(1), at(1), nps(0, 4)),
            Cell("{}", at(1.5), at(1.5), nps(0, 1)),
            Cell("{}", at(1), at(1.5), nps(1, 0)),  # 30 seconds late: 1 of 5 are promoters
            Cell("{}", at(1), at(1.5) + 1, nps(4, 0)),  # and now 5 of 9
        ],
        at(3),
    )
    assert lines(told.claims) == [
        "1.16667 Low firing first_crossing -100.0 4",
        "1.66667 Low amended late_data -60.0 5",
        "1.83333 Low withdrawn late_data 11.11111111111111 9",
    ]
    assert [claim.starts_at_ms for claim in told.claims] == [70_000] * 3
    assert [claim.ends_at_ms for claim in told.claims] == [None, None, 110_000]


def test_an_alert_that_was_resolved_is_withdrawn_too() -> None:
    """Its end does not change that it should not have been told."""
    told = run(
        LOW,
        [Cell("{}", 6, 6, nps(0, 4)), Cell("{}", 8, 8, nps(6, 0)), Cell("{}", 5, 30, nps(9, 0))],
        at(10),
    )
    assert [(claim.state, claim.as_of_ms) for claim in told.claims] == [
        ("firing", 70_000),
        ("resolved", 90_000),
        ("withdrawn", 310_000),
    ]


def test_withdrawn_for_the_past_and_begun_afresh_for_the_present() -> None:
    """Where the present crosses the line by itself, a new alert begins when the old one is taken back."""
    told = run(
        LOW,
        [
            Cell("{}", 6, 6, nps(0, 4)),
            Cell("{}", 20, 20, nps(0, 4)),
            *(Cell("{}", pane, pane, nps(0, 2)) for pane in range(7, 20)),
            Cell("{}", 6, 20, nps(9, 0)),
        ],
        at(3.5),
    )
    assert [(claim.state, claim.starts_at_ms, claim.as_of_ms) for claim in told.claims] == [
        ("firing", 70_000, 70_000),
        ("withdrawn", 70_000, 210_000),
        ("firing", 210_000, 210_000),
    ]
    assert sorted(told.claims, key=lambda claim: claim.order) == told.claims


def in_order(cells: list[Cell], window: str, instant: int, until: int) -> MetricValue | None:
    """The value of a window at an instant, of all that is known before ``until``."""
    sums = [0, 0, 0]
    for cell in cells:
        if instant - WINDOWS[window] <= cell.pane < instant and cell.known < until:
            sums = [a + b for a, b in zip(sums, cell.stats["nps"], strict=True)]
    return value_of("nps", {"nps": sums} if any(sums) else {}, 0.95)


def should_fire(alert: str, cells: list[Cell], instant: int, until: int) -> bool:
    """Whether the line is crossed at an instant, by what is known before ``until``."""
    minute, five = (in_order(cells, window, instant, until) for window in WINDOWS)
    if alert == "Quiet":
        return not any(instant - 3 <= cell.pane < instant and cell.known < until for cell in cells)
    if minute is None or five is None or minute.value is None or five.value is None:
        return alert == "Sure" and five is not None and _below(five)
    return {
        "Low": minute.value < 0 and minute.n >= 3,
        "High": minute.value > 40,
        "Fell": five.value - minute.value >= 30,
        "Sure": _below(five),
    }[alert]


def _below(value: MetricValue) -> bool:
    return (
        value.value is not None and value.value < 0 and value.interval is not None and value.interval[1] < 0
    )


@pytest.mark.parametrize("seed", range(40))
def test_the_last_word_on_every_firing_is_that_of_the_log_in_order(seed: int) -> None:
    """Withdrawn where the line is not crossed by all that is known, else amended where figures change."""
    rng = Random(seed)
    cells = random_cells(rng)
    until = max((cell.known for cell in cells), default=0) + 2
    told = run(BOOK, cells, until, size=rng.randrange(1, 40))
    firings: dict[tuple[str, int], list[Claim]] = {}
    for claim in told.claims:
        if claim.reason in ("first_crossing", "late_data"):
            firings.setdefault((claim.alert, claim.starts_at_ms), []).append(claim)
    for (alert, starts_at_ms), (first, *corrections) in firings.items():
        instant = starts_at_ms // PANE_MS
        assert first.state == "firing"
        assert should_fire(alert, cells, instant, instant)
        expected = []  # what was to be told, judging the past anew at every later instant
        figures = shown(alert, cells, instant, instant)
        for now in range(instant + 1, until + 1):
            known = shown(alert, cells, instant, now)
            if not should_fire(alert, cells, instant, now):
                expected.append(("withdrawn", now * PANE_MS, known))
                break
            if known != figures:
                expected.append(("amended", now * PANE_MS, known))
                figures = known
        told_of = [(claim.state, claim.as_of_ms, figures_of(claim)) for claim in corrections]
        assert told_of == expected, (alert, instant)


def figures_of(claim: Claim) -> tuple[object, ...]:
    """What ``shown`` expects."""
    if claim.alert == "Quiet":
        return (claim.state != "withdrawn",)
    found = (claim.figures["value"], claim.figures["n"])
    return found if claim.baseline is None else (*found, claim.baseline["value"], claim.baseline["n"])


def shown(alert: str, cells: list[Cell], instant: int, until: int) -> tuple[object, ...]:
    """The value and the number of replies, and what else of the figures depends on the replies."""
    value = in_order(cells, "5m" if alert == "Sure" else "1m", instant, until)
    if alert == "Quiet":
        return (should_fire(alert, cells, instant, until),)
    earlier = in_order(cells, "5m", instant, until) if alert == "Fell" else None
    found: tuple[object, ...] = (None, 0) if value is None else (value.value, value.n)
    return found if earlier is None else (*found, earlier.value, earlier.n)
