"""The demo on a terminal (rich) or as plain lines where there is none."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Final

from rich.console import Group
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from stream.measures import METRICS, WHOLE

if TYPE_CHECKING:
    from collections.abc import Iterable

    from rich.console import RenderableType

    from stream.cli.demo_watch import Watch

WINDOWS: Final = ("5m", "1h", "24h")
#: Shown of every slice; of everyone all metrics are, as far as half of the room goes.
HEADLINES: Final = ("nps", "csat", "ces")
_STATE_STYLE: Final = {"firing": "bold red", "resolved": "green", "amended": "yellow", "withdrawn": "dim"}


def screen(watch: Watch, height: int) -> RenderableType:
    """Everything at once, for ``height`` terminal lines."""
    alerts = max(4, min(12, height // 3))
    rows = max(6, height - alerts - 9)
    return Group(_head(watch), _metrics(watch.metrics, rows), _alerts(chosen(watch.alerts, alerts)))


def line(watch: Watch) -> str:
    """The whole slice and the worker's figures in one line."""
    whole = watch.metrics.get("{}", {})
    values = []
    for metric in HEADLINES:
        value = whole.get("metrics", {}).get(metric, {}).get("1h")
        if value:
            values.append(f"{metric} 1h {cell(value)}")
    verdicts = watch.verdicts
    figures = (
        f"{watch.rate:.0f}/s, lag {watch.lag}, applied {verdicts.get('applied', 0)}, "
        f"dead letters {verdicts.get('deadletter', 0)}"
    )
    return " | ".join([str(whole.get("as_of", "no metrics yet")), *values, figures])


def alert_line(alert: dict[str, Any]) -> str:
    """One alert as one line."""
    data = alert["data"]
    severity = alert.get("severitytext", "")
    return f"{alert['time']} {data['state']:<9}{severity:<9}{_named(alert)}: {_summary(alert)}"


def cell(value: dict[str, Any]) -> str:
    """``31.2 [28.0, 34.1] n=812``."""
    figure = "?" if value.get("value") is None else f"{value['value']:.1f}"
    if value.get("value") is None and value.get(
        "parts"
    ):  # replies on several scales, money in several currencies
        figure = ", ".join(f"{name} {part:.1f}" for name, part in value["parts"].items())
    if currency := value.get("currency"):
        figure = f"{currency} {figure}"
    interval = value.get("interval")
    bounds = f" [{interval[0]:.1f}, {interval[1]:.1f}]" if interval else ""
    return f"{figure}{bounds} n={value['n']}"


def _head(watch: Watch) -> RenderableType:
    verdicts = watch.verdicts
    as_of = watch.metrics.get("{}", {}).get("as_of", "no metrics yet")
    parts = [
        ("event time", as_of),
        ("records/s", f"{watch.rate:.0f}"),
        ("waiting", str(watch.lag)),
        ("applied", str(verdicts.get("applied", 0))),
        ("duplicates", str(verdicts.get("duplicate", 0))),
        ("late", str(verdicts.get("late", 0))),
        ("dead letters", str(verdicts.get("deadletter", 0))),
    ]
    text = Text("  ").join(Text.assemble((f"{name} ", "dim"), (value, "bold")) for name, value in parts)
    page = f"live page: {watch.stack.page_url}; " if watch.stack.page_url else ""
    return Panel(text, title=f"cx demo: {page}Ctrl-C ends it", title_align="left")


def _metrics(metrics: dict[str, dict[str, Any]], rows: int) -> RenderableType:
    table = Table(expand=True, pad_edge=False)
    table.add_column(Text("value [interval] n"), no_wrap=True, overflow="ellipsis")
    table.add_column("metric", no_wrap=True)
    for window in WINDOWS:
        table.add_column(f"last {window}", justify="right", no_wrap=True)
    for slice_key in ordered(metrics):
        names, room = (METRICS, max(rows // 2, len(HEADLINES))) if slice_key == WHOLE else (HEADLINES, rows)
        for metric in names:
            values = metrics[slice_key].get("metrics", {}).get(metric, {})
            cells = [cell(values[window]) if values.get(window) else "" for window in WINDOWS]
            if any(cells) and table.row_count < room:
                table.add_row(named_slice(slice_key), metric, *cells)
    return table


def chosen(alerts: Iterable[dict[str, Any]], count: int) -> list[dict[str, Any]]:
    """The newest ``count`` alerts in their order, where single customers' take half the room at most."""
    everything = list(enumerate(alerts))
    singles = [each for each in everything if str(each[1].get("subject", "")).startswith("customer:")]
    others = [each for each in everything if each not in singles]
    room = max(count - len(others), count // 2)
    kept = singles[-room:]
    return [alert for _, alert in sorted(kept + others[-(count - len(kept)) :], key=lambda each: each[0])]


def ordered(slice_keys: Iterable[str]) -> list[str]:
    """The whole first, then slices of one dimension, then the finer ones."""
    return sorted(slice_keys, key=lambda key: (key.count('":'), key))


def named_slice(slice_key: str) -> str:
    """``everyone`` or ``segment vip, channel chat``."""
    members = json.loads(slice_key)
    return ", ".join(f"{dim} {member}" for dim, member in members.items()) or "everyone"


def _alerts(alerts: list[dict[str, Any]]) -> RenderableType:
    lines = [
        Text.assemble(
            (f"{alert['time'][11:19]} ", "dim"),
            (f"{alert['data']['state']:<9}", _STATE_STYLE.get(alert["data"]["state"], "")),
            (f"{_named(alert)} ", "bold"),
            _summary(alert),
            overflow="ellipsis",
            no_wrap=True,
        )
        for alert in reversed(alerts)
    ]
    body: RenderableType = Group(*lines) if lines else Text("none yet", style="dim")
    return Panel(body, title="alerts, newest first", title_align="left")


def _named(alert: dict[str, Any]) -> str:
    """The rule, and the slice it is about."""
    data = alert["data"]
    labels = ", ".join(str(value) for value in data.get("labels", {}).values())
    return f"{data['alert']} ({labels})" if labels else str(data["alert"])


def _summary(alert: dict[str, Any]) -> str:
    summary = alert["data"].get("annotations", {}).get("summary")
    return str(summary) if summary else str(alert.get("subject", ""))
