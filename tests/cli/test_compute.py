"""``cx compute`` as people run it."""

from __future__ import annotations

import gzip
import json
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from pathlib import Path

Cx = "Callable[..., subprocess.CompletedProcess[str]]"

START_MS = 1_768_204_800_000
RULES = "metrics: all\nslices: [[segment]]\n"


def replies(scores: list[int]) -> str:
    """A reply a second, of one customer each, of two segments."""
    lines = [
        {
            "event_id": f"r{number}",
            "customer_id": f"Jane Doe {number}",
            "occurred_at": START_MS + number * 1000,
            "segment": "vip" if number % 2 else "new",
            "metric": "nps",
            "score": score,
        }
        for number, score in enumerate(scores)
    ]
    return "".join(json.dumps(line) + "\n" for line in lines)


def test_one_object_a_line_and_a_summary(cx: Cx, tmp_path: Path) -> None:
    """Objects of `cx.metrics` on stdout, all final and of one moment; what became of the lines on stderr."""
    (tmp_path / "a.ndjson").write_text(replies([10] * 8 + [7, 0]))
    (tmp_path / "rules.yml").write_text(RULES)
    done = cx("compute", "a.ndjson", "--rules", "rules.yml", "--json")
    assert (done.returncode, done.stderr) == (
        0,
        "cx: 10 events: 10 applied, 0 duplicates, 0 dead letters, 0 too late\n",
    )
    records = [json.loads(line) for line in done.stdout.splitlines()]
    assert [record["slice"] for record in records] == [{}, {"segment": "new"}, {"segment": "vip"}]
    assert {(record["as_of"], record["final"]) for record in records} == {("2026-01-12T08:00:10Z", True)}
    assert records[0]["metrics"]["nps"]["5m"]["value"] == 70
    assert records[0]["metrics"]["customers"]["1h"]["value"] == 10


def test_a_table_for_people(cx: Cx, tmp_path: Path) -> None:
    """A row for each slice and metric, a column for each window, how many replies beside each value."""
    (tmp_path / "a.ndjson").write_text(replies([10] * 8 + [7, 0]))
    (tmp_path / "rules.yml").write_text(RULES)
    done = cx("compute", "a.ndjson", CX_RULES="rules.yml", CX_WINDOWS="5m,1h")
    assert done.returncode == 0
    title, head, *rows = [line.split() for line in done.stdout.splitlines() if line.strip()]
    assert head == ["slice", "metric", "5m", "1h"]
    assert ["(all)", "nps", "70.0", "(10)", "70.0", "(10)"] in rows
    assert ["segment=vip", "nps", "60.0", "(5)", "60.0", "(5)"] in rows
    assert title[:3] == ["as", "of", "2026-01-12T08:00:10Z;"]


@pytest.mark.parametrize("zipped", [False, True])
def test_standard_input(zipped: bool, cx: Cx) -> None:
    """'-' is standard input, compressed or not; refused lines are named as of '-', and nobody else is."""
    text = replies([10, 10]).encode() + b"Jane Doe\n" + replies([10, 10]).replace('"r', '"q').encode()[:-5]
    done = cx("compute", "-", "--json", stdin=gzip.compress(text) if zipped else text)
    assert done.returncode == 0
    assert done.stderr.splitlines() == [
        "cx: -:3: not_json: $: must be JSON",
        "cx: -:5: not_json: $: must be JSON",
        "cx: 5 events: 3 applied, 0 duplicates, 2 dead letters (not_json 2), 0 too late",
    ]
    assert json.loads(done.stdout)["metrics"]["nps"]["5m"]["n"] == 3


def test_the_first_twenty_refused_lines_are_named_and_all_are_counted(cx: Cx, tmp_path: Path) -> None:
    """No line's content is repeated, whatever is wrong with it."""
    bad = '{"customer_id": "Jane Doe", "metric": "nps", "score": "Jane Doe"}\n'
    (tmp_path / "a.ndjson").write_text(bad * 50 + replies([9]))
    done = cx("compute", "a.ndjson", "--json")
    assert done.returncode == 0
    *named, summary = done.stderr.splitlines()
    assert [line.split(": ")[1] for line in named] == [f"a.ndjson:{number}" for number in range(1, 21)]
    assert "50 dead letters" in summary
    assert "Jane" not in done.stderr + done.stdout


def test_events_of_the_future_are_too_early(cx: Cx, tmp_path: Path) -> None:
    """Compared with the present, or with the moment that --now names."""
    (tmp_path / "a.ndjson").write_text(replies([9]))
    done = cx("compute", "a.ndjson", "--json", "--now", "2026-01-12T07:00:00Z")
    assert done.returncode == 0
    assert "1 dead letters (too_early 1)" in done.stderr
    assert done.stdout == ""
    assert '"nps"' in cx("compute", "a.ndjson", "--json", "--now", "2026-01-12T09:00:00+01:00").stdout


def test_what_cannot_be_done_is_one_line(cx: Cx, tmp_path: Path) -> None:
    """Exit code 2, the culprit and what is wrong with it, no traceback."""
    (tmp_path / "a.ndjson").write_text(replies([9]))
    (tmp_path / "cut.gz").write_bytes(gzip.compress(replies([9] * 1000).encode())[:-20])
    (tmp_path / "bad.yml").write_text("slices: [[colour]]\n")
    for arguments, why in (
        (["absent.ndjson"], "absent.ndjson: no such file"),
        (["."], ".: is a directory"),
        (["cut.gz"], "cut.gz: is damaged"),
        (["a.ndjson", "--rules", "bad.yml"], "bad.yml"),
        (["a.ndjson", "--rules", "absent.yml"], "absent.yml cannot be read"),
        (["a.ndjson", "--now", "yesterday"], "--now: 'yesterday'"),
    ):
        done = cx("compute", *arguments)
        assert done.returncode == 2, arguments
        assert why in done.stderr
        assert len(done.stderr.splitlines()) == 1, done.stderr
    done = cx("compute", "a.ndjson", CX_PARTITIONS="0")
    assert done.returncode == 2
    assert "CX_PARTITIONS" in done.stderr


def test_a_large_file_on_two_processes(cx: Cx, tmp_path: Path) -> None:
    """The same as on one, to the byte."""
    assert cx("simulate", "--events", "20000", "--bad", "0.01", "--out", "a.ndjson").returncode == 0
    assert (tmp_path / "a.ndjson").stat().st_size > 4 << 20
    several = cx("compute", "a.ndjson", "--json")
    one = cx("compute", "a.ndjson", "--json", "--processes", "1")
    assert (one.stdout, one.stderr) == (several.stdout, several.stderr)
    assert several.returncode == 0
    assert len(several.stdout) > 1_000
