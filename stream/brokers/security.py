"""How the clients reach the brokers of the settings, beside their address: one meaning for three libraries."""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from stream.brokers.oauth import TokenSource
    from stream.settings import Settings


def aiokafka_security(settings: Settings) -> dict[str, Any]:
    """Keyword arguments of an aiokafka client."""
    security: dict[str, Any] = {"security_protocol": settings.security_protocol}
    context = settings.tls()
    if context is not None:
        security["ssl_context"] = context
    if settings.security_protocol == "SASL_SSL":
        security["sasl_mechanism"] = settings.sasl_mechanism
        if settings.sasl_mechanism == "OAUTHBEARER":
            security["sasl_oauth_token_provider"] = token_source(settings)
        else:
            security["sasl_plain_username"] = settings.sasl_username
            security["sasl_plain_password"] = _password(settings)
    return security


def faust_security(settings: Settings) -> dict[str, Any]:
    """Options of a Faust app, whose broker setting holds the address."""
    context = settings.tls()
    if context is None:
        return {}
    import faust  # noqa: PLC0415 - only where it is asked for
    from faust.auth import OAuthCredentials  # noqa: PLC0415

    if settings.security_protocol == "SSL":
        return {"broker_credentials": faust.SSLCredentials(context=context)}
    if settings.sasl_mechanism == "OAUTHBEARER":
        return {"broker_credentials": OAuthCredentials(oauth_cb=token_source(settings), ssl_context=context)}
    return {
        "broker_credentials": faust.SASLCredentials(
            username=settings.sasl_username,
            password=_password(settings),
            ssl_context=context,
            mechanism=settings.sasl_mechanism,
        )
    }


def confluent_config(settings: Settings) -> dict[str, Any]:
    """Configuration of a confluent-kafka client, address included."""
    config: dict[str, Any] = {
        "bootstrap.servers": settings.brokers,
        "security.protocol": settings.security_protocol,
    }
    if settings.security_protocol == "PLAINTEXT":
        return config
    if settings.ssl_ca is not None:
        config["ssl.ca.location"] = str(settings.ssl_ca)
    if settings.ssl_cert is not None:
        config["ssl.certificate.location"] = str(settings.ssl_cert)
        config["ssl.key.location"] = str(settings.ssl_key or settings.ssl_cert)
        if settings.ssl_key_password is not None:
            config["ssl.key.password"] = settings.ssl_key_password.get_secret_value()
    if settings.security_protocol == "SASL_SSL":
        config["sasl.mechanism"] = settings.sasl_mechanism
        if settings.sasl_mechanism == "OAUTHBEARER":
            config["oauth_cb"] = token_source(settings).for_librdkafka
        else:
            config["sasl.username"] = settings.sasl_username
            config["sasl.password"] = _password(settings)
    return config


@lru_cache(maxsize=8)
def token_source(settings: Settings) -> TokenSource:
    """Where this process gets its tokens; one for all its clients.

    Raises:
        ValueError: the settings name no token endpoint, or a file of theirs cannot be used.
    """
    from stream.brokers.oauth import TokenSource  # noqa: PLC0415 - only where it is asked for

    secret = settings.oauth_client_secret
    if settings.oauth_url is None or settings.oauth_client_id is None or secret is None:
        raise ValueError("CX_OAUTH_URL, CX_OAUTH_CLIENT_ID and CX_OAUTH_CLIENT_SECRET: set all three")
    pairs = (settings.oauth_extensions or "").split(",")
    return TokenSource(
        settings.oauth_url,
        settings.oauth_client_id,
        secret.get_secret_value(),
        settings.oauth_scope,
        {name: value for name, _, value in (pair.partition("=") for pair in pairs) if name},
        settings.oauth_tls(),
    )


def _password(settings: Settings) -> str:
    return "" if settings.sasl_password is None else settings.sasl_password.get_secret_value()
