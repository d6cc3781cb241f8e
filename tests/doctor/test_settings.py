"""Mistakes in settings and files: each made, each found."""

from __future__ import annotations

import resource
import time
from pathlib import Path
from typing import Any

import pytest

from stream.cli.config import load_settings
from stream.cli.problems import Problem
from stream.deployment import load_book
from stream.doctor import Facts, Finding, Level, examine
from stream.doctor.facts import Package
from stream.doctor.look import REACHED_INTO, _files, _open_files, _packages, look
from stream.settings import Settings

NOW = round(time.time() * 1000)
EVERYWHERE = "0.0.0.0"  # noqa: S104 - the mistake
DOUBTFUL = """
groups:
  - name: g
    rules:
      - {alert: Low, metric: nps, by: [segment], window: 1h, below: -100, evidence: interval, min_n: 5}
"""


@pytest.fixture(autouse=True)
def _alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No settings of whoever runs the tests."""
    monkeypatch.chdir(tmp_path)


def found(check: str, **facts: Any) -> Finding:
    """The only thing that a check finds."""
    [finding] = [each for each in examine(Facts(NOW, **facts)) if each.check == check]
    assert finding.cure
    return finding


def silent(check: str, **facts: Any) -> None:
    """A check finds nothing where the mistake is not made."""
    assert check not in {each.check for each in examine(Facts(NOW, **facts))}


def test_settings_wrong(monkeypatch: pytest.MonkeyPatch) -> None:
    """A value that is not allowed is told as a command would refuse it."""
    monkeypatch.setenv("CX_PARTITIONS", "none")
    with pytest.raises(Problem) as refused:
        load_settings()
    assert "CX_PARTITIONS" in found("settings-wrong", settings_problem=refused.value.message).what


def test_setting_unknown() -> None:
    """A slip of the pen is told with what was meant."""
    assert "CX_BROKERS?" in found("setting-unknown", environ={"CX_BROKER": ""}).cure
    silent("setting-unknown", environ={"CX_BROKERS": ""})


def test_traces_wanting() -> None:
    """Traces that are asked for and cannot be had are told with the variable that stands in the way."""
    environ = {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://tempo:4317", "OTEL_EXPORTER_OTLP_PROTOCOL": "grpc"}
    facts = look(None, "", environ)
    assert (
        "OTEL_EXPORTER_OTLP_PROTOCOL=grpc"
        in found("traces-wanting", traces_problem=facts.traces_problem).what
    )
    silent("traces-wanting", traces_problem=look(None, "", {}).traces_problem)


def test_package_untried() -> None:
    """What is locked fits; another version would be told."""
    assert {each.name for each in _packages()} == set(REACHED_INTO)
    silent("package-untried", packages=_packages())
    other = Package("aiokafka", "<0.15,>=0.14", "0.99", fits=False)
    assert "aiokafka 0.99" in found("package-untried", packages=[other]).what


@pytest.mark.parametrize("text", [None, "groups: [}", "groups: 7"])
def test_rules_wrong(tmp_path: Path, text: str | None) -> None:
    """No file, no YAML, no rules."""
    path = tmp_path / "rules.yml"
    if text is not None:
        path.write_text(text)
    assert "rules.yml" in found("rules-wrong", **_files(Settings(rules=path))).what


def test_rules_doubtful(tmp_path: Path) -> None:
    """A rule that cannot fire is told with its line."""
    path = tmp_path / "rules.yml"
    path.write_text(DOUBTFUL)
    settings = Settings(rules=path)
    finding = found("rules-doubtful", settings=settings, book=load_book(settings))
    assert "rules.yml:5" in finding.what


def test_rules_none() -> None:
    """Metrics without alerts are a note; with rules on the topic they are none."""
    assert found("rules-none", settings=Settings()).level is Level.NOTE
    silent("rules-none", settings=Settings(), rules_versions=1)


def test_delivery_wrong(tmp_path: Path) -> None:
    """A delivery file that names no receiver."""
    path = tmp_path / "delivery.yml"
    path.write_text("route: {receiver: nobody}\n")
    assert "delivery.yml" in found("delivery-wrong", **_files(Settings(delivery=path))).what


def test_adapters_wrong(tmp_path: Path) -> None:
    """A mapping that is none."""
    (tmp_path / "shop.yml").write_text("sender: shop\n")
    assert "shop.yml" in found("adapters-wrong", **_files(Settings(adapters=tmp_path))).what


def test_broker_in_the_clear() -> None:
    """Plain text is fine on this machine and nowhere else."""
    assert (
        "kafka.example" in found("broker-in-the-clear", settings=Settings(brokers="kafka.example:9092")).what
    )
    silent("broker-in-the-clear", settings=Settings(brokers="127.0.0.1:9092,localhost:9093"))


def test_redis_in_the_clear() -> None:
    """The same for Redis; and the password is not told."""
    finding = found("redis-in-the-clear", settings=Settings(redis_url="redis://:hush@redis.example/0"))
    assert "redis.example" in finding.what
    assert "hush" not in finding.what + finding.cure
    silent("redis-in-the-clear", settings=Settings(redis_url="rediss://:hush@redis.example/0"))


def test_api_open() -> None:
    """Keys are what lets others in."""
    assert found("api-open", settings=Settings(api_host=EVERYWHERE)).level is Level.ERROR
    silent("api-open", settings=Settings(api_host=EVERYWHERE, api_keys="page:read:0123456789abcdef"))


def test_metrics_exposed() -> None:
    """/metrics has no key."""
    assert found("metrics-exposed", settings=Settings(http_host=EVERYWHERE)).level is Level.NOTE
    silent("metrics-exposed", settings=Settings())


def test_pseudonyms_guessable() -> None:
    """Pseudonyms without a key for fingerprints."""
    assert found("pseudonyms-guessable", settings=Settings(pseudonym_key="0123456789abcdef"))
    both = Settings(pseudonym_key="0123456789abcdef", privacy_key="fedcba9876543210")
    silent("pseudonyms-guessable", settings=both)


def test_memory_short_of_duplicates() -> None:
    """Ids forgotten before the last of them may come."""
    assert found("memory-short-of-duplicates", settings=Settings(dedup_horizon_ms=1000))
    silent("memory-short-of-duplicates", settings=Settings())


def test_open_files_few() -> None:
    """A low limit of the process; the machine's own is read."""
    assert _open_files() in {resource.getrlimit(resource.RLIMIT_NOFILE)[0], None}
    assert "256 files" in found("open-files-few", open_files=256).what
    silent("open-files-few", open_files=65_536)
