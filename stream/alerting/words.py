"""The evidence of a claim about a metric in words: one sentence that says what was seen and how sure it is."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from stream.alerting.templates import ENGLISH, show

if TYPE_CHECKING:
    from collections.abc import Mapping

_ENGLISH: Final = {
    "below": "below {line}",
    "above": "above {line}",
    "drop": "{line} points or more below {of}",
    "rise": "{line} points or more above {of}",
    "none": "The value, {value}, lies {beyond}, on {n} replies. How sure that is was not asked for.",
    "interval": "The {confidence} % interval, {low} to {high}, lies {beyond} on {n} replies.",
    "moved_interval": "The {confidence} % interval of the change, {low} to {high}, lies {beyond} on {n} replies.",
    "anytime": "{since} replies since the value first lay {beyond} make {e_value} of evidence, and {e_needed} was"
    " asked for: were the mean not {beyond}, it would ever come to that with a chance of at most {chance} %.",
    "fdr": " Over all slices, at most {fdr} % of this rule's alerts are false on average.",
    "down": "fallen",
    "up": "risen",
    "down_from": "{before} or more",
    "up_from": "{before} or less",
    "change": "The mean has {moved}: it was {before} ({of}), and the evidence against that has come to {e_value}."
    " While nothing changes it comes to {e_needed} at most once in {per} replies on average.",
    "burn_rate": "Of all answers {goal} % are to be good; over {long} and {short} the others are {burn_long} and"
    " {burn_short} times as many as that allows, and the line is at {rate}.",
    "no_data": "There has been no reply for {no_data}.",
    "over": "The value is {value} on {n} replies; that is no longer enough for this alert.",
    "heard": "There are replies again.",
    "settled": "The evidence of a change has gone back to {e_value}: the mean is what it was, or {of} has come to"
    " know the new one.",
}

_ITALIAN: Final = {
    "below": "sotto {line}",
    "above": "sopra {line}",
    "drop": "almeno {line} punti sotto {of}",
    "rise": "almeno {line} punti sopra {of}",
    "none": "Il valore, {value}, è {beyond}, su {n} risposte. Non è stato chiesto quanto sia certo.",
    "interval": "L'intervallo al {confidence} %, da {low} a {high}, è {beyond} su {n} risposte.",
    "moved_interval": "L'intervallo al {confidence} % della variazione, da {low} a {high}, è {beyond} su {n}"
    " risposte.",
    "anytime": "{since} risposte da quando il valore era per la prima volta {beyond} danno un'evidenza di"
    " {e_value}, e ne era richiesta {e_needed}: se la media non fosse {beyond}, ci arriverebbe mai con una"
    " probabilità di al massimo {chance} %.",
    "fdr": " Su tutti i segmenti, in media al massimo il {fdr} % degli avvisi di questa regola è falso.",
    "down": "scesa",
    "up": "salita",
    "down_from": "{before} o più",
    "up_from": "{before} o meno",
    "change": "La media è {moved}: era {before} ({of}), e l'evidenza contraria è arrivata a {e_value}."
    " Finché nulla cambia arriva a {e_needed} in media al massimo una volta ogni {per} risposte.",
    "burn_rate": "Obiettivo: {goal} % di risposte buone; in {long} e {short} le altre sono {burn_long} e"
    " {burn_short} volte quante ne sono ammesse, e il limite è {rate}.",
    "no_data": "Nessuna risposta da {no_data}.",
    "over": "Il valore è {value} su {n} risposte; non basta più per questo avviso.",
    "heard": "Ci sono di nuovo risposte.",
    "settled": "L'evidenza di una variazione è tornata a {e_value}: la media è quella di prima, o {of} conosce"
    " ormai quella nuova.",
}

_LANGUAGES: Final = {"en": _ENGLISH, "it": _ITALIAN}


def in_words(figures: Mapping[str, Any], language: str = ENGLISH, *, resolved: bool = False) -> str:
    """What a claim rests on, from its figures; plain text, "" where they do not say.

    Args:
        figures: The ``claim`` object of an alert about a metric. Of rules over a line: ``value``, ``n``,
            ``interval`` or (drop, rise) ``change_interval``, ``confidence``, ``evidence``, and ``below``,
            ``above``, ``drop`` or ``rise``; with ``anytime`` also ``e_value``, ``e_needed``, ``since_n`` and
            perhaps ``fdr``. Of ``change`` (``{direction, one_false_alarm_per, from}``): ``before`` (the mean
            before), ``e_value`` and ``e_needed``. Of ``burn_rate`` (``{goal, long, short, rate}``): ``burns``,
            a number for each of the two windows. ``no_data``: for how long.
        language: Code of a language. There are words in English and Italian; any other reads English.
        resolved: The claim says that it is over.
    """
    texts = _LANGUAGES.get(language.partition("_")[0])
    says = _Saying(_ENGLISH, ENGLISH) if texts is None else _Saying(texts, language)
    if isinstance(change := figures.get("change"), dict):
        return says.settled(figures, change) if resolved else says.change(figures, change)
    if "no_data" in figures:
        return says("heard") if resolved else says("no_data", no_data=figures["no_data"])
    if resolved:
        return says("over", value=figures.get("value"), n=figures.get("n"))
    if isinstance(burn := figures.get("burn_rate"), dict):
        return says.burn_rate(figures, burn)
    kind = next((kind for kind in ("below", "above", "drop", "rise") if kind in figures), None)
    return "" if kind is None else says.line(figures, kind)


class _Saying:
    """Texts of one language."""

    def __init__(self, texts: Mapping[str, str], language: str) -> None:
        self._texts = texts
        self._language = language

    def __call__(self, name: str, **values: Any) -> str:
        shown = {key: show(value, self._language) for key, value in values.items()}
        return self._texts[name].format(**shown)

    def line(self, figures: Mapping[str, Any], kind: str) -> str:
        moved = kind in ("drop", "rise")
        line = figures[kind]
        beyond = self(kind, line=line["points"], of=line["from"]) if moved else self(kind, line=float(line))
        evidence, n = figures.get("evidence"), figures.get("n")
        if evidence == "anytime" and figures.get("e_value"):
            said = self(
                "anytime",
                since=figures.get("since_n"),
                beyond=beyond,
                e_value=_rounded(figures["e_value"]),
                e_needed=_rounded(figures.get("e_needed")),
                chance=100.0 / max(1.0, figures["e_value"]),
            )
            return said + (self("fdr", fdr=100.0 * figures["fdr"]) if figures.get("fdr") else "")
        interval = figures.get("change_interval" if moved else "interval")
        if evidence == "interval" and interval is not None:
            return self(
                "moved_interval" if moved else "interval",
                confidence=100.0 * figures["confidence"],
                low=interval[0],
                high=interval[1],
                beyond=beyond,
                n=n,
            )
        return self("none", value=figures.get("value"), beyond=beyond, n=n)

    def change(self, figures: Mapping[str, Any], change: Mapping[str, Any]) -> str:
        direction = change["direction"]
        return self(
            "change",
            moved=self(direction),
            before=self(f"{direction}_from", before=figures.get("before")),
            of=change["from"],
            e_value=_rounded(figures.get("e_value")),
            e_needed=_rounded(figures.get("e_needed")),
            per=_rounded(change["one_false_alarm_per"]),
        )

    def settled(self, figures: Mapping[str, Any], change: Mapping[str, Any]) -> str:
        return self("settled", e_value=_rounded(figures.get("e_value")), of=change["from"])

    def burn_rate(self, figures: Mapping[str, Any], burn: Mapping[str, Any]) -> str:
        long, short = figures.get("burns") or (None, None)
        return self("burn_rate", burn_long=long, burn_short=short, **burn)


def _rounded(value: float | None) -> float | None:
    """Evidence is not known to more than three digits or so, and no one reads more."""
    return None if value is None else float(f"{value:.3g}")
