"""``cx topics`` against a broker."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Callable

    from stream.brokers.embedded import EmbeddedKafka


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


def test_create_on_a_real_broker(cx: Callable[..., subprocess.CompletedProcess[str]], empty: str) -> None:
    """What is missing is created once, then all is as it must be, and wrong ones are still a finding."""
    env = {"CX_BROKERS": empty, "CX_APP_ID": "cx-topics-test"}
    done = cx("topics", "create", "--json", **env)
    assert done.returncode == 0, done.stderr
    assert "cx-topics-test-customers-changelog" in json.loads(done.stdout)["created"]
    again = json.loads(cx("topics", "create", "--json", **env).stdout)
    assert again == {"planned": False, "changes": [], "created": [], "left": []}
    assert cx("topics", "check", **env).returncode == 0
    done = cx("topics", "create", **env, CX_PARTITIONS="5")
    assert done.returncode == 1
    assert "partitions is 4, must be 5" in done.stderr


def test_a_plan_is_a_diff_and_does_nothing(
    cx: Callable[..., subprocess.CompletedProcess[str]], empty: str
) -> None:
    """`--plan` says what would be created and altered; `--alter` does it; what is left is a finding with a way."""
    env = {"CX_BROKERS": empty, "CX_APP_ID": "cx-plan-test", "CX_MIN_ISR": "1"}
    changelog = "cx-plan-test-windows-changelog"
    cx("topics", "create", **env)
    again = {**env, "CX_APP_ID": "cx-plan-other"}
    planned = cx("topics", "create", "--plan", **again)
    assert planned.returncode == 0, planned.stderr
    assert f"+ {changelog.replace('test', 'other')}  partitions 4" in planned.stdout.splitlines()
    assert cx("topics", "check", **again).returncode == 1  # nothing was done
    more = {**env, "CX_REPLICATION": "2", "CX_MIN_ISR": "2"}
    planned = cx("topics", "create", "--alter", "--plan", **more)
    assert f"~ {changelog}  min.insync.replicas 1 -> 2" in planned.stdout.splitlines()
    assert f"! {changelog}  replication 1 -> 2; replicas are moved by " in planned.stdout
    done = cx("topics", "create", "--alter", "--json", **more)
    assert done.returncode == 1
    said = json.loads(done.stdout)
    assert {each["what"] for each in said["changes"]} == {"min.insync.replicas"}
    assert {each["what"] for each in said["left"]} == {"replication"}
    assert "min.insync.replicas" not in cx("topics", "check", "--json", **more).stdout
    assert cx("topics", "create", "--alter", **env).returncode == 0  # more than asked for is fine


def test_acls_are_told_without_a_broker(cx: Callable[..., subprocess.CompletedProcess[str]]) -> None:
    """What a role must be allowed is printed as commands for a shell, or as JSON."""
    lines = cx("topics", "acls", "worker", "--principal", "User:o'brien").stdout.splitlines()
    assert all(line.startswith("kafka-acls.sh --bootstrap-server localhost:9092 ") for line in lines)
    assert "--allow-principal 'User:o'\"'\"'brien' --operation Read" in lines[0]
    found = json.loads(cx("topics", "acls", "producer", "--json").stdout)
    assert found[0] == {
        "principal": "User:cx-pulse",
        "resource": "topic",
        "name": "cx.touchpoints",
        "operations": ["Write"],
    }


def test_topics_keep_records_for_as_long_as_is_said(
    cx: Callable[..., subprocess.CompletedProcess[str]], empty: str
) -> None:
    """Each kind for its own time; a longer one is made so by --alter, a shorter one is left, and said."""
    app = {"CX_BROKERS": empty, "CX_APP_ID": "cx-kept"}
    done = cx("topics", "create", **app, CX_RETENTION_ALERTS="1d")
    assert done.returncode == 0, done.stderr
    for kept, milliseconds, does in (("2d", 172_800_000, "alter"), ("12h", 43_200_000, "leave")):
        plan = json.loads(cx("topics", "check", "--json", **app, CX_RETENTION_ALERTS=kept).stdout)
        [alerts] = [each for each in plan["differences"] if each["topic"] == "cx.alerts"]
        assert (alerts["what"], alerts["want"]) == ("retention.ms", str(milliseconds))
        assert alerts["do"] == does
    done = cx("topics", "check", **app, CX_RETENTION_INPUTS="1x")
    assert (done.returncode, "CX_RETENTION_INPUTS: '1x'" in done.stderr) == (2, True)
