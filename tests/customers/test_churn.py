"""The churn probability as it is used: which model holds, why, and what is shown of it."""

from __future__ import annotations

from datetime import UTC, datetime
from math import log

import pytest
from prometheus_client import CollectorRegistry

from schemas import ModelVersion
from stream.cli.customer_words import lines
from stream.customers import CustomerConfig, signals
from stream.customers.churn import LEAST, LOW, churn_of
from stream.customers.learning_cohorts import NAMES
from stream.customers.learning_features import features
from stream.customers.learning_model import ChurnModel, model_of
from stream.customers.models import CHURN, Models
from stream.customers.profile import profile
from stream.customers.ranking import ranked
from stream.customers.risk import churn_probability
from stream.serving.models import ModelGauges

from .oracle import DAY, T0, place, reply, run, touch

LIFE = [
    touch("s", T0 - 70 * DAY, "subscription_started", ref="S"),
    touch("t", T0 - 20 * DAY, "ticket_opened", ref="T"),
    reply("r", T0 - 9 * DAY, "nps", 3.0),
    touch("p", T0 - DAY, "purchase", value=10.0, currency="EUR"),
]
MODEL = ChurnModel(
    NAMES,
    (-2.0, *(0.5 if name in {"ticket_age", "mood", "tenure"} else 0.01 for name in NAMES)),
    tuple(4.0 if name == "tenure" else 0.0 for name in NAMES),
)
DECLARED = CustomerConfig()
LEARNED = CustomerConfig(churn=MODEL)


def alive(*more: object) -> tuple:  # type: ignore[type-arg]
    """The customer, and their state after more events."""
    return run(place([("t", event) for event in (*LIFE, *more)]), DECLARED)  # type: ignore[misc]


def test_reasons_are_what_sets_the_customer_apart() -> None:
    """They add up to the difference in log-odds from the usual customer, but for those too small to tell."""
    c, _ = alive()
    churn = churn_of(c, signals(c, T0, LEARNED), T0, LEARNED)
    assert churn.learned
    names = [name for name, _ in churn.reasons]
    assert names == ["ticket_age", "mood", LOW + "tenure"]
    x = features(c, T0, T0 - 70 * DAY, LEARNED)
    by_name = dict(zip(NAMES, x, strict=True))
    assert dict(churn.reasons)[LOW + "tenure"] == pytest.approx(0.5 * (by_name["tenure"] - 4.0))
    assert [odds for _, odds in churn.reasons] == sorted([odds for _, odds in churn.reasons], reverse=True)
    usual = MODEL.weights[0] + 0.5 * 4.0
    small = sum(
        0.01 * figure for name, figure in by_name.items() if name not in {"ticket_age", "mood", "tenure"}
    )
    odds = log(churn.value / (1 - churn.value))
    assert odds == pytest.approx(usual + small + sum(odds for _, odds in churn.reasons))
    assert all(abs(odds) >= LEAST for _, odds in churn.reasons)


def test_without_a_running_contract_the_declared_prior_goes_on() -> None:
    """Who never had one, who has ended it, and everybody before a version holds."""
    over, _ = alive(touch("x", T0 - 3600_000, "subscription_cancelled", ref="S"))
    never, _ = run(place([("t", event) for event in LIFE[1:]]), DECLARED)
    running, _ = alive()
    for c, config in ((over, LEARNED), (never, LEARNED), (running, DECLARED)):
        known = signals(c, T0, config)
        churn = churn_of(c, known, T0, config)
        assert not churn.learned
        assert churn == churn_probability(known)
        assert known["churn_probability"] == churn.value


def test_the_ranking_and_the_profile_say_which_model_it_is() -> None:
    """Value at risk is by the model in force; in words, too."""
    c, _ = alive()
    learned, declared = (ranked("c", c, T0, config) for config in (LEARNED, DECLARED))
    assert (learned.churn_learned, declared.churn_learned) == (True, False)
    assert learned.expected_value is not None
    assert learned.value_at_risk == learned.expected_value * learned.churn_probability
    known = {
        **profile("c", c, T0, LEARNED),
        "contacted": [],
        "alerts_last_fired": {},
        "due": [],
    }
    told = lines(known)
    at = next(i for i, (heading, _) in enumerate(told) if heading == "churn")
    assert told[at][1] == f"{100 * learned.churn_probability:.0f}%, as learned from cancellations"
    assert [text.rsplit(" (", 1)[0] for _, text in told[at + 1 : at + 4]] == [
        "a ticket open for long",
        "scores below the usual",
        "a contract since lately",
    ]


def test_a_version_is_read_as_it_was_published() -> None:
    """By name; what is missing, or not known to this version of the program, is refused and named."""
    assert model_of(MODEL.parameters, NAMES) == MODEL
    with pytest.raises(ValueError, match=r"mood: missing among those of churn"):
        model_of({name: value for name, value in MODEL.parameters.items() if name != "mood"}, NAMES)
    with pytest.raises(ValueError, match=r"moon: not known among those of churn"):
        model_of({**MODEL.parameters, "moon": 1.0}, NAMES)
    with pytest.raises(ValueError, match="finite"):
        model_of({**MODEL.parameters, "mood": float("inf")}, NAMES)


def test_versions_hold_from_their_moment() -> None:
    """One without parameters brings the declared prior back; other models are left as they were."""
    models = Models(DECLARED)
    models.take(CHURN, T0, T0 - 7 * DAY, MODEL.parameters)
    models.take(CHURN, T0 + DAY, T0 - 6 * DAY, {})
    models.take("bgnbd", T0 + DAY, T0 - 6 * DAY, {"r": 0.2, "alpha": 4.0, "a": 0.7, "b": 2.0})
    assert models.at(T0 - 1).churn is None
    assert models.at(T0).churn == MODEL
    assert models.at(T0 + DAY).churn is None
    assert models.at(T0 + DAY).value.r == 0.2


def test_metrics_show_the_newest_version_whichever_came_last() -> None:
    """An older one that comes again changes nothing."""
    registry = CollectorRegistry()
    gauges = ModelGauges(registry)
    early, late = datetime(2026, 1, 1, tzinfo=UTC), datetime(2026, 1, 8, tzinfo=UTC)

    def version(valid_from: datetime, auc: float) -> ModelVersion:
        return ModelVersion(
            name=CHURN, valid_from=valid_from, as_of=early, parameters={}, n=7, figures={"auc": auc}
        )

    gauges.take(version(late, 0.8))
    gauges.take(version(early, 0.7))
    assert registry.get_sample_value("cx_model_figure", {"model": "churn", "figure": "auc"}) == 0.8
    assert registry.get_sample_value("cx_model_valid_from_seconds", {"model": "churn"}) == late.timestamp()
    assert registry.get_sample_value("cx_model_n", {"model": "churn"}) == 7
    assert registry.get_sample_value("cx_model_fitted", {"model": "churn"}) == 1
