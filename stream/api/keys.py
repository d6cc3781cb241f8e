"""API keys: who may do what. Compared in constant time; kept as digests."""

from __future__ import annotations

import hashlib
import hmac
import ipaddress
import re
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

LEAST_SECRET: Final = 16
"""Characters of a secret at least."""
_NAME: Final = re.compile(r"[A-Za-z0-9_.-]{1,64}", re.ASCII)
_DIGEST: Final = re.compile(r"sha256=([0-9a-f]{64})", re.ASCII)


class Role(StrEnum):
    """What a key allows."""

    READ = "read"
    OPERATE = "operate"
    PRIVACY = "privacy"
    INGEST = "ingest"


@dataclass(frozen=True, slots=True)
class Caller:
    """Who asks: the name of a key and its roles."""

    name: str | None
    roles: frozenset[Role]


#: Where no keys are declared, whoever reaches this machine's own interface may do everything.
EVERYBODY: Final = Caller(None, frozenset(Role))


class Keys:
    """The keys of a deployment.

    Args:
        text: ``name:role+role:secret``, comma-separated. In place of a secret ``sha256=`` and its digest may
            stand, as hexadecimal digits.

    Raises:
        ValueError: the text is none of that; the message names setting and entry, and holds no secret.
    """

    def __init__(self, text: str) -> None:
        self._keys: list[tuple[bytes, Caller]] = []
        names = set()
        for number, entry in enumerate((part.strip() for part in text.split(",")), 1):
            name, roles, secret = _parts(entry, number)
            if name in names:
                raise ValueError(f"CX_API_KEYS: two keys have the name {name}")
            names.add(name)
            self._keys.append((_digest(name, secret), Caller(name, roles)))

    def caller(self, secret: str) -> Caller | None:
        """Whose secret it is; the time it takes does not depend on how much of it is right."""
        given = hashlib.sha256(secret.encode(errors="surrogateescape")).digest()
        found = None
        for digest, caller in self._keys:
            if hmac.compare_digest(given, digest):
                found = caller
        return found


def is_loopback(host: str) -> bool:
    """Whether only this machine reaches an address that is listened on."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False


def _parts(entry: str, number: int) -> tuple[str, frozenset[Role], str]:
    name, _, rest = entry.partition(":")
    wanted, colon, secret = rest.partition(":")
    if not colon or _NAME.fullmatch(name) is None:
        raise ValueError(
            f"CX_API_KEYS: entry {number} is not name:role+role:secret, as page:read+operate:…; a name is made of "
            "letters, digits and _.-"
        )
    roles = wanted.split("+")
    if unknown := [role for role in roles if role not in set(Role)]:
        allowed = ", ".join(Role)
        raise ValueError(f"CX_API_KEYS: {name}: {unknown[0][:40]!r} is no role; allowed are {allowed}")
    return name, frozenset(Role(role) for role in roles), secret


def _digest(name: str, secret: str) -> bytes:
    given = _DIGEST.fullmatch(secret)
    if given is not None:
        return bytes.fromhex(given[1])
    if len(secret) < LEAST_SECRET or not secret.isascii() or not secret.isprintable() or " " in secret:
        raise ValueError(
            f"CX_API_KEYS: {name}: the secret must be at least {LEAST_SECRET} characters of ASCII without spaces; "
            "openssl rand -hex 24 makes one"
        )
    return hashlib.sha256(secret.encode()).digest()
