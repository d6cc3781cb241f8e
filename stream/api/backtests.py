"""A backtest for the HTTP API: in a process of its own, which may be ended, and one at a time.

Run as a module it is that process: what is asked for on standard input, what came out on standard output.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from stream.api.problems import Failed

if TYPE_CHECKING:
    from collections.abc import Mapping

    from stream.settings import Settings

LONGEST_S: Final = 60.0
_MOST_ALERTS: Final = 1_000
_running = asyncio.Semaphore(1)
#: Of the settings, those that decide what comes out; no address, and no secret.
_SETTINGS: Final = (
    "partitions",
    "confidence",
    "windows",
    "max_members",
    "min_slice_n",
    "pane_ms",
    "lateness_ms",
    "late_horizon_ms",
    "max_ahead_ms",
    "idle_after_ms",
    "dedup_horizon_ms",
    "dedup_per_customer",
    "max_record_bytes",
)


async def backtest(settings: Settings, asked: Mapping[str, Any]) -> bytes:
    """What ``work`` finds, as JSON.

    Raises:
        Failed: another one runs, it takes too long, or rules, events or outcomes are wrong.
    """
    if _running.locked():
        raise Failed(429, "busy", "another backtest runs", retry_after=5)
    async with _running:
        given = json.dumps({**asked, "settings": {name: getattr(settings, name) for name in _SETTINGS}})
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            "stream.api.backtests",
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.DEVNULL,  # its text could hold what was in the events
            env={name: value for name, value in os.environ.items() if not name.startswith("CX_")},
        )
        try:
            async with asyncio.timeout(LONGEST_S):
                out, _ = await process.communicate(given.encode())
        except TimeoutError:
            raise Failed(
                422, "not-fitting", f"it takes more than {LONGEST_S:g} s; cx rules test takes its time"
            ) from None
        finally:
            if process.returncode is None:
                process.kill()
                await process.wait()
    if process.returncode != 0:
        raise Failed(500, "fault", "the backtest ended by itself, most likely for want of memory")
    answer = out.partition(b"\n")
    if answer[0] == b"wrong":
        raise Failed(422, "not-fitting", "1 thing to put right", errors=[json.loads(answer[2])])
    return answer[2]


def work(asked: Mapping[str, Any]) -> dict[str, Any]:
    """Replay events by rules, and hold the alerts against outcomes.

    Raises:
        RuleError, BadOutcome, ValueError: what is given is wrong.
    """
    from schemas import format_ms  # noqa: PLC0415 - this part runs in another process
    from stream.alerting.events import encode_event  # noqa: PLC0415
    from stream.backtest import read_outcomes, replay, report  # noqa: PLC0415
    from stream.compute import Job  # noqa: PLC0415
    from stream.deployment import read_rules  # noqa: PLC0415
    from stream.settings import Settings  # noqa: PLC0415

    settings = Settings(_env_file=None, **asked["settings"])
    book = read_rules(asked["rules"], asked["name"], settings)
    outcomes = asked["outcomes"]
    incidents, judgements = ([], []) if outcomes is None else read_outcomes(outcomes.encode().splitlines())
    with tempfile.TemporaryDirectory(prefix="cx-backtest-") as folder:
        events = Path(folder, "events.ndjson")
        events.write_text(asked["events"], encoding="utf-8")
        job = Job((events,), settings, asked["now_ms"])
        done = replay(job, 1, book=book, until_ms=asked["until_ms"])
    found = report(done, incidents, judgements, asked["grace_ms"])
    since, until = found.span_ms or (None, None)
    return {
        "since": None if since is None else format_ms(since),
        "until": None if until is None else format_ms(until),
        "verdicts": dict(done.verdicts),
        "refused": [
            {"index": line - 1, "reason": reason, "detail": detail}
            for _, line, reason, detail in done.refused
        ],
        "judged": found.judged,
        "scores": [_score(each) for each in found.scores],
        "alerts": [json.loads(encode_event(claim)) for claim in done.alerts[:_MOST_ALERTS]],
        "alerts_in_all": len(done.alerts),
        "decisions": dict(done.decisions),
    }


def _score(score: Any) -> dict[str, Any]:
    told = {
        name: getattr(score, name)
        for name in ("rule", "alerts", "per_day", "open", "withdrawn", "right", "wrong", "found", "missed")
    }
    told |= {"precision": score.precision, "recall": score.recall, "firing_seconds": score.firing_ms / 1000}
    return told | {"delay_seconds": None if score.delay_ms is None else score.delay_ms / 1000}


def main() -> None:
    """The process."""
    from stream.alerting.rules import RuleError  # noqa: PLC0415
    from stream.backtest import BadOutcome  # noqa: PLC0415

    asked = json.load(sys.stdin)
    try:
        out = ("found", work(asked))
    except RuleError as error:
        out = ("wrong", {"field": "body.rules", "reason": "rules", "detail": str(error)})
    except BadOutcome as error:
        out = ("wrong", {"field": "body.outcomes", "reason": "outcomes", "detail": str(error)})
    sys.stdout.write(f"{out[0]}\n{json.dumps(out[1], ensure_ascii=False, allow_nan=False)}")


if __name__ == "__main__":
    main()
