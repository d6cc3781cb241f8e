"""Keyed pseudonyms in the place of customer ids, made where events come in: what follows never sees the id.

HMAC-SHA-256 of the id with ``CX_PSEUDONYM_KEY``, 20 bytes of it, in base32 behind ``p_``: the same id always
gives the same pseudonym, and nobody without the key can tell whose it is. A pseudonym is left as it is.
"""

from __future__ import annotations

import base64
import hmac
import re
from typing import TYPE_CHECKING, Any, Final

import msgspec

from stream.customers.ids import ALIAS, IDENTIFIED

if TYPE_CHECKING:
    from collections.abc import Iterable

    from stream.settings import Settings

PREFIX: Final = "p_"
_BYTES: Final = 20
_OURS: Final = re.compile(r"p_[a-z2-7]{32}", re.ASCII)
_SEPARATOR: Final = b"pseudonym\0"


class Pseudonyms:
    """Stand-ins for ids.

    Args:
        key: the secret.
    """

    def __init__(self, key: str) -> None:
        self._key = key.encode()

    def of(self, customer_id: str) -> str:
        """The pseudonym of an id; of a pseudonym itself."""
        if _OURS.fullmatch(customer_id):
            return customer_id
        name = _SEPARATOR + customer_id.encode("utf-8", "surrogatepass")
        return PREFIX + base64.b32encode(hmac.digest(self._key, name, "sha256")[:_BYTES]).decode().lower()

    def record(self, value: bytes) -> bytes:
        """A record with pseudonyms in the place of its customer's id, and of an alias; also in a CloudEvent.

        What names no customer by a text is returned as it is.

        Raises:
            msgspec.DecodeError: it is no JSON.
            RecursionError: it nests deeper than can be read.
        """
        found = msgspec.json.decode(value)
        return msgspec.json.encode(found) if self._replace(found) else value

    def _replace(self, found: Any) -> bool:
        if not isinstance(found, dict):
            return False
        replaced = False
        if "specversion" in found:
            inner, packed = found.get("data"), found.get("data_base64")
            replaced = self._replace(inner)
            if not replaced and isinstance(packed, str):
                try:
                    data = base64.b64decode(packed, validate=True)
                    new = self.record(data)
                except ValueError:
                    return False
                if new != data:
                    found["data_base64"] = base64.b64encode(new).decode()
                    replaced = True
        customer = found.get("customer_id")
        if isinstance(customer, str) and customer:
            found["customer_id"] = self.of(customer)
            replaced = True
            said: Any = found.get("attributes")
            alias = said.get(ALIAS) if found.get("kind") == IDENTIFIED and isinstance(said, dict) else None
            if isinstance(alias, str) and alias:
                found["attributes"] = {**said, ALIAS: self.of(alias)}
        return replaced


def pseudonyms_of(settings: Settings) -> Pseudonyms | None:
    """Those of a deployment; None: ids stay as they are given."""
    key = settings.pseudonym_key
    return None if key is None else Pseudonyms(key.get_secret_value())


def name_of(settings: Settings, customer_id: str) -> str:
    """What a customer is called in this deployment."""
    found = pseudonyms_of(settings)
    return customer_id if found is None else found.of(customer_id)


def all_names(settings: Settings, customer_ids: Iterable[str]) -> list[str]:
    """Whatever customers may be called in this deployment: also as before there were pseudonyms."""
    found = pseudonyms_of(settings)
    names = dict.fromkeys(customer_ids)
    if found is not None:
        names |= dict.fromkeys(found.of(one) for one in list(names))
    return list(names)
