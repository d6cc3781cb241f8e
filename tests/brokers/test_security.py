"""Every way into a production Kafka, against a real one: who gets in, who does not, and what is said then."""

from __future__ import annotations

import gc
import json
import logging
import time
import warnings
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any

import httpx
import pytest
from confluent_kafka import KafkaError, Producer
from confluent_kafka.admin import (
    AclBinding,
    AclOperation,
    AclPermissionType,
    ResourcePatternType,
    ResourceType,
)
from pydantic import ValidationError

from stream import topics
from stream.brokers import admin
from stream.brokers.acls import ROLES, acls
from stream.brokers.diagnose import diagnose
from stream.brokers.kafka import KafkaMissing, free_port, install, java
from stream.brokers.oauth import TokenRefused
from stream.brokers.security import aiokafka_security, confluent_config, token_source
from stream.settings import Settings
from stream.topics import Cleanup, TopicSpec
from tests.api.conftest import INGEST, KEYS, OPERATE, PRIVACY, READ, ServeProcess, bearer
from tests.api.test_stream import Events, Publisher, alert_of
from tests.brokers.secured import PASSWORD, SECRET, USER, WAYS, SecuredKafka
from tests.cli.conftest import cx  # a fixture
from tests.conftest import in_thread, without
from tests.e2e.harness import PARTITIONS, WorkerProcess
from tests.e2e.records import read, value
from tests.waiting import until

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Callable, Iterator
    from pathlib import Path

pytestmark = [pytest.mark.kafka, pytest.mark.filterwarnings("ignore:unclosed transport:ResourceWarning")]
__all__ = ["cx"]

EVENT = {
    "event_id": "r-1",
    "customer_id": "ada",
    "occurred_at": "2026-01-12T07:40:00Z",
    "metric": "nps",
    "score": 3,
}
RULES = "groups: [{name: g, rules: [{alert: Unhappy, on: reply, when: {metric: nps, score: {lte: 6}}}]}]"


@pytest.fixture(scope="module")
def secured(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SecuredKafka]:
    """A Kafka that lets in only who proves who they are, and allows only what it was told."""
    try:
        java()
        install()
    except KafkaMissing as error:
        without("Kafka", f"{error}. Every test on a real broker was LEFT OUT")
    server = SecuredKafka(tmp_path_factory.mktemp("secured"))
    try:
        yield server.start()
    finally:
        server.close()


def settings(env: dict[str, str]) -> Settings:
    """The settings of these variables and no others."""
    given: dict[str, Any] = {name.removeprefix("CX_").lower(): value for name, value in env.items()}
    return Settings(_env_file=None, **given)


def allow(secured: SecuredKafka, role: str, app_id: str, principal: str = f"User:{USER}") -> None:
    """Give a principal what the role must be allowed, and nothing else."""
    bind(secured, [acl.as_json(principal) for acl in acls(role, app_id)])


def bind(secured: SecuredKafka, wanted: list[dict[str, Any]]) -> None:
    """Allow what `cx topics acls --json` prints."""
    bindings = [
        AclBinding(
            ResourceType[each["resource"].upper()],
            each["name"],
            ResourcePatternType.LITERAL,
            each["principal"],
            "*",
            AclOperation[_SHOUTED.get(operation, operation.upper())],
            AclPermissionType.ALLOW,
        )
        for each in wanted
        for operation in each["operations"]
    ]
    client = secured.admin()
    for done in client.create_acls(bindings).values():
        done.result(20)


_SHOUTED = {"DescribeConfigs": "DESCRIBE_CONFIGS", "AlterConfigs": "ALTER_CONFIGS"}


@pytest.fixture(autouse=True)
def _collected() -> Iterator[None]:
    """A refused connection leaves its transport to the collector (aiokafka does): it must be met here."""
    yield
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ResourceWarning)
        gc.collect()


@pytest.mark.parametrize("way", WAYS)
async def test_both_clients_get_in(secured: SecuredKafka, way: str) -> None:
    """With right settings aiokafka and librdkafka get in by each way, and nothing is to be said about it."""
    ours = settings(secured.env(way))
    assert await diagnose(ours.brokers, aiokafka_security(ours)) == ""
    assert isinstance(await admin.partitions(ours.brokers, aiokafka_security(ours)), dict)
    producer = Producer({**confluent_config(ours), "log_level": 0})
    assert producer.list_topics(timeout=20).brokers


