"""What receivers get, over real connections, and what is made of their answers."""

from __future__ import annotations

import base64
import email
import email.policy
import json
import socket
import ssl
import time
from typing import TYPE_CHECKING, Any

import pytest
import standardwebhooks
import trustme
from aiohttp import web

from stream.delivery.line import Parcel
from stream.delivery.posting import retry_after_ms
from stream.delivery.reading import read_delivery
from stream.delivery.sender import Sender
from tests.delivery.events import event
from tests.delivery.receivers import Hook, hook, mail_server

if TYPE_CHECKING:
    from pathlib import Path

    from stream.delivery.records import Outcome

OLD = "whsec_" + base64.b64encode(b"o" * 32).decode()
NEW = "whsec_" + base64.b64encode(b"n" * 32).decode()


async def sent(receiver: str, *events: bytes, allow: str = "[127.0.0.0/8]", **given: Any) -> Outcome:
    """Send to the one target of a receiver, written as in a delivery file."""
    text = f"allow_private: {allow}\nroute: {{receiver: it}}\nreceivers:\n- name: it\n{receiver}"
    plan = read_delivery(text, "delivery.yml")
    sender = Sender(plan)
    await sender.start()
    try:
        (target,) = plan.targets.values()
        return await sender.send(Parcel(target, (0,), events or (event(),), 0))
    finally:
        await sender.stop()


def webhook(server: Hook, more: str = "") -> str:
    """A webhook at a server."""
    return f"  webhook_configs: [{{url: '{server.url}'{more}}}]"


async def test_webhooks_are_signed_as_the_standard_says(monkeypatch: pytest.MonkeyPatch) -> None:
    """The public package verifies id, time and body with the new secret and, while they are rotated, the old."""
    monkeypatch.setenv("HOOK", f"{NEW} {OLD}")
    async with hook() as server:
        outcome = await sent(webhook(server, ", secret_env: HOOK"), event("alert-1"))
    assert outcome.kind == "delivered"
    (post,) = server.posts
    assert post.body == event("alert-1")
    assert post.headers["webhook-id"] == "alert-1"
    assert abs(int(post.headers["webhook-timestamp"]) - time.time()) < 30
    assert post.headers["content-type"].startswith("application/cloudevents+json")
    for secret in (NEW, OLD):
        assert standardwebhooks.Webhook(secret).verify(post.body, post.headers) == json.loads(post.body)
    with pytest.raises(standardwebhooks.WebhookVerificationError):
        standardwebhooks.Webhook(NEW).verify(post.body + b" ", post.headers)


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (200, "delivered"),
        (204, "delivered"),
        (301, "failed"),
        (307, "failed"),
        (400, "refused"),
        (401, "failed"),
        (404, "failed"),
        (410, "gone"),
        (413, "refused"),
        (422, "refused"),
        (429, "failed"),
        (500, "failed"),
        (503, "failed"),
    ],
)
async def test_what_answers_mean(status: int, kind: str) -> None:
    """2xx is delivered, 410 gone, an alert the target does not want is refused, everything else is its trouble."""
    async with hook(lambda _n, _p: web.Response(status=status)) as server:
        outcome = await sent(webhook(server))
    assert (outcome.kind, outcome.why) == (kind, f"http_{status}")


async def test_redirects_are_not_followed() -> None:
    """Who controls a receiver cannot send alerts elsewhere."""
    async with hook() as elsewhere:
        moved = web.Response(status=302, headers={"Location": elsewhere.url})
        async with hook(lambda _n, _p: moved) as server:
            outcome = await sent(webhook(server))
    assert (outcome.kind, outcome.why) == ("failed", "http_302")
    assert not elsewhere.posts


async def test_a_pause_that_is_asked_for_is_told() -> None:
    """Retry-After counts, in seconds and as a date."""
    busy = web.Response(status=429, headers={"Retry-After": "120"})
    async with hook(lambda _n, _p: busy) as server:
        assert (await sent(webhook(server))).retry_after_ms == 120_000
    assert retry_after_ms("Wed, 21 Oct 2015 07:28:00 GMT", 1_445_412_420) == 60_000
    for nonsense in ("soon", "-1", "9" * 40, "1.5", ""):
        assert retry_after_ms(nonsense, 0.0) is None


