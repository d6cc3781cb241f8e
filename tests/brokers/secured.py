"""A real Kafka as production has it: TLS, client certificates, passwords, tokens and ACLs, each on a listener."""

from __future__ import annotations

import base64
import json
import ssl
import threading
import time
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any, Self
from urllib.parse import parse_qs, unquote

import trustme
from confluent_kafka.admin import (
    AdminClient,
    ScramCredentialInfo,
    ScramMechanism,
    UserScramCredentialUpsertion,
)
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import padding, rsa

from stream.brokers.kafka import KafkaServer, free_port

if TYPE_CHECKING:
    from pathlib import Path

AUDIENCE = "kafka"
ISSUER = "https://issuer.example"
CLIENT = "cx-oauth"
SECRET = "s3cret/with:odd+characters"  # noqa: S105 - of a test
PASSWORD = "GEHEIM-p4ssword"  # noqa: S105 - of a test: must be seen nowhere
USER = "cx-worker"


def _b64(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


@dataclass
class Issuer:
    """A token endpoint over TLS, and the key that the broker verifies its tokens with."""

    authority: trustme.CA
    life_s: float = 60.0
    asked: list[dict[str, str]] = field(default_factory=list)
    #: What to answer instead of a token: status, headers, body.
    instead: tuple[int, dict[str, str], bytes] | None = None

    def __post_init__(self) -> None:
        self.key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
        issuer = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                issuer._answer(self)

            def log_message(self, *_: Any) -> None:
                """Say nothing."""

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self.authority.issue_cert("localhost").configure_cert(context)
        self.server.socket = context.wrap_socket(self.server.socket, server_side=True)
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    @property
    def url(self) -> str:
        """The endpoint's address."""
        return f"https://localhost:{self.server.server_address[1]}/token"

    def jwks(self) -> str:
        """The public key, as brokers read it."""
        numbers = self.key.public_key().public_numbers()
        key = {"kty": "RSA", "use": "sig", "alg": "RS256", "kid": "1"}
        key |= {"n": _b64(numbers.n.to_bytes(256, "big")), "e": _b64(numbers.e.to_bytes(3, "big"))}
        return json.dumps({"keys": [key]})

    def token(self, subject: str = USER) -> str:
        """A signed JWT."""
        now = int(time.time())
        claims = {"iss": ISSUER, "aud": AUDIENCE, "sub": subject, "iat": now, "exp": now + int(self.life_s)}
        head = {"alg": "RS256", "kid": "1", "typ": "JWT"}
        signed = ".".join(_b64(json.dumps(part).encode()) for part in (head, claims))
        signature = self.key.sign(signed.encode(), padding.PKCS1v15(), hashes.SHA256())
        return f"{signed}.{_b64(signature)}"

    def _answer(self, request: BaseHTTPRequestHandler) -> None:
        body = request.rfile.read(int(request.headers["Content-Length"])).decode()
        given = base64.b64decode(request.headers["Authorization"].removeprefix("Basic ")).decode()
        client, _, secret = given.partition(":")
        self.asked.append({name: values[0] for name, values in parse_qs(body).items()})
        if self.instead is not None:
            status, headers, answer = self.instead
        elif (unquote(client), unquote(secret)) != (CLIENT, SECRET):
            status, headers, answer = 401, {}, b'{"error": "invalid_client"}'
        else:
            said = {"access_token": self.token(), "token_type": "Bearer", "expires_in": self.life_s}
            status, headers, answer = 200, {}, json.dumps(said).encode()
        request.send_response(status)
        for name, value in headers.items():
            request.send_header(name, value)
        request.send_header("Content-Length", str(len(answer)))
        request.end_headers()
        request.wfile.write(answer)

    def close(self) -> None:
        """Stop answering."""
        self.server.shutdown()
        self.server.server_close()


class SecuredKafka:
    """A broker with ACLs and four listeners.

    ``inside``: plain text, whoever comes is a super user, for the test's own hands. ``tls``: TLS, no one is asked
    who they are. ``mutual``: TLS with a client certificate. ``sasl``: TLS with PLAIN or SCRAM. ``oauth``: TLS
    with a token.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.ca = trustme.CA()
        self.issuer = Issuer(trustme.CA())
        self.tls, self.mutual, self.sasl, self.oauth = (
            f"localhost:{free_port()}",
            f"localhost:{free_port()}",
            f"localhost:{free_port()}",
            f"localhost:{free_port()}",
        )
        self.ca_path = folder / "ca.pem"
        self.ca.cert_pem.write_to_path(self.ca_path)
        self.issuer_ca_path = folder / "issuer.pem"
        self.issuer.authority.cert_pem.write_to_path(self.issuer_ca_path)
        (folder / "jwks.json").write_text(self.issuer.jwks())
        self._broker_files()
        inside = free_port()
        self.server = KafkaServer(
            folder / "kafka",
            port=inside,
            heap_mb=512,
            start_within=120,
            settings=self._settings(f"127.0.0.1:{inside}"),
            jvm=[f"-Dorg.apache.kafka.sasl.oauthbearer.allowed.urls={self._jwks_url}"],
        )

    @property
    def inside(self) -> str:
        """Address of the listener for the test's own hands."""
        return self.server.bootstrap

    @property
    def _jwks_url(self) -> str:
        return (self.folder / "jwks.json").as_uri()

    def client_files(self, name: str, password: str | None = None) -> tuple[Path, Path]:
        """Certificate and key of a client; the key encrypted when there is a password."""
        issued = self.ca.issue_cert(f"{name}.example", common_name=name)
        certificate, key = self.folder / f"{name}.pem", self.folder / f"{name}.key"
        certificate.write_bytes(b"".join(part.bytes() for part in issued.cert_chain_pems))
        key.write_bytes(_pkcs8(issued.private_key_pem.bytes(), password))
        return certificate, key

    def _broker_files(self) -> None:
        issued = self.ca.issue_cert("localhost", "127.0.0.1")
        chain = b"".join(part.bytes() for part in issued.cert_chain_pems)
        (self.folder / "broker.pem").write_bytes(_pkcs8(issued.private_key_pem.bytes(), None) + chain)

    def _settings(self, inside: str) -> dict[str, str]:
        named = {"TLS": self.tls, "MUTUAL": self.mutual, "SASL": self.sasl, "OAUTH": self.oauth}
        listeners = ",".join(f"{name}://{address}" for name, address in named.items())
        controller = f"127.0.0.1:{free_port(avoid=frozenset({int(inside.rpartition(':')[2])}))}"
        module = "org.apache.kafka.common.security"
        return {
            "controller.quorum.voters": f"1@{controller}",
            "listeners": f"PLAINTEXT://{inside},CONTROLLER://{controller},{listeners}",
            "advertised.listeners": f"PLAINTEXT://{inside},{listeners}",
            "listener.security.protocol.map": (
                "PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT,TLS:SSL,MUTUAL:SSL,SASL:SASL_SSL,OAUTH:SASL_SSL"
            ),
            "inter.broker.listener.name": "PLAINTEXT",
            "authorizer.class.name": "org.apache.kafka.metadata.authorizer.StandardAuthorizer",
            # Over plain text and by the listener without questions everyone is ANONYMOUS.
            "super.users": "User:ANONYMOUS;User:operator",
            "ssl.keystore.type": "PEM",
            "ssl.keystore.location": str(self.folder / "broker.pem"),
            "ssl.truststore.type": "PEM",
            "ssl.truststore.location": str(self.ca_path),
            "ssl.principal.mapping.rules": "RULE:^.*CN=([^,]*).*$/$1/,DEFAULT",
            "listener.name.mutual.ssl.client.auth": "required",
            "listener.name.sasl.sasl.enabled.mechanisms": "PLAIN,SCRAM-SHA-256,SCRAM-SHA-512",
            "listener.name.sasl.plain.sasl.jaas.config": (
                f"{module}.plain.PlainLoginModule required user_{USER}='{PASSWORD}';"
            ),
            "listener.name.sasl.scram-sha-256.sasl.jaas.config": f"{module}.scram.ScramLoginModule required;",
            "listener.name.sasl.scram-sha-512.sasl.jaas.config": f"{module}.scram.ScramLoginModule required;",
            "listener.name.oauth.sasl.enabled.mechanisms": "OAUTHBEARER",
            "listener.name.oauth.oauthbearer.sasl.jaas.config": (
                f"{module}.oauthbearer.OAuthBearerLoginModule required;"
            ),
            "listener.name.oauth.oauthbearer.sasl.server.callback.handler.class": (
                f"{module}.oauthbearer.OAuthBearerValidatorCallbackHandler"
            ),
            "listener.name.oauth.oauthbearer.sasl.oauthbearer.jwks.endpoint.url": self._jwks_url,
            "listener.name.oauth.oauthbearer.sasl.oauthbearer.expected.audience": AUDIENCE,
            "listener.name.oauth.oauthbearer.sasl.oauthbearer.expected.issuer": ISSUER,
            "listener.name.oauth.oauthbearer.connections.max.reauth.ms": "8000",
        }

    def start(self) -> Self:
        """Bring it up, with the user of the settings known to SCRAM."""
        self.server.start()
        wanted = [
            UserScramCredentialUpsertion(USER, ScramCredentialInfo(mechanism, 4096), PASSWORD.encode())
            for mechanism in (ScramMechanism.SCRAM_SHA_256, ScramMechanism.SCRAM_SHA_512)
        ]
        admin = self.admin()
        for one in wanted:  # of one user, one at a time
            for done in admin.alter_user_scram_credentials([one]).values():
                done.result(20)
        return self

    def admin(self) -> AdminClient:
        """A client that may do everything."""
        return AdminClient({"bootstrap.servers": self.inside, "log_level": 0})

    def env(self, way: str) -> dict[str, str]:
        """Settings for a way in, one of `WAYS`."""
        env = {"CX_SSL_CA": str(self.ca_path), "CX_REPLICATION": "1"}
        if way == "tls":
            return {**env, "CX_BROKERS": self.tls, "CX_SECURITY_PROTOCOL": "SSL"}
        if way == "mutual":
            certificate, key = self.client_files(USER, "keypass")
            env |= {"CX_SSL_CERT": str(certificate), "CX_SSL_KEY": str(key), "CX_SSL_KEY_PASSWORD": "keypass"}
            return {**env, "CX_BROKERS": self.mutual, "CX_SECURITY_PROTOCOL": "SSL"}
        env |= {"CX_SECURITY_PROTOCOL": "SASL_SSL", "CX_SASL_MECHANISM": way}
        if way == "OAUTHBEARER":
            env |= {"CX_OAUTH_URL": self.issuer.url, "CX_OAUTH_CA": str(self.issuer_ca_path)}
            return {
                **env,
                "CX_BROKERS": self.oauth,
                "CX_OAUTH_CLIENT_ID": CLIENT,
                "CX_OAUTH_CLIENT_SECRET": SECRET,
                "CX_OAUTH_SCOPE": "kafka",
            }
        return {**env, "CX_BROKERS": self.sasl, "CX_SASL_USERNAME": USER, "CX_SASL_PASSWORD": PASSWORD}

    def close(self) -> None:
        """End broker and token endpoint."""
        self.server.close()
        self.issuer.close()


def _pkcs8(pem: bytes, password: str | None) -> bytes:
    key = serialization.load_pem_private_key(pem, None)
    how: Any = (
        serialization.BestAvailableEncryption(password.encode()) if password else serialization.NoEncryption()
    )
    return key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, how)


WAYS = ("tls", "mutual", "PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512", "OAUTHBEARER")
