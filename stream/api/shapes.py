"""What the HTTP API takes and answers, beside the wire contracts of ``schemas``: pydantic, for OpenAPI."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from schemas import ActionTaken, Decision, Metrics, Reason
from schemas.alert import AlertEvent, State
from schemas.metrics import Interval
from schemas.record import DimensionName, Number, Text
from schemas.times import Time

RFC3339 = Annotated[str, Field(json_schema_extra={"format": "date-time"})]
"""A moment as the API writes it: in UTC, with a ``Z``."""


class Shape(BaseModel):
    """Base of all answers."""

    model_config = ConfigDict(frozen=True, allow_inf_nan=False)


class Asked(BaseModel):
    """Base of all bodies: what is not known is refused, for a slip of the pen must not pass for nothing."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class ItemError(Shape):
    """What is wrong with one item, field or parameter. No value is repeated."""

    index: int | None = Field(None, ge=0, description="place of the item in the body, from 0")
    field: str | None = Field(None, description="path of the field or name of the parameter")
    reason: str = Field(description="stable code; of events those of cx.deadletters")
    detail: str = Field(description="what is asked for, in words")


class Problem(Shape):
    """RFC 9457: what went wrong, and what to do."""

    type: str = Field(description="address of the kind of problem, in docs/api.md")
    title: str
    status: int
    detail: str | None = None
    errors: list[ItemError] | None = None


# -- metrics -----------------------------------------------------------------------------------------------


class MetricsPage(Shape):
    """The newest values of some slices, in the order of their keys."""

    as_of: RFC3339 | None = Field(description="event time of the newest of them; null where there is none")
    slices: list[Metrics]
    next: str | None = Field(description="the `after` of the next page; null: this is the last")


class Point(Shape):
    """A value at a moment of event time."""

    at: RFC3339
    value: Number | None
    n: int
    interval: Interval | None


class Series(Shape):
    """Final values of one metric of one slice over one window, the oldest first; gaps are left out."""

    metric: str
    window: str
    slice: dict[DimensionName, str]
    points: list[Point]


# -- alerts ------------------------------------------------------------------------------------------------


class AlertRow(Shape):
    """What is known of one alert, told or not."""

    fingerprint: str
    alert: str = Field(description="name of the rule")
    subject: str = Field(description="`nps{segment=vip}`, or `customer:ID`")
    labels: dict[str, str]
    severity: str = Field(description="empty where nothing was told")
    firing: bool = Field(description="told, and not over as far as was told")
    state: State | None = Field(description="of the newest event; null where nothing was told")
    held_back: str | None = Field(description="it fires and is not told: `silenced`, `inhibited`, …")
    headline: str = Field(description="what is so now, in a few words")
    summary: str = Field(description="the rule's own words about the newest event")
    since: RFC3339
    as_of: RFC3339 = Field(description="event time of the newest that is known")
    of_customer: bool
    silences: list[str] = Field(description="ids of the silences that match it now")
    action: ActionTaken | None = Field(description="the newest thing that people did about it")
    event: AlertEvent | None = Field(description="the newest event; null where nothing was told")


class AlertsPage(Shape):
    """Alerts, what fires first, then by severity, the newest first."""

    alerts: list[AlertRow]
    firing: int = Field(description="how many fire, single customers' left out")
    firing_customers: int = Field(description="how many about single customers fire")
    next: str | None = Field(description="the `after` of the next page; null: this is the last")


class AlertEvents(Shape):
    """Events of ``cx.alerts`` as they were told, the newest first."""

    events: list[AlertEvent]
    next: str | None = Field(description="the `before` of the next page; null: there is none")


class AlertDetail(Shape):
    """One alert with all that is known of it."""

    row: AlertRow
    events: list[AlertEvent] = Field(description="the newest, in the order they were told")
    decisions: list[Decision]
    actions: list[ActionTaken]


class Line(Shape):
    """A line of an account: ``why``, and the text."""

    heading: str
    text: str


