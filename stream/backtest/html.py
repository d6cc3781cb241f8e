"""The report as one page of HTML that fetches nothing: tables, and a chart of every rule as inline SVG."""

from __future__ import annotations

from collections import defaultdict
from html import escape
from typing import TYPE_CHECKING, Final

from schemas import format_ms
from stream.backtest.report import HEADINGS, cells, compare, length

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from stream.alerting.claims import Claim
    from stream.backtest.report import Report
    from stream.backtest.score import Episode

_WIDTH: Final = 960
_LEFT: Final = 220
_ROW: Final = 18
#: Slices or customers that have a line of their own; the rest share one.
_LINES: Final = 20
_BARS: Final = 120
_LABEL: Final = 34
_STYLE: Final = """
:root{color-scheme:light dark}
body{font:15px/1.5 system-ui,sans-serif;max-width:1000px;margin:2rem auto;padding:0 1rem}
table{border-collapse:collapse;margin:1rem 0}
th,td{padding:.2rem .8rem;text-align:right;border-bottom:1px solid #8884}
th:first-child,td:first-child{text-align:left}
svg{width:100%;height:auto;font:11px system-ui,sans-serif}
svg text{fill:currentColor}
.incident{fill:#f5c2425c}.right{fill:#2e9e5b}.wrong{fill:#d04a3a}.neither{fill:#4a7fc1}.axis{stroke:#8888}
.key span{display:inline-block;width:.8rem;height:.8rem;margin:0 .3rem 0 1rem}
"""
_KEY: Final = (
    '<p class="key"><span style="background:#2e9e5b"></span>right<span style="background:#d04a3a"></span>wrong'
    '<span style="background:#4a7fc1"></span>nobody can say<span style="background:#f5c242"></span>incident</p>'
)


def page(reports: Sequence[Report]) -> str:
    """One page about one rules file, or about two and how they differ."""
    title = "Backtest of " + " and ".join(each.filename for each in reports)
    parts = [_comparison(*reports)] if len(reports) > 1 else []
    parts += [_about(each) for each in reports]
    body = "\n".join(parts)
    return (
        f'<!doctype html>\n<html lang="en"><head><meta charset="utf-8"><title>{escape(title)}</title>'
        f"<style>{_STYLE}</style></head><body>\n<h1>{escape(title)}</h1>\n{body}\n</body></html>\n"
    )


def _about(report: Report) -> str:
    if report.span_ms is None:
        return f"<p>{escape(report.filename)}: no events.</p>"
    since, until = (format_ms(at) for at in report.span_ms)
    parts = [
        f"<h2>{escape(report.filename)}</h2>",
        f"<p>{len(report.episodes)} alerts from {since} to {until}, {len(report.incidents)} incidents given.</p>",
        _table(HEADINGS, [cells(score) for score in report.scores]),
        _KEY,
    ]
    of_rule: dict[str, list[Episode]] = defaultdict(list)
    for episode in report.episodes:
        of_rule[episode.alert].append(episode)
    for score in report.scores:
        parts.append(f"<h3>{escape(score.rule)}</h3>")
        parts.append(_chart(report, report.span_ms, of_rule[score.rule]))
    return "\n".join(parts)


def _comparison(first: Report, second: Report) -> str:
    heads = ("rule", first.filename, second.filename, "only in the first", "only in the second")
    rows = [
        (
            one.rule,
            "-" if one.first is None else str(one.first.alerts),
            "-" if one.second is None else str(one.second.alerts),
            str(one.only_first),
            str(one.only_second),
        )
        for one in compare(first, second)
    ]
    return f"<h2>Compared</h2>\n{_table(heads, rows)}"


