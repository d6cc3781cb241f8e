"""Panels of a dashboard as SVG: lines, bands, figures and bars, in plain Python."""

from __future__ import annotations

import math
from dataclasses import dataclass
from html import escape
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

#: Colours that people with colour-blindness can tell apart (Okabe and Ito), on white.
COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#666666", "#882255")
INK, FAINT, GRID = "#24292f", "#6e7781", "#e3e6ea"
FONT = "font-family='system-ui, -apple-system, Segoe UI, Helvetica, Arial, sans-serif'"


@dataclass(frozen=True)
class Line:
    """A series: its name and (time, value) points."""

    name: str
    points: list[tuple[float, float]]


@dataclass(frozen=True)
class Box:
    """Where a panel is, in pixels."""

    x: float
    y: float
    width: float
    height: float


def text(x: float, y: float, words: str, size: float = 11, colour: str = INK, more: str = "") -> str:
    """A text; ``more`` are attributes."""
    return f'<text x="{x:.1f}" y="{y:.1f}" font-size="{size}" fill="{colour}" {more}>{escape(words)}</text>'


def number(value: float, unit: str = "short") -> str:
    """A figure as people read it."""
    if unit == "s":
        if 0 < abs(value) < 1:
            return f"{value * 1000:.3g} ms"
        for size, name in ((86_400, "d"), (3_600, "h"), (60, "min")):
            if abs(value) >= 2 * size:
                return f"{value / size:.3g} {name}"
        return f"{value:.3g} s"
    if unit == "bytes":
        return f"{value / 2**20:.3g} MiB"
    if abs(value) >= 10_000:
        return f"{value / 1000:.3g}k"
    words = f"{value:.3g}" if abs(value) < 1000 else f"{value:.0f}"
    return f"{words} %" if unit == "percent" else words


def ticks(low: float, high: float, wanted: int = 4) -> list[float]:
    """Round figures between two bounds."""
    raw = (high - low) / wanted
    size = 10.0 ** math.floor(math.log10(raw))
    step = next(each * size for each in (1, 2, 2.5, 5, 10) if each * size >= raw)
    first = math.ceil(low / step)
    return [n * step for n in range(first, math.floor(high / step + 1e-9) + 1)]


def frame(box: Box, title: str) -> list[str]:
    """The outline and title of a panel."""
    return [
        f'<rect x="{box.x}" y="{box.y}" width="{box.width}" height="{box.height}" fill="white" stroke="{GRID}"/>',
        text(box.x + 12, box.y + 20, title, 12.5, more="font-weight='600'"),
    ]


def lines(
    box: Box,
    panel: dict[str, Any],
    found: Sequence[Line],
    span: tuple[float, float],
    clock: Callable[[float], str],
) -> list[str]:
    """A panel of lines over time, with a band where the panel has lower and upper bounds."""
    unit = panel["fieldConfig"]["defaults"]["unit"]
    band = {each["matcher"]["options"] for each in panel["fieldConfig"]["overrides"]}
    stacked = "stacking" in panel["fieldConfig"]["defaults"]["custom"]
    shown = [line for line in found if line.points]
    shown = [line for line in shown if any(value for _, value in line.points)] or shown[:1]
    if stacked:
        shown = _stacked(shown)
    out = frame(box, panel["title"])
    values = [value for line in shown for _, value in line.points]
    if not values:
        return [*out, text(box.x + 12, box.y + 60, "no data", colour=FAINT)]
    low, high = min(values), max(values)
    if (low >= 0 and low < high / 2) or high == low:
        low = min(0.0, low)
    high = high if high > low else low + 1
    start, end = span
    named = [line for line in shown if line.name not in band]
    rows = _legend_rows(named, box.width - 24)
    left, right, top = box.x + 52, box.x + box.width - 14, box.y + 34
    bottom = box.y + box.height - 30 - 15 * len(rows)

    def at(point: tuple[float, float]) -> tuple[float, float]:
        return (
            left + (point[0] - start) / (end - start or 1) * (right - left),
            bottom - (point[1] - low) / (high - low) * (bottom - top),
        )

    for tick in ticks(low, high):
        y = at((start, tick))[1]
        out.append(f'<line x1="{left}" x2="{right}" y1="{y:.1f}" y2="{y:.1f}" stroke="{GRID}"/>')
        out.append(text(left - 6, y + 3.5, number(tick, unit), 10, FAINT, "text-anchor='end'"))
    for share in (0, 0.25, 0.5, 0.75, 1):
        x = left + share * (right - left)
        anchor = "start" if share == 0 else "end" if share == 1 else "middle"
        out.append(
            text(x, bottom + 14, clock(start + share * (end - start)), 10, FAINT, f"text-anchor='{anchor}'")
        )
    out += _band(shown, at)
    for number_, line in reversed(list(enumerate(named))):
        path = " ".join(f"{x:.1f},{y:.1f}" for x, y in map(at, line.points))
        colour = COLOURS[number_ % len(COLOURS)]
        out.append(f'<polyline points="{path}" fill="none" stroke="{colour}" stroke-width="1.6"/>')
    for row, entries in enumerate(rows):
        y = bottom + 32 + 15 * row
        for offset, index, name in entries:
            colour = COLOURS[index % len(COLOURS)]
            out.append(f'<rect x="{box.x + 14 + offset}" y="{y - 7}" width="9" height="3" fill="{colour}"/>')
            out.append(text(box.x + 27 + offset, y - 2, name, 10, FAINT))
    return out


