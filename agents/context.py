"""What every agent of a worker shares."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from stream import topics
from stream.alerting.decisions import encode_decisions
from stream.alerting.events import CONTENT_TYPE, encode_event
from stream.engine import Outgoing
from stream.tracing import OFF, Tracing

if TYPE_CHECKING:
    from collections.abc import Iterable

    from stream.alerting.claims import Claim, Decision
    from stream.alerting.rules import RuleBook
    from stream.engine import Batch, BatchApp
    from stream.feeds import Feeds
    from stream.pipeline import PipelineConfig
    from stream.privacy.feed import ErasureFeed
    from stream.serving import ReadModel, Telemetry
    from stream.settings import Settings
    from stream.tracing import Handler, R

ALERT_HEADERS = [("content-type", CONTENT_TYPE.encode())]


@dataclass(frozen=True, slots=True)
class Context:
    """The worker's app, settings, rules and outlets; ``readmodel`` None where there is no Redis.

    ``book`` has the rules the worker started with; ``feeds`` the versions that come after, and the silences.
    ``erasures`` who must be forgotten; None: nobody is. ``tracing`` is told what the agents do.
    """

    app: BatchApp
    settings: Settings
    config: PipelineConfig
    book: RuleBook
    telemetry: Telemetry
    readmodel: ReadModel | None
    feeds: Feeds
    erasures: ErasureFeed | None = None
    tracing: Tracing = OFF

    def rounds(self, handler: Handler[Batch, R]) -> Handler[Batch, R]:
        """A handler of batches, traced where traces are wanted."""
        return self.tracing.rounds(self.settings.app_id, handler)

    async def publish(self, topic: str, records: list[Outgoing]) -> None:
        """Publish and wait until the brokers have it all."""
        if records:
            await self.app.batch_producer.send_many(topic, records)

    async def publish_decisions(self, decisions: Iterable[Decision]) -> None:
        """Publish why rules did or did not lead to alerts; of each fingerprint and stage the last is enough."""
        await self.publish(
            topics.DECISIONS, [Outgoing(key, value) for key, value in encode_decisions(decisions).items()]
        )

    async def publish_alerts(self, claims: Iterable[Claim]) -> None:
        """Publish claims as alert events, then let the read model and the counters know."""
        events = [(claim, encode_event(claim)) for claim in claims]
        # The trace belongs to the record: the event is the same on every replay.
        headers = [*ALERT_HEADERS, *self.tracing.headers()]
        await self.publish(
            topics.ALERTS,
            [Outgoing(claim.fingerprint.encode(), event, headers) for claim, event in events],
        )
        for claim, event in events:
            self.telemetry.alert(claim.alert, claim.state)
            if self.readmodel is not None:
                self.readmodel.offer_alert(claim.fingerprint, claim.state, claim.as_of_ms, event)
