"""``cx delivery``: files are checked, routes shown, receivers tried; what is owed is in tests/delivery."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, HTTPServer
from threading import Thread
from typing import TYPE_CHECKING, Any

import pytest

from stream.delivery.sample import sample
from tests.docs.pages import ROOT

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

Cx = Callable[..., subprocess.CompletedProcess[str]]

FILE = """
allow_private: [127.0.0.0/8]
receivers:
  - name: care
    webhook_configs: [{url: "http://127.0.0.1:%d/hook?token=hush", secret_env: HOOK}]
  - name: unused
    slack_configs: [{api_url_env: SLACK}]
  - name: nobody
route:
  receiver: nobody
  routes: [{matchers: [severity=critical], receiver: care}]
"""
SECRET = "whsec_" + "c2Vj" * 8


class _Receiver(BaseHTTPRequestHandler):
    got: list[bytes]

    def do_POST(self) -> None:
        self.got.append(self.rfile.read(int(self.headers["Content-Length"])))
        self.send_response(204 if len(self.got) == 1 else 401)
        self.end_headers()

    def log_message(self, *_: Any) -> None:
        """Say nothing."""


@pytest.fixture
def receiver() -> Iterator[tuple[int, list[bytes]]]:
    """A receiver that takes one alert and no second; its port, and what it got."""
    got: list[bytes] = []
    server = HTTPServer(("127.0.0.1", 0), type("Receiver", (_Receiver,), {"got": got}))
    thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    yield server.server_port, got
    server.shutdown()
    thread.join()
    server.server_close()


def test_check_tells_right_from_wrong(cx: Cx, tmp_path: Path) -> None:
    """Right: 0 and the receivers, with warnings; wrong: 1 and the place; not there: 2. All of it as JSON, too."""
    path = tmp_path / "d.yml"
    path.write_text(FILE % 9)
    done = cx("delivery", "check", "d.yml")
    assert done.returncode == 0
    assert done.stdout == "d.yml: ok, 3 receivers: care, unused, nobody, 4 warnings\n"
    for said in (
        "d.yml:5: receiver 'care': care/webhook: the environment variable HOOK is not set",
        "d.yml:5: receiver 'care': care/webhook: http: alerts travel in the clear",
        "d.yml:7: receiver 'unused': no route names it: it gets nothing",
    ):
        assert said in done.stderr
    assert "hush" not in done.stdout + done.stderr
    assert cx("delivery", "check", "d.yml", "--strict").returncode == 1
    found = json.loads(cx("delivery", "check", "d.yml", "--json", HOOK=SECRET, SLACK="https://x.org").stdout)
    assert (found["ok"], found["receivers"]["care"]) == (True, ["care/webhook"])
    assert [each["receiver"] for each in found["warnings"]] == ["care", "unused"]
    path.write_text(FILE.replace("severity=critical", "severity") % 9)
    done = cx("delivery", "check", "d.yml")
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith("cx: d.yml:11: route.routes[0].matchers[0]: 'severity' is no matcher")
    assert json.loads(cx("delivery", "check", "d.yml", "--json").stdout)["error"]["line"] == 11
    assert cx("delivery", "check", "none.yml").returncode == 2


def test_route_says_who_gets_it(cx: Cx) -> None:
    """Labels lead to receivers as they would in a worker."""
    path = str(ROOT / "examples" / "delivery.yml")
    done = cx("delivery", "route", path, "severity=critical", "action=callback")
    assert done.stdout == "crm: webhook\non-call: alertmanager\n"
    assert cx("delivery", "route", path, "severity=info").stdout == "nobody: nowhere\n"
    assert 'severity="critical"  ->  on-call  (and on to the next)' in cx("delivery", "route", path).stdout
    assert cx("delivery", "route", path, "severity").returncode == 2


def test_test_sends_one_alert(cx: Cx, tmp_path: Path, receiver: tuple[int, list[bytes]]) -> None:
    """The receiver gets one alert that says it is a test; what it answers is told, with 1 where it is no."""
    port, got = receiver
    (tmp_path / "d.yml").write_text(FILE % port)
    done = cx("delivery", "test", "d.yml", "care", HOOK=SECRET)
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == ["care/webhook", "delivered", "(http_204)"]
    (body,) = got
    assert json.loads(body)["data"]["alert"] == "CxPulseTest"
    done = cx("delivery", "test", "d.yml", "--all", "--json", HOOK=SECRET)
    assert done.returncode == 1
    outcomes = {each["target"]: each["why"] for each in map(json.loads, done.stdout.splitlines())}
    assert outcomes == {"care/webhook": "http_401", "unused/slack": "secret"}
    assert "hush" not in done.stdout + done.stderr
    done = cx("delivery", "test", "d.yml", "crae")
    assert (done.returncode, done.stderr) == (2, "cx: d.yml: no receiver 'crae'; did you mean 'care'?\n")
    assert cx("delivery", "test", "d.yml").returncode == 2


def test_a_worker_without_its_secrets_does_not_start(cx: Cx, tmp_path: Path) -> None:
    """The refusal is one line with file, line and receiver, and the exit code that a restart does not help."""
    (tmp_path / "d.yml").write_text(FILE % 9)
    done = cx("worker", CX_DELIVERY="d.yml", CX_REDIS_URL="")
    assert done.returncode == 2
    said = "cx: d.yml:5: receiver 'care': webhook: the environment variable HOOK is not set"
    assert done.stderr.splitlines()[-1] == said
    done = cx("worker", CX_DELIVERY="none.yml", CX_REDIS_URL="")
    assert (done.returncode, "CX_DELIVERY: none.yml cannot be read" in done.stderr) == (2, True)


def test_the_sample_is_an_alert_as_workers_tell_it() -> None:
    """What is tried is what will come."""
    from schemas import AlertEvent  # noqa: PLC0415

    assert AlertEvent.model_validate_json(sample(1_768_204_800_000)).data.alert == "CxPulseTest"
