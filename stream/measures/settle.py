"""All windows at one instant from all cells at once, without closing pane by pane.

Every cell is touched once: cells that are in the same windows are added up together first.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from stream.measures.stats import CUSTOMERS, Stats, bare, merge

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from stream.measures.audience import Audience
    from stream.measures.packing import Packing
    from stream.measures.tiers import Reach, Tier
    from stream.measures.totals import Total


def settled(
    cells: Iterable[tuple[str, int, Stats]],
    instant: int,
    packing: Packing,
    tiers: Sequence[Tier[int]],
    totals: Sequence[Total],
    audience: Audience,
) -> None:
    """Fill windows that hold nothing with the cells of panes before ``instant``; see ``Windows.settle``."""
    together: dict[tuple[int, ...], dict[str, Stats]] = {}
    of_pane: dict[int, dict[str, Stats]] = {}
    present: list[tuple[str, int, Stats]] = []
    rolls: list[Reach[int]] = [roll for tier in tiers for roll in tier.rolls]
    for slice_key, pane, stats in cells:
        if pane >= instant:
            continue
        sums = of_pane.get(pane)
        if sums is None:
            covered = counting(tiers, totals, pane, instant)
            sums = of_pane[pane] = together.setdefault(covered, {})
        merge(sums.setdefault(slice_key, {}), bare(stats))
        if CUSTOMERS in stats:
            present.append((slice_key, pane, stats))
    _note(present, audience)
    for covered, sums in together.items():
        packed = {key: packing.pack(key, stats) for key, stats in sums.items()}
        for roll, times in zip(rolls, covered, strict=False):
            for _ in range(times):
                roll.add(packed)
        for total, covers in zip(totals, covered[len(rolls) :], strict=True):
            if covers:
                total.put(sums)


def _note(present: list[tuple[str, int, Stats]], audience: Audience) -> None:
    """Customers: all of a slice at once."""
    of_slice: dict[str, dict[int, int]] = {}
    for slice_key, pane, stats in present:
        panes = of_slice.setdefault(slice_key, {})
        held = panes.get
        panes.update({each: pane for each in stats[CUSTOMERS] if held(each, -1) < pane})
    for slice_key, panes in of_slice.items():
        audience.fill(slice_key, panes)


def counting(tiers: Sequence[Tier[int]], totals: Sequence[Total], pane: int, instant: int) -> tuple[int, ...]:
    """How often every roll and every total counts a finest pane at the instant."""
    rolls = [roll.times(pane // tier.per * tier.per, instant - 1) for tier in tiers for roll in tier.rolls]
    return (*rolls, *(int(total.covers(pane)) for total in totals))
