"""The real Kafka the project brings up itself."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from confluent_kafka import Consumer, Message, Producer

from stream.brokers import kafka as kafka_module
from stream.brokers.kafka import KafkaFailed, KafkaMissing, KafkaServer, free_port, install
from stream.topics import Cleanup, TopicSpec
from tests.conftest import in_thread

TOPIC = TopicSpec("kept", Cleanup.DELETE, 1)


def produce(bootstrap: str, *values: bytes) -> None:
    """Write values to the topic; done when the broker has them."""
    producer = Producer({"bootstrap.servers": bootstrap, "acks": "all"})
    for value in values:
        producer.produce(TOPIC.name, value)
    assert producer.flush(20) == 0


def consume(bootstrap: str, count: int) -> list[bytes | None]:
    """The first values of the topic."""
    consumer = Consumer(
        {"bootstrap.servers": bootstrap, "group.id": "test", "auto.offset.reset": "earliest", "log_level": 0}
    )
    try:
        consumer.subscribe([TOPIC.name])
        messages: list[Message] = consumer.consume(count, timeout=30)
        return [message.value() for message in messages]
    finally:
        consumer.close()


def alive(pid: int) -> bool:
    """Whether a process is running; a zombie nobody has waited for is not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except FileNotFoundError:
        return False


@pytest.fixture
def broker(kafka: KafkaServer) -> KafkaServer:
    """The run's Kafka with an empty topic of ours."""
    from stream.brokers import admin  # noqa: PLC0415

    in_thread(admin.delete(kafka.bootstrap, [TOPIC.name]))
    in_thread(admin.create(kafka.bootstrap, [TOPIC]))
    return kafka


def test_what_was_acknowledged_survives_kill_9(broker: KafkaServer) -> None:
    """After kill -9 and a restart, on the same port, everything acknowledged is there."""
    produce(broker.bootstrap, b"one", b"two")
    address, pid = broker.bootstrap, broker.pid
    started = time.monotonic()
    broker.kill()
    assert not broker.running
    broker.start()
    assert time.monotonic() - started < 30
    assert broker.bootstrap == address
    assert broker.pid != pid
    produce(broker.bootstrap, b"three")
    assert consume(broker.bootstrap, 3) == [b"one", b"two", b"three"]


def test_what_was_acknowledged_survives_a_restart(broker: KafkaServer) -> None:
    """A restart in good order keeps the data as well."""
    produce(broker.bootstrap, b"one")
    broker.restart()
    assert consume(broker.bootstrap, 1) == [b"one"]


def test_the_java_console_consumer_reads_it(broker: KafkaServer) -> None:
    """Kafka's own tools run against it, with records on stdout and nothing else there."""
    produce(broker.bootstrap, b"hello", b"world")
    done = broker.run_tool(
        "org.apache.kafka.tools.consumer.ConsoleConsumer",
        *("--bootstrap-server", broker.bootstrap, "--topic", TOPIC.name),
        *("--from-beginning", "--max-messages", "2", "--timeout-ms", "20000"),
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == ["hello", "world"]


def test_topics_are_not_made_by_asking(broker: KafkaServer) -> None:
    """A topic nobody created is an error, as on a broker that is run with care, and not a new topic."""
    done = broker.run_tool(
        "org.apache.kafka.tools.consumer.ConsoleConsumer",
        *("--bootstrap-server", broker.bootstrap, "--topic", "nobody-made-me", "--timeout-ms", "2000"),
    )
    listed = broker.run_tool(
        "org.apache.kafka.tools.TopicCommand", "--bootstrap-server", broker.bootstrap, "--list"
    )
    assert "UNKNOWN_TOPIC_OR_PARTITION" in done.stderr
    assert "nobody-made-me" not in listed.stdout.split()


def test_it_does_not_outlive_us(kafka: KafkaServer, tmp_path: Path) -> None:
    """The JVM ends soon after the process that started it, killed as it may be."""
    program = f"""
import time
from pathlib import Path
from stream.brokers.kafka import KafkaServer
with KafkaServer(Path({str(tmp_path)!r}), heap_mb=256) as server:
    print(server.pid, flush=True)
    time.sleep(600)
"""
    with subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, text=True) as parent:
        assert parent.stdout is not None
        pid = int(parent.stdout.readline())
        assert alive(pid)
        parent.send_signal(signal.SIGKILL)
    deadline = time.monotonic() + 10
    while alive(pid) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not alive(pid)


def test_a_broker_that_cannot_start_says_why(kafka: KafkaServer) -> None:
    """A start that fails raises, with the tail of the broker's log, and leaves nothing running."""
    with pytest.raises(KafkaFailed, match=r"(?s)its log ends:.*no\.such\.Class"):
        KafkaServer(settings={"authorizer.class.name": "no.such.Class"}).__enter__()


def test_the_download_is_reused(kafka: KafkaServer, monkeypatch: pytest.MonkeyPatch) -> None:
    """Once downloaded, Maven is not needed any more."""
    before = install()
    monkeypatch.setenv("PATH", "")
    assert install() == before


def test_no_java_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without Java the message says which Java is needed and what the package is called."""
    monkeypatch.setenv("PATH", "")
    monkeypatch.delenv("JAVA_HOME", raising=False)
    with pytest.raises(KafkaMissing, match=r"Java 17\+ \(Debian: openjdk-17-jre-headless\)"):
        kafka_module.java()


def test_an_old_java_is_said(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A Java that is too old is named, with its version."""
    old = tmp_path / "bin" / "java"
    old.parent.mkdir()
    old.write_text("#!/bin/sh\necho 'openjdk version \"11.0.2\" 2019-01-15' >&2\n")
    old.chmod(0o755)
    monkeypatch.setenv("JAVA_HOME", str(tmp_path))
    with pytest.raises(KafkaMissing, match=r"is version 11: Kafka 4\.1\.0 needs Java 17\+"):
        kafka_module.java()


def test_no_maven_is_said(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Without Maven and without an earlier download the message says so."""
    monkeypatch.setenv("PATH", "")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    with pytest.raises(KafkaMissing, match=r"no mvn: .*Debian: maven"):
        install()


def test_a_failed_download_leaves_nothing_behind(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """When Maven fails its last words are in the message, and the next try starts afresh."""
    maven = tmp_path / "bin" / "mvn"
    maven.parent.mkdir()
    maven.write_text("#!/bin/sh\necho 'no route to the repository'; exit 1\n")
    maven.chmod(0o755)
    monkeypatch.setenv("PATH", str(maven.parent) + os.pathsep + os.environ["PATH"])
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    with pytest.raises(KafkaMissing, match=r"(?s)could not download.*no route to the repository"):
        install()
    assert [path.name for path in (tmp_path / "cache/cx-pulse/kafka-4.1.0").iterdir()] == ["lock"]


def test_a_free_port_is_free_and_no_ephemeral_one() -> None:
    """Ports come from below the range that the system gives to outgoing connections."""
    ports = {free_port() for _ in range(5)}
    assert all(20_000 <= port < 30_000 for port in ports)


def test_the_developer_command_prints_the_address(kafka: KafkaServer) -> None:
    """``python -m stream.brokers.kafka`` prints the address to stdout and ends cleanly when told to."""
    command = [sys.executable, "-m", "stream.brokers.kafka", "--port", "0"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as run:
        assert run.stdout is not None
        address = run.stdout.readline().strip()
        assert address.startswith("127.0.0.1:")
        run.send_signal(signal.SIGINT)
        run.communicate(timeout=30)
    assert run.returncode == 0
