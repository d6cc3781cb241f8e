"""What really happened, as somebody wrote it down: incidents, and what came of single alerts."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, Final

from pydantic import BaseModel, BeforeValidator, ConfigDict, ValidationError

from schemas.times import Time, to_ms

if TYPE_CHECKING:
    from collections.abc import Iterable

#: Outcomes of actions that say an alert was worth it, and that it was not; others say neither.
USEFUL: Final = frozenset({"useful", "customer_kept"})
USELESS: Final = frozenset({"not_useful", "false_alarm"})


class BadOutcome(ValueError):  # noqa: N818 - what is wrong is the line
    """A line of an outcomes file is neither an incident nor an action."""


def _listed(value: Any) -> Any:
    return (value,) if isinstance(value, str) else value


Names = Annotated[tuple[str, ...], BeforeValidator(_listed)]


class Incident(BaseModel):
    """Something that went wrong from one moment to another, and should have been told.

    Attributes:
        name: in words.
        starts_at: its beginning.
        ends_at: its end; None: it still goes on.
        where: dimensions and values of what it touched; an alert on anything else is not about it.
        alert: names of the rules that should tell of it; (): any whose metric and slice fit.
        metric: metrics that it shows in; (): any.
    """

    model_config = ConfigDict(frozen=True, extra="ignore")

    name: str | None = None
    starts_at: Time
    ends_at: Time | None = None
    where: dict[str, str] = {}
    alert: Names = ()
    metric: Names = ()

    @property
    def starts_at_ms(self) -> int:
        """Epoch milliseconds."""
        return to_ms(self.starts_at)

    @property
    def ends_at_ms(self) -> int | None:
        """Epoch milliseconds; None: it still goes on."""
        return None if self.ends_at is None else to_ms(self.ends_at)


class Judgement(BaseModel):
    """What somebody made of one alert: the fields of a ``cx.actions`` record that matter here."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    fingerprint: str
    outcome: str | None = None
    status: str | None = None
    alert_id: str | None = None
    at: Time | None = None

    @property
    def useful(self) -> bool | None:
        """Whether the alert was worth it; None: it does not say."""
        if self.outcome in USEFUL:
            return True
        return False if self.outcome in USELESS or (self.outcome is None and self.dismissed) else None

    @property
    def dismissed(self) -> bool:
        """Whether nothing was done about it."""
        return self.status == "dismissed"

    @property
    def at_ms(self) -> int | None:
        """When it was said, epoch milliseconds; None: unknown."""
        return None if self.at is None else to_ms(self.at)


def read_outcomes(lines: Iterable[bytes]) -> tuple[list[Incident], list[Judgement]]:
    """Read lines of NDJSON; blank ones are passed over.

    Raises:
        BadOutcome: a line is neither, with its number from 1 and the field.
    """
    incidents: list[Incident] = []
    judgements: list[Judgement] = []
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        try:
            if b'"fingerprint"' in line:
                judgements.append(Judgement.model_validate_json(line))
            else:
                incidents.append(Incident.model_validate_json(line))
        except ValidationError as error:
            first = error.errors()[0]
            field = ".".join(str(part) for part in first["loc"]) or "$"
            raise BadOutcome(f"{number}: {field}: {first['msg']}") from None
        if (
            incidents
            and incidents[-1].ends_at is not None
            and incidents[-1].ends_at <= incidents[-1].starts_at
        ):
            raise BadOutcome(f"{number}: ends_at: must be after starts_at")
    return incidents, judgements
