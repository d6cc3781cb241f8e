"""``cx compute`` over a file, beside what any program must do: read it as JSON and count, in one process."""

from __future__ import annotations

import os
import resource
import subprocess
import sys
import time
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from bench import load

EVENTS = 1_000_000
RULES = Path(__file__).parent.parent / "examples" / "rules.yml"

#: The plain way: every line to a dict, replies counted by metric, segment and minute.
PLAIN = """
import json, sys
counts = {}
for line in open(sys.argv[1], "rb"):
    event = json.loads(line)
    metric = event.get("metric")
    if metric is not None:
        key = metric, event["segment"], event["occurred_at"] // 60000
        counts[key] = counts.get(key, 0) + event["score"]
"""
#: What both of them cannot do without: the lines as checked events.
DECODE = """
import sys
from stream.intake import Limits, decode
limits = Limits()
for line in open(sys.argv[1], "rb"):
    decode(line, (), limits)
"""


def run(arguments: list[str]) -> tuple[float, float, float]:
    """Wall seconds, CPU seconds and peak memory in MB of a Python process and those that it starts."""
    env = {
        name: value
        for name, value in os.environ.items()
        if name != "PYTHONDONTWRITEBYTECODE" and not name.startswith("CX_")
    }
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    began = time.perf_counter()
    subprocess.run([sys.executable, *arguments], check=True, env=env, stdout=subprocess.DEVNULL)
    took = time.perf_counter() - began
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return took, cpu, after.ru_maxrss / 1024


def measure(n: int = EVENTS) -> dict[str, Any]:
    """One after the other on the same file; start-up of every process included."""
    with TemporaryDirectory() as folder:
        file = Path(folder) / "events.ndjson"
        with file.open("wb") as out:
            for _, value in load.events(n):
                out.write(value + b"\n")
        plain, plain_cpu, _ = run(["-c", PLAIN, str(file)])
        decode, decode_cpu, _ = run(["-c", DECODE, str(file)])
        took, cpu, peak = run(["-m", "stream.cli", "compute", str(file), "--rules", str(RULES), "--json"])
    return {
        "events": n,
        "processors": os.cpu_count(),
        "events_per_s": round(n / took),
        "cpu_s_per_million": round(cpu / n * 1e6, 2),
        "peak_rss_mb": round(peak),
        "plain_events_per_s": round(n / plain),
        "ratio_to_plain": round(plain / took, 2),
        "cpu_ratio_to_plain": round(cpu / plain_cpu, 2),
        "cpu_ratio_to_decode": round(cpu / decode_cpu, 2),
        "decode_events_per_s": round(n / decode),
    }
