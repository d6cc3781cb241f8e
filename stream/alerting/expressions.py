r"""Regular expressions whose time is bounded: whole-text, without anything that needs going back.

Expressions come from rules files and topics, and no worker may hang on one. Python's ``re`` goes back, and
takes exponential time on some; this takes all ways at once (Thompson 1968): at most steps times characters.
The syntax is what RE2 and ``re`` share: characters, ``.``, classes, ``\d \w \s`` (ASCII) and their opposites,
groups, ``|``, ``* + ? {m} {m,} {m,n}``, and ``(?i)`` at the start. ``^`` and ``$`` may stand at the ends only.
"""

from __future__ import annotations

import string
from dataclasses import dataclass
from typing import Final

MAX_LENGTH: Final = 1000
"""Characters of an expression."""
MAX_STEPS: Final = 1000
"""Steps of an expression with its ``{m,n}`` written out: about one for each character that it may match."""
MAX_DEPTH: Final = 50

_SETS: Final = {
    "d": frozenset(string.digits),
    "w": frozenset(string.ascii_letters + string.digits + "_"),
    "s": frozenset(" \t\n\r\f\v"),
}
_PLAIN: Final = {"n": "\n", "t": "\t", "r": "\r", "f": "\f", "v": "\v"}


@dataclass(frozen=True, slots=True)
class _Set:
    """Characters: those of ``chars``, ``ranges`` and ``sets``, or with ``inverted`` all others."""

    chars: frozenset[str]
    ranges: tuple[tuple[str, str], ...] = ()
    sets: tuple[_Set, ...] = ()
    inverted: bool = False

    def has(self, char: str) -> bool:
        found = (
            char in self.chars
            or any(low <= char <= high for low, high in self.ranges)
            or any(part.has(char) for part in self.sets)
        )
        return found != self.inverted


_ANY: Final = _Set(frozenset("\n"), inverted=True)

# A step takes a character of its set and goes on at the next one; a pair says where to go on, from here, without.
_Steps = tuple[_Set | tuple[int, int], ...]


class Expression:
    """A compiled expression.

    Raises:
        ValueError: it is none, or asks for what is not here; the text says what.
    """

    def __init__(self, text: str) -> None:
        if len(text) > MAX_LENGTH:
            raise ValueError(f"longer than {MAX_LENGTH} characters")
        self._any_case = text.startswith("(?i)")
        self._steps = _Reader(text.removeprefix("(?i)")).whole()

    def matches(self, text: str) -> bool:
        """Whether the whole text is as the expression says."""
        at = self._reached({0})
        for char in text:
            same = {char, char.lower(), char.upper()} if self._any_case else (char,)
            after = set()
            for step in at:
                what = self._steps[step] if step < len(self._steps) else None
                if isinstance(what, _Set) and any(what.has(each) for each in same):
                    after.add(step + 1)
            if not after:
                return False
            at = self._reached(after)
        return len(self._steps) in at

    def _reached(self, steps: set[int]) -> set[int]:
        """These steps and all that are reached from them without a character."""
        found, left = set(steps), list(steps)
        while left:
            step = left.pop()
            what = self._steps[step] if step < len(self._steps) else None
            if isinstance(what, tuple):
                new = {step + jump for jump in what} - found
                found |= new
                left += new
        return found


