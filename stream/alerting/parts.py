"""The parts of a rule that several kinds share: groupings, labels, annotations, actions."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from stream.alerting.model import STAGES, ActionSpec, Severity
from stream.alerting.reading import Place, suggest
from stream.alerting.templates import Template, TemplateError, parse_template
from stream.measures.slices import DIMENSIONS

if TYPE_CHECKING:
    from collections.abc import Collection

NOT_YET: Final = "not available in this version"

_LABEL: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,63}", re.ASCII)
_RESERVED: Final = frozenset({"alert", "alertname", "severity", "customer", "state"})
_TEXT: Final = 2_000


@dataclass(frozen=True, slots=True)
class Limits:
    """What a rule may refer to: the windows kept, the customer signals there are (None: any), the metrics."""

    windows: tuple[str, ...]
    signals: frozenset[str] | None
    confidence: float
    metrics: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Common:
    """What every kind of rule may say about the alerts it makes."""

    severity: Severity
    labels: tuple[tuple[str, str], ...]
    annotations: tuple[tuple[str, Template], ...]
    action: ActionSpec | None
    cooldown_ms: int


COMMON_FIELDS: Final = ("severity", "labels", "annotations", "action", "cooldown")


def common(fields: dict[str, Place], placeholders: Collection[str]) -> Common:
    """The shared fields of a rule; annotations may name ``placeholders`` and the rule's own labels."""
    labels = _labels(fields["labels"]) if "labels" in fields else ()
    known = frozenset(placeholders) | {name for name, _ in labels}
    return Common(
        severity=fields["severity"].choice(Severity, "severity")
        if "severity" in fields
        else Severity.WARNING,
        labels=labels,
        annotations=_annotations(fields["annotations"], known) if "annotations" in fields else (),
        action=_action(fields["action"]) if "action" in fields else None,
        cooldown_ms=fields["cooldown"].duration() if "cooldown" in fields else 0,
    )


def grouping_of(place: Place) -> tuple[str, ...]:
    """A list of dimensions, as written; each once."""
    names: list[str] = []
    for item in place.items("a list of dimensions such as [segment]"):
        name = item.choice(DIMENSIONS, "dimension")
        if name in names:
            raise item.error(f"{name} is named twice")
        names.append(name)
    return tuple(names)


def where_of(place: Place) -> tuple[tuple[str, str], ...]:
    """``{dimension: value}``, sorted."""
    found = {}
    for name, value in place.mapping(DIMENSIONS).items():
        text = value.text(what="one value as text")
        if name == "stage" and text not in STAGES:
            raise value.error(f"unknown stage {text!r}" + suggest(text, STAGES))
        found[name] = text
    return tuple(sorted(found.items()))


def confidence_of(place: Place) -> float:
    """A confidence above a half and below 1."""
    value = place.number()
    if not 0.5 < value < 1:  # noqa: PLR2004 - half or less is no confidence
        hint = f"; did you mean {value / 100:g}?" if 50 < value < 100 else ""  # noqa: PLR2004
        raise place.error(f"must be above 0.5 and below 1, not {value}{hint}")
    return value


def _labels(place: Place) -> tuple[tuple[str, str], ...]:
    found = {}
    for name, value in place.mapping(None, what="a mapping of labels").items():
        if not _LABEL.fullmatch(name):
            raise value.error(
                "a label's name has letters, digits and _ only, and starts with none of the digits"
            )
        if name in DIMENSIONS:
            raise value.error("would hide the slice's own label of this name; call it otherwise")
        if name in _RESERVED:
            raise value.error("this label is set by cx-pulse; call it otherwise")
        text = value.text(what="text")
        if "{" in text:
            raise value.error(
                "a label is part of the alert's identity and takes no placeholders; use annotations"
            )
        found[name] = text
    return tuple(sorted(found.items()))


def _annotations(place: Place, known: frozenset[str]) -> tuple[tuple[str, Template], ...]:
    found = []
    for name, value in place.mapping(None, what="a mapping of texts").items():
        if not _LABEL.fullmatch(name):
            raise value.error("an annotation's name has letters, digits and _ only")
        try:
            found.append((name, parse_template(value.text(_TEXT), known)))
        except TemplateError as wrong:
            hint = suggest(wrong.name, known) if wrong.name is not None else ""
            raise value.error(f"{wrong}{hint}") from None
    return tuple(found)


def _action(place: Place) -> ActionSpec:
    fields = place.mapping(("type", "owner", "within"), what="an action")
    if "type" not in fields:
        raise place.missing("type", "missing; what is to be done, such as callback")
    return ActionSpec(
        type=fields["type"].text(),
        owner=fields["owner"].text() if "owner" in fields else None,
        within_ms=fields["within"].duration(least=1) if "within" in fields else None,
    )