def _table(heads: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    head = "".join(f"<th>{escape(name)}</th>" for name in heads)
    body = "".join("<tr>" + "".join(f"<td>{escape(cell)}</td>" for cell in row) + "</tr>\n" for row in rows)
    return f"<table><thead><tr>{head}</tr></thead><tbody>\n{body}</tbody></table>"


def _chart(report: Report, span_ms: tuple[int, int], episodes: Sequence[Episode]) -> str:
    """Alerts of a rule over time: how many began on top, below a line for each slice that had most of them."""
    if not episodes:
        return "<p>No alerts.</p>"
    since_ms, until_ms = span_ms
    scale = (_WIDTH - _LEFT) / max(until_ms - since_ms, 1)

    def x(at_ms: int) -> float:
        return round(_LEFT + (min(max(at_ms, since_ms), until_ms) - since_ms) * scale, 1)

    lines: dict[str, list[Episode]] = defaultdict(list)
    for episode in episodes:
        lines[_line(episode)].append(episode)
    shown = sorted(lines, key=lambda name: (-len(lines[name]), name))[:_LINES]
    rest = [episode for name in lines if name not in shown for episode in lines[name]]
    top = 60
    height = top + _ROW * (len(shown) + bool(rest)) + 24
    parts = [f'<svg viewBox="0 0 {_WIDTH} {height}" role="img" aria-label="alerts over time">']
    for incident in report.incidents:
        left = x(incident.starts_at_ms)
        wide = x(until_ms if incident.ends_at_ms is None else incident.ends_at_ms) - left
        if wide > 0:
            parts.append(
                f'<rect class="incident" x="{left}" y="0" width="{wide:.1f}" height="{height - 20}">'
                f"<title>{escape(incident.name or 'incident')}</title></rect>"
            )
    parts += _bars(episodes, since_ms, until_ms, top - 8)
    for number, name in enumerate(shown):
        parts += _row(name, lines[name], top + _ROW * number, x, until_ms)
    if rest:
        label = f"{len(lines) - len(shown)} others"
        parts += _row(label, rest, top + _ROW * len(shown), x, until_ms)
    parts.append(f'<line class="axis" x1="{_LEFT}" x2="{_WIDTH}" y1="{height - 18}" y2="{height - 18}"/>')
    for share, anchor in ((0.0, "start"), (0.5, "middle"), (1.0, "end")):
        at = since_ms + int((until_ms - since_ms) * share)
        parts.append(
            f'<text x="{x(at)}" y="{height - 4}" text-anchor="{anchor}">{format_ms(at // 1000 * 1000)}</text>'
        )
    return "".join(parts) + "</svg>"


def _bars(episodes: Sequence[Episode], since_ms: int, until_ms: int, bottom: int) -> list[str]:
    counts = [0] * _BARS
    each_ms = max(until_ms - since_ms, 1) / _BARS
    for episode in episodes:
        counts[min(max(int((episode.starts_at_ms - since_ms) / each_ms), 0), _BARS - 1)] += 1
    most = max(counts)
    wide = (_WIDTH - _LEFT) / _BARS
    parts = [f'<text x="{_LEFT - 8}" y="12" text-anchor="end">{most} in {length(each_ms)}</text>']
    for number, n in enumerate(counts):
        if n:
            high = max(n / most * (bottom - 4), 1)
            parts.append(
                f'<rect class="neither" x="{_LEFT + number * wide:.1f}" y="{bottom - high:.1f}"'
                f' width="{max(wide - 1, 1):.1f}" height="{high:.1f}"><title>{n}</title></rect>'
            )
    return parts


def _row(
    name: str, episodes: Iterable[Episode], y: int, x: Callable[[int], float], until_ms: int
) -> list[str]:
    label = name if len(name) <= _LABEL else name[: _LABEL - 1] + "…"
    parts = [f'<text x="{_LEFT - 8}" y="{y + 12}" text-anchor="end">{escape(label)}</text>']
    for episode in episodes:
        left = x(episode.starts_at_ms)
        ends_ms = until_ms if episode.ends_at_ms is None else episode.ends_at_ms
        kind = "neither" if episode.right is None else "right" if episode.right else "wrong"
        parts.append(
            f'<rect class="{kind}" x="{left}" y="{y + 3}" width="{max(x(ends_ms) - left, 2):.1f}"'
            f' height="{_ROW - 6}"><title>{escape(_says(episode, ends_ms))}</title></rect>'
        )
    return parts


def _says(episode: Episode, ends_ms: int) -> str:
    """When, how long and what; of customers not even what, because that may say who."""
    first = episode.claims[0]
    lasted = ends_ms - episode.starts_at_ms
    took = f", {length(lasted)}" if lasted else ""
    about = "" if _is_customers(first) else ": " + next(iter(first.annotations.values()), first.subject)
    return f"{format_ms(episode.starts_at_ms)}{took}{about}"


def _line(episode: Episode) -> str:
    """What a line is about; customers have one together."""
    first = episode.claims[0]
    return "customers" if _is_customers(first) else first.subject


def _is_customers(claim: Claim) -> bool:
    return claim.subject.startswith("customer:")
