"""Finds declared topics in comments: words and short phrases, compared by their stems.

What comes out are names that were declared, and nothing else: topics learned from the comments would publish
what customers wrote, their names and numbers among it.

A comment names no language, and some words are another word in another one: ``caro`` is dear, a ``car`` is not.
So a language is left out where a comment has none of its small words and some of another's.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache
from operator import attrgetter
from typing import TYPE_CHECKING, Final
from unicodedata import combining, is_normalized, normalize

from snowballstemmer.english_stemmer import EnglishStemmer
from snowballstemmer.italian_stemmer import ItalianStemmer

from stream.comments.taxonomy import BUILT_IN, LANGUAGES, SMALL, TELLING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

_STEMMERS: Final = {"en": EnglishStemmer(), "it": ItalianStemmer()}

_WORD: Final = re.compile(r"[^\W_]+")
_APART: Final = {code: " " for code in range(128) if not chr(code).isalnum()}
#: By so many first letters a word is seen to be none of those looked for. No stemmer here changes them.
_HEAD: Final = 3
#: Stemming takes up to 0.2 ms, once a word: longer ones are taken as they are, and a comment may ask for so many.
_LONGEST: Final = 24
_MOST: Final = 128
_CACHED: Final = 50_000
_MAX_NAME: Final = 128

_NOT_SMALL: Final = (0, False)
_OWN: Final = 1  # the bit of declared words, which are of any language


@dataclass(frozen=True, slots=True)
class _Word:
    """What a word of a comment means.

    Attributes:
        votes: bits of the languages it tells.
        skipped: whether it does not count in a phrase.
        ids: the words of the dictionaries that it is.
        singles: topics it names by itself, each with the bit of its dictionary.
        phrases: what has to follow for a phrase: bit, ids of the words, topic; the longest first.
        concerned: whether it has any of both.
    """

    votes: int
    skipped: bool = False
    ids: frozenset[str] = frozenset()
    singles: tuple[tuple[int, str], ...] = ()
    phrases: tuple[tuple[int, tuple[str, ...], str], ...] = ()
    concerned: bool = False


_NOTHING: Final = _Word(0)
_concerned: Final = attrgetter("concerned")


class TopicFinder:
    """Finds topics. The same comment has the same topics, whatever was seen before.

    For one thread, all of them: stemmers keep state, and are shared.

    Args:
        languages: of the built-in words, from ``LANGUAGES``.
        words: topic -> words and phrases of one's own, of any language. They come beside the built-in words of
            a topic of that name; a topic with no words at all is left out.

    Raises:
        ValueError: an unknown language, a topic's name that cannot be shown, a word without a letter.
    """

    def __init__(self, languages: Iterable[str], words: Mapping[str, Iterable[str]]) -> None:
        languages = tuple(dict.fromkeys(languages))
        if unknown := [name for name in languages if name not in LANGUAGES]:
            raise ValueError(f"no words are known in {unknown[0]!r}: {', '.join(LANGUAGES)}, or your own")
        own = {topic: tuple(phrases) for topic, phrases in words.items()}
        for topic in own:
            if not topic.strip() or not topic.isprintable() or len(topic) > _MAX_NAME:
                raise ValueError(f"topic {topic!r}: a name has 1 to {_MAX_NAME} characters that can be shown")
        self._languages: Final[dict[int, str]] = {}
        self._small: Final[dict[str, tuple[int, bool]]] = {}
        for place, name in enumerate(languages, 1):
            bit = _OWN << place
            self._languages[bit] = name
            self._take_small(bit, SMALL[name].split(), skipped=True)
            self._take_small(bit, TELLING[name].split(), skipped=False)
        self._all: Final = _OWN | sum(self._languages)
        # Stem, or spelling, of a word in a dictionary -> its ids. An id is the bit and the stem.
        self._ids: Final[dict[str, set[str]]] = {}
        self._heads: Final[set[str]] = set()
        self._singles: Final[dict[str, set[tuple[int, str]]]] = {}
        self._phrases: Final[dict[str, set[tuple[int, tuple[str, ...], str]]]] = {}
        names = set()
        for bit, name in self._languages.items():
            for topic, phrases in BUILT_IN[name].items():
                if own.get(topic, True):
                    names.add(topic)
                    for phrase in phrases.split(","):
                        self._learn(bit, topic, phrase)
        for topic, declared in own.items():
            for phrase in declared:
                names.add(topic)
                self._learn(_OWN, topic, phrase)
        self.names: Final = tuple(sorted(names))
        self._known: Final = _Known(self._meaning)

    def find(self, text: str) -> tuple[str, ...]:
        """Names of the topics of a comment, sorted; () for none. Never raises, whatever the text.

        A long comment is read up to its 128th word that could be of a topic, by its first letters.
        """
        words = _words(text)
        if len(words) > _MOST:
            words = self._bounded(words)
        known = list(map(self._known.__getitem__, words))
        if not any(map(_concerned, known)):
            return ()
        votes = 0
        for word in known:
            votes |= word.votes
        counting = [word for word in known if not word.skipped]
        return _match(counting, (votes | _OWN) if votes else self._all)

    def _bounded(self, words: list[str]) -> list[str]:
        """The words up to where there are enough distinct ones that would have to be stemmed."""
        heads = self._heads
        seen: set[str] = set()
        for place, word in enumerate(words):
            if _head(word) in heads:
                seen.add(word)
                if len(seen) > _MOST:
                    return words[:place]
        return words

    def _take_small(self, bit: int, words: Iterable[str], *, skipped: bool) -> None:
        for word in words:
            for spelling in {word, _plain(word)}:
                votes, already = self._small.get(spelling, _NOT_SMALL)
                self._small[spelling] = (votes | bit, already or skipped)

    def _learn(self, bit: int, topic: str, phrase: str) -> None:
        """Take a phrase into the dictionary of a language, or into that of declared words."""
        exact = phrase.strip().startswith("=")
        if problem := problem_of(phrase, self._languages.values()):
            raise ValueError(f"topic {topic!r}: {phrase!r} {problem}")
        first, *rest = [
            self._id(bit, word, exact=exact)
            for word in _words(phrase)
            if not self._small.get(word, _NOT_SMALL)[1]
        ]
        if rest:
            self._phrases.setdefault(first, set()).add((bit, tuple(rest), topic))
        else:
            self._singles.setdefault(first, set()).add((bit, topic))

    def _id(self, bit: int, word: str, *, exact: bool) -> str:
        spellings = {word, _plain(word)}  # many write qualita for qualità, which has another stem
        self._heads.update(_head(spelling) for spelling in spellings)
        found = f"{bit}={_plain(word)}" if exact else f"{bit}:{self._stem(bit, word)}"
        for spelling in spellings:
            for key in {_plain(spelling)} if exact else self._keys(spelling, bit):
                self._ids.setdefault(f"{bit}{'=' if exact else ':'}{key}", set()).add(found)
        return found

    def _keys(self, word: str, bit: int) -> set[str]:
        """What a word of a dictionary is looked up by: its stem, or for a declared one any language's."""
        if bit in self._languages:
            return {self._stem(bit, word)}
        return {_plain(word)} | {self._stem(each, word) for each in self._languages}

    def _stem(self, bit: int, word: str) -> str:
        language = self._languages.get(bit)
        return _plain(word if language is None or len(word) > _LONGEST else _stemmed(language, word))

    def _meaning(self, word: str) -> _Word:
        """Work out what a word means."""
        votes, skipped = self._small.get(word, _NOT_SMALL)
        if skipped:
            return _Word(votes, skipped=True)
        ids: set[str] = set()
        if _head(word) in self._heads:
            plain = _plain(word)
            own = {plain}
            for bit in self._languages:
                stem = self._stem(bit, word)
                own.add(stem)
                ids |= self._ids.get(f"{bit}={plain}", set()) | self._ids.get(f"{bit}:{stem}", set())
            for key in own:
                ids |= self._ids.get(f"{_OWN}:{key}", set())
        if not ids:
            return _NOTHING if not votes else _Word(votes)
        singles = {single for each in ids for single in self._singles.get(each, ())}
        phrases = {phrase for each in ids for phrase in self._phrases.get(each, ())}
        return _Word(
            votes,
            ids=frozenset(ids),
            singles=tuple(sorted(singles)),
            phrases=tuple(sorted(phrases, key=lambda phrase: (-len(phrase[1]), phrase))),
            concerned=bool(singles or phrases),
        )


