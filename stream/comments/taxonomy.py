"""The built-in topics, and the words by which each is known in Italian and English.

Words and phrases of two or three words, separated by commas. A word stands for all its inflections, as far as
the language's stemmer knows them: ``consegna`` also finds ``consegne`` and ``consegnato``. ``=word`` stands for
that spelling alone, where an inflection is another word's. Small words (``SMALL``) do not count in a phrase.
"""

from __future__ import annotations

from types import MappingProxyType
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Mapping

_EN: Final = {
    "account_access": (
        "login, =log, =logging, logged out, log out, sign up, password, username, locked out, user "
        "account, registration, register, verification code"
    ),
    "availability": (
        "out of stock, sold out, unavailable, not available, availability, back order, restock, "
        "discontinued, never in stock"
    ),
    "billing": (
        "bill, bills, billed, billing, invoice, invoices, overcharged, charged twice, double charged, "
        "wrongly charged, direct debit, bank statement"
    ),
    "checkout_payment": (
        "checkout, check out, payment, pay, paid, credit card, debit card, bank card, card, paypal, apple "
        "pay, google pay, shopping basket, shopping cart, transaction, bank transfer, instalment, voucher "
        "code"
    ),
    "cleanliness": (
        "clean, cleaner, cleaned, cleanliness, dirty, filthy, hygiene, hygienic, smell, smelled, smelly, "
        "stain, stained, spotless, tidy, dust, dusty"
    ),
    "communication": (
        "communication, communicate, no answer, nobody answered, never answered, no reply, no response, "
        "never replied, not informed, keep informed, kept informed, kept updated, no update, no updates, "
        "notification, not told, never told, unanswered, call back, called back, misleading, "
        "contradictory, explain everything, no feedback, no one replied, nobody replied, unclear, "
        "newsletter"
    ),
    "contract": (
        "contract, subscription, subscribe, unsubscribe, cancel, cancelled, cancellation, canceled, "
        "renewal, renewed, membership, terms and conditions, notice period, small print, auto renew"
    ),
    "delivery": (
        "delivery, deliveries, deliver, delivered, undelivered, shipping, shipment, shipped, ship, "
        "courier, parcel, postman, driver, dispatch, dispatched, tracking, arrived, arrive, never arrived, "
        "not arrived, pick up point, doorstep, lost in transit"
    ),
    "ease_of_use": (
        "easy, easily, easier, simple, intuitive, complicated, confusing, difficult, hard to use, user "
        "friendly, straightforward, effortless, cumbersome, hassle, too many steps, convenient, "
        "inconvenient"
    ),
    "opening_hours": (
        "opening hours, opening times, opening time, closing time, open late, closed early, found closed, "
        "shop closed, store closed, office hours, bank holiday, open on sunday, closed on sunday"
    ),
    "packaging": (
        "packaging, packed, packing, wrapped, wrapping, cardboard, bubble wrap, damaged box, crushed box, "
        "open box, badly packed"
    ),
    "price": (
        "price, prices, pricing, priced, pricey, expensive, overpriced, cheap, cheaper, cheapest, costs, "
        "cost, costly, value for money, affordable, rip off, ripoff, too much money, worth the money, "
        "surcharge, hidden fees, extra fee, fee"
    ),
    "privacy": (
        "privacy, personal data, personal details, gdpr, data protection, spam, data breach, leaked, "
        "without my consent, consent, phishing, fraud, scam, scammed"
    ),
    "product_quality": (
        "quality, broke, broken, defective, faulty, defect, damaged, poorly made, well made, flimsy, "
        "durable, sturdy, fell apart, cheaply made, material, materials, fake, not as described, "
        "scratched, expired, wrong size, wrong item, craftsmanship"
    ),
    "promotions": (
        "discount, discounts, promotion, promo, promo code, coupon, coupons, voucher, special offer, "
        "loyalty points, loyalty card, reward, rewards, black friday, cashback, gift card"
    ),
    "returns_refunds": (
        "refund, refunds, refunded, reimburse, reimbursed, reimbursement, money back, =returns, =returned, "
        "return policy, return label, return the item, exchange, replacement, sent back, send back, "
        "warranty, guarantee, compensation, chargeback"
    ),
    "staff": (
        "staff, employee, employees, agent, agents, operator, operators, assistant, cashier, waiter, "
        "waitress, receptionist, salesman, salesperson, manager, clerk, technician, rude, rudely, "
        "rudeness, polite, politely, impolite, courteous, friendly, unfriendly, helpful, unhelpful, "
        "=kindness, attentive, arrogant, professional, unprofessional, incompetent, competent, "
        "knowledgeable, team"
    ),
    "support": (
        "customer service, customer services, customer care, customer support, support, help desk, "
        "helpdesk, call centre, call center, chatbot, live chat, chat bot, ticket, hotline, complaint"
    ),
    "technical_problem": (
        "bug, bugs, buggy, crash, crashes, crashed, crashing, error, errors, error message, glitch, "
        "glitches, freezes, frozen, froze, not work, not working, not worked, doesn't work, didn't work, "
        "won't load, won't open, stopped working, not load, not loading, technical, outage, server down, "
        "site down, website down, app down, offline, blank page, blank screen, keeps crashing, timed out"
    ),
    "waiting": (
        "wait, waits, waited, waiting, queue, queues, queued, queuing, slow, slowly, slower, delay, "
        "delays, delayed, put on hold, kept on hold, hold music, long line, long lines, took ages, took "
        "forever, took too long, hours, quick, quickly, fast, faster, speedy, prompt, promptly, immediate, "
        "immediately, in no time"
    ),
    "website_app": (
        "website, web site, site, webpage, web page, app, apps, application, mobile, smartphone, android, "
        "iphone, online shop, online store, search function, search bar, interface, navigation, navigate, "
        "browser, home page"
    ),
}

