"""The business dashboard: what customers say, how sure it is, and what alerts come of it."""

from __future__ import annotations

from typing import Final

from ops.grafana.shape import Panel, Query, Row, line, or_none, rate


def whole(family: str, metric: str) -> str:
    """A business family of the whole, whichever worker has it."""
    return f'max({family}{{job=~"$job", metric="{metric}", window="$window", slice="all"}})'


def sliced(family: str, more: str = 'slice="$slice"') -> str:
    """A business family of the metric and window that are chosen, by slice, whichever worker has it."""
    return f'max by (slice) ({family}{{job=~"$job", metric="$metric", window="$window", {more}}})'


ANY: Final = 'slice!=""'
GROUPED: Final = 'slice=~"$by=[^,]*"'

BUSINESS: Final = (
    Row(
        "Now",
        (
            *(
                Panel(
                    name.upper(),
                    f"{about} The line shows the course; the window is chosen above.",
                    (Query(whole("cx_metric_value", name), "value"),),
                    kind="stat",
                    unit=unit,
                    width=4,
                    height=5,
                )
                for name, unit, about in (
                    ("nps", "none", "Net promoter score of all replies, -100 to 100."),
                    ("csat", "percent", "Share of satisfied replies, of all."),
                    ("ces", "none", "Mean effort score of all replies; higher is easier."),
                )
            ),
            Panel(
                "Replies behind NPS",
                "A value on few replies says little: see its interval.",
                (Query(whole("cx_metric_replies", "nps"), "replies"),),
                kind="stat",
                width=4,
                height=5,
            ),
            Panel(
                "Alerts that fire",
                "On customers and slices, told or kept back.",
                (Query('sum(cx_alerts_active{job=~"$job"}) or vector(0)', "active"),),
                kind="stat",
                width=4,
                height=5,
            ),
            Panel(
                "Slices not shown",
                "Beyond CX_EXPORT_SLICES: on cx.metrics and in Redis, but not here.",
                (Query('sum(cx_metric_slices_omitted{job=~"$job"})', "slices"),),
                kind="stat",
                width=4,
                height=5,
            ),
        ),
    ),
    Row(
        "One slice: $metric of $slice",
        (
            line(
                "Value and confidence interval",
                "Two values differ only where the bands say so. Wide band: few replies.",
                Query(sliced("cx_metric_value"), "{{slice}}"),
                Query(sliced("cx_metric_interval_lower"), "lower"),
                Query(sliced("cx_metric_interval_upper"), "upper"),
                width=12,
                band=True,
            ),
            line(
                "What it rests on",
                "Replies, events or customers in the window.",
                Query(sliced("cx_metric_replies"), "{{slice}}"),
                width=6,
            ),
            line(
                "Gap to goal, baseline and benchmark",
                "Value less each line of the rules file. Empty: this slice has none.",
                Query(
                    sliced("cx_metric_gap").replace("by (slice)", "by (line)"),
                    "{{line}}",
                ),
                width=6,
            ),
        ),
    ),
    Row(
        "$metric by $by",
        (
            line(
                "Values",
                "Every member of the grouping that is kept by itself.",
                Query(sliced("cx_metric_value", GROUPED), "{{slice}}"),
                width=12,
            ),
            Panel(
                "Now, with intervals",
                "The lowest first. Where intervals overlap widely, the order may be chance.",
                (
                    Query(sliced("cx_metric_value", GROUPED), "value", instant=True, table=True),
                    Query(sliced("cx_metric_interval_lower", GROUPED), "lower", instant=True, table=True),
                    Query(sliced("cx_metric_interval_upper", GROUPED), "upper", instant=True, table=True),
                    Query(sliced("cx_metric_replies", GROUPED), "n", instant=True, table=True),
                ),
                kind="table",
                width=12,
            ),
            Panel(
                "Lowest values of any slice",
                "Of slices with at least 30 observations.",
                (
                    Query(
                        f"bottomk(10, {sliced('cx_metric_value', ANY)} and "
                        f"{sliced('cx_metric_replies', ANY)} >= 30)",
                        "{{slice}}",
                        instant=True,
                    ),
                ),
                kind="bargauge",
                width=12,
            ),
            Panel(
                "Furthest from being sure",
                "Width of the interval: where more replies are needed before anything is said.",
                (
                    Query(
                        f"topk(10, {sliced('cx_metric_interval_upper', GROUPED)} - "
                        f"{sliced('cx_metric_interval_lower', GROUPED)})",
                        "{{slice}}",
                        instant=True,
                    ),
                ),
                kind="bargauge",
                width=12,
            ),
        ),
    ),
    Row(
        "Alerts to people",
        (
            line(
                "Firing now",
                "By rule; told or kept back by silences, groups and limits.",
                Query(or_none('sum by (alert) (cx_alerts_active{job=~"$job"})', "alert"), "{{alert}}"),
            ),
            line(
                "Published",
                "By rule and state, per hour.",
                Query(f"{rate('cx_alerts_total', 'alert, state')} * 3600", "{{alert}} {{state}}"),
            ),
            line(
                "Why rules fire, or do not",
                "Looks at slices, records and customers by the reason of their outcome; see docs/why.md.",
                Query(rate("cx_alert_decisions_total", "reason"), "{{reason}}"),
                unit="ops",
            ),
        ),
    ),
    Row(
        "Models of customers",
        (
            line(
                "How good they are",
                "Judged before it is learned from: docs/churn.md says what each figure is. None: not fitted yet.",
                Query(
                    or_none('max by (model, figure) (cx_model_figure{job=~"$job"})', "model"),
                    "{{model}} {{figure}}",
                ),
                width=12,
            ),
            line(
                "What they rest on",
                "Customers or labels behind the newest version.",
                Query(or_none('max by (model) (cx_model_n{job=~"$job"})', "model"), "{{model}}"),
                width=12,
            ),
        ),
    ),
)
