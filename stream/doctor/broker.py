"""Checks of Kafka: the way to it, the topics, and the workers' group."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Final

from stream import topics
from stream.brokers.admin import BLOCKING, What
from stream.brokers.changes import Do
from stream.doctor.findings import Level

if TYPE_CHECKING:
    from stream.doctor.facts import Facts

Found = tuple[Level, str, str]

_UNLIMITED: Final = -1
_BATCHES_BEHIND: Final = 10
_EMPTY: Final = frozenset({"EMPTY", "DEAD", "UNKNOWN"})


def broker_away(facts: Facts) -> Iterator[Found]:
    """No broker, or none that lets us in."""
    if facts.broker_problem is not None:
        yield Level.ERROR, facts.broker_problem, "CX_BROKERS and the settings named; docs/production.md"


def topic_missing(facts: Facts) -> Iterator[Found]:
    """A worker refuses to start without its topics."""
    missing = [each.difference.topic for each in facts.changes if each.do is Do.CREATE]
    if missing:
        yield Level.ERROR, f"{len(missing)} topics are missing: {', '.join(missing)}", "cx topics create"


def topic_different(facts: Facts) -> Iterator[Found]:
    """A topic that is not as it must be: state would be wrong or lost."""
    for each in facts.changes:
        if each.do is Do.CREATE:
            continue
        level = Level.ERROR if each.difference.what in BLOCKING else Level.WARNING
        cure = "cx topics create --alter" if each.do is not Do.LEAVE else each.why or "docs/production.md"
        yield level, str(each.difference), cure


def replicas_one(facts: Facts) -> Iterator[Found]:
    """A broker that is lost takes the records with it."""
    settings = facts.settings
    few = any(each.difference.what is What.REPLICATION for each in facts.changes)
    if settings is not None and settings.replication == 1 and (facts.brokers or 0) > 1 and not few:
        yield (
            Level.WARNING,
            f"CX_REPLICATION is 1 on a cluster of {facts.brokers} brokers: one that is lost takes records with it",
            "CX_REPLICATION=3 for topics to be, kafka-reassign-partitions for those that are",
        )


def partition_without_leader(facts: Facts) -> Iterator[Found]:
    """Nothing can be read from or written to it."""
    for name, state in facts.topics.items():
        lost = [number for number, partition in enumerate(state.partitions) if partition.leader < 0]
        if lost:
            yield Level.ERROR, f"{name}: partitions {_some(lost)} have no leader", "bring their brokers back"


def partition_under_replicated(facts: Facts) -> Iterator[Found]:
    """Fewer copies than wanted."""
    for name, state in facts.topics.items():
        few = [
            number
            for number, partition in enumerate(state.partitions)
            if partition.leader >= 0 and partition.in_sync < partition.replicas
        ]
        if few:
            yield (
                Level.WARNING,
                f"{name}: partitions {_some(few)} have replicas out of sync",
                "look after the brokers",
            )


def min_isr_unreachable(facts: Facts) -> Iterator[Found]:
    """More copies must be in sync than there are: every write is refused."""
    for name, state in facts.topics.items():
        wanted = int(state.config.get("min.insync.replicas", "1"))
        if any(partition.in_sync < wanted for partition in state.partitions if partition.leader >= 0):
            yield (
                Level.ERROR,
                f"{name}: min.insync.replicas is {wanted}, and fewer are in sync: every write is refused",
                "bring brokers back, or lower min.insync.replicas",
            )


def retention_short(facts: Facts) -> Iterator[Found]:
    """Inputs that go before what may still be late, or asked for, has been read."""
    settings = facts.settings
    if settings is None:
        return
    for name in topics.INPUTS:
        state = facts.topics.get(name)
        kept = int(state.config.get("retention.ms", _UNLIMITED)) if state is not None else _UNLIMITED
        if _UNLIMITED < kept < settings.late_horizon_ms:
            yield (
                Level.WARNING,
                f"{name} keeps records for {kept} ms only, and CX_LATE_HORIZON_MS is {settings.late_horizon_ms}",
                f"retention.ms of {name} well beyond the longest that workers may be away",
            )


def workers_none(facts: Facts) -> Iterator[Found]:
    """Records wait, and nobody reads them."""
    group = facts.group
    if group is not None and group.state.upper() in _EMPTY and facts.settings is not None:
        waiting = sum(each.end - (each.committed or each.first) for each in group.progress.values())
        level = Level.WARNING if waiting else Level.NOTE
        yield level, f"no worker runs as {facts.settings.app_id}; {waiting} records wait", "cx worker"


def workers_idle(facts: Facts) -> Iterator[Found]:
    """More workers than partitions: the rest has nothing to do, and may be locked out."""
    group, settings = facts.group, facts.settings
    if group is not None and settings is not None and group.members > settings.partitions:
        yield (
            Level.WARNING,
            f"{group.members} workers share {settings.partitions} partitions: the rest has nothing to do",
            "fewer workers; docs/production.md says how partitions are added",
        )


def workers_behind(facts: Facts) -> Iterator[Found]:
    """Workers run, and records pile up."""
    group, settings = facts.group, facts.settings
    if group is None or settings is None or not group.members:
        return
    most = settings.max_batch_records * _BATCHES_BEHIND
    for (topic, partition), each in sorted(group.progress.items()):
        behind = each.end - (each.first if each.committed is None else each.committed)
        if behind > most:
            yield (
                Level.WARNING,
                f"{topic}[{partition}]: {behind} records wait",
                "more workers, up to the number of partitions; docs/runbooks has CxLagGrowing",
            )


def records_gone_unread(facts: Facts) -> Iterator[Found]:
    """Retention was quicker than the workers."""
    if facts.group is None:
        return
    for (topic, partition), each in sorted(facts.group.progress.items()):
        if each.committed is not None and each.committed < each.first:
            yield (
                Level.ERROR,
                f"{topic}[{partition}]: {each.first - each.committed} records are gone that no worker has read",
                "longer retention; what is gone must be sent again by its producers",
            )


def offsets_beyond_the_end(facts: Facts) -> Iterator[Found]:
    """The topic was made anew, or lost its end, under a group that had read more."""
    if facts.group is None:
        return
    for (topic, partition), each in sorted(facts.group.progress.items()):
        if each.committed is not None and each.committed > each.end:
            yield (
                Level.ERROR,
                f"{topic}[{partition}] ends at {each.end}, and workers had read up to {each.committed}",
                "it was made anew, or lost its end: another CX_APP_ID reads it with state of its own",
            )


def erasure_unfinished(facts: Facts) -> Iterator[Found]:
    """A rewrite that was interrupted: workers wait until it is done."""
    if facts.unfinished_erasure:
        yield (
            Level.ERROR,
            "an erasure with --rewrite was interrupted, and workers do not start until it is finished",
            "run the same `cx customers erase ID --rewrite` again",
        )


def _some(numbers: list[int], most: int = 5) -> str:
    shown = ", ".join(str(number) for number in numbers[:most])
    return f"{shown}, …" if len(numbers) > most else shown


CHECKS: Final = (
    broker_away,
    topic_missing,
    topic_different,
    erasure_unfinished,
    partition_without_leader,
    min_isr_unreachable,
    partition_under_replicated,
    replicas_one,
    retention_short,
    records_gone_unread,
    offsets_beyond_the_end,
    workers_none,
    workers_idle,
    workers_behind,
)
