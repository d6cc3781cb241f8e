"""A small world with one person in it who will ask to be forgotten, and searches for what is left of them."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any

import redis

from stream import topics
from stream.customers import decode
from tests.e2e.harness import SETTINGS, Deployment
from tests.e2e.records import ToSend, consumer_of

if TYPE_CHECKING:
    from stream.brokers.kafka import KafkaServer

ID = "ada.lovelace@example.org"
COMMENT = "the courier left it with my neighbour Mrs Babbage"
START_MS = 1_768_204_800_000
OTHERS = 40
RULES = """
slices: [[segment]]
groups:
  - name: all
    rules:
      - {alert: NpsLow, metric: nps, by: [segment], window: 5m, below: -90, min_n: 200}
      - {alert: Detractor, on: reply, when: {metric: nps, score: {lte: 6}}, cooldown: 1h,
         annotations: {summary: "{customer} gave {score}"}}
      - {alert: Unanswered,
         expect: {after: {kind: ticket_opened}, then: {kind: ticket_resolved}, same: ref, within: 10m}}
"""


def world(minutes: int = 60, begin: int = 0, person: str | None = ID, comment: str = COMMENT) -> list[ToSend]:
    """Events of forty others and, every other minute, of a person; broken records of both."""
    found = []
    for minute in range(begin, begin + minutes):
        for number in range(6):
            who = f"other-{(minute * 6 + number) % OTHERS}"
            if person is not None and number == 0 and minute % 2 == 0:
                who = person
            at = START_MS + minute * 60_000 + number * 1_000
            common = {"customer_id": who, "occurred_at": at, "segment": "vip" if number % 2 else "standard"}
            reply = {
                **common,
                "event_id": f"r-{minute}-{number}",
                "metric": "nps",
                "score": (minute + number) % 11,
            }
            reply["comment"] = comment if who == person else f"comment {minute}-{number}"
            touch = {**common, "event_id": f"t-{minute}-{number}", "kind": "purchase", "value": 10.0 + number}
            if number == 0:
                touch = {**common, "event_id": f"t-{minute}-0", "kind": "ticket_opened", "ref": f"T-{minute}"}
            found.append(_record(topics.REPLIES, who, reply))
            found.append(_record(topics.TOUCHPOINTS, who, touch))
    for who, words in ((person, comment), ("other-1", "another comment")) if person is not None else ():
        bad = {
            "customer_id": who,
            "event_id": f"bad-{who}",
            "occurred_at": "yesterday",
            "metric": "nps",
            "score": 1,
        }
        found.append(_record(topics.REPLIES, who, {**bad, "comment": words}))
        # Broken, and keyed by nobody: only its content says whose it is.
        found.append(ToSend(topics.REPLIES, None, f'{{"customer_id": "{who}", "comment": "{words}"'.encode()))
    return found


def _record(topic: str, who: str, record: dict[str, Any]) -> ToSend:
    return ToSend(topic, who.encode(), json.dumps(record).encode())


def cx(
    deployment: Deployment, *arguments: str, within: float = 120, **env: str
) -> subprocess.CompletedProcess[str]:
    """Run ``cx`` with the settings of a deployment."""
    clean = {name: value for name, value in os.environ.items() if not name.startswith(("CX_", "E2E_"))}
    return subprocess.run(
        [sys.executable, "-m", "stream.cli", *arguments],
        cwd=deployment.folder,
        env={**clean, **SETTINGS, **deployment.env, **env},
        capture_output=True,
        text=True,
        timeout=within,
        check=False,
    )


def on_disk(kafka: KafkaServer, *needles: str) -> dict[str, list[str]]:
    """Which files of the broker's logs hold which bytes: every file there is, indexes and all."""
    found: dict[str, list[str]] = {}
    root = Path(kafka.data) / "logs"
    for path in root.rglob("*"):
        try:
            content = path.read_bytes() if path.is_file() else b""
        except FileNotFoundError:
            continue
        for needle in needles:
            if needle.encode() in content:
                found.setdefault(needle, []).append(str(path.relative_to(root)))
    return found


def in_redis(url: str, *needles: str) -> list[str]:
    """What of some bytes Redis has: in the file that it would save, uncompressed."""
    with redis.Redis.from_url(url) as client:
        client.config_set("rdbcompression", "no")
        client.save()
        folder = client.config_get("dir")["dir"]
        dump = (Path(folder) / client.config_get("dbfilename")["dbfilename"]).read_bytes()
    return [needle for needle in needles if needle.encode() in dump]


def customers(deployment: Deployment) -> dict[str, tuple[Any, ...]]:
    """Of everybody in the customers table what does not depend on offsets."""
    newest: dict[str, bytes | None] = {}
    for message in deployment.read(deployment.changelog(topics.CUSTOMERS_TABLE)):
        key = (message.key() or b"").decode()
        newest[key] = message.value()
    found = {}
    for key, held in newest.items():
        if held is not None:
            c = decode(held)
            scores = {metric: (score[0], score[2]) for metric, score in c.scores.items()}
            found[key] = (c.events, c.replies, c.purchases, c.spend, c.tickets_opened, scores, c.last_ms)
    return found


def places(deployment: Deployment, *names: str) -> dict[tuple[str, int], tuple[int, int]]:
    """Beginning and end of logs."""
    consumer = consumer_of(deployment.bootstrap)
    try:
        return {
            (tp.topic, tp.partition): consumer.get_watermark_offsets(tp, timeout=20)
            for name in names
            for tp in deployment.partitions(name)
        }
    finally:
        consumer.close()


def contents(deployment: Deployment, topic: str) -> Counter[tuple[Any, ...]]:
    """Records of a topic, without where they stand and what a rewrite adds."""
    return Counter(
        (
            message.partition(),
            message.key(),
            message.value(),
            message.timestamp(),
            tuple(each for each in message.headers() or () if each[0] != "cx-rewrite"),
        )
        for message in deployment.read(topic)
    )