def _stacked(shown: Sequence[Line]) -> list[Line]:
    total: dict[float, float] = {}
    sums = []
    for line in shown:
        points = []
        for at, value in line.points:
            total[at] = total.get(at, 0.0) + value
            points.append((at, total[at]))
        sums.append(Line(line.name, points))
    return sums


def _band(shown: Sequence[Line], at: Callable[[tuple[float, float]], tuple[float, float]]) -> list[str]:
    by = {line.name: line.points for line in shown}
    if not {"lower", "upper"} <= by.keys():
        return []
    edge = [at(point) for point in [*by["upper"], *reversed(by["lower"])]]
    path = " ".join(f"{x:.1f},{y:.1f}" for x, y in edge)
    return [f'<polygon points="{path}" fill="{COLOURS[0]}" fill-opacity="0.18"/>']


def _legend_rows(named: Sequence[Line], width: float) -> list[list[tuple[float, int, str]]]:
    rows: list[list[tuple[float, int, str]]] = [[]]
    x = 0.0
    for index, line in enumerate(named):
        needed = 26 + 6.1 * len(line.name)
        if rows[-1] and x + needed > width:
            rows.append([])
            x = 0.0
        rows[-1].append((x, index, line.name))
        x += needed
    return rows[:3]


def figure(box: Box, panel: dict[str, Any], found: Sequence[Line]) -> list[str]:
    """A panel of one figure with its course behind it."""
    out = frame(box, panel["title"])
    points = found[0].points if found else []
    if not points:
        return [*out, text(box.x + 12, box.y + 60, "no data", colour=FAINT)]
    low, high = (pick(value for _, value in points) for pick in (min, max))
    start, end = points[0][0], points[-1][0]
    path = " ".join(
        f"{box.x + (at - start) / (end - start or 1) * box.width:.1f},"
        f"{box.y + box.height - 4 - (value - low) / (high - low or 1) * box.height * 0.28:.1f}"
        for at, value in points
    )
    corner = f"{box.x + box.width},{box.y + box.height} {box.x},{box.y + box.height}"
    out.append(f'<polygon points="{path} {corner}" fill="{COLOURS[0]}" fill-opacity="0.12"/>')
    unit = panel["fieldConfig"]["defaults"]["unit"]
    out.append(text(box.x + 12, box.y + 58, number(points[-1][1], unit), 28, more="font-weight='600'"))
    return out


def bars(box: Box, panel: dict[str, Any], found: Sequence[Line]) -> list[str]:
    """A panel of bars, the newest value of each series."""
    out = frame(box, panel["title"])
    newest = [(line.name, line.points[-1][1]) for line in found if line.points]
    newest.sort(key=lambda each: each[1], reverse=panel["targets"][0]["expr"].startswith("topk"))
    if not newest:
        return [*out, text(box.x + 12, box.y + 60, "no data", colour=FAINT)]
    label = min(box.width * 0.55, 14 + 5.8 * max(len(name) for name, _ in newest))
    left, right = box.x + label, box.x + box.width - 52
    low, high = min(0.0, *(v for _, v in newest)), max(0.0, *(v for _, v in newest))
    zero = left + (0 - low) / (high - low or 1) * (right - left)
    step = (box.height - 44) / len(newest)
    for row, (name, value) in enumerate(newest):
        y = box.y + 34 + row * step
        x = left + (value - low) / (high - low or 1) * (right - left)
        out.append(
            f'<rect x="{min(x, zero):.1f}" y="{y:.1f}" width="{abs(x - zero):.1f}" '
            f'height="{step * 0.7:.1f}" fill="{COLOURS[0]}" fill-opacity="0.8"/>'
        )
        out.append(text(left - 6, y + step * 0.35 + 4, name, 10, FAINT, "text-anchor='end'"))
        out.append(text(right + 6, y + step * 0.35 + 4, number(value), 10, INK))
    return out
