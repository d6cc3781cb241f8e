"""Worker processes on a real Kafka, and how to know that everything has settled."""

from __future__ import annotations

import json
import os
import re
import sys
import time
import urllib.error
import urllib.request
import uuid
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from confluent_kafka import Consumer, KafkaException, Message, TopicPartition

from stream import topics
from stream.brokers import admin
from stream.brokers.child import Child
from stream.measures import Mark, decode_partial_or_mark
from tests.conftest import in_thread
from tests.e2e.records import consumer_of, read, value
from tests.waiting import until

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from types import TracebackType

PARTITIONS = 4
MAIN = Path(__file__).with_name("worker_main.py")

#: What differs from a deployment: quick to commit, quick to notice the end of the input.
SETTINGS = {
    "CX_HTTP_PORT": "0",
    "CX_REDIS_URL": "",
    "CX_COMMIT_INTERVAL_MS": "100",
    "CX_IDLE_AFTER_MS": "1500",
    "CX_PARTITIONS": str(PARTITIONS),
}


class WorkerProcess:
    """One ``cx worker``; its standard error goes to a file. ``program`` is what is run as ``cx``."""

    def __init__(
        self,
        env: dict[str, str],
        folder: Path,
        name: str = "worker",
        program: Sequence[str] = (sys.executable, str(MAIN)),
    ) -> None:
        self.log_path = folder / f"{name}-{uuid.uuid4().hex[:6]}.log"
        clean = {key: value for key, value in os.environ.items() if not key.startswith(("CX_", "E2E_"))}
        self.process = Child(
            [*program, "worker"],
            cwd=folder,
            log=self.log_path,
            env={**clean, **SETTINGS, **env},
        )

    @property
    def log(self) -> str:
        """All it has said."""
        return self.log_path.read_text(errors="replace")

    def alive(self) -> bool:
        """Whether it runs; fails when it has ended by itself."""
        code = self.process.poll()
        assert code is None, f"the worker ended with {code}; its log:\n{self.log[-4000:]}"
        return True

    def get(self, path: str) -> tuple[int, str] | None:
        """Status and body of its HTTP endpoint; None while nobody answers."""
        found = re.search(r"on (http://127\.0\.0\.1:\d+)", self.log)
        if found is None:
            return None
        try:
            with urllib.request.urlopen(found[1] + path, timeout=5) as answer:  # noqa: S310 - our own
                return answer.status, answer.read().decode()
        except urllib.error.HTTPError as error:
            return error.code, error.read().decode()
        except OSError:
            return None

    def readiness(self) -> dict[str, Any]:
        """The body of ``/health/ready``; empty while nobody answers."""
        answer = self.get("/health/ready")
        return {} if answer is None else json.loads(answer[1])

    def ready(self) -> bool:
        """Whether it says so; fails when the process has ended."""
        return self.alive() and bool(self.readiness().get("ready"))

    def wait_ready(self, within: float = 60.0) -> Self:
        """Wait until it says that it is ready."""
        try:
            until("worker ready", self.ready, within)
        except AssertionError as error:
            raise AssertionError(f"{error}; {self.readiness()}; log:\n{self.log[-4000:]}") from None
        return self

    def counters(self, name: str) -> dict[str, float]:
        """Samples of a metric: label text -> value."""
        answer = self.get("/metrics")
        text = answer[1] if answer else ""
        return {
            line[len(name) :].rsplit(" ", 1)[0]: float(line.rsplit(" ", 1)[1])
            for line in text.splitlines()
            if line.startswith((f"{name}{{", f"{name} "))
        }

    def kill(self) -> None:
        """``kill -9``."""
        self.process.kill()

    def stop(self, within: float = 45.0) -> int:
        """SIGTERM; returns the exit code."""
        self.process.terminate()
        return self.process.wait(within)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Never leave it running."""
        self.close()

    def close(self) -> None:
        """End it, if it still runs; more than once is no error."""
        self.process.kill()


class Deployment:
    """The topics of one app on a broker, and what is in them."""

    def __init__(self, bootstrap: str, folder: Path, rules: str | None = None, **env: str) -> None:
        self.bootstrap = bootstrap
        self.folder = folder
        self.app_id = f"cx-{uuid.uuid4().hex[:12]}"
        self.env = {"CX_BROKERS": bootstrap, "CX_APP_ID": self.app_id, **env}
        if rules is not None:
            path = folder / "rules.yml"
            path.write_text(rules, encoding="utf-8")
            self.env["CX_RULES"] = str(path)
        self._asking: Consumer | None = None
        self._marks = Marks(bootstrap)

    def create(self, *, keep_inputs: bool = False) -> Self:
        """Make all topics anew; ``keep_inputs``: the inputs stay, with what is in them."""
        specs = topics.layout(self.app_id, PARTITIONS)
        old = [spec.name for spec in specs if not (keep_inputs and spec.name in topics.INPUTS)]
        in_thread(admin.delete(self.bootstrap, old))
        in_thread(admin.create(self.bootstrap, specs))
        return self

    def worker(self, **env: str) -> WorkerProcess:
        """Start a worker; a context manager."""
        return WorkerProcess({**self.env, **env}, self.folder)

    def changelog(self, table: str) -> str:
        """Name of a table's changelog."""
        return topics.changelog(self.app_id, table)

    def partitions(self, topic: str) -> list[TopicPartition]:
        """Every partition of a topic of ours."""
        count = 1 if topic == topics.CLAIMS else PARTITIONS
        return [TopicPartition(topic, partition) for partition in range(count)]

    def ends(self, *names: str) -> dict[tuple[str, int], int]:
        """End offsets."""
        group = self._group_member()
        return {
            (tp.topic, tp.partition): group.get_watermark_offsets(tp, timeout=20)[1]
            for name in names
            for tp in self.partitions(name)
        }

    def committed(self, *names: str) -> dict[tuple[str, int], int]:
        """The group's committed offsets; 0 where there is none."""
        asked = [tp for name in names for tp in self.partitions(name)]

        def answer() -> list[TopicPartition] | None:
            try:
                return self._group_member().committed(asked, timeout=5)
            except KafkaException:  # the group's coordinator is not there yet
                return None

        return {
            (tp.topic, tp.partition): max(tp.offset, 0) for tp in until("the group's offsets", answer, 60)
        }

    def _group_member(self) -> Consumer:
        """Make a consumer that asks for the group's offsets and never joins it."""
        # Not the admin client: an error in its answer about offsets has ended the whole process.
        if self._asking is None:
            self._asking = consumer_of(self.bootstrap, self.app_id)
        return self._asking

    def close(self) -> None:
        """Leave nothing that would ask a broker that is gone."""
        self._marks.close()
        if self._asking is not None:
            self._asking.close()
            self._asking = None

    def lag(self, *names: str) -> int:
        """Records that the group has not committed."""
        ends = self.ends(*names)
        committed = self.committed(*names)
        return sum(end - committed[tp] for tp, end in ends.items())

    def drained(self, *workers: WorkerProcess, within: float = 120.0) -> None:
        """Wait until nothing is left to do: all read and committed, all sources idle, in the data's order."""

        def no_lag(*names: str) -> Callable[[], bool]:
            def look() -> bool:
                for worker in workers:
                    worker.alive()
                try:
                    return self.lag(*names) == 0
                except KafkaException:
                    return False

            return look

        deadline = time.monotonic() + within

        def left() -> float:
            return max(1.0, deadline - time.monotonic())

        try:
            until("inputs committed", no_lag(*topics.INPUTS), left())
            # What they caused was published before: first the marks of the idle, then what these lead to.
            ends = self.ends(*topics.INPUTS)
            until("every source idle", lambda: self._marks.all_idle(ends), left())
            until("partials committed", no_lag(topics.PARTIALS), left())
            until("claims committed", no_lag(topics.CLAIMS), left())
        except AssertionError as error:
            logs = "\n".join(f"--- {w.log_path.name}\n{w.readiness()}\n{w.log[-3000:]}" for w in workers)
            lags = {k: (v, self.committed(k[0])[k]) for k, v in self.ends(*topics.INPUTS).items()}
            raise AssertionError(f"{error}\nlags {lags}\nmarks {self._marks.newest}\n{logs}") from None
        finally:
            self.close()

    def run(self, workers: int = 1, within: float = 120.0, **env: str) -> None:
        """Run workers over what is in the inputs until all is done, and stop them in good order."""
        started = [self.worker(**env) for _ in range(workers)]
        try:
            self.drained(*started, within=within)
            for worker in started:
                assert worker.stop() == 0, worker.log[-4000:]
        finally:
            for worker in started:
                worker.close()

    def read(self, topic: str) -> list[Message]:
        """Everything in a topic, partition by partition in offset order."""
        return read(self.bootstrap, topic)

    def alerts(self) -> list[bytes]:
        """Values of ``cx.alerts``."""
        return [value(message) for message in self.read(topics.ALERTS)]

    def final_metrics(self) -> dict[str, dict[str, Any]]:
        """Newest final ``cx.metrics`` object of every slice, by slice key."""
        found: dict[str, dict[str, Any]] = {}
        for message in self.read(topics.METRICS):
            record = json.loads(value(message))
            key = (message.key() or b"").decode()
            if record["final"] and (key not in found or record["as_of"] >= found[key]["as_of"]):
                found[key] = record
        return found


