"""What is waited for is on a terminal's stderr after two seconds, and nowhere else."""

from __future__ import annotations

import contextlib
import io
import json
import logging
import os
import pty
import re
import sys
import threading
import time
from typing import TYPE_CHECKING, Any, Self

import click
import pytest

from stream import topics
from stream.brokers.embedded import EmbeddedKafka
from stream.cli import asking, progress
from stream.cli.root import cx as root
from stream.topics import layout
from tests.cli.test_explain import objects

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

_CODES = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")


class Terminal:
    """A pseudo terminal, and all that was written to it. Within a ``with`` it is stderr."""

    def __init__(self) -> None:
        self._master, slave = pty.openpty()
        self.stream = os.fdopen(slave, "w", encoding="utf-8")
        self._raw = b""
        self._news = threading.Condition()
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        while True:
            try:
                more = os.read(self._master, 65_536)
            except OSError:  # the other end is closed
                return
            with self._news:
                self._raw += more
                self._news.notify_all()

    def shows(self, words: str, within: float = 10) -> None:
        """Wait until it does."""
        with self._news:
            assert self._news.wait_for(lambda: words in self.text, within), self.text

    @property
    def text(self) -> str:
        """All of it, without what moves the cursor and colours."""
        return _CODES.sub("", self._raw.decode(errors="replace"))

    @property
    def raw(self) -> str:
        """All of it."""
        return self._raw.decode(errors="replace")

    def __enter__(self) -> Self:
        self._before, sys.stderr = sys.stderr, self.stream  # here: pytest has its own between the phases
        return self

    def __exit__(self, *_: object) -> None:
        sys.stderr = self._before
        self.stream.close()
        self._reader.join(10)


@pytest.fixture
def terminal(monkeypatch: pytest.MonkeyPatch) -> Terminal:
    """One of a person who has not waited yet."""
    made = Terminal()
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setattr(progress._Display, "spent", 0.0)
    return made


class Clock:
    """Stands still."""

    now = 100.0

    def __call__(self) -> float:
        """Seconds."""
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    """The clock that decides when it is time."""
    made = Clock()
    monkeypatch.setattr(progress, "_clock", made)
    return made


def test_a_bar_comes_after_two_seconds_and_goes(terminal: Terminal, clock: Clock) -> None:
    """Nothing for two seconds; then what is done, how much of it and how long it will take; at last nothing."""
    threads = threading.active_count()
    with terminal, progress.progress("computing", 200, forks=True) as step:
        for clock.now, done in ((100.5, 25), (101.9, 95)):
            step.at(done)
        assert threading.active_count() == threads, "a fork would have been dangerous"
        assert terminal.text == ""
        clock.now = 102.0
        step.at(100)
        terminal.shows("50% 2 s left")
    left = terminal.raw.rpartition("left")[2]
    assert "\x1b[2K" in left, "the line was not taken away"
    assert "\x1b[?25h" in left, "the cursor was not given back"
    assert "computing" not in _CODES.sub("", left)


def test_what_hangs_is_shown_without_being_told(terminal: Terminal, monkeypatch: pytest.MonkeyPatch) -> None:
    """A wait of which nothing is heard is shown as well, and what is waited for within it in its place."""
    monkeypatch.setattr(progress, "AFTER_S", 0.02)
    with terminal, progress.progress("waiting for Kafka"):
        terminal.shows("waiting for Kafka")
        with progress.progress("reading", 10):
            terminal.shows("reading")
        click.echo("cx: a line", err=True)
    assert "cx: a line" in terminal.text


def test_short_waits_add_up(terminal: Terminal, clock: Clock) -> None:
    """Whoever has waited two seconds in all is told about the next wait at once."""
    with terminal:
        for words in ("first", "second"):
            with progress.progress(words, forks=True) as step:
                clock.now += 1.1
                step.at(1)
        with progress.progress("third"):
            terminal.shows("third")
    assert "first" not in terminal.text


