"""Annotation texts with ``{placeholders}``: substitution of known names and nothing else.

No attribute access, no indexing, no format specs, no nesting, so a template can reach only the values
it is handed. ``{{`` and ``}}`` stand for the braces themselves.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Container, Mapping

Value = str | int | float | bool | None

_PIECE: Final = re.compile(r"\{\{|\}\}|\{([^{}]*)\}|\{|\}")
_NAME: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_]*(?:\.[A-Za-z_][A-Za-z0-9_]*)?", re.ASCII)

MISSING: Final = "unknown"


class TemplateError(ValueError):
    """The template does not parse, or names what is not there. ``name``: the unknown placeholder."""

    def __init__(self, problem: str, name: str | None = None) -> None:
        super().__init__(problem)
        self.name = name


@dataclass(frozen=True, slots=True)
class Template:
    """A parsed text: literal pieces at even places, placeholder names at odd ones."""

    pieces: tuple[str, ...]

    @property
    def names(self) -> tuple[str, ...]:
        """The placeholders, in order of appearance."""
        return self.pieces[1::2]

    def render(self, values: Mapping[str, Value]) -> str:
        """The text with every placeholder replaced; an absent or None value reads ``unknown``."""
        pieces = self.pieces
        if len(pieces) == 1:
            return pieces[0]
        return "".join(show(values.get(piece)) if at % 2 else piece for at, piece in enumerate(pieces))


def parse_template(text: str, known: Container[str]) -> Template:
    """Parse ``text``; every placeholder must be in ``known``.

    Raises:
        TemplateError: a lone brace, a format spec or attribute access, or an unknown name.
    """
    pieces = [""]
    at = 0
    for match in _PIECE.finditer(text):
        pieces[-1] += text[at : match.start()]
        at = match.end()
        whole, name = match.group(0), match.group(1)
        if whole in ("{{", "}}"):
            pieces[-1] += whole[0]
        elif name is None:
            raise TemplateError(f"a lone {whole!r}; write {whole * 2!r} for the brace itself")
        elif name in known:
            pieces += [name, ""]
        elif _NAME.fullmatch(name):
            raise TemplateError(f"unknown placeholder {{{name[:60]}}}", name)
        else:
            raise TemplateError(
                "a placeholder is a plain name in braces, such as {value}: no formats, no code"
            )
    pieces[-1] += text[at:]
    return Template(tuple(pieces))


def show(value: Value) -> str:
    """A value as people read it: at most two decimals, no trailing zeros, None as ``unknown``."""
    if value is None:
        return MISSING
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        if not math.isfinite(value):
            return MISSING
        text = f"{value:.2f}".rstrip("0").rstrip(".")
        return "0" if text == "-0" else text
    return str(value)
