"""Who gets in, how often, how large, how slowly."""

from __future__ import annotations

import gzip
import hashlib
import json
import logging
import socket
import time
from typing import TYPE_CHECKING, Any

import httpx
import pytest

from stream.api import bodies, serving
from stream.api.guard import SIGNED
from stream.api.keys import Keys, Role
from stream.api.limits import Buckets
from tests.api.conftest import INGEST, KEYS, OPERATE, PRIVACY, READ, Server, bearer, settings_of

if TYPE_CHECKING:
    from collections.abc import Callable

REPLY = {
    "event_id": "e",
    "customer_id": "ada-lovelace",
    "occurred_at": "2026-01-12T07:30:00Z",
    "metric": "nps",
    "score": 3,
    "comment": "the-courier-was-rude",
}
#: Every operation with a key, and the roles of which one is needed.
OPERATIONS = [
    ("GET", "/v1/metrics", {"read"}),
    ("GET", "/v1/series?metric=nps", {"read"}),
    ("GET", "/v1/alerts", {"read"}),
    ("GET", "/v1/alerts/events", {"read"}),
    ("GET", "/v1/alerts/0f1e2d3c4b5a6978", {"read"}),
    ("GET", "/v1/alerts/0f1e2d3c4b5a6978/explain", {"read"}),
    ("POST", "/v1/alerts/0f1e2d3c4b5a6978/actions", {"operate"}),
    ("GET", "/v1/silences", {"read"}),
    ("POST", "/v1/silences", {"operate"}),
    ("POST", "/v1/silences/x/expire", {"operate"}),
    ("GET", "/v1/customers", {"read"}),
    ("GET", "/v1/customers/ada", {"read"}),
    ("GET", "/v1/customers/ada/export", {"privacy"}),
    ("POST", "/v1/customers/ada/erase", {"privacy"}),
    ("GET", "/v1/rules", {"read"}),
    ("POST", "/v1/rules/check", {"read"}),
    ("POST", "/v1/rules/backtest", {"read"}),
    ("POST", "/v1/events", {"ingest"}),
    ("GET", "/v1/stream?after=none", {"read"}),
    ("GET", "/metrics", {"read"}),
    ("GET", "/v1/about", {"read", "operate", "privacy", "ingest"}),
]
OF_KEY = {READ: {"read"}, OPERATE: {"read", "operate"}, PRIVACY: {"privacy"}, INGEST: {"ingest"}}


def problem(answer: httpx.Response, status: int, kind: str) -> dict[str, Any]:
    """The answer, which must be this problem."""
    assert (answer.status_code, answer.headers["content-type"]) == (status, "application/problem+json"), (
        answer.text
    )
    found: dict[str, Any] = answer.json()
    assert found["type"].endswith(f"docs/api.md#{kind}"), found
    assert found["status"] == status
    return found


@pytest.mark.parametrize(("method", "path", "roles"), OPERATIONS, ids=str)
def test_each_operation_takes_a_key_with_its_role(
    server: Server, method: str, path: str, roles: set[str]
) -> None:
    """Without a key 401, with another role 403, with the role anything but these."""
    answer = server.client.request(method, path)
    problem(answer, 401, "unauthorized")
    assert answer.headers["www-authenticate"].startswith("Bearer")
    for secret, has in OF_KEY.items():
        answer = server.client.request(method, path, headers=bearer(secret))
        if has & roles:
            assert answer.status_code not in {401, 403, 500}, answer.text
        else:
            problem(answer, 403, "forbidden")


def test_every_operation_is_in_the_table(server: Server) -> None:
    """No route is forgotten above, and only health needs no key."""
    app: Any = server.server.config.app
    described = {
        (method.upper(), path.split("{", maxsplit=1)[0])
        for path, operations in app.openapi()["paths"].items()
        for method in operations
        if not path.startswith("/health/")
    }
    listed = set()
    for method, path, _ in OPERATIONS:
        plain = path.partition("?")[0]
        listed |= {
            (method, plain[: plain.index(part)]) for part in ("0f1e", "ada", "x/") if part in plain
        } or {(method, plain)}
    described -= {("POST", SIGNED)}  # known by the sender's signature: test_adapters
    assert described == listed


