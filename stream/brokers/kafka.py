"""A real Apache Kafka without docker: jars from Maven Central, one KRaft node on free local ports.

For tests, benchmarks and developers (``make kafka``); a deployment brings its own cluster. Needs Java 17
or newer, and Maven the first time; the jars (54 MB) are kept in ``~/.cache/cx-pulse``.

    with KafkaServer() as kafka:
        producer = Producer({"bootstrap.servers": kafka.bootstrap})
"""

from __future__ import annotations

import argparse
import contextlib
import fcntl
import hashlib
import os
import random
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING, Final, Self

from confluent_kafka import KafkaException
from confluent_kafka.admin import AdminClient

from stream.brokers.child import Child, Startable

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

VERSION: Final = "4.1.0"
JAVA_AT_LEAST: Final = 17

# Below the usual ephemeral range: while the broker is down, a client that keeps connecting to a port
# inside that range can be given the very same port as its own source, and then holds it.
_PORTS: Final = range(20_000, 30_000)

_LOGGING: Final = """\
status = error
appender.out.type = Console
appender.out.name = out
appender.out.layout.type = PatternLayout
appender.out.layout.pattern = %d{HH:mm:ss,SSS} %-5p %c{1}: %m%n
rootLogger.level = warn
rootLogger.appenderRef.out.ref = out
"""


class KafkaMissing(RuntimeError):  # noqa: N818 - a state of the machine, not a fault of the program
    """Java or Maven is not there, is too old, or the jars cannot be had. The message says what to do."""


class KafkaFailed(RuntimeError):  # noqa: N818 - reads as what happened
    """The broker did not come up or died; the message ends with the tail of its log."""


def cache_dir() -> Path:
    """Where downloads are kept: ``$XDG_CACHE_HOME/cx-pulse``, ``~/.cache/cx-pulse`` without it."""
    base = os.environ.get("XDG_CACHE_HOME") or "~/.cache"
    return Path(base).expanduser() / "cx-pulse"


def java() -> str:
    """Path of a Java that is new enough.

    Raises:
        KafkaMissing: there is none.
    """
    home = os.environ.get("JAVA_HOME")
    path = shutil.which("java", path=f"{home}/bin") if home else None
    path = path or shutil.which("java")
    if path is None:
        raise KafkaMissing(
            f"no java: Kafka {VERSION} needs Java {JAVA_AT_LEAST}+ (Debian: openjdk-17-jre-headless)"
        )
    said = subprocess.run([path, "-version"], capture_output=True, text=True, check=False).stderr
    found = re.search(r'version "(\d+)', said)
    if found is None or int(found[1]) < JAVA_AT_LEAST:
        version = found[1] if found else "unknown"
        raise KafkaMissing(f"{path} is version {version}: Kafka {VERSION} needs Java {JAVA_AT_LEAST}+")
    return path


def install() -> Path:
    """Folder with Kafka's jars, downloaded by Maven the first time and reused ever after.

    Safe to call from several processes at once: one downloads, the others wait for it.

    Raises:
        KafkaMissing: no Maven, or it could not download.
    """
    pom = resources.files(__package__).joinpath("kafka-pom.xml").read_bytes()
    root = cache_dir() / f"kafka-{VERSION}"
    # Named after the pom, so that a changed dependency is downloaded and an unchanged one is not.
    jars = root / f"jars-{hashlib.sha256(pom).hexdigest()[:12]}"
    if jars.is_dir():
        return jars
    root.mkdir(parents=True, exist_ok=True)
    with (root / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not jars.is_dir():
            _download(pom, root, jars)
    return jars


def _download(pom: bytes, root: Path, jars: Path) -> None:
    maven = shutil.which("mvn")
    if maven is None:
        raise KafkaMissing(f"no mvn: Kafka {VERSION} is downloaded by Maven (Debian: maven), once")
    with tempfile.TemporaryDirectory(dir=root, prefix="download-") as temporary:
        folder = Path(temporary)
        (folder / "pom.xml").write_bytes(pom)
        command = [maven, "-q", "-B", "-f", str(folder / "pom.xml")]
        command += ["dependency:copy-dependencies", f"-DoutputDirectory={folder / 'jars'}"]
        done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)
        if done.returncode:
            tail = "\n".join((done.stdout + done.stderr).strip().splitlines()[-10:])
            raise KafkaMissing(f"Maven could not download Kafka {VERSION}:\n{tail}")
        (folder / "jars").rename(jars)


def free_port(*, avoid: frozenset[int] = frozenset()) -> int:
    """A local TCP port nobody listens on, outside the range the system hands out by itself."""
    for port in random.SystemRandom().sample(_PORTS, 200):
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            if port not in avoid:
                with contextlib.suppress(OSError):
                    probe.bind(("127.0.0.1", port))
                    return port
    raise KafkaFailed(f"no free port among {_PORTS.start}..{_PORTS.stop - 1}")


