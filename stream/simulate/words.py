"""What simulated customers write: invented, without a person in it. Some comments have topics, some have none."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from random import Random

#: (language, liked) -> comments that fit anywhere.
ANYWHERE: Final[dict[tuple[str, bool], tuple[str, ...]]] = {
    ("it", True): (
        "Tutto perfetto, grazie!",
        "Servizio rapido e gentile.",
        "Ottima esperienza, continuate così.",
    ),
    ("it", False): ("Non ci siamo.", "Mi aspettavo di più da voi.", "Nessuno mi ha avvisato di niente."),
    ("en", True): ("Great service, thank you!", "Quick and friendly.", "Exactly what I hoped for."),
    ("en", False): ("Not good enough.", "I expected more from you.", "Nobody kept me informed of anything."),
}

#: (language, liked) -> touchpoint -> comments of it.
COMMENTS: Final[dict[tuple[str, bool], dict[str, tuple[str, ...]]]] = {
    ("it", True): {
        "checkout": (
            "Pagamento semplice e veloce.",
            "Prezzi onesti e un bello sconto.",
            "Il personale è gentilissimo.",
        ),
        "support": (
            "Problema risolto in cinque minuti.",
            "Operatrice competente e cortese.",
            "Attesa breve, bravi.",
        ),
        "delivery": (
            "Consegna in anticipo, complimenti.",
            "Il corriere è stato puntuale.",
            "Imballaggio curato.",
        ),
        "app": ("L'app è comoda e chiara.", "Applicazione intuitiva."),
        "billing": ("Bolletta chiara, finalmente.",),
        "onboarding": ("Registrazione facile, pochi passaggi.",),
    },
    ("it", False): {
        "checkout": (
            "Il pagamento è stato rifiutato tre volte.",
            "Prezzo cambiato all'ultimo momento: perché?",
            "La carta salvata non funziona più.",
            "Il prodotto che volevo era esaurito.",
        ),
        "support": (
            "Ho aspettato troppo e nessuno ha risposto.",
            "Ho dovuto spiegare tutto da capo.",
            "La chat si blocca di continuo.",
            "Ancora nessun rimborso dopo un mese.",
        ),
        "delivery": (
            "Il corriere non si è presentato.",
            "Consegna in ritardo di due giorni.",
            "Pacco rotto e prodotto danneggiato.",
        ),
        "app": ("L'app si blocca ogni volta.", "Il sito è lento e confuso."),
        "billing": ("Mi avete addebitato due volte la stessa fattura.", "Troppo caro per quello che offre."),
        "onboarding": ("Registrazione complicata, troppi passaggi.", "Il codice di verifica non arriva."),
    },
    ("en", True): {
        "checkout": ("Paying was easy and fast.", "Fair prices and a nice discount.", "Friendly staff."),
        "support": ("Sorted out in five minutes.", "The agent was helpful and polite.", "No queue at all."),
        "delivery": ("Arrived a day early, well done.", "The courier was on time.", "Well packed."),
        "app": ("The app is easy to use.", "Simple, intuitive app."),
        "billing": ("The bill is clear at last.",),
        "onboarding": ("Registration was simple.",),
    },
    ("en", False): {
        "checkout": (
            "My card was refused three times.",
            "The price changed at the last step. Why?",
            "The checkout keeps crashing.",
            "What I wanted was out of stock.",
        ),
        "support": (
            "Waited far too long and nobody answered.",
            "I had to explain everything again.",
            "The chat does not work.",
            "Still no refund after a month.",
        ),
        "delivery": (
            "The courier never turned up.",
            "Two days late, and no notification.",
            "The box was crushed and the product damaged.",
        ),
        "app": ("The app crashes every time.", "The website is slow and confusing."),
        "billing": ("I was charged twice for one invoice.", "Too expensive for what it is."),
        "onboarding": ("Signing up was complicated, too many steps.", "The verification code never came."),
    },
}
_SAME: Final = {"website": "app"}


def comment(rng: Random, language: str, place: str, *, liked: bool) -> str:
    """A comment in ``it`` or ``en`` on a touchpoint."""
    here = COMMENTS[language, liked].get(_SAME.get(place, place), ())
    return rng.choice(here + ANYWHERE[language, liked])
