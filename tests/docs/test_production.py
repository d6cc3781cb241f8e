"""docs/production.md: its settings are accepted, its roles exist, its way to more partitions is walked."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import textwrap
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import trustme
from confluent_kafka import Producer
from pydantic import ValidationError

from stream import topics
from stream.brokers import admin, diagnose
from stream.brokers.acls import ROLES
from stream.settings import Settings
from tests.conftest import in_thread
from tests.docs.pages import ROOT, blocks, code, rows, section
from tests.e2e.records import read, value

if TYPE_CHECKING:
    from stream.brokers.kafka import KafkaServer

PAGE = ROOT / "docs" / "production.md"


def texts(word: str) -> list[str]:
    """Shell blocks of one kind."""
    return [block.text for block in blocks(PAGE) if block.word == word]


def step(word: str) -> str:
    """The shell block of a step in a list."""
    [found] = re.findall(rf"(?ms)^ +```sh {word}\n(.*?)^ +```$", PAGE.read_text(encoding="utf-8"))
    return textwrap.dedent(found)


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The certificates that the page talks of."""
    folder = tmp_path_factory.mktemp("files")
    authority = trustme.CA()
    authority.cert_pem.write_to_path(folder / "ca.pem")
    own = authority.issue_cert("worker.example")
    own.cert_chain_pems[0].write_to_path(folder / "worker.pem")
    own.private_key_pem.write_to_path(folder / "worker.key")
    return folder


@pytest.mark.parametrize("text", texts("env"))
def test_its_settings_are_accepted(text: str, files: Path) -> None:
    """Every example of settings is complete: each variable exists, and leaving out a needed one is refused."""
    given: dict[str, Any] = {}
    for line in text.splitlines():
        name, _, said = line.partition("=")
        assert name.removeprefix("CX_").lower() in Settings.model_fields, name
        given[name.removeprefix("CX_").lower()] = said.replace("/etc/cx-pulse", str(files))
    assert Settings(_env_file=None, **given).security_protocol != "PLAINTEXT"
    for needed in {"security_protocol", "sasl_password", "oauth_url"} & given.keys():
        with pytest.raises(ValidationError):
            Settings(_env_file=None, **{name: held for name, held in given.items() if name != needed})


def test_its_roles_are_those_of_the_command() -> None:
    """The table of rights lists the roles that `cx topics acls` knows."""
    assert [code(row[0])[0] for row in rows(section(PAGE, "Rights"))] == list(ROLES)


def test_its_words_are_those_that_are_said() -> None:
    """What the page quotes of messages is in the code that says them."""
    source = Path(str(diagnose.__file__)).read_text() + (ROOT / "stream/brokers/oauth.py").read_text()
    for said, _ in rows(section(PAGE, "Encryption and identity")):
        for part in re.split("; | … ", said):
            plain = re.sub(r"SCRAM-SHA-512|'cx-worker'.*|401", "", part).removeprefix("perhaps ").strip()
            assert plain in source, part


@pytest.mark.kafka
@pytest.mark.timeout(120)
def test_its_way_to_more_partitions(kafka: KafkaServer, kcat: str, tmp_path: Path) -> None:
    """What was kept is sent again in the order of its coming, every key to one partition of the new number."""
    names = {spec.name for spec in topics.layout("cx-before", 4)} | {"cx-after"}
    in_thread(admin.delete(kafka.bootstrap, names | {spec.name for spec in topics.layout("cx-after", 6)}))
    in_thread(admin.create(kafka.bootstrap, topics.layout("cx-before", 4)))
    producer = Producer(
        {"bootstrap.servers": kafka.bootstrap, "partitioner": "murmur2_random", "log_level": 0}
    )
    sent: dict[str, list[dict[str, Any]]] = {topics.TOUCHPOINTS: [], topics.REPLIES: []}
    for n in range(60):
        customer = f"c-{n % 7}"
        event = {"event_id": f"e-{n}", "customer_id": customer, "occurred_at": 1_768_000_000_000 + n}
        event |= {"metric": "nps", "score": 9} if n % 3 else {"kind": "purchase"}
        topic = topics.REPLIES if n % 3 else topics.TOUCHPOINTS
        sent[topic].append(event)
        producer.produce(topic, json.dumps(event), customer, timestamp=1_768_000_000_000 + n * 10)
    assert producer.flush(20) == 0
    env = {"PATH": f"{Path(sys.executable).parent}:/usr/bin:/bin", "LC_ALL": "C.UTF-8"}
    run(step("keep"), tmp_path, env, kafka.bootstrap)
    gone = names - {topics.RULES, topics.SILENCES, topics.MODELS, topics.ERASURES}
    in_thread(admin.delete(kafka.bootstrap, gone))
    env |= {"CX_BROKERS": kafka.bootstrap, "CX_APP_ID": "cx-after", "CX_PARTITIONS": "6"}
    run(step("again"), tmp_path, env, kafka.bootstrap)
    for topic, events in sent.items():
        found = read(kafka.bootstrap, topic)
        assert len(found) == len(events)
        places: dict[str, set[int | None]] = {}
        for message in found:
            places.setdefault((message.key() or b"").decode(), set()).add(message.partition())
        assert {len(each) for each in places.values()} == {1}
        for customer in places:
            mine = [json.loads(value(each)) for each in found if each.key() == customer.encode()]
            assert mine == [event for event in events if event["customer_id"] == customer]
    assert in_thread(admin.plan(kafka.bootstrap, topics.layout("cx-after", 6))) == []


def run(text: str, folder: Path, env: dict[str, str], bootstrap: str) -> None:
    """A block of the page, with our broker."""
    done = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", text.replace("localhost:9092", bootstrap)],
        cwd=folder,
        env=env,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
