"""The queries of a dashboard, as Grafana would send them."""

from __future__ import annotations

from typing import Any


def queries(board: dict[str, Any]) -> list[str]:
    """Every PromQL expression of a board's panels, with its variables."""
    return [target["expr"] for panel in board["panels"] for target in panel.get("targets", [])]


def filled(board: dict[str, Any], query: str, rate_interval: str) -> str:
    """The query with the values that the board opens with."""
    query = query.replace("$__rate_interval", rate_interval)
    for variable in sorted(board["templating"]["list"], key=lambda each: -len(each["name"])):
        query = query.replace(f"${variable['name']}", variable["current"]["value"])
    return query
