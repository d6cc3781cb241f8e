"""docker-compose.yml without docker: its very commands and settings, as processes beside real servers."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import urllib.error
import urllib.request
from datetime import UTC, datetime
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import yaml

from stream import topics
from stream.brokers import admin
from stream.brokers.child import Child
from stream.brokers.kafka import KafkaServer, free_port
from stream.delivery.loading import load_delivery
from tests.conftest import in_thread, without
from tests.waiting import until

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).parent.parent
SERVICES: dict[str, dict[str, Any]] = yaml.safe_load((ROOT / "docker-compose.yml").read_text())["services"]
KEY = "only-on-this-machine"
pytestmark = pytest.mark.kafka


class Machine:
    """Host names and ports of the compose network, as they are here."""

    def __init__(self, folder: Path, redis_url: str) -> None:
        self.folder = folder
        self.redis_url = redis_url
        self.ports: dict[str, int] = {}
        self.kafka = self._kafka()
        self._children: list[Child] = []

    def _kafka(self) -> KafkaServer:
        """A Kafka with the settings of the service: names and ports, and where it keeps its data, are ours."""
        inside, outside, controller = free_port(), free_port(), free_port()
        given = {
            name.removeprefix("KAFKA_").lower().replace("_", "."): self._here(
                value, {"19092": inside, "9092": outside, "29093": controller}
            )
            for name, value in SERVICES["kafka"]["environment"].items()
            if name not in {"CLUSTER_ID", "KAFKA_HEAP_OPTS", "KAFKA_LOG_DIRS"}
        }
        self.inside = f"127.0.0.1:{inside}"
        return KafkaServer(self.folder / "kafka", port=outside, heap_mb=512, settings=given, start_within=120)

    @staticmethod
    def _here(value: str, ports: dict[str, int]) -> str:
        for port, ours in ports.items():
            value = re.sub(rf"(?<=:){port}\b", str(ours), value)
        return re.sub(r"://(kafka|localhost)?:", "://127.0.0.1:", value).replace("@kafka:", "@127.0.0.1:")

    def env(self, service: str) -> dict[str, str]:
        """The service's environment; files are where mounts come from, ports are free ones."""
        given = dict(SERVICES[service]["environment"])
        mounts = {}
        for volume in SERVICES[service]["volumes"]:
            source, target, *_ = volume.split(":")
            mounts[target] = str(ROOT / source)
        given = {name: mounts.get(value, value) for name, value in given.items()}
        given["CX_BROKERS"] = given["CX_BROKERS"].replace("kafka:19092", self.inside)
        given["CX_REDIS_URL"] = given["CX_REDIS_URL"].replace("redis://redis:6379/0", self.redis_url)
        for name in ("CX_HTTP_PORT", "CX_API_PORT"):
            if name in given:
                given[name] = str(free_port())
        return given

    def start(self, service: str, env: dict[str, str]) -> Child:
        """The service's command."""
        clean = {name: value for name, value in os.environ.items() if not name.startswith("CX_")}
        child = Child(
            [sys.executable, "-m", "stream.cli", *SERVICES[service]["command"]],
            cwd=self.folder,
            log=self.folder / f"{service}-{len(self._children)}.log",
            env={**clean, **env},
        )
        self._children.append(child)
        return child

    def run(self, command: list[str], name: str) -> Child:
        """Another server of the machine."""
        child = Child(command, cwd=self.folder, log=self.folder / f"{name}.log")
        self._children.append(child)
        return child

    def healthy(self, service: str, env: dict[str, str]) -> bool:
        """What the service's own health check says."""
        command = SERVICES[service]["healthcheck"]["test"]
        assert command[:3] == ["CMD", "python", "-c"]
        port = env.get("CX_HTTP_PORT") or env["CX_API_PORT"]
        program = re.sub(r"(?<=127\.0\.0\.1:)\d+", port, command[3])
        return (
            subprocess.run([sys.executable, "-c", program], capture_output=True, check=False).returncode == 0
        )

    def said(self) -> str:
        """The ends of all logs."""
        return "\n".join(
            f"--- {path.name}\n{path.read_text()[-2000:]}" for path in sorted(self.folder.glob("*.log"))
        )

    def close(self) -> None:
        """End all of it."""
        for child in self._children:
            child.kill()
        self.kafka.close()


@pytest.fixture
def machine(kafka: KafkaServer, tmp_path: Path, redis_url: str) -> Iterator[Machine]:
    """Kafka as in compose, and a real Redis. ``kafka`` is asked for only to say when it cannot be had."""
    found = Machine(tmp_path, redis_url)
    try:
        found.kafka.start()
        yield found
    finally:
        found.close()


def get(url: str, key: str | None = None) -> tuple[int, Any]:
    """Status and body of a JSON answer; 0 while nobody listens."""
    headers = {"Authorization": f"Bearer {key}"} if key else {}
    request = urllib.request.Request(url, headers=headers)  # noqa: S310 - our own
    try:
        with urllib.request.urlopen(request, timeout=5) as answer:  # noqa: S310
            body = answer.read()
            return answer.status, json.loads(body) if "json" in answer.headers["Content-Type"] else body
    except urllib.error.HTTPError as error:
        with error:
            return error.code, None
    except OSError:
        return 0, None


