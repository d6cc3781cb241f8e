"""``cx rules test`` over files, beside a loop of ``json.loads`` over the same, in CPU time.

Three inputs: a busy one (100 events a second) with rules over windows alone and with all of the example's, and
the simulated base (an event a second), where a pane has a handful of events, and panes cost more than events.
"""

from __future__ import annotations

import os
from itertools import islice
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from bench import load
from bench.compute import PLAIN, run
from stream.simulate import Simulation

EVENTS = 1_000_000
SPARSE = 200_000
EXAMPLE = Path(__file__).parent.parent / "examples" / "rules.yml"
WINDOWS = """
groups:
  - name: windows
    rules:
      - {alert: Nps, metric: nps, by: [segment], window: 1h, below: 0, evidence: interval, min_n: 30, for: 2m}
      - {alert: Csat, metric: csat, by: [touchpoint, channel], window: 1h, below: 60, evidence: interval}
      - {alert: Fell, metric: csat, by: [touchpoint, channel], window: 1h, drop: {points: 15, from: 24h}}
"""
#: The plain way, for events of any shape: every line to a dict, and counted.
ANY = """
import json, sys
n = 0
for line in open(sys.argv[1], "rb"):
    n += "metric" in json.loads(line)
"""


def one(file: Path, n: int, rules: Path, plain: str) -> dict[str, Any]:
    """A backtest by one process, one by all processors, and the plain loop; start-up of processes included."""
    _, plain_cpu, _ = run(["-c", plain, str(file)])
    command = ["-m", "stream.cli", "rules", "test", str(rules), "--events", str(file), "--json"]
    alone, cpu, peak = run([*command, "--processes", "1"])
    took, cpu_all, _ = run(command)
    return {
        "events": n,
        "events_per_s": round(n / took),
        "events_per_s_one_process": round(n / alone),
        "events_per_cpu_s": round(n / cpu),
        "events_per_cpu_s_all": round(n / cpu_all),
        "peak_rss_mb": round(peak),
        "plain_events_per_cpu_s": round(n / plain_cpu),
        "cpu_ratio_to_plain": round(cpu / plain_cpu, 2),
    }


def measure(n: int = EVENTS, sparse: int = SPARSE) -> dict[str, Any]:
    """All inputs, one after the other."""
    with TemporaryDirectory() as folder:
        busy, quiet, windows = (Path(folder) / name for name in ("busy.ndjson", "quiet.ndjson", "rules.yml"))
        windows.write_text(WINDOWS)
        with busy.open("wb") as out:
            out.writelines(value + b"\n" for _, value in load.events(n))
        with quiet.open("wb") as out:
            out.writelines(record.value + b"\n" for record in islice(Simulation(1).records(), sparse))
        return {
            "processors": os.cpu_count(),
            "busy_windows": one(busy, n, windows, PLAIN),
            "busy_example": one(busy, n, EXAMPLE, PLAIN),
            "quiet_example": one(quiet, sparse, EXAMPLE, ANY),
        }
