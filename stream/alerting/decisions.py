"""Decisions as they are on ``cx.decisions``: why a rule did, or did not, lead to an alert."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import msgspec

from schemas import format_ms

if TYPE_CHECKING:
    from collections.abc import Iterable

    from stream.alerting.claims import Decision

_encoder: Final = msgspec.json.Encoder()


def decision_key(decision: Decision) -> bytes:
    """The record's key: of each fingerprint and stage the newest is kept."""
    return f"{decision.fingerprint}|{decision.stage}".encode()


def to_record(decision: Decision) -> dict[str, Any]:
    """The record's value as an object, keys in the order of the contract."""
    return {
        "alert": decision.alert,
        "fingerprint": decision.fingerprint,
        "labels": decision.labels,
        "stage": decision.stage,
        "reason": decision.reason,
        "since": format_ms(decision.since_ms),
        "as_of": format_ms(decision.as_of_ms),
        "figures": decision.figures,
    }


def encode_decisions(decisions: Iterable[Decision]) -> dict[bytes, bytes]:
    """Key -> value: of several decisions about one fingerprint and stage the last."""
    newest = {decision_key(decision): decision for decision in decisions}
    return {key: _encoder.encode(to_record(decision)) for key, decision in newest.items()}
