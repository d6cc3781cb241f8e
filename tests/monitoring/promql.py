"""Which series and labels a PromQL expression names, as far as the project's expressions go."""

from __future__ import annotations

import re

_STRING = re.compile(r'"(?:[^"\\]|\\.)*"')
_SELECTOR = re.compile(r"\b((?:cx|process|up)\w*)\s*(?:\{([^}]*)\})?")
_MATCHER = re.compile(r"(\w+)\s*(?:=~|!~|!=|=)")
_GROUPING = re.compile(r"\b(?:by|without|on|ignoring|group_left|group_right)\s*\(([^)]*)\)")
#: Prometheus adds these to all it scrapes.
OF_THE_TARGET = {"job", "instance"}
OF_PROMETHEUS = {"up": set[str]()}


def series(expr: str) -> dict[str, set[str]]:
    """Name -> labels that it is matched by."""
    bare = _GROUPING.sub(" ", _STRING.sub('""', expr))
    found: dict[str, set[str]] = {}
    for name, matchers in _SELECTOR.findall(bare):
        found.setdefault(name, set()).update(_MATCHER.findall(matchers))
    return found


def grouped(expr: str) -> set[str]:
    """Labels that are grouped or joined by."""
    inside = ",".join(_GROUPING.findall(_STRING.sub('""', expr)))
    return {label.strip() for label in inside.split(",") if label.strip()}


def complaints(expr: str, exported: dict[str, set[str]]) -> list[str]:
    """What the expression names and no worker exports; ``exported``: name -> labels."""
    known = {**exported, **OF_PROMETHEUS}
    found, labels = [], set(OF_THE_TARGET)
    for name, matched in series(expr).items():
        if name not in known:
            found.append(f"no series {name}")
            continue
        has = known[name] | OF_THE_TARGET
        labels |= has
        found += [f"{name} has no label {label}" for label in sorted(matched - has)]
    return found + [f"nothing in it has a label {label}" for label in sorted(grouped(expr) - labels)]
