"""Files read to their end into a base of customers."""

from __future__ import annotations

from typing import TYPE_CHECKING

from stream.compute.base import Base
from stream.compute.reading import Reading
from stream.compute.share import NAMED
from stream.deployment import load_book, pipeline_config

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from stream.compute.processes import Job

Refusal = tuple["Path", int, str, str]
"""A line that was not taken: file, line in it from 1, reason, detail."""


def fold_files(
    job: Job, until_ms: int | None, advance: Callable[[int], None] = lambda _: None
) -> tuple[Base, list[Refusal]]:
    """The customers of all files, and the first lines that were not taken.

    Args:
        job: The files, the deployment and the present.
        until_ms: Events later than this are left out; None: none is.
        advance: Called now and then with the bytes read so far.

    Raises:
        Unreadable: A file cannot be read.
        RuleError, ValueError: As ``load_book``.
    """
    config = pipeline_config(job.settings, load_book(job.settings))
    base = Base(config, job.now_ms, until_ms)
    reading = Reading(job.files, config.limits.max_bytes, config.topics)
    while reading.step(base):
        advance(reading.bytes_read)
    base.finish()
    refused = []
    for each in base.refused[:NAMED]:
        number = max(at for at, start in enumerate(reading.starts) if start <= each.line)
        line = each.line - reading.starts[number] + 1
        refused.append((job.files[number], line, each.reason, each.detail))
    return base, refused
