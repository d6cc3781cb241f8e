"""Only genuine calls are taken: each scheme as its sender documents it."""

from __future__ import annotations

import base64
import hashlib
import hmac
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st
from standardwebhooks import Webhook

from stream.adapters import Call, Refusal, Signature, load_adapters, verify
from stream.adapters.signatures import sign

ADAPTERS = load_adapters()
BODY = b'{"a": "{timestamp} is no placeholder here"}'
NOW = 1_772_356_542.0
SECRET = "whsec_" + base64.b64encode(b"a secret of 24 bytes....").decode()


def keyed(algorithm: str, over: bytes, secret: str = SECRET) -> hmac.HMAC:
    """The digest a sender makes."""
    return hmac.new(secret.encode(), over, getattr(hashlib, algorithm))


def b64(digest: hmac.HMAC) -> str:
    """Base 64 of a digest."""
    return base64.b64encode(digest.digest()).decode()


URL = "https://cx.example.com/v1/adapters/hubspot"
SIGNED = {
    "zendesk": {
        "x-zendesk-webhook-signature": b64(keyed("sha256", b"2026-03-01T09:15:42Z" + BODY)),
        "x-zendesk-webhook-signature-timestamp": "2026-03-01T09:15:42Z",
    },
    "hubspot": {
        "x-hubspot-signature-v3": b64(keyed("sha256", b"POST" + URL.encode() + BODY + b"1772356542000")),
        "x-hubspot-request-timestamp": "1772356542000",
    },
    "segment": {"x-signature": keyed("sha1", BODY).hexdigest()},
    "rudderstack": {"authorization": f"Bearer {SECRET}"},
    "salesforce": {"authorization": f"Bearer {SECRET}"},
    "braze": {"authorization": f"Bearer {SECRET}"},
    "infobip": {"authorization": f"App {SECRET}"},
    "typeform": {"typeform-signature": "sha256=" + b64(keyed("sha256", BODY))},
    "formbricks": {
        "webhook-id": "msg_1",
        "webhook-timestamp": "1772356542",
        "webhook-signature": Webhook(SECRET).sign("msg_1", datetime.fromtimestamp(NOW, UTC), BODY.decode()),
    },
}


def call(sender: str, body: bytes = BODY, **changed: str) -> Call:
    """A sender's call, with other headers if wanted."""
    return Call("POST", URL, {**SIGNED[sender], **changed}, body)


def judged(sender: str, called: Call, secret: str = SECRET, now_s: float = NOW) -> Refusal | None:
    """What is said of a call."""
    signature = ADAPTERS[sender].signature
    assert signature is not None
    return verify(signature, secret, called, now_s)


@pytest.mark.parametrize("sender", sorted(ADAPTERS))
def test_a_call_signed_as_documented_is_taken(sender: str) -> None:
    """Every sender that ships has a scheme, and it accepts what the sender sends."""
    assert judged(sender, call(sender)) is None


@pytest.mark.parametrize("sender", sorted(ADAPTERS))
def test_another_secret_is_refused(sender: str) -> None:
    """Whoever does not know the secret cannot sign."""
    other = "whsec_" + base64.b64encode(b"another secret of 24 b..").decode()
    assert judged(sender, call(sender), secret=other) is Refusal.WRONG_SIGNATURE


@pytest.mark.parametrize("sender", sorted(ADAPTERS))
def test_without_a_secret_or_a_signature_nothing_is_taken(sender: str) -> None:
    """A deployment that has not set the secret is closed, not open."""
    assert judged(sender, call(sender), secret="") is Refusal.NO_SECRET
    assert judged(sender, Call("POST", URL, {}, BODY)) is Refusal.NO_SIGNATURE


@pytest.mark.parametrize("sender", sorted(set(ADAPTERS) - {"rudderstack", "salesforce", "braze", "infobip"}))
def test_a_changed_body_is_refused(sender: str) -> None:
    """Each byte counts."""
    assert judged(sender, call(sender, BODY + b" ")) is Refusal.WRONG_SIGNATURE


@pytest.mark.parametrize("sender", ["zendesk", "hubspot", "formbricks"])
def test_an_old_call_is_refused_where_its_time_is_signed(sender: str) -> None:
    """What was overheard cannot be sent again later."""
    assert judged(sender, call(sender), now_s=NOW + 299) is None
    assert judged(sender, call(sender), now_s=NOW + 301) is Refusal.TOO_OLD
    assert judged(sender, call(sender), now_s=NOW - 301) is Refusal.TOO_OLD


def test_of_several_signatures_one_that_fits_is_enough() -> None:
    """While a secret is being replaced, a sender signs with both."""
    both = "v1,AAAA " + SIGNED["formbricks"]["webhook-signature"]
    assert judged("formbricks", call("formbricks", **{"webhook-signature": both})) is None


@given(st.text(max_size=40), st.text(max_size=40), st.binary(max_size=40))
def test_wild_headers_are_refused_quietly(given_signature: str, stamp: str, body: bytes) -> None:
    """Nothing but a refusal comes of them."""
    for sender, adapter in ADAPTERS.items():
        signature = adapter.signature
        assert signature is not None
        headers = {signature.header.lower(): given_signature, (signature.timestamp or "-").lower(): stamp}
        assert judged(sender, Call("POST", URL, headers, body)) is not None


@given(st.sampled_from(["{body}", "{timestamp}.{body}", "{id}.{timestamp}.{body}"]), st.binary(max_size=60))
def test_what_is_signed_is_verified(signs: str, body: bytes) -> None:
    """Signing and verifying agree, whatever stands in the body."""
    signature = Signature(header="s", timestamp="t", id="i", signs=signs)
    unsigned = Call("POST", URL, {"t": "1772356542", "i": "{body}"}, body)
    headers = {**unsigned.headers, "s": sign(signature, "k", unsigned)}
    assert verify(signature, "k", Call("POST", URL, headers, body), NOW) is None
