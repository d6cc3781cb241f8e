"""Whether a call comes from who it says: keyed hashes over what was sent, in the senders' various ways."""

from __future__ import annotations

import base64
import hashlib
import hmac
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Annotated, Final, Literal

from pydantic import BaseModel, ConfigDict, Field

from schemas import to_ms
from schemas.times import parse

_HASHES: Final = {"sha1": hashlib.sha1, "sha256": hashlib.sha256, "sha512": hashlib.sha512}
_PREFIX_OF_STANDARD: Final = "whsec_"
_MS_FROM: Final = (
    100_000_000_000  # an epoch beyond this is in milliseconds: as seconds it lies in the year 5138
)


class Refusal(StrEnum):
    """Why a call is not taken."""

    NO_SECRET = "no_secret"  # noqa: S105 - a reason
    NO_SIGNATURE = "no_signature"
    WRONG_SIGNATURE = "wrong_signature"
    TOO_OLD = "too_old"


class Signature(BaseModel):
    """How a sender signs.

    ``signs`` is what the hash is over, made of ``{body}``, ``{timestamp}``, ``{id}``, ``{method}`` and ``{url}``.
    With ``bearer`` nothing is signed: the header holds the secret itself.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    header: Annotated[str, Field(min_length=1)]
    scheme: Literal["hmac", "bearer"] = "hmac"
    hash: Literal["sha1", "sha256", "sha512"] = "sha256"
    encoding: Literal["hex", "base64"] = "hex"
    prefix: str = ""
    signs: str = "{body}"
    timestamp: str | None = None
    id: str | None = None
    tolerance_s: Annotated[int, Field(gt=0)] = 300
    secret: Literal["text", "standard"] = "text"  # noqa: S105 - a way of writing secrets


@dataclass(frozen=True, slots=True)
class Call:
    """A request as it arrived: header names in lower case, the body's bytes untouched."""

    method: str
    url: str
    headers: Mapping[str, str]
    body: bytes


def verify(signature: Signature, secret: str, call: Call, now_s: float) -> Refusal | None:
    """None when the call is genuine, else why not; compared in constant time.

    ``secret: standard`` and several signatures parted by spaces, each with its version, are as Standard Webhooks
    has them.
    """
    if not secret:
        return Refusal.NO_SECRET
    given = call.headers.get(signature.header.lower(), "")
    if not given:
        return Refusal.NO_SIGNATURE
    if signature.scheme == "bearer":
        same = hmac.compare_digest(given.encode(), f"{signature.prefix}{secret}".encode())
        return None if same else Refusal.WRONG_SIGNATURE
    stamp = call.headers.get(signature.timestamp.lower(), "") if signature.timestamp else ""
    expected = _signed(signature, secret, call, stamp).encode()
    found = [hmac.compare_digest(one.encode(), expected) for one in given.split(" ")]
    if not any(found):
        return Refusal.WRONG_SIGNATURE
    if signature.timestamp and not _recent(stamp, now_s, signature.tolerance_s):
        return Refusal.TOO_OLD
    return None


def sign(signature: Signature, secret: str, call: Call) -> str:
    """The header's value for a call, as its sender would make it."""
    if signature.scheme == "bearer":
        return f"{signature.prefix}{secret}"
    stamp = call.headers.get(signature.timestamp.lower(), "") if signature.timestamp else ""
    return _signed(signature, secret, call, stamp)


def _signed(signature: Signature, secret: str, call: Call, stamp: str) -> str:
    key = secret.encode()
    if signature.secret == "standard":  # noqa: S105 - a way of writing secrets
        key = base64.b64decode(secret.removeprefix(_PREFIX_OF_STANDARD))
    parts = {
        b"{body}": call.body,
        b"{timestamp}": stamp.encode(),
        b"{id}": call.headers.get((signature.id or "").lower(), "").encode(),
        b"{method}": call.method.encode(),
        b"{url}": call.url.encode(),
    }
    digest = hmac.new(key, _fill(signature.signs.encode(), parts), _HASHES[signature.hash])
    written = (
        digest.hexdigest() if signature.encoding == "hex" else base64.b64encode(digest.digest()).decode()
    )
    return f"{signature.prefix}{written}"


def _fill(form: bytes, parts: dict[bytes, bytes]) -> bytes:
    """Each placeholder once, from the left: what stands in a body is never taken for one."""
    filled = b""
    while form:
        at, name = min(
            ((form.find(name), name) for name in parts if name in form),
            default=(len(form), b""),
            key=lambda p: p[0],
        )
        filled += form[:at] + parts.get(name, b"")
        form = form[at + len(name) :]
    return filled


def _recent(stamp: str, now_s: float, tolerance_s: int) -> bool:
    at_s = _epoch_s(stamp)
    return at_s is not None and abs(now_s - at_s) <= tolerance_s


def _epoch_s(stamp: str) -> float | None:
    if stamp.isascii() and stamp.isdecimal() and len(stamp) <= len("9999999999999"):
        number = int(stamp)
        return number / 1000 if number > _MS_FROM else float(number)
    try:
        return to_ms(parse(stamp)) / 1000
    except ValueError:
        return None
