"""Topics in comments: what is found, in both languages, and that nothing undeclared ever comes out."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stream.comments import LANGUAGES, TOPICS, TopicFinder
from stream.comments.taxonomy import BUILT_IN, SMALL, TELLING
from stream.comments.topics import _APART, _CACHED, _LONGEST, _MOST, _WORD, _words
from tests.docs.pages import ROOT, rows

FINDER = TopicFinder(LANGUAGES, {"parking": ("parking", "parcheggio"), "delivery": ("rider",)})

ITALIAN = [
    ("Ho aspettato troppo e nessuno ha risposto.", ["communication", "waiting"]),
    ("Il pagamento è stato rifiutato tre volte.", ["checkout_payment"]),
    ("Il corriere non si è presentato.", ["delivery"]),
    ("Prezzo cambiato all'ultimo momento: perché?", ["price"]),
    ("Consegna in anticipo, complimenti.", ["delivery", "waiting"]),
    ("L'app è comoda e chiara.", ["ease_of_use", "website_app"]),
    ("Servizio rapido e gentile.", ["staff", "waiting"]),
    ("I tempi d'attesa al call center sono biblici", ["support", "waiting"]),
    ("Dopo tre settimane non ho ancora ricevuto il rimborso del reso", ["returns_refunds"]),
    ("Qualità scadente: si è rotta dopo due giorni", ["product_quality"]),
    ("qualita ottima", ["product_quality"]),
    ("Quale prodotto mi consiglia?", []),
    ("Il rapporto qualità-prezzo è buono", ["price"]),
    ("Il sito non funziona e l'applicazione si blocca", ["technical_problem", "website_app"]),
    ("Ha funzionato tutto benissimo", []),
    ("Articolo esaurito anche se sul catalogo c'era", ["availability"]),
    ("Mi hanno addebitato due volte la bolletta", ["billing"]),
    ("Bagni sporchi e cattivo odore", ["cleanliness"]),
    ("Vorrei disdire l'abbonamento", ["contract"]),
    ("Scatola schiacciata, imballaggio pessimo", ["packaging"]),
    ("Il codice sconto non veniva accettato", ["promotions"]),
    ("Commessa maleducata", ["staff"]),
    ("I miei dati personali sono finiti in mano a truffatori", ["privacy"]),
    ("Password dimenticata, accesso impossibile", ["account_access"]),
    ("Ho trovato chiuso nonostante gli orari esposti", ["opening_hours"]),
    ("Nessun parcheggio, ma il rider e' arrivato subito", ["delivery", "parking", "waiting"]),
    ("L'aspetto del prodotto mi piace", []),
    ("Tutto perfetto, grazie!", []),
    ("È troppo caro per me", ["price"]),
    ("PERSONALE GENTILISSIMO!!!", ["staff"]),
    ("perche\u0301 la qualita\u0300 è calata", ["product_quality"]),
]

ENGLISH = [
    ("Waited far too long and nobody answered.", ["communication", "waiting"]),
    ("My card was refused three times.", ["checkout_payment"]),
    ("The courier never turned up.", ["delivery"]),
    ("The price changed at the last step. Why?", ["price"]),
    ("The app is easy to use.", ["ease_of_use", "website_app"]),
    ("Quick and friendly.", ["staff", "waiting"]),
    ("My car broke down on the way", ["product_quality"]),
    ("I was in my car", []),
    ("Customer service kept me on hold for an hour, hold music included", ["support", "waiting"]),
    ("Still no refund, four weeks after you received the item", ["returns_refunds"]),
    ("The site doesn\u2019t work on my phone", ["technical_problem", "website_app"]),
    ("Working fine for me", []),
    ("Keeps crashing with an error message", ["technical_problem"]),
    ("Good value for money", ["price"]),
    ("Out of stock again!", ["availability"]),
    ("They charged twice and the invoice is wrong", ["billing"]),
    ("Dirty tables, filthy floor", ["cleanliness"]),
    ("I want to cancel my subscription", ["contract"]),
    ("Badly packed, and the box was crushed", ["packaging"]),
    ("The promo code was not accepted", ["promotions"]),
    ("Rude cashier, unhelpful manager", ["staff"]),
    ("I get spam since you have my personal details", ["privacy"]),
    ("Locked out, cannot reset the password", ["account_access"]),
    ("The opening hours on the door are wrong", ["opening_hours"]),
    ("No parking at all", ["parking"]),
    ("I will never return to this shop", []),
    ("What kind of product is this?", []),
    ("They offer a good choice", []),
    ("Great service, thank you!", []),
]


@pytest.mark.parametrize(("comment", "topics"), ITALIAN + ENGLISH)
def test_a_comment_has_its_topics(comment, topics):
    """Words count in all their inflections, phrases as a whole, and a false friend of the other tongue not."""
    assert FINDER.find(comment) == tuple(topics)


@pytest.mark.parametrize("language", LANGUAGES)
def test_every_word_finds_its_topic_and_no_other(language):
    """Each word and phrase of the built-in lists names its own topic alone, in whichever case it is written."""
    alone = TopicFinder((language,), {})
    assert alone.names == TOPICS
    for topic, phrases in BUILT_IN[language].items():
        for phrase in phrases.split(","):
            written = phrase.strip(" =").upper()
            assert alone.find(written) == (topic,), phrase
            assert FINDER.find(written) == (topic,), phrase


@pytest.mark.parametrize("language", LANGUAGES)
def test_small_words_say_nothing_by_themselves(language):
    """No small word is a topic, so a phrase is never shortened to one."""
    for word in (SMALL[language] + " " + TELLING[language]).split():
        assert FINDER.find(word) == ()


def test_declared_words_are_of_any_language():
    """Own words count beside those built in, in all inflections, whatever the comment's language."""
    assert FINDER.find("Two parkings, un parcheggio e i parcheggi") == ("parking",)
    assert FINDER.find("Parking lontano, e il personale è scortese") == ("parking", "staff")
    only = TopicFinder((), {"green": ("Café verde",), "eco": ("Öko", "=bio")})
    assert only.names == ("eco", "green")
    assert only.find("cafe VERDE") == ("green",)
    assert only.find("ÖKO, the price") == ("eco",)
    assert only.find("biology") == ()