def test_who_is_quick_or_has_no_terminal_is_told_nothing(
    terminal: Terminal, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Less than two seconds of work leave no byte on a terminal, and any work none elsewhere."""

    def work() -> None:
        with progress.progress("computing", 2) as step:
            step.add()
            step.show("more", 1)

    with terminal:
        work()
        monkeypatch.setattr(progress, "AFTER_S", 0)
        file = io.StringIO()
        with contextlib.redirect_stderr(file):
            work()
    assert (terminal.raw, file.getvalue()) == ("", "")


# -- every command -----------------------------------------------------------------------------------------------

RULES = """
groups:
  - name: g
    rules:
      - {alert: Low, metric: nps, window: 1h, below: 0, min_n: 30}
      - {alert: One, on: reply, when: {metric: nps, score: {lte: 9}}}
"""
DELIVERY = """
allow_private: [127.0.0.0/8]
receivers: [{name: care, webhook_configs: [{url: "http://127.0.0.1:1/"}]}]
route: {receiver: care}
"""
PLACE = "cx.replies/0/7"

#: Command -> what is shown while it works; those that ask Kafka say for what they wait.
SHOWN = {
    "simulate --events 200 --out made.ndjson": "making up events",
    "send events.ndjson": "sending",
    "compute events.ndjson --json": "computing",
    "explain metrics.ndjson --metric csat --against 7d": "reading metrics",
    "rules test rules.yml --events events.ndjson --json": "replaying",
    "rules tune rules.yml --events events.ndjson --json": "replaying",
    "rules apply rules.yml": "reading cx.rules",
    "rules show --at 2026-01-12T08:00:00Z --json": "reading cx.rules",
    "silences add segment=vip --for 2h --comment why": "waiting for Kafka",
    "silences list": "reading cx.silences",
    "silences expire 5c1f0a9be2d4": "reading cx.silences",
    "alerts list": "reading cx.alerts",
    "alerts explain Low --json": "reading cx.alerts and",
    "delivery list --json": "reading cx-pulse-deliveries-changelog",
    "delivery redrive --yes": "reading cx-pulse-deliveries-changelog",
    "delivery test delivery.yml care": "sending to care/webhook",
    "customers rank events.ndjson --now 2027-01-01T00:00:00Z --fit --json": "fitting",
    "customers top --json": "reading cx-pulse-customers-changelog",
    "customers show 4711": "reading cx-pulse-customers-changelog",
    "customers export 4711": "reading cx-pulse-customers-changelog",
    "customers erase 4711 --yes": "erasing",
    "models list --json": "reading cx.models",
    "models show churn": "reading cx.models",
    "models fit events.ndjson --json": "fitting",
    "deadletters list --json": "reading cx.deadletters",
    f"deadletters show {PLACE}": "reading cx.deadletters",
    "deadletters redrive --yes": "reading cx.deadletters",
    "topics check": "waiting for Kafka",
    "topics create --plan --json": "waiting for Kafka",
    "doctor --json": "looking at Kafka",
}
#: At once, or until they are told to stop, with a log or a view of their own.
OTHERS = {
    "demo", "worker", "serve", "completion", "schemas export", "topics acls", "rules check", "delivery check",
    "delivery route",
}  # fmt: skip


def leaves(command: click.Command, name: str = "") -> Iterator[str]:
    """The names of all commands."""
    if not isinstance(command, click.Group):
        yield name
        return
    context = click.Context(command)
    for each in command.list_commands(context):
        found = command.get_command(context, each)
        assert found is not None
        yield from leaves(found, f"{name} {each}".strip())


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Path, str]]:
    """Files, and a broker with something on the topics; their folder and its address."""
    folder = tmp_path_factory.mktemp("progress")
    root.main(["simulate", "--events", "300", "--out", str(folder / "events.ndjson")], standalone_mode=False)
    (folder / "rules.yml").write_text(RULES)
    (folder / "delivery.yml").write_text(DELIVERY)
    (folder / "metrics.ndjson").write_text(objects())
    with EmbeddedKafka(layout("cx-pulse", 4)) as kafka:
        yield folder, kafka.bootstrap


@pytest.fixture
def run(
    world: tuple[Path, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Callable[[str], bytes]]:
    """Function that runs ``cx`` here, in the folder of the files, and returns what is on stdout."""
    for name in [name for name in os.environ if name.startswith("CX_")]:
        monkeypatch.delenv(name)
    given = {"BROKERS": world[1], "REDIS_URL": "", "HTTP_PORT": "0"}
    for name, value in given.items():
        monkeypatch.setenv(f"CX_{name}", value)
    monkeypatch.chdir(world[0])
    kafka_log = logging.getLogger("aiokafka")
    level = kafka_log.level

    def call(words: str) -> bytes:
        out = tmp_path / "out"
        with out.open("w") as stdout, monkeypatch.context() as patch:
            patch.setattr(sys, "stdout", stdout)
            with pytest.raises(SystemExit) as ended:
                root.main(words.split())
        assert ended.value.code in {0, 1, 2}
        return out.read_bytes()

    yield call
    kafka_log.setLevel(level)


def test_every_command_is_thought_of() -> None:
    """A new command shows what it waits for, or is known to need no time."""
    shown = {name for name in leaves(root) if any(f"{words} ".startswith(f"{name} ") for words in SHOWN)}
    assert shown | OTHERS == set(leaves(root))
    assert not shown & OTHERS


@pytest.mark.parametrize("words", SHOWN)
def test_every_command_shows_what_it_waits_for(
    words: str, run: Callable[[str], bytes], terminal: Terminal, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With no patience at all each shows something; stdout is what it is where nothing is shown."""
    monkeypatch.setattr(progress, "AFTER_S", 0)
    if words.startswith("doctor"):
        monkeypatch.setenv(
            "CX_BROKERS", "localhost:1"
        )  # the embedded one is long in saying that it has no groups
    with terminal:
        out = run(words)
    assert SHOWN[words] in terminal.text
    assert b"\x1b" not in out
    if words.endswith("--json"):
        with contextlib.redirect_stderr(io.StringIO()):
            assert run(words) == out


def test_reading_a_topic_shows_how_far_it_is(
    world: tuple[Path, str], run: Callable[[str], bytes], terminal: Terminal, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A slow reading of a topic is a bar over its offsets."""
    from stream.cli.sending import Sender  # noqa: PLC0415

    sender = Sender({"bootstrap.servers": world[1]})
    for number in range(40):
        sender.put(topics.ALERTS, b"key", json.dumps({"id": number}).encode(), partition=0)
    sender.flush()
    real: Any = asking._next
    begun = time.monotonic()

    async def slow(consumer: Any, ends: dict[Any, int]) -> list[Any]:
        found: list[Any] = await real(consumer, ends)
        if not found:
            terminal.shows("reading cx.alerts")
            terminal.shows("100%")
        return found

    monkeypatch.setattr(asking, "_next", slow)
    monkeypatch.setattr(progress, "AFTER_S", 0)
    with terminal:
        assert run("alerts list") == b""
    assert time.monotonic() - begun < 10
