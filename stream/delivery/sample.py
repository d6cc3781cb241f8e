"""The alert that ``cx delivery test`` sends."""

from __future__ import annotations

from typing import Final

from schemas.times import format_ms
from stream.alerting.claims import Claim, claim_id, fingerprint
from stream.alerting.events import encode_event

NAME: Final = "CxPulseTest"


def sample(now_ms: int) -> bytes:
    """An alert event that fires now and says that it is a test."""
    mark = fingerprint(NAME, {"test": "true"})
    return encode_event(
        Claim(
            id=claim_id(mark, "firing", now_ms, ""),
            alert=NAME,
            subject="nps{test=true}",
            state="firing",
            reason="test",
            severity="info",
            fingerprint=mark,
            labels={"test": "true"},
            annotations={
                "summary": f"A test of {format_ms(now_ms)}: nothing is wrong, nothing is to be done"
            },
            starts_at_ms=now_ms,
            ends_at_ms=None,
            as_of_ms=now_ms,
            figures={"metric": "nps", "value": 42, "n": 100, "window": "1h"},
        )
    )
