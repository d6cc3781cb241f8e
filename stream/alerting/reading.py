"""Reads typed values out of YAML nodes; whatever is wrong becomes one RuleError naming its place."""

from __future__ import annotations

import difflib
import math
import re
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final, TypeVar

from stream.alerting.durations import MAX_MS, parse_duration
from stream.alerting.nodes import Map, Node, Scalar, Seq, shown

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

_INTEGER: Final = re.compile(r"[-+]?(?:0|[1-9]\d{0,17})", re.ASCII)
_FLOAT: Final = re.compile(r"[-+]?(?:\d{1,40}\.\d{0,40}|\.\d{1,40}|\d{1,40})(?:[eE][-+]?\d{1,4})?", re.ASCII)
_NULLS: Final = frozenset({"", "~", "null", "Null", "NULL"})
_BOOLS: Final = {"true": True, "True": True, "TRUE": True, "false": False, "False": False, "FALSE": False}

_T = TypeVar("_T", bound=str)


class RuleError(ValueError):
    """A rules file is wrong: where exactly, in what, and what to do about it.

    ``line`` counts from 1; ``rule`` is the alert's name where it is known; ``field`` is a path such as
    ``when.score``. The text reads ``rules.yml:14: rule 'NpsLow': below: ...``.
    """

    def __init__(self, file: str, line: int, rule: str | None, field: str, problem: str) -> None:
        super().__init__(file, line, rule, field, problem)
        self.file = file
        self.line = line
        self.rule = rule
        self.field = field
        self.problem = problem

    def __str__(self) -> str:
        who = f"rule {shown(self.rule)}: " if self.rule is not None else ""
        what = f"{self.field}: " if self.field else ""
        return f"{self.file}:{self.line}: {who}{what}{self.problem}"


def suggest(word: str, known: Iterable[str]) -> str:
    """``; did you mean 'below'?`` where something near is known, else the list of what is."""
    options = sorted(known)
    near = difflib.get_close_matches(word[:64], options, n=1, cutoff=0.6)
    if near:
        return f"; did you mean {near[0]!r}?"
    return f"; one of: {', '.join(options)}" if options else ""


