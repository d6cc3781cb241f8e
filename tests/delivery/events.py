"""Alert events for the tests, as they are on ``cx.alerts``."""

from __future__ import annotations

import json
from typing import Any

from schemas import AlertEvent, format_ms

START_MS = 1_768_204_800_000


def event(
    name: str = "a",
    *,
    state: str = "firing",
    fingerprint: str = "f0",
    at_ms: int = START_MS,
    alert: str = "NpsLow",
    severity: str = "warning",
    labels: dict[str, str] | None = None,
    subject: str = "nps{segment=vip}",
    **data: Any,
) -> bytes:
    """An event with an id; ``data`` replaces fields of its data."""
    over = state in ("resolved", "withdrawn")
    found = {
        "specversion": "1.0",
        "id": name,
        "source": "cx-pulse",
        "type": f"cx.alert.{state}.v1",
        "time": format_ms(at_ms),
        "subject": subject,
        "severitytext": severity,
        "datacontenttype": "application/json",
        "data": {
            "alert": alert,
            "state": state,
            "reason": "first_crossing",
            "fingerprint": fingerprint,
            "labels": {"segment": "vip"} if labels is None else labels,
            "annotations": {"summary": "NPS of vip is -12 on 40 replies"},
            "starts_at": format_ms(START_MS),
            "ends_at": format_ms(at_ms) if over else None,
            "as_of": format_ms(at_ms),
            "claim": {"metric": "nps", "window": "1h", "value": -12.5, "n": 40, "interval": [-20.0, -5.0]},
            **data,
        },
    }
    text = json.dumps(found).encode()
    AlertEvent.model_validate_json(text)
    return text
