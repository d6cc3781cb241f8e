"""What a dashboard is made of: a panel is a title, what it tells the reader, and its queries.

Places on the grid, ids, the data source and the look are the same for all panels, and so are made here rather
than copied from one to the next.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

SOURCE: Final = {"type": "prometheus", "uid": "cx-prometheus"}
COLUMNS: Final = 24


@dataclass(frozen=True)
class Query:
    """A PromQL query and how its lines are called."""

    expr: str
    legend: str
    instant: bool = False
    table: bool = False


@dataclass(frozen=True)
class Panel:
    """One panel; ``unit`` is one of Grafana's."""

    title: str
    about: str
    queries: tuple[Query, ...]
    kind: str = "timeseries"
    unit: str = "short"
    width: int = 8
    height: int = 8
    stacked: bool = False
    band: bool = False  # the second and third query are bounds of the first


@dataclass(frozen=True)
class Row:
    """A heading and the panels below it."""

    title: str
    panels: tuple[Panel, ...]


@dataclass(frozen=True)
class Variable:
    """A choice at the top; ``default`` is taken when the page opens."""

    name: str
    label: str
    query: str
    default: str
    multi: bool = False
    words: tuple[str, ...] = ()  # fixed choices instead of a query


def line(title: str, about: str, *queries: Query, **more: Any) -> Panel:
    """A panel of lines over time."""
    return Panel(title, about, queries, **more)


def rate(counter: str, by: str = "") -> str:
    """The summed rate of a counter over the workers that are looked at."""
    grouped = f" by ({by})" if by else ""
    return f'sum{grouped} (rate({counter}{{job=~"$job"}}[$__rate_interval]))'


def or_none(expr: str, label: str) -> str:
    """The expression, or a 0 called "none" while it has no series at all."""
    return f'{expr} or on () label_replace(vector(0), "{label}", "none", "", "")'


def quantile(q: float, histogram: str, by: str) -> str:
    """A quantile of a histogram, over the workers that are looked at."""
    inner = f'sum by ({by}, le) (rate({histogram}_bucket{{job=~"$job"}}[$__rate_interval]))'
    return f"histogram_quantile({q}, {inner})"


def dashboard(
    uid: str, title: str, about: str, rows: tuple[Row, ...], chosen: tuple[Variable, ...]
) -> dict[str, Any]:
    """A whole dashboard, as Grafana keeps it."""
    panels: list[dict[str, Any]] = []
    y = 0
    for row in rows:
        panels.append(_row(row.title, len(panels) + 1, y))
        y += 1
        x = tallest = 0
        for panel in row.panels:
            if x + panel.width > COLUMNS:
                x, y, tallest = 0, y + tallest, 0
            place = {"x": x, "y": y, "w": panel.width, "h": panel.height}
            panels.append(_panel(panel, len(panels) + 1, place))
            x, tallest = x + panel.width, max(tallest, panel.height)
        y += tallest
    return {
        "uid": uid,
        "title": title,
        "description": about,
        "tags": ["cx-pulse"],
        "schemaVersion": 39,
        "editable": False,
        "graphTooltip": 1,
        "refresh": "15s",
        "time": {"from": "now-6h", "to": "now"},
        "timezone": "browser",
        "links": [{"type": "dashboards", "tags": ["cx-pulse"], "title": "cx-pulse", "asDropdown": True,
                   "includeVars": False, "keepTime": True}],
        "annotations": {"list": []},
        "templating": {"list": [_variable(each) for each in chosen]},
        "panels": panels,
    }  # fmt: skip


def _row(title: str, number: int, y: int) -> dict[str, Any]:
    place = {"x": 0, "y": y, "w": COLUMNS, "h": 1}
    return {"type": "row", "id": number, "title": title, "collapsed": False, "gridPos": place, "panels": []}


