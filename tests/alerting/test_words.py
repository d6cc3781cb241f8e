"""The evidence of a claim in words: one sentence per kind and language."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stream.alerting.words import in_words

INTERVAL = {
    "value": 12.5, "n": 240, "interval": [4.1, 20.9], "below": 30.0, "evidence": "interval", "confidence": 0.95,
}  # fmt: skip
DROP = {
    "value": 61.0, "n": 1240, "interval": [58.0, 64.0], "drop": {"points": 10.0, "from": "7d"}, "change": -19.6,
    "change_interval": [-25.2, -14.0], "evidence": "interval", "confidence": 0.99,
}  # fmt: skip
ANYTIME = INTERVAL | {"evidence": "anytime", "e_value": 27.33, "e_needed": 20.0, "since_n": 77, "fdr": 0.1}
CHANGE = {
    "change": {"direction": "down", "one_false_alarm_per": 10_000.0, "from": "7d"},
    "before": 61.2, "e_value": 10_412.3, "e_needed": 10_000.0,
}  # fmt: skip
BURN = {
    "burn_rate": {"goal": 80.0, "long": "1h", "short": "5m", "rate": 14.4},
    "burns": [15.2, 18.0],
    "n": 40,
}


@pytest.mark.parametrize(
    ("figures", "language", "text"),
    [
        (INTERVAL, "en", "The 95 % interval, 4.1 to 20.9, lies below 30 on 240 replies."),
        (INTERVAL, "it", "L'intervallo al 95 %, da 4,1 a 20,9, è sotto 30 su 240 risposte."),
        (INTERVAL, "fi", "The 95 % interval, 4.1 to 20.9, lies below 30 on 240 replies."),
        (
            INTERVAL | {"evidence": "none"},
            "en",
            "The value, 12.5, lies below 30, on 240 replies. How sure that is was not asked for.",
        ),
        (
            DROP,
            "en",
            "The 99 % interval of the change, -25.2 to -14, lies 10 points or more below 7d on 1,240 replies.",
        ),
        (
            ANYTIME,
            "en",
            (
                "77 replies since the value first lay below 30 make 27.3 of evidence, and 20 was asked for: were"
                " the mean not below 30, it would ever come to that with a chance of at most 3.66 %. Over all"
                " slices, at most 10 % of this rule's alerts are false on average."
            ),
        ),
        (
            CHANGE,
            "en",
            (
                "The mean has fallen: it was 61.2 or more (7d), and the evidence against that has come to 10,400."
                " While nothing changes it comes to 10,000 at most once in 10,000 replies on average."
            ),
        ),
        (
            BURN,
            "en",
            (
                "Of all answers 80 % are to be good; over 1h and 5m the others are 15.2 and 18 times as many as"
                " that allows, and the line is at 14.4."
            ),
        ),
        ({"no_data": "30m"}, "it", "Nessuna risposta da 30m."),
        ({}, "en", ""),
    ],
)
def test_every_kind_of_evidence_has_its_sentence(figures, language, text):
    """Figures, line and how sure it is, in the language's words and format of numbers."""
    assert in_words(figures, language) == text


@pytest.mark.parametrize(
    ("figures", "text"),
    [
        (INTERVAL, "The value is 12.5 on 240 replies; that is no longer enough for this alert."),
        ({"no_data": "30m"}, "There are replies again."),
        (
            CHANGE | {"e_value": 71.0},
            (
                "The evidence of a change has gone back to 71: the mean is what it was, or 7d has come to know"
                " the new one."
            ),
        ),
    ],
)
def test_an_end_has_its_sentence_too(figures, text):
    """What is over is not told as if it went on."""
    assert in_words(figures, resolved=True) == text


@pytest.mark.parametrize("figures", [INTERVAL, DROP, ANYTIME, CHANGE, BURN, {"no_data": "30m"}])
@pytest.mark.parametrize("resolved", [False, True])
def test_italian_has_all_that_english_has(figures, resolved):
    """No kind falls back to English, and no placeholder is left."""
    italian = in_words(figures, "it", resolved=resolved)
    assert italian
    assert italian != in_words(figures, "en", resolved=resolved)
    assert "{" not in italian


@given(
    figures=st.sampled_from([INTERVAL, DROP, ANYTIME, CHANGE, BURN]),
    gone=st.sampled_from(
        ["value", "n", "interval", "change_interval", "e_value", "e_needed", "burns", "before"]
    ),
    language=st.sampled_from(["en", "it"]),
)
def test_a_figure_that_is_missing_reads_unknown(figures, gone, language):
    """Whatever figure is absent, there is a sentence."""
    assert in_words({name: value for name, value in figures.items() if name != gone}, language)