@pytest.mark.parametrize(
    "host",
    ["127.0.0.1", "localhost", "127.1", "0x7f.1", "2130706433", "[::ffff:127.0.0.1]", "0.0.0.0"],  # noqa: S104
)
async def test_private_addresses_are_refused(host: str) -> None:
    """However it is written, this machine gets nothing unless the file allows it."""
    async with hook() as server:
        port = server.url.split(":")[2].split("/")[0]
        target = f"  webhook_configs: [{{url: 'http://{host}:{port}/'}}]"
        outcome = await sent(target, allow="[10.0.0.0/8]")
    assert outcome.kind == "failed"
    assert outcome.why in ("address_refused", "url")  # the latter: the client takes it for no address at all
    assert not server.posts


async def test_trouble_on_the_way_has_a_word(unused: int) -> None:
    """Nobody there, no such name, no answer in time, no TLS: each is the target's trouble, and says which."""

    async def why(url: str, more: str = "") -> str:
        outcome = await sent(f"  webhook_configs: [{{url: '{url}'{more}}}]")
        assert outcome.kind == "failed"
        return outcome.why

    assert await why(f"http://127.0.0.1:{unused}/") == "connection"
    assert await why("http://no-such-host.invalid/") == "dns"
    async with hook() as server:
        assert await why(server.url.replace("http:", "https:")) == "tls"
    with socket.create_server(("127.0.0.1", 0)) as mute:
        assert await why(f"http://127.0.0.1:{mute.getsockname()[1]}/", ", timeout: 200ms") == "timeout"


@pytest.fixture
def unused() -> int:
    """A port where nobody listens."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        return int(server.getsockname()[1])


@pytest.fixture
def own_ca(tmp_path: Path) -> tuple[Path, ssl.SSLContext]:
    """The file of a CA of our own, and a server's context with a certificate of it."""
    ca = trustme.CA()
    ca.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    ca.issue_cert("127.0.0.1", "localhost").configure_cert(context)
    return tmp_path / "ca.pem", context


async def test_certificates_are_verified(own_ca: tuple[Path, ssl.SSLContext]) -> None:
    """A certificate of nobody known is refused; with ca_file it is known."""
    path, context = own_ca
    async with hook(tls=context) as server:
        assert (await sent(webhook(server))).why == "tls"
        assert not server.posts
        more = f", http_config: {{tls_config: {{ca_file: '{path}'}}}}"
        assert (await sent(webhook(server, more))).kind == "delivered"