def test_a_topic_without_words_is_left_out():
    """A topic declared with no words is switched off, the others stay."""
    finder = TopicFinder(("en",), {"price": ()})
    assert set(finder.names) == set(TOPICS) - {"price"}
    assert finder.find("an expensive delivery") == ("delivery",)


def test_a_phrase_hides_its_words():
    """The longest phrase counts, not the words in it; words beside it do."""
    finder = TopicFinder((), {"a": ("red",), "b": ("red card",), "c": ("red card holder",), "d": ("card",)})
    assert finder.find("red") == ("a",)
    assert finder.find("red card") == ("b",)
    assert finder.find("the red card holder") == ("c",)
    assert finder.find("red card, red hat, card") == ("a", "b", "d")


@pytest.mark.parametrize(
    ("languages", "words", "problem"),
    [
        (("de",), {}, "'de': en, it"),
        ((), {"": ("x",)}, "topic ''"),
        ((), {"a\x1fb": ("x",)}, "can be shown"),
        ((), {"x" * 129: ("x",)}, "can be shown"),
        ((), {"a": ("?!",)}, "no letter"),
        (("en",), {"a": ("of the",)}, "in any comment"),
    ],
)
def test_wrong_declarations(languages, words, problem):
    """Languages without words, names that cannot be shown and words that are none are refused by name."""
    with pytest.raises(ValueError, match=problem):
        TopicFinder(languages, words)


SAID = st.lists(
    st.sampled_from(
        [
            phrase.strip(" =")
            for topics in BUILT_IN.values()
            for text in topics.values()
            for phrase in text.split(",")
        ]
        + (SMALL["en"] + SMALL["it"]).split()
    )
    | st.text(max_size=30),
    max_size=30,
).map(" ".join)


@given(st.text(max_size=10_000) | SAID)
def test_only_declared_names_come_out(text):
    """Whatever the text: no error, and sorted names that were declared, each once; the same ones again."""
    found = FINDER.find(text)
    assert set(found) <= set(FINDER.names)
    assert list(found) == sorted(set(found))
    assert FINDER.find(text) == found


@given(SAID, st.lists(SAID, max_size=5))
def test_what_was_seen_before_does_not_matter(text, before):
    """A finder that has read other comments finds what one does that remembers none."""
    for one in before:
        FINDER.find(one)
    found = FINDER.find(text)
    FINDER._known.clear()
    assert FINDER.find(text) == found


@given(st.text(st.characters(max_codepoint=127)))
def test_the_short_way_through_ascii_finds_the_same_words(text):
    """Splitting at what is no letter or digit is the same as looking for runs of them."""
    assert _words(text) == _WORD.findall(text.casefold())
    assert all(not chr(code).isalnum() for code in _APART)


def test_the_work_is_bounded(monkeypatch):
    """Of a long comment only so many words are stemmed, and memory of words is bounded in both ways."""
    finder = TopicFinder(LANGUAGES, {})
    many = [f"deli{number:05d}" for number in range(_MOST)]
    assert finder.find(" ".join(["hm"] * 1500 + many + ["price"])) == ()
    assert finder.find(" ".join(["hm"] * 1500 + many[1:] + ["price"])) == ("price",)
    assert finder.find(" ".join(["delivery"] * 1000 + ["price"])) == ("delivery", "price")
    assert not any(len(word) > _LONGEST for word in (finder.find("x" * 9000), *finder._known)[1:])
    assert _CACHED * _LONGEST < 2_000_000
    monkeypatch.setattr("stream.comments.topics._CACHED", 100)
    for number in range(500):
        finder.find(f"word{number} delivery")
        assert len(finder._known) <= 100
    assert finder.find("delivery") == ("delivery",)


def test_the_page_lists_the_topics():
    """The table of built-in topics on the page has each of them, and nothing else."""
    table = rows((ROOT / "docs" / "metrics" / "topics.md").read_text(encoding="utf-8"))
    assert [row[0].strip("`") for row in table] == list(TOPICS)
