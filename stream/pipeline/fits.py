"""Samples of customers into versions of BG/NBD and Gamma-Gamma."""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING, Final

import msgspec

from schemas import ModelVersion
from schemas.times import EPOCH, MILLISECOND
from stream.customers.examples import HOUR_MS, NO_CURRENCY, Sample, row_of
from stream.customers.fitting import Fit, Unfit, fit_bgnbd, fit_gamma_gamma
from stream.customers.fold import MONEY_UNITS
from stream.customers.models import BGNBD, GAMMA_GAMMA
from stream.customers.value import WEEK_MS

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence
    from datetime import datetime

    from schemas.model import ModelName
    from stream.customers import Customer
    from stream.customers.examples import Row
    from stream.customers.fitting import Bought

_HOURS: Final = WEEK_MS // HOUR_MS


def fit_purchases(
    samples: Sequence[Sample], moment_ms: int, valid_from_ms: int, before: bytes | None
) -> ModelVersion:
    """A version of BG/NBD.

    Args:
        samples: of all partitions.
        moment_ms: the moment that they are of, or for, where nothing changed since.
        valid_from_ms: from when on it holds.
        before: parameters of the version before, as JSON: they go on where there is nothing to fit to.
    """
    return _version(BGNBD, lambda: fit_bgnbd(_bought(samples, moment_ms)), moment_ms, valid_from_ms, before)


def fit_amounts(
    samples: Sequence[Sample], moment_ms: int, valid_from_ms: int, before: bytes | None
) -> ModelVersion:
    """A version of Gamma-Gamma, of the currency that most customers pay in; arguments as of ``fit_purchases``."""
    currency = main_currency(samples)
    return _version(
        GAMMA_GAMMA,
        lambda: fit_gamma_gamma(
            (row[0] + 1, row[4] / MONEY_UNITS / (row[0] + 1), sample.weight)
            for sample, row in _rows(samples)
            if row[3] != NO_CURRENCY and sample.currencies[row[3]] == currency
        ),
        moment_ms,
        valid_from_ms,
        before,
        currency,
    )


def fit_customers(
    customers: Iterable[Customer], at_ms: int, currency: str | None = None
) -> tuple[ModelVersion, ModelVersion]:
    """Versions of BG/NBD and Gamma-Gamma from all customers at a moment, which hold from then on.

    Args:
        customers: As they are at the moment.
        at_ms: The moment; for a customer with a later purchase it is the time of that.
        currency: Whose amounts count; None: of each customer the only one.
    """
    currencies: dict[str, int] = {}
    rows = [row for one in customers if (row := row_of(one, currency, currencies)) is not None]
    samples = (Sample(0, at_ms, at_ms, currencies=list(currencies), rows=sorted(rows)),)
    return fit_purchases(samples, at_ms, at_ms, None), fit_amounts(samples, at_ms, at_ms, None)


def main_currency(samples: Iterable[Sample]) -> str | None:
    """The currency that most customers pay in, of as many the first by name; None: nobody pays in one alone."""
    weights: dict[str, float] = defaultdict(float)
    for sample, row in _rows(samples):
        if row[3] != NO_CURRENCY:
            weights[sample.currencies[row[3]]] += sample.weight
    return min(weights, key=lambda name: (-weights[name], name)) if weights else None


def _bought(samples: Iterable[Sample], moment_ms: int) -> Iterator[Bought]:
    now = moment_ms / HOUR_MS
    for sample, (again, first, last, _, _) in _rows(samples):
        yield again, (last - first) / _HOURS, max(now, last) / _HOURS - first / _HOURS, sample.weight


def _rows(samples: Iterable[Sample]) -> Iterator[tuple[Sample, Row]]:
    return ((sample, row) for sample in samples for row in sample.rows)


def _version(
    name: ModelName,
    fit: Callable[[], Fit],
    moment_ms: int,
    valid_from_ms: int,
    before: bytes | None,
    currency: str | None = None,
) -> ModelVersion:
    try:
        found, reason = fit(), ""
    except Unfit as why:
        found, reason = None, str(why)
    if found is None:
        parameters = {} if before is None else msgspec.json.decode(before, type=dict[str, float])
        return ModelVersion(
            name=name,
            valid_from=_moment(valid_from_ms),
            as_of=_moment(moment_ms),
            outcome="kept",
            reason=reason,
            parameters=parameters,
            currency=currency,
        )
    return ModelVersion(
        name=name,
        valid_from=_moment(valid_from_ms),
        as_of=_moment(moment_ms),
        parameters=found.parameters,
        n=found.n,
        of=found.weight,
        log_likelihood=found.log_likelihood,
        currency=currency,
    )


def _moment(at_ms: int) -> datetime:
    return EPOCH + at_ms * MILLISECOND
