"""The README is true: its commands are run as they stand, what it shows is what comes out."""

from __future__ import annotations

import contextlib
import doctest
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import time
import urllib.request
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
import pytest

from schemas.reply import Reply
from schemas.touchpoint import Touchpoint
from stream.brokers.kafka import KafkaMissing, install, java
from stream.cli.root import cx
from tests.docs.pages import ROOT, blocks, code, rows, section

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

README = ROOT / "README.md"
BLOCKS = blocks(README)


def texts(language: str, word: str) -> list[str]:
    """The blocks of one kind."""
    return [block.text for block in BLOCKS if (block.language, block.word) == (language, word)]


class Tour:
    """The README's tour: terminals that stay open, commands that end, all in one folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.kafka = self.port = ""
        self.shown = ""
        clean = {
            name: value
            for name, value in os.environ.items()
            if not name.startswith("CX_") and name not in {"MAKEFLAGS", "MAKELEVEL", "MFLAGS"}
        }
        self._env = {**clean, "PATH": f"{ROOT / '.venv' / 'bin'}:{os.environ['PATH']}"}
        self._open: list[subprocess.Popen[bytes]] = []

    def _as_here(self, text: str) -> str:
        """The text with our ports: nothing else is changed."""
        text = re.sub(r"^make kafka$", f'make -C "{ROOT}" kafka ARGS="--port 0"', text, flags=re.MULTILINE)
        text = re.sub(r"^make setup$", f'make -C "{ROOT}" setup', text, flags=re.MULTILINE)
        return text.replace("localhost:9092", self.kafka).replace("localhost:9464", f"localhost:{self.port}")

    def terminal(self, text: str, name: str) -> tuple[subprocess.Popen[bytes], Path, Path]:
        """Run what does not end by itself; returns the process and where its output and messages go."""
        out, err = self.folder / f"{name}.out", self.folder / f"{name}.err"
        with out.open("ab") as stdout, err.open("ab") as stderr:
            process = subprocess.Popen(
                ["bash", "-c", self._as_here(text)],
                cwd=self.folder,
                env=self._env,
                stdin=subprocess.DEVNULL,
                stdout=stdout,
                stderr=stderr,
                start_new_session=True,
            )
        self._open.append(process)
        return process, out, err

    def end(self, process: subprocess.Popen[bytes]) -> None:
        """Ctrl-C in a terminal: everything that was started there."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGINT)
        try:
            process.wait(20)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()

    def run(self, text: str) -> None:
        """Run what ends by itself, and keep what it prints."""
        done = subprocess.run(
            ["bash", "-euo", "pipefail", "-c", self._as_here(text)],
            cwd=self.folder,
            env=self._env,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=120,
            check=False,
            text=True,
        )
        assert done.returncode == 0, f"{text}\n{done.stdout}\n{done.stderr}"
        self.shown += done.stdout

    def start(self) -> None:
        """Bring up the first terminal and learn the addresses."""
        _, out, err = self.terminal(texts("sh", "kafka")[0], "kafka")
        found = until(lambda: re.search(r"^127\.0\.0\.1:\d+$", out.read_text(), re.MULTILINE), err)
        self.kafka = found[0]
        with contextlib.closing(socket.socket()) as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = str(probe.getsockname()[1])
        self._env |= {"CX_BROKERS": self.kafka, "CX_HTTP_PORT": self.port}

    def worker(self, name: str) -> tuple[subprocess.Popen[bytes], Path]:
        """Start the worker's terminal and wait until it is ready."""
        process, _, err = self.terminal(texts("sh", "worker")[0], name)
        until(lambda: self.http("/health/ready"), err)
        return process, err

    def http(self, path: str) -> str:
        """What the worker answers; empty while it does not, or is not ready."""
        try:
            with urllib.request.urlopen(f"http://localhost:{self.port}{path}", timeout=5) as answer:
                return str(answer.read().decode())
        except OSError:
            return ""

    def close(self) -> None:
        """End every terminal, the broker's last."""
        for process in reversed(self._open):
            self.end(process)


def until(condition: Callable[[], Any], log: Path, within: float = 90.0) -> Any:
    """Ask until the answer is true and return it; fails with the end of a log."""
    deadline = time.monotonic() + within
    while True:
        if answer := condition():
            return answer
        assert time.monotonic() < deadline, log.read_text(errors="replace")[-4000:]
        time.sleep(0.1)


