"""Signatures of webhooks by Standard Webhooks 1.0 (https://www.standardwebhooks.com)."""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
from typing import Final

PREFIX: Final = "whsec_"
LEAST: Final = 24
MOST: Final = 64
"""Bytes of a secret."""
MOST_SECRETS: Final = 10


class SecretWrong(ValueError):  # noqa: N818 - reads as what happened
    """A signing secret cannot be used; the text does not repeat it."""


def secrets_of(text: str) -> tuple[bytes, ...]:
    """Signing secrets as they are handed around: ``whsec_`` and base64, several with blanks or lines between.

    While secrets are rotated there are two: every webhook is signed with both.

    Raises:
        SecretWrong: none, too many, or one that is no such secret.
    """
    parts = text.split()
    if not 1 <= len(parts) <= MOST_SECRETS:
        raise SecretWrong(f"must hold 1 to {MOST_SECRETS} secrets such as whsec_...; it holds {len(parts)}")
    found = []
    for number, part in enumerate(parts, 1):
        try:
            secret = base64.b64decode(part.removeprefix(PREFIX), validate=True)
        except (binascii.Error, ValueError):
            raise SecretWrong(f"secret {number} is not whsec_ and base64") from None
        if not LEAST <= len(secret) <= MOST:
            raise SecretWrong(f"secret {number} has {len(secret)} bytes; it must have {LEAST} to {MOST}")
        found.append(secret)
    return tuple(found)


def signed_headers(event_id: str, at_s: int, body: bytes, secrets: tuple[bytes, ...]) -> dict[str, str]:
    """The headers of a webhook: id, time of the attempt in seconds, and a signature by each secret.

    Signed is ``id.timestamp.body`` with HMAC-SHA256. Without a secret there is no signature.
    """
    headers = {"webhook-id": event_id, "webhook-timestamp": str(at_s)}
    if secrets:
        content = f"{event_id}.{at_s}.".encode() + body
        marks = (hmac.new(secret, content, hashlib.sha256).digest() for secret in secrets)
        headers["webhook-signature"] = " ".join(f"v1,{base64.b64encode(mark).decode()}" for mark in marks)
    return headers
