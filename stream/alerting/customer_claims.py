"""Puts a claim about one customer into words: the same for rules on single records and on histories."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from schemas import format_ms
from stream.alerting.claims import Claim, claim_id, fingerprint
from stream.alerting.metric_claims import action_of

if TYPE_CHECKING:
    from collections.abc import Mapping

    from stream.alerting.model import Rule
    from stream.alerting.templates import Value


def customer_claim(
    rule: Rule,
    customer_id: str,
    at_ms: int,
    cause: str,
    reason: str,
    figures: dict[str, Any],
    seen: Mapping[str, Value],
    *,
    ref: str = "",
) -> Claim:
    """The claim of an alert that begins.

    Args:
        rule: Which one.
        customer_id: Whom it is about.
        at_ms: When, event time in epoch milliseconds.
        cause: Tells this beginning from every other one at that time.
        reason: Why it began.
        figures: What it claims.
        seen: Values of the texts' placeholders beside those that every alert has.
        ref: Alerts about different references are different ones.
    """
    subject = f"customer:{customer_id}"
    labels = dict(rule.labels)
    mark = fingerprint(rule.alert, labels, f"{subject}\0{ref}" if ref else subject)
    values: dict[str, Value] = {
        **labels,
        **seen,
        "alert": rule.alert,
        "customer": customer_id,
        "severity": str(rule.severity),
        "as_of": format_ms(at_ms),
    }
    return Claim(
        id=claim_id(mark, "firing", at_ms, cause),
        alert=rule.alert,
        subject=subject,
        state="firing",
        reason=reason,
        severity=str(rule.severity),
        fingerprint=mark,
        labels=labels,
        annotations={name: template.render(values) for name, template in rule.annotations},
        starts_at_ms=at_ms,
        ends_at_ms=None,
        as_of_ms=at_ms,
        figures=figures,
        action=action_of(rule.action, at_ms),
        links={name: template.render(values) for name, template in rule.links},
    )
