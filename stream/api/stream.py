"""``/v1/stream``: alerts and metrics as they come, as server-sent events; resumed where it was cut."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import TYPE_CHECKING, Annotated, Any, Final, Literal

import msgspec
from aiokafka import TopicPartition
from aiokafka.errors import KafkaError
from fastapi import APIRouter, Header, Query
from starlette.responses import Response

from stream import topics
from stream.api import positions
from stream.api.parts import READ, Followed, Slices, Where, problems
from stream.api.problems import Failed
from stream.brokers.reading import groupless
from stream.measures.slices import parse_slice

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from starlette.types import Receive, Scope, Send

    from stream.api.live import Told
    from stream.api.parts import Parts
    from stream.api.positions import Offsets

router = APIRouter(prefix="/v1", tags=["stream"], dependencies=READ)

KEEP_ALIVE_S: Final = 15.0
SEND_S: Final = 30.0
"""Who does not take an event within this is let go, and may resume."""
_RETRY_MS: Final = 2_000
_POLL_MS: Final = 500
_CUSTOMER: Final = "customer:"

Only = Literal["alerts", "metrics"]


class _Stream:
    """One reader of the stream."""

    def __init__(self, parts: Parts, only: set[str], where: Where, customers: bool) -> None:
        self._parts = parts
        self._live = parts.live
        self._alerts = "alerts" in only
        self._metrics = "metrics" in only
        self._where = where
        self._customers = customers
        self._seen_alerts: Offsets = {}
        self._seen_metrics: Offsets = {}

    async def run(self, last_id: tuple[Offsets, Offsets] | None) -> AsyncIterator[bytes]:
        """The events as bytes, until the process ends."""
        live = self._live
        yield f"retry: {_RETRY_MS}\n\n".encode()
        number = live.number
        if last_id is None:
            self._seen_alerts, self._seen_metrics = dict(live.alerts.ends), dict(live.metrics.ends)
        else:
            self._seen_alerts, self._seen_metrics = last_id
            async for event in self._resumed():
                yield event
            number = live.number
            for _, text in self._after(0):
                if text is not None:
                    yield text
        handled = live.handled
        yield self._event("ready", b"{}")
        while not live.closing:
            if self._alerts and live.handled != handled:
                handled = live.handled
                yield self._event("changed", b'{"what":"alerts"}')
            if found := self._after(number):
                for told, text in found:
                    number = told.number
                    if text is not None:
                        yield text
                continue
            # Nothing was awaited since it was looked: no news is missed.
            try:
                async with asyncio.timeout(KEEP_ALIVE_S):
                    await live.news()
            except TimeoutError:
                yield f": still there\nid: {self._id}\n\n".encode()

    @property
    def _id(self) -> str:
        return positions.written(self._seen_alerts, self._seen_metrics)

    def _after(self, number: int) -> list[tuple[Told, bytes | None]]:
        """What came after, in order, and what of it goes out; marks it as seen."""
        alerts = [(told, True) for told in self._live.alerts.after(number)] if self._alerts else []
        metrics = [(told, False) for told in self._live.metrics.after(number)] if self._metrics else []
        found: list[tuple[Told, bytes | None]] = []
        for told, is_alert in sorted([*alerts, *metrics]):
            seen = self._seen_alerts if is_alert else self._seen_metrics
            if told.offset <= seen.get(told.partition, -1):
                found.append((told, None))
                continue
            seen[told.partition] = told.offset
            found.append((told, self._alert(told.value) if is_alert else self._metric(told)))
        return found

    async def _resumed(self) -> AsyncIterator[bytes]:
        """What the memory of this process does not reach back to, from Kafka."""
        live = self._live
        if self._metrics and not self._fits(self._seen_metrics, live.metrics):
            yield self._reset("metrics", live.metrics.ends, self._seen_metrics)
        if not self._alerts:
            return
        if any(
            live.alerts.ends.get(partition, -1) < offset for partition, offset in self._seen_alerts.items()
        ):
            yield self._reset("alerts", live.alerts.ends, self._seen_alerts)
        while not live.alerts.covers(self._seen_alerts):
            try:
                async for event in self._from_kafka():
                    yield event
            except _Gone:
                yield self._reset("alerts", live.alerts.ends, self._seen_alerts)

    def _fits(self, seen: Offsets, recent: Any) -> bool:
        known = all(recent.ends.get(partition, -1) >= offset for partition, offset in seen.items())
        return known and bool(recent.covers(seen))

    async def _from_kafka(self) -> AsyncIterator[bytes]:
        """The alerts between what was seen and what this process has read."""
        ends = {partition: end + 1 for partition, end in self._live.alerts.ends.items()}
        sources = [
            TopicPartition(topics.ALERTS, partition)
            for partition, end in ends.items()
            if self._seen_alerts.get(partition, -1) + 1 < end
        ]
        settings = self._parts.settings
        consumer = groupless(settings, reset="none")
        try:
            await consumer.start()
            consumer.assign(sources)
            begins = await consumer.beginning_offsets(sources)
            for source in sources:
                start = self._seen_alerts.get(source.partition, -1) + 1
                if source.partition in self._seen_alerts and begins[source] > start:
                    raise _Gone
                consumer.seek(source, max(start, begins[source]))
                self._seen_alerts[source.partition] = max(start, begins[source]) - 1
            left = set(sources)
            while left := {each for each in left if await consumer.position(each) < ends[each.partition]}:
                fetched = await consumer.getmany(*left, timeout_ms=_POLL_MS, max_records=500)
                for source, records in fetched.items():
                    for record in records:
                        if record.offset >= ends[source.partition]:
                            break
                        self._seen_alerts[source.partition] = record.offset
                        value = record.value
                        gone = value is None or self._live.erased(value, source.partition, record.offset)
                        event = None if gone else self._alert(value)
                        if event is not None:
                            yield event
            for partition, end in ends.items():
                self._seen_alerts[partition] = max(self._seen_alerts.get(partition, -1), end - 1)
        except KafkaError as error:
            raise _Gone from error
        finally:
            await consumer.stop()

    def _alert(self, value: bytes) -> bytes | None:
        try:
            subject = _subject(value).subject
        except (msgspec.DecodeError, UnicodeDecodeError):
            return None  # no alert, whoever wrote it
        if subject.startswith(_CUSTOMER) and not self._customers:
            return None
        return self._event("alert", value)

    def _metric(self, told: Told) -> bytes | None:
        try:
            members = parse_slice(told.key)
        except (ValueError, AttributeError):
            return None
        return self._event("metrics", told.value) if self._where.holds(members) else None

    def _reset(self, what: str, ends: Offsets, seen: Offsets) -> bytes:
        seen.clear()
        seen.update(ends)
        return self._event("reset", msgspec.json.encode({"what": what}))

    def _event(self, name: str, data: bytes) -> bytes:
        self._parts.telemetry.streamed(name)
        # JSON needs no line ends, and an event's data must have none.
        data = data.replace(b"\r", b" ").replace(b"\n", b" ")
        return b"event: %b\nid: %b\ndata: %b\n\n" % (name.encode(), self._id.encode(), data)


class EventStream(Response):
    """Sends what a stream yields, until the reader leaves, is too slow, or the process ends."""

    media_type = "text/event-stream"

    def __init__(self, parts: Parts, events: AsyncIterator[bytes]) -> None:
        super().__init__(headers={"Cache-Control": "no-store", "X-Accel-Buffering": "no"})
        del self.headers["content-length"]
        self._parts = parts
        self._events = events

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:  # noqa: ARG002 - ASGI's
        """Serve."""
        self._count(1)
        sending = asyncio.create_task(self._send(send))
        leaving = asyncio.create_task(_left(receive))
        try:
            await asyncio.wait({sending, leaving}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in (sending, leaving):
                task.cancel()
            results = await asyncio.gather(sending, leaving, return_exceptions=True)
            self._count(-1)
        failed = results[0]
        if isinstance(failed, Exception) and not isinstance(failed, (TimeoutError, OSError)):
            raise failed

    async def _send(self, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": self.raw_headers})
        async for event in self._events:
            async with asyncio.timeout(SEND_S):
                await send({"type": "http.response.body", "body": event, "more_body": True})
        with suppress(OSError):
            await send({"type": "http.response.body", "body": b"", "more_body": False})

    def _count(self, more: int) -> None:
        self._parts.streams += more
        self._parts.telemetry.streams(self._parts.streams)


@router.get(
    "/stream",
    status_code=200,
    response_class=EventStream,
    responses={
        200: {
            "description": "Server-sent events: `alert`, `metrics`, `changed`, `ready`, `reset`",
            "content": {"text/event-stream": {"schema": {"type": "string"}}},
        },
        **problems(400, 401, 403, 422, 429, 503),
    },
)
async def stream(
    parts: Followed,
    where: Slices,
    only: Annotated[list[Only] | None, Query(description="one of the two; without it: both")] = None,
    customers: Annotated[bool, Query(description="alerts about single customers as well")] = False,
    last_event_id: Annotated[str | None, Header(description="go on after the event with this id")] = None,
    after: Annotated[
        str | None, Query(max_length=16_384, description="as Last-Event-ID, for those who cannot send it")
    ] = None,
) -> Response:
    """Alerts and metrics as they are published. Metrics can be narrowed to slices, as in `/v1/metrics`.

    `changed` says that somebody acted on alerts or silenced some, whose list may be read again.
    `ready` says that what follows is new. After a cut, send the last `id` as `Last-Event-ID`: every alert since
    then comes, and of each slice the newest values. `reset` says that this cannot be: read the lists again.
    """
    given = last_event_id or after
    try:
        last = None if not given else positions.read(given)
    except ValueError:
        raise Failed(400, "bad-request", "Last-Event-ID is no id of this stream") from None
    if parts.streams >= parts.settings.api_streams:
        raise Failed(503, "busy", "as many event streams are open as CX_API_STREAMS allows", retry_after=10)
    reader = _Stream(parts, set(only or ("alerts", "metrics")), where, customers)
    return EventStream(parts, reader.run(last))


class _Subject(msgspec.Struct):
    subject: str = ""


class _Gone(Exception):  # noqa: N818 - reads as what happened
    """Kafka no longer has what comes next, or does not answer."""


_subject = msgspec.json.Decoder(_Subject).decode


async def _left(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
