"""Redis and a webhook receiver that are away: what is lost, what slows, and how soon all is well again.

Long, so not a part of ``make bench``: ``python -m bench.outages [--redis-seconds 60] [--receiver-minutes 10]``.
Prints one JSON object; progress goes to stderr. What it says is in docs/read-model.md and docs/delivery.md.
"""

from __future__ import annotations

import argparse
import json
from typing import Any

from bench import outage_receiver, outage_redis
from bench.outage_load import CUSTOMERS

REDIS = ("steady", "saturated", "turns")


def main() -> None:
    """Measure what is asked for."""
    parser = argparse.ArgumentParser(prog="python -m bench.outages", description=__doc__)
    parser.add_argument("--redis-seconds", type=float, default=60.0, help="how long Redis is stopped")
    parser.add_argument("--receiver-minutes", type=float, default=10.0, help="how long the receiver is away")
    parser.add_argument(
        "--events", type=int, default=2_000_000, help="of the backlog of the saturated worker"
    )
    parser.add_argument("--customers", type=int, default=CUSTOMERS, help="of the steady load")
    parser.add_argument("--rounds", type=int, default=2, help="of all ways to work it off")
    parser.add_argument("--only", choices=[*REDIS, "receiver"], action="append")
    given = parser.parse_args()
    wanted = given.only or [*REDIS, "receiver"]
    result: dict[str, Any] = {}
    if ways := [name for name in wanted if name in REDIS]:
        result["redis"] = outage_redis.measure(
            given.redis_seconds, given.events, given.rounds, ways, given.customers
        )
    if "receiver" in wanted:
        result["receiver"] = outage_receiver.measure(given.receiver_minutes)
    print(json.dumps(result))


if __name__ == "__main__":
    main()
