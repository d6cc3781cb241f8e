"""What a customer's alert has to pass before it is told: silences, quiet hours, the cap, limits, the hold-out.

In this order, so that what is not told anyway takes nobody's place under a cap or a limit. Quiet hours and the
cap are about alerts that ask for an action. A held-out customer's alerts pass as all others do, and count as
contacts, so that both groups are alike but for the action.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum
from functools import lru_cache
from typing import TYPE_CHECKING, Final
from zoneinfo import ZoneInfo

from msgspec.structs import replace

from schemas import format_ms
from stream.alerting.claims import Claim, Decision, claim_id, decode_claim, encode_claim
from stream.alerting.matching import labels_of, matches
from stream.alerting.watch import DELAYED, SUPPRESSED, TOLD, Told, Watch

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from stream.alerting.hygiene import Contact, Hygiene, QuietHours, Silence
    from stream.alerting.limits import RateLimits
    from stream.alerting.model import Rule

_DAY_MINUTES: Final = 24 * 60
_MINUTE_MS: Final = 60_000


class Reason(StrEnum):
    """Why an alert about a customer was, or was not, told."""

    MATCHED = "matched"
    IN_COOLDOWN = "in_cooldown"
    SILENCED = "silenced"
    SILENCE_ENDED = "silence_ended"
    QUIET_HOURS = "quiet_hours"
    CAPPED = "capped"
    RATE_LIMITED = "rate_limited"
    HELD_OUT = "held_out"
    OVER_BEFORE_TOLD = "over_before_told"


@dataclass(slots=True)
class Outbox:
    """What came of the alerts about customers: claims to publish, reasons counted, decisions to tell."""

    claims: list[Claim] = field(default_factory=list)
    counted: Counter[str] = field(default_factory=Counter)
    decided: list[Decision] = field(default_factory=list)

    def decide(self, claim: Claim, reason: str, since_ms: int | None = None) -> None:
        """Note why an alert is, or is not, told."""
        self.counted[reason] += 1
        since_ms = claim.starts_at_ms if since_ms is None else since_ms
        self.decided.append(
            Decision(
                "customer", claim.alert, claim.fingerprint, claim.labels, reason, claim.as_of_ms, since_ms
            )
        )

    def tell(self, claim: Claim, reason: str | None = None) -> None:
        """Publish a claim, for its own reason or another."""
        self.claims.append(claim)
        self.decide(claim, claim.reason if reason is None else reason)


class Gate:
    """What alerts about customers have to pass under one rule book.

    Args:
        hygiene: of the book.
        limits: of the partition.
        silences: those given from outside; the list may change.
    """

    def __init__(self, hygiene: Hygiene, limits: RateLimits, silences: Sequence[Silence] = ()) -> None:
        self._hygiene = hygiene
        self._limits = limits
        self._silences = silences
        self._guarded = bool(hygiene.silences or hygiene.contact or hygiene.hold_out)

    def open(self, rule: Rule) -> bool:
        """Whether nothing can keep the rule's alerts back."""
        return not (self._guarded or self._silences or rule.limit)

    def tell(self, rule: Rule, claim: Claim, watch: Watch, told: Told, outbox: Outbox, clock_ms: int) -> None:
        """Tell a firing claim, now, later or never; ``told`` is made to say which.

        Args:
            rule: whose it is.
            claim: as it would be told.
            watch: of its customer; contacts and alerts of limited rules are noted there.
            told: what is kept of the alert.
            outbox: takes it.
            clock_ms: up to when all is known.
        """
        told.due_ms = 0
        told.claim = b""
        told.status = SUPPRESSED
        contact = self._hygiene.contact if claim.action is not None else None
        silent_ms = self._silent_until(claim)
        if silent_ms:
            outbox.decide(claim, Reason.SILENCED)
            if told.lives:  # told then, if it is not over
                told.status, told.due_ms, told.claim = DELAYED, silent_ms, encode_claim(claim)
            return
        until_ms = 0 if contact is None else quiet_until(contact.quiet, claim.as_of_ms)
        if until_ms:
            outbox.decide(claim, Reason.QUIET_HOURS)
            told.status, told.due_ms, told.claim = DELAYED, until_ms, encode_claim(claim)
            return
        if contact is not None and _capped(contact, watch, claim.as_of_ms):
            outbox.decide(claim, Reason.CAPPED)
            return
        if not self._limits.admits(rule.alert, watch, claim.as_of_ms, clock_ms):
            outbox.decide(claim, Reason.RATE_LIMITED)
            return
        if contact is not None and contact.per_customer is not None:
            floor_ms = max([claim.as_of_ms, *watch.contacts]) - contact.within_ms
            watch.contacts = [at for at in watch.contacts if at > floor_ms] + [claim.as_of_ms]
        reason = None
        if claim.action is not None and held_out(claim.subject, self._hygiene.hold_out):
            claim, reason = replace(claim, action=None, hold_out=True), Reason.HELD_OUT
        told.status = TOLD
        told.claim = encode_claim(claim) if told.rule else b""
        outbox.tell(claim, reason)

    def tell_late(
        self, rules: Mapping[str, Rule], watch: Watch, told: Told, outbox: Outbox, clock_ms: int
    ) -> None:
        """Tell a claim of which what kept it back is over, as of then; if its rule is gone, never."""
        claim = decode_claim(told.claim)
        rule = rules.get(claim.alert)
        due_ms = told.due_ms
        told.due_ms = 0
        if rule is None:
            told.status, told.claim = SUPPRESSED, b""
            outbox.decide(claim, Reason.OVER_BEFORE_TOLD)
            return
        action = claim.action
        if action is not None and action.due_by_ms is not None:
            action = replace(action, due_by_ms=action.due_by_ms + due_ms - claim.as_of_ms)
        since = claim.figures.get("delayed_from", format_ms(claim.as_of_ms))
        contact = self._hygiene.contact
        quiet = contact is not None and quiet_until(contact.quiet, claim.as_of_ms) == due_ms
        claim = replace(
            claim,
            id=claim_id(claim.fingerprint, "firing", due_ms, claim.id),
            reason=claim.reason if quiet else Reason.SILENCE_ENDED.value,
            as_of_ms=due_ms,
            action=action,
            figures={**claim.figures, "delayed_from": since},
        )
        self.tell(rule, claim, watch, told, outbox, clock_ms)

    def _silent_until(self, claim: Claim) -> int:
        """The end of a silence that the claim falls into; 0 where it falls into none."""
        labels: dict[str, str] | None = None
        for silence in (*self._hygiene.silences, *self._silences):
            if silence.starts_at_ms <= claim.as_of_ms < silence.ends_at_ms:
                labels = labels_of(claim) if labels is None else labels
                if matches(silence.matchers, labels):
                    return silence.ends_at_ms
        return 0


