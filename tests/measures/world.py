"""A small world for the tests: sources with logs, the partials topic, durable tables, crashes."""

from __future__ import annotations

import random

from hypothesis import strategies as st

from stream.measures import (
    NO_DIMS,
    Closing,
    Groupings,
    PaneConfig,
    SourcePanes,
    Window,
    WindowConfig,
    Windows,
    decode_partial_or_mark,
    encode_mark,
    encode_partial,
    observation,
)
from stream.measures.offline import Reply, explain
from stream.measures.plans import Span

PANES = PaneConfig(pane_ms=10, lateness_ms=25, late_horizon_ms=10_000_000, max_ahead_ms=10_000_000)
WINDOWS = WindowConfig(
    10,
    (
        Window("s", 30, 10),
        Window("m", 100, 10),
        Window("l", 250, 50),
        Window("x", 800, 200),
        Window("y", 4000, 200),
        Window("l@100,150", 100, 50, (100, 150)),
        Window("x@400", 200, 200, (400,), only=("{}", '{"segment":"a"}')),
    ),
    ever=("ended", "csat"),
    spans=(
        Span("trial", 105, 800, ("nps", "revenue"), (("segment", "a"),)),
        Span("open", 400, None, ("ended",)),
    ),
    customers=2,
)
GROUPINGS = (("segment",), ("channel", "segment"), ("variant",), ("segment", "variant"))
CUSTOMER_HASHES = (2**63 + 5, 2**62 + 1, 2**61 + 3, 2**60, 7, 2**64 - 1)
MAX_MEMBERS = 2
SOURCES = ("replies/0", "replies/1", "touchpoints/0")
END = 2000


@st.composite
def contributions(draw, time_ms):
    """What a record says about another moment."""
    at_ms = max(0, time_ms + draw(st.sampled_from([-900, -120, -10, 0, 20, 250, 700, END])))
    dims = (
        draw(st.sampled_from(["a", "b", None])),
        *NO_DIMS[1:5],
        draw(st.sampled_from(["A", None])),
        *NO_DIMS[6:],
    )
    key, vec = draw(
        st.sampled_from(
            [
                ("ended|cart", (1, 1)),
                ("ended|cart", (-1, -1)),
                ("revenue|EUR", (1, 7, 49)),
                ("nps", (0, 0, -1)),
            ]
        )
    )
    return at_ms, dims, key, vec


@st.composite
def worlds(draw):
    """Records of three sources: bursts and gaps, late ones, several metrics, absent dimensions, no replies.

    Some say something of other moments, or take it back: long past, or ahead of all events, even of the last.
    Every log ends with two records that move the watermark well beyond everything before; the very last is
    for when all the others are in, so that also what came back late from an idle source becomes final.
    """
    logs = {}
    for source in SOURCES:
        records = []
        now = draw(st.integers(0, 200))
        for step in draw(st.lists(st.sampled_from([0, 1, 3, 7, 15, 40, 300]), max_size=14)):
            now = min(now + step, END - 500)
            time_ms = max(0, now - draw(st.sampled_from([0, 0, 0, 5, 30, 120, 700])))
            metric, score = draw(
                st.sampled_from([("nps", 10), ("nps", 2), ("csat", 5), ("csat", 1), ("ces", 3), (None, 0)])
            )
            segment = draw(st.sampled_from(["a", "b", "c", "other", None]))
            channel = draw(st.sampled_from(["x", None]))
            scale = {"csat": (1, 5), "ces": (1, 7)}.get(metric, (0, 10))
            variant = draw(st.sampled_from(["A", "B", None]))
            dims = (segment, None, None, channel, None, variant, *NO_DIMS[6:])
            more = draw(st.lists(contributions(time_ms), max_size=2)) if draw(st.booleans()) else []
            customer = draw(st.sampled_from([*CUSTOMER_HASHES, None]))
            records.append(
                Reply(source, time_ms, dims, metric, score, scale, more=tuple(more), customer=customer)
            )
        records += [Reply(source, time_ms, NO_DIMS) for time_ms in (END - 100, END)]
        logs[source] = records
    return logs


def oracle(logs):
    """What brute force says: known replies and the end marks."""
    everything = [reply for records in logs.values() for reply in records]
    return explain(everything, PANES.pane_ms, PANES.lateness_ms, GROUPINGS, MAX_MEMBERS)