async def test_credentials_come_from_files_and_variables(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Bearer tokens and basic passwords are read where the file says, anew each time."""
    token = tmp_path / "token"
    token.write_text("first\n")
    monkeypatch.setenv("PASSWORD", "pässword")
    async with hook() as server:
        bearer = webhook(server, f", http_config: {{authorization: {{credentials_file: '{token}'}}}}")
        await sent(bearer)
        token.write_text("second")
        await sent(bearer)
        basic = "{username: cx, password_env: PASSWORD}"
        await sent(webhook(server, f", http_config: {{basic_auth: {basic}}}"))
        token.unlink()
        outcome = await sent(bearer)
    said = [post.headers["authorization"] for post in server.posts]
    assert said == [
        "Bearer first",
        "Bearer second",
        f"Basic {base64.b64encode('cx:pässword'.encode()).decode()}",
    ]
    assert (outcome.kind, outcome.why) == ("failed", "secret")


async def test_slack_and_teams_take_text_as_text(monkeypatch: pytest.MonkeyPatch) -> None:
    """What a customer or an annotation says cannot call a channel or become a link; the id is in the message."""
    wicked = event("id-7", annotations={"summary": "<!channel> & [x](http://evil)", "description": "*b*"})
    async with hook() as server:
        monkeypatch.setenv("URL", server.url)
        assert (await sent("  slack_configs: [{api_url_env: URL}]", wicked)).kind == "delivered"
        assert (await sent("  msteams_configs: [{webhook_url_env: URL}]", wicked)).kind == "delivered"
    slack, teams = (post.json for post in server.posts)
    (attachment,) = slack["attachments"]
    assert "&lt;!channel&gt; &amp;" in attachment["title"]
    assert "<!channel>" not in server.posts[0].body.decode()
    assert "id-7" in attachment["footer"]
    assert {"title": "Evidence", "value": "nps -12.5 (-20 to -5) on 40 in 1h", "short": True} in attachment[
        "fields"
    ]
    card = teams["attachments"][0]
    assert teams["type"] == "message"
    assert card["contentType"] == "application/vnd.microsoft.card.adaptive"
    assert r"\[x\](http://evil)" in card["content"]["body"][0]["items"][0]["text"]
    assert "id-7" in json.dumps(card)


def mail(port: int, more: str = "require_tls: false") -> str:
    """E-mail by a server on this machine."""
    fields = f"to: 'care@example.org, ops@example.org', from: cx@example.org, smarthost: '127.0.0.1:{port}'"
    return f"  email_configs: [{{{fields}, {more}}}]"


async def test_mail_arrives_in_a_thread() -> None:
    """A message has the event's id, one thread an alert, and no line that an annotation brought."""
    wicked = event("id:8", annotations={"summary": "low\r\nBcc: all@example.org"})
    async with mail_server() as server:
        outcome = await sent(mail(server.port), wicked)
    assert outcome.kind == "delivered"
    message = email.message_from_bytes(server.messages[0], policy=email.policy.default)
    assert message["Message-ID"] == "<id-8@cx-pulse.invalid>"
    assert message["References"] == "<f0@cx-pulse.invalid>"
    assert message["Subject"] == "[FIRING] NpsLow: low Bcc: all@example.org"
    assert message["Bcc"] is None
    assert message["Auto-Submitted"] == "auto-generated"
    assert "nps -12.5 (-20 to -5) on 40 in 1h" in message.get_content()
    assert [line for line in server.said if line.lower().startswith("rcpt")] == [
        "rcpt TO:<care@example.org>",
        "rcpt TO:<ops@example.org>",
    ]


async def test_nothing_is_said_before_tls(
    own_ca: tuple[Path, ssl.SSLContext], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without STARTTLS no mail and no password leaves; with it, both are encrypted."""
    path, context = own_ca
    monkeypatch.setenv("PASSWORD", "hidden")
    login = "auth_username: cx, auth_password_env: PASSWORD"
    async with mail_server() as plain:
        outcome = await sent(mail(plain.port, login))
        assert (outcome.kind, outcome.why) == ("failed", "smtp_no_tls")
    assert not plain.messages
    assert all(line.split()[0].upper() in ("EHLO", "QUIT") for line in plain.said)
    async with mail_server(tls=context) as server:
        assert (await sent(mail(server.port, login))).why == "tls"
        ca = f"tls_config: {{ca_file: '{path}'}}"
        assert (await sent(mail(server.port, f"{login}, {ca}"))).kind == "delivered"
    assert all(line.startswith("tls ") for line in server.said if "AUTH" in line or "mail" in line.lower())


@pytest.mark.parametrize(
    ("answers", "kind", "why"),
    [
        ({"RCPT": "550 no such user"}, "refused", "smtp_550"),
        ({"RCPT": "450 later"}, "failed", "smtp_450"),
        ({"MAIL": "452 full"}, "failed", "smtp_452"),
        ({"DATA": "554 no"}, "refused", "smtp_554"),
    ],
)
async def test_what_mail_servers_mean(answers: dict[str, str], kind: str, why: str) -> None:
    """4xx is trouble of the server's, 5xx is about this message."""
    async with mail_server(answers) as server:
        outcome = await sent(mail(server.port))
    assert (outcome.kind, outcome.why) == (kind, why)
