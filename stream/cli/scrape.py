"""Reading a worker's ``/metrics`` and ``/health`` back, for the demo."""

from __future__ import annotations

import json
import re
import urllib.error
import urllib.request
from typing import Final

_SAMPLE: Final = re.compile(r"(cx_[a-z_]+)(?:\{(.*)\})? (\S+)")
_LABEL: Final = re.compile(r'([a-z_]+)="((?:[^"\\]|\\.)*)"')
_TIMEOUT: Final = 5.0


class Scrape:
    """The ``cx_*`` samples of one scrape, without the business values, which Redis has in better shape."""

    def __init__(self, text: str) -> None:
        self._samples: list[tuple[str, dict[str, str], float]] = []
        for line in text.splitlines():
            if line.startswith("cx_") and not line.startswith("cx_metric_"):
                match = _SAMPLE.fullmatch(line)
                if match:
                    labels = dict(_LABEL.findall(match[2] or ""))
                    self._samples.append((match[1], labels, float(match[3])))

    def total(self, name: str, **labels: str) -> float:
        """Sum of a family's samples that carry these labels; 0 where there are none."""
        wanted = labels.items()
        return sum(value for its, has, value in self._samples if its == name and wanted <= has.items())

    def by(self, name: str, label: str, **labels: str) -> dict[str, int]:
        """The same sum for each value of one label, where it is not 0."""
        found: dict[str, int] = {}
        wanted = labels.items()
        for its, has, value in self._samples:
            if value and its == name and label in has and wanted <= has.items():
                found[has[label]] = found.get(has[label], 0) + round(value)
        return found


def scrape(base: str) -> Scrape:
    """Ask a worker.

    Raises:
        OSError: it does not answer.
    """
    with urllib.request.urlopen(f"{base}/metrics", timeout=_TIMEOUT) as answer:  # noqa: S310 - our own address
        return Scrape(answer.read().decode())


def unready(base: str) -> str | None:
    """Why a worker is not ready, as one line; None when it is."""
    try:
        with urllib.request.urlopen(f"{base}/health/ready", timeout=_TIMEOUT):  # noqa: S310
            return None
    except urllib.error.HTTPError as error:
        with error:
            checks = json.loads(error.read())["checks"]
        reasons = [f"{name}: {check['reason']}" for name, check in checks.items() if not check["ok"]]
        return "; ".join(reasons) or "it has no checks yet"
    except OSError:
        return "it does not answer yet"
