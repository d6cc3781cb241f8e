"""A delivery file, typed: receivers with their targets, and the tree of routes. Times are in milliseconds."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING, Final, Literal

if TYPE_CHECKING:
    from ipaddress import IPv4Network, IPv6Network

    from stream.alerting.hygiene import Matcher

TIMEOUT_MS: Final = 10_000
RESEND_MS: Final = 60_000
HOLD_MS: Final = 15 * 60_000
GIVE_UP_MS: Final = 24 * 3_600_000


class Kind(StrEnum):
    """What a target speaks."""

    WEBHOOK = "webhook"
    SLACK = "slack"
    TEAMS = "msteams"
    EMAIL = "email"
    ALERTMANAGER = "alertmanager"


@dataclass(frozen=True, slots=True)
class Given:
    """A value of the file, or where it is: a secret itself is in none of these objects.

    ``value`` is the text, the name of a variable, or a path. It is not in the repr: an address may hold a token.
    """

    kind: Literal["text", "env", "file"]
    value: str = field(repr=False)

    def __str__(self) -> str:
        return "the file" if self.kind == "text" else f"{self.kind} {self.value}"


@dataclass(frozen=True, slots=True)
class Http:
    """How a target is spoken to, beyond its address: of ``http_config``."""

    scheme: str = "Bearer"
    credentials: Given | None = None
    username: str | None = None
    password: Given | None = None
    ca_file: str | None = None
    cert_file: str | None = None
    key_file: str | None = None


@dataclass(frozen=True, slots=True)
class Mail:
    """Where mail goes, and by whom. ``require_tls``: nothing is said before STARTTLS; port 465 begins with TLS."""

    to: tuple[str, ...]
    sender: str
    host: str
    port: int
    require_tls: bool = True
    username: str | None = None
    password: Given | None = None
    ca_file: str | None = None


@dataclass(frozen=True, slots=True)
class Target:
    """One place that alerts are sent to. ``key`` names it everywhere: ``care/slack``.

    Attributes:
        key: the receiver's name and what it speaks; a number where it has several of a kind.
        secrets: webhooks: what signs, one or more, the newest first.
        send_resolved: also that an alert is over.
        hold_out: also alerts on which nothing is to be done, so as to compare.
        resend_ms: Alertmanager: firing alerts are pushed again so often.
        hold_ms: Alertmanager: an alert that is not pushed again is over after so long.
    """

    key: str
    receiver: str
    kind: Kind
    url: Given | None = None
    secrets: Given | None = None
    http: Http = Http()
    mail: Mail | None = None
    send_resolved: bool = True
    hold_out: bool = False
    timeout_ms: int = TIMEOUT_MS
    resend_ms: int = RESEND_MS
    hold_ms: int = HOLD_MS
    line: int = field(default=0, compare=False)


@dataclass(frozen=True, slots=True)
class Route:
    """A node of the tree. What matches goes down to the first child that matches, and on if it ``continues``."""

    receiver: str
    matchers: tuple[Matcher, ...] = ()
    continues: bool = False
    routes: tuple[Route, ...] = ()
    line: int = field(default=0, compare=False)


@dataclass(frozen=True, slots=True)
class DeliveryPlan:
    """A whole delivery file.

    Attributes:
        filename: as messages name it.
        route: the root.
        receivers: targets by the receiver's name; none: what goes there is not sent.
        give_up_ms: what could not be delivered for so long is parked.
        stale_ms: alerts of longer ago, in event time, are not sent; None: all are.
        allowed: private addresses that may be connected to.
    """

    filename: str
    route: Route
    receivers: dict[str, tuple[Target, ...]]
    give_up_ms: int = GIVE_UP_MS
    stale_ms: int | None = None
    allowed: tuple[IPv4Network | IPv6Network, ...] = ()

    @property
    def targets(self) -> dict[str, Target]:
        """Every target by its key, in the order of the file."""
        return {target.key: target for targets in self.receivers.values() for target in targets}