@dataclass(frozen=True, slots=True)
class Place:
    """A node of the file, and the way to it. The reading methods raise RuleError."""

    file: str
    rule: str | None
    path: str
    node: Node
    at: int  # the line of the key that leads here: where "missing" is reported

    @property
    def line(self) -> int:
        """The line an error about this value names."""
        return self.node.line if isinstance(self.node, Scalar) and self.node.text else self.at

    def error(self, problem: str) -> RuleError:
        """An error about this value."""
        return RuleError(self.file, self.line, self.rule, self.path, problem)

    def missing(self, name: str, problem: str = "missing") -> RuleError:
        """An error about a field that is not there."""
        return RuleError(self.file, self.at, self.rule, self._path(name), problem)

    def _path(self, name: str) -> str:
        return f"{self.path}.{name}" if self.path else name

    def named(self, rule: str | None) -> Place:
        """The same place, as the root of a rule."""
        return replace(self, rule=rule, path="")

    def member(self, name: str) -> Place | None:
        """One field, without a look at the others."""
        found = self.node.items.get(name) if isinstance(self.node, Map) else None
        return None if found is None else Place(self.file, self.rule, self._path(name), found[1], found[0])

    def mapping(
        self, known: Iterable[str] | None, refused: Mapping[str, str] | None = None, what: str = "a mapping"
    ) -> dict[str, Place]:
        """The fields here. Names outside ``known`` are refused, those in ``refused`` with its text."""
        node = self.node
        if not isinstance(node, Map):
            raise self.error(f"must be {what} (field: value), not {_kind(node)}")
        for name, line in node.twice[:1]:
            problem = f"is given twice (first on line {node.items[name][0]})"
            raise RuleError(self.file, line, self.rule, self._path(_printable(name)), problem)
        allowed = None if known is None else frozenset(known)
        fields = {}
        for name, (line, value) in node.items.items():
            printable = _printable(name)
            if refused is not None and name in refused:
                raise RuleError(self.file, line, self.rule, self._path(printable), refused[name])
            if allowed is not None and name not in allowed:
                problem = "unknown field" + suggest(name, allowed)
                raise RuleError(self.file, line, self.rule, self._path(printable), problem)
            fields[name] = Place(self.file, self.rule, self._path(printable), value, line)
        return fields

    def items(self, what: str = "a list") -> list[Place]:
        """The members of a list."""
        node = self.node
        if not isinstance(node, Seq):
            raise self.error(f"must be {what}, not {_kind(node)}")
        return [
            replace(self, path=f"{self.path}[{i}]", node=item, at=item.line)
            for i, item in enumerate(node.items)
        ]

    @property
    def is_scalar(self) -> bool:
        """A word, number or text."""
        return isinstance(self.node, Scalar)

    @property
    def is_list(self) -> bool:
        """A list, of anything."""
        return isinstance(self.node, Seq)

    @property
    def is_empty(self) -> bool:
        """Nothing, null, or an empty list or mapping."""
        node = self.node
        return not node.items if isinstance(node, Seq | Map) else node.plain and node.text in _NULLS

    def scalar(self) -> str | int | float | bool:
        """A value of the type it is written in; quoted ones are text."""
        node = self._scalar("a single value")
        if node.plain:
            if node.text in _BOOLS:
                return _BOOLS[node.text]
            if _INTEGER.fullmatch(node.text) or _FLOAT.fullmatch(node.text):
                return self.number()
        return node.text

    def _scalar(self, what: str) -> Scalar:
        node = self.node
        if not isinstance(node, Scalar):
            raise self.error(f"must be {what}, not {_kind(node)}")
        if node.plain and node.text in _NULLS:
            raise self.error(f"must be {what}, but nothing is given")
        return node

    def text(self, limit: int = 128, *, what: str = "text") -> str:
        """Text of 1 to ``limit`` characters. A bare number or true/false is refused: quote it."""
        node = self._scalar(what)
        if node.plain and (node.text in _BOOLS or _FLOAT.fullmatch(node.text)):
            raise self.error(f'must be {what}; if {node.text} is meant as text, quote it: "{node.text}"')
        if not 1 <= len(node.text) <= limit:
            raise self.error(f"must have 1 to {limit} characters, has {len(node.text)}")
        return node.text

    def number(self) -> int | float:
        """A finite number, whole ones as int."""
        node = self._scalar("a number")
        if node.plain and _INTEGER.fullmatch(node.text):
            return int(node.text)
        if node.plain and _FLOAT.fullmatch(node.text) and math.isfinite(value := float(node.text)):
            return value
        raise self.error(f"must be a number, not {shown(node.text)}")

    def integer(self, least: int, most: int) -> int:
        """A whole number within bounds."""
        value = self.number()
        if not isinstance(value, int):
            raise self.error(f"must be a whole number, not {value}")
        if not least <= value <= most:
            raise self.error(f"must be between {least} and {most}, not {value}")
        return value

    def boolean(self) -> bool:
        """True or false."""
        node = self._scalar("true or false")
        if not node.plain or node.text not in _BOOLS:
            raise self.error(f"must be true or false, not {shown(node.text)}")
        return _BOOLS[node.text]

    def duration(self, *, least: int = 0) -> int:
        """A duration in milliseconds."""
        node = self._scalar("a duration such as 90s, 5m, 1h or 7d")
        value = parse_duration(node.text)
        if value is None:
            problem = f"must be a duration such as 90s, 5m, 1h or 7d, not {shown(node.text)}"
            raise self.error(problem + ("; it lacks its unit" if _INTEGER.fullmatch(node.text) else ""))
        if value > MAX_MS:
            raise self.error(f"{shown(node.text)} is longer than a year")
        if value < least:
            raise self.error("must be longer than nothing")
        return value

    def choice(self, options: Iterable[_T], what: str, later: Mapping[str, str] | None = None) -> _T:
        """One of ``options``; those in ``later`` are refused with its text."""
        node = self._scalar(f"a {what}")
        if later is not None and node.text in later:
            raise self.error(later[node.text])
        known = {str(option): option for option in options}
        if node.text not in known:
            raise self.error(f"unknown {what} {shown(node.text)}" + suggest(node.text, known))
        return known[node.text]


def _printable(name: str) -> str:
    """A key may hold anything at all; what is shown of it must fit on one line."""
    return name if name.isprintable() and len(name) <= 60 else shown(name)  # noqa: PLR2004


def _kind(node: Node) -> str:
    if isinstance(node, Map):
        return "a mapping"
    if isinstance(node, Seq):
        return "a list"
    return "nothing" if node.plain and node.text in _NULLS else shown(node.text)
