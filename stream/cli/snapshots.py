"""Reads ``cx.metrics`` objects, one a line: the output of ``cx compute``, or of a consumer of the topic."""

from __future__ import annotations

import sys
from datetime import datetime
from typing import TYPE_CHECKING

import msgspec

from stream.cli.problems import Problem
from stream.cli.progress import progress
from stream.measures import slice_key

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from stream.cli.progress import Step


class Value(msgspec.Struct, frozen=True):
    """What of a published value is needed here."""

    n: int
    value: float | None = None
    parts: dict[str, float] = {}


class Snapshot(msgspec.Struct, frozen=True):
    """One ``cx.metrics`` object."""

    slice: dict[str, str]
    as_of: datetime
    metrics: dict[str, dict[str, Value]]


_decode = msgspec.json.Decoder(Snapshot).decode


def read_snapshots(files: Sequence[str]) -> dict[str, Snapshot]:
    """The newest object of each slice, by slice key; of two of one time the later one.

    Args:
        files: Paths, ``-`` for stdin. Empty lines are passed over, as consumers print deletions so.

    Raises:
        Problem: A file that cannot be read, or a line that is no such object; or no object at all.
    """
    found: dict[str, Snapshot] = {}
    with progress("reading metrics", hidden="-" in files and sys.stdin.isatty()) as step:
        for file in files:
            _read(file, found, step)
    if not found:
        raise Problem(f"{', '.join(files)}: no cx.metrics objects")
    return found


def groupings_of(snapshots: Iterable[Snapshot]) -> list[tuple[str, ...]]:
    """The groupings that objects are of, without the whole, each sorted, in alphabetical order."""
    return sorted({tuple(sorted(snapshot.slice)) for snapshot in snapshots} - {()})


def _lines(file: str) -> Iterator[bytes]:
    if file == "-":
        yield from sys.stdin.buffer
        return
    try:
        with open(file, "rb") as lines:  # noqa: PTH123 - the name is shown as it was given
            yield from lines
    except OSError as error:
        raise Problem(f"{file}: {error.strerror}") from None


def _read(file: str, found: dict[str, Snapshot], step: Step) -> None:
    for number, line in enumerate(_lines(file), 1):
        step.add()
        if not line.strip():
            continue
        try:
            snapshot = _decode(line)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            raise Problem(f"{file}, line {number}: is no cx.metrics object: {error}") from None
        if snapshot.as_of.tzinfo is None:
            raise Problem(f"{file}, line {number}: as_of has no offset")
        key = slice_key(snapshot.slice)
        if key not in found or snapshot.as_of >= found[key].as_of:
            found[key] = snapshot
