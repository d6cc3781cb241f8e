"""The parts of a rule that several kinds share: groupings, labels, annotations, actions."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, TypedDict

from stream.alerting.hygiene import Limit
from stream.alerting.model import STAGES, ActionSpec, Severity
from stream.alerting.reading import Place, suggest
from stream.alerting.templates import ENGLISH, Template, TemplateError, is_language, parse_template
from stream.measures.slices import DIMENSIONS

if TYPE_CHECKING:
    from collections.abc import Collection

    from stream.alerting.model import Texts

LABEL: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,63}", re.ASCII)
_RESERVED: Final = frozenset({"alert", "alertname", "severity", "customer", "state"})
_TEXT: Final = 2_000
_MOST_TEXTS: Final = 20
# Scheme and host are written out: no value of an event says where a link leads.
_ADDRESS: Final = re.compile(r"https?://[A-Za-z0-9.:\[\]_-]+(?:[/?#][^{}]*)?", re.ASCII)


@dataclass(frozen=True, slots=True)
class Limits:
    """What a rule may refer to, and what holds where it is silent.

    Attributes:
        windows: Those that are published, shortest first.
        signals: Of customers; None: any.
        pane_ms: Windows are made of panes of this length.
        language: Of texts that do not say theirs.
        renotify_ms: How often a firing alert is told again; 0: never.
    """

    windows: tuple[str, ...]
    signals: frozenset[str] | None
    confidence: float
    metrics: tuple[str, ...]
    pane_ms: int = 10_000
    language: str = ENGLISH
    renotify_ms: int = 0


class Common(TypedDict):
    """What every kind of rule says about the alerts it makes."""

    alert: str
    group: str
    line: int
    severity: Severity
    labels: tuple[tuple[str, str], ...]
    annotations: Texts
    action: ActionSpec | None
    cooldown_ms: int
    links: Texts
    limit: Limit | None


@dataclass(frozen=True, slots=True)
class Draft:
    """A rule of which only the name has been read, and its group."""

    place: Place
    alert: str
    group: str


COMMON_FIELDS: Final = ("severity", "labels", "annotations", "links", "action", "cooldown", "limit")


def common(draft: Draft, fields: dict[str, Place], placeholders: Collection[str], language: str) -> Common:
    """The shared fields of a rule; annotations and links may name ``placeholders`` and the rule's own labels."""
    labels = _labels(fields["labels"]) if "labels" in fields else ()
    known = frozenset(placeholders) | {name for name, _ in labels}
    return Common(
        alert=draft.alert,
        group=draft.group,
        line=draft.place.line,
        severity=fields["severity"].choice(Severity, "severity")
        if "severity" in fields
        else Severity.WARNING,
        labels=labels,
        annotations=_annotations(fields["annotations"], known, language) if "annotations" in fields else (),
        action=_action(fields["action"]) if "action" in fields else None,
        cooldown_ms=fields["cooldown"].duration() if "cooldown" in fields else 0,
        links=_links(fields["links"], known) if "links" in fields else (),
        limit=limit_of(fields["limit"]) if "limit" in fields else None,
    )


def limit_of(place: Place) -> Limit:
    """``{alerts: 20, per: 1h}``."""
    fields = place.mapping(("alerts", "per"), what="alerts and per")
    for name in ("alerts", "per"):
        if name not in fields:
            raise place.missing(name)
    return Limit(fields["alerts"].integer(1, 1_000_000), fields["per"].duration(least=1))


def language_of(place: Place) -> str:
    """The code of a language."""
    code = place.text(what="a language such as en")
    if not is_language(code):
        raise place.error(f"no language {code!r} is known; its code reads like en, it or pt_BR")
    return code


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
        if not LABEL.fullmatch(name):
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


def _annotations(place: Place, known: frozenset[str], language: str) -> Texts:
    found: dict[str, Template] = {}
    for name, value in place.mapping(None, what="a mapping of texts").items():
        if not LABEL.fullmatch(name):
            raise value.error("an annotation's name has letters, digits and _ only")
        texts = {name: (value, language)} if value.is_scalar else _languages(name, value)
        for called, (text, code) in texts.items():
            if called in found:
                raise text.error(f"there is an annotation {called} already; call one of them otherwise")
            found[called] = _template(text, known, language=code)
    if len(found) > _MOST_TEXTS:
        raise place.error(f"has more than {_MOST_TEXTS} texts")
    return tuple(found.items())


def _languages(name: str, place: Place) -> dict[str, tuple[Place, str]]:
    """Texts of one annotation in several languages, by name: the first has the plain one."""
    texts = place.mapping(None, what="a text, or a mapping of languages to texts")
    if not texts:
        raise place.error("has no text")
    for code, text in texts.items():
        if not is_language(code):
            raise text.error(f"no language {code[:20]!r} is known; its code reads like en, it or pt_BR")
    first, *others = texts
    return {name: (texts[first], first)} | {f"{name}_{code}": (texts[code], code) for code in others}


def _links(place: Place, known: frozenset[str]) -> Texts:
    found = []
    for name, value in place.mapping(None, what="a mapping of names to addresses").items():
        if not LABEL.fullmatch(name):
            raise value.error("a link's name has letters, digits and _ only")
        link = _template(value, known, link=True)
        beginning = link.pieces[0]
        if not _ADDRESS.fullmatch(beginning) or (
            len(link.pieces) > 1 and not re.search(r"[/?#]", beginning[len("https://") :])
        ):
            raise value.error(
                "must begin with http:// or https:// and a host, and placeholders come after it"
            )
        found.append((name, link))
    if len(found) > _MOST_TEXTS:
        raise place.error(f"has more than {_MOST_TEXTS} links")
    return tuple(found)


def _template(
    place: Place, known: frozenset[str], *, language: str = ENGLISH, link: bool = False
) -> Template:
    try:
        return parse_template(place.text(_TEXT), known, language=language, link=link)
    except TemplateError as wrong:
        hint = suggest(wrong.name, known) if wrong.name is not None else ""
        raise place.error(f"{wrong}{hint}") from None


def _action(place: Place) -> ActionSpec:
    fields = place.mapping(("type", "owner", "within"), what="an action")
    if "type" not in fields:
        raise place.missing("type", "missing; what is to be done, such as callback")
    return ActionSpec(
        type=fields["type"].text(),
        owner=fields["owner"].text() if "owner" in fields else None,
        within_ms=fields["within"].duration(least=1) if "within" in fields else None,
    )
