"""Keyed fingerprints of customer ids: who was erased can be recognised, and not be read.

HMAC-SHA-256 [RFC 2104, FIPS 198-1], the first 16 bytes in hex. The key is ``CX_PRIVACY_KEY``, or a salt that the
first erasure makes and keeps on ``cx.erasures``. Whoever has the salt can try ids one by one, so the former is
better where ids are few or guessable.
"""

from __future__ import annotations

import hmac
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterator

_SHOWN: Final = 16
_CHECKED: Final = b"cx-pulse: which key is this?"


class KeyUnknown(ValueError):  # noqa: N818 - reads as what happened
    """Erasures were noted with a key that is not there: whom they are about cannot be told."""


def fingerprint(secret: bytes, customer_id: str) -> str:
    """32 hex digits that stand for a customer."""
    name = customer_id.encode("utf-8", "surrogatepass")
    return hmac.digest(secret, name, "sha256")[:_SHOWN].hex()


def check_of(secret: bytes) -> str:
    """Names a key without giving it away: 16 hex digits."""
    return hmac.digest(secret, _CHECKED, "sha256")[:8].hex()


class Keys:
    """The keys that fingerprints were made with: nearly always one.

    Args:
        secret: ``CX_PRIVACY_KEY``, if set.
    """

    def __init__(self, secret: str | None = None) -> None:
        self._own = None if secret is None else secret.encode()
        self._secrets: dict[str, bytes] = {}

    @property
    def own(self) -> bytes | None:
        """The secret of the settings."""
        return self._own

    def knows(self, check: str) -> bool:
        """Whether ``cx.erasures`` has said of a key."""
        return check in self._secrets

    def add(self, check: str, salt: str | None) -> None:
        """Take in what ``cx.erasures`` says of a key; ``salt`` None: it is ``CX_PRIVACY_KEY``.

        Raises:
            KeyUnknown: it is another one than this process has.
        """
        secret = self._own if salt is None else bytes.fromhex(salt)
        if secret is None or check_of(secret) != check:
            raise KeyUnknown(
                "CX_PRIVACY_KEY: is not the one that erasures were noted with; without it nobody can tell whom "
                "they are about. Set the same on all workers and for cx"
            )
        self._secrets[check] = secret

    def current(self) -> tuple[str, bytes] | None:
        """Name and secret of the key for new erasures; None: there is none yet.

        Of several salts the one whose name is first, so that all choose the same.
        """
        if self._own is not None:
            return check_of(self._own), self._own
        return min(self._secrets.items(), default=None)

    def all_of(self, customer_id: str) -> Iterator[str]:
        """Every fingerprint that may stand for a customer."""
        for secret in self._secrets.values():
            yield fingerprint(secret, customer_id)
