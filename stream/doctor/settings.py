"""Checks of settings, files and the machine: nothing needs to run for them."""

from __future__ import annotations

import difflib
import ipaddress
from collections.abc import Iterator
from typing import TYPE_CHECKING, Final
from urllib.parse import urlsplit

from stream.alerting.lint import remarks
from stream.doctor.findings import Level
from stream.settings import Settings

if TYPE_CHECKING:
    from stream.doctor.facts import Facts

Found = tuple[Level, str, str]

LEAST_FILES: Final = 4096
_MOST_REMARKS: Final = 10


def settings_wrong(facts: Facts) -> Iterator[Found]:
    """Settings that are refused."""
    if facts.settings_problem is not None:
        yield Level.ERROR, facts.settings_problem, "set what is allowed; .env.example lists every setting"


def setting_unknown(facts: Facts) -> Iterator[Found]:
    """A CX_ variable that is no setting: most often a slip of the pen."""
    known = [f"CX_{name.upper()}" for name in Settings.model_fields]
    for name in sorted(facts.environ):
        if name not in known:
            near = difflib.get_close_matches(name, known, n=1)
            yield (
                Level.WARNING,
                f"{name} is no setting and has no effect",
                f"did you mean {near[0]}?" if near else "remove it",
            )


def rules_wrong(facts: Facts) -> Iterator[Found]:
    """A rules file that cannot be read, or is refused."""
    if facts.book_problem is not None:
        yield Level.ERROR, facts.book_problem, "put it right; `cx rules check FILE` says whether it is"


def rules_doubtful(facts: Facts) -> Iterator[Found]:
    """Rules that are right and yet do nothing."""
    if facts.book is not None:
        for remark in remarks(facts.book, facts.now_ms)[:_MOST_REMARKS]:
            yield (
                Level.WARNING,
                str(remark).replace("warning: ", ""),
                "docs/rules.md says what each field does",
            )


def rules_none(facts: Facts) -> Iterator[Found]:
    """Metrics without alerts."""
    if (
        facts.settings is not None
        and facts.settings.rules is None
        and not facts.rules_versions
        and not facts.book_problem
    ):
        yield (
            Level.NOTE,
            "there are no rules: CX_RULES is not set and cx.rules is empty, so there are metrics and no alerts",
            "begin with examples/rules.yml: CX_RULES=rules.yml, or `cx rules apply rules.yml`",
        )


def delivery_wrong(facts: Facts) -> Iterator[Found]:
    """A delivery file that cannot be read, or is refused."""
    if facts.delivery_problem is not None:
        yield Level.ERROR, facts.delivery_problem, "put it right; `cx delivery check FILE` says whether it is"


def adapters_wrong(facts: Facts) -> Iterator[Found]:
    """A mapping of a sender that cannot be read, or is refused."""
    if facts.adapters_problem is not None:
        yield Level.ERROR, facts.adapters_problem, "docs/adapters.md has the form of a mapping"


def traces_wanting(facts: Facts) -> Iterator[Found]:
    """OpenTelemetry's variables ask for traces, and there are none."""
    if facts.traces_problem is not None:
        yield Level.WARNING, f"there are no traces: {facts.traces_problem}", "docs/tracing.md"


def package_untried(facts: Facts) -> Iterator[Found]:
    """A version of Faust or aiokafka that the engine was not made for: it reaches into both."""
    for package in facts.packages:
        if not package.fits:
            yield (
                Level.ERROR,
                f"{package.name} {package.found} is installed, and {package.wanted} is wanted",
                f"pip install '{package.name}{package.wanted}'",
            )


def open_files_few(facts: Facts) -> Iterator[Found]:
    """A limit that many connections run into."""
    if facts.open_files is not None and facts.open_files < LEAST_FILES:
        yield (
            Level.WARNING,
            f"this process may have {facts.open_files} files and connections open at once",
            f"ulimit -n {LEAST_FILES}, or LimitNOFILE= of the service",
        )


def broker_in_the_clear(facts: Facts) -> Iterator[Found]:
    """Customers' data on the network, readable by anyone on the way."""
    settings = facts.settings
    if settings is None or settings.security_protocol != "PLAINTEXT":
        return
    hosts = [address.rpartition(":")[0].strip() for address in settings.brokers.split(",")]
    if far := [host for host in hosts if not _near(host)]:
        yield (
            Level.WARNING,
            f"records go to {far[0]} in the clear (CX_SECURITY_PROTOCOL=PLAINTEXT)",
            "CX_SECURITY_PROTOCOL=SSL or SASL_SSL; docs/production.md",
        )


def redis_in_the_clear(facts: Facts) -> Iterator[Found]:
    """The read model's password and data on the network."""
    settings = facts.settings
    if settings is None or settings.redis_url is None:
        return
    url = urlsplit(settings.redis_url.get_secret_value())
    if url.scheme == "redis" and url.hostname and not _near(url.hostname):
        yield (
            Level.WARNING,
            f"the read model goes to {url.hostname} in the clear",
            "rediss://…; docs/read-model.md",
        )


def pseudonyms_guessable(facts: Facts) -> Iterator[Found]:
    """Fingerprints of the erased that anyone with the topic can try ids against."""
    settings = facts.settings
    if settings is not None and settings.pseudonym_key is not None and settings.privacy_key is None:
        yield (
            Level.NOTE,
            "CX_PSEUDONYM_KEY is set and CX_PRIVACY_KEY is not: who can read cx.erasures can try ids against it",
            "set CX_PRIVACY_KEY before the first erasure",
        )


def metrics_exposed(facts: Facts) -> Iterator[Found]:
    """/metrics and /health have no key."""
    settings = facts.settings
    if settings is not None and not _near(settings.http_host):
        yield (
            Level.NOTE,
            f"/metrics and /health listen on CX_HTTP_HOST={settings.http_host}, without a key",
            "let only Prometheus and the orchestrator reach that port, or listen on 127.0.0.1",
        )


def api_open(facts: Facts) -> Iterator[Found]:
    """An API that others reach needs keys; cx serve refuses to start without."""
    settings = facts.settings
    if settings is not None and settings.api_keys is None and not _near(settings.api_host):
        yield (
            Level.ERROR,
            f"CX_API_HOST={settings.api_host} can be reached from elsewhere, and CX_API_KEYS is not set",
            "set keys, or listen on 127.0.0.1; docs/api.md",
        )


def memory_short_of_duplicates(facts: Facts) -> Iterator[Found]:
    """A producer that sends again later than ids are remembered counts twice."""
    settings = facts.settings
    if settings is not None and settings.dedup_horizon_ms < settings.late_horizon_ms:
        yield (
            Level.WARNING,
            "CX_DEDUP_HORIZON_MS is less than CX_LATE_HORIZON_MS",
            "make it at least as long: a repeat that comes later than ids are remembered counts twice",
        )


def _near(host: str) -> bool:
    """Whether a host is this machine."""
    if host in {"localhost", ""}:
        return True
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False


CHECKS: Final = (
    settings_wrong,
    setting_unknown,
    traces_wanting,
    package_untried,
    rules_wrong,
    rules_doubtful,
    rules_none,
    delivery_wrong,
    adapters_wrong,
    broker_in_the_clear,
    redis_in_the_clear,
    api_open,
    metrics_exposed,
    pseudonyms_guessable,
    memory_short_of_duplicates,
    open_files_few,
)
