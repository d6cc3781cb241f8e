"""Files of events, and what the agents' own cores publish of them when they are sent."""

from __future__ import annotations

import json
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

from aiokafka.partitioner import DefaultPartitioner

from stream.compute import Job
from stream.deployment import load_book, pipeline_config
from stream.settings import Settings
from stream.simulate import Simulation
from stream.topics import REPLIES, TOUCHPOINTS
from tests.pipeline.path import Stored, calm

if TYPE_CHECKING:
    from collections.abc import Iterable

    from stream.compute import Computed

RULES = """
metrics: all
slices:
  - [segment]
  - [touchpoint, channel]
  - [survey]
journeys:
  - {name: session, begun: [session_started], finished: [purchase], within: 30m}
goals:
  - {metric: nps, goal: 50, baseline: {ago: 7d}}
"""
MINUTE_MS = 60_000


def settings(folder: Path, rules: str = RULES, **given: Any) -> Settings:
    """Of a deployment with few members, little memory of duplicates and a short horizon, so that all bite."""
    (folder / "rules.yml").write_text(rules, encoding="utf-8")
    given = {"late_horizon_ms": 15 * MINUTE_MS, "dedup_per_customer": 8, "max_members": 5, **given}
    return Settings(_env_file=None, rules=folder / "rules.yml", **given)


def simulated(seed: int, events: int, per_hour: float, customers: int = 300, **shares: float) -> list[bytes]:
    """Lines of a simulated customer base, so many events an hour; none of them holds the end of a line."""
    shares = {"bad": 0.03, "duplicates": 0.05, "late": 0.05, **shares}
    simulation = Simulation(seed, customers=customers, events_per_hour=per_hour, **shares)  # type: ignore[arg-type]
    return [record.value.replace(b"\n", b" ") for record in islice(simulation.records(), events)]


def written(path: Path, lines: Iterable[bytes]) -> Path:
    """A file of lines."""
    path.write_bytes(b"".join(line + b"\n" for line in lines))
    return path


def sent(lines: Iterable[bytes], partitions: int) -> dict[tuple[str, int], list[Stored]]:
    """The input topics after ``cx send``: by its words, with Python's own JSON and another client's hash."""
    everyone = list(range(partitions))
    logs: dict[tuple[str, int], list[Stored]] = {(t, p): [] for t in (TOUCHPOINTS, REPLIES) for p in everyone}
    for line in lines:
        try:
            record = json.loads(line.decode(), parse_constant=int)  # NaN is no JSON
        except (ValueError, RecursionError):
            continue
        if not isinstance(record, dict):
            continue
        if "specversion" in record:
            record = record["data"]
        customer = record.get("customer_id")
        key = customer.encode() if isinstance(customer, str) else None
        partition = 0 if key is None else DefaultPartitioner()(key, everyone, everyone)
        log = logs[REPLIES if record.get("metric") is not None else TOUCHPOINTS, partition]
        log.append(Stored(len(log), 2**61, key, line))
    return logs


def published(lines: Iterable[bytes], given: Settings) -> dict[str, dict[str, Any]]:
    """The newest final object of every slice by the agents' cores, all sources being idle at last."""
    book = load_book(given)
    path = calm(sent(lines, given.partitions), pipeline_config(given, book), book)
    found = {key: json.loads(payload) for key, (_, payload) in path.final.items()}
    return {key: record for key, record in found.items() if record["metrics"]}


def computed(done: Computed) -> dict[str, dict[str, Any]]:
    """The objects that ``cx compute`` gives, by slice."""
    return {record.slice_key: json.loads(record.payload) for record in done.metrics}


def values(records: dict[str, dict[str, Any]]) -> dict[tuple[str, str, str], Any]:
    """Every value by slice, metric and window."""
    return {
        (key, metric, window): value
        for key, record in records.items()
        for metric, windows in record["metrics"].items()
        for window, value in windows.items()
    }


def job(given: Settings, *files: Path) -> Job:
    """To compute files."""
    return Job(files, given)