async def said(env: dict[str, str], caplog: pytest.LogCaptureFixture) -> str:
    """What is said of settings that do not get in; no secret is in it, nor in any log."""
    ours = settings(env)
    with caplog.at_level(logging.WARNING), pytest.raises(admin.BrokerAway) as caught:
        await admin.partitions(ours.brokers, aiokafka_security(ours))
    for text in (str(caught.value), caplog.text, repr(ours)):
        assert not any(secret in text for secret in (PASSWORD, SECRET, "wr0ng"))
    return caught.value.why


async def test_what_is_wrong_is_said(
    secured: SecuredKafka, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Each usual mistake on the way to a broker is told by what it is and by the setting to look at."""
    scram = secured.env("SCRAM-SHA-512")
    stranger = {**secured.env("tls"), "CX_SSL_CA": str(secured.issuer_ca_path)}
    wrong: list[tuple[dict[str, str], str]] = [
        (
            {**scram, "CX_SASL_PASSWORD": "wr0ng"},
            f"it refuses user '{USER}' or the password (CX_SASL_PASSWORD)",
        ),
        ({**secured.env("PLAIN"), "CX_SASL_PASSWORD": "wr0ng"}, f"it refuses user '{USER}' or the password"),
        ({**scram, "CX_BROKERS": secured.oauth}, "it does not take SCRAM-SHA-512 (CX_SASL_MECHANISM)"),
        (stranger, "its certificate is not accepted: "),
        ({**scram, "CX_BROKERS": secured.inside}, "TLS"),
        ({"CX_BROKERS": secured.tls}, "perhaps it wants TLS there (CX_SECURITY_PROTOCOL)"),
        ({**secured.env("tls"), "CX_BROKERS": secured.mutual}, "certificate"),
        ({"CX_BROKERS": f"localhost:{free_port()}"}, "nobody listens there (CX_BROKERS)"),
        ({"CX_BROKERS": "no-such-host.invalid:9092"}, "there is no such host (CX_BROKERS)"),
    ]
    for env, words in wrong:
        assert words in await said(env, caplog), env["CX_BROKERS"]


async def test_what_is_wrong_with_tokens_is_said(
    secured: SecuredKafka, caplog: pytest.LogCaptureFixture
) -> None:
    """A token endpoint that refuses, redirects, lies or is away is named, without the secret."""
    env = secured.env("OAUTHBEARER")
    issuer = secured.issuer
    assert "401 invalid_client; look at CX_OAUTH_CLIENT_ID" in await said(
        {**env, "CX_OAUTH_CLIENT_SECRET": "wr0ng"}, caplog
    )
    away = {**env, "CX_OAUTH_URL": f"https://localhost:{free_port()}/token"}
    assert "does not answer: Connection refused" in await said(away, caplog)
    untrusted = {**env, "CX_OAUTH_CA": str(secured.ca_path)}
    assert "(CX_OAUTH_URL) does not answer: " in await said(untrusted, caplog)
    try:
        for number, (instead, words) in enumerate(
            [
                ((302, {"Location": "https://localhost/elsewhere"}, b""), "answers 302"),
                ((200, {}, b'{"token": 1}'), "answers without an access_token"),
                ((200, {}, b'{"access_token": "line\\nbreak"}'), "answers without an access_token"),
                ((500, {}, b"wr0ng"), "answers 500"),
            ]
        ):
            issuer.instead = instead
            assert words in await said({**env, "CX_OAUTH_SCOPE": f"s{number}"}, caplog)
        issuer.instead = (200, {}, b'{"access_token": "not.a.jwt"}')
        assert "it refuses our token" in await said({**env, "CX_OAUTH_SCOPE": "forged"}, caplog)
    finally:
        issuer.instead = None


def test_a_token_is_asked_for_once_until_it_is_nearly_over(secured: SecuredKafka) -> None:
    """All clients of a process share a token; a new one is asked for before the old one ends."""
    source = token_source(settings({**secured.env("OAUTHBEARER"), "CX_OAUTH_SCOPE": "shared"}))
    before = len(secured.issuer.asked)
    first = source.get()
    assert source.get() is first
    assert len(secured.issuer.asked) == before + 1
    assert secured.issuer.asked[-1] == {"grant_type": "client_credentials", "scope": "shared"}
    assert first.value not in repr(first)
    source._fresh_until = 0.0
    assert source.get() is not first


def test_a_token_source_that_fails_is_asked_again(secured: SecuredKafka) -> None:
    """A failure of the endpoint is not remembered."""
    source = token_source(settings({**secured.env("OAUTHBEARER"), "CX_OAUTH_SCOPE": "again"}))
    secured.issuer.instead = (503, {}, b"")
    try:
        with pytest.raises(TokenRefused, match="answers 503"):
            source.get()
    finally:
        secured.issuer.instead = None
    assert source.get().value


@pytest.mark.slow
@pytest.mark.timeout(120)
@pytest.mark.parametrize("way", ["mutual", "SCRAM-SHA-512", "OAUTHBEARER"])
def test_a_worker_does_its_work_with_no_more_than_its_acls(
    secured: SecuredKafka,
    cx: Callable[..., subprocess.CompletedProcess[str]],
    redis_url: str,
    tmp_path: Path,
    way: str,
) -> None:
    """Topics, a sent event, a worker and its alert, each under the ACLs that `cx topics acls` lists.

    The broker ends connections whose token is over after 8 s: the worker of the last way lives through that.
    """
    app_id = f"cx-secured-{way.lower()}"
    specs = topics.layout(app_id, PARTITIONS)
    env = {**secured.env(way), "CX_APP_ID": app_id, "CX_PARTITIONS": str(PARTITIONS)}
    env["CX_REDIS_URL"] = redis_url  # is filled from topics
    (tmp_path / "rules.yml").write_text(RULES)
    in_thread(admin.delete(secured.inside, [spec.name for spec in specs]))
    in_thread(admin.create(secured.inside, specs))
    refused = cx("topics", "check", **env)
    assert refused.returncode == 1, refused.stderr  # what may not be seen is not there
    allow(secured, "worker", app_id)
    allow(secured, "producer", app_id)
    with WorkerProcess(
        {**env, "CX_RULES": str(tmp_path / "rules.yml"), "CX_LOG_LEVEL": "DEBUG"}, tmp_path
    ) as worker:
        worker.wait_ready()
        sent = cx("send", "-", stdin=json.dumps(EVENT) + "\n", **env)
        assert sent.returncode == 0, sent.stderr
        until("the alert", lambda: worker.alive() and read(secured.inside, topics.ALERTS))
        if way == "OAUTHBEARER":
            asked = len(secured.issuer.asked)
            until("a session ended by the broker", lambda: _sessions_over(worker, 10.0), 30)
            again = {**EVENT, "event_id": "r-2", "customer_id": "bob"}
            assert cx("send", "-", stdin=json.dumps(again) + "\n", **env).returncode == 0
            until(
                "the second alert", lambda: worker.alive() and len(read(secured.inside, topics.ALERTS)) == 2
            )
            assert len(secured.issuer.asked) > asked
        assert worker.stop() == 0, worker.log[-3000:]
        assert "Traceback" not in worker.log
        assert "AuthorizationFailed" not in worker.log
        assert not any(secret in worker.log for secret in (PASSWORD, SECRET, "keypass"))
    assert {json.loads(value(each))["data"]["alert"] for each in read(secured.inside, topics.ALERTS)} == {
        "Unhappy"
    }


def _sessions_over(worker: WorkerProcess, seconds: float) -> bool:
    ages = worker.counters("process_start_time_seconds")
    return worker.alive() and time.time() - next(iter(ages.values())) > seconds


@pytest.mark.slow
@pytest.mark.timeout(120)
def test_the_api_does_its_work_with_no_more_than_its_acls(
    secured: SecuredKafka, cx: Callable[..., subprocess.CompletedProcess[str]], tmp_path: Path
) -> None:
    """Whatever `cx serve` does works under the ACLs that `cx topics acls serve` prints, and they allow no more."""
    app_id, name = "cx-secured-serve", "cx-serve"
    specs = topics.layout(app_id, PARTITIONS)
    in_thread(admin.delete(secured.inside, [spec.name for spec in specs]))
    in_thread(admin.create(secured.inside, [*specs, TopicSpec("payroll", Cleanup.DELETE, 1)]))
    certificate, key = secured.client_files(name)
    env = {**secured.env("mutual"), "CX_SSL_CERT": str(certificate), "CX_SSL_KEY": str(key)}
    env |= {"CX_SSL_KEY_PASSWORD": "unused", "CX_APP_ID": app_id, "CX_PARTITIONS": str(PARTITIONS)}
    printed = cx("topics", "acls", "serve", "--principal", f"User:{name}", "--json", **env)
    bind(secured, json.loads(printed.stdout))
    with ServeProcess(tmp_path, CX_API_KEYS=KEYS, **env) as serving, ExitStack() as opened:
        serving.wait_ready()
        client = opened.enter_context(httpx.Client(base_url=serving.url, timeout=30))

        def said(method: str, path: str, secret: str, **body: Any) -> Any:
            answer = client.request(method, path, headers=bearer(secret), json=body or None)
            assert answer.is_success, f"{path}: {answer.text}"
            return answer.json()

        said("POST", "/v1/events", INGEST, **EVENT)
        with Events(serving, only="alerts") as events:
            events.until_ready()
            alert = alert_of(7)
            Publisher(secured.inside).alerts(alert)
            assert events.next()[1]["id"] == alert["id"]
        mark = alert["data"]["fingerprint"]
        said("POST", f"/v1/alerts/{mark}/actions", OPERATE, status="acknowledged")
        silence = {"matchers": ["segment=vip"], "for": "2h", "comment": "tills are replaced"}
        made = said("POST", "/v1/silences", OPERATE, **silence)
        until("the silence", lambda: said("GET", "/v1/silences", READ)["silences"])
        until("the action", lambda: said("GET", f"/v1/alerts/{mark}", READ)["row"]["action"])
        said("POST", f"/v1/silences/{made['id']}/expire", OPERATE)
        assert client.get("/v1/customers/nobody/export", headers=bearer(PRIVACY)).status_code == 404
        assert not said("POST", "/v1/customers/ada/erase", PRIVACY, confirm="ada")["carried_out"]
        assert client.get("/health/ready").status_code == 200
        opened.close()
        serving.process.terminate()
        assert serving.process.wait(20) == 0
        log = serving.log_path.read_text()
    assert "Authorization" not in log, log
    assert [json.loads(value(each)) for each in read(secured.inside, topics.REPLIES)] == [EVENT]
    refused = {"payroll", topics.ALERTS, topics.METRICS}
    assert denied(settings(env), [*refused, topics.SILENCES]) == refused


def denied(ours: Settings, names: list[str]) -> set[str]:
    """Topics to which these settings do not allow to write."""
    found = set()

    def told(error: KafkaError | None, message: Any) -> None:
        if error is not None and error.code() == KafkaError.TOPIC_AUTHORIZATION_FAILED:
            found.add(message.topic())

    producer = Producer({**confluent_config(ours), "log_level": 0, "message.timeout.ms": 10_000})
    for name in names:
        producer.produce(name, b"{}", b"key", on_delivery=told)
    assert producer.flush(20) == 0
    return found


def test_topics_are_made_with_the_rights_of_an_operator(
    secured: SecuredKafka, cx: Callable[..., subprocess.CompletedProcess[str]]
) -> None:
    """`cx topics` creates, compares and alters under the operator's ACLs, and is refused without, in one line."""
    certificate, key = secured.client_files("cx-operator")
    env = {**secured.env("mutual"), "CX_SSL_CERT": str(certificate), "CX_SSL_KEY": str(key)}
    env |= {"CX_SSL_KEY_PASSWORD": "unused", "CX_APP_ID": "cx-operated", "CX_MIN_ISR": "1"}
    in_thread(admin.delete(secured.inside, [spec.name for spec in topics.layout("cx-operated", 4)]))
    refused = cx("topics", "create", **env)
    assert refused.returncode == 2
    assert len(refused.stderr.splitlines()) == 1
    assert "AuthorizationFailed" in refused.stderr
    allow(secured, "operator", "cx-operated", "User:cx-operator")
    assert cx("topics", "create", **env).returncode == 0
    wider = {**env, "CX_PARTITIONS": "6"}
    planned = cx("topics", "create", "--alter", "--plan", **wider)
    assert "~ cx.replies  partitions 4 -> 6" in planned.stdout.splitlines(), planned.stderr
    assert cx("topics", "create", "--alter", **wider).returncode == 0
    assert cx("topics", "check", **wider).returncode == 0


def test_every_topic_is_somebodys(secured: SecuredKafka) -> None:
    """Each topic of the layout is read or written by the worker's ACLs, and nothing else is allowed there."""
    names = {spec.name for spec in topics.layout("app", 1)}
    assert {acl.name for acl in acls("worker", "app") if acl.kind == "topic"} == names
    for role in ROLES:
        assert {acl.name for acl in acls(role, "app") if acl.kind == "topic"} <= names
    writable = {acl.name for acl in acls("worker", "app") if "Write" in acl.operations}
    assert not writable & {topics.RULES, topics.SILENCES}
    assert {*topics.INPUTS} < writable  # what comes of an id that was merged is passed on


def test_acls_are_commands_that_kafka_takes(
    secured: SecuredKafka, cx: Callable[..., subprocess.CompletedProcess[str]], tmp_path: Path
) -> None:
    """A line of `cx topics acls` is one that Kafka's own tool accepts."""
    lines = cx("topics", "acls", "subscriber", "--principal", "User:reader").stdout.splitlines()
    tool, *arguments = lines[-1].split()
    assert tool == "kafka-acls.sh"
    (tmp_path / "admin.properties").write_text("")
    given = [
        {"admin.properties": str(tmp_path / "admin.properties"), "localhost:9092": secured.inside}.get(
            a, a.strip("'")
        )
        for a in arguments
    ]
    done = secured.server.run_tool("org.apache.kafka.tools.AclCommand", *given)
    assert done.returncode == 0, done.stderr + done.stdout
    assert "User:reader" in done.stdout


@pytest.mark.parametrize(
    ("env", "words"),
    [
        (
            {"CX_SECURITY_PROTOCOL": "SSL", "CX_SASL_USERNAME": "u", "CX_SASL_PASSWORD": "wr0ng"},
            "needs SASL_SSL",
        ),
        ({"CX_SASL_USERNAME": "u", "CX_SASL_PASSWORD": "wr0ng"}, "it would travel in the clear"),
        ({"CX_OAUTH_CLIENT_SECRET": "wr0ng"}, "it would travel in the clear"),
        ({"CX_SECURITY_PROTOCOL": "SASL_PLAINTEXT"}, "'PLAINTEXT', 'SSL' or 'SASL_SSL'"),
        ({"CX_SECURITY_PROTOCOL": "SASL_SSL"}, "CX_SASL_USERNAME: is not set"),
        (
            {"CX_SECURITY_PROTOCOL": "SASL_SSL", "CX_SASL_MECHANISM": "OAUTHBEARER"},
            "CX_OAUTH_URL: is not set",
        ),
        ({"CX_OAUTH_URL": "http://issuer/token"}, "https"),
        ({"CX_SSL_CA": "/nowhere.pem"}, "CX_SSL_CA: CX_SECURITY_PROTOCOL=PLAINTEXT makes no use of it"),
        (
            {"CX_SECURITY_PROTOCOL": "SSL", "CX_SSL_CA": "/nowhere.pem"},
            "CX_SSL_CA: /nowhere.pem cannot be read",
        ),
        ({"CX_SECURITY_PROTOCOL": "SSL", "CX_SSL_CA": __file__}, "holds no certificate in PEM format"),
        ({"CX_SECURITY_PROTOCOL": "SSL", "CX_SSL_CERT": __file__}, "no certificate with its private key"),
        ({"CX_SECURITY_PROTOCOL": "SSL", "CX_SSL_KEY": __file__}, "a key needs its certificate"),
        ({"CX_BROKERS": "kafka://one:9092"}, "CX_BROKERS: 'kafka://one:9092' is no address"),
        ({"CX_BROKERS": "one:9092,,two:9092"}, "is no address"),
        ({"CX_REPLICATION": "2", "CX_MIN_ISR": "3"}, "CX_MIN_ISR: 3 of 2 replicas"),
    ],
)
def test_settings_that_cannot_work_are_refused(env: dict[str, str], words: str) -> None:
    """What could never get in, or would show a password, is refused by name; secrets are not repeated."""
    with pytest.raises(ValidationError) as caught:
        settings(env)
    assert words in str(caught.value)
    assert "wr0ng" not in str(caught.value)


def test_a_wrong_key_password_is_said(secured: SecuredKafka) -> None:
    """A client key that its password does not open is refused at start, without asking on a terminal."""
    for password in ("wr0ng", None):
        env = {**secured.env("mutual"), "CX_SSL_KEY_PASSWORD": password}
        with pytest.raises(
            ValidationError, match=r"CX_SSL_CERT: .* or the key's password is wrong"
        ) as caught:
            settings({name: value for name, value in env.items() if value is not None})
        assert "wr0ng" not in str(caught.value)