class Source:
    """A source partition's processor over its log, with a durable table; crashes lose what was on the way."""

    def __init__(self, name, records):
        self.name = name
        self.records = records
        self.table = {}
        self.start()

    def start(self):
        """Begin anew from the table."""
        self.panes = SourcePanes(self.name, PANES, Groupings(GROUPINGS, MAX_MEMBERS))
        entries = list(self.table.items())
        random.Random(len(entries)).shuffle(entries)
        for key, value in entries:
            self.panes.restore(key, value)
        self.panes.ready()

    def left(self, spare=1):
        """Whether records are left, but for the last ``spare``."""
        return self.panes.offset < len(self.records) - 1 - spare

    def batch(self, size, publish, crash=None):
        """Process the next records; ``crash`` (a seeded Random) loses a random part of the writes."""
        panes = self.panes
        first = panes.offset + 1
        size = min(size, max(len(self.records) - 1 - first, 1))  # the last record always on its own
        offset = first
        panes.begin()
        for offset, reply in enumerate(self.records[first : first + size], first):
            assert panes.judge(reply.time_ms, -1) == "ok"
            seen = observation(reply.metric or "", reply.score, reply.scale, reply.higher_is_better)
            panes.add(offset, reply.time_ms, reply.dims, *(seen or (None, ())))
            for contribution in reply.more:
                panes.contribute(offset, *contribution)
            if reply.customer is not None:
                panes.seen(offset, reply.time_ms, reply.dims, reply.customer)
        changes = panes.end(offset)
        messages = [encode_partial(partial)[1] for partial in changes.partials]
        messages.append(encode_mark(changes.mark)[1])
        if crash is None:
            self.table.update(changes.cells)
            publish.extend(messages)
            self.table.update([changes.source])
            for key in changes.closed:
                self.table.pop(key, None)
            return
        keep_all = crash.random() < 0.3
        self.table.update([write for write in changes.cells if keep_all or crash.random() < 0.5])
        published = crash.randint(0, len(messages))
        publish.extend(messages[:published])
        for key in changes.closed:
            if crash.random() < 0.5:
                self.table.pop(key, None)
        if keep_all and published == len(messages) and crash.random() < 0.5:
            self.table.update([changes.source])
        self.start()


class Owner:
    """The owner of the partials partition over its log, with a durable table and an acknowledged position."""

    def __init__(self, log):
        self.log = log
        self.table = {}
        self.acknowledged = 0
        self.closings: dict[int, Closing] = {}
        self.start()

    def start(self):
        """Begin anew from the table and the acknowledged position."""
        self.windows = Windows(3, WINDOWS, SOURCES)
        self.position = self.acknowledged
        entries = list(self.table.items())
        random.Random(len(entries)).shuffle(entries)
        for key, value in entries:
            self.windows.restore(key, value)
        self.windows.ready()

    def batch(self, size, crash=None):
        """Read the next messages; every closing seen twice must be the same both times."""
        for value in self.log[self.position : self.position + size]:
            self.windows.apply(decode_partial_or_mark(value))
        self.position = min(self.position + size, len(self.log))
        for closing in self.windows.close():
            assert self.closings.setdefault(closing.instant, closing) == closing
        changes = self.windows.changes()
        writes = changes.entries
        if crash is None:
            self.table.update(writes)
            for key in changes.tombstones:
                self.table.pop(key, None)
            if changes.progress:
                self.table.update([changes.progress])
            self.acknowledged = self.position
            return
        keep_all = crash.random() < 0.3
        self.table.update([write for write in writes if keep_all or crash.random() < 0.5])
        for key in changes.tombstones:
            if keep_all or crash.random() < 0.5:
                self.table.pop(key, None)
        if keep_all and changes.progress and crash.random() < 0.5:
            self.table.update([changes.progress])
            if crash.random() < 0.5:
                self.acknowledged = crash.randint(self.acknowledged, self.position)
        self.start()

    def drain(self):
        """Read to the end of the log."""
        while self.position < len(self.log):
            self.batch(len(self.log))


def order(rng, sources):
    """Whose turn it is, at random, until all is in; everybody's last record after all the others."""
    for spare in (1, 0):
        while waiting := [source for source in sources if source.left(spare)]:
            yield rng.choice(waiting)


def plain_run(logs, seed=0, sizes=(1, 2, 5, 100), idle=0.0):
    """A run without crashes: random batches and interleaving; returns the messages and the owner at the end."""
    rng = random.Random(seed)
    log: list[bytes] = []
    sources = [Source(name, records) for name, records in logs.items()]
    owner = Owner(log)
    for source in order(rng, sources):
        source.batch(rng.choice(sizes), log)
        if rng.random() < idle:
            log.append(encode_mark(rng.choice(sources).panes.idle_mark())[1])
        if rng.random() < 0.5:
            owner.batch(rng.choice(sizes))
    owner.drain()
    return log, owner
