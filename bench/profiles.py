"""What profiles cost: taking an event in, making one to publish, and Redis beside the pipeline."""

from __future__ import annotations

import json
from statistics import median
from time import process_time
from typing import TYPE_CHECKING, Any

import msgspec

from bench.load import events
from stream.customers import Customer, CustomerConfig, decode, encode, fold
from stream.customers.known import Known, note, scored
from stream.intake import Event, Limits
from stream.intake import decode as decode_event
from stream.pipeline.profiles import profiled

if TYPE_CHECKING:
    from collections.abc import Callable

CUSTOMERS = 5_000
EVENTS = 40_000


def _seconds(work: Callable[[], None]) -> float:
    began = process_time()
    work()
    return process_time() - began


def measure(rounds: int = 7) -> dict[str, Any]:
    """Microseconds of CPU; each beside folding a customer without it, in turns, and the ratio to that.

    ``update_us`` is what the profile adds to an event: reading it with the customer, taking the event in, and
    writing it again. ``make_us`` is a profile made and encoded, from the bytes of the table.
    """
    config = CustomerConfig()
    found = [decode_event(value, (), Limits()) for _, value in events(EVENTS)]
    log = [(str(n % CUSTOMERS), each) for n, each in enumerate(found) if isinstance(each, Event)]
    read_known, write = msgspec.msgpack.Decoder(Known).decode, msgspec.msgpack.Encoder().encode
    table: dict[str, bytes] = {}
    known: dict[str, bytes] = {}
    blank, blank_known = encode(Customer()), write(Known())

    def whole() -> None:
        table.clear()
        for offset, (name, event) in enumerate(log):
            customer = decode(table.get(name, blank))
            fold(customer, event, "r", offset, config)
            table[name] = encode(customer)

    def alone() -> None:
        known.clear()
        for name, event in log:
            held = read_known(known.get(name, blank_known))
            note(held, event, event.time_ms, config.max_touchpoints)
            if event.metric is not None:
                scored(held, event.metric, event.time_ms, 500)
            known[name] = write(held)

    def loop() -> None:
        known.clear()
        for name, _ in log:
            known[name] = known.get(name, blank_known)

    def make() -> None:
        for name, state in table.items():
            profiled(name.encode(), state, 0, lambda _: config)

    took = [(_seconds(whole), _seconds(alone), _seconds(loop), _seconds(make)) for _ in range(rounds)]
    fold_s, alone_s, loop_s, make_s = (median(each) for each in zip(*took, strict=True))
    update_s = alone_s - loop_s
    return {
        "update_us": round(update_s / len(log) * 1e6, 2),
        "ratio_to_fold_without": round(update_s / (fold_s - update_s), 2),
        "make_us": round(make_s / len(table) * 1e6, 1),
        "bytes_per_customer": round(sum(map(len, table.values())) / len(table)),
    }


if __name__ == "__main__":
    print(json.dumps(measure(), indent=1))
