"""YAML text -> a tree of nodes that know their lines; refuses what a rules file has no use for.

The tree is built from libyaml's event stream rather than from a loader, so nothing is ever
constructed, expanded or guessed: aliases (and with them the "billion laughs") and tags are refused at
their line, duplicate keys are reported, depth is bounded, and whether a plain word is a number is decided by
whoever reads it. ``on:`` stays a key, ``no`` stays Norway.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import yaml
from yaml import events as ye

if TYPE_CHECKING:
    from collections.abc import Iterator

MAX_BYTES: Final = 1024 * 1024
MAX_DEPTH: Final = 16
TOO_LARGE: Final = "is larger than 1 MiB; split it, or drop what it generates"

_LOADER: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


class NodesError(ValueError):
    """The text is no YAML a rules file may hold; ``line`` counts from 1."""

    def __init__(self, line: int, problem: str) -> None:
        super().__init__(problem)
        self.line = line
        self.problem = problem


@dataclass(frozen=True, slots=True)
class Scalar:
    """A word, number or text. ``plain``: written without quotes, so it may stand for a number."""

    text: str
    plain: bool
    line: int


@dataclass(frozen=True, slots=True)
class Seq:
    """A list."""

    items: tuple[Node, ...]
    line: int


@dataclass(frozen=True, slots=True)
class Map:
    """A mapping with text keys, each with the line it is on. ``twice``: keys given again, and where."""

    items: dict[str, tuple[int, Node]]
    line: int
    twice: tuple[tuple[str, int], ...] = ()


Node = Scalar | Seq | Map


class _Open:
    """A list or mapping whose end has not come yet."""

    __slots__ = ("entries", "is_map", "key", "line", "twice", "values")

    def __init__(self, line: int, *, is_map: bool) -> None:
        self.line = line
        self.is_map = is_map
        self.key: Scalar | None = None
        self.entries: dict[str, tuple[int, Node]] = {}
        self.twice: list[tuple[str, int]] = []
        self.values: list[Node] = []

    def take(self, node: Node) -> None:
        if not self.is_map:
            self.values.append(node)
        elif self.key is not None:
            if self.key.text in self.entries:
                self.twice.append((self.key.text, self.key.line))
            else:
                self.entries[self.key.text] = (self.key.line, node)
            self.key = None
        elif isinstance(node, Scalar):
            self.key = node
        else:
            raise NodesError(node.line, "a key must be a word, not a list or mapping")

    def close(self) -> Node:
        if self.is_map:
            return Map(self.entries, self.line, tuple(self.twice))
        return Seq(tuple(self.values), self.line)


def shown(text: str) -> str:
    """A quoted, printable, shortened form of ``text`` for an error message."""
    return repr(text if len(text) <= 60 else text[:57] + "...")  # noqa: PLR2004 - fits on a line


def parse(text: str) -> Node | None:
    """The one document in ``text``, or None when there is nothing in it.

    Raises:
        NodesError: not YAML, too large (over 1 MiB), too deep, or with aliases, tags or several
            documents.
    """
    if len(text) > MAX_BYTES or len(text.encode("utf-8", "replace")) > MAX_BYTES:
        raise NodesError(1, TOO_LARGE)
    try:
        text.encode("utf-8")
    except UnicodeEncodeError as broken:
        line = text.count("\n", 0, broken.start) + 1
        raise NodesError(line, "holds a character that is not valid Unicode") from None
    try:
        return _build(yaml.parse(text, Loader=_LOADER))
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        what = error.problem or error.context or "not readable"
        raise NodesError(mark.line + 1 if mark else 1, f"not valid YAML: {what}") from None
    except yaml.reader.ReaderError as error:
        at = error.position if isinstance(error.position, int) else 0
        raise NodesError(text.count("\n", 0, at) + 1, "holds a character YAML does not allow") from None
    except yaml.YAMLError:
        raise NodesError(1, "not valid YAML") from None


def _build(stream: Iterator[ye.Event]) -> Node | None:
    stack: list[_Open] = []
    root: Node | None = None
    documents = 0
    for event in stream:
        line = event.start_mark.line + 1 if event.start_mark else 1
        if isinstance(event, ye.DocumentStartEvent):
            documents += 1
            if documents > 1:
                raise NodesError(line, "a second document starts here; a rules file is one document")
        elif isinstance(event, ye.CollectionStartEvent):
            _refuse_tag(event.tag, line)
            if len(stack) >= MAX_DEPTH:
                raise NodesError(line, f"nested deeper than {MAX_DEPTH} levels")
            stack.append(_Open(line, is_map=isinstance(event, ye.MappingStartEvent)))
        elif isinstance(event, ye.NodeEvent | ye.CollectionEndEvent):
            node = stack.pop().close() if isinstance(event, ye.CollectionEndEvent) else _leaf(event, line)
            if stack:
                stack[-1].take(node)
            else:
                root = node
    if isinstance(root, Scalar) and root.plain and not root.text:
        return None
    return root


def _leaf(event: ye.NodeEvent, line: int) -> Scalar:
    if not isinstance(event, ye.ScalarEvent):
        raise NodesError(line, f"the alias {shown('*' + str(event.anchor))} is not read; write it out")
    _refuse_tag(event.tag, line)
    return Scalar(event.value, not event.style and bool(event.implicit[0]), line)


def _refuse_tag(tag: str | None, line: int) -> None:
    if tag is not None:
        raise NodesError(line, f"the tag {shown(tag)} is not read; drop it")