class Marks:
    """Follows ``cx.partials`` for the newest mark of every source in every partition."""

    def __init__(self, bootstrap: str) -> None:
        self._bootstrap = bootstrap
        self._consumer: Consumer | None = None
        self.newest: dict[tuple[str, int], tuple[int, bool]] = {}

    def all_idle(self, ends: dict[tuple[str, int], int]) -> bool:
        """Whether every source has told every partition that it is idle, at its end."""
        if self._consumer is None:
            self._consumer = consumer_of(self._bootstrap)
            self._consumer.assign([TopicPartition(topics.PARTIALS, p, 0) for p in range(PARTITIONS)])
        while batch := self._consumer.consume(10_000, timeout=0.2):
            for message in batch:
                if message.error() is None and (text := value(message)).startswith(b'["m"'):
                    mark = decode_partial_or_mark(text)
                    assert isinstance(mark, Mark)
                    self.newest[mark.source, message.partition() or 0] = mark.version
        wanted = {
            (f"{topic}/{partition}", p): end - 1
            for (topic, partition), end in ends.items()
            for p in range(PARTITIONS)
        }
        return all(self.newest.get(at) == (offset, True) for at, offset in wanted.items())

    def close(self) -> None:
        """Leave nothing that would ask a broker that is gone."""
        if self._consumer is not None:
            self._consumer.close()
            self._consumer = None
            self.newest.clear()
