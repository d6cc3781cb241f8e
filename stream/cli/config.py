"""Settings for commands: read once, refused in words that name the variable."""

from __future__ import annotations

import difflib
import os
from typing import TYPE_CHECKING, Any, Final

import click
from pydantic import SecretStr, ValidationError
from pydantic_settings import SettingsError

from stream.cli.problems import Problem
from stream.settings import Settings

if TYPE_CHECKING:
    from collections.abc import Mapping

_PREFIX: Final = "CX_"
_SHOWN: Final = 80  # characters of a wrong value that a message repeats


def load_settings(warn: bool = True, /, **given: Any) -> Settings:
    """The settings of this process, from ``CX_*`` variables and ``.env``; ``given`` ones win.

    Warns on stderr about ``CX_*`` variables that are no setting: most often a slip of the pen. ``cx doctor`` has a
    check for them, and wants no warning.

    Raises:
        Problem: a line per wrong variable, with what was given and what is allowed; no secrets.
    """
    if warn:
        _warn_of_unknown()
    try:
        return Settings(**given)
    except ValidationError as error:
        raise Problem("\ncx: ".join(_line(each) for each in error.errors())) from None
    except SettingsError as error:
        raise Problem(str(error)) from None
    except (OSError, UnicodeDecodeError) as error:
        raise Problem(f"the settings file .env cannot be read: {type(error).__name__}") from None


def _line(error: Mapping[str, Any]) -> str:
    if not error["loc"]:  # a check across settings, which names them itself; its input is all of them
        return str(error["msg"]).removeprefix("Value error, ")
    name = str(error["loc"][0])
    if error["type"] == "missing":
        return f"{_PREFIX}{name.upper()}: is not set; {_allowed(name)}"
    given = "the value given" if _secret(name) else _short(error["input"])
    return f"{_PREFIX}{name.upper()}: {given} is not allowed; {_allowed(name)}"


def _short(value: object) -> str:
    text = repr(value)
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}…"


def _secret(name: str) -> bool:
    field = Settings.model_fields.get(name)
    return field is None or "SecretStr" in str(field.annotation) or field.annotation is SecretStr


def _allowed(name: str) -> str:
    """What a setting takes, from its own schema: ``must be a whole number from 1 to 1000``."""
    schema: dict[str, Any] = Settings.model_json_schema()["properties"].get(name, {})
    for option in schema.get("anyOf", ()):
        if option.get("type") != "null":
            schema = {**schema, **option}
            break
    if "enum" in schema:
        return f"must be one of {', '.join(str(each) for each in schema['enum'])}"
    kinds = {"integer": "a whole number", "number": "a number", "string": "text", "boolean": "true or false"}
    what = kinds.get(schema.get("type", "string"), "text")
    if schema.get("format") == "path":
        what = "a path"
    if "pattern" in schema:
        return f"must match {schema['pattern']}"
    if schema.get("minLength"):
        return f"must be text of at least {schema['minLength']} character"
    bounds = []
    for key, word in (("minimum", "from"), ("exclusiveMinimum", "above")):
        if key in schema:
            bounds.append(f"{word} {schema[key]}")
    for key, word in (("maximum", "to"), ("exclusiveMaximum", "below")):
        if key in schema:
            bounds.append(f"{word} {schema[key]}")
    return " ".join((f"must be {what}", *bounds))


def _warn_of_unknown() -> None:
    known = [f"{_PREFIX}{name.upper()}" for name in Settings.model_fields]
    for name in sorted(os.environ):
        if name.startswith(_PREFIX) and name not in known:
            near = difflib.get_close_matches(name, known, n=1)
            hint = f"; did you mean {near[0]}?" if near else ""
            click.echo(f"cx: {name} is not a setting and has no effect{hint}", err=True)
