"""``cx explain``: what a change is made of, member by member, and where to look first."""

from __future__ import annotations

import json
from fractions import Fraction
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import click

from stream.cli.problems import Problem
from stream.cli.shape import Command
from stream.cli.snapshots import Snapshot, Value, groupings_of, read_snapshots
from stream.measures import METRICS, WHOLE, parse_slice
from stream.measures.explain import Blame, Change, Rate, Share, adtributor, decompose
from stream.measures.moments import Comparable

if TYPE_CHECKING:
    from collections.abc import Mapping

_ALSO_MEANS: Final = ("churn_rate", "retention_rate", "acquisition_cost")
_REST: Final = "(rest)"
_PERCENT: Final = 100
_ROUNDING: Final = 1e-6  # hits that a rest without any may seem to have

Members = dict[str, tuple[int, float]]
"""Slice key, or ``(rest)``, -> (n, value)."""


class Account(NamedTuple):
    """A change over one grouping.

    Attributes:
        by: Its dimensions.
        before: Members in the earlier period.
        after: Members in the later one.
        change: What became of it.
        overlap: Whether the members are more than the whole: an event counts in several of them.
    """

    by: tuple[str, ...]
    before: Members
    after: Members
    change: Change
    overlap: bool


@click.command(
    cls=Command,
    examples="""
    cx explain metrics.ndjson --metric nps --window 1h --against 7d
    cx explain metrics.ndjson --metric csat --by channel --window 24h --before yesterday.ndjson
    kcat -C -b localhost:9092 -t cx.metrics -e -q | cx explain - --metric csat --against 30d --json
    """,
)
@click.argument("files", metavar="FILE...", nargs=-1, required=True)
@click.option("--metric", required=True, help="Which metric changed; it must be a mean.")
@click.option(
    "--by", multiple=True, help="Grouping, as channel or channel,segment; repeatable.  [default: all]"
)
@click.option("--window", default="1h", show_default=True, help="The window to explain.")
@click.option("--against", help="The window that it is held against.  [default: the same, with --before]")
@click.option("--before", "before_file", metavar="FILE", help="Objects of an earlier time to hold against.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object on stdout.")
def explain(
    files: tuple[str, ...],
    metric: str,
    by: tuple[str, ...],
    window: str,
    against: str | None,
    before_file: str | None,
    as_json: bool,
) -> None:
    """Say what a change of a metric is made of: service (members changed) and mix (their shares did).

    Reads cx.metrics objects, one a line, as cx compute writes them; of each slice the newest counts. The
    earlier values are those of another window of the same objects, or of --before. For rates and NPS it says
    as well which grouping concentrates the change (Adtributor).
    """
    if against is None and before_file is None:
        raise click.UsageError("a change needs something to hold against: --against WINDOW or --before FILE")
    if before_file is None and against == window:
        raise click.UsageError("--against is the window itself; nothing can have changed")
    _check_mean(metric)
    after = read_snapshots(files)
    before = after if before_file is None else read_snapshots([before_file])
    earlier = against or window
    groupings = _groupings(by, after)
    old, new = _values(before, metric, earlier), _values(after, metric, window)
    if metric == "ces" and any(value.value is None for value in (*old.values(), *new.values())):
        old, new = _normalised(old), _normalised(new)
    accounts = [account for grouping in groupings if (account := _account(grouping, old, new)) is not None]
    if not accounts:
        raise Problem(
            f"no values of {metric} by {_listed(groupings)} over both {earlier} before and {window} now"
        )
    ranking = _ranking(metric, accounts, old, new)
    as_of = max(snapshot.as_of for snapshot in after.values()).isoformat().replace("+00:00", "Z")
    head = {"metric": metric, "window": window, "against": earlier, "as_of": as_of}
    if as_json:
        found = {**head, "groupings": [_account_json(each) for each in accounts]}
        if ranking is not None:
            found["ranking"] = [_blame_json(blame) for blame in ranking]
        click.echo(json.dumps(found, ensure_ascii=False))
        return
    click.echo(f"{metric}, {window} against {earlier}{' before' if before_file else ''}, as of {as_of}")
    for account in accounts:
        click.echo("\n" + "\n".join(_table(account)))
    if ranking is not None:
        click.echo("\n" + "\n".join(_told(ranking)))


def _check_mean(metric: str) -> None:
    known = METRICS.get(metric)
    if known is None:
        raise Problem(f"--metric: {metric!r} is no metric: {', '.join(METRICS)}")
    if not isinstance(known, Comparable) and metric not in _ALSO_MEANS:
        means = [
            name for name, each in METRICS.items() if isinstance(each, Comparable) or name in _ALSO_MEANS
        ]
        raise Problem(
            f"--metric: {metric} is no mean, so it has no service and mix; means are {', '.join(means)}"
        )


def _groupings(by: tuple[str, ...], after: Mapping[str, Snapshot]) -> list[tuple[str, ...]]:
    found = groupings_of(after.values())
    if not found:
        raise Problem("the objects are all of the whole; add groupings to `slices` of the rules file")
    if not by:
        return found
    wanted = [tuple(sorted(name.strip() for name in each.split(","))) for each in by]
    for grouping in wanted:
        if grouping not in found:
            known = "; ".join(",".join(each) for each in found)
            raise Problem(f"--by: there are no objects by {','.join(grouping)}, only by {known}")
    return wanted


