"""An account of an alert in words: what happened, why, since when, and what would make it fire."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from stream.accounts.account import clock, moment
from stream.alerting.described import fires_when, over_when, where_of
from stream.alerting.durations import roughly
from stream.alerting.reasons import words_of
from stream.alerting.words import in_words as evidence_in_words

if TYPE_CHECKING:
    from collections.abc import Mapping

    from stream.accounts.account import Account
    from stream.alerting.hygiene import Silence
    from stream.alerting.model import Rule

MOST_EVENTS: Final = 10
#: An alert told this long after its event time, or longer, is of an old log: the wall clock says nothing of it.
OLD_LOG_MS: Final = 3_600_000
_MOST_FIGURES: Final = 12
_STATES: Final = {
    "firing": "FIRING",
    "amended": "FIRING, with figures that late data changed",
    "no_data": "FIRING when last heard of; nothing is heard any more",
    "resolved": "over",
    "withdrawn": "withdrawn: late data showed that it never was so",
}


def headline(account: Account, now_ms: int) -> str:
    """What is the case, in a few words.

    How long it has been so is counted up to ``now_ms``, the wall clock; on an old log up to the newest event time
    that is known of the alert, and that is said.
    """
    last = account.last
    if last is None:
        if account.held_back:
            return f"fires and is not told: {account.held_back.replace('_', ' ')}"
        return "not firing, and nothing was told"
    since = moment(last["starts_at"])
    said = _STATES.get(last["state"], last["state"])
    if account.firing:
        if account.of_customer and last["ends_at"] is None and last["claim"].get("reasons") is not None:
            return f"told once, at {clock(since)} ({_long(account, since, now_ms, ' ago')}); it has no end"
        return f"{said} since {clock(since)} ({_long(account, since, now_ms)})"
    ended = moment(last["ends_at"] or last["as_of"])
    return (
        f"{said} since {clock(ended)}; it fired from {clock(since)} on, for {roughly(max(0, ended - since))}"
    )


def _long(account: Account, since: int, now_ms: int, ago: str = "") -> str:
    if account.behind_ms() < OLD_LOG_MS:
        return f"{roughly(max(0, now_ms - since))}{ago}"
    newest = account.as_of_ms
    if newest <= since:
        return "an old log, nothing newer is known of it"
    return f"an old log: {roughly(newest - since)} up to {clock(newest)}, the newest known of it"


def lines(account: Account, rule: Rule | None, silences: list[Silence], now_ms: int) -> list[tuple[str, str]]:
    """Heading and text, in the order in which someone on call wants them."""
    said = [("now", headline(account, now_ms))]
    said += [("why", text) for text in whys(account)]
    if summary := _summary(account):
        said.append(("what", summary))
    for each in silences:
        until = f"until {clock(each.ends_at_ms)}: {each.comment} ({each.author})"
        said.append(("silenced", f"by {each.id} {until}; cx silences expire {each.id} ends it"))
    said += _to_do(account)
    said += _ahead(account, rule)
    return said


def whys(account: Account) -> list[str]:
    """The evidence of what was told, and every decision since, in words and figures."""
    found = []
    if account.last is not None:
        found.append(_told(account.last))
    told_at = moment(account.last["as_of"]) if account.last is not None else None
    for stage in ("judge", "customer", "lane"):
        decision = account.decisions.get(stage)
        if decision is None or (told_at is not None and moment(decision["as_of"]) < told_at):
            continue
        if account.last is not None and decision["reason"] == account.last["reason"]:
            continue
        found.append(decided(decision))
    return found


def decided(decision: Mapping[str, Any]) -> str:
    """One decision: the reason in words and by name, since when, and its figures."""
    figures = figures_in_words(decision.get("figures", {}))
    return (
        f"{words_of(decision['reason']).why} ({decision['reason']}) since {clock(moment(decision['since']))}"
        f"{': ' + figures if figures else ''}"
    )


def figures_in_words(figures: Mapping[str, Any]) -> str:
    """``n 12, min_n 50``: the figures there are, nested ones left to --json."""
    parts = []
    for name, value in figures.items():
        if isinstance(value, bool) or value is None or isinstance(value, dict):
            continue
        if isinstance(value, list | tuple):
            if not value or not all(isinstance(each, int | float) for each in value):
                continue
            parts.append(f"{name} {' to '.join(_number(each) for each in value)}")
        elif name.endswith("_ms"):
            parts.append(f"{name.removesuffix('_ms')} {clock(int(value))}")
        else:
            parts.append(f"{name} {_number(value)}")
    return ", ".join(parts[:_MOST_FIGURES])


def history(account: Account) -> list[list[str]]:
    """The newest events as rows: when, state, reason, figures."""
    return [
        [
            clock(moment(event["data"]["as_of"])),
            event["data"]["state"],
            event["data"]["reason"],
            figures_in_words(
                {
                    name: value
                    for name, value in event["data"]["claim"].items()
                    if name in {"value", "n", "interval", "burns", "e_value", "signal"}
                }
            ),
        ]
        for event in account.events[-MOST_EVENTS:]
    ]


def rule_in_words(rule: Rule) -> list[tuple[str, str]]:
    """What a rule says, heading and text."""
    said = [("fires when", f"{fires_when(rule)}; {where_of(rule)}")]
    over = over_when(rule)
    if over is not None:
        said.append(("over when", over))
    return said


def _told(last: Mapping[str, Any]) -> str:
    reason, state = str(last["reason"]), last["state"]
    claim = last["claim"]
    evidence = ""
    if "metric" in claim:
        evidence = evidence_in_words(claim, resolved=state in {"resolved", "withdrawn"})
    elif claim.get("reasons"):
        evidence = "; ".join(_test(each) for each in claim["reasons"])
    else:
        evidence = figures_in_words(claim)
    why = words_of(reason).why
    return f"{why} ({reason}){': ' + evidence if evidence else ''}"


def _test(reason: Mapping[str, Any]) -> str:
    tests = [f"{op} {value}" for op, value in reason.items() if op not in {"field", "value"}]
    shown = f" is {reason['value']}" if "value" in reason else ""
    return f"{reason.get('field', '')}{shown} ({', '.join(tests)})".replace(" ()", "")


def _summary(account: Account) -> str:
    return "" if account.last is None else str(account.last.get("annotations", {}).get("summary", ""))


def _to_do(account: Account) -> list[tuple[str, str]]:
    said = []
    last = account.last
    if last is not None and account.firing:
        action = last.get("action")
        if action:
            owner = f" by {action['owner']}" if action.get("owner") else ""
            due = f", due {clock(moment(action['due_by']))}" if action.get("due_by") else ""
            held = "; held out: do nothing, to learn what acting is worth" if last.get("hold_out") else ""
            said.append(("to do", f"{action['type']}{owner}{due}{held}"))
        risk = last.get("at_risk")
        if risk:
            money = f", {risk['value']:g} {risk['currency']}" if risk.get("value") is not None else ""
            said.append(("at risk", f"{risk['customers']} customers{money}"))
        for driver in last.get("drivers", ())[:3]:
            members = ", ".join(f"{name} {value}" for name, value in driver["slice"].items())
            said.append(("driver", f"{members}: service {driver['service']:+.3g}, mix {driver['mix']:+.3g}"))
        said += [("link", f"{name}: {address}") for name, address in last.get("links", {}).items()]
    for action in account.actions[-3:]:
        by = f" by {action['by']}" if action.get("by") else ""
        outcome = f", {action['outcome']}" if action.get("outcome") else ""
        said.append(("done", f"{action['status']}{by} at {clock(moment(action['at']))}{outcome}"))
    return said


def _ahead(account: Account, rule: Rule | None) -> list[tuple[str, str]]:
    """What would make it fire, or end."""
    said: list[tuple[str, str]] = []
    newest = max(account.decisions.values(), key=lambda each: moment(each["as_of"]), default=None)
    if newest is not None and not account.firing and (then := words_of(newest["reason"]).then):
        said.append(("it takes", then))
    if rule is None:
        said.append(
            (
                "rule",
                f"{account.alert} is not in the rules known here: they are those of CX_RULES and cx.rules",
            )
        )
        return said
    over = over_when(rule)
    if account.firing and over is not None:
        said.append(("over when", over))
    said.append(("fires when", f"{fires_when(rule)}; {where_of(rule)}"))
    return said


def _number(value: Any) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)
