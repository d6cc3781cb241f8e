"""Requests to webhooks, Slack, Teams and Alertmanagers. Redirects are not followed, and there are no cookies."""

from __future__ import annotations

import base64
import ssl
import time
from email.utils import parsedate_to_datetime
from ipaddress import ip_address
from typing import TYPE_CHECKING, Final
from urllib.parse import urlsplit

import aiohttp

from stream.delivery.addresses import AddressRefused, GuardedResolver, permitted
from stream.delivery.model import Kind
from stream.delivery.records import Outcome
from stream.delivery.secrets import NotGiven, header_text
from stream.tracing import OFF, Tracing

if TYPE_CHECKING:
    from collections.abc import Mapping

    from stream.delivery.model import DeliveryPlan, Http, Target

_MOST_READ: Final = 2_048  # bytes of an answer
_SHOWN: Final = 200
_GONE: Final = 410
#: Of the client's errors those that are about the target rather than about what was sent.
_OF_TARGET: Final = frozenset({401, 402, 403, 404, 407, 408, 421, 423, 425, 426, 429, 451})
_AGENT: Final = "cx-pulse (+https://github.com/cx-pulse/cx-pulse)"


class Poster:
    """Posts bodies to targets. ``start`` and ``stop`` it in the loop that it is used in."""

    def __init__(self, plan: DeliveryPlan, tracing: Tracing = OFF) -> None:
        self._tracing = tracing
        self._allowed = plan.allowed
        self._contexts: dict[Http, ssl.SSLContext] = {}
        self._session: aiohttp.ClientSession | None = None

    async def start(self) -> None:
        """Make ready."""
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(
                resolver=GuardedResolver(self._allowed), use_dns_cache=False, limit=100, limit_per_host=20
            ),
            cookie_jar=aiohttp.DummyCookieJar(),
            headers={"User-Agent": _AGENT},
            auto_decompress=False,
        )

    async def stop(self) -> None:
        """Close connections; more than once is no error."""
        session, self._session = self._session, None
        if session is not None:
            await session.close()

    async def post(self, target: Target, url: str, body: bytes, headers: Mapping[str, str]) -> Outcome:
        """Post once, and say what came of it.

        Raises:
            NotGiven: the target's credentials or certificates are not there.
        """
        if self._session is None:
            raise RuntimeError("start comes before post")
        sent = {**headers, **self._tracing.context(), **self._credentials(target.http)}
        try:
            self._look(url)
            async with self._session.post(
                url,
                data=body,
                headers=sent,
                allow_redirects=False,
                ssl=self._context(target.http) if url.startswith("https") else True,
                timeout=aiohttp.ClientTimeout(total=target.timeout_ms / 1000),
            ) as response:
                detail = await response.content.read(_MOST_READ)
                return _outcome(target.kind, response.status, response.headers.get("Retry-After"), detail)
        except (aiohttp.ClientError, OSError, TimeoutError) as error:
            return Outcome("failed", _why(error))

    def _look(self, url: str) -> None:
        """Addresses that stand in the URL are not resolved, so the resolver does not see them."""
        try:
            address = ip_address(urlsplit(url).hostname or "")
        except ValueError:
            return
        if not permitted(address, self._allowed):
            raise AddressRefused("a private address")

    def _credentials(self, http: Http) -> dict[str, str]:
        if http.credentials is not None:
            return {"Authorization": f"{http.scheme} {header_text(http.credentials)}"}
        if http.username is not None and http.password is not None:
            login = f"{http.username}:{header_text(http.password)}".encode()
            return {"Authorization": f"Basic {base64.b64encode(login).decode()}"}
        return {}

    def _context(self, http: Http) -> ssl.SSLContext:
        context = self._contexts.get(http)
        if context is None:
            try:
                context = ssl.create_default_context(cafile=http.ca_file)
                if http.cert_file is not None:
                    context.load_cert_chain(http.cert_file, http.key_file)
            except (OSError, ssl.SSLError):
                raise NotGiven("tls_config: the certificates cannot be used") from None
            self._contexts[http] = context
        return context


def _outcome(kind: Kind, status: int, retry_after: str | None, body: bytes) -> Outcome:
    detail = "".join(each if each.isprintable() else " " for each in body.decode(errors="replace"))[:_SHOWN]
    why = f"http_{status}"
    if 200 <= status < 300:  # noqa: PLR2004 - HTTP's own
        return Outcome("delivered", why, None, detail)
    if status == _GONE and kind is not Kind.ALERTMANAGER:
        return Outcome("gone", why, None, detail)
    if 400 <= status < 500 and status != _GONE and status not in _OF_TARGET:  # noqa: PLR2004
        return Outcome("refused", why, None, detail)
    return Outcome("failed", why, retry_after_ms(retry_after, time.time()), detail)


def retry_after_ms(text: str | None, now_s: float) -> int | None:
    """What ``Retry-After`` asks for: seconds, or a date; None where it is neither."""
    if text is None:
        return None
    if text.isascii() and text.isdigit() and len(text) < 10:  # noqa: PLR2004 - beyond is nonsense
        return int(text) * 1000
    try:
        return max(0, round((parsedate_to_datetime(text).timestamp() - now_s) * 1000))
    except (ValueError, TypeError, OverflowError):
        return None


def _why(error: BaseException) -> str:
    """A word for what happened on the way; nothing of addresses or content."""
    inner: BaseException | None = error
    while inner is not None:
        if isinstance(inner, AddressRefused):
            return "address_refused"
        inner = inner.__cause__ or inner.__context__
    if isinstance(error, TimeoutError):
        return "timeout"
    if isinstance(error, aiohttp.InvalidURL):
        return "url"
    if isinstance(error, aiohttp.ClientConnectorDNSError):
        return "dns"
    if isinstance(error, (aiohttp.ClientSSLError, ssl.SSLError)):
        return "tls"
    return "connection"
