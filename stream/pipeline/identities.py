"""Ids of one person that lie in different partitions: merged, and their records brought together. Pure.

The partition of the id that stays sees ``identified`` and tells that of the alias, by a record on each of its
inputs. What comes after these is passed on; once both are there, the alias' state is sent, by another record. So
where an id is merged is a place in each log, however the two interleave, and a replay passes the same records on.
All of it is on the logs, in order; what is published again after a crash is known by its number, or its event id.
"""

from __future__ import annotations

from hashlib import blake2b
from typing import TYPE_CHECKING, Final, NamedTuple

import msgspec
from msgspec.structs import force_setattr, replace

from schemas.record import MAX_CUSTOMER_ID
from stream.customers import APPLIED, DUPLICATE, Customer, decode, fold, was_applied
from stream.customers.ids import ALIAS, ALIASED, JOINED, NEW, NOT_YET, TO, Ids
from stream.customers.joining import join, note_alias, part, repeated
from stream.customers.state import story_of
from stream.pipeline.changes import FORWARDED, Passed

if TYPE_CHECKING:
    from collections.abc import Sequence

    from stream.customers import Contributor, Telling
    from stream.customers.contribute import Contribution
    from stream.intake import Event
    from stream.pipeline.changes import CustomersChanges, PipelineConfig
    from stream.pipeline.merging import Inlet, SourceRecord

#: Of a record that was passed on: its number among those of the alias and the topic, a space, the alias.
PASSED_HEADER: Final = "cx-passed"
#: Of records between partitions: the state that goes, or nothing. Without it a kind is but a kind.
MERGE_HEADER: Final = "cx-merge"
#: Other ids that one person may have.
MAX_ALIASES: Final = 64

# Why an ``identified`` is not followed; counted with other touchpoints that do not fit.
BAD_ALIAS: Final = "bad_alias"
ALIAS_IS_ITSELF: Final = "alias_is_itself"
ALIAS_ELSEWHERE: Final = "alias_elsewhere"
ALIAS_IN_RING: Final = "alias_in_ring"
TOO_MANY_ALIASES: Final = "too_many_aliases"

_encode: Final = msgspec.json.Encoder().encode


class Ended(NamedTuple):
    """What became of a record that is not folded as others are.

    Attributes:
        verdict: applied, duplicate or forwarded.
        given: what it contributes to measures.
        joined: the state that was joined to the customer's, for the rules; None: none was.
    """

    verdict: str
    given: Sequence[Contribution] = ()
    joined: Customer | None = None


def from_worker(headers: Sequence[tuple[str, bytes]]) -> bool:
    """Whether a worker has put a record on the input, which then was judged by its time already."""
    return any(name in (PASSED_HEADER, MERGE_HEADER) for name, _ in headers)


def readdress(event: Event, record: SourceRecord) -> None:
    """Let a record that was passed on be one of the id that stays, which is its key."""
    for name, value in record.headers:
        if name == PASSED_HEADER and _numbered(value) is not None:
            to = None if record.key is None else _text(record.key)
            if to is not None and _is_id(to):
                force_setattr(event, "customer_id", to)


