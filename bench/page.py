"""The live page under sixty updates a second: what it draws, and whether its memory stays flat.

``cx serve`` on an embedded broker, with values published straight to ``cx.metrics``; a real Chromium shows the
overview. Its heap is read once a minute after a collection. ``python -m bench.page --minutes 30`` is the long run.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import shutil
import sys
import time
from contextlib import ExitStack
from datetime import UTC, datetime, timedelta
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Final

from confluent_kafka import Producer
from playwright.sync_api import CDPSession, Page, sync_playwright

from stream import topics
from stream.brokers.child import Child
from stream.brokers.embedded import EmbeddedKafka, EmbeddedRedis
from stream.cli.scrape import unready
from stream.measures import slice_key

PER_S: Final = 60
SLICES: Final = 50
PORT: Final = 18_080
_BEGIN: Final = datetime(2026, 1, 12, tzinfo=UTC)
_WINDOWS: Final = ("5m", "1h", "24h")
_FLAGS: Final = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-background-networking",
    "--enable-precise-memory-info",
)


def metrics(number: int) -> tuple[str, bytes]:
    """The values of one slice; every second update is the whole's."""
    members = {} if number % 2 == 0 else {"segment": f"s{number % SLICES}"}
    value = 30 + 20 * math.sin(number / 500)
    figures = {
        "value": value,
        "n": 200 + number % 50,
        "interval": [value - 5, value + 5],
        "confidence": 0.95,
        "parts": {},
    }
    at = (_BEGIN + timedelta(seconds=number / PER_S * 10)).isoformat().replace("+00:00", "Z")
    found = {
        "slice": members,
        "as_of": at,
        "final": True,
        "metrics": {name: dict.fromkeys(_WINDOWS, figures) for name in ("nps", "csat", "ces")},
    }
    return slice_key(members), json.dumps(found).encode()


def measure(minutes: float = 1.0) -> dict[str, Any]:
    """Heap of the page over time, in megabytes, and how often it drew."""
    with ExitStack() as opened:
        folder = Path(opened.enter_context(TemporaryDirectory()))
        kafka = opened.enter_context(EmbeddedKafka(topics.layout("cx-page", 4)))
        redis = opened.enter_context(EmbeddedRedis())
        settings = {
            "CX_APP_ID": "cx-page",
            "CX_BROKERS": kafka.bootstrap,
            "CX_REDIS_URL": redis.url,
            "CX_API_PORT": str(PORT),
        }
        serve = Child(
            [sys.executable, "-m", "stream.cli", "serve"],
            cwd=folder,
            log=folder / "serve.log",
            env={**os.environ, **settings},
        )
        opened.callback(serve.stop, 10)
        base = f"http://localhost:{PORT}"
        while why := unready(base):
            if serve.poll() is not None:
                raise RuntimeError(f"cx serve ended: {why}")
            time.sleep(0.2)
        browser = opened.enter_context(sync_playwright()).chromium.launch(
            executable_path=shutil.which("chromium"), args=list(_FLAGS)
        )
        page = browser.new_page(viewport={"width": 1280, "height": 900})
        producer = Producer({"bootstrap.servers": kafka.bootstrap, "linger.ms": 5})
        number = _publish(producer, 0, 2)
        page.goto(f"{base}/#/overview")
        page.get_by_role("heading", level=1).wait_for()
        page.evaluate(_COUNT_FRAMES)
        tools = page.context.new_cdp_session(page)
        heap = [_heap(tools)]
        began = time.monotonic()
        while time.monotonic() - began < minutes * 60:
            number = _publish(producer, number, min(60.0, minutes * 60))
            heap.append(_heap(tools))
        seconds = time.monotonic() - began
        result = {
            "minutes": round(seconds / 60, 1),
            "updates_per_s": round(number / (seconds + 2), 1),
            "heap_mb": [round(each, 2) for each in heap],
            "frames_per_s": round(page.evaluate("window.frames_drawn") / seconds, 1),
            "live": _shows(page, number),
        }
        browser.close()
        return result


def _publish(producer: Producer, number: int, seconds: float) -> int:
    began = time.monotonic()
    sent = 0
    while (passed := time.monotonic() - began) < seconds:
        while sent < passed * PER_S:
            key, value = metrics(number)
            producer.produce(topics.METRICS, value, key)
            number, sent = number + 1, sent + 1
        producer.poll(0.01)
    producer.flush(10)
    return number


#: Frames in which the page changed what stands under it.
_COUNT_FRAMES: Final = """
window.frames_drawn = 0;
let changed = false;
const all = {childList: true, subtree: true, characterData: true};
new MutationObserver(() => { changed = true; }).observe(document.body, all);
(function look() { if (changed) { window.frames_drawn += 1; changed = false; } requestAnimationFrame(look); })();
"""


def _heap(tools: CDPSession) -> float:
    tools.send("HeapProfiler.collectGarbage")
    return float(tools.send("Runtime.getHeapUsage")["usedSize"]) / 1e6


def _shows(page: Page, number: int) -> bool:
    """Whether the page shows what was published last; a second is enough for it."""
    page.wait_for_timeout(1000)
    last = number - 1 if (number - 1) % 2 == 0 else number - 2
    value = round(json.loads(metrics(last)[1])["metrics"]["nps"]["1h"]["value"], 1)
    shown = page.get_by_role("button", name="NPS").locator(".value").inner_text()
    return math.isclose(float(shown), value, abs_tol=0.11)


def main() -> None:
    """``python -m bench.page [--minutes N]``."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--minutes", type=float, default=1.0)
    print(json.dumps({"page": measure(parser.parse_args().minutes)}))


if __name__ == "__main__":
    main()
