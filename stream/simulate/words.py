"""What simulated customers write: invented, without a person in it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from random import Random

#: (language, liked) -> comments.
COMMENTS: Final[dict[tuple[str, bool], tuple[str, ...]]] = {
    ("it", True): (
        "Tutto perfetto, grazie!",
        "Servizio rapido e gentile.",
        "Consegna in anticipo, complimenti.",
        "L'app è comoda e chiara.",
        "Problema risolto in cinque minuti.",
    ),
    ("it", False): (
        "Ho aspettato troppo e nessuno ha risposto.",
        "Il pagamento è stato rifiutato tre volte.",
        "Il corriere non si è presentato.",
        "Ho dovuto spiegare tutto da capo.",
        "Prezzo cambiato all'ultimo momento: perché?",
    ),
    ("en", True): (
        "Great service, thank you!",
        "Quick and friendly.",
        "Arrived a day early, well done.",
        "The app is easy to use.",
        "Sorted out in five minutes.",
    ),
    ("en", False): (
        "Waited far too long and nobody answered.",
        "My card was refused three times.",
        "The courier never turned up.",
        "I had to explain everything again.",
        "The price changed at the last step. Why?",
    ),
}


def comment(rng: Random, language: str, *, liked: bool) -> str:
    """A comment in ``it`` or ``en``."""
    return rng.choice(COMMENTS[language, liked])