class Identities:
    """Of one partition of the inputs.

    Args:
        config: what decides the outcome.
        contributor: what events contribute to measures.
    """

    def __init__(self, config: PipelineConfig, contributor: Contributor) -> None:
        self._topics = config.topics
        self._config = config.customers
        self._thin = replace(config.customers, profile=False, spend=False)
        self._contributor = contributor

    def first(
        self,
        customer: Customer,
        event: Event,
        record: SourceRecord,
        inlet: Inlet,
        telling: Telling,
        changes: CustomersChanges,
    ) -> Ended | None:
        """Take in a record that has headers, or whose customer has several ids; None: as any other.

        Args:
            customer: of the record's key; changed in place.
            event: what it says.
            record: as it came.
            inlet: of its topic.
            telling: of the batch.
            changes: what is to be published is added here.
        """
        offset, second = record.offset, int(inlet.code == "r")
        passed = merge = None
        for name, value in record.headers:
            if name == PASSED_HEADER:
                passed = value
            elif name == MERGE_HEADER:
                merge = value
        ids = customer.known.ids
        came = None if passed is None else _numbered(passed)
        if came is not None and offset > (customer.stamp_r if second else customer.stamp_t):
            number, alias = came
            if ids is not None and number <= ids.aliases.get(alias, NEW)[second]:
                return Ended(repeated(customer, inlet.code, offset, self._config))
            note_alias(customer, alias, came=(0, number) if second else (number, 0))
            ids = customer.known.ids
        moved = ids is not None and ids.to is not None and offset > ids.since[second]
        if merge is not None and event.kind == ALIASED:
            return self._aliased(customer, event, record, inlet, telling, changes)
        if merge is not None and event.kind == JOINED:
            back = event.attributes is not None and event.attributes.get(ALIAS) == event.customer_id
            if not moved or back:
                return self._joined(customer, event, merge, offset, inlet, telling, changes)
        return self._pass_on(customer, event, record, inlet, changes) if moved else None

    def identified(self, customer: Customer, event: Event, changes: CustomersChanges) -> None:
        """Two ids are of one person, as a record says that was applied just now: tell the alias' partition."""
        alias = None if event.attributes is None else event.attributes.get(ALIAS)
        ids = customer.known.ids
        held = {} if ids is None else ids.aliases
        if not isinstance(alias, str) or not _is_id(alias):
            changes.unpaired[BAD_ALIAS] += 1
        elif alias == event.customer_id:
            changes.unpaired[ALIAS_IS_ITSELF] += 1
        elif held.get(alias, NEW)[2]:
            return  # it is known
        elif len(held) >= MAX_ALIASES:
            changes.unpaired[TOO_MANY_ALIASES] += 1
        else:
            says = {TO: event.customer_id}
            changes.passed += [_between(topic, ALIASED, event, alias, says) for topic in self._topics]

    def _aliased(
        self,
        customer: Customer,
        event: Event,
        record: SourceRecord,
        inlet: Inlet,
        telling: Telling,
        changes: CustomersChanges,
    ) -> Ended:
        """This id is merged into another one."""
        name = event.customer_id
        verdict = self._thinly(customer, event, record.offset, inlet.code)
        to = None if event.attributes is None else event.attributes.get(TO)
        if verdict is not APPLIED:
            return self._again(customer, event, record.offset, inlet, verdict)
        ids = customer.known.ids
        if ids is None:
            ids = customer.known.ids = Ids()
        why = self._why_not(ids, name, to)
        if why is not None:
            changes.unpaired[why] += inlet.topic == self._topics[0]  # it is told on both
        elif isinstance(to, str) and ids.since[inlet.code == "r"] == NOT_YET:
            ids.to = to
            first, second = ids.since
            ids.since = (first, record.offset) if inlet.code == "r" else (record.offset, second)
            if ids.gone:
                state = part(customer, telling.durable)
                changes.passed.append(_between(self._topics[0], JOINED, event, to, {ALIAS: name}, state))
        return Ended(APPLIED)

    @staticmethod
    def _why_not(ids: Ids, name: str, to: object) -> str | None:
        """Why an id cannot be merged into another one; None: it can."""
        if not isinstance(to, str) or not _is_id(to):
            return BAD_ALIAS
        if to == name:
            return ALIAS_IS_ITSELF
        if ids.to not in {None, to}:
            return ALIAS_ELSEWHERE
        return ALIAS_IN_RING if ids.to is None and ids.aliases.get(to, NEW)[2] else None

    def _joined(
        self,
        customer: Customer,
        event: Event,
        state: bytes,
        offset: int,
        inlet: Inlet,
        telling: Telling,
        changes: CustomersChanges,
    ) -> Ended:
        """An alias' history comes; where it is one's own that comes back, several ids were merged in a ring."""
        verdict = self._thinly(customer, event, offset, inlet.code)
        arrival = offset << 1
        if verdict is not APPLIED:
            ended = self._again(customer, event, offset, inlet, verdict)
            given = self._contributor.again(customer, arrival, telling) if ended.verdict is APPLIED else ()
            return Ended(ended.verdict, given)
        alias = None if event.attributes is None else event.attributes.get(ALIAS)
        ids = customer.known.ids
        if not isinstance(alias, str) or (ids is not None and ids.aliases.get(alias, NEW)[2]):
            return Ended(APPLIED)  # by an earlier run over the same log
        try:
            other = decode(state)
            story_of(other, telling.durable)
        except msgspec.DecodeError:
            changes.unpaired[BAD_ALIAS] += 1
            return Ended(APPLIED)
        join(customer, other, (event.customer_id, alias), arrival, self._config)
        ids = customer.known.ids
        if ids is not None and alias == event.customer_id:
            ids.to, ids.since = None, (NOT_YET, NOT_YET)
            del ids.aliases[alias]
        return Ended(APPLIED, self._contributor.joined(customer, other, arrival, telling), other)

    def _pass_on(
        self, customer: Customer, event: Event, record: SourceRecord, inlet: Inlet, changes: CustomersChanges
    ) -> Ended:
        verdict = self._thinly(customer, event, record.offset, inlet.code)
        ids = customer.known.ids
        if ids is not None and ids.gone:
            customer.last_ms = max(customer.last_ms, event.time_ms)  # how long ids of records are remembered
        if verdict is APPLIED and ids is not None and ids.to is not None:
            first, second = ids.sent
            ids.sent = sent = (first, second + 1) if inlet.code == "r" else (first + 1, second)
            number = b"%d %b" % (sent[inlet.code == "r"], event.customer_id.encode())
            kept = [each for each in record.headers if each[0] != PASSED_HEADER]
            changes.passed.append(
                Passed(inlet.topic, ids.to.encode(), record.value or b"", [*kept, (PASSED_HEADER, number)])
            )
            return Ended(FORWARDED)
        ended = self._again(customer, event, record.offset, inlet, verdict)
        return Ended(FORWARDED) if ended.verdict is APPLIED else ended

    def _thinly(self, customer: Customer, event: Event, offset: int, code: str) -> str:
        """Note only that a record was there."""
        events, last_ms, purchases = customer.events, customer.last_ms, customer.purchases
        verdict = fold(customer, event, code, offset, self._thin)
        customer.events, customer.last_ms, customer.purchases = events, last_ms, purchases
        return verdict

    def _again(self, customer: Customer, event: Event, offset: int, inlet: Inlet, verdict: str) -> Ended:
        """What became of a record that was there before."""
        if verdict is DUPLICATE or not was_applied(customer, event, inlet.code, offset, self._config):
            return Ended(DUPLICATE)
        return Ended(APPLIED)


def _between(
    topic: str, kind: str, cause: Event, to: str, says: dict[str, str], state: bytes = b""
) -> Passed:
    """A record from one partition to another; of the same two ids it is the same."""
    mark = blake2b("\0".join((topic, kind, to, *says.values())).encode(), digest_size=12).hexdigest()
    value = {
        "event_id": f"{kind}-{mark}",
        "customer_id": to,
        "occurred_at": cause.time_ms,
        "kind": kind,
        "attributes": says,
    }
    return Passed(topic, to.encode(), _encode(value), [(MERGE_HEADER, state)])


def _numbered(value: bytes | None) -> tuple[int, str] | None:
    """Number and alias of a record that was passed on; None: the header makes no sense."""
    number, _, alias = (value or b"").partition(b" ")
    text = _text(alias)
    return (int(number), text) if number.isdigit() and text is not None and _is_id(text) else None


def _text(data: bytes) -> str | None:
    try:
        return data.decode()
    except UnicodeDecodeError:
        return None


def _is_id(text: str) -> bool:
    """Whether a text can be a customer's id, and a key."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return 0 < len(text) <= MAX_CUSTOMER_ID and "\0" not in text
