"""Lines of files, in blocks, from any place on: plain or gzip, told by their first bytes."""

from __future__ import annotations

import gzip
import zlib
from typing import IO, TYPE_CHECKING, Final, NamedTuple, cast

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

BLOCK_BYTES: Final = 1 << 20
_GZIP: Final = b"\x1f\x8b"
_ZSTD: Final = b"\x28\xb5\x2f\xfd"


class Unreadable(Exception):  # noqa: N818 - what is wrong is the file
    """A file cannot be read; the message names it and says why."""


class Block(NamedTuple):
    """Neighbouring lines: the number of the first, counted over all files from 0, and their bytes."""

    first: int
    lines: list[bytes]


class Place(NamedTuple):
    """Where a reader is: file, byte of it, line over all files, each from 0; and whether in a line cut short."""

    file: int = 0
    byte: int = 0
    line: int = 0
    inside: bool = False


class Reader:
    """Reads files one after the other, each line once.

    Args:
        files: regular files.
        longest: bytes of a line that are kept; the rest of a longer one is passed over.
        place: where to begin.

    Attributes:
        place: where the next block begins.
        starts: the line over all files at which each file begins, as far as they were opened.
        bytes_read: of the files as they lie on the disk, up to here.
    """

    def __init__(self, files: Sequence[Path], longest: int, place: Place = Place()) -> None:  # noqa: B008
        self._files = files
        self._longest = longest
        self._opened: IO[bytes] | None = None
        self._raw: IO[bytes] | None = None
        self._rest = b""
        self._before = 0  # size of the files that were read to their end
        self.place = place
        self.starts: list[int] = []

    def fork(self) -> Reader:
        """Another reader from the same place on."""
        other = Reader(self._files, self._longest, self.place)
        other.starts = self.starts.copy()
        return other

    @property
    def bytes_read(self) -> int:
        """Bytes of the files, as they lie on the disk, that were read."""
        return self._before + (0 if self._raw is None else self._raw.tell())

    def next(self) -> Block | None:
        """The next lines, without their ends; None at the end of the last file.

        Raises:
            Unreadable: a file cannot be read, or is damaged.
        """
        while self.place.file < len(self._files):
            path = self._files[self.place.file]
            try:
                if self._opened is None:
                    self._open(path)
                data = cast("IO[bytes]", self._opened).read(BLOCK_BYTES)
            except (OSError, EOFError, zlib.error) as error:
                self.close()
                raise Unreadable(f"{path}: {_why(error)}") from None
            block = self._cut(data) if data else self._last()
            if block is not None and block.lines:
                return block
        return None

    def close(self) -> None:
        """Let go of the file that is open."""
        for each in (self._opened, self._raw):
            if each is not None:
                each.close()
        self._opened = self._raw = None

    def _open(self, path: Path) -> None:
        self._raw, self._opened = _open(path)
        if self.place.byte:
            self._opened.seek(self.place.byte)
        if len(self.starts) == self.place.file:
            self.starts.append(self.place.line)

    def _cut(self, data: bytes) -> Block | None:
        """The whole lines of what was read; what follows the last end of line waits for more."""
        file, byte, line, inside = self.place
        if inside:
            end = data.find(b"\n") + 1
            if not end:
                self.place = Place(file, byte + len(data), line, inside=True)
                return None
            data, byte, line = data[end:], byte + end, line + 1
            self.place = Place(file, byte, line)
        held = len(self._rest)
        end = data.rfind(b"\n")
        if end < 0:
            self._rest += data
            if held + len(data) <= self._longest:
                return None
            cut, self._rest = self._rest, b""
            self.place = Place(file, byte + len(cut), line, inside=True)
            return Block(line, [cut])
        lines = _split(self._rest + data[:end])
        self._rest = data[end + 1 :]
        self.place = Place(file, byte + held + end + 1, line + len(lines))
        return Block(line, lines)

    def _last(self) -> Block | None:
        """At the end of a file: its last line, if that has no end, and on to the next file."""
        file, _, line, inside = self.place
        rest, self._rest = self._rest, b""
        self._before += 0 if self._raw is None else self._raw.tell()
        self.close()
        self.place = Place(file + 1, 0, line + (inside or bool(rest)))
        return Block(line, _split(rest)) if rest else None


def tail(path: Path, size: int) -> list[bytes]:
    """The lines within the last ``size`` bytes of a file's text, but for one that begins before.

    Raises:
        Unreadable: the file cannot be read, or is damaged.
    """
    try:
        raw, opened = _open(path)
        with raw, opened:
            if raw is opened:
                raw.seek(max(0, raw.seek(0, 2) - size - 1))
                last = raw.read()
            else:  # there is no other way to the end
                last = b""
                while block := opened.read(BLOCK_BYTES):
                    last = (last + block)[-size - 1 :]
    except (OSError, EOFError, zlib.error) as error:
        raise Unreadable(f"{path}: {_why(error)}") from None
    lines = _split(last)
    return lines[1:] if len(last) > size else lines


def _open(path: Path) -> tuple[IO[bytes], IO[bytes]]:
    """The file as it lies on the disk, and its text: the same where it is not compressed."""
    raw = path.open("rb")
    begins = raw.read(4)
    raw.seek(0)
    if begins == _ZSTD:
        raw.close()
        raise OSError(0, "is compressed with zstd: zstd -dc FILE | cx compute -")
    return raw, cast("IO[bytes]", gzip.GzipFile(fileobj=raw)) if begins[:2] == _GZIP else raw


def _split(data: bytes) -> list[bytes]:
    lines = data.split(b"\n")
    return [line.rstrip(b"\r") for line in lines] if b"\r" in data else lines


def _why(error: Exception) -> str:
    if isinstance(error, gzip.BadGzipFile | EOFError | zlib.error):
        return "is damaged: its gzip data end too early or make no sense"
    return str(getattr(error, "strerror", None) or "cannot be read")
