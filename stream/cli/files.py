"""What commands over files of events have in common: finding them, and what was not taken."""

from __future__ import annotations

import contextlib
import shutil
import sys
from pathlib import Path
from tempfile import NamedTemporaryFile
from typing import IO, TYPE_CHECKING

import click
from pydantic_core import PydanticCustomError

from schemas.times import parse, to_ms
from stream.cli.problems import Problem
from stream.cli.progress import progress

if TYPE_CHECKING:
    from collections import Counter
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence


def event_files(command: Callable[..., None]) -> Callable[..., None]:
    """The option ``--events FILE...``: the files are its value and, after it, ``more``."""
    events = click.option(
        "--events",
        metavar="FILE...",
        required=True,
        multiple=True,
        type=click.Path(path_type=Path),
        help="NDJSON, plain or gzip; '-' is standard input.",
    )
    more = click.argument("more", metavar="[FILE...]", nargs=-1, type=click.Path(path_type=Path))
    return more(events(command))


def look_for(files: Iterable[Path]) -> None:
    """Make sure that all files are there; '-' is standard input.

    Raises:
        Problem: one is not.
    """
    for file in files:
        if str(file) != "-" and (file.is_dir() or not file.exists()):
            raise Problem(f"{file}: {'is a directory' if file.is_dir() else 'no such file'}")


def moment_ms(text: str, option: str) -> int:
    """Epoch milliseconds of a time that somebody typed.

    Raises:
        Problem: it is none.
    """
    try:
        return to_ms(parse(text))
    except PydanticCustomError as error:
        raise Problem(f"{option}: {text!r}: {error.message()}, like 2026-01-12T08:00:00Z") from None


def tell_refused(refused: Iterable[tuple[Path, int, str, str]], names: Mapping[Path, Path]) -> None:
    """Say on stderr which lines were not taken, and why; none of their content."""
    for file, line, reason, detail in refused:
        click.echo(f"cx: {names[file]}:{line}: {reason}: {detail}", err=True)


def summary(verdicts: Counter[str], reasons: Mapping[str, int], others: Iterable[str] = ()) -> str:
    """What became of all lines, in one line; one more for each grouping that has more members than are kept."""
    told = ", ".join(f"{reason} {n}" for reason, n in sorted(reasons.items()) if reason != "too_late")
    dead = f"{verdicts['deadletter']} dead letters" + (f" ({told})" if told else "")
    more = [
        f"cx: more than CX_MAX_MEMBERS members of {grouping}: the rest is in 'other'"
        for grouping in sorted(others)
    ]
    total = (
        f"cx: {verdicts.total()} events: {verdicts['applied']} applied, {verdicts['duplicate']} duplicates"
    )
    return "\n".join([f"{total}, {dead}, {verdicts['late']} too late", *more])


def size(files: Iterable[Path]) -> int:
    """Bytes of all files together."""
    return sum(file.stat().st_size for file in files)


@contextlib.contextmanager
def on_disk(files: Sequence[Path]) -> Iterator[tuple[Path, ...]]:
    """The files, with standard input in a temporary one: every process reads it from its beginning."""
    with contextlib.ExitStack() as held:
        paths = []
        for file in files:
            if str(file) == "-":
                spool = held.enter_context(NamedTemporaryFile(prefix="cx-"))
                _copy_input(spool)
                paths.append(Path(spool.name))
            else:
                paths.append(file)
        yield tuple(paths)


def _copy_input(spool: IO[bytes]) -> None:
    with progress("reading standard input", hidden=sys.stdin.isatty()):
        shutil.copyfileobj(sys.stdin.buffer, spool, 1 << 20)
    spool.flush()