def held_out(subject: str, share: float) -> bool:
    """Whether a customer is among the share whose actions are withheld: always the same customers.

    One of a smaller share is in every larger one.
    """
    if not share:
        return False
    digest = hashlib.blake2b(subject.encode("utf-8", "surrogatepass"), digest_size=8, person=b"hold-out")
    return int.from_bytes(digest.digest(), "big") < share * 2**64


def quiet_until(quiet: QuietHours | None, at_ms: int) -> int:
    """The end of the quiet hours a moment lies in; 0 where it lies in none.

    Hours are those on the clock of the time zone. What the clock jumps over in spring is as if it had not.
    """
    if quiet is None:
        return 0
    local = datetime.fromtimestamp(at_ms // 1000, _zone(quiet.time_zone))
    minute = local.hour * 60 + local.minute
    first, last = quiet.from_minute, quiet.to_minute
    if (minute - first) % _DAY_MINUTES >= (last - first) % _DAY_MINUTES:
        return 0
    day = local.date() + timedelta(days=minute >= last)
    end = datetime(day.year, day.month, day.day, last // 60, last % 60, tzinfo=local.tzinfo)
    # Where the clock goes back, an hour comes twice: the end may be the earlier one of them.
    return max(int(end.timestamp()) * 1000, (at_ms // _MINUTE_MS + 1) * _MINUTE_MS)


@lru_cache(maxsize=16)
def _zone(name: str) -> ZoneInfo:
    return ZoneInfo(name)


def _capped(contact: Contact, watch: Watch, at_ms: int) -> bool:
    if contact.per_customer is None:
        return False
    return sum(at > at_ms - contact.within_ms for at in watch.contacts) >= contact.per_customer
