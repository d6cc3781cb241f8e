"""The page about customers is true: its examples give what they show."""

from __future__ import annotations

import json
import os
import re
import shlex
from typing import TYPE_CHECKING

import pytest
from click.testing import CliRunner
from confluent_kafka import Producer

from stream import topics
from stream.brokers.embedded import EmbeddedKafka
from stream.cli.customer_words import COLUMNS
from stream.cli.customers import customers
from stream.cli.root import cx
from stream.compute import Job
from stream.compute.folding import fold_files
from stream.customers import PRIOR, encode
from stream.customers.churn import LOW, REASONS
from stream.customers.learning_features import FEATURES
from stream.intake import partition_of
from stream.settings import Settings
from tests.docs.pages import ROOT, blocks, code, rows, section

if TYPE_CHECKING:
    from pathlib import Path

PAGE = ROOT / "docs" / "customers.md"
TEXT = PAGE.read_text(encoding="utf-8")
SHOWN = {(block.language, block.word): block.text for block in blocks(PAGE)}


@pytest.fixture
def files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with the events of the page, and no settings."""
    (tmp_path / "events.ndjson").write_text(SHOWN["ndjson", "rank"])
    monkeypatch.chdir(tmp_path)
    for name in [name for name in os.environ if name.startswith("CX_")]:
        monkeypatch.delenv(name)
    return tmp_path


@pytest.mark.usefixtures("files")
def test_the_ranking_is_what_the_command_prints() -> None:
    """The table and the summary, and the object of the first customer."""
    program, *arguments = shlex.split(SHOWN["sh", "rank"])
    assert program == "cx"
    done = CliRunner().invoke(cx, arguments, catch_exceptions=False)
    assert done.exit_code == 0
    assert [line.rstrip() for line in (done.stdout + done.stderr).splitlines()] == SHOWN[
        "text", "rank"
    ].splitlines()
    [first, *_] = CliRunner().invoke(cx, [*arguments, "--json"]).stdout.splitlines()
    shown = json.loads(SHOWN["json", "ranked"])
    assert list(json.loads(first)) == list(shown)
    assert json.loads(first) == {
        name: pytest.approx(held) if isinstance(held, float) else held for name, held in shown.items()
    }


def test_the_profile_is_what_the_command_prints(files: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of the same events, in the table where a worker would have put what they come to."""
    base, _ = fold_files(Job((files / "events.ndjson",), Settings(redis_url=None)), None)
    moment = re.search(r"as of +(\S+)", SHOWN["text", "show"])
    assert moment is not None
    with EmbeddedKafka(topics.layout("cx-pulse", 4)) as kafka:
        producer = Producer({"bootstrap.servers": kafka.bootstrap, "log_level": 0})
        for name, customer in base.customers():
            partition = partition_of(name.encode(), 4)
            producer.produce(topics.changelog("cx-pulse", "customers"), encode(customer), name, partition)
        assert producer.flush(20) == 0
        monkeypatch.setenv("CX_BROKERS", kafka.bootstrap)
        arguments = ["customers", "show", "ada", "--as-of", moment[1]]
        done = CliRunner().invoke(cx, arguments, catch_exceptions=False)
    assert done.stdout.splitlines() == SHOWN["text", "show"].splitlines()


def test_columns_reasons_and_options_are_those_there_are() -> None:
    """Each column is explained, each reason has words, and no option is made up."""
    assert [(code(row[0])[0], row[1]) for row in rows(section(PAGE, "The order"))] == list(COLUMNS.items())
    assert set(REASONS) == {f"{low}{name}" for name in FEATURES for low in ("", LOW)} >= set(PRIOR) - {"base"}
    known = {
        option for command in customers.commands.values() for param in command.params for option in param.opts
    }
    assert set(re.findall(r"(--[a-z][a-z-]+)", TEXT)) <= known
