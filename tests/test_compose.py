"""docker-compose.yml and Dockerfile, checked with what can be checked without a docker engine."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import click
import jsonschema
import pytest
import yaml

from stream.alerting.rules import load_rules
from stream.brokers.kafka import VERSION, KafkaServer
from stream.cli.root import cx
from stream.settings import Settings

ROOT = Path(__file__).parent.parent
OURS = ("topics", "worker", "api", "simulator")
VARIABLES = {f"CX_{name.upper()}" for name in Settings.model_fields}


@pytest.fixture(scope="module")
def compose() -> dict[str, Any]:
    """The file as docker compose reads it, anchors and merges resolved."""
    return dict(yaml.safe_load((ROOT / "docker-compose.yml").read_text()))


@pytest.fixture(scope="module")
def services(compose: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """Services by name."""
    return dict(compose["services"])


def test_it_is_a_compose_file(compose: dict[str, Any]) -> None:
    """The file is valid by the Compose Specification's own JSON Schema."""
    schema = json.loads((ROOT / "tests/data/compose-spec.schema.json").read_text())
    jsonschema.Draft7Validator(schema).validate(compose)


def test_every_image_is_pinned(services: dict[str, dict[str, Any]]) -> None:
    """Every image names an exact version, so that the same file starts the same thing next year."""
    for name, service in services.items():
        assert re.search(r":v?\d+\.\d+\.\d+(-[a-z]+)?$", service["image"]), name


def test_the_start_is_ordered_by_health(services: dict[str, dict[str, Any]]) -> None:
    """Whoever is waited for can say that it is healthy, or ends by itself, and every wait names which."""
    for name in ("worker", "api"):
        assert set(services[name]["depends_on"]) == {"kafka", "redis", "topics"}
    assert set(services["topics"]["depends_on"]) == {"kafka"}
    assert set(services["simulator"]["depends_on"]) == {"kafka", "topics"}
    for name, service in services.items():
        for other, wait in service.get("depends_on", {}).items():
            if wait["condition"] == "service_healthy":
                assert "test" in services[other]["healthcheck"], f"{name} waits for {other}"
            else:
                assert wait["condition"] == "service_completed_successfully", f"{name} waits for {other}"
                assert services[other]["restart"] == "no", f"{other} must end to be waited for"


@pytest.mark.parametrize(("name", "port"), [("worker", "CX_HTTP_PORT"), ("api", "CX_API_PORT")])
def test_it_is_healthy_when_ready(services: dict[str, dict[str, Any]], name: str, port: str) -> None:
    """The health check asks for readiness, on the port that the service was told to listen on."""
    check = services[name]["healthcheck"]["test"]
    assert f"127.0.0.1:{services[name]['environment'][port]}/health/ready" in check[-1]
    compile(check[-1], "healthcheck", "exec")


def test_settings_are_settings(services: dict[str, dict[str, Any]]) -> None:
    """Every CX_ variable given is a setting, and the settings given are accepted."""
    for name in OURS:
        given = services[name]["environment"]
        assert given.keys() <= VARIABLES
        settings = Settings(
            _env_file=None, **{key.removeprefix("CX_").lower(): value for key, value in given.items()}
        )
        assert settings.brokers == "kafka:19092"


def test_commands_are_commands(services: dict[str, dict[str, Any]]) -> None:
    """What the services run are commands of cx."""
    for name in OURS:
        command: click.Command = cx
        words = services[name]["command"]
        for word in words[: words.index("--send")] if "--send" in words else words:
            assert isinstance(command, click.Group)
            found = command.get_command(click.Context(command), word)
            assert found is not None, f"{name}: {word}"
            command = found
        assert not isinstance(command, click.Group)


def test_mounted_files_are_there(services: dict[str, dict[str, Any]]) -> None:
    """A bind mount of a file that is not there would become an empty folder."""
    for service in services.values():
        for volume in service.get("volumes", []):
            if volume.startswith("./"):
                source = ROOT / volume.split(":")[0]
                assert source.is_file() or (source.is_dir() and any(source.iterdir())), volume
                assert volume.endswith(":ro"), volume


def test_ports_are_published_on_loopback_only(services: dict[str, dict[str, Any]]) -> None:
    """Nothing is offered to the network: Kafka, Redis and metrics ask for no password here."""
    for service in services.values():
        for port in service.get("ports", []):
            assert port.startswith("127.0.0.1:"), port


def test_kafka_accepts_its_settings(
    services: dict[str, dict[str, Any]], kafka: KafkaServer, tmp_path: Path
) -> None:
    """A real Kafka of the image's version takes the broker's settings, named as the image names them."""
    service = services["kafka"]
    assert service["image"].endswith(f":{VERSION}")
    given = {key: value for key, value in service["environment"].items() if key != "KAFKA_HEAP_OPTS"}
    cluster = given.pop("CLUSTER_ID")
    given["KAFKA_LOG_DIRS"] = str(tmp_path / "data")
    properties = tmp_path / "server.properties"
    properties.write_text(
        "".join(
            f"{key.removeprefix('KAFKA_').lower().replace('_', '.')}={value}\n"
            for key, value in given.items()
        )
    )
    done = kafka.run_tool("kafka.tools.StorageTool", "format", "-t", cluster, "-c", str(properties))
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "data" / "meta.properties").exists()


def test_the_example_rules_are_rules() -> None:
    """The rules file the worker is started with is accepted."""
    assert load_rules((ROOT / "examples/rules.yml").read_text(), "examples/rules.yml")


def test_the_image_runs_without_root() -> None:
    """The image's last user is not root, its base is pinned, and it copies every package of the wheel."""
    dockerfile = (ROOT / "Dockerfile").read_text()
    assert re.findall(r"^USER (.+)$", dockerfile, re.MULTILINE)[-1] not in {"0", "root"}
    assert set(re.findall(r"^FROM (\S+)", dockerfile, re.MULTILINE)) == {"python:3.11.11-slim-bookworm"}
    for package in ("stream", "agents", "schemas"):
        assert f"COPY {package} {package}" in dockerfile
        assert f"!{package}" in (ROOT / ".dockerignore").read_text().splitlines()
