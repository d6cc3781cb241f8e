"""Claims as CloudEvents 1.0 in structured JSON: what subscribers of ``cx.alerts`` read."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import msgspec

from schemas import format_ms
from stream.alerting.claims import SOURCE, claim_id, fingerprint

if TYPE_CHECKING:
    from stream.alerting.claims import Claim

__all__ = ["CONTENT_TYPE", "DATASCHEMA", "claim_id", "encode_event", "fingerprint", "to_cloudevent"]

CONTENT_TYPE: Final = "application/cloudevents+json"
DATASCHEMA: Final = "urn:cx-pulse:schema:cx.alert.v1"

_encoder: Final = msgspec.json.Encoder()


def to_cloudevent(claim: Claim) -> dict[str, Any]:
    """The event of a claim, keys in the order of the contract.

    ``time`` is the claim's ``as_of``: event time, so a replay gives the same bytes. ``links`` and ``group`` are
    only there where there are some.
    """
    action, at_risk = claim.action, claim.at_risk
    return {
        "specversion": "1.0",
        "id": claim.id,
        "source": SOURCE,
        "type": f"cx.alert.{claim.state}.v1",
        "time": format_ms(claim.as_of_ms),
        "subject": claim.subject,
        "severitytext": claim.severity,
        "datacontenttype": "application/json",
        "dataschema": DATASCHEMA,
        "data": {
            "alert": claim.alert,
            "state": claim.state,
            "reason": claim.reason,
            "fingerprint": claim.fingerprint,
            "labels": claim.labels,
            "annotations": claim.annotations,
            "starts_at": format_ms(claim.starts_at_ms),
            "ends_at": None if claim.ends_at_ms is None else format_ms(claim.ends_at_ms),
            "as_of": format_ms(claim.as_of_ms),
            "claim": claim.figures,
            "baseline": claim.baseline,
            "drivers": [
                {"slice": driver.slice, "service": driver.service, "mix": driver.mix}
                for driver in claim.drivers
            ],
            "at_risk": None
            if at_risk is None
            else {"customers": at_risk.customers, "value": at_risk.value, "currency": at_risk.currency},
            "action": None
            if action is None
            else {
                "type": action.type,
                "owner": action.owner,
                "due_by": None if action.due_by_ms is None else format_ms(action.due_by_ms),
            },
            "hold_out": claim.hold_out,
            **({"links": claim.links} if claim.links else {}),
            **({} if claim.group is None else {"group": claim.group}),
        },
    }


def encode_event(claim: Claim) -> bytes:
    """The bytes of the event; the key of the record is ``claim.fingerprint``."""
    return _encoder.encode(to_cloudevent(claim))
