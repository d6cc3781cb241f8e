"""What is owed to one target, and whether it can be sent now."""

from __future__ import annotations

import hashlib
from collections import deque
from dataclasses import dataclass
from heapq import heappop, heappush
from typing import TYPE_CHECKING, Final

from stream.delivery.model import Kind
from stream.delivery.records import Held, Trouble
from stream.delivery.schedule import LONGEST_ASKED_MS, delay_ms

if TYPE_CHECKING:
    from stream.delivery.model import Target

#: Requests to one target at once, from one partition. Slack takes about one a second.
AT_ONCE: Final = {Kind.WEBHOOK: 4}
#: Alerts in one push to an Alertmanager.
PUSH: Final = 200
#: An alert about a single customer is pushed to an Alertmanager no longer than this.
CUSTOMER_HELD_MS: Final = 24 * 3_600_000


@dataclass(frozen=True, slots=True)
class Parcel:
    """One request: to Alertmanager with many alerts, to others with one.

    ``offsets`` are those of the entries it settles; without any it pushes again what fires.
    """

    target: Target
    offsets: tuple[int, ...]
    events: tuple[bytes, ...]
    started_ms: int


class Line:
    """Offsets owed to a target. Alerts of one fingerprint go one after the other, in their order."""

    def __init__(self, target: Target) -> None:
        self.target = target
        self.mark = mark_of(target)
        self.owed: dict[int, str] = {}  # offset -> fingerprint, the longest owed first
        self.trouble: Trouble | None = None
        self.held: dict[str, Held] = {}
        self.flying: set[int] = set()
        self.requests = 0
        self._queues: dict[str, deque[int]] = {}
        self._ready: list[int] = []
        self._later: list[tuple[int, int]] = []
        self._alone: set[int] = set()
        self._again_ms = 0
        self._again: deque[tuple[str, ...]] = deque()

    def add(self, offset: int, fingerprint: str, next_ms: int = 0, *, alone: bool = False) -> None:
        """Owe one more; ``alone``: in a request of its own."""
        if alone:
            self._alone.add(offset)
        self.owed[offset] = fingerprint
        queue = self._queues.setdefault(fingerprint, deque())
        queue.append(offset)
        if len(queue) == 1:
            self._offer(offset, next_ms)

    def remove(self, offset: int) -> None:
        """It is owed no more, for whatever reason; the next of its fingerprint may go."""
        fingerprint = self.owed.pop(offset, None)
        self.flying.discard(offset)
        self._alone.discard(offset)
        if fingerprint is None:
            return
        queue = self._queues[fingerprint]
        head = queue[0] == offset
        queue.remove(offset)
        if not queue:
            del self._queues[fingerprint]
        elif head:
            self._offer(queue[0], 0)

    def retry(self, offset: int, next_ms: int, *, alone: bool = False) -> None:
        """It was not delivered: it may go again from then on."""
        if alone:
            self._alone.add(offset)
        self.flying.discard(offset)
        self._offer(offset, next_ms)

    def waiting(self, fingerprint: str) -> list[int]:
        """What is owed of a fingerprint and not on its way."""
        return [offset for offset in self._queues.get(fingerprint, ()) if offset not in self.flying]

    def take(self, now_ms: int) -> list[int]:
        """Offsets of the next request, now; empty when nothing may be sent."""
        if not self._free(now_ms):
            return []
        while self._later and self._later[0][0] <= now_ms:
            heappush(self._ready, heappop(self._later)[1])
        found: list[int] = []
        most = PUSH if self.target.kind is Kind.ALERTMANAGER else 1
        while self._ready and len(found) < most:
            offset = heappop(self._ready)
            if not self._is_head(offset) or offset in self.flying:
                continue
            if offset in self._alone and found:
                heappush(self._ready, offset)
                break
            found.append(offset)
            self.flying.add(offset)
            if offset in self._alone:
                break
        if found:
            self.requests += 1
        return found

    def again(self, now_ms: int) -> tuple[str, ...]:
        """Fingerprints that fire in an Alertmanager and are to be pushed again now; empty when none are."""
        if not self._free(now_ms):
            return ()
        if not self._again and self.held and now_ms >= self._again_ms:
            self._again_ms = now_ms + self.target.resend_ms
            marks = list(self.held)
            self._again = deque(tuple(marks[at : at + PUSH]) for at in range(0, len(marks), PUSH))
        while self._again:
            found = tuple(mark for mark in self._again.popleft() if mark in self.held)
            if found:
                self.requests += 1
                return found
        return ()

    def hold(self, fingerprint: str, held: Held, now_ms: int) -> None:
        """It fires there: push it again from the next round on."""
        if not self.held:
            self._again_ms = now_ms + self.target.resend_ms
        self.held[fingerprint] = held

    def next_ms(self, now_ms: int) -> int | None:
        """When ``take`` or ``again`` may have something; None: not before something else happens."""
        if self.trouble is not None:
            idle = self.trouble.gone or self.requests or not (self.owed or self.held)
            return None if idle else max(now_ms, self.trouble.next_ms)
        if self.requests >= self._at_once:
            return None
        moments: list[int] = [now_ms] if self._ready or self._again else []
        if self._later:
            moments.append(self._later[0][0])
        if self.held:
            moments.append(self._again_ms)
        return max(now_ms, min(moments)) if moments else None

    def failed(self, now_ms: int, started_ms: int, why: str, asked_ms: int | None, seed: str) -> None:
        """The target is in trouble. Requests that were under way together are one failure."""
        trouble = self.trouble
        if trouble is None:
            trouble = self.trouble = Trouble(self.mark, 0, 0, now_ms, why, -1)
        if started_ms > trouble.failed_ms:
            trouble.failures += 1
            wait = delay_ms(trouble.failures, f"{seed}\0{self.target.key}")
            if asked_ms is not None:
                wait = max(wait, min(asked_ms, LONGEST_ASKED_MS))
            trouble.next_ms = now_ms + wait
        trouble.failed_ms, trouble.why = now_ms, why

    @property
    def _at_once(self) -> int:
        return AT_ONCE.get(self.target.kind, 1)

    def _free(self, now_ms: int) -> bool:
        if self.trouble is not None:  # one request says whether it is over
            return not self.trouble.gone and now_ms >= self.trouble.next_ms and not self.requests
        return self.requests < self._at_once

    def _is_head(self, offset: int) -> bool:
        fingerprint = self.owed.get(offset)
        return fingerprint is not None and self._queues[fingerprint][0] == offset

    def _offer(self, offset: int, next_ms: int) -> None:
        if next_ms:
            heappush(self._later, (next_ms, offset))
        else:
            heappush(self._ready, offset)


def mark_of(target: Target) -> str:
    """Which target this is, without telling anything of it."""
    mail = target.mail
    parts = [
        target.key,
        target.url.value if target.url is not None else "",
        "" if mail is None else f"{mail.host}:{mail.port} {mail.to}",
    ]
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()[:16]
