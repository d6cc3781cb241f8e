"""Why no broker answers: one connection made step by step, and what went wrong in words with a way out.

Kafka's clients say "unable to bootstrap" of a name that does not exist, a wrong password and a certificate
that nobody trusts alike.
"""

from __future__ import annotations

import logging
import socket
import ssl
from typing import TYPE_CHECKING, Any, Final

from aiokafka import errors
from aiokafka.conn import AIOKafkaConnection, collect_hosts, create_conn
from aiokafka.protocol.metadata import MetadataRequest

from stream.brokers.oauth import TokenRefused

if TYPE_CHECKING:
    from collections.abc import Mapping

_TIMEOUT_MS: Final = 5_000


async def diagnose(bootstrap: str, security: Mapping[str, Any] | None = None) -> str:
    """What is wrong with the way to the brokers; empty when nothing is.

    Args:
        bootstrap: comma-separated ``host:port`` list.
        security: as `stream.brokers.security.aiokafka_security` gives it.

    Returns:
        ``host:port: what and what to do``, of the first address that fails when none answers; otherwise of
        an advertised one that cannot be reached.
    """
    given = dict(security or {})
    trouble = ""
    brokers: list[tuple[str, int]] = []
    for host, port, _ in collect_hosts(bootstrap, randomize=False):
        why = await _try(host, port, given, brokers)
        if not why:
            trouble = ""
            break
        trouble = trouble or why
    if trouble:
        return trouble
    for host, port in brokers:
        if why := await _try(host, port, given, []):
            return f"{why}; the brokers themselves give out this address (advertised.listeners)"
    return ""


async def _try(host: str, port: int, security: dict[str, Any], brokers: list[tuple[str, int]]) -> str:
    where = f"{host}:{port}"
    log = logging.getLogger("aiokafka.conn")
    quiet, log.disabled = log.disabled, True  # what it would say is said better here
    try:
        connection = await create_conn(
            host, port, client_id="cx-diagnose", request_timeout_ms=_TIMEOUT_MS, **security
        )
        try:
            found = await _advertised(connection)
        finally:
            connection.close()
    except (OSError, errors.KafkaError, TimeoutError) as error:
        return f"{where}: {_words(error, security)}"
    finally:
        log.disabled = quiet
    # A token that is refused is no error to aiokafka: the broker goes on waiting, and answers nothing else.
    if not found and security.get("sasl_mechanism") == "OAUTHBEARER":
        return f"{where}: {_words(errors.SaslAuthenticationFailed(), security)}"
    brokers += found
    return ""


async def _advertised(connection: AIOKafkaConnection) -> list[tuple[str, int]]:
    answer = await connection.send(MetadataRequest([]))
    return [(broker[1], broker[2]) for broker in answer.brokers]


def _words(error: BaseException, security: Mapping[str, Any]) -> str:  # noqa: PLR0911 - one line a cause
    protocol = security.get("security_protocol", "PLAINTEXT")
    if isinstance(error, TokenRefused):
        return str(error)
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"its certificate is not accepted: {error.verify_message} (CX_SSL_CA, CX_BROKERS)"
    if isinstance(error, ssl.SSLError):
        if "CERTIFICATE" in (error.reason or "") or "HANDSHAKE" in (error.reason or ""):
            return "it does not accept our certificate, or wants one (CX_SSL_CERT)"
        return "it speaks no TLS there (CX_SECURITY_PROTOCOL, or another port)"
    if isinstance(error, socket.gaierror):
        return "there is no such host (CX_BROKERS)"
    if isinstance(error, ConnectionRefusedError):
        return "nobody listens there (CX_BROKERS)"
    if isinstance(error, TimeoutError):
        return "it does not answer in time"
    if isinstance(error, (errors.UnsupportedSaslMechanismError, errors.IllegalSaslStateError)):
        return f"it does not take {security.get('sasl_mechanism')} (CX_SASL_MECHANISM)"
    if isinstance(error, errors.AuthenticationFailedError | errors.SaslAuthenticationFailed):
        if security.get("sasl_mechanism") == "OAUTHBEARER":
            return "it refuses our token (CX_OAUTH_CLIENT_ID, CX_OAUTH_SCOPE, and what the broker expects)"
        return f"it refuses user {security.get('sasl_plain_username')!r} or the password (CX_SASL_PASSWORD)"
    if isinstance(error, (errors.KafkaConnectionError, ConnectionError)):
        perhaps = {
            "PLAINTEXT": "it wants TLS there (CX_SECURITY_PROTOCOL)",
            "SSL": "it wants a client certificate or a password, or no TLS (CX_SSL_CERT, CX_SECURITY_PROTOCOL)",
            "SASL_SSL": "it wants a client certificate, or no TLS (CX_SSL_CERT, CX_SECURITY_PROTOCOL)",
        }
        return f"it closes the connection: perhaps {perhaps[protocol]}"
    return type(error).__name__
