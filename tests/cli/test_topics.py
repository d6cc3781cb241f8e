"""``cx topics`` against a broker."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Callable

    from stream.brokers.embedded import EmbeddedKafka
    from stream.brokers.kafka import KafkaServer


def test_check_of_right_topics_ends_with_zero(
    cx: Callable[..., subprocess.CompletedProcess[str]], embedded_kafka: EmbeddedKafka
) -> None:
    """A broker with the layout is ok."""
    done = cx("topics", "check", CX_BROKERS=embedded_kafka.bootstrap)
    assert (done.returncode, done.stderr) == (0, "")
    assert "as they must be" in done.stdout


def test_check_of_wrong_partitions_is_a_finding(
    cx: Callable[..., subprocess.CompletedProcess[str]], embedded_kafka: EmbeddedKafka
) -> None:
    """Every difference is told, for people and as JSON; exit code 1."""
    done = cx("topics", "check", CX_BROKERS=embedded_kafka.bootstrap, CX_PARTITIONS="6")
    assert done.returncode == 1
    assert "cx.replies: partitions is 4, must be 6" in done.stderr
    done = cx("topics", "check", "--json", CX_BROKERS=embedded_kafka.bootstrap, CX_PARTITIONS="6")
    assert done.returncode == 1
    found = json.loads(done.stdout)
    assert found["ok"] is False
    wanted = {"topic": "cx.replies", "do": "grow", "what": "partitions", "want": "6", "found": "4"}
    assert wanted in found["differences"]


def test_no_broker_is_one_line(cx: Callable[..., subprocess.CompletedProcess[str]]) -> None:
    """Exit code 2 and the setting's name, no traceback."""
    done = cx("topics", "check", CX_BROKERS="127.0.0.1:1")
    assert done.returncode == 2
    assert len(done.stderr.splitlines()) == 1
    assert "CX_BROKERS=127.0.0.1:1" in done.stderr


def test_create_on_a_real_broker(
    cx: Callable[..., subprocess.CompletedProcess[str]], kafka: KafkaServer
) -> None:
    """What is missing is created once, then all is as it must be, and wrong ones are still a finding."""
    env = {"CX_BROKERS": kafka.bootstrap, "CX_APP_ID": "cx-topics-test"}
    done = cx("topics", "create", "--json", **env)
    assert done.returncode == 0, done.stderr
    assert "cx-topics-test-customers-changelog" in json.loads(done.stdout)["created"]
    again = json.loads(cx("topics", "create", "--json", **env).stdout)
    assert again == {"planned": False, "changes": [], "created": [], "left": []}
    assert cx("topics", "check", **env).returncode == 0
    done = cx("topics", "create", **env, CX_PARTITIONS="5")
    assert done.returncode == 1
    assert "partitions is 4, must be 5" in done.stderr
