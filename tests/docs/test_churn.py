"""The page about learned churn is true: its tables are those of the code, its texts those that are shown."""

from __future__ import annotations

import json
import re

from schemas.model import ModelVersion
from stream.alerting.rules import load_rules
from stream.customers import SIGNALS
from stream.customers.churn import LEAST, LOW, REASONS
from stream.customers.learning import DRIFT_ALPHA, ENOUGH, HALF_LIFE_MS
from stream.customers.learning_checks import HALF_LIFE_MS as JUDGED_HALF_LIFE_MS
from stream.customers.learning_cohorts import beginner
from stream.customers.learning_features import FEATURES
from stream.customers.risk import SCORE_DAYS
from stream.customers.state import DAY_MS
from stream.serving.models import FIGURES
from stream.settings import Settings
from tests.docs.pages import ROOT, blocks, rows, section

PAGE = ROOT / "docs" / "churn.md"
TEXT = PAGE.read_text(encoding="utf-8")


def listed(heading: str) -> list[tuple[str, str]]:
    """Names and meanings in the table of a section."""
    return [(row[0].strip("`"), row[1]) for row in rows(section(PAGE, heading))]


def test_figures_and_judgements_are_those_of_the_code() -> None:
    """Each figure of a customer and of the model is explained, and no other."""
    assert [(row[0].strip("`"), row[1]) for row in rows(section(PAGE, "What is learned"))] == list(
        FEATURES.items()
    )
    assert [(row[0].strip("`"), row[1]) for row in rows(section(PAGE, "How good it is"))] == list(
        FIGURES.items()
    )
    assert set(beginner().figures) <= set(FIGURES)


def test_numbers_are_those_of_the_code() -> None:
    """Defaults and limits that the page names."""
    settings = Settings(_env_file=None)  # type: ignore[call-arg]
    assert f"`CX_CHURN_HORIZON`, {settings.churn_horizon_ms // DAY_MS} days" in TEXT
    assert settings.models_every == "7d"
    assert "`CX_MODELS_EVERY` (7 days of event time)" in TEXT
    assert settings.churn_horizon_ms == 4 * settings.models_every_ms
    assert "of one in four" in TEXT
    assert f"until {ENOUGH} who left and {ENOUGH} who stayed" in TEXT
    assert f"scores older than {SCORE_DAYS} days" in TEXT
    assert f"half after {JUDGED_HALF_LIFE_MS // DAY_MS} days" in TEXT
    assert (DRIFT_ALPHA, "once in a thousand" in TEXT) == (0.001, True)
    assert (HALF_LIFE_MS // DAY_MS, "a year old weighs half" in TEXT) == (360, True)
    assert f"from {LEAST} on" in TEXT


def test_examples_are_what_they_say() -> None:
    """The rule is accepted, the version's fields exist, and the reasons shown are words that there are."""
    shown = {block.language: block.text for block in blocks(PAGE)}
    rules = load_rules(shown["yaml"], "rules.yml", signals=SIGNALS)
    assert [rule.alert for rule in rules.history_rules] == ["LikelyToLeave"]
    assert set(json.loads(shown["json"])) <= set(ModelVersion.model_fields)
    words = re.findall(r"^ {14}(.*) \([+-]\d\.\d\)$", shown["text"], re.MULTILINE)
    assert len(words) == 3
    assert set(words) <= set(REASONS.values())
    assert f"`{LOW}`" in TEXT
