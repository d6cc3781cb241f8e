"""Tokens for SASL OAUTHBEARER, from a token endpoint by the client credentials grant (RFC 6749, 4.4)."""

from __future__ import annotations

import asyncio
import base64
import json
import re
import threading
import time
import urllib.error
import urllib.request
from typing import TYPE_CHECKING, Any, Final, NamedTuple
from urllib.parse import quote, urlencode, urlsplit

from aiokafka.abc import AbstractTokenProvider

if TYPE_CHECKING:
    import ssl
    from collections.abc import Mapping

_SECONDS: Final = 10.0
_LARGEST: Final = 64 * 1024
_TOKEN: Final = re.compile(r"[A-Za-z0-9\-._~+/]+=*")  # RFC 6750, 2.1
_CODE: Final = re.compile(r"[a-z_]{1,40}")  # of an error, RFC 6749, 5.2
#: A token is asked for anew once this share of its life is over.
_USED: Final = 0.8
#: How long a token is taken to live whose endpoint does not say.
_LIFE_SECONDS: Final = 300.0


class Token(NamedTuple):
    """A token and the time until which it holds (seconds since 1970); never shown."""

    value: str
    until: float

    def __repr__(self) -> str:
        return f"Token(until={self.until:.0f})"


class TokenRefused(ConnectionError):  # noqa: N818 - reads as what happened; clients take it for a failed connect
    """The token endpoint gives none; the message says why and which setting to look at, without secrets."""


class TokenSource(AbstractTokenProvider):  # type: ignore[misc] # untyped base
    """Tokens for every client of a process, kept until they are nearly over. Safe to use from any thread.

    Args:
        url: the token endpoint, https.
        client_id: who asks.
        client_secret: sent to the endpoint only, by HTTP Basic.
        scope: asked for, where the endpoint wants one.
        extensions: sent to the broker beside the token.
        context: TLS towards the endpoint.
    """

    def __init__(
        self,
        url: str,
        client_id: str,
        client_secret: str,
        scope: str | None,
        extensions: Mapping[str, str],
        context: ssl.SSLContext | None,
    ) -> None:
        self._url = url
        self._client_id = client_id
        self._client_secret = client_secret
        self._scope = scope
        self._extensions = dict(extensions)
        # A redirect would take the secret to an address that nobody configured.
        self._opener = urllib.request.build_opener(
            urllib.request.HTTPSHandler(context=context), _NoRedirects()
        )
        self._lock = threading.Lock()
        self._token: Token | None = None
        self._fresh_until = 0.0

    def get(self) -> Token:
        """A token that holds for some time yet; waits for the endpoint when a new one is due.

        Raises:
            TokenRefused: the endpoint gives none.
        """
        with self._lock:
            now = time.time()
            if self._token is None or now >= self._fresh_until:
                self._token = self._ask(now)
                self._fresh_until = now + _USED * (self._token.until - now)
            return self._token

    async def token(self) -> str:
        """As aiokafka asks for it."""
        return (await asyncio.to_thread(self.get)).value

    def extensions(self) -> dict[str, str]:
        """As aiokafka asks for them."""
        return dict(self._extensions)

    def for_librdkafka(self, _config: str) -> tuple[str, float, str, dict[str, str]]:
        """As confluent-kafka's ``oauth_cb`` wants it: token, end, principal, extensions."""
        token = self.get()
        return token.value, token.until, self._client_id, dict(self._extensions)

    def _ask(self, now: float) -> Token:
        form = {"grant_type": "client_credentials"}
        if self._scope:
            form["scope"] = self._scope
        pair = f"{quote(self._client_id, safe='')}:{quote(self._client_secret, safe='')}"
        request = urllib.request.Request(  # noqa: S310 - the setting allows https only
            self._url,
            data=urlencode(form).encode(),
            headers={
                "Authorization": f"Basic {base64.b64encode(pair.encode()).decode()}",
                "Accept": "application/json",
            },
        )
        try:
            with self._opener.open(request, timeout=_SECONDS) as answer:
                body = answer.read(_LARGEST)
        except urllib.error.HTTPError as error:
            with error:
                code = _code(error.read(_LARGEST))
            hint = "" if error.code not in {400, 401, 403} else "; look at CX_OAUTH_CLIENT_ID and its secret"
            raise TokenRefused(f"{self._where()} answers {error.code}{code}{hint}") from None
        except OSError as error:
            reason = getattr(error, "reason", error)
            why = (
                getattr(reason, "verify_message", "")
                or getattr(reason, "strerror", "")
                or type(reason).__name__
            )
            raise TokenRefused(f"{self._where()} does not answer: {why}") from None
        return self._read(body, now)

    def _read(self, body: bytes, now: float) -> Token:
        try:
            said: Any = json.loads(body)
        except ValueError:
            said = None
        value = said.get("access_token") if isinstance(said, dict) else None
        if not isinstance(value, str) or not _TOKEN.fullmatch(value):
            raise TokenRefused(f"{self._where()} answers without an access_token")
        life = said.get("expires_in")
        try:
            seconds = _LIFE_SECONDS if life is None else float(life)
        except (TypeError, ValueError):
            seconds = _LIFE_SECONDS
        return Token(value, now + max(1.0, seconds))

    def _where(self) -> str:
        return f"the token endpoint {urlsplit(self._url).netloc} (CX_OAUTH_URL)"


class _NoRedirects(urllib.request.HTTPRedirectHandler):
    def redirect_request(self, *_: Any) -> None:
        """None: the answer counts as an error."""


def _code(body: bytes) -> str:
    """The error code of RFC 6749, where there is one; nothing else of the body is repeated."""
    try:
        said = json.loads(body)
    except ValueError:
        return ""
    code = said.get("error") if isinstance(said, dict) else None
    return f" {code}" if isinstance(code, str) and _CODE.fullmatch(code) else ""
