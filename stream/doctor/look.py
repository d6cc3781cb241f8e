"""Gathers the facts: one part after another, each by itself, so that one that is away hides no other."""

from __future__ import annotations

import json
import resource
import time
import urllib.error
import urllib.request
from importlib import metadata
from typing import TYPE_CHECKING, Any, Final

from packaging.requirements import Requirement
from redis import Redis

from stream.adapters import MappingError, load_adapters
from stream.alerting.rules import RuleError
from stream.delivery.loading import load_delivery
from stream.deployment import load_book
from stream.doctor.facts import Facts, Package, RedisState
from stream.doctor.look_broker import look_at_broker
from stream.serving import connect
from stream.topics import REDIS_METRICS
from stream.tracing import problem as traces_problem

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from stream.settings import Settings

#: Distributions that the engine reaches into; others may be of any version their own metadata allow.
REACHED_INTO: Final = ("faust-streaming", "aiokafka")
#: What is looked at, in this order.
PARTS: Final = ("files", "Kafka", "Redis", "the worker")
_TIMEOUT_S: Final = 5.0


def look(
    settings: Settings | None,
    problem: str | None,
    environ: Mapping[str, str],
    say: Callable[[int], None] = lambda _number: None,
) -> Facts:
    """Everything that can be known now.

    Args:
        settings: None where they are refused.
        problem: why they are.
        environ: the environment; of it only names that begin with ``CX_`` are kept, and what is wrong with traces.
        say: told which of `PARTS` is looked at, from 0 on, for people who wait.
    """
    found: dict[str, Any] = {
        "now_ms": round(time.time() * 1000),
        "environ": {name: "" for name in environ if name.startswith("CX_")},
        "settings": settings,
        "settings_problem": problem,
        "traces_problem": traces_problem(environ),
        "open_files": _open_files(),
        "packages": _packages(),
    }
    if settings is not None:
        say(0)
        found |= _files(settings)
        say(1)
        found |= look_at_broker(settings, found["book"], found["now_ms"])
        say(2)
        found |= _redis(settings)
        say(3)
        found["worker_problem"] = _worker(settings)
    return Facts(**found)


def _files(settings: Settings) -> dict[str, Any]:
    found: dict[str, Any] = {"book": None}
    try:
        found["book"] = load_book(settings)
    except (RuleError, ValueError) as error:
        found["book_problem"] = str(error)
    if settings.delivery is not None:
        try:
            load_delivery(settings.delivery)
        except (RuleError, ValueError, OSError) as error:
            found["delivery_problem"] = str(error)
    try:
        load_adapters(settings.adapters)
    except MappingError as error:
        found["adapters_problem"] = str(error)
    return found


def _open_files() -> int | None:
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return None if soft == resource.RLIM_INFINITY else soft


def _packages() -> list[Package]:
    wanted = {}
    for text in metadata.requires("cx-pulse") or ():
        requirement = Requirement(text)
        if requirement.name in REACHED_INTO:
            wanted[requirement.name] = requirement.specifier
    return [
        Package(name, str(specifier), found, specifier.contains(found, prereleases=True))
        for name, specifier in wanted.items()
        for found in [metadata.version(name)]
    ]


def _redis(settings: Settings) -> dict[str, Any]:
    url = settings.redis_url.get_secret_value() if settings.redis_url is not None else ""
    if not url:
        return {}
    try:
        client = Redis.from_url(url, **connect.options(_TIMEOUT_S, **connect.tls(settings)))
    except ValueError:
        return {"redis_problem": connect.WRONG_URL}
    try:
        with client:
            info: Any = client.info()
            seconds, micros = client.time()
            slices: Any = client.hlen(REDIS_METRICS)
    except connect.AWAY as error:
        at = client.connection_pool.connection_kwargs
        where = at.get("path") or f"{at.get('host', 'localhost')}:{at.get('port', 6379)}"
        return {"redis_problem": f"the read model's Redis at {where}: {connect.named(error)}"}
    return {
        "redis": RedisState(
            version=str(info["redis_version"]),
            clock_ms=int(seconds) * 1000 + int(micros) // 1000,
            used_bytes=int(info["used_memory"]),
            most_bytes=int(info.get("maxmemory", 0)),
            policy=str(info.get("maxmemory_policy", "")),
            evicted=int(info.get("evicted_keys", 0)),
            slices=int(slices),
        )
    }


def _worker(settings: Settings) -> str | None:
    """Why the worker on this machine is not ready; None where it is, or where there is none."""
    if not settings.http_port:
        return None
    host = "127.0.0.1" if settings.http_host in {"0.0.0.0", "::"} else settings.http_host  # noqa: S104
    try:
        with urllib.request.urlopen(f"http://{host}:{settings.http_port}/health/ready", timeout=_TIMEOUT_S):
            return None
    except urllib.error.HTTPError as error:
        with error:
            return _reasons(error.read())
    except (OSError, ValueError):
        return None


def _reasons(body: bytes) -> str | None:
    try:
        checks = json.loads(body)["checks"]
        reasons = [f"{name}: {check['reason']}" for name, check in checks.items() if not check["ok"]]
    except (ValueError, KeyError, TypeError, AttributeError):
        return None  # something else listens there
    return "; ".join(reasons) or None
