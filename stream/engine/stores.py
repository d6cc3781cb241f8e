"""Where the partitions of tables live: in memory, or in RocksDB on this machine's disk.

A store on disk is a copy of its changelog up to an offset, which is written in the same batch as the values. So it
is never ahead of the changelog, and recovery goes on from there. It is a cache and nothing more: whatever is
doubtful about one is settled by throwing it away and reading the changelog from its beginning.

There is no write-ahead log: the changelog is one. After ``kill -9`` a store is as old as its last flush.
"""

from __future__ import annotations

import fcntl
import importlib
import logging
import os
import shutil
import struct
from collections.abc import Mapping
from contextlib import suppress
from itertools import islice
from threading import RLock
from time import time
from typing import TYPE_CHECKING, Any, Final, NamedTuple, overload

from .errors import StoreBroken, StoreRefused

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from pathlib import Path
    from typing import TypeVar

    T = TypeVar("T")

logger = logging.getLogger(__name__)

Entry = tuple[bytes, bytes | None]  #: key and value; a value of None deletes the key

#: Tombstones are there for a day at least (Kafka's ``delete.retention.ms``). A store that has missed one would
#: keep what was deleted, so one that is half as old is not gone on with.
MOST_AGE_S: Final = 12 * 3600.0
#: Clocks of different machines are apart by less than this, seconds.
CLOCKS_S: Final = 300.0
#: Entries read at a time while a store is walked through: nothing is held open in between.
WALK: Final = 1_000
MIB: Final = 1024 * 1024

_MARK: Final = b"!"  # the one key that is not the table's
_KEY: Final = b"="  # what the table's own begin with
_mark: Final = struct.Struct(">QdH")
_BROKEN: Final = "broken"


class Mark(NamedTuple):
    """How far a store is: everything of the changelog before ``offset`` is in it, at the time ``at``."""

    offset: int
    at: float
    format: int


