"""The one frozen settings object; every field is a ``CX_*`` environment variable."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated, Final, Literal, Self

from pydantic import Field, SecretStr, model_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

_UNITS_MS: Final = {"s": 1000, "m": 60_000, "h": 3_600_000, "d": 86_400_000}
_WINDOW: Final = re.compile(r"[1-9]\d{0,8}[smhd]", re.ASCII)
_LONGEST_MS: Final = 366 * _UNITS_MS["d"]

Milliseconds = Annotated[int, Field(ge=0)]


class Settings(BaseSettings):
    """What a deployment can set. Durations are in the unit their name says."""

    model_config = SettingsConfigDict(env_prefix="CX_", env_file=".env", frozen=True, extra="ignore")

    app_id: str = Field(
        "cx-pulse", pattern=r"^[a-zA-Z0-9._-]{1,100}$", description="consumer group and changelog prefix"
    )
    brokers: str = Field("localhost:9092", min_length=1, description="comma-separated host:port list")
    partitions: int = Field(4, ge=1, le=1000, description="partitions of the input and output topics")
    replication: int = Field(1, ge=1, le=9, description="replication factor of topics that cx creates")
    security_protocol: Literal["PLAINTEXT", "SSL", "SASL_SSL"] = "PLAINTEXT"
    sasl_username: str | None = None
    sasl_password: SecretStr | None = None
    compression: Literal["none", "gzip", "lz4", "snappy", "zstd"] = Field(
        "none", description="of what cx writes"
    )

    redis_url: SecretStr | None = Field(
        SecretStr("redis://localhost:6379/0"), description="empty: no read model"
    )

    rules: Path | None = Field(None, description="rules file (YAML); none: metrics without alerts")
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

    max_record_bytes: int = Field(64 * 1024, ge=256, description="larger input records are dead letters")
    max_inflight_records: int = Field(
        50_000, ge=1, description="fetched and not yet acknowledged; bounds memory"
    )
    max_batch_records: int = Field(
        5_000, ge=1, description="records of one partition handed to an agent at once"
    )
    commit_interval_ms: int = Field(1_000, ge=50)
    stall_after_ms: int = Field(
        60_000, ge=1000, description="no progress with work waiting for this long: exit"
    )
    provisional_every_ms: int = Field(1_000, ge=100, description="how often provisional values are published")

    http_host: str = Field("127.0.0.1", description="where /metrics and /health listen")
    http_port: int = Field(9464, ge=0, le=65535, description="0: any free port; the log says which")
    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = "INFO"

    @property
    def window_names(self) -> tuple[str, ...]:
        """The windows, one by one."""
        return tuple(name.strip() for name in self.windows.split(","))

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if (5 * 60 * 1000) % self.pane_ms:
            raise ValueError(f"CX_PANE_MS: {self.pane_ms} does not divide 300000 (5 minutes)")
        if (self.sasl_username is None) != (self.sasl_password is None):
            raise ValueError("CX_SASL_USERNAME and CX_SASL_PASSWORD: set both or neither")
        if self.sasl_password is not None and self.security_protocol != "SASL_SSL":
            raise ValueError("CX_SECURITY_PROTOCOL: a password needs SASL_SSL, it would travel in the clear")
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