def problem_of(phrase: str, languages: Iterable[str]) -> str | None:
    """Why a word or phrase cannot be looked for beside these languages; None where it can."""
    words = _words(phrase)
    if not words:
        return "has no letter and no digit"
    small = _skipped(tuple(languages))
    return "has only words that are in any comment" if small.issuperset(words) else None


@lru_cache(maxsize=8)
def _skipped(languages: tuple[str, ...]) -> frozenset[str]:
    words = [word for name in languages for word in SMALL[name].split()]
    return frozenset(words) | {_plain(word) for word in words}


class _Known(dict[str, _Word]):
    """Meanings of words by word, worked out once; emptied when it is full."""

    def __init__(self, meaning: Callable[[str], _Word]) -> None:
        super().__init__()
        self._meaning = meaning

    def __missing__(self, word: str) -> _Word:
        meaning = self._meaning(word)
        if len(word) <= _LONGEST:
            if len(self) >= _CACHED:
                self.clear()
            self[word] = meaning
        return meaning


@lru_cache(maxsize=4 * 1024)
def _stemmed(language: str, word: str) -> str:
    """Remembered for the words of the dictionaries: a second finder takes a tenth of the time of the first."""
    stem: str = _STEMMERS[language].stemWord(word)
    return stem


def _words(text: str) -> list[str]:
    """Words in small letters; an apostrophe ends one."""
    text = text.casefold()
    if text.isascii():
        return text.translate(_APART).split()  # the same in a fifth of the time
    return _WORD.findall(text if is_normalized("NFC", text) else normalize("NFC", text))


def _match(words: list[_Word], spoken: int) -> tuple[str, ...]:
    """Topics of a comment's words in the languages it is in. A phrase hides the words in it, and shorter ones."""
    found: set[str] = set()
    place = 0
    for at, word in enumerate(words):
        if not word.concerned or at < place:
            continue
        for bit, rest, topic in word.phrases:
            end = at + 1 + len(rest)
            if end < place:
                break  # a longer one was found
            if bit & spoken and end <= len(words) and _follow(rest, words, at + 1):
                found.add(topic)
                place = end
        if at >= place:
            found.update(topic for bit, topic in word.singles if bit & spoken)
    return tuple(sorted(found))


def _follow(ids: tuple[str, ...], words: list[_Word], at: int) -> bool:
    return all(wanted in words[at + place].ids for place, wanted in enumerate(ids))


def _head(word: str) -> str:
    return _plain(word[:_HEAD])


def _plain(word: str) -> str:
    """The word without accents."""
    if word.isascii():
        return word
    return "".join(letter for letter in normalize("NFKD", word) if not combining(letter))
