"""Senders' webhooks over HTTP: what gets in, what it becomes, and who does not get in."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from stream import topics
from stream.api.parts import Parts
from stream.settings import Settings
from tests.api.conftest import KEYS, Server, settings_of
from tests.api.test_guard import problem
from tests.e2e.records import read

EXAMPLES = Path(__file__).parents[1] / "adapters" / "examples"
SECRETS = {"typeform": "typeform secret", "braze": "braze secret", "segment": "segment secret"}


@pytest.fixture(scope="module")
def signed(broker: str) -> Iterator[Server]:
    """A server with keys for people, and secrets of three senders."""
    with Server(settings_of(broker, api_keys=KEYS, adapter_secrets=json.dumps(SECRETS))) as running:
        yield running.ready()


def example(name: str) -> tuple[bytes, list[dict[str, Any]]]:
    """A recorded call, and the records it becomes."""
    found = json.loads((EXAMPLES / f"{name}.json").read_text())
    return json.dumps(found["payload"]).encode(), found["records"]


def typeform(body: bytes, secret: str = SECRETS["typeform"]) -> dict[str, str]:
    """Typeform's header."""
    digest = hmac.new(secret.encode(), body, hashlib.sha256).digest()
    return {"Typeform-Signature": f"sha256={base64.b64encode(digest).decode()}"}


def post(server: Server, sender: str, body: bytes, headers: dict[str, str]) -> httpx.Response:
    """A call as a sender makes it: no key of ours."""
    given = {"Content-Type": "application/json", **headers}
    return server.client.post(f"/v1/adapters/{sender}", content=body, headers=given)


def test_a_signed_call_becomes_events_on_kafka(signed: Server, broker: str) -> None:
    """Each record of the mapping, keyed by its customer; without any key of ours."""
    body, records = example("typeform/response")
    answer = post(signed, "typeform", body, typeform(body))
    assert (answer.status_code, answer.json()) == (200, {"events": 2, "refused": 0})
    found = [json.loads(m.value() or b"") for m in read(broker, topics.REPLIES) if m.key() == b"c-77"]
    assert [each for each in found if each["event_id"].startswith("typeform:")] == records


def test_a_sender_s_bearer_is_not_taken_for_a_key(signed: Server) -> None:
    """Authorization holds the sender's secret there; ours does not open that door, nor theirs ours."""
    body, records = example("braze/batch")
    answer = post(signed, "braze", body, {"Authorization": f"Bearer {SECRETS['braze']}"})
    assert answer.json() == {"events": len(records), "refused": 0}
    problem(post(signed, "braze", body, {"Authorization": f"Bearer {'i' * 20}"}), 401, "unauthorized")
    theirs = signed.client.get("/v1/about", headers={"Authorization": f"Bearer {SECRETS['braze']}"})
    problem(theirs, 401, "unauthorized")


@pytest.mark.parametrize(
    ("sender", "status", "kind", "words"),
    [
        ("typeform", 401, "unauthorized", "no signature"),
        ("zendesk", 403, "forbidden", "CX_ADAPTER_SECRETS has no secret for zendesk"),
        ("nobody", 404, "not-found", "typeform"),
    ],
)
def test_who_does_not_get_in_is_told_why(
    signed: Server, sender: str, status: int, kind: str, words: str
) -> None:
    """Unsigned, not set up, not known."""
    answer = post(signed, sender, b"{}", {})
    problem(answer, status, kind)
    assert words in answer.json()["detail"]


def test_a_changed_body_is_refused(signed: Server) -> None:
    """The signature is of these very bytes."""
    body, _ = example("typeform/response")
    problem(post(signed, "typeform", body + b" ", typeform(body)), 401, "unauthorized")


def test_a_body_that_is_no_json_is_refused(signed: Server) -> None:
    """Signed or not."""
    problem(post(signed, "typeform", b"{", typeform(b"{")), 400, "bad-request")


def test_a_call_that_nothing_matches_is_fine(signed: Server) -> None:
    """Most senders send more than anyone wants."""
    body, _ = example("segment/identify")
    digest = hmac.new(SECRETS["segment"].encode(), body, hashlib.sha1).hexdigest()
    answer = post(signed, "segment", body, {"X-Signature": digest})
    assert (answer.status_code, answer.json()) == (200, {"events": 0, "refused": 0})


def test_what_does_not_fit_goes_on_to_become_a_dead_letter(signed: Server, broker: str) -> None:
    """A sender could not mend it; workers say why, and nothing is lost."""
    payload = json.loads(example("typeform/response")[0])
    payload["form_response"]["answers"][0]["number"] = 99
    payload["form_response"]["token"] = "unfit"  # noqa: S105 - of a response
    body = json.dumps(payload).encode()
    assert post(signed, "typeform", body, typeform(body)).json() == {"events": 2, "refused": 1}
    assert any(b"typeform:unfit:f1" in (m.value() or b"") for m in read(broker, topics.REPLIES))


def test_secrets_that_are_no_json_are_refused_without_being_shown() -> None:
    """The setting is named, its content is not."""
    with pytest.raises(ValueError, match=r"^CX_ADAPTER_SECRETS: must be JSON") as refused:
        Parts(Settings(_env_file=None, adapter_secrets="hush"))  # type: ignore[call-arg]
    assert "hush" not in str(refused.value)
