"""``cx.erasures`` as those who erase read and write it: who is erased, and how far a rewrite has got."""

from __future__ import annotations

import secrets
from typing import TYPE_CHECKING, Final

from schemas.erasure import ERASED_PREFIX, KEY_PREFIX, REWRITE, Erasure, PrivacyKey, RewriteMark, RewritePart
from stream import topics
from stream.privacy.entries import Entry, Refused, Source
from stream.privacy.erasures import Erasures
from stream.privacy.feed import keys_of
from stream.privacy.fingerprints import check_of, fingerprint

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    from schemas.record import Wire
    from stream.privacy.broker import Broker
    from stream.settings import Settings

SOURCE: Final = Source(topics.ERASURES, 0)
_NOW: Final = 0


class Register:
    """The topic, as it was when last read, and what was written since.

    Attributes:
        erasures: who is erased.
        mark: of a rewrite that is under way or was cut short.
        parts: how far it has got, by partition.

    Raises:
        Refused, KeyUnknown: of any method.
    """

    def __init__(self, broker: Broker, settings: Settings) -> None:
        self._broker = broker
        self._settings = settings
        self.erasures = Erasures(keys_of(settings))
        self.mark: RewriteMark | None = None
        self.parts: dict[Source, RewritePart] = {}
        self.read()

    def read(self) -> None:
        """Read it anew."""
        if SOURCE not in self._broker.sources([topics.ERASURES]):
            raise Refused(f"{topics.ERASURES}: no such topic; create what is missing with: cx topics create")
        self.erasures = Erasures(keys_of(self._settings))
        self.mark, self.parts = None, {}
        for entry in self._broker.read(SOURCE, *self._broker.span(SOURCE)):
            self._take(entry.key or b"", entry.value)

    def note(self, customers: Collection[str], at_ms: int, ends: Mapping[str, int]) -> None:
        """Note that some customers are erased, up to where the logs end; the first time, make the salt."""
        current = self.erasures.keys.current()
        if current is None:
            salt = secrets.token_bytes(32)
            self._put(f"{KEY_PREFIX}{check_of(salt)}", PrivacyKey(salt=salt.hex()))
            self.read()  # another one may have made one at the same time: all take the same
            current = self.erasures.keys.current()
            assert current is not None  # noqa: S101 - just read
        check, secret = current
        if secret == self.erasures.keys.own and not self.erasures.keys.knows(check):
            self._put(f"{KEY_PREFIX}{check}", PrivacyKey(salt=None))
        for customer in customers:
            erasure = Erasure(at=at_ms, key=check, ends=dict(ends))  # type: ignore[arg-type]
            self._put(f"{ERASED_PREFIX}{fingerprint(secret, customer)}", erasure)

    def begin(self, mark: RewriteMark) -> None:
        """A rewrite begins, or goes on with other settings lowered."""
        self._put(REWRITE, mark)

    def part(self, source: Source, part: RewritePart) -> None:
        """Say how far the rewrite of a partition has got."""
        self._put(f"{REWRITE}/{source}", part)

    def over(self) -> None:
        """The rewrite is over: the mark goes last, so that one that is cut short here goes on."""
        names = [*(f"{REWRITE}/{source}" for source in self.parts), REWRITE]
        for name in names:
            self._write(name, None)

    def _put(self, name: str, record: Wire) -> None:
        self._write(name, record.model_dump_json().encode())

    def _write(self, name: str, value: bytes | None) -> None:
        self._broker.append(SOURCE, [Entry(0, _NOW, name.encode(), value, [])])
        self._take(name.encode(), value)

    def _take(self, key: bytes, value: bytes | None) -> None:
        try:
            self.erasures.take(key, value)
            name = key.decode()
            if name == REWRITE:
                self.mark = None if value is None else RewriteMark.model_validate_json(value)
            elif name.startswith(f"{REWRITE}/"):
                topic, _, number = name.removeprefix(f"{REWRITE}/").rpartition("/")
                source = Source(topic, int(number))
                if value is None:
                    self.parts.pop(source, None)
                else:
                    self.parts[source] = RewritePart.model_validate_json(value)
        except ValueError as error:
            if str(error).startswith("CX_"):
                raise
            # Not a record of this topic: workers leave it out, and say so.
