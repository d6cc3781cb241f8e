"""Annotation texts with ``{placeholders}``: substitution of known names and nothing else.

No attribute access, no indexing, no format specs, no nesting, so a template can reach only the values
it is handed. ``{{`` and ``}}`` stand for the braces themselves.

A text is in a language: its numbers are in that language's format (Unicode CLDR, as babel has it), and a value
may be a function of the language. In a link values are percent-encoded, numbers plain.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Final
from urllib.parse import quote

from babel import Locale, UnknownLocaleError
from babel.numbers import format_decimal

if TYPE_CHECKING:
    from collections.abc import Container, Mapping

Plain = str | int | float | bool | None
Value = Plain | Callable[[str], Plain]
"""What a placeholder stands for; a function is called with the text's language, such as ``it`` or ``pt_BR``."""

ENGLISH: Final = "en"

_PIECE: Final = re.compile(r"\{\{|\}\}|\{([^{}]*)\}|\{|\}")
_NAME: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_]*(?:\.[A-Za-z_][A-Za-z0-9_]*)?", re.ASCII)

# Nothing that is no code gets as far as looking for its data.
_LANGUAGE: Final = re.compile(r"[a-z]{2,3}(?:_[A-Z][a-z]{3})?(?:_[A-Z]{2}|_\d{3})?", re.ASCII)

MISSING: Final = "unknown"


class TemplateError(ValueError):
    """The template does not parse, or names what is not there. ``name``: the unknown placeholder."""

    def __init__(self, problem: str, name: str | None = None) -> None:
        super().__init__(problem)
        self.name = name


@dataclass(frozen=True, slots=True)
class Template:
    """A parsed text: literal pieces at even places, placeholder names at odd ones.

    Attributes:
        language: Of its numbers, and of values that know languages.
        link: It is an address: values are percent-encoded, in a form that does not depend on the language.
    """

    pieces: tuple[str, ...]
    language: str = ENGLISH
    link: bool = False

    @property
    def names(self) -> tuple[str, ...]:
        """The placeholders, in order of appearance."""
        return self.pieces[1::2]

    def render(self, values: Mapping[str, Value]) -> str:
        """The text with every placeholder replaced; an absent or None value reads ``unknown``."""
        pieces = self.pieces
        if len(pieces) == 1:
            return pieces[0]
        return "".join(self._shown(values.get(piece)) if at % 2 else piece for at, piece in enumerate(pieces))

    def _shown(self, value: Value) -> str:
        if callable(value):
            value = value(self.language)
        return quote(show(value, ""), safe="") if self.link else show(value, self.language)


def parse_template(
    text: str, known: Container[str], *, language: str = ENGLISH, link: bool = False
) -> Template:
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
    return Template(tuple(pieces), language, link)


def show(value: Plain, language: str = ENGLISH) -> str:
    """A value as people read it: at most two decimals, no trailing zeros, None as ``unknown``.

    Numbers are as ``language`` writes them (``1,234.5``, ``1.234,5``); with "" plain digits and a dot.
    """
    if value is None:
        return MISSING
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, str):
        return value
    if not math.isfinite(value):
        return MISSING
    text = f"{value:.2f}".rstrip("0").rstrip(".") if isinstance(value, float) else str(value)
    if text == "-0":
        text = "0"
    return format_decimal(text, locale=_locale(language)) if language else text


def is_language(code: str) -> bool:
    """Whether there is a language of this code: ``it``, ``pt_BR``."""
    if not _LANGUAGE.fullmatch(code):
        return False
    try:
        return str(_locale(code)) == code
    except (UnknownLocaleError, ValueError):
        return False


@lru_cache(maxsize=64)
def _locale(code: str) -> Locale:
    return Locale.parse(code)
