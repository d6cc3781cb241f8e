"""What partitions tell of their customers on ``cx.examples``, into versions of models.

A moment is *complete* when every partition has closed it. Then the models are fitted to what was told of it, in an
order that does not depend on who told first, and hold from one period later. So a version is a function of the
examples alone, and no partition is held up by the fit unless it is a whole period ahead.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

import msgspec
from msgspec.structs import replace

from schemas import ModelVersion
from stream.customers.examples import Cohort, Sample, decode_example, encode_example
from stream.customers.models import CHURN, GAMMA_GAMMA, LAST
from stream.pipeline.fits import fit_amounts, fit_purchases
from stream.pipeline.lessons_learned import learn_churn

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from stream.pipeline.changes import Entry

_DONE: Final = "done"  # the newest moment that was fitted
_EXAMPLE: Final = "e|"  # partition, moment, kind, chunk: an example as it came
_KEPT: Final = "k|"  # model: what it goes on from


@dataclass(frozen=True, slots=True)
class Work:
    """All there is to make the versions of a moment from; nothing of it changes any more.

    Attributes:
        moment_ms: The moment.
        valid_from_ms: From when on the versions hold.
        samples: Of each partition those that were so at the moment, by partition and chunk.
        cohorts: That were known by the moment and not learned from before, by moment, partition and chunk.
        kept: Model -> what its previous version left for this one.
    """

    moment_ms: int
    valid_from_ms: int
    samples: tuple[Sample, ...]
    cohorts: tuple[Cohort, ...]
    kept: Mapping[str, bytes]


@dataclass(frozen=True, slots=True)
class Made:
    """Versions, and what the next ones go on from, by model."""

    versions: tuple[ModelVersion, ...]
    kept: Mapping[str, bytes]


@dataclass(slots=True)
class _Partition:
    """What one partition of the inputs has told.

    Attributes:
        closed_ms: The newest moment it closed.
        clock: Whether it was the clock that went past it.
        samples: Those of moments that are not fitted yet, by moment and chunk.
        cohorts: Those not learned from yet, by moment and chunk.
    """

    closed_ms: int = -1
    clock: bool = False
    samples: dict[tuple[int, int], Sample] = field(default_factory=dict)
    cohorts: dict[tuple[int, int], Cohort] = field(default_factory=dict)


class ModelsPartition:
    """The one owner of all models.

    Args:
        partitions: of the inputs: a moment is complete when each has closed it.
        every_ms: the period.
        table: the partition of the models table, to restore from.
    """

    def __init__(self, partitions: int, every_ms: int, table: Mapping[bytes, bytes]) -> None:
        self._every_ms = every_ms
        self._parts = {number: _Partition() for number in range(partitions)}
        self._kept: dict[str, bytes] = {}
        self._done_ms = -1
        for name, value in sorted(table.items()):
            key = name.decode()
            if key == _DONE:
                self._done_ms = msgspec.msgpack.decode(value, type=int)
            elif key.startswith(_KEPT):
                self._kept[key.removeprefix(_KEPT)] = value
            else:
                self._restore(decode_example(value))

    def _restore(self, example: Sample | Cohort) -> None:
        part = self._parts.get(example.partition)
        if part is None:
            return
        if isinstance(example, Cohort):
            part.cohorts[example.moment_ms, example.chunk] = example
            return
        part.samples[example.moment_ms, example.chunk] = example
        if example.last and example.moment_ms > part.closed_ms:
            part.closed_ms, part.clock = example.moment_ms, example.clock

    def take(self, values: Iterable[bytes | None]) -> list[Entry]:
        """Take examples in, in log order; returns what has to become durable.

        A partition that does its work again after a crash tells the same again, or with what it has learned
        since; what was told first stays.
        """
        entries: list[Entry] = []
        for value in values:
            if value is None:
                continue
            example = decode_example(value)
            part = self._parts.get(example.partition)
            if part is None:
                continue  # of a deployment with more partitions
            place = (example.moment_ms, example.chunk)
            if isinstance(example, Cohort):
                if place not in part.cohorts and example.moment_ms > self._done_ms:
                    part.cohorts[place] = example
                    entries.append((_key(example), value))
                continue
            if part.clock and not example.clock:
                entries += self._take_back(part, example.moment_ms)
            if place in part.samples or example.moment_ms < part.closed_ms:
                continue
            part.samples[place] = example
            entries.append((_key(example), value))
            if example.last:
                part.closed_ms, part.clock = example.moment_ms, example.clock
        return entries

    def _take_back(self, part: _Partition, moment_ms: int) -> list[Entry]:
        """Something came in a partition that the clock had taken further than that."""
        gone = [sample for sample in part.samples.values() if sample.clock and sample.moment_ms >= moment_ms]
        for sample in gone:
            del part.samples[sample.moment_ms, sample.chunk]
        if part.closed_ms >= moment_ms:
            part.closed_ms = max((at_ms for at_ms, _ in part.samples), default=-1)
        part.clock = False
        return [(_key(sample), None) for sample in gone]

    def due(self) -> Work | None:
        """The earliest moment that is complete and was not fitted, with all it is to be fitted to.

        Moments that only the clock has reached are not: while nothing comes anywhere, there is nothing new.
        """
        complete_ms = min(part.closed_ms for part in self._parts.values())
        moments = {
            sample.moment_ms
            for part in self._parts.values()
            for sample in part.samples.values()
            if sample.last and not sample.clock and self._done_ms < sample.moment_ms <= complete_ms
        }
        if not moments:
            return None
        moment_ms = min(moments)
        samples: list[Sample] = []
        cohorts: list[Cohort] = []
        for number in sorted(self._parts):
            part = self._parts[number]
            # The first state told at or after the moment: it was the same at the moment, or the partition
            # reached the moment later than the worker began, and has nothing to say of it.
            first_ms = min((at_ms for at_ms, _ in part.samples if at_ms >= moment_ms), default=-1)
            found = [part.samples[place] for place in sorted(part.samples) if place[0] == first_ms]
            samples += [sample for sample in found if sample.since_ms <= moment_ms]
            cohorts += [part.cohorts[place] for place in sorted(part.cohorts) if place[0] <= moment_ms]
        cohorts.sort(key=lambda each: (each.moment_ms, each.partition, each.chunk))
        return Work(moment_ms, moment_ms + self._every_ms, tuple(samples), tuple(cohorts), dict(self._kept))

    def finish(self, work: Work, made: Made) -> list[Entry]:
        """Forget what a published version was made of; returns what has to become durable."""
        entries: list[Entry] = []
        for name, value in sorted(made.kept.items()):
            self._kept[name] = value
            entries.append((f"{_KEPT}{name}".encode(), value))
        self._done_ms = work.moment_ms
        entries.append((_DONE.encode(), msgspec.msgpack.encode(self._done_ms)))
        for part in self._parts.values():
            past = [place for place in sorted(part.samples) if place[0] <= work.moment_ms]
            for place in past:
                sample = part.samples.pop(place)
                if sample.last and sample.moment_ms == part.closed_ms:
                    # It goes on saying how far the partition is; what it was fitted to is not needed again.
                    sample = part.samples[place] = replace(sample, rows=[], currencies=[])
                    entries.append((_key(sample), encode_example(sample)))
                else:
                    entries.append((_key(sample), None))
            known = [place for place in sorted(part.cohorts) if place[0] <= work.moment_ms]
            entries += [(_key(part.cohorts.pop(place)), None) for place in known]
        return entries


def make(work: Work) -> Made:
    """The versions of a moment, that of ``LAST`` at the end; takes a while, and looks at nothing but ``work``."""
    kept = dict(work.kept)
    times = (work.moment_ms, work.valid_from_ms)
    versions = [fit_amounts(work.samples, *times, kept.get(GAMMA_GAMMA))]
    versions.append(fit_purchases(work.samples, *times, kept.get(LAST)))
    for version in versions:
        kept[version.name] = msgspec.json.encode(version.parameters)
    churn, left = learn_churn(work.cohorts, *times, kept.get(CHURN))
    if churn is not None and left is not None:
        versions.insert(0, churn)
        kept[CHURN] = left
    return Made(tuple(versions), kept)


def _key(example: Sample | Cohort) -> bytes:
    kind = "c" if isinstance(example, Cohort) else "s"
    return f"{_EXAMPLE}{example.partition}|{example.moment_ms}|{kind}|{example.chunk}".encode()