class Explanation(Shape):
    """Why an alert fired or did not, as ``cx alerts explain`` says it."""

    fingerprint: str
    alert: str
    headline: str
    lines: list[Line]
    rule: list[Line] | None = Field(description="what the rule says; null where it is not known here")
    row: AlertRow
    decisions: list[Decision]
    events: list[AlertEvent]
    actions: list[ActionTaken]


class ActionAsked(Asked):
    """What somebody does about an alert, or what came of it."""

    status: Literal["acknowledged", "started", "done", "dismissed"] = "acknowledged"
    outcome: Annotated[Text, Field(max_length=200)] | None = Field(
        None, description="`useful`, `not_useful`, `customer_kept`, `customer_lost`, …"
    )
    note: Annotated[Text, Field(max_length=10_000)] | None = None
    by: Annotated[Text, Field(min_length=1, max_length=200)] | None = Field(
        None, description="who; without it the name of the API key"
    )


# -- silences ----------------------------------------------------------------------------------------------


class SilenceAsked(Asked):
    """A silence to be. Either ``ends_at`` or ``for`` says how long."""

    matchers: Annotated[
        list[Annotated[str, Field(min_length=1, max_length=2_000)]], Field(min_length=1, max_length=20)
    ] = Field(description='all must hold, as in Alertmanager: `segment="vip"`, `channel=~"chat|web"`')
    starts_at: Time | None = Field(None, description="without it: now")
    ends_at: Time | None = None
    lasts: Annotated[str, Field(max_length=20)] | None = Field(
        None, alias="for", description="`30m`, `2h`, `1d`"
    )
    author: Annotated[Text, Field(min_length=1, max_length=200)] | None = Field(
        None, description="who asks; without it the name of the API key"
    )
    comment: Annotated[Text, Field(min_length=1, max_length=2_000)] = Field(description="why")


class SilenceRow(Shape):
    """A silence."""

    id: str
    matchers: list[str]
    starts_at: RFC3339
    ends_at: RFC3339
    author: str
    comment: str
    state: Literal["active", "pending", "expired"]


class Silences(Shape):
    """Silences of ``cx.silences``, the one that ends first at the top."""

    silences: list[SilenceRow]


# -- customers ---------------------------------------------------------------------------------------------


class TopCustomer(Shape):
    """A customer in the order of value at risk."""

    model_config = ConfigDict(frozen=True, extra="allow", allow_inf_nan=False)

    customer_id: str
    rank: int = Field(ge=1)
    value_at_risk: Number | None = None


class TopCustomers(Shape):
    """Those with the largest value at risk."""

    customers: list[TopCustomer]


class CustomerExport(Shape):
    """All that the customers table holds of a person: the profile, and the state as stored."""

    customer_id: str
    profile: dict[str, Any]
    held: dict[str, Any]


class ErasureAsked(Asked):
    """To forget a person takes the id once more: what is erased does not come back."""

    confirm: str = Field(max_length=256, description="the customer's id, once more")


class ErasureDone(Shape):
    """What an erasure came to. It is noted, and no replay brings the person back."""

    carried_out: bool = Field(description="false: workers have not said so yet; they do it when they start")
    read_model: int | None = Field(description="entries taken out of Redis; null: there is none")
    bytes_until: dict[str, RFC3339 | None] = Field(
        description="topic -> when its bytes are gone at the latest; null: once the broker cleans it, or "
        "`cx customers erase --rewrite`"
    )


# -- rules -------------------------------------------------------------------------------------------------


class RuleRow(Shape):
    """A rule in force, in words."""

    alert: str
    kind: Literal["window", "record", "customer"]
    severity: str
    line: int
    fires_when: str
    over_when: str | None
    about: str = Field(description="which slices or customers")