_IT: Final = {
    "account_access": (
        "accesso, accedere, login, password, parola chiave, nome utente, credenziali, registrazione, "
        "registrarmi, registrarsi, account, profilo utente, bloccato account, account bloccato, codice "
        "verifica, spid, autenticazione"
    ),
    "availability": (
        "non disponibile, non disponibili, prodotto disponibile, prodotti disponibili, indisponibile, "
        "esaurito, esaurita, esauriti, esaurite, scorte, fuori produzione, mai disponibile, magazzino, "
        "assortimento"
    ),
    "billing": (
        "fattura, fatture, fatturazione, fatturato, bolletta, bollette, addebito, addebiti, addebitato, "
        "addebitata, addebitati, doppio addebito, estratto conto, scontrino, =ricevuta, =ricevute, conguaglio"
    ),
    "checkout_payment": (
        "pagamento, pagare, pagato, pagata, carta di credito, carta di debito, carta, bancomat, prepagata, "
        "paypal, satispay, bonifico, contrassegno, transazione, carrello, checkout, rate, rateizzare, "
        "rateizzazione, =cassa, contanti"
    ),
    "cleanliness": (
        "pulito, pulita, puliti, pulite, pulizia, pulire, pulitissimo, sporco, sporca, sporchi, sporche, "
        "sporcizia, igiene, igienico, igienici, puzza, puzzava, cattivo odore, macchia, macchie, "
        "macchiato, polvere, disordine"
    ),
    "communication": (
        "comunicazione, comunicazioni, comunicare, comunicato, nessuna risposta, senza risposta, zero "
        "risposte, nessuno risponde, nessuno ha risposto, non rispondono, non risponde, non hanno "
        "risposto, non ha risposto, mai risposto, mai risponde, nessuno ha avvisato, mai avvisato, non "
        "avvisano, avvisato, avvisata, informato, informata, informazioni, notifica, notifiche, "
        "aggiornamenti, aggiornato, richiamato, richiamata, richiamano, spiegare, spiegazioni, poco "
        "chiaro, poco chiare, ingannevole, newsletter"
    ),
    "contract": (
        "contratto, contratti, abbonamento, abbonamenti, abbonato, abbonarsi, disdetta, disdire, disdetto, "
        "recesso, recedere, rinnovo, rinnovato, rinnovare, clausola, clausole, condizioni contrattuali, "
        "cancellazione, annullare, annullato, annullamento, penale"
    ),
    "delivery": (
        "consegna, consegne, consegnare, consegnato, consegnata, spedizione, spedizioni, spedito, spedita, "
        "spedire, spediti, corriere, corrieri, pacco, pacchi, postino, fattorino, recapito, recapitato, "
        "tracciamento, tracking, arrivato, arrivata, arrivati, arrivate, arriva, arrivare, punto di "
        "ritiro, giacenza"
    ),
    "ease_of_use": (
        "facile, facili, facilmente, facilità, semplice, semplici, semplicità, intuitivo, intuitiva, "
        "complicato, complicata, complicati, difficile, difficili, difficoltà, macchinoso, macchinosa, "
        "comodo, comoda, comodità, scomodo, scomoda, confuso, confusa, troppi passaggi"
    ),
    "opening_hours": (
        "orario, orari, orario di apertura, orari di apertura, orario di chiusura, trovato chiuso, chiuso "
        "di domenica, aperto di domenica, aperti la domenica, giorno di chiusura"
    ),
    "packaging": (
        "imballaggio, imballaggi, imballo, imballato, imballata, imballati, confezione, confezioni, "
        "confezionato, confezionata, scatola, scatole, pluriball, pacco aperto, pacco rotto"
    ),
    "price": (
        "prezzo, prezzi, costo, costi, costoso, costosa, costosi, costose, =costa, =costano, =caro, =cara, "
        "=cari, carissimo, carissima, economico, economica, economici, =conveniente, =convenienti, "
        "=convenienza, tariffa, tariffe, rincaro, rincari, aumenti, sovrapprezzo, rapporto qualità prezzo, "
        "troppi soldi, spesa eccessiva, commissioni, costi nascosti"
    ),
    "privacy": (
        "privacy, dati personali, dati sensibili, gdpr, spam, consenso, trattamento dati, truffa, "
        "truffato, truffata, truffatori, frode, phishing, furto dati"
    ),
    "product_quality": (
        "qualità, rotto, rotta, rotti, rotte, difettoso, difettosa, difettosi, difetto, difetti, "
        "danneggiato, danneggiata, danneggiati, scadente, scadenti, fragile, resistente, robusto, robusta, "
        "materiale, materiali, taglia sbagliata, prodotto sbagliato, non conforme, diverso dalla "
        "descrizione, =descritto, contraffatto, falso, scaduto, scaduta, graffiato, graffi, fatto bene, "
        "ben fatto"
    ),
    "promotions": (
        "sconto, sconti, scontato, scontata, promozione, promozioni, promo, coupon, buono sconto, codice "
        "sconto, =offerta, =offerte, =saldi, punti fedeltà, carta fedeltà, raccolta punti, buono regalo, "
        "carta regalo, cashback, black friday"
    ),
    "returns_refunds": (
        "rimborso, rimborsi, rimborsare, rimborsato, rimborsata, reso, resi, restituire, restituito, "
        "restituita, restituzione, indietro i soldi, soldi indietro, sostituzione, sostituito, sostituire, "
        "cambio merce, garanzia, risarcimento, risarcito, storno, stornato"
    ),
    "staff": (
        "personale, dipendente, dipendenti, operatore, operatrice, operatori, commesso, commessa, "
        "commessi, commesse, =cassiere, =cassiera, cameriere, cameriera, addetto, addetta, addetti, "
        "impiegato, impiegata, tecnico, tecnici, direttore, staff, ragazzi, ragazza, maleducato, "
        "maleducata, maleducati, maleducazione, scortese, scortesi, scortesia, cortese, cortesi, cortesia, "
        "gentile, gentili, gentilezza, gentilissimo, gentilissima, gentilissimi, educato, educata, "
        "educati, disponibilissimo, disponibilissimi, arrogante, arroganza, competente, competenti, "
        "competenza, incompetente, incompetenti, incompetenza, preparato, preparata, preparati, "
        "professionale, professionali, professionalità, simpatico, simpatici, accogliente"
    ),
    "support": (
        "assistenza, servizio clienti, servizio di assistenza, supporto, supporto tecnico, call center, "
        "numero verde, chatbot, chat, ticket, reclamo, reclami, segnalazione, centralino, help desk"
    ),
    "technical_problem": (
        "errore, errori, bug, guasto, guasti, malfunzionamento, malfunzionamenti, disservizio, disservizi, "
        "non funziona, non funzionava, non funzionano, non funzionante, non va, non si apre, non carica, "
        "bloccato, bloccata, blocca, crash, crasha, impallato, pagina bianca, schermata nera, problema "
        "tecnico, problemi tecnici, fuori servizio, offline, sito irraggiungibile"
    ),
    "waiting": (
        "attesa, attese, attendere, atteso, =aspettare, =aspettato, =aspettata, =aspettati, =aspetta, "
        "=aspettano, =aspettando, =aspettavo, =aspettiamo, coda, code, fila, lento, lenta, lenti, lente, "
        "lentezza, lentissimo, lentissima, ritardo, ritardi, rapido, rapida, rapidi, rapidità, veloce, "
        "veloci, velocità, velocissimo, velocissimi, tempestivo, tempestiva, tempestività, puntuale, "
        "puntuali, puntualità, subito, troppo tempo, anticipo, tempi lunghi, tempi biblici"
    ),
    "website_app": (
        "sito, siti, sito web, app, applicazione, applicazioni, pagina web, portale, piattaforma, "
        "cellulare, telefonino, smartphone, android, iphone, interfaccia, navigazione, navigare, browser, "
        "menu, negozio online, area riservata"
    ),
}