class _Reader:
    """Reads one expression into steps, by recursive descent."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._at = 0
        self._depth = 0

    def whole(self) -> _Steps:
        if self._text.startswith("^"):
            self._at = 1
        steps = self._either()
        if self._next == "$" and self._at == len(self._text) - 1:
            self._at += 1
        if self._next == ")":
            raise ValueError("a ) without its (")
        if self._next:
            raise ValueError(f"{self._next} may stand at the end only")
        return steps

    @property
    def _next(self) -> str:
        return self._text[self._at : self._at + 1]

    def _take(self, problem: str) -> str:
        if not self._next:
            raise ValueError(problem)
        self._at += 1
        return self._text[self._at - 1]

    def _either(self) -> _Steps:
        steps = self._sequence()
        while self._next == "|":
            self._at += 1
            other = self._sequence()
            steps = _sized(((1, len(steps) + 2), *steps, (len(other) + 1,) * 2, *other))
        return steps

    def _sequence(self) -> _Steps:
        steps: _Steps = ()
        while self._next and self._next not in "|)$":
            steps = _sized((*steps, *self._repeated(self._one())))
        return steps

    def _repeated(self, one: _Steps) -> _Steps:
        if not self._next or self._next not in "*+?{":
            return one
        sign = self._take("")
        least, most = {"*": (0, None), "+": (1, None), "?": (0, 1)}.get(sign) or self._counts()
        if self._next == "?":  # as few as possible: of whole texts it says the same
            self._at += 1
        if self._next and self._next in "*+?{":
            raise ValueError("a repetition of a repetition; put the inner one into ( )")
        if (most or least or 1) > MAX_STEPS:
            raise ValueError(f"more than {MAX_STEPS} steps")
        if most is None:
            again = ((1, len(one) + 2), *one, (-len(one), 1))
            return _sized((*one * least, *again))
        return _sized((*one * least, *((1, len(one) + 1), *one) * (most - least)))

    def _counts(self) -> tuple[int, int | None]:
        inside, closed, _ = self._text[self._at :].partition("}")
        low, comma, high = inside.partition(",")
        if not (closed and _number(low) and (not high or _number(high))):
            raise ValueError("{ } hold one number or two, as {2,3}; the character itself is \\{")
        self._at += len(inside) + 1
        least = int(low)
        most = (int(high) if high else None) if comma else least
        if most is not None and most < least:
            raise ValueError("{ } with the larger number first")
        return least, most

    def _one(self) -> _Steps:
        char = self._take("")
        if char == "(":
            return self._group()
        if char == "[":
            return (self._class(),)
        if char == ".":
            return (_ANY,)
        if char == "\\":
            return (self._escape(),)
        if char in "*+?{":
            raise ValueError(f"{char} with nothing before it to repeat")
        if char == "^":
            raise ValueError("^ may stand at the start only")
        return (_Set(frozenset(char)),)

    def _group(self) -> _Steps:
        if self._next == "?":
            if self._text[self._at : self._at + 2] != "?:":
                raise ValueError("of groups with (? only (?: is known, and (?i) at the start")
            self._at += 2
        self._depth += 1
        if self._depth > MAX_DEPTH:
            raise ValueError(f"more than {MAX_DEPTH} groups inside each other")
        steps = self._either()
        if self._take("a ( without its )") != ")":
            raise ValueError("$ may stand at the end only")
        self._depth -= 1
        return steps

    def _escape(self) -> _Set:
        char = self._take("a \\ at the end")
        if char.lower() in _SETS:
            return _Set(_SETS[char.lower()], inverted=char.isupper())
        if char in _PLAIN:
            return _Set(frozenset(_PLAIN[char]))
        if char.isalnum():
            raise ValueError(f"\\{char} is not known")
        return _Set(frozenset(char))

    def _class(self) -> _Set:
        inverted = self._next == "^"
        self._at += inverted
        sets: list[_Set] = []
        ranges: list[tuple[str, str]] = []
        first = True
        while first or self._next != "]":
            low = self._member()
            first = False
            if self._next == "-" and self._text[self._at + 1 : self._at + 2] != "]":
                self._at += 1
                ends = (low, self._member())
                if any(len(end.chars) != 1 or end.inverted for end in ends):
                    raise ValueError("a range in [ ] goes from one character to another")
                (start,), (end,) = ends[0].chars, ends[1].chars
                if start > end:
                    raise ValueError("a range in [ ] that goes backwards")
                ranges.append((start, end))
            else:
                sets.append(low)
        self._at += 1
        return _Set(frozenset(), tuple(ranges), tuple(sets), inverted)

    def _member(self) -> _Set:
        char = self._take("a [ without its ]")
        if char == "[" and self._next and self._next in ":.=":
            raise ValueError("named classes such as [:alpha:] are not known")
        return self._escape() if char == "\\" else _Set(frozenset(char))


def _number(text: str) -> bool:
    return text.isascii() and text.isdigit() and len(text) <= len(str(MAX_STEPS))


def _sized(steps: _Steps) -> _Steps:
    if len(steps) > MAX_STEPS:
        raise ValueError(f"more than {MAX_STEPS} steps")
    return steps
