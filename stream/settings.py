"""The one frozen settings object; every field is a ``CX_*`` environment variable."""

from __future__ import annotations

import re
import ssl
from pathlib import Path
from typing import Annotated, Final, Literal, Self

from pydantic import Field, SecretStr, model_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from stream.tls import client_context
from stream.topics import Retention

_UNITS_MS: Final = {"s": 1000, "m": 60_000, "h": 3_600_000, "d": 86_400_000}
_WINDOW: Final = re.compile(r"[1-9]\d{0,8}[smhd]", re.ASCII)
_ADDRESS: Final = re.compile(r"([\w.-]+|\[[0-9A-Fa-f:.]+\])(:\d{1,5})?", re.ASCII)
_MOST_ATTRIBUTES: Final = 8
_LONGEST_MS: Final = 366 * _UNITS_MS["d"]

Milliseconds = Annotated[int, Field(ge=0)]


class Settings(BaseSettings):
    """What a deployment can set. Durations are in the unit their name says."""

    model_config = SettingsConfigDict(
        env_prefix="CX_",
        env_file=".env",
        frozen=True,
        extra="ignore",
        hide_input_in_errors=True,  # of a check across settings that is all of them, secrets included
    )

    app_id: str = Field(
        "cx-pulse", pattern=r"^[a-zA-Z0-9._-]{1,100}$", description="consumer group and changelog prefix"
    )
    brokers: str = Field("localhost:9092", min_length=1, description="comma-separated host:port list")
    partitions: int = Field(4, ge=1, le=1000, description="partitions of the input and output topics")
    replication: int = Field(1, ge=1, le=9, description="replication factor of topics that cx creates")
    min_isr: int | None = Field(
        None,
        ge=1,
        le=9,
        description="min.insync.replicas of topics that cx creates; none: one less than CX_REPLICATION",
    )
    security_protocol: Literal["PLAINTEXT", "SSL", "SASL_SSL"] = Field(
        "PLAINTEXT", description="how the broker is spoken to; a password or token needs SASL_SSL"
    )
    ssl_ca: Path | None = Field(None, description="PEM file of authorities trusted; none: the system's")
    ssl_cert: Path | None = Field(None, description="PEM file of the client's certificate (mutual TLS)")
    ssl_key: Path | None = Field(None, description="PEM file of its private key; none: in the same file")
    ssl_key_password: SecretStr | None = Field(None, description="of an encrypted key")
    sasl_mechanism: Literal["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512", "OAUTHBEARER"] = Field(
        "PLAIN", description="with SASL_SSL: how the client proves who it is"
    )
    sasl_username: str | None = Field(None, description="for PLAIN and SCRAM")
    sasl_password: SecretStr | None = Field(None, description="for PLAIN and SCRAM; never shown or logged")
    oauth_url: str | None = Field(
        None, pattern=r"^https://[^\s@]+$", description="for OAUTHBEARER: token endpoint, https only"
    )
    oauth_client_id: str | None = Field(None, min_length=1, description="for OAUTHBEARER")
    oauth_client_secret: SecretStr | None = Field(None, description="for OAUTHBEARER; never shown or logged")
    oauth_scope: str | None = Field(None, description="for OAUTHBEARER, where the endpoint wants one")
    oauth_extensions: str | None = Field(
        None,
        pattern=r"^[A-Za-z]+=[^,=\s]+(,[A-Za-z]+=[^,=\s]+)*$",
        description="for OAUTHBEARER, where the broker wants some: name=value,name=value",
    )
    oauth_ca: Path | None = Field(
        None, description="PEM file of authorities trusted for the token endpoint; none: the system's"
    )
    compression: Literal["none", "gzip", "lz4", "snappy", "zstd"] = Field(
        "none", description="of what cx writes"
    )

    redis_url: SecretStr | None = Field(
        SecretStr("redis://localhost:6379/0"), description="empty: no read model"
    )
    redis_ca: Path | None = Field(
        None, description="PEM file of authorities trusted with rediss://; none: the system's"
    )
    redis_cert: Path | None = Field(None, description="PEM file of the client's certificate (mutual TLS)")
    redis_key: Path | None = Field(None, description="PEM file of its private key; none: in the same file")
    redis_profiles: int = Field(
        200_000,
        ge=0,
        le=100_000_000,
        description="profiles kept in Redis at most, the longest unchanged go first; about 2 kB each",
    )
    redis_series: int = Field(
        200,
        ge=0,
        le=100_000,
        description="slices with a history in Redis at most; about 55 kB for each of their metrics",
    )

    privacy_key: SecretStr | None = Field(
        None,
        min_length=16,
        description="of the fingerprints on cx.erasures; none: a salt that is kept there. Never shown or logged",
    )
    pseudonym_key: SecretStr | None = Field(
        None,
        min_length=16,
        description="cx send and cx serve put keyed pseudonyms in the place of customer ids; none: ids as given",
    )

    retention_inputs: str = Field(
        "7d", min_length=1, description="how long Kafka keeps touchpoints and replies"
    )
    retention_alerts: str = Field("28d", min_length=1, description="... alerts, and what was done about them")
    retention_deadletters: str = Field("28d", min_length=1, description="... dead letters")

    rules: Path | None = Field(None, description="rules file (YAML); none: metrics without alerts")
    delivery: Path | None = Field(
        None, description="delivery file (YAML): who is sent which alerts; none: alerts stay on cx.alerts"
    )
    confidence: float = Field(0.95, gt=0.5, lt=1, description="of the published intervals")
    windows: str = Field(
        "5m,1h,24h,7d,30d,90d",
        min_length=1,
        description="rolling windows, the shortest first; a number and s, m, h or d",
    )
    max_members: int = Field(
        1000, ge=1, le=1_000_000, description="members kept per grouping; the rest is 'other'"
    )
    min_slice_n: int = Field(
        1,
        ge=1,
        le=1_000_000,
        description="a slice's value on fewer than this is not shown; privacy in the rules file wins",
    )

    pane_ms: int = Field(10_000, ge=100, description="length of the finest pane; must divide 5 minutes")
    lateness_ms: Milliseconds = Field(
        10_000, description="how far a partition's watermark trails its newest event"
    )
    late_horizon_ms: Milliseconds = Field(
        24 * 3600 * 1000, description="older than this behind the watermark: too_late"
    )
    max_ahead_ms: Milliseconds = Field(
        5 * 60 * 1000, description="further than this ahead of its record: too_early"
    )
    idle_after_ms: int = Field(
        30_000, ge=100, description="a caught-up, silent partition stops holding others back"
    )
    dedup_horizon_ms: Milliseconds = Field(
        24 * 3600 * 1000, description="event ids are remembered this long, in event time"
    )
    dedup_per_customer: int = Field(
        64, ge=1, le=10_000, description="event ids remembered per customer at most"
    )

    store: Literal["memory", "rocksdb"] = Field(
        "memory", description="where tables are; rocksdb: for more customers than fit into memory"
    )
    data_dir: Path | None = Field(
        None, description="with rocksdb: directory on a local disk, of this worker alone"
    )
    store_memory_mb: int = Field(
        256,
        ge=16,
        le=1_000_000,
        description="with rocksdb: MiB of caches and buffers, of all tables together",
    )
    max_record_bytes: int = Field(64 * 1024, ge=256, description="larger input records are dead letters")
    max_inflight_records: int = Field(
        50_000, ge=1, description="fetched and not yet acknowledged; bounds memory"
    )
    max_batch_records: int = Field(
        5_000, ge=1, description="records of one partition handed to an agent at once"
    )
    profile_every: str = Field(
        "10s", min_length=1, description="a customer's profile is published at most this often, in event time"
    )
    profile_refresh: str = Field(
        "1d", min_length=1, description="... and at least this often, for time goes on for the silent as well"
    )
    profile_attributes: str = Field(
        "", description="attributes of touchpoints that profiles keep, comma-separated; all others are let go"
    )
    models_every: str = Field(
        "7d",
        min_length=1,
        description="what customers will buy is fitted anew after this much event time; 0: never",
    )
    churn_horizon: str = Field(
        "28d",
        min_length=1,
        description="churn is to cancel within this time, rounded up to a multiple of CX_MODELS_EVERY",
    )
    models_sample: int = Field(
        20_000, ge=100, le=1_000_000, description="customers whose figures a fit looks at, at most"
    )
    commit_interval_ms: int = Field(1_000, ge=50)
    stall_after_ms: int = Field(
        60_000, ge=1000, description="no progress with work waiting for this long: exit"
    )
    provisional_every_ms: int = Field(1_000, ge=100, description="how often provisional values are published")

    export_slices: int = Field(
        1000, ge=1, le=100_000, description="slices on /metrics at most; the others are only counted there"
    )
    http_host: str = Field("127.0.0.1", description="where /metrics and /health listen")
    http_port: int = Field(9464, ge=0, le=65535, description="0: any free port; the log says which")
    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = "INFO"

    api_host: str = Field("127.0.0.1", min_length=1, description="where cx serve listens")
    api_port: int = Field(8080, ge=0, le=65535, description="0: any free port; the log says which")
    api_keys: SecretStr | None = Field(
        None,
        description="of cx serve: name:role+role:secret, comma-separated; roles: read operate privacy ingest; "
        "none: everybody on this machine, and nobody else",
    )
    adapters: Path | None = Field(
        None, description="directory with mappings of senders' webhooks; none: those that ship alone"
    )
    adapter_secrets: SecretStr | None = Field(
        None,
        description='JSON: {"typeform": "secret", ...}; a sender without one is refused. Never shown or logged',
    )
    api_rate: int = Field(1_000, ge=1, le=1_000_000, description="requests a second of one key or address")
    api_streams: int = Field(500, ge=0, le=100_000, description="open event streams at most")
    api_max_body_bytes: int = Field(
        4 * 1024 * 1024, ge=1024, le=1024**3, description="larger requests are refused, unpacked or not"
    )
    api_max_upload_bytes: int = Field(
        32 * 1024 * 1024, ge=1024, le=1024**3, description="the same for a backtest's events"
    )

    @property
    def in_sync(self) -> int:
        """Replicas that must have a record before it counts as written, of topics that cx creates."""
        return self.min_isr or max(1, self.replication - 1)

    @property
    def profile_every_ms(self) -> int:
        """Event time between two profiles of a customer, at least, milliseconds."""
        return _ms(self.profile_every)

    @property
    def profile_refresh_ms(self) -> int:
        """Event time after which everybody's profile is published again, milliseconds."""
        return _ms(self.profile_refresh)

    @property
    def attributes_kept(self) -> frozenset[str]:
        """Attributes that profiles keep."""
        return frozenset(name.strip() for name in self.profile_attributes.split(",") if name.strip())

    @property
    def churn_horizon_ms(self) -> int:
        """Event time within which who cancels was to be foreseen, a multiple of ``models_every_ms``."""
        text, every_ms = self.churn_horizon, max(1, self.models_every_ms)
        wanted_ms = int(text[:-1]) * _UNITS_MS[text[-1]]
        return (wanted_ms + every_ms - 1) // every_ms * every_ms

    @property
    def models_every_ms(self) -> int:
        """Event time between fits, milliseconds; 0: never."""
        text = self.models_every
        return 0 if text == "0" else int(text[:-1]) * _UNITS_MS[text[-1]]

    @property
    def window_names(self) -> tuple[str, ...]:
        """The windows, one by one."""
        return tuple(name.strip() for name in self.windows.split(","))

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if (5 * 60 * 1000) % self.pane_ms:
            raise ValueError(f"CX_PANE_MS: {self.pane_ms} does not divide 300000 (5 minutes)")
        if self.min_isr is not None and self.min_isr > self.replication:
            raise ValueError(
                f"CX_MIN_ISR: {self.min_isr} of {self.replication} replicas (CX_REPLICATION) can never be in sync"
            )
        return self

    @model_validator(mode="after")
    def _kafka_can_be_reached_as_said(self) -> Self:
        for address in self.brokers.split(","):
            if not _ADDRESS.fullmatch(address.strip()):
                raise ValueError(
                    f"CX_BROKERS: {address.strip()[:80]!r} is no address: host:port, several with commas"
                )
        if (self.sasl_username is None) != (self.sasl_password is None):
            raise ValueError("CX_SASL_USERNAME and CX_SASL_PASSWORD: set both or neither")
        secret = self.sasl_password is not None or self.oauth_client_secret is not None
        if secret and self.security_protocol != "SASL_SSL":
            raise ValueError("CX_SECURITY_PROTOCOL: a password needs SASL_SSL, it would travel in the clear")
        if self.security_protocol == "SASL_SSL":
            self._has_what_its_mechanism_needs()
        if self.security_protocol == "PLAINTEXT":
            for name in ("ssl_ca", "ssl_cert", "ssl_key"):
                if getattr(self, name) is not None:
                    raise ValueError(f"CX_{name.upper()}: CX_SECURITY_PROTOCOL=PLAINTEXT makes no use of it")
        if self.ssl_cert is None and self.ssl_key is not None:
            raise ValueError("CX_SSL_KEY: a key needs its certificate (CX_SSL_CERT)")
        self.tls()
        self.oauth_tls()
        return self

    def _has_what_its_mechanism_needs(self) -> None:
        if self.sasl_mechanism == "OAUTHBEARER":
            for name in ("oauth_url", "oauth_client_id", "oauth_client_secret"):
                if getattr(self, name) is None:
                    raise ValueError(f"CX_{name.upper()}: is not set; CX_SASL_MECHANISM=OAUTHBEARER needs it")
        elif self.sasl_username is None:
            raise ValueError(
                f"CX_SASL_USERNAME: is not set; CX_SASL_MECHANISM={self.sasl_mechanism} needs it and "
                "CX_SASL_PASSWORD"
            )

    def tls(self) -> ssl.SSLContext | None:
        """A context for the brokers; None where they are spoken to in plain text.

        Raises:
            ValueError: a file cannot be used.
        """
        if self.security_protocol == "PLAINTEXT":
            return None
        password = self.ssl_key_password.get_secret_value() if self.ssl_key_password is not None else None
        names = ("CX_SSL_CA", "CX_SSL_CERT", "CX_SSL_KEY")
        return client_context(self.ssl_ca, self.ssl_cert, self.ssl_key, password, names=names)

    def oauth_tls(self) -> ssl.SSLContext | None:
        """A context for the token endpoint; None where there is none.

        Raises:
            ValueError: a file cannot be used.
        """
        if self.oauth_url is None:
            return None
        return client_context(self.oauth_ca, names=("CX_OAUTH_CA", "", ""))

    @model_validator(mode="after")
    def _tables_have_a_place(self) -> Self:
        if self.store == "rocksdb" and self.data_dir is None:
            raise ValueError(
                "CX_DATA_DIR: is not set; CX_STORE=rocksdb needs a directory on a local disk, of this worker alone"
            )
        if self.store == "rocksdb" and self.app_id in {".", ".."}:
            raise ValueError(
                f"CX_APP_ID: {self.app_id!r} is no name for a directory; CX_STORE=rocksdb needs one"
            )
        return self

    @model_validator(mode="after")
    def _profiles_are_kept_as_said(self) -> Self:
        for name, text in (("EVERY", self.profile_every), ("REFRESH", self.profile_refresh)):
            if not _WINDOW.fullmatch(text) or _ms(text) > _LONGEST_MS:
                raise ValueError(
                    f"CX_PROFILE_{name}: {text!r} is no time between profiles: a number and one of s, m, h, d, "
                    "like 10s, at most 366d"
                )
        if self.profile_refresh_ms < self.profile_every_ms:
            raise ValueError(
                f"CX_PROFILE_REFRESH: {self.profile_refresh} is shorter than CX_PROFILE_EVERY, "
                f"{self.profile_every}"
            )
        if len(self.attributes_kept) > _MOST_ATTRIBUTES:
            raise ValueError(
                f"CX_PROFILE_ATTRIBUTES: {len(self.attributes_kept)} names; at most {_MOST_ATTRIBUTES} are kept"
            )
        return self

    @model_validator(mode="after")
    def _redis_can_be_reached_as_said(self) -> Self:
        if self.redis_key is not None and self.redis_cert is None:
            raise ValueError("CX_REDIS_KEY: a key without a certificate, CX_REDIS_CERT")
        if self.redis_ca is not None or self.redis_cert is not None:
            names = ("CX_REDIS_CA", "CX_REDIS_CERT", "CX_REDIS_KEY")
            client_context(self.redis_ca, self.redis_cert, self.redis_key, names=names)
            url = "" if self.redis_url is None else self.redis_url.get_secret_value()
            if not url.startswith("rediss://"):
                given = "CX_REDIS_CERT" if self.redis_ca is None else "CX_REDIS_CA"
                raise ValueError(f"{given}: is only used with rediss:// in CX_REDIS_URL")
        return self

    @model_validator(mode="after")
    def _models_are_fitted_in_time(self) -> Self:
        text = self.models_every
        if text != "0" and not (
            _WINDOW.fullmatch(text) and _UNITS_MS["h"] <= self.models_every_ms <= 10 * _LONGEST_MS
        ):
            raise ValueError(
                f"CX_MODELS_EVERY: {text!r} is no time between fits: a number and one of h, d, like 7d, "
                "from 1h to 3660d; or 0"
            )
        return self

    @model_validator(mode="after")
    def _churn_can_be_learned(self) -> Self:
        text = self.churn_horizon
        if not (_WINDOW.fullmatch(text) and _UNITS_MS["d"] <= self.churn_horizon_ms <= 10 * _LONGEST_MS):
            raise ValueError(
                f"CX_CHURN_HORIZON: {text!r} is no time to foresee: a number and one of h, d, like 28d, "
                "from 1d to 3660d"
            )
        return self

    @property
    def retention(self) -> Retention:
        """How long Kafka keeps what names people."""
        return Retention(
            _ms(self.retention_inputs), _ms(self.retention_alerts), _ms(self.retention_deadletters)
        )

    @model_validator(mode="after")
    def _records_are_kept_for_some_time(self) -> Self:
        for name in ("inputs", "alerts", "deadletters"):
            text: str = getattr(self, f"retention_{name}")
            if not _WINDOW.fullmatch(text) or not _UNITS_MS["m"] <= _ms(text) <= 10 * _LONGEST_MS:
                raise ValueError(
                    f"CX_RETENTION_{name.upper()}: {text!r} is no time to keep records: "
                    "a number and one of s, m, h, d, like 7d, from 1m to 3660d"
                )
        return self

    @model_validator(mode="after")
    def _windows_are_some(self) -> Self:
        shorter = 0
        for name in self.window_names:
            if not _WINDOW.fullmatch(name):
                raise ValueError(
                    f"CX_WINDOWS: {name!r} is no window: a number and one of s, m, h, d, like 24h"
                )
            length_ms = int(name[:-1]) * _UNITS_MS[name[-1]]
            if length_ms % self.pane_ms:
                raise ValueError(f"CX_WINDOWS: {name} is not made of panes of {self.pane_ms} ms (CX_PANE_MS)")
            if length_ms <= shorter:
                raise ValueError(f"CX_WINDOWS: {name} must be longer than the window before it")
            if length_ms > _LONGEST_MS:
                raise ValueError(f"CX_WINDOWS: {name} is longer than a year")
            shorter = length_ms
        return self


def _ms(text: str) -> int:
    """A duration in milliseconds, as the validators let it through."""
    return int(text[:-1]) * _UNITS_MS[text[-1]]
