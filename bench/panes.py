"""What it costs to close a pane: every slice gets news, every window of every slice is formed.

A worker's table for months would not fit a benchmark, and need not be there: of the past only those panes are
filled that leave a window while the clock is looked at. What is measured ends with the closing that is the
dearest of all, at which a pane of every tier ends and others leave every window.
"""

from __future__ import annotations

import gc
from statistics import median
from time import process_time
from typing import TYPE_CHECKING, Any, Final

import msgspec

from stream.measures import Mark, Partial, Stats, Windows
from stream.measures.plans import DEFAULT_WINDOWS, WindowConfig, plan
from stream.measures.stats import merge

if TYPE_CHECKING:
    from collections.abc import Iterator

PANE_MS: Final = 10_000
MEASURED: Final = 13
_RECOMPUTED: Final = 20  # slices recomputed, as a sample
NEWS: Final[dict[str, list[int]]] = {
    "nps": [3, 1, 2],
    "csat": [3, 4],
    "ces|1|7|+": [4, 170_000, 9_000_000_000],
    "loyalty": [2, 1_500_000, 1_250_000_000_000],
    "engagement": [0, 0, 1, 2, 0],
    "purchases": [5, 1],
    "revenue|EUR": [5, 1_234_500, 530_000_000_000],
    "tickets": [2, 1],
    "ended|cart": [4, 3],
    "sessions": [6, 2],
}


def measure_pane_close(
    slices: int = 5_000, windows: tuple[str, ...] = DEFAULT_WINDOWS, metrics: int = 3
) -> dict[str, Any]:
    """Close panes and tell what it takes.

    Args:
        slices: Slices, each with news in every pane.
        windows: Names of the windows.
        metrics: Part keys in each cell, up to ten.

    Returns:
        ``close_ms`` (median of closings with all windows formed) and ``boundary_ms`` (the dearest: a pane of
        every tier ends, and others leave all windows); ``write_ms`` (table entries of a closing);
        ``ratio_to_encoding`` (``close_ms`` over encoding the formed sums as JSON) and ``ratio_to_recomputing``
        (over adding up, for every window, the panes that are filled: a small part of those it has).
    """
    config = plan(PANE_MS, windows)
    owner = Windows(0, config, ["s"])
    owner.ready()
    keys = [f'{{"segment":"s{number}"}}' for number in range(slices)]
    news = dict(list(NEWS.items())[:metrics])
    boundary = 4 * max(window.length_ms for window in config.windows) // PANE_MS
    past = [pane for pane in _leaving(config, boundary) if pane < boundary - MEASURED]
    for pane in past:
        _hear(owner, keys, pane, news)
        for _ in owner.close():
            pass
        owner.changes()
    gc.collect()
    gc.disable()  # as the worker does while it is at work
    try:
        return _measured(owner, keys, boundary, news, past)
    finally:
        gc.enable()


def _measured(owner: Windows, keys: list[str], boundary: int, news: Stats, past: list[int]) -> dict[str, Any]:
    closes, writes = [], []
    formed: dict[str, dict[str, Stats]] = {}
    for pane in range(boundary - MEASURED, boundary + 1):
        _hear(owner, keys, pane, news)
        began = process_time()
        for closing in owner.close():
            formed = {key: dict(sums) for key, sums in closing.changed.items()}
        closes.append(1000 * (process_time() - began))
        began = process_time()
        owner.changes()
        writes.append(1000 * (process_time() - began))
    began = process_time()
    msgspec.json.encode(formed)
    encoding_ms = 1000 * (process_time() - began)
    began = process_time()
    for _ in range(_RECOMPUTED):
        for window in owner.config.windows:
            sums: Stats = {}
            for pane in [*past, *range(boundary - MEASURED, boundary + 1)]:
                if pane * PANE_MS >= boundary * PANE_MS - window.length_ms:
                    merge(sums, news)
    recomputing_ms = 1000 * (process_time() - began) * len(keys) / _RECOMPUTED
    close_ms = median(closes[:-2])
    return {
        "slices": len(keys),
        "windows": [window.name for window in owner.config.windows],
        "part_keys": len(news),
        "close_ms": round(close_ms, 1),
        "boundary_ms": round(max(closes[-2:]), 1),
        "write_ms": round(median(writes), 1),
        "ratio_to_encoding": round(close_ms / encoding_ms, 2),
        "ratio_to_recomputing": round(close_ms / recomputing_ms, 3),
    }


def _leaving(config: WindowConfig, boundary: int) -> list[int]:
    """Finest panes that are in what leaves a window while it is measured."""
    return sorted(
        {
            closing - window.length_ms // PANE_MS
            for window in config.windows
            for closing in range(boundary - MEASURED, boundary + 1)
        }
    )


def _hear(owner: Windows, keys: list[str], pane: int, news: Stats) -> None:
    """The cells of a pane, and that it is closed."""
    for partial in _partials(keys, pane, news):
        owner.apply(partial)
    owner.apply(Mark("s", pane + 1, False, (pane, False), pane + 1))


def _partials(keys: list[str], pane: int, news: Stats) -> Iterator[Partial]:
    sums = msgspec.Raw(msgspec.json.encode(news))
    for key in keys:
        yield Partial(key, "s", pane, pane, sums, pane)


if __name__ == "__main__":
    print(msgspec.json.format(msgspec.json.encode(measure_pane_close()), indent=2).decode())
