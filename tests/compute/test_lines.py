"""Lines of files in blocks, against the plain way of reading them."""

from __future__ import annotations

import gzip
from typing import TYPE_CHECKING

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from stream.compute import lines
from stream.compute.lines import Reader, Unreadable

if TYPE_CHECKING:
    from pathlib import Path

LONGEST = 20
TEXTS = st.lists(st.sampled_from([b"\n", b"a", b"bcd", b"\r\n", b"x" * 13]), max_size=40).map(b"".join)
again = settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


def by_hand(texts: list[bytes]) -> list[tuple[int, int, bytes]]:
    """(file, number in it, line) as Python itself splits them."""
    return [
        (file, number, line)
        for file, text in enumerate(texts)
        for number, line in enumerate(text.split(b"\n")[: None if text[-1:] not in {b"", b"\n"} else -1])
    ]


def rest(reader: Reader) -> list[tuple[int, bytes]]:
    """All lines that are left, with their numbers."""
    found: list[tuple[int, bytes]] = []
    while block := reader.next():
        found += enumerate(block.lines, block.first)
    return found


@again
@given(texts=st.lists(TEXTS, min_size=1, max_size=3), size=st.integers(1, 30), zipped=st.booleans())
def test_every_line_once_with_its_number(
    texts: list[bytes], size: int, zipped: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Neither block sizes nor compression change anything; a line that is too long is cut."""
    monkeypatch.setattr(lines, "BLOCK_BYTES", size)
    files = []
    for number, text in enumerate(texts):
        files.append(tmp_path / f"{number}")
        files[-1].write_bytes(gzip.compress(text) if zipped and text else text)
    wanted = by_hand(texts)
    reader = Reader(files, LONGEST)
    found: list[tuple[int, bytes]] = []
    while block := reader.next():
        found += enumerate(block.lines, block.first)
    assert [number for number, _ in found] == list(range(len(wanted)))
    for (number, line), (file, within, whole) in zip(found, wanted, strict=True):
        assert number - reader.starts[file] == within
        if len(whole) <= LONGEST:
            assert line == whole.rstrip(b"\r")
        else:
            assert whole.startswith(line)
            assert len(line) >= min(len(whole), LONGEST)
    assert reader.bytes_read == sum(file.stat().st_size for file in files)


@again
@given(texts=st.lists(TEXTS, min_size=1, max_size=3), size=st.integers(1, 30))
def test_a_fork_has_the_same_lines_still_to_come(
    texts: list[bytes], size: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After every block, what a fork reads and what was read already are the whole."""
    monkeypatch.setattr(lines, "BLOCK_BYTES", size)
    files = [tmp_path / str(number) for number in range(len(texts))]
    for file, text in zip(files, texts, strict=True):
        file.write_bytes(text)
    whole = rest(Reader(files, 1000))
    reader = Reader(files, 1000)
    found: list[tuple[int, bytes]] = []
    while block := reader.next():
        found += enumerate(block.lines, block.first)
        assert found + rest(reader.fork()) == whole


def test_what_cannot_be_read_is_named(tmp_path: Path) -> None:
    """A damaged gzip, a zstd file and one that is gone say so."""
    cut = tmp_path / "cut.gz"
    cut.write_bytes(gzip.compress(b"line\n" * 1000)[:-20])
    zstd = tmp_path / "a.zst"
    zstd.write_bytes(b"\x28\xb5\x2f\xfd\x00")
    for file, why in ((cut, "is damaged"), (zstd, "zstd -dc"), (tmp_path / "gone", "No such file")):
        with pytest.raises(Unreadable, match=why) as caught:
            rest(Reader([file], LONGEST))
        assert str(file) in str(caught.value)
