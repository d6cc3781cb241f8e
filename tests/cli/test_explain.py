"""``cx explain``."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
from click.testing import CliRunner

from stream.cli.root import cx as root
from stream.measures import all_values, encode_metrics
from stream.measures.explain import decompose

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from click.testing import Result

AT = 1_768_204_800_000
"""2026-01-12T08:00:00Z."""

# (promoters, passives, detractors) by channel: chat got worse, the web did not, and both lost share to the phone.
WEEK = {"chat": (60, 20, 20), "web": (60, 20, 20), "phone": (10, 5, 5)}
HOUR = {"chat": (2, 2, 16), "web": (12, 4, 4), "phone": (10, 5, 5)}


def stats(nps) -> dict[str, list[int]]:
    """Sums of NPS and of the same replies as CSAT."""
    return {"nps": list(nps), "csat": [nps[0], sum(nps)]}


def objects(week=WEEK, hour=HOUR, at=AT, by="channel", rest=(0, 0, 0), whole=True) -> str:
    """Objects of every channel and of the whole, as they are published."""
    slices = {json.dumps({by: name}): (week.get(name), hour.get(name)) for name in {**week, **hour}}
    if whole:
        sums = [
            [sum(column) for column in zip(*period.values(), rest, strict=True)] for period in (week, hour)
        ]
        slices["{}"] = tuple(sums)
    lines = []
    for key, (long, short) in slices.items():
        values: dict[str, dict[str, Any]] = {}
        for window, nps in (("7d", long), ("1h", short)):
            for name, value in all_values(stats(nps) if nps else {}, 0.95).items():
                values.setdefault(name, {})[window] = value
        lines.append(encode_metrics(key, at, True, values).decode())
    return "".join(f"{line}\n" for line in lines)


@pytest.fixture
def run(tmp_path: Path) -> Callable[..., Result]:
    """``cx explain`` of objects in a file of their own."""

    def call(text: str, *arguments: str) -> Result:
        (tmp_path / "metrics.ndjson").write_text(text)
        return CliRunner().invoke(root, ["explain", str(tmp_path / "metrics.ndjson"), *arguments])

    return call


def test_the_parts_are_those_of_the_decomposition(run) -> None:
    """As JSON: every member's figures are those of the account, and they add up to the change."""
    done = run(objects(), "--metric", "nps", "--against", "7d", "--json")
    assert done.exit_code == 0, done.output
    found = json.loads(done.stdout)
    assert (found["window"], found["against"], found["as_of"]) == ("1h", "7d", "2026-01-12T08:00:00Z")
    [account] = found["groupings"]
    value = {name: (sum(x), 100 * (x[0] - x[2]) / sum(x)) for name, x in WEEK.items()}
    expected = decompose(value, {name: (sum(x), 100 * (x[0] - x[2]) / sum(x)) for name, x in HOUR.items()})
    assert account["change"] == pytest.approx(expected.change)
    assert abs(account["service"] + account["mix"] - account["change"]) < 1e-9
    got = {each["member"]["channel"]: (each["service"], each["mix"]) for each in account["members"]}
    assert got == {share.member: pytest.approx((share.service, share.mix)) for share in expected.shares}
    assert account["members"][0]["member"] == {"channel": "chat"}


def test_where_to_look_first(run) -> None:
    """Of NPS by its detractors, of a rate by the rate: chat stands out, and the text says so."""
    ranking = json.loads(run(objects(), "--metric", "nps", "--against", "7d", "--json").stdout)["ranking"]
    assert [each["by"] for each in ranking] == [["channel"]]
    assert ranking[0]["members"][0]["member"] == {"channel": "chat"}
    done = run(objects(), "--metric", "csat", "--against", "7d")
    assert "Where to look first:\n  channel: chat (" in done.stdout


def test_the_table(run) -> None:
    """As text: a row for each member, largest first, and one for all of them together."""
    done = run(objects(), "--metric", "nps", "--against", "7d", "--by", "channel")
    lines = done.stdout.splitlines()
    assert lines[0] == "nps, 1h against 7d, as of 2026-01-12T08:00:00Z"
    assert lines[2] == "by channel"
    assert lines[4].split() == ["chat", "100", "20", "40.00", "-70.00", "-36.67", "-0.17", "-36.83"]
    assert lines[7].split() == ["together", "220", "60", "38.64", "-1.67", "-36.67", "-3.64", "-40.30"]


def test_two_files(run, tmp_path) -> None:
    """The same window of an earlier file; the newest object of a slice counts, whatever the order."""
    (tmp_path / "before.ndjson").write_text(objects(hour=WEEK, at=AT - 3_600_000))
    text = objects() + objects(hour=WEEK, at=AT - 1000)
    done = run(text, "--metric", "nps", "--before", str(tmp_path / "before.ndjson"), "--json")
    found = json.loads(done.stdout)
    assert (found["against"], found["groupings"][0]["before"]) == ("1h", pytest.approx(85 / 2.2))
    assert found["groupings"][0]["after"] == pytest.approx(-100 / 60)