def _values(snapshots: Mapping[str, Snapshot], metric: str, window: str) -> dict[str, Value]:
    return {
        key: value
        for key, snapshot in snapshots.items()
        if (value := snapshot.metrics.get(metric, {}).get(window)) is not None and value.n > 0
    }


def _normalised(values: dict[str, Value]) -> dict[str, Value]:
    """Effort on several scales: on 0..100, as there is no other common one."""
    return {
        key: Value(value.n, value.parts["normalised"], value.parts)
        for key, value in values.items()
        if "normalised" in value.parts
    }


def _account(by: tuple[str, ...], old: Mapping[str, Value], new: Mapping[str, Value]) -> Account | None:
    """The change over a grouping; None where a period has no values of it."""
    before, after = _members(by, old), _members(by, new)
    if not before or not after:
        return None
    rests = _rest(before, old.get(WHOLE)), _rest(after, new.get(WHOLE))
    overlap = any(n < 0 for n, _ in rests)
    if not overlap:
        for members, rest in zip((before, after), rests, strict=True):
            if rest[0]:
                members[_REST] = rest
    return Account(by, before, after, decompose(before, after), overlap)


def _members(by: tuple[str, ...], values: Mapping[str, Value]) -> Members:
    return {
        key: (value.n, value.value)
        for key, value in values.items()
        if value.value is not None and tuple(sorted(parse_slice(key))) == by
    }


def _rest(members: Members, whole: Value | None) -> tuple[int, float]:
    """What of the whole is in no member: events without the dimension, and slices that are not published."""
    if whole is None or whole.value is None:
        return 0, 0.0
    n = whole.n - sum(n for n, _ in members.values())
    if n <= 0:
        return n, 0.0
    total = whole.n * Fraction(whole.value) - sum(n * Fraction(value) for n, value in members.values())
    return n, float(total / n)


def _ranking(
    metric: str, accounts: list[Account], old: Mapping[str, Value], new: Mapping[str, Value]
) -> list[Blame] | None:
    """Groupings that concentrate the change; None where the metric is no rate."""
    if metric != "nps" and METRICS[metric].unit != "percent":
        return None
    groupings = {}
    for account in accounts:
        before = _rates(metric, account.before, old)
        after = _rates(metric, account.after, new)
        if before is not None and after is not None:
            groupings[",".join(account.by)] = before, after
    return adtributor(groupings)


def _rates(metric: str, members: Members, values: Mapping[str, Value]) -> dict[str, Rate] | None:
    """Hits and n of each member; of NPS the hits are the detractors. None where there are fewer than no hits."""
    found = {}
    for key, (n, value) in members.items():
        if metric != "nps":
            hits = n * value / _PERCENT
        elif "detractors" in (parts := values[key].parts if key in values else {}):
            hits = n * parts["detractors"]
        else:
            continue
        if hits < -_ROUNDING:
            return None
        found[key] = Rate(max(hits, 0.0), n)
    return found


def _name(key: str) -> str:
    return key if key == _REST else ", ".join(parse_slice(key).values())


def _listed(groupings: list[tuple[str, ...]]) -> str:
    return " or ".join(",".join(grouping) for grouping in groupings)


def _table(account: Account) -> list[str]:
    change = account.change
    whole = Share(
        "together",
        sum(n for n, _ in account.before.values()),
        sum(n for n, _ in account.after.values()),
        change.before,
        change.after,
        change.service,
        change.mix,
    )
    rows: list[tuple[str, ...]] = [("", "n before", "n after", "before", "after", "service", "mix", "sum")]
    rows += [_row(_name(share.member), share) for share in change.shares]
    rows.append(_row(whole.member, whole))
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    lines = [f"by {','.join(account.by)}"]
    for name, *figures in rows:
        cells = [f"{figure:>{width}}" for figure, width in zip(figures, widths[1:], strict=True)]
        lines.append("  ".join((f"{name:<{widths[0]}}", *cells)))
    if account.overlap:
        lines.append("An event can be in several of these: they are explained together, not the whole.")
    return lines


def _row(name: str, share: Share) -> tuple[str, ...]:
    return (
        name,
        f"{share.n_before:,}",
        f"{share.n_after:,}",
        "-" if share.before is None else f"{share.before:.2f}",
        "-" if share.after is None else f"{share.after:.2f}",
        f"{share.service:+.2f}",
        f"{share.mix:+.2f}",
        f"{share.service + share.mix:+.2f}",
    )


def _told(ranking: list[Blame]) -> list[str]:
    if not ranking:
        return ["No grouping has a few members that explain most of the change."]
    lines = ["Where to look first:"]
    for blame in ranking:
        names = "; ".join(f"{_name(each.member)} ({each.power:.0%})" for each in blame.suspects)
        lines.append(f"  {blame.grouping}: {names}, together {blame.power:.0%} of the change")
    return lines


def _member(key: str) -> dict[str, str] | None:
    return None if key == _REST else parse_slice(key)


def _account_json(account: Account) -> dict[str, Any]:
    change = account.change
    return {
        "by": list(account.by),
        "before": change.before,
        "after": change.after,
        "change": change.change,
        "service": change.service,
        "mix": change.mix,
        "overlap": account.overlap,
        "members": [{**share._asdict(), "member": _member(share.member)} for share in change.shares],
    }


def _blame_json(blame: Blame) -> dict[str, Any]:
    return {
        "by": blame.grouping.split(","),
        "power": blame.power,
        "surprise": blame.surprise,
        "members": [{**each._asdict(), "member": _member(each.member)} for each in blame.suspects],
    }