BUILT_IN: Final[Mapping[str, Mapping[str, str]]] = MappingProxyType({"en": _EN, "it": _IT})
"""Language -> topic -> its words."""

LANGUAGES: Final = tuple(sorted(BUILT_IN))
TOPICS: Final = tuple(sorted({topic for topics in BUILT_IN.values() for topic in topics}))

_SMALL_EN: Final = (
    "the a an of to and or but is are am be been being was were i it its he she we you they me us "
    "them my your our their his her this that these those for from with at by as on in into so very really "
    "just have has had do does did s t d m ll ve re would could should will can which who what when where "
    "while than then there here also again after before because if about all any some more most only too"
)
_SMALL_IT: Final = (
    "il lo la i gli le l un uno una di del dello della dei degli delle dell d da dal dallo dalla dai dagli "
    "dalle dall a al allo alla ai agli alle all in nel nello nella nei negli nelle nell su sul sullo sulla "
    "sui sugli sulle sull con per tra fra e ed o ma se che chi cui io tu lui lei noi voi loro mi ti si ci "
    "vi ne mio mia miei mie tuo tua suo sua nostro nostra è sono sei siamo era erano stato stata stati "
    "state essere ho hai ha abbiamo avete hanno avevo aveva questo questa questi queste quello quella "
    "quale quali anche ancora molto molta più tutto tutta tutti tutte come quando dove perché qui dopo "
    "prima poi solo proprio davvero così già c po"
)

_TELLING_EN: Final = "not never nobody nothing everything great good bad thank thanks nice"
_TELLING_IT: Final = "non mai nessuno nessuna niente nulla bene male troppo poco grazie ottimo ottima pessimo"

#: Language -> small words: they say nothing but the language, and are skipped inside a phrase.
SMALL: Final[Mapping[str, str]] = MappingProxyType({"en": _SMALL_EN, "it": _SMALL_IT})

#: Language -> words that say the language, but count in a phrase: "not working" is not "working".
TELLING: Final[Mapping[str, str]] = MappingProxyType({"en": _TELLING_EN, "it": _TELLING_IT})
