"""``.env.example`` is the settings object, written out. Run this file to print what it must be."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from pydantic import SecretStr
from pydantic.fields import FieldInfo

from stream.settings import Settings

EXAMPLE = Path(__file__).parent.parent / ".env.example"

HEAD = """\
# Settings of cx-pulse: copy to .env, or set them in the environment, which wins over .env.
# Each line is the default; one that is commented out has none. Secrets belong into the environment.
"""


def line(name: str, field: FieldInfo) -> str:
    """One setting: its description as a comment, its default as value, commented out where it is None."""
    default = field.default.get_secret_value() if isinstance(field.default, SecretStr) else field.default
    about = f"# {field.description}\n" if field.description else ""
    return (
        f"\n{about}{'# ' if default is None else ''}CX_{name.upper()}={'' if default is None else default}\n"
    )


def render() -> str:
    """The whole file."""
    return HEAD + "".join(line(name, field) for name, field in Settings.model_fields.items())


def test_the_example_is_the_settings() -> None:
    """Each setting is in .env.example with its default and description, and nothing else is."""
    assert EXAMPLE.read_text() == render()


def test_the_example_changes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """A copy of the example as .env gives the same settings as no .env at all."""
    for name in Settings.model_fields:
        monkeypatch.delenv(f"CX_{name.upper()}", raising=False)
    assert Settings(_env_file=EXAMPLE) == Settings(_env_file=None)


if __name__ == "__main__":
    sys.stdout.write(render())
