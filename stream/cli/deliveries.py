"""What workers owe to receivers, from the changelog of their table; and asking them to try again."""

from __future__ import annotations

import contextlib
import time
from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec

from stream import topics
from stream.cli.asking import records, write
from stream.cli.moments import you
from stream.delivery.records import TARGET, Redrive, Trouble, entries_in, trouble_of

if TYPE_CHECKING:
    from stream.settings import Settings


class Known(NamedTuple):
    """A row of each alert and target, and the targets in trouble."""

    rows: list[dict[str, Any]]
    trouble: dict[str, Trouble]
    now_ms: int

    def counts(self) -> list[dict[str, Any]]:
        """A row of each target, in the order of their names."""
        found: dict[str, dict[str, Any]] = {}
        for key in sorted({row["target"] for row in self.rows} | self.trouble.keys()):
            found[key] = {"target": key, "owed": 0, "parked": 0, "trouble": self._words(key)}
        for row in self.rows:
            found[row["target"]][row["state"]] += 1
        return list(found.values())

    def _words(self, key: str) -> str:
        trouble = self.trouble.get(key)
        if trouble is None:
            return ""
        return "gone (410)" if trouble.gone else f"{trouble.why}, {trouble.failures} failures in a row"


async def known(settings: Settings) -> Known:
    """Everything that is owed or parked, by all workers.

    Raises:
        BrokerAway, KafkaError, TimeoutError, Problem: for ``ask``.
    """
    name = topics.changelog(settings.app_id, topics.DELIVERIES_TABLE)
    tables: dict[int, dict[bytes, bytes]] = {}  # keys of two partitions may be the same
    async with contextlib.aclosing(records(settings, name)) as chunks:
        async for chunk in chunks:
            for record in chunk:
                table = tables.setdefault(record.partition, {})
                if record.value is None:
                    table.pop(record.key, None)
                else:
                    table[record.key] = record.value
    rows: list[dict[str, Any]] = []
    trouble: dict[str, Trouble] = {}
    for partition, table in sorted(tables.items()):
        for offset, entry in entries_in(table).items():
            rows += [
                {
                    "target": key,
                    "state": tried.state,
                    "id": entry.id,
                    "fingerprint": entry.fingerprint,
                    "tries": tried.tries,
                    "why": tried.why,
                    "since_ms": tried.since_ms,
                    "partition": partition,
                    "offset": offset,
                }
                for key, tried in entry.to.items()
            ]
        for key, value in table.items():
            if key.startswith(TARGET.encode()):
                trouble[key.decode().removeprefix(TARGET)] = trouble_of(value)
    return Known(rows, trouble, time.time_ns() // 1_000_000)


async def ask_workers(settings: Settings, target: str | None, ids: tuple[str, ...]) -> None:
    """Ask the owner of every partition to try again.

    Raises:
        BrokerAway, KafkaError, TimeoutError: for ``ask``.
    """
    request = msgspec.json.encode(Redrive(target, list(ids) or None, you()))
    await write(settings, topics.REDRIVES, [(b"", request)], partitions=range(settings.partitions))