class RulesVersionRow(Shape):
    """Rules, and the moment of event time from which on they judge."""

    valid_from: RFC3339 | None = Field(description="null: the file that the deployment starts with")
    name: str
    rules: int
    author: str | None = None
    comment: str | None = None
    refused: str | None = Field(None, description="why workers leave this version out")
    in_force: bool


class Rules(Shape):
    """The rules in force, and every version."""

    at: RFC3339
    rules: list[RuleRow]
    versions: list[RulesVersionRow]


class RulesAsked(Asked):
    """A rules file to look at."""

    rules: str = Field(description="YAML, as in docs/rules.md")
    name: Annotated[str, Field(max_length=200)] = Field("rules.yml", description="how messages name it")


class RulesRemark(Shape):
    """What is wrong, or right and yet does nothing."""

    line: int
    rule: str | None
    field: str
    problem: str


class RulesChecked(Shape):
    """Whether workers would take a rules file."""

    ok: bool
    error: RulesRemark | None = Field(description="the first thing wrong")
    warnings: list[RulesRemark]
    window_rules: list[str]
    customer_rules: list[str]
    groupings: list[str]
    windows: list[str]


class BacktestAsked(Asked):
    """Rules and a history: events, and if known what really happened."""

    rules: str = Field(description="YAML, as in docs/rules.md")
    name: Annotated[str, Field(max_length=200)] = Field("rules.yml", description="how messages name it")
    events: str = Field(description="NDJSON, an event a line")
    outcomes: str | None = Field(None, description="NDJSON of incidents and actions: docs/backtest.md")
    grace: Annotated[str, Field(max_length=20)] = Field("10m", description="an alert so long after is right")
    now: Time | None = Field(None, description="the present; events beyond it are too early. Default: now")
    until: Time | None = Field(None, description="up to when time goes on after the last event")


class RuleScore(Shape):
    """What one rule did over the history."""

    rule: str
    alerts: int
    per_day: float
    firing_seconds: float
    open: int
    withdrawn: int
    right: int
    wrong: int
    found: int
    missed: int
    precision: float | None
    recall: float | None
    delay_seconds: float | None


class Backtest(Shape):
    """Which alerts a rules file would have led to."""

    since: RFC3339 | None
    until: RFC3339 | None
    verdicts: dict[str, int] = Field(description="lines by what became of them")
    refused: list[ItemError] = Field(
        description="the first lines that were not taken; `index` is the line, from 0"
    )
    judged: bool = Field(description="whether anything can be said about right and wrong")
    scores: list[RuleScore]
    alerts: list[AlertEvent] = Field(description="in order; the first thousand")
    alerts_in_all: int
    decisions: dict[str, int] = Field(description="how often each reason was given")


# -- ingest ------------------------------------------------------------------------------------------------


class EventError(Shape):
    """Why an event was not taken."""

    index: int = Field(ge=0, description="place of the event in the body, from 0")
    reason: Reason
    detail: str = Field(description="path and rule, no value")


class Ingested(Shape):
    """What became of the events of a request: Kafka has acknowledged those that were accepted."""

    accepted: int
    refused: int
    errors: list[EventError] = Field(description="of the refused, in the order of the body")


class Converted(Shape):
    """What became of a sender's call: Kafka has acknowledged its events."""

    events: int = Field(description="made of it; none where no part of the sender's mapping matches")
    refused: int = Field(description="of these, how many do not fit the contract and become dead letters")


# -- health ------------------------------------------------------------------------------------------------


class Check(Shape):
    """One thing that must be well."""

    ok: bool
    reason: str


class Ready(Shape):
    """Whether this process can answer."""

    ready: bool
    checks: dict[str, Check]


class About(Shape):
    """What serves here, and what the caller may do."""

    name: Literal["cx-pulse"] = "cx-pulse"
    version: str
    key: str | None = Field(description="name of the caller's key; null without one")
    roles: list[Literal["read", "operate", "privacy", "ingest"]]
    windows: list[str]
    metrics: list[str]
    dimensions: list[DimensionName]