def test_what_is_in_no_member(run) -> None:
    """Replies without the dimension are a member of their own, so that the account is of the whole."""
    done = run(objects(rest=(0, 0, 20)), "--metric", "nps", "--against", "7d", "--json")
    [account] = json.loads(done.stdout)["groupings"]
    [rest] = [each for each in account["members"] if each["member"] is None]
    assert (rest["n_before"], rest["n_after"]) == (20, 20)
    assert (rest["before"], rest["after"]) == pytest.approx((-100, -100))
    assert account["before"] == pytest.approx(100 * (130 - 65) / 240)
    assert "\n(rest) " in run(objects(rest=(0, 0, 20)), "--metric", "csat", "--against", "7d").stdout


def test_members_that_overlap(run) -> None:
    """Where an event is in several members, they are explained together, and that is said."""
    done = run(objects(by="topic", rest=(-5, 0, 0)), "--metric", "nps", "--against", "7d")
    assert "An event can be in several of these" in done.stdout
    assert "(rest)" not in done.stdout


def test_one_that_came_and_one_that_went(run) -> None:
    """Members of one period only have a dash for the other, and no service."""
    week = {"old": (5, 5, 5), "kept": (5, 5, 5)}
    hour = {"new": (5, 0, 0), "kept": (5, 5, 5)}
    lines = run(objects(week, hour, whole=False), "--metric", "nps", "--against", "7d").stdout.splitlines()
    rows = {line.split()[0]: line.split()[1:] for line in lines[4:7]}
    assert rows["new"][2:5] == ["-", "100.00", "+0.00"]
    assert rows["old"][2:5] == ["0.00", "-", "+0.00"]


def test_effort_on_two_scales(run) -> None:
    """Effort without one scale is explained on 0 to 100."""
    lines = []
    for slice_key, keys in (
        ("{}", ("ces|1|7|+", "ces|1|5|+")),
        ('{"channel":"web"}', ("ces|1|7|+", "ces|1|5|+")),
    ):
        values: dict[str, dict[str, Any]] = {"ces": {}}
        for window, n in (("7d", 10), ("1h", 4)):
            sums = {key: [n, n * 20_000, n * 20_000**2] for key in keys}
            values["ces"][window] = all_values(sums, 0.95)["ces"]
        lines.append(encode_metrics(slice_key, AT, True, values).decode())
    done = run("\n".join(lines), "--metric", "ces", "--against", "7d", "--json")
    assert json.loads(done.stdout)["groupings"][0]["before"] == pytest.approx((100 / 3 + 50) / 2)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--metric", "nps"], "--against WINDOW or --before FILE"),
        (["--metric", "nps", "--against", "1h"], "nothing can have changed"),
        (["--metric", "npss", "--against", "7d"], "'npss' is no metric: nps, csat"),
        (["--metric", "revenue", "--against", "7d"], "revenue is no mean"),
        (["--metric", "nps", "--against", "7d", "--by", "region"], "no objects by region, only by channel"),
        (
            ["--metric", "ces", "--against", "7d"],
            "no values of ces by channel over both 7d before and 1h now",
        ),
        (["--metric", "nps", "--before", "absent.ndjson"], "absent.ndjson: No such file"),
    ],
)
def test_what_cannot_be_explained(run, arguments, said) -> None:
    """Bad usage and input without an answer end with 2, one line, and the way out."""
    done = run(objects(), *arguments)
    assert done.exit_code == 2
    assert said in done.stderr
    assert done.stdout == ""


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "no cx.metrics objects"),
        ("\n{}\n", "line 2: is no cx.metrics object: Object missing required field"),
        ("nonsense\n", "line 1: is no cx.metrics object: JSON is malformed"),
        ('{"slice":{},"as_of":"2026-01-12T08:00:00","metrics":{}}\n', "line 1: as_of has no offset"),
        ('{"slice":{},"as_of":"2026-01-12T08:00:00Z","metrics":{}}\n', "the objects are all of the whole"),
    ],
)
def test_lines_that_are_no_objects(run, text, said) -> None:
    """The file and line of what is no object are named."""
    done = run(text, "--metric", "nps", "--against", "7d")
    assert (done.exit_code, done.stdout) == (2, "")
    assert said in done.stderr


def test_stdin(cx) -> None:
    """``-`` reads what a consumer of the topic prints, empty lines for deletions among it."""
    done = cx("explain", "-", "--metric", "csat", "--against", "7d", "--json", stdin="\n" + objects() + "\n")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["groupings"][0]["by"] == ["channel"]