@pytest.mark.parametrize(
    "headers",
    [
        bearer("x" * 20),
        bearer(READ[:-1]),
        bearer(READ + "r"),
        {"Authorization": f"Basic {READ}"},
        {"Authorization": READ},
        [("Authorization", f"Bearer {READ}"), ("Authorization", f"Bearer {READ}")],
    ],
)
def test_what_is_no_key_is_refused(serve: Callable[..., Server], broker: str, headers: Any) -> None:
    """A wrong key, a part of one, another scheme, two at once: none gets in."""
    problem(serve(broker, api_keys=KEYS).client.get("/v1/about", headers=headers), 401, "unauthorized")


def test_keys_may_be_digests() -> None:
    """A deployment may keep only the SHA-256 of its keys."""
    digest = hashlib.sha256(READ.encode()).hexdigest()
    caller = Keys(f"page:read+operate:sha256={digest}").caller(READ)
    assert caller is not None
    assert caller.roles == {Role.READ, Role.OPERATE}


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("page", "entry 1 is not name:role+role:secret"),
        ("page:read", "entry 1 is not"),
        ("a b:read:" + READ, "entry 1 is not"),
        ("page:write:" + READ, "'write' is no role; allowed are read, operate, privacy, ingest"),
        ("page:read:secret-too-few", "at least 16 characters"),
        (f"page:read:{READ},page:read:{OPERATE}", "two keys have the name page"),
        (f"page:read:{READ},", "entry 2 is not"),
    ],
)
def test_wrong_keys_are_refused_in_words(text: str, says: str) -> None:
    """The message names the setting and what is allowed, and holds no secret."""
    if says.startswith("at least"):
        text = text[:-4]
    with pytest.raises(ValueError, match="CX_API_KEYS") as refused:
        Keys(text)
    assert says in str(refused.value)
    assert READ not in str(refused.value)
    assert "secret-too" not in str(refused.value)


def test_without_keys_only_this_machine_is_served(broker: str) -> None:
    """Listening elsewhere without keys is refused at the start."""
    with pytest.raises(
        ValueError, match=r"CX_API_KEYS: is not set, and CX_API_HOST=0\.0\.0\.0 can be reached"
    ):
        Server(settings_of(broker, api_host="0.0.0.0"))  # noqa: S104 - it is refused


def test_without_keys_pages_from_elsewhere_are_refused(serve: Callable[..., Server], broker: str) -> None:
    """Neither a name that was pointed here nor a page of another origin gets anything done."""
    client = serve(broker).client
    assert client.get("/v1/about").status_code == 200
    problem(client.get("/v1/about", headers={"Host": "evil.example"}), 403, "forbidden")
    problem(
        client.post("/v1/events", json=REPLY, headers={"Origin": "https://evil.example"}), 403, "forbidden"
    )
    own = str(client.base_url)
    assert client.post("/v1/events", json=REPLY, headers={"Origin": own}).status_code == 200


def test_who_guesses_keys_is_slowed_down(serve: Callable[..., Server], broker: str) -> None:
    """After some wrong keys an address is told to wait; not so whoever sends none."""
    client = serve(broker, api_keys=KEYS).client
    codes = [client.get("/v1/about", headers=bearer(f"{n:020}")).status_code for n in range(15)]
    assert codes[:10] == [401] * 10
    assert codes[-1] == 429
    assert client.get("/health/live").status_code == 200


