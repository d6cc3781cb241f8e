"""How the clients reach the brokers of the settings, beside their address."""

from __future__ import annotations

import ssl
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from stream.settings import Settings


def aiokafka_security(settings: Settings) -> dict[str, Any]:
    """Keyword arguments of an aiokafka client."""
    security: dict[str, Any] = {"security_protocol": settings.security_protocol}
    if settings.security_protocol != "PLAINTEXT":
        security["ssl_context"] = ssl.create_default_context()
    if settings.sasl_password is not None:
        security["sasl_mechanism"] = "PLAIN"
        security["sasl_plain_username"] = settings.sasl_username
        security["sasl_plain_password"] = settings.sasl_password.get_secret_value()
    return security


def faust_security(settings: Settings) -> dict[str, Any]:
    """Options of a Faust app, whose broker setting holds the address."""
    if settings.security_protocol == "PLAINTEXT":
        return {}
    import faust  # noqa: PLC0415 - only where it is asked for

    context = aiokafka_security(settings)["ssl_context"]
    if settings.sasl_password is None:
        return {"broker_credentials": faust.SSLCredentials(context=context)}
    return {
        "broker_credentials": faust.SASLCredentials(
            username=settings.sasl_username,
            password=settings.sasl_password.get_secret_value(),
            ssl_context=context,
        )
    }


def confluent_config(settings: Settings) -> dict[str, Any]:
    """Configuration of a confluent-kafka client, address included."""
    config: dict[str, Any] = {
        "bootstrap.servers": settings.brokers,
        "security.protocol": settings.security_protocol,
    }
    if settings.sasl_password is not None:
        config["sasl.mechanism"] = "PLAIN"
        config["sasl.username"] = settings.sasl_username
        config["sasl.password"] = settings.sasl_password.get_secret_value()
    return config