def post(url: str, event: dict[str, Any], number: int) -> int:
    """Send an event of one customer over HTTP; the status of the answer."""
    now = datetime.now(UTC).isoformat()
    body = {"event_id": f"compose-{number}", "customer_id": "ada", "occurred_at": now, **event}
    request = urllib.request.Request(  # noqa: S310 - our own
        url,
        json.dumps(body).encode(),
        {"Authorization": f"Bearer {KEY}", "Content-Type": "application/json"},
    )
    with urllib.request.urlopen(request, timeout=20) as answer:  # noqa: S310
        status: int = answer.status
    return status


@pytest.mark.slow
@pytest.mark.timeout(240)
def test_the_same_commands_and_settings_work_without_docker(machine: Machine) -> None:
    """Topics, two workers, the API, the simulator: healthy in compose's order, and alerts reach Alertmanager."""
    alertmanager = shutil.which("prometheus-alertmanager")
    if alertmanager is None:
        without(
            "prometheus-alertmanager", "not installed (Debian). The test of docker-compose.yml was LEFT OUT"
        )
    topics_env = machine.env("topics")
    assert machine.start("topics", topics_env).wait(60) == 0, machine.said()
    made = in_thread(admin.partitions(machine.inside))
    assert {spec.name for spec in topics.layout("cx-pulse", 4)} <= set(made)
    port = free_port()
    machine.run(
        [
            str(alertmanager),
            f"--config.file={ROOT / 'ops/compose/alertmanager.yml'}",
            f"--web.listen-address=127.0.0.1:{port}",
            f"--storage.path={machine.folder / 'alertmanager'}",
            "--cluster.listen-address=",
        ],
        "alertmanager",
    )
    # In the network of docker the name resolves to a private address; here it is this machine's own.
    delivery = (ROOT / "ops/compose/delivery.yml").read_text()
    assert "http://alertmanager:9093" in delivery
    own = delivery.replace("http://alertmanager:9093", f"http://127.0.0.1:{port}")
    (machine.folder / "delivery.yml").write_text(own.replace("[10.0.0.0/8", "[127.0.0.1/32, 10.0.0.0/8"))
    # Nobody is called at night: by these rules an alert of then would wait until the morning.
    night = ', quiet_hours: ["21:00", "08:00"], time_zone: Europe/Rome'
    rules = (ROOT / "examples/rules.yml").read_text()
    assert night in rules
    (machine.folder / "rules.yml").write_text(rules.replace(night, ""))
    ours = {
        "CX_DELIVERY": str(machine.folder / "delivery.yml"),
        "CX_RULES": str(machine.folder / "rules.yml"),
    }
    workers = []
    for _ in range(SERVICES["worker"]["deploy"]["replicas"]):
        env = {**machine.env("worker"), **ours}
        machine.start("worker", env)
        workers.append(env)
    api = machine.env("api")
    machine.start("api", api)
    try:
        for name, env in [*(("worker", env) for env in workers), ("api", api)]:
            until(f"{name} healthy", lambda name=name, env=env: machine.healthy(name, env), 90)
        simulated = machine.start("simulator", machine.env("simulator"))
        at = f"http://127.0.0.1:{api['CX_API_PORT']}"
        until("values over HTTP", lambda: get(f"{at}/v1/metrics", KEY)[0] == 200, 60)
        assert get(f"{at}/v1/metrics")[0] == 401
        assert b"# TYPE" in get(f"{at}/metrics", "only-for-prometheus-here")[1]
        assert get(f"{at}/v1/metrics", "only-for-prometheus-here")[0] == 200
        assert simulated.poll() is None
        told = f"http://127.0.0.1:{port}/api/v2/alerts"
        replies = count()

        def alerted() -> bool:
            # Each an own event: a reply may overtake the ticket, which goes to another topic.
            assert post(f"{at}/v1/events", {"kind": "ticket_opened", "ref": "T-1"}, next(replies)) in {
                200,
                202,
            }
            assert post(f"{at}/v1/events", {"metric": "nps", "score": 1}, next(replies)) in {200, 202}
            names = [each["labels"]["alertname"] for each in get(told)[1] or []]
            return "UnhappyWithTicketOpen" in names

        until("the alert in Alertmanager", alerted, 60)
    except AssertionError as error:
        raise AssertionError(f"{error}\n{machine.said()}") from None
    assert "Traceback" not in machine.said()


def test_the_delivery_file_of_compose_is_right() -> None:
    """It is accepted, and sends everything to the Alertmanager service, in docker's own networks."""
    plan = load_delivery(ROOT / "ops/compose/delivery.yml")
    assert plan.route.receiver == "alertmanager"
    assert "alertmanager" in SERVICES


def test_the_key_of_prometheus_is_one_of_the_api() -> None:
    """The key in the scrape configuration is declared for the API, and may only read."""
    scrapes = yaml.safe_load((ROOT / "ops/prometheus/prometheus.yml").read_text())["scrape_configs"]
    [job] = [job for job in scrapes if job["job_name"] == "cx-pulse-api"]
    key = job["authorization"]["credentials"]
    assert f"prometheus:read:{key}" in SERVICES["api"]["environment"]["CX_API_KEYS"].split(",")
    names = {name for job in scrapes for found in job["dns_sd_configs"] for name in found["names"]}
    assert names == {"worker", "api"} <= SERVICES.keys()


def test_alertmanager_takes_its_file() -> None:
    """Alertmanager's own check accepts what compose mounts."""
    amtool = shutil.which("amtool")
    if amtool is None:
        without("amtool", "not installed (Debian: prometheus-alertmanager). Its check was LEFT OUT")
    done = subprocess.run(
        [str(amtool), "check-config", str(ROOT / "ops/compose/alertmanager.yml")],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
