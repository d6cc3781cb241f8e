"""Makes a request of a parcel, sends it, and says what came of it. Never raises for what a target does."""

from __future__ import annotations

import logging
import time
from typing import TYPE_CHECKING

from stream.delivery.bodies import CLOUDEVENT, JSON, slack, teams
from stream.delivery.letter import letter
from stream.delivery.mailing import Mailer
from stream.delivery.model import Kind
from stream.delivery.notice import decode
from stream.delivery.posting import Poster
from stream.delivery.push import PATH, alertmanager
from stream.delivery.records import Outcome
from stream.delivery.secrets import NotGiven, signing_secrets, url_of
from stream.delivery.signing import signed_headers
from stream.tracing import OFF, Tracing

if TYPE_CHECKING:
    from stream.delivery.line import Parcel
    from stream.delivery.model import DeliveryPlan, Given

_log = logging.getLogger(__name__)


class Sender:
    """Sends parcels to their targets."""

    def __init__(self, plan: DeliveryPlan, tracing: Tracing = OFF) -> None:
        self._poster = Poster(plan, tracing)
        self._mailer = Mailer(plan)

    async def start(self) -> None:
        """Make ready."""
        await self._poster.start()

    async def stop(self) -> None:
        """Leave the network alone."""
        await self._poster.stop()
        self._mailer.stop()

    async def send(self, parcel: Parcel) -> Outcome:
        """One attempt."""
        try:
            return await self._send(parcel)
        except NotGiven as wrong:
            return Outcome("failed", "secret", None, str(wrong))
        except Exception as error:  # noqa: BLE001 - whatever is wrong with one alert, the others must go out
            # Its text may repeat what is in the alert.
            _log.error("%s: cannot be sent: %s", parcel.target.key, type(error).__name__)
            return Outcome("refused", f"error_{type(error).__name__}")

    async def _send(self, parcel: Parcel) -> Outcome:
        target, notices = parcel.target, [decode(event) for event in parcel.events]
        if target.kind is Kind.EMAIL and target.mail is not None:
            return await self._mailer.send(target, letter(notices[0], target.mail))
        url = url_of(_given(target.url))
        if target.kind is Kind.ALERTMANAGER:
            body = alertmanager(notices, round(time.time() * 1000), target.hold_ms)
            return await self._poster.post(
                target, url.rstrip("/").removesuffix(PATH) + PATH, body, {"Content-Type": JSON}
            )
        if target.kind is Kind.WEBHOOK:
            body = parcel.events[0]
            headers = signed_headers(notices[0].id, int(time.time()), body, signing_secrets(target.secrets))
            return await self._poster.post(target, url, body, {**headers, "Content-Type": CLOUDEVENT})
        body = slack(notices[0]) if target.kind is Kind.SLACK else teams(notices[0])
        return await self._poster.post(target, url, body, {"Content-Type": JSON})


def _given(given: Given | None) -> Given:
    if given is None:
        raise NotGiven("no address")
    return given
