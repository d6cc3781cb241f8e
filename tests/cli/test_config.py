"""Wrong settings: one line each that names the variable, what was given and what is allowed."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Callable
    from pathlib import Path


@pytest.mark.parametrize(
    ("name", "value", "expected"),
    [
        (
            "CX_PARTITIONS",
            "many",
            "CX_PARTITIONS: 'many' is not allowed; must be a whole number from 1 to 1000",
        ),
        ("CX_PARTITIONS", "0", "CX_PARTITIONS: '0' is not allowed; must be a whole number from 1 to 1000"),
        ("CX_CONFIDENCE", "1", "CX_CONFIDENCE: '1' is not allowed; must be a number above 0.5 below 1"),
        (
            "CX_LOG_LEVEL",
            "LOUD",
            "CX_LOG_LEVEL: 'LOUD' is not allowed; must be one of DEBUG, INFO, WARNING, ERROR",
        ),
        ("CX_PANE_MS", "7000", "CX_PANE_MS: 7000 does not divide 300000 (5 minutes)"),
        (
            "CX_WINDOWS",
            "5m,1 hour",
            "CX_WINDOWS: '1 hour' is no window: a number and one of s, m, h, d, like 24h",
        ),
        ("CX_WINDOWS", "1h,5m", "CX_WINDOWS: 5m must be longer than the window before it"),
        ("CX_WINDOWS", "15s", "CX_WINDOWS: 15s is not made of panes of 10000 ms (CX_PANE_MS)"),
        ("CX_WINDOWS", "400d", "CX_WINDOWS: 400d is longer than a year"),
        (
            "CX_MIN_SLICE_N",
            "0",
            "CX_MIN_SLICE_N: '0' is not allowed; must be a whole number from 1 to 1000000",
        ),
        ("CX_APP_ID", "a b", "CX_APP_ID: 'a b' is not allowed; must match ^[a-zA-Z0-9._-]{1,100}$"),
        ("CX_SASL_PASSWORD", "geheim", "CX_SASL_USERNAME and CX_SASL_PASSWORD: set both or neither"),
    ],
)
def test_a_wrong_setting_is_one_clear_line(
    cx: Callable[..., subprocess.CompletedProcess[str]], name: str, value: str, expected: str
) -> None:
    """Exit code 2, no traceback, and no secret in the message."""
    for command in (["worker"], ["topics", "check"]):
        done = cx(*command, **{name: value})
        assert done.returncode == 2
        assert done.stdout == ""
        assert done.stderr == f"cx: {expected}\n"
        assert "geheim" not in done.stderr


def test_every_wrong_setting_gets_a_line(cx: Callable[..., subprocess.CompletedProcess[str]]) -> None:
    """Several mistakes are all told at once."""
    done = cx("topics", "check", CX_PARTITIONS="x", CX_HTTP_PORT="99999")
    assert [line.split(":")[1].strip() for line in done.stderr.splitlines()] == [
        "CX_PARTITIONS",
        "CX_HTTP_PORT",
    ]


def test_a_misspelt_setting_is_warned_of(cx: Callable[..., subprocess.CompletedProcess[str]]) -> None:
    """A CX_ variable that is no setting would otherwise be without effect in silence."""
    done = cx("topics", "check", CX_PARTITION="3", CX_BROKERS="127.0.0.1:1")
    assert "cx: CX_PARTITION is not a setting and has no effect; did you mean CX_PARTITIONS?" in done.stderr


def test_settings_come_from_a_dotenv_file(
    cx: Callable[..., subprocess.CompletedProcess[str]], tmp_path: Path
) -> None:
    """A file .env in the working folder counts, and its mistakes read the same."""
    (tmp_path / ".env").write_text("CX_PARTITIONS=-4\n")
    done = cx("topics", "check")
    assert done.returncode == 2
    assert done.stderr.startswith("cx: CX_PARTITIONS: '-4' is not allowed")


def test_a_password_in_the_clear_is_refused(cx: Callable[..., subprocess.CompletedProcess[str]]) -> None:
    """SASL without TLS is not started, and the password is not repeated."""
    done = cx("topics", "check", CX_SASL_USERNAME="u", CX_SASL_PASSWORD="geheim")  # noqa: S106
    assert done.returncode == 2
    assert done.stderr.startswith("cx: CX_SECURITY_PROTOCOL:")
    assert "geheim" not in done.stderr
