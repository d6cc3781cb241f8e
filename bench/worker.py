"""One run of a job in a process of its own: ``python -m bench.worker engine|stock|pipeline ...``; prints JSON."""

from __future__ import annotations

import asyncio
import json
import logging
import resource
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from stream.settings import Settings

logging.basicConfig(level=logging.CRITICAL)

SCRAPE_S = 5.0
RULES = Path(__file__).parent.parent / "examples" / "rules.yml"


def usage() -> dict[str, float]:
    """CPU seconds and peak memory of this process, start-up included."""
    used = resource.getrusage(resource.RUSAGE_SELF)
    return {"cpu_s": used.ru_utime + used.ru_stime, "peak_rss_mb": used.ru_maxrss / 1024}


async def committed(app: Any, topics: dict[str, int], within_s: float) -> None:
    """Wait until the group has committed all that was in the topics (name -> records over all partitions)."""
    deadline = time.monotonic() + within_s
    while time.monotonic() < deadline:
        consumer = app._consumer  # noqa: SLF001 - the benchmark looks inside both
        if consumer is not None and not app.rebalancing and not getattr(app, "in_recovery", False):
            done: dict[str, int] = dict.fromkeys(topics, 0)
            for tp, offset in consumer._committed_offset.items():  # noqa: SLF001
                if tp.topic in done and offset is not None and offset > 0:
                    done[tp.topic] += offset
            if all(done[topic] >= n for topic, n in topics.items()):
                return
        await asyncio.sleep(0.05)
    raise TimeoutError("the job did not finish in time")


async def run(app: Any, topics: dict[str, int], within_s: float) -> dict[str, float]:
    """Start, wait, stop; the clock starts when the streams may run (tables are recovered)."""
    began = time.perf_counter()
    await app.start()
    await app.tables.recovery.completed.wait()
    running = time.perf_counter()
    await committed(app, topics, within_s)
    took = time.perf_counter() - running
    figures = {"seconds": took, "start_s": running - began}
    recovery = app.tables.recovery
    if hasattr(recovery, "records_total"):
        figures |= {"recovered": recovery.records_total, "recovery_s": recovery.seconds_total}
    else:
        figures["recovery_s"] = running - began
    await app.stop()
    return figures | usage()


def with_redis(settings: Settings, topics: dict[str, int], within_s: float) -> dict[str, float]:
    """The pipeline with a Redis of its own, and scraped every five seconds."""
    from pydantic import SecretStr  # noqa: PLC0415 - start-up is part of what is measured

    from stream.app import Worker  # noqa: PLC0415
    from stream.brokers.embedded import EmbeddedRedis  # noqa: PLC0415

    async def main(url: str) -> dict[str, float]:
        worker = Worker(settings.model_copy(update={"redis_url": SecretStr(url)}), own_process=True)

        async def scrape() -> None:
            while True:
                await asyncio.sleep(SCRAPE_S)
                worker.telemetry.render()

        if worker.readmodel is None:
            raise RuntimeError("no read model")
        await worker.readmodel.start()
        scraping = asyncio.create_task(scrape())
        try:
            return await run(worker.app, topics, within_s)
        finally:
            scraping.cancel()
            await worker.readmodel.stop()

    with EmbeddedRedis() as redis:
        return asyncio.run(main(redis.url))


def main() -> None:
    """Run what the arguments say: job, broker, app id, events, seconds allowed."""
    job, broker, app_id, n, within_s = sys.argv[1:6]
    topics = {"bench.events": int(n)}
    if job == "engine":
        from bench.counts import make_app as make_engine  # noqa: PLC0415 - start-up is part of what is measured

        app: Any = make_engine(broker, app_id)
    elif job == "stock":
        from bench.stock import make_app as make_stock  # noqa: PLC0415

        app = make_stock(broker, app_id)
    else:
        from stream.app import Worker  # noqa: PLC0415
        from stream.settings import Settings  # noqa: PLC0415

        settings = Settings(brokers=broker, app_id=app_id, redis_url=None, rules=RULES, http_port=0)
        topics = {"cx.replies": int(n)}
        if job == "readmodel":
            print(json.dumps(with_redis(settings, topics, float(within_s))), flush=True)
            return
        app = Worker(settings, own_process=True).app
    figures = asyncio.run(run(app, topics, float(within_s)))
    print(json.dumps(figures), flush=True)


if __name__ == "__main__":
    main()