def _variable(each: Variable) -> dict[str, Any]:
    current = {"text": each.default, "value": each.default}
    common = {
        "name": each.name,
        "label": each.label,
        "multi": each.multi,
        "includeAll": False,
        "current": current,
    }
    if each.words:
        options = [{"text": word, "value": word, "selected": word == each.default} for word in each.words]
        return {**common, "type": "custom", "query": ",".join(each.words), "options": options}
    query = {"query": each.query, "refId": each.name}
    return {**common, "type": "query", "datasource": SOURCE, "query": query, "definition": each.query,
            "refresh": 2, "sort": 1, "options": []}  # fmt: skip


def _panel(panel: Panel, number: int, place: dict[str, int]) -> dict[str, Any]:
    made: dict[str, Any] = {
        "type": panel.kind,
        "id": number,
        "title": panel.title,
        "description": panel.about,
        "datasource": SOURCE,
        "gridPos": place,
        "targets": [_target(query, at) for at, query in enumerate(panel.queries)],
        "fieldConfig": {"defaults": {"unit": panel.unit}, "overrides": []},
        "options": {},
    }
    _LOOKS[panel.kind](made, panel)
    return made


def _target(query: Query, at: int) -> dict[str, Any]:
    target: dict[str, Any] = {
        "refId": chr(ord("A") + at),
        "datasource": SOURCE,
        "expr": query.expr,
        "legendFormat": query.legend,
        "range": not query.instant,
        "instant": query.instant,
    }
    if query.table:
        target["format"] = "table"
    return target


def _lines(made: dict[str, Any], panel: Panel) -> None:
    custom: dict[str, Any] = {"lineWidth": 1, "fillOpacity": 0, "showPoints": "never", "spanNulls": 60_000}
    if panel.stacked:
        custom |= {"stacking": {"mode": "normal"}, "fillOpacity": 30}
    made["fieldConfig"]["defaults"]["custom"] = custom
    if panel.band:
        edge = [{"id": "custom.lineWidth", "value": 0}]
        made["fieldConfig"]["overrides"] = [
            {"matcher": {"id": "byName", "options": "lower"}, "properties": edge},
            {"matcher": {"id": "byName", "options": "upper"},
             "properties": [*edge, {"id": "custom.fillBelowTo", "value": "lower"},
                            {"id": "custom.fillOpacity", "value": 20}]},
        ]  # fmt: skip
    made["options"] = {
        "legend": {"displayMode": "list", "placement": "bottom", "showLegend": True},
        "tooltip": {"mode": "multi", "sort": "desc"},
    }


def _stat(made: dict[str, Any], panel: Panel) -> None:
    del panel
    made["options"] = {
        "reduceOptions": {"calcs": ["lastNotNull"], "fields": "", "values": False},
        "graphMode": "area",
        "colorMode": "none",
        "textMode": "auto",
    }


def _bars(made: dict[str, Any], panel: Panel) -> None:
    del panel
    made["options"] = {
        "orientation": "horizontal",
        "displayMode": "basic",
        "reduceOptions": {"calcs": ["lastNotNull"], "fields": "", "values": False},
    }


def _states(made: dict[str, Any], panel: Panel) -> None:
    del panel
    made["fieldConfig"]["defaults"]["mappings"] = [
        {
            "type": "value",
            "options": {"1": {"text": "ok", "color": "green"}, "0": {"text": "no", "color": "red"}},
        }
    ]
    made["options"] = {"showValue": "never", "mergeValues": True, "legend": {"showLegend": False}}


def _table(made: dict[str, Any], panel: Panel) -> None:
    names = {f"Value #{chr(ord('A') + at)}": query.legend for at, query in enumerate(panel.queries)}
    made["transformations"] = [
        {"id": "merge", "options": {}},
        {"id": "organize", "options": {"excludeByName": {"Time": True}, "renameByName": names}},
        {"id": "sortBy", "options": {"sort": [{"field": "value", "desc": False}]}},
    ]


_LOOKS: Final = {
    "timeseries": _lines,
    "stat": _stat,
    "bargauge": _bars,
    "state-timeline": _states,
    "table": _table,
}
