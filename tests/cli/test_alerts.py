"""``cx alerts``: what fires, and why something did or did not."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
from confluent_kafka import Producer

from stream import topics
from stream.accounts.account import accounts
from stream.accounts.records import Found
from stream.accounts.words import OLD_LOG_MS, headline
from stream.alerting.claims import Action, Claim, Decision, fingerprint
from stream.alerting.decisions import encode_decisions
from stream.alerting.events import encode_event

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Callable
    from pathlib import Path

    from stream.brokers.embedded import EmbeddedKafka

AT = 1_772_366_400_000  # 2026-03-01T12:00:00Z
MINUTE = 60_000
RULES = """\
slices: [[segment]]
groups:
  - name: g
    rules:
      - {alert: NpsLow, metric: nps, by: [segment], window: 1h, below: 30, evidence: interval, min_n: 50,
         resolve: {above: 35}}
      - {alert: Quiet, metric: csat, window: 1h, below: 30}
      - {alert: Unhappy, on: reply, when: {metric: nps, score: {lte: 6}}}
"""
LATER = RULES.replace("below: 30", "below: 20")


def claim(state: Any, reason: str, minutes: int, segment: str = "vip", **more: Any) -> Claim:
    """A claim of NpsLow that began at AT."""
    labels = {"segment": segment}
    at = AT + minutes * MINUTE
    said: dict[str, Any] = {
        "id": f"{state}-{segment}-{minutes}",
        "alert": "NpsLow",
        "subject": f"nps{{segment={segment}}}",
        "severity": "critical",
        "fingerprint": fingerprint("NpsLow", labels),
        "labels": labels,
        "annotations": {"summary": f"NPS of {segment} is low"},
        "starts_at_ms": AT,
        "ends_at_ms": at if state in {"resolved", "withdrawn"} else None,
        "figures": {
            "metric": "nps", "window": "1h", "value": 12.5, "n": 240, "interval": [4.1, 20.9], "below": 30.0,
            "evidence": "interval", "confidence": 0.95,
        },
        "action": Action("callback", "retail", AT + 120 * MINUTE),
    }  # fmt: skip
    return Claim(state=state, reason=reason, as_of_ms=at, **{**said, **more})


def single(customer: str) -> Claim:
    """An alert about one reply."""
    mark = fingerprint("Unhappy", {}, customer)
    return claim(
        "firing", "matched", 0, id=customer, alert="Unhappy", subject=f"customer:{customer}", severity="warning",
        fingerprint=mark, labels={}, annotations={}, action=None,
        figures={"on": "reply", "signal": "nps", "reasons": [{"field": "score", "value": 3, "lte": 6}]},
    )  # fmt: skip


def decision(stage: Any, reason: str, minutes: int, segment: str = "vip", **figures: Any) -> Decision:
    """A decision about NpsLow."""
    labels = {"segment": segment}
    at = AT + minutes * MINUTE
    return Decision(stage, "NpsLow", fingerprint("NpsLow", labels), labels, reason, at + MINUTE, at, figures)


@pytest.fixture
def tell(embedded_kafka: EmbeddedKafka) -> Callable[..., None]:
    """Put claims on cx.alerts, decisions on cx.decisions, and other records where they belong."""

    def put(*told: Claim | Decision | tuple[str, str, dict[str, Any]]) -> None:
        producer = Producer({"bootstrap.servers": embedded_kafka.bootstrap, "log_level": 0})
        for each in told:
            if isinstance(each, Claim):
                producer.produce(topics.ALERTS, encode_event(each), each.fingerprint)
            elif isinstance(each, Decision):
                for key, value in encode_decisions([each]).items():
                    producer.produce(topics.DECISIONS, value, key)
            else:
                producer.produce(each[0], json.dumps(each[2]), each[1])
        assert producer.flush(20) == 0

    return put


@pytest.fixture
def run(
    cx: Callable[..., subprocess.CompletedProcess[str]], embedded_kafka: EmbeddedKafka, tmp_path: Path
) -> Callable[..., subprocess.CompletedProcess[str]]:
    """``cx alerts …`` with the rules of the workers."""
    (tmp_path / "rules.yml").write_text(RULES)

    def call(*arguments: str, **env: str) -> subprocess.CompletedProcess[str]:
        return cx(
            "alerts", *arguments, **{"CX_BROKERS": embedded_kafka.bootstrap, "CX_RULES": "rules.yml", **env}
        )

    return call


Run = "Callable[..., subprocess.CompletedProcess[str]]"


def said(done: subprocess.CompletedProcess[str]) -> dict[str, list[str]]:
    """Heading -> texts, of one account in words."""
    assert done.returncode == 0, done.stderr
    found: dict[str, list[str]] = {}
    for line in done.stdout.splitlines():
        if line.startswith("  ") and not line.startswith("   "):
            found.setdefault(line[2:12].strip(), []).append(line[14:])
    return found


def test_what_fires_is_listed_the_most_severe_first(run: Run, tell: Callable[..., None]) -> None:
    """What is over is left out, and so are single customers unless all are asked for; a repeat counts once."""
    assert run("list").stderr == "nothing fires\n"
    low = claim("firing", "first_crossing", 0, "new", severity="warning")
    tell(low, low, single("c-1"), claim("firing", "first_crossing", 1))
    tell(claim("firing", "first_crossing", 0, "old"), claim("resolved", "resolved", 9, "old"))
    done = run("list")
    assert done.returncode == 0
    assert [line.split()[:3] for line in done.stdout.splitlines()] == [
        ["critical", "NpsLow", "nps{segment=vip}"],
        ["warning", "NpsLow", "nps{segment=new}"],
    ]
    assert "FIRING since 2026-03-01 12:00:00Z" in done.stdout
    assert done.stderr == "and 1 about single customers: --all\n"
    everything = [json.loads(line) for line in run("list", "--all", "--json").stdout.splitlines()]
    assert [(each["subject"], each["data"]["state"]) for each in everything] == [
        ("nps{segment=vip}", "firing"),
        ("nps{segment=new}", "firing"),
        ("customer:c-1", "firing"),
        ("nps{segment=old}", "resolved"),
    ]
    assert len(run("list", "--all", "--rule", "Unhappy").stdout.splitlines()) == 1
    assert "and 3 more: --limit 4" in run("list", "--all", "--limit", "1").stderr


@pytest.mark.parametrize(
    ("behind_ms", "newer_min", "length"),
    [
        (MINUTE, 0, "2h5m"),
        (OLD_LOG_MS - 1, 30, "2h5m"),
        (OLD_LOG_MS, 0, "an old log, nothing newer is known of it"),
        (300 * 24 * 60 * MINUTE, 30, "an old log: 31m up to 2026-03-01 12:31:00Z, the newest known of it"),
    ],
)
def test_how_long_it_fires_goes_by_the_clock_only_where_it_was_told_in_time(
    behind_ms: int, newer_min: int, length: str
) -> None:
    """On a log of last winter the wall clock says nothing: up to what is known, and that is said."""
    told = {topics.ALERTS: [Found(b"", encode_event(claim("firing", "first_crossing", 0)), AT + behind_ms)]}
    if newer_min:
        newer = decision("judge", "still_firing", newer_min)
        told[topics.DECISIONS] = [Found(*pair, 0) for pair in encode_decisions([newer]).items()]
    [account] = accounts(told)
    assert headline(account, AT + 125 * MINUTE) == f"FIRING since 2026-03-01 12:00:00Z ({length})"


def test_what_was_told_once_is_so_long_ago_or_of_an_old_log() -> None:
    """A rule on one record has no end; how long ago it was is a matter of the clock as well."""
    for at, words in ((AT, "2h5m ago"), (AT + OLD_LOG_MS, "an old log, nothing newer is known of it")):
        [account] = accounts({topics.ALERTS: [Found(b"", encode_event(single("c-1")), at)]})
        said = f"told once, at 2026-03-01 12:00:00Z ({words}); it has no end"
        assert headline(account, AT + 125 * MINUTE) == said


def test_a_firing_alert_says_what_why_since_when_and_what_to_do(run: Run, tell: Callable[..., None]) -> None:
    """By its fingerprint or its rule: evidence in figures, action, what was done, and when it is over."""
    firing = claim("firing", "first_crossing", 0)
    action = {"fingerprint": firing.fingerprint, "at": AT + MINUTE, "by": "ada", "status": "acknowledged"}
    tell(firing, (topics.ACTIONS, firing.fingerprint, action))
    done = run("explain", firing.fingerprint)
    assert done.stdout == run("explain", "NpsLow").stdout
    assert done.stdout.startswith(f"NpsLow  nps{{segment=vip}}  {firing.fingerprint}  critical\n")
    found = said(done)
    assert found["now"] == ["FIRING since 2026-03-01 12:00:00Z (an old log, nothing newer is known of it)"]
    assert found["why"] == [
        (
            "the line was crossed, with the evidence that the rule asks for (first_crossing): The 95 %"
            " interval, 4.1 to 20.9, lies below 30 on 240 replies."
        )
    ]
    assert found["what"] == ["NPS of vip is low"]
    assert found["to do"] == ["callback by retail, due 2026-03-01 14:00:00Z"]
    assert found["done"] == ["acknowledged by ada at 2026-03-01 12:01:00Z"]
    assert found["over when"] == ["nps over 1h is above 35 on at least 50 replies"]
    assert (
        "    2026-03-01 12:00:00Z  firing  first_crossing  value 12.5, n 240, interval 4.1 to 20.9"
        in done.stdout
    )


def test_an_alert_that_is_over_says_how_long_it_was_and_what_is_so_now(
    run: Run, tell: Callable[..., None]
) -> None:
    """A later decision is told beside the end; one from before it is not."""
    tell(claim("firing", "first_crossing", 0), claim("resolved", "resolved", 40))
    tell(decision("judge", "in_cooldown", 45), decision("lane", "told", 0))
    found = said(run("explain", "NpsLow"))
    assert found["now"] == ["over since 2026-03-01 12:40:00Z; it fired from 2026-03-01 12:00:00Z on, for 40m"]
    assert "(in_cooldown) since 2026-03-01 12:45:00Z" in found["why"][1]
    assert len(found["why"]) == 2
    assert found["it takes"] == ["the cooldown has to end"]


def test_an_alert_that_never_was_says_why_and_what_it_takes(run: Run, tell: Callable[..., None]) -> None:
    """Reason in words and by name, figures, since when, and the rule in one sentence."""
    tell(decision("judge", "not_enough_replies", 0, n=12, min_n=50, value=8.25, nothing=None))
    found = said(run("explain", "NpsLow"))
    assert found["now"] == ["not firing, and nothing was told"]
    assert found["why"] == [
        (
            "the window has fewer replies than `min_n`, or too few for an interval (not_enough_replies) since"
            " 2026-03-01 12:00:00Z: n 12, min_n 50, value 8.25"
        )
    ]
    assert found["it takes"] == ["more replies have to come, or `min_n` be lower"]
    assert found["fires when"] == [
        (
            "nps over the last 1h is below 30, with the whole of its 95 % interval, on at least 50 replies;"
            " for each segment"
        )
    ]


def test_an_alert_that_is_kept_back_names_the_silence(run: Run, tell: Callable[..., None]) -> None:
    """It fires and is not told: by which silence, whose, why, until when, and how to end it."""
    silence = {
        "id": "s-1", "matchers": ['segment="vip"'], "starts_at": AT, "ends_at": 4_000_000_000_000,
        "author": "ada", "comment": "new tills",
    }  # fmt: skip
    over = {**silence, "id": "s-0", "ends_at": AT + 1}
    tell((topics.SILENCES, "s-1", silence), (topics.SILENCES, "s-0", over))
    figures = {"silence": "s-1", "until_ms": AT + MINUTE}
    tell(decision("judge", "first_crossing", 0), decision("lane", "silenced", 0, **figures))
    tell(decision("lane", "silenced", 0, "other"))
    mark = fingerprint("NpsLow", {"segment": "vip"})
    found = said(run("explain", mark))
    assert found["now"] == ["fires and is not told: silenced"]
    assert found["why"][1] == (
        "a silence keeps it back (silenced) since 2026-03-01 12:00:00Z: silence s-1, until 2026-03-01 12:01:00Z"
    )
    [by] = found["silenced"]
    assert by == "by s-1 until 2096-10-02 07:06:40Z: new tills (ada); cx silences expire s-1 ends it"
    assert "silenced" not in said(run("explain", fingerprint("NpsLow", {"segment": "other"})))


def test_a_single_customers_alert_names_its_tests(run: Run, tell: Callable[..., None]) -> None:
    """What was read and what was asked; it has no end."""
    tell(single("c-1"))
    found = said(run("explain", "Unhappy"))
    assert found["now"][0].startswith("told once, at 2026-03-01 12:00:00Z (")
    assert found["why"] == ["a record passed every test of the rule (matched): score is 3 (lte 6)"]


def test_the_rules_are_those_in_force_when_it_was_decided(run: Run, tell: Callable[..., None]) -> None:
    """Not those that hold later; and without a rules file half an answer is better than none."""
    version = {"valid_from": "2026-03-01T13:00:00Z", "rules": LATER, "name": "later.yml"}
    tell((topics.RULES, "2026-03-01T13:00:00Z", version), decision("judge", "ok", 0))
    assert "is below 30" in said(run("explain", "NpsLow"))["fires when"][0]
    tell(decision("judge", "ok", 60))
    assert "is below 20" in said(run("explain", "NpsLow"))["fires when"][0]
    done = run("explain", "NpsLow", CX_RULES="absent.yml")
    assert "the rules file is left out" in done.stderr
    assert said(done)["rule"] == [
        "NpsLow is not in the rules known here: they are those of CX_RULES and cx.rules"
    ]


def test_many_alerts_of_a_rule_are_counted(run: Run, tell: Callable[..., None]) -> None:
    """What fires first, then the newest, twenty of them; the others by reason."""
    tell(*(decision("judge", "ok" if n % 2 else "no_data", n, f"s{n}") for n in range(30)))
    tell(claim("firing", "first_crossing", 0))
    done = run("explain", "NpsLow")
    assert done.stdout.count("NpsLow  ") == 20
    assert done.stdout.startswith("NpsLow  nps{segment=vip}")
    assert done.stdout.endswith("\nand 11 more (6 no_data, 5 ok): --all\n")
    assert run("explain", "NpsLow", "--all").stdout.count("NpsLow  ") == 31


def test_explain_as_json(run: Run, tell: Callable[..., None]) -> None:
    """The same words, and the events, decisions and actions as they are on the topics."""
    firing = claim("firing", "first_crossing", 0)
    tell(firing, decision("lane", "told", 0))
    found = json.loads(run("explain", "NpsLow", "--json").stdout)
    assert found["rule"]["fires when"].startswith("nps over the last 1h is below 30")
    [one] = found["alerts"]
    assert (one["fingerprint"], one["firing"], one["held_back"]) == (firing.fingerprint, True, None)
    assert one["events"] == [json.loads(encode_event(firing))]
    assert one["decisions"][0]["reason"] == "told"
    assert one["words"][0][0] == "now"


def test_what_is_not_known(run: Run, tell: Callable[..., None]) -> None:
    """A rule about which nothing was decided says so, with what it asks for; a name of nothing is a finding."""
    done = run("explain", "Quiet")
    assert done.returncode == 0
    assert "nothing was decided about it yet" in done.stdout
    assert "csat over the last 1h is below 30" in done.stdout
    tell((topics.ALERTS, "x", {"data": 5}), (topics.DECISIONS, "y", {"Nothing": 1}))
    for what, why in (
        ("Nothing", "no rule and no alert has this name"),
        ("0" * 16, "no alert has this finger"),
    ):
        done = run("explain", what)
        assert done.returncode == 1
        assert why in done.stderr
