"""What the lane knows of one alert: whether it fires, what of it was told, and what became of it before."""

from __future__ import annotations

from typing import Final

import msgspec

from stream.alerting.claims import Claim, claim_id

#: Transitions remembered of one alert.
MOST_PAST: Final = 24


class Past(msgspec.Struct, array_like=True, frozen=True):
    """One transition of an alert, and what became of it: ``told`` or why it was not."""

    at_ms: int
    state: str
    reason: str
    starts_at_ms: int
    outcome: str


class Record(msgspec.Struct, array_like=True):
    """One fingerprint.

    Attributes:
        claim: the newest of the alert that fires; None while none does. Of an alert with something to tell,
            what is to be told.
        told: of the alert that fires, something was told.
        held: why news of it waits; empty where there are none.
        until_ms: when to look again, None where that is not known.
        source: the alert that inhibits it, while one does.
        outcome: the newest decision, and ``since_ms`` when it was made.
        past: oldest first.
    """

    claim: Claim | None = None
    told: bool = False
    held: str = ""
    until_ms: int | None = None
    outcome: str = ""
    since_ms: int = 0
    past: list[Past] = []
    source: str = ""

    def fires(self, claim: Claim) -> bool:
        """Whether a claim is about the alert that fires, and not about an earlier one.

        What is resolved is the alert that fires; late data may concern an earlier one.
        """
        if self.claim is None:
            return False
        return claim.state == "resolved" or self.claim.starts_at_ms == claim.starts_at_ms

    def told_before(self, starts_at_ms: int) -> bool:
        """Whether anything was told of the alert that began then. What is forgotten was."""
        known = [past.outcome for past in self.past if past.starts_at_ms == starts_at_ms]
        return not known or "told" in known

    def note(self, claim: Claim, at_ms: int, outcome: str) -> None:
        """Remember what became of a claim."""
        past = Past(at_ms, claim.state, claim.reason, claim.starts_at_ms, outcome)
        self.past = [*self.past, past][-MOST_PAST:]

    def follow(self, claim: Claim) -> None:
        """Take in a claim of the alert that fires and goes on.

        While it has not been told it is told as it began, with the newest figures.
        """
        was = self.claim
        if was is not None and (claim.state == "amended" or (not self.told and claim.state == was.state)):
            claim = msgspec.structs.replace(
                claim,
                state=was.state,
                reason=was.reason,
                id=claim_id(claim.fingerprint, was.state, claim.as_of_ms, claim.id),
            )
        self.claim = claim


def told_late(claim: Claim, reason: str, at_ms: int) -> Claim:
    """The claim as told when what kept it back is over."""
    name = claim_id(claim.fingerprint, claim.state, at_ms, f"{reason} {claim.id}")
    return msgspec.structs.replace(claim, id=name, reason=reason, as_of_ms=at_ms)