def holds(whole: Any, part: Any) -> bool:
    """Whether a shortened JSON value is a part of a whole one."""
    if isinstance(part, dict):
        return isinstance(whole, dict) and all(
            name in whole and holds(whole[name], each) for name, each in part.items()
        )
    return bool(whole == part)


@pytest.fixture
def tour(tmp_path: Path, kcat: str, kafka_installed: None) -> Iterator[Tour]:
    """A folder for the tour; whatever it started is ended."""
    opened = Tour(tmp_path)
    try:
        yield opened
    finally:
        opened.close()


@pytest.fixture
def kafka_installed() -> None:
    """What ``make kafka`` needs."""
    try:
        java()
        install()
    except KafkaMissing as error:
        (pytest.fail if os.environ.get("CI") else pytest.skip)(f"Kafka: {error}")


@pytest.mark.kafka
@pytest.mark.slow
@pytest.mark.timeout(400)
@pytest.mark.skipif(shutil.which("make") is None or shutil.which("curl") is None, reason="no make or no curl")
def test_the_tour_is_what_happens(tour: Tour) -> None:
    """From a clone to an alert: every command works as written, and shows what the page shows."""
    first, events, by_kcat, window, look = texts("sh", "run")
    tour.start()
    tour.run(first)
    worker, log = tour.worker("worker")
    _, watched, _ = tour.terminal(texts("sh", "watch")[0], "watch")

    def alerts() -> list[Any]:
        return [json.loads(line) for line in watched.read_text().split("\n")[:-1]]

    def shown(part: Any) -> bool:
        return any(holds(alert, part) for alert in alerts())

    at_once, firing, resolved = [json.loads(text) for text in texts("json", "shown")]
    tour.run(events)
    until(lambda: shown(at_once), log)
    tour.run(by_kcat)
    until(lambda: len(alerts()) == 2, log)
    tour.run(window)
    until(lambda: shown(firing) and shown(resolved), log)
    tour.run(look)
    assert (
        re.findall(r"^cx_misrouted_records_total\{.* (?!0\.0$).*", tour.http("/metrics"), re.MULTILINE) == []
    )
    for text in texts("text", "shown"):
        assert text in tour.shown

    ids = {alert["id"] for alert in alerts()}
    tour.end(worker)
    _, log = tour.worker("again")
    tour.run("cx send --touchpoints ada.ndjson")
    wanted = 'cx_records_total{topic="cx.touchpoints",verdict="duplicate"} 2.0'
    until(lambda: wanted in tour.http("/metrics"), log)
    assert {alert["id"] for alert in alerts()} == ids


def test_the_python_examples_are_what_python_says() -> None:
    """The examples in Python print what the page shows."""
    found = [block.text for block in BLOCKS if block.language == "python"]
    assert found
    runner = doctest.DocTestRunner()
    for text in found:
        runner.run(doctest.DocTestParser().get_doctest(text, {}, "README", str(README), 0))
    assert runner.summarize().failed == 0


def commands(group: click.Group, before: str = "cx") -> Iterator[str]:
    """Every command that does something, by its full name."""
    for name in group.list_commands(click.Context(group)):
        command = group.get_command(click.Context(group), name)
        assert command is not None
        if isinstance(command, click.Group):
            yield from commands(command, f"{before} {name}")
        else:
            yield f"{before} {name}"


def test_the_commands_are_all_there() -> None:
    """The table of commands has every command, and no other."""
    listed = [name for row in rows(section(README, "Commands")) for name in code(row[0])]
    assert sorted(listed) == sorted(commands(cx))


def test_the_fields_are_all_there() -> None:
    """The table of fields has every field of the input contract, and no other."""
    listed = [name for row in rows(section(README, "What goes in")) for name in code(row[0])]
    assert sorted(listed) == sorted(Touchpoint.model_fields.keys() | Reply.model_fields.keys())


def test_the_bench_prints_the_figures_that_are_named() -> None:
    """Every figure the page explains is a name in the benchmark's own output."""
    source = "".join(path.read_text() for path in sorted((ROOT / "bench").glob("*.py")))
    source = source.replace("p{q}_ms", "p50_ms p90_ms p99_ms")
    for row in rows(section(README, "Speed")):
        for name in code(row[0]):
            for part in re.split(r"\[\]\.|\.", name):
                assert part in source, name