def test_more_requests_than_allowed_wait(serve: Callable[..., Server], broker: str) -> None:
    """Beyond the rate of one key comes 429 with Retry-After; another key is not touched."""
    client = serve(broker, api_keys=KEYS, api_rate=1).client
    answers = [client.get("/v1/about", headers=bearer(READ)) for _ in range(20)]
    refused = [each for each in answers if each.status_code == 429]
    assert refused  # whatever the machine: twenty do not take as many seconds
    problem(refused[0], 429, "rate")
    assert int(refused[0].headers["retry-after"]) >= 1
    assert client.get("/v1/about", headers=bearer(OPERATE)).status_code == 200


def test_buckets_fill_at_their_rate() -> None:
    """A burst is let through, then one for each part of a second that the rate says; names are bounded."""
    buckets = Buckets(10.0, 3.0, most=2)
    assert [buckets.take("a", 0.0) for _ in range(3)] == [0.0] * 3
    assert buckets.take("a", 0.0) == pytest.approx(0.1)
    assert buckets.take("a", 0.1) == 0.0
    assert buckets.take("a", 0.1) > 0
    for name in "bc":
        buckets.take(name, 0.1)
    assert buckets.take("a", 0.1) == 0.0  # forgotten, and so full again


class TestBodies:
    """What a body may be."""

    def test_gzip_is_unpacked(self, server: Server) -> None:
        """A packed body is taken as what it holds."""
        packed = gzip.compress(json.dumps(REPLY).encode())
        headers = {**bearer(INGEST), "Content-Encoding": "gzip", "Content-Type": "application/json"}
        assert server.client.post("/v1/events", content=packed, headers=headers).json()["accepted"] == 1

    @pytest.mark.parametrize(
        ("content", "encoding", "status", "kind"),
        [
            (gzip.compress(bytes(40_000_000)), "gzip", 413, "too-large"),
            (gzip.compress(json.dumps(REPLY).encode())[:-9], "gzip", 400, "bad-request"),
            (gzip.compress(b"{}") + b"more", "gzip", 400, "bad-request"),
            (b"{}", "gzip", 400, "bad-request"),
            (b"{}", "br", 415, "media-type"),
            (b"{}", "gzip, gzip", 415, "media-type"),
            (bytes(5 * 1024 * 1024), "", 413, "too-large"),
        ],
        ids=["bomb", "cut", "trailing", "none", "brotli", "twice", "large"],
    )
    def test_what_is_not_taken(
        self, server: Server, content: bytes, encoding: str, status: int, kind: str
    ) -> None:
        """A bomb, a cut or strange encoding and a body too large are refused as what they are."""
        headers = {**bearer(INGEST), "Content-Encoding": encoding, "Content-Type": "application/json"}
        problem(server.client.post("/v1/events", content=content, headers=headers), status, kind)

    def test_a_body_without_length_is_bounded(self, server: Server) -> None:
        """What comes in pieces is counted as it comes."""
        pieces = (bytes(100_000) for _ in range(100))
        headers = {**bearer(INGEST), "Content-Type": "application/json"}
        try:
            answer = server.client.post("/v1/events", content=pieces, headers=headers)
        except httpx.WriteError:
            return  # the connection was ended before all of it was sent
        problem(answer, 413, "too-large")

    def test_a_body_that_comes_too_slowly_is_refused(
        self, server: Server, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """The next piece must come within a time."""
        monkeypatch.setattr(bodies, "PIECE_SECONDS", 0.2)
        with socket.create_connection(("127.0.0.1", server.port), 10) as link:
            head = f"POST /v1/events HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {INGEST}\r\n"
            link.sendall(f"{head}Content-Type: application/json\r\nContent-Length: 100\r\n\r\n{{".encode())
            assert link.recv(100).startswith(b"HTTP/1.1 408 ")

    def test_all_bodies_together_are_bounded(self) -> None:
        """Requests that would take more memory than there is for them are told to come again."""
        room = bodies.Room(10)
        room.take(10)
        with pytest.raises(bodies.Failed) as refused:
            room.take(1)
        assert refused.value.headers["Retry-After"] == "2"
        room.give(10)
        room.take(1)


def test_a_head_that_comes_byte_by_byte_ends_the_connection(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A slow head does not hold a connection."""
    monkeypatch.setattr(serving, "HEAD_SECONDS", 0.2)
    with socket.create_connection(("127.0.0.1", server.port), 10) as link:
        link.sendall(b"GET / HTTP/1.1\r\n")
        began = time.monotonic()
        assert link.recv(100) == b""
        assert time.monotonic() - began < 5


@pytest.mark.parametrize(
    "head",
    [
        b"GET / HTTP/1.1\r\nHost: x\r\n" + b"X: " + b"y" * 70_000 + b"\r\n\r\n",
        b"nonsense\r\n\r\n",
        b"GET / HTTP/1.1\r\n\r\n",
        b"POST /v1/events HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n",
        b"POST /v1/events HTTP/1.1\r\nHost: x\r\nContent-Length: -1\r\n\r\n",
    ],
    ids=["large", "nonsense", "no host", "two lengths", "negative"],
)
def test_what_is_no_request_is_a_problem(server: Server, head: bytes) -> None:
    """A head too large or malformed is answered with problem+json or by the end of the connection, never 5xx."""
    with socket.create_connection(("127.0.0.1", server.port), 10) as link:
        link.sendall(head)
        answer = link.recv(10_000)
    assert answer == b"" or (answer.split()[1].startswith(b"4") and b"application/problem+json" in answer)


@pytest.mark.parametrize(
    "path",
    [
        "/../stream/settings.py",
        "/..%2f..%2fpyproject.toml",
        "/%2e%2e/app.py",
        "/vendor/../../app.py",
        "//etc/passwd",
        "/%00",
        "/vendor/.uplot/../../../app.py",
        "/v1/../../app.py",
        "/\\..\\app.py",
    ],
)
def test_nothing_but_the_page_is_served(server: Server, path: str) -> None:
    """However a path is written, no file beside the page comes out."""
    with socket.create_connection(("127.0.0.1", server.port), 10) as link:
        link.sendall(f"GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n".encode())
        answer = b""
        while piece := link.recv(65_536):
            answer += piece
    assert answer.split()[1] in {b"404", b"400", b"405", b"401"}, answer[:300]
    assert b"import" not in answer


def test_answers_say_how_they_may_be_used(server: Server) -> None:
    """No sniffing, no frames, no scripts but the page's own, no caches, no other origin."""
    page = server.client.get("/")
    data = server.client.get("/v1/about", headers={**bearer(READ), "Origin": "https://evil.example"})
    for answer in (page, data):
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert answer.headers["referrer-policy"] == "no-referrer"
        assert "frame-ancestors 'none'" in answer.headers["content-security-policy"]
        assert "access-control-allow-origin" not in answer.headers
        assert "server" not in answer.headers
    assert "script-src 'self';" in page.headers["content-security-policy"]
    assert "unsafe" not in page.headers["content-security-policy"]
    assert data.headers["cache-control"] == "no-store"


def test_nothing_of_a_request_is_in_the_log(server: Server, caplog: pytest.LogCaptureFixture) -> None:
    """Ids, comments, keys and paths of requests, right or wrong, are not logged, nor are they labels."""
    with caplog.at_level(logging.DEBUG, logger="stream"), caplog.at_level(logging.DEBUG, logger="uvicorn"):
        client = server.client
        client.post("/v1/events", json=REPLY, headers=bearer(INGEST))
        client.post("/v1/events", json=[{**REPLY, "score": "the-courier-was-rude"}], headers=bearer(INGEST))
        client.get("/v1/customers/ada-lovelace", headers=bearer(READ))
        client.get("/v1/customers/ada-lovelace/export", headers=bearer(PRIVACY))
        client.get("/v1/ada-lovelace", headers=bearer(READ))
        told = caplog.text + client.get("/metrics", headers=bearer(READ)).text
    for secret in ("ada-lovelace", "courier", READ, INGEST, PRIVACY):
        assert secret not in told
