"""Cohorts of all partitions into a version of the model of churn."""

from __future__ import annotations

from itertools import groupby
from typing import TYPE_CHECKING

from schemas import ModelVersion
from schemas.times import EPOCH, MILLISECOND
from stream.customers.learning_cohorts import decode_learned, encode_learned, take_cohort
from stream.customers.learning_features import DECLARED, Example
from stream.customers.models import CHURN

if TYPE_CHECKING:
    from collections.abc import Iterable

    from stream.customers.examples import Cohort


def learn_churn(
    told: Iterable[Cohort], moment_ms: int, valid_from_ms: int, kept: bytes | None
) -> tuple[ModelVersion | None, bytes | None]:
    """Learn the cohorts that have become known by a moment.

    Args:
        told: By moment, partition and chunk.
        moment_ms: The moment.
        valid_from_ms: From when on the version holds.
        kept: What the version before left; None: there was none.

    Returns:
        The version, or None where nothing new was told; and what it leaves for the next one.
    """
    learned = decode_learned(kept)
    new = False
    for (at_ms, frozen_ms), parts in groupby(told, key=lambda each: (each.moment_ms, each.frozen_ms)):
        rows = [row for part in parts for row in part.rows if len(row[0]) == len(DECLARED) - 1]
        take_cohort(learned, [Example(tuple(x), left) for x, left in rows], frozen_ms, at_ms, valid_from_ms)
        new = new or bool(rows)
    if not new:
        return None, kept
    model = learned.version
    version = ModelVersion(
        name=CHURN,
        valid_from=EPOCH + valid_from_ms * MILLISECOND,
        as_of=EPOCH + moment_ms * MILLISECOND,
        outcome="kept" if model is None else "fitted",
        reason=learned.reason,
        parameters={} if model is None else model.parameters,
        n=learned.learner.examples,
        of=float(learned.learner.examples),
        figures=learned.figures,
    )
    return version, encode_learned(learned)