class KafkaServer(Startable):
    """One Kafka node, broker and controller in one, on this machine only.

    Args:
        data: folder for its logs and configuration, kept afterwards; None: a temporary one, removed by
            `close`.
        port: where clients connect; 0 picks a free one, which `restart` keeps.
        heap_mb: the JVM's heap in MiB.
        settings: broker properties added to, or replacing, the ones chosen here.
        jvm: further options of the JVM, such as ``-Dname=value``.
        start_within: seconds until a start counts as failed.

    The JVM never outlives this process, even one that is killed.
    """

    def __init__(
        self,
        data: Path | None = None,
        *,
        port: int = 0,
        heap_mb: int = 768,
        settings: Mapping[str, str] | None = None,
        jvm: Sequence[str] = (),
        start_within: float = 60.0,
    ) -> None:
        self._temporary = None if data else tempfile.TemporaryDirectory(prefix="cx-kafka-")
        self.data = data or Path(self._temporary.name if self._temporary else "")
        self._port = port or free_port()
        self._controller_port = free_port(avoid=frozenset({self._port}))
        self._heap_mb = heap_mb
        self._settings = dict(settings or {})
        self._jvm = tuple(jvm)
        self._start_within = start_within
        self._child: Child | None = None

    @property
    def bootstrap(self) -> str:
        """``host:port`` for clients; the same for the object's whole life."""
        return f"127.0.0.1:{self._port}"

    @property
    def classpath(self) -> str:
        """Java classpath of the broker, its clients and its command line tools."""
        return f"{install()}/*"

    @property
    def log_path(self) -> Path:
        """File with what the broker printed."""
        return self.data / "kafka.log"

    @property
    def running(self) -> bool:
        """Whether the JVM is alive."""
        return self._child is not None and self._child.poll() is None

    @property
    def pid(self) -> int | None:
        """Process id of the JVM, None while it is down."""
        return self._child.pid if self._child is not None and self.running else None

    def start(self) -> Self:
        """Start and wait until a metadata request succeeds (a few seconds).

        Raises:
            KafkaMissing: Java or Maven is not there.
            KafkaFailed: it did not come up in time.
        """
        if self.running:
            return self
        command = [java(), f"-Xmx{self._heap_mb}m", f"-Xms{min(256, self._heap_mb)}m"]
        command += [
            "-Djava.awt.headless=true",
            f"-Dlog4j2.configurationFile={self.data / 'log4j2.properties'}",
        ]
        command += [*self._jvm, "-cp", self.classpath]
        self._prepare()
        self._child = Child(
            [*command, "kafka.Kafka", str(self.data / "server.properties")], cwd=self.data, log=self.log_path
        )
        try:
            self._wait_until_ready()
        except BaseException:
            self.kill()
            raise
        return self

    def stop(self, *, within: float = 30.0) -> None:
        """Ask the broker to shut down and wait; after `within` seconds it is killed."""
        if self._child is not None:
            self._child.stop(within)
            self._child = None

    def kill(self) -> None:
        """End the JVM as ``kill -9`` does; what it had been told stays on disk."""
        if self._child is not None:
            self._child.kill()
            self._child = None

    def restart(self) -> Self:
        """Start again on the same port with the same data, after `stop`, `kill`, or while running."""
        self.stop()
        return self.start()

    def close(self) -> None:
        """End the broker for good; temporary data is removed."""
        if self._temporary is None:
            self.stop()
            return
        self.kill()  # nobody will read the data again: no need for a clean shutdown
        self._temporary.cleanup()

    def run_tool(
        self, tool: str, *args: str, stdin: str | None = None, within: float = 60.0
    ) -> subprocess.CompletedProcess[str]:
        """Run a Java class of Kafka's distribution, such as its console consumer, to its end.

        Args:
            tool: full class name, e.g. ``org.apache.kafka.tools.consumer.ConsoleConsumer``.
            args: its arguments; ``--bootstrap-server`` is the caller's to give.
            stdin: text for its standard input.
            within: seconds, then `subprocess.TimeoutExpired`.

        Returns:
            The finished process, with ``stdout`` and ``stderr`` as text. The exit code is not checked.
        """
        command = [java(), "-Xmx256m", "-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC"]
        command += [
            f"-Dlog4j2.configurationFile={self._logging('stderr')}",
            "-cp",
            self.classpath,
            tool,
            *args,
        ]
        return subprocess.run(
            command, input=stdin or "", capture_output=True, text=True, check=False, timeout=within
        )

    def log_tail(self, lines: int = 30) -> str:
        """The last lines the broker printed."""
        if not self.log_path.exists():
            return "(no log)"
        return "\n".join(self.log_path.read_text(errors="replace").splitlines()[-lines:])

    def _prepare(self) -> None:
        """Write the configuration and format the storage, the first time."""
        self.data.mkdir(parents=True, exist_ok=True)
        self._logging("stdout")
        properties = self.data / "server.properties"
        again = (self.data / "logs" / "meta.properties").exists()
        settings = self._properties(restarted=again)
        properties.write_text("".join(f"{name}={value}\n" for name, value in settings.items()))
        if again:
            return
        # The id may be any 16 bytes in base64; a fixed one makes a kept folder tell-tale in the logs.
        done = self.run_tool(
            "kafka.tools.StorageTool", "format", "-t", "Y3gtcHVsc2UtbG9jYWwtMQ", "-c", str(properties)
        )
        if done.returncode:
            raise KafkaFailed(f"kafka.tools.StorageTool format failed:\n{done.stdout}{done.stderr}")

    def _logging(self, target: str) -> Path:
        path = self.data / ("log4j2.properties" if target == "stdout" else "log4j2-tools.properties")
        text = _LOGGING if target == "stdout" else _LOGGING + "appender.out.target = SYSTEM_ERR\n"
        path.write_text(text)
        return path

    def _properties(self, *, restarted: bool) -> dict[str, str]:
        return {
            "process.roles": "broker,controller",
            "node.id": "1",
            "controller.quorum.voters": f"1@127.0.0.1:{self._controller_port}",
            "controller.listener.names": "CONTROLLER",
            "listeners": f"PLAINTEXT://{self.bootstrap},CONTROLLER://127.0.0.1:{self._controller_port}",
            "advertised.listeners": f"PLAINTEXT://{self.bootstrap}",
            "listener.security.protocol.map": "PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT",
            "log.dirs": str(self.data / "logs"),
            "auto.create.topics.enable": "false",
            "num.partitions": "1",
            "default.replication.factor": "1",
            "offsets.topic.num.partitions": "2",
            "offsets.topic.replication.factor": "1",
            "transaction.state.log.num.partitions": "2",
            "transaction.state.log.replication.factor": "1",
            "transaction.state.log.min.isr": "1",
            "share.coordinator.state.topic.num.partitions": "2",
            "share.coordinator.state.topic.replication.factor": "1",
            "share.coordinator.state.topic.min.isr": "1",
            # After kill -9 the controller admits the broker again only once its old session has run out; before,
            # a machine that is busy elsewhere must not fence it.
            "broker.heartbeat.interval.ms": "500",
            "broker.session.timeout.ms": "3000" if restarted else "15000",
            "group.initial.rebalance.delay.ms": "0",
            "group.min.session.timeout.ms": "1000",
            "num.network.threads": "2",
            "num.io.threads": "4",
            "log.cleaner.dedupe.buffer.size": str(16 * 1024 * 1024),
            "log.index.size.max.bytes": str(1024 * 1024),
            **self._settings,
        }

    def _wait_until_ready(self) -> None:
        child = self._child
        deadline = time.monotonic() + self._start_within
        while child is not None and child.poll() is None and time.monotonic() < deadline:
            if _listening(self._port) and _answers(self.bootstrap):
                return
            time.sleep(0.05)
        code = child.poll() if child is not None else None
        what = (
            f"did not answer within {self._start_within:g} s" if code is None else f"ended with code {code}"
        )
        raise KafkaFailed(f"Kafka {VERSION} {what}; its log ends:\n{self.log_tail()}")