class Stores:
    """The stores of one worker, on disk.

    Args:
        folder: of this app; no other process may use it meanwhile.
        memory_mb: of caches and buffers of all stores together.
        max_age_s: an older store is read anew; half of the changelogs' ``delete.retention.ms`` at most.
        valid_from: a store that is older than this time (seconds since 1970) is read anew, too.

    Raises:
        StoreRefused: RocksDB is not installed, or another process uses the folder.
    """

    def __init__(
        self,
        folder: Path,
        *,
        memory_mb: int = 256,
        max_age_s: float = MOST_AGE_S,
        valid_from: Callable[[], float] = lambda: 0.0,
    ) -> None:
        try:
            self._rocks: Any = importlib.import_module("rocksdict")
        except ImportError:
            raise StoreRefused("rocksdict is not installed: pip install 'cx-pulse[rocksdb]'") from None
        self.folder = folder
        self.valid_from = valid_from
        self._max_age_s = max_age_s
        self._open: dict[tuple[str, int], Store] = {}
        self._lock = self._locked()
        rocks = self._rocks
        self._cache = rocks.Cache(memory_mb * MIB)
        # Buffers are charged to the cache: both together stay within the memory given.
        self._buffers = rocks.WriteBufferManager.new_write_buffer_manager_with_cache(
            memory_mb * MIB // 4, False, self._cache
        )

    def _locked(self) -> int:
        try:
            self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            lock = os.open(self.folder / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise StoreRefused(f"{self.folder}: {error.strerror or error}") from None
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            os.close(lock)
            raise StoreRefused(f"{self.folder}: in use by another worker; give each its own") from None
        return lock

    def open(self, table: str, partition: int, version: int) -> Store:
        """Open the store of a partition, made anew where it is broken or of another format.

        Args:
            table: name.
            partition: number.
            version: of the format that the table's values are in.
        """
        store = self._open.get((table, partition))
        if store is None:
            path = self._path(table, partition)
            store = self._open[table, partition] = Store(self._rocks, path, version, self._opened)
        return store

    def usable(self, store: Store, begin: int, end: int) -> bool:
        """Whether recovery may go on from where a store is, by the changelog as it is now.

        Args:
            store: opened.
            begin: first offset of the changelog.
            end: one past its last.
        """
        mark = store.mark
        if mark is None or mark.offset == end:
            return True  # empty, or nothing was written since
        why = ""
        if mark.offset > end:
            why = f"it is at {mark.offset}, the changelog ends at {end}"
        elif mark.offset < begin:
            why = f"it is at {mark.offset}, the changelog begins at {begin}"
        elif time() - mark.at > self._max_age_s:
            why = "it is so old that it may have missed deletions"
        elif mark.at < self.valid_from() + CLOCKS_S:
            why = "customers were erased since"
        if why:
            logger.warning("%s: read from the beginning of its changelog again: %s", store.path, why)
        return not why

    def forget(self, table: str, partition: int) -> None:
        """Close the store of a partition and remove it from the disk."""
        store = self._open.pop((table, partition), None)
        if store is not None:
            store.close()
        shutil.rmtree(self._path(table, partition), ignore_errors=True)

    def keep_only(self, table: str, partitions: set[int]) -> None:
        """Remove what earlier runs have left of a table's other partitions: it is getting old."""
        try:
            names = [path.name for path in (self.folder / table).iterdir()]
        except FileNotFoundError:
            return
        for name in names:
            if name.isdigit() and int(name) not in partitions:
                self.forget(table, int(name))

    def close(self) -> None:
        """Close all stores, each as far as it is, and let another process have the folder."""
        for store in self._open.values():
            store.close()
        self._open.clear()
        if self._lock >= 0:
            os.close(self._lock)
            self._lock = -1

    def _path(self, table: str, partition: int) -> Path:
        return self.folder / table / str(partition)

    def _opened(self, path: Path) -> Any:
        rocks = self._rocks
        table = rocks.BlockBasedOptions()
        table.set_block_cache(self._cache)
        table.set_cache_index_and_filter_blocks(True)
        table.set_pin_l0_filter_and_index_blocks_in_cache(True)
        table.set_bloom_filter(10, False)
        table.set_format_version(5)
        options = rocks.Options(raw_mode=True)
        options.create_if_missing(True)
        options.set_block_based_table_factory(table)
        options.set_write_buffer_manager(self._buffers)
        options.set_write_buffer_size(16 * MIB)
        # A worker has many stores, most of them small: a buffer's first block is all that these take.
        options.set_arena_block_size(MIB // 16)
        options.set_compression_type(rocks.DBCompressionType.lz4())
        options.set_max_open_files(64)
        options.set_keep_log_file_num(1)
        return rocks.Rdict(str(path), options)


class Store(Mapping[bytes, bytes]):
    """One partition of a table on disk, as a mapping that may be walked through while it changes.

    A walk sees every key that is there from its beginning to its end, once, in the order of keys; ``len`` is a
    walk. Reading may be done in any thread.
    """

    def __init__(self, rocks: Any, path: Path, version: int, opened: Callable[[Path], Any]) -> None:
        self.path = path
        self.mark: Mark | None = None  #: None: nothing is in it.
        self._rocks = rocks
        self._version = version
        self._opened = opened
        self._changing = RLock()
        self._options = rocks.WriteOptions()
        self._options.disable_wal = True
        self._closed = False
        self._about = 0
        self._db = self._start()

    def _start(self) -> Any:
        if (self.path / _BROKEN).exists():
            self._replace("a read or a write of it failed")
        self.path.mkdir(mode=0o700, parents=True, exist_ok=True)
        try:
            return self._looked_at(self._opened(self.path))
        except Exception as error:  # noqa: BLE001 - rocksdict raises plain Exception
            self._replace(_words(error))
            self.path.mkdir(mode=0o700, parents=True)
            return self._looked_at(self._opened(self.path))

    def _looked_at(self, db: Any) -> Any:
        held = db.get(_MARK)
        self.mark = None if held is None else Mark(*_mark.unpack(held))
        if self.mark is not None and self.mark.format != self._version:
            found = self.mark.format
            self.mark = None
            db.close()
            raise ValueError(f"its values are in format {found}, those of today in {self._version}")
        return db

    def _replace(self, why: str) -> None:
        logger.warning("%s: replaced, and read from its changelog again: %s", self.path, why)
        shutil.rmtree(self.path)

    def clear(self) -> None:
        """Begin from nothing."""
        with self._changing:
            self._db.close()
            shutil.rmtree(self.path, ignore_errors=True)
            self._db = self._start()

    def close(self) -> None:
        """Write everything to disk and close; what comes later is refused."""
        with self._changing:
            if self._closed:
                return
            try:
                self._db.flush(True)
            except Exception as error:  # noqa: BLE001 - what is not on disk is read from the changelog again
                self._break(error)
            self._closed = True
            self._db.close()

    def apply(self, entries: Iterable[Entry], offset: int | None) -> None:
        """Take in many entries, and how far the store is then, all or nothing.

        Args:
            entries: of several with the same key the last one counts.
            offset: one past the last changelog record that is in; None: not known, so it stays where it was, and
                recovery will read those after it once more.

        Raises:
            StoreBroken: the disk did not take it, or the store is closed.
        """
        with self._changing:
            if self._closed:
                raise StoreBroken(f"{self.path}: closed")
            self._try(lambda: self._put(entries, offset))

    def _put(self, entries: Iterable[Entry], offset: int | None) -> None:
        batch = self._rocks.WriteBatch(raw_mode=True)
        put, delete = batch.put, batch.delete
        for key, value in entries:
            if value is None:
                delete(_KEY + key)
            else:
                put(_KEY + key, value)
        mark = self.mark
        if offset is not None:
            mark = Mark(offset, time(), self._version)
            put(_MARK, _mark.pack(*mark))
        elif mark is None:  # values without a mark must not pass for a store that is at the beginning
            mark = Mark(0, time(), self._version)
            put(_MARK, _mark.pack(*mark))
        self._db.write(batch, self._options)
        self.mark = mark

    def flush(self) -> None:
        """Write to disk what is in memory."""
        with self._changing:
            if not self._closed:
                self._try(lambda: self._db.flush(True))

    def scrub(self, keys: Iterable[bytes] | None) -> None:
        """Remove from the disk what deleted keys have left there: RocksDB does so at a time of its own.

        Args:
            keys: that were deleted; None: all that ever were.
        """
        rocks = self._rocks
        options = rocks.CompactOptions()
        options.set_bottommost_level_compaction(rocks.BottommostLevelCompaction.force())

        def compact() -> None:
            self._db.flush(True)
            for at in [None] if keys is None else [_KEY + key for key in keys]:
                self._db.compact_range(at, at, options)

        with self._changing:
            if not self._closed:
                self._try(compact)

    def reopen(self) -> None:
        """Let go of what RocksDB has noted of its own work, keys among it."""
        with self._changing:
            if not self._closed:
                self._db.close()
                self._db = self._start()

    def about(self) -> int:
        """How many keys there are, about."""
        if self._changing.acquire(blocking=False):  # whoever asks must not wait for a slow disk
            try:
                if not self._closed:
                    known = self._db.property_int_value("rocksdb.estimate-num-keys")
                    self._about = max(0, (known or 0) - 1)
            finally:
                self._changing.release()
        return self._about

    @overload
    def get(self, key: bytes) -> bytes | None: ...
    @overload
    def get(self, key: bytes, default: bytes) -> bytes: ...
    @overload
    def get(self, key: bytes, default: T) -> bytes | T: ...
    def get(self, key: bytes, default: Any = None) -> Any:
        """The value of a key."""
        try:
            return self._db.get(_KEY + key, default)
        except Exception as error:  # noqa: BLE001
            raise self._break(error) from None

    def __getitem__(self, key: bytes) -> bytes:
        value = self.get(key)
        if value is None:
            raise KeyError(key)
        return value

    def __contains__(self, key: object) -> bool:
        return isinstance(key, bytes) and self.get(key) is not None

    def __iter__(self) -> Iterator[bytes]:
        for key, _ in self._walk(values=False):
            yield key

    def __len__(self) -> int:
        return sum(1 for _ in self)

    def items(self) -> Any:
        """Keys and values; each pair as it is when the walk gets there, or a little before."""
        return self._walk(values=True)

    def _walk(self, *, values: bool) -> Iterator[tuple[bytes, bytes]]:
        after: bytes | None = None
        while True:
            begin = _KEY if after is None else after + b"\x00"  # what comes next after a key
            part = self._read(begin, values=values)
            for key, value in part:
                yield key[1:], value
            if len(part) < WALK:
                return
            after = part[-1][0]

    def _read(self, begin: bytes, *, values: bool) -> list[tuple[bytes, bytes]]:
        try:
            if values:
                return list(islice(self._db.items(from_key=begin), WALK))
            return [(key, b"") for key in islice(self._db.keys(from_key=begin), WALK)]
        except Exception as error:  # noqa: BLE001
            raise self._break(error) from None

    def _try(self, what: Callable[[], T]) -> T:
        try:
            return what()
        except Exception as error:  # noqa: BLE001 - rocksdict raises plain Exception
            raise self._break(error) from None

    def _break(self, error: Exception) -> StoreBroken:
        """The next process is not to trust it either; what RocksDB says has no keys in it."""
        if self._closed:
            return StoreBroken(f"{self.path}: closed")
        with suppress(OSError):  # the disk is full, or the folder is gone
            (self.path / _BROKEN).touch()
        return StoreBroken(
            f"{self.path}: {_words(error)}; it is read from its changelog again at the next start"
        )


def _words(error: Exception) -> str:
    return str(error).split("\n", 1)[0][:200] or type(error).__name__
