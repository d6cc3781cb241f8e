"""The customers of one partition while a batch is folded: as objects for a chunk, as bytes in between."""

from __future__ import annotations

from typing import TYPE_CHECKING

from stream.customers import Customer
from stream.customers import decode as decode_customer
from stream.customers import encode as encode_customer

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping


class Roster:
    """Whoever was changed by a batch, before everybody else as the table has them.

    Args:
        stored: the partition of the customers table; read only.
        alive: customers as objects, by id, for who keeps no table: they are taken from here first, changed in
            place and never encoded.

    Attributes:
        touched: objects of this chunk by id, to be changed in place; replaced by `settle`.
        written: what the batch has made of customers so far, encoded, by name (the id's UTF-8 bytes).
    """

    def __init__(self, stored: Mapping[bytes, bytes], alive: dict[str, Customer] | None = None) -> None:
        self._stored = stored
        self._alive = alive
        self.touched: dict[str, Customer] = {} if alive is None else alive
        self.written: dict[bytes, bytes] = {}

    @property
    def journaled(self) -> bool:
        """Whether customers are kept encoded, in a table with a changelog."""
        return self._alive is None

    def at(self, name: bytes) -> Customer:
        """Any customer of the partition, to be changed; a new one where nobody has the name."""
        customer_id = name.decode()
        return self.touched.get(customer_id) or self.fetch(customer_id, name)

    def fetch(self, customer_id: str, name: bytes) -> Customer:
        """Somebody who is not touched yet, as an earlier chunk or the table has them; from now on touched."""
        held = self.written.get(name) or self._stored.get(name)
        customer = self.touched[customer_id] = Customer() if held is None else decode_customer(held)
        return customer

    def everyone(self) -> Iterator[tuple[bytes, bytes | Customer]]:
        """All of them, to be looked at: one by one, as a table on disk must never be in memory as a whole."""
        written = self.written
        objects: dict[bytes, bytes | Customer] = {one.encode(): held for one, held in self.touched.items()}
        for name, held in self._stored.items():
            yield name, objects.get(name) or written.get(name) or held
        for name in [*written, *(one for one in objects if one not in written)]:
            if name not in self._stored:
                yield name, objects.get(name) or written[name]

    def keep(self, name: bytes, customer: Customer) -> None:
        """Write a customer who was looked at and changed by that."""
        self.written[name] = encode_customer(customer)

    def settle(self) -> None:
        """Encode the objects: a chunk is done."""
        if self.journaled:
            self.written.update((one.encode(), encode_customer(held)) for one, held in self.touched.items())
            self.touched = {}

    def take(self) -> list[tuple[bytes, bytes]]:
        """What the batch has made of customers; the next one begins without it."""
        written, self.written = self.written, {}
        return list(written.items())
