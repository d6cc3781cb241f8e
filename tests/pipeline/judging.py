"""A metrics partition fed by hand: replies of slices by pane, on time and late, and what is claimed of them."""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING, NamedTuple

from stream import topics
from stream.measures import Groupings, Mark, Partial, Stats, encode_mark, encode_partial
from stream.measures.stats import merge
from stream.pipeline import MetricsPartition, PipelineConfig

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from stream.alerting.claims import Claim, Decision
    from stream.alerting.model import RuleBook

PANE_MS = 10_000


class Cell(NamedTuple):
    """What becomes known of a pane at the closing of ``known``."""

    slice_key: str
    pane: int
    known: int
    stats: Stats


class Told(NamedTuple):
    """All that a run told."""

    claims: list[Claim]
    decided: list[Decision]
    counts: dict[str, int]


def config_of(book: RuleBook) -> PipelineConfig:
    """One partition of each input, slices as the rules want them."""
    return PipelineConfig(topics.INPUTS, 1, Groupings(book.groupings, 1_000), declared=book.declared)


def log(config: PipelineConfig, cells: Iterable[Cell], until: int) -> Iterator[bytes]:
    """Messages of one source that hears everything, the others beside it; panes below ``until`` close."""
    source, *others = sorted(config.sources)
    by_known: dict[int, dict[tuple[str, int], Stats]] = defaultdict(dict)
    for cell in cells:
        merge(by_known[cell.known].setdefault((cell.slice_key, cell.pane), {}), cell.stats)
    for known in sorted({*by_known, until - 1}):
        for (slice_key, pane), stats in by_known[known].items():
            yield encode_partial(Partial(slice_key, source, pane, known, stats, known))[1]
        for each in (source, *others):
            yield encode_mark(Mark(each, known + 1, False, (known, False)))[1]


def run(
    book: RuleBook,
    cells: Iterable[Cell],
    until: int,
    *,
    size: int = 1,
    prepared: Callable[[MetricsPartition], None] | None = None,
) -> Told:
    """Everything told up to the instant ``until``, in batches of ``size`` messages."""
    config = config_of(book)
    partition = MetricsPartition(0, config, book, {})
    if prepared is not None:
        prepared(partition)
    told = Told([], [], defaultdict(int))
    messages = list(log(config, cells, until))
    for at in range(0, len(messages), size):
        changes = partition.run(messages[at : at + size])
        told.claims.extend(changes.claims)
        told.decided.extend(changes.decided)
        for reason, count in changes.decisions.items():
            told.counts[reason] += count
    return told


def nps(promoters: int, detractors: int, passives: int = 0) -> Stats:
    """Replies to one question."""
    return {"nps": [promoters, passives, detractors]}


def lines(claims: Iterable[Claim]) -> list[str]:
    """Claims as ``minutes alert state reason value n``, times since the first pane."""
    return [
        f"{claim.as_of_ms / 60_000:g} {claim.alert} {claim.state} {claim.reason}"
        f" {claim.figures['value']} {claim.figures['n']}"
        for claim in claims
    ]