def _listening(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def _answers(bootstrap: str) -> bool:
    try:
        metadata = AdminClient({"bootstrap.servers": bootstrap, "log_level": 0}).list_topics(timeout=2)
    except KafkaException:
        return False
    return bool(metadata.brokers)


def main(argv: list[str] | None = None) -> int:
    """Run Kafka in the foreground until Ctrl-C; the address goes to standard output."""
    parser = argparse.ArgumentParser(prog="python -m stream.brokers.kafka", description=main.__doc__)
    parser.add_argument("--port", type=int, default=9092, help="0: any free one")
    parser.add_argument("--data", type=Path, help="folder to keep the data in; without it they are temporary")
    arguments = parser.parse_args(argv)
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        with KafkaServer(arguments.data, port=arguments.port) as kafka:
            sys.stderr.write(f"Kafka {VERSION} is up; its log: {kafka.log_path}; Ctrl-C ends it\n")
            sys.stdout.write(f"{kafka.bootstrap}\n")
            sys.stdout.flush()
            while kafka.running:
                time.sleep(0.5)
            raise KafkaFailed(f"Kafka died; its log ends:\n{kafka.log_tail()}")
    except KeyboardInterrupt:
        return 0
    except (KafkaMissing, KafkaFailed) as error:
        sys.stderr.write(f"{error}\n")
        return 2


if __name__ == "__main__":
    sys.exit(main())
