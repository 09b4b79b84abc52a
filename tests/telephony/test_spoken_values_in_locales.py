"""What callers say for dates, amounts, names, addresses and numbers in German, Spanish, French and Italian."""

from __future__ import annotations

from datetime import date
from decimal import Decimal

import pytest

from telephony import spoken_values as read
from telephony.call.consent import Answer, Consent

TODAY = date(2026, 11, 28)  # a Saturday

DATES = {
    "de": {"am dritten März": "2027-03-03", "der fünfzehnte Dezember": "2026-12-15", "am 24. Dezember": "2026-12-24",
           "einundzwanzigster Januar": "2027-01-21", "nächsten Freitag": "2026-12-04", "übermorgen": "2026-11-30",
           "Montag": "2026-11-30", "3.12.2026": "2026-12-03"},
    "es": {"el tres de marzo": "2027-03-03", "el primero de enero": "2027-01-01", "mañana": "2026-11-29",
           "pasado mañana": "2026-11-30", "el próximo viernes": "2026-12-04", "el veintiuno de enero": "2027-01-21"},
    "fr": {"le trois mars": "2027-03-03", "le premier janvier": "2027-01-01", "demain": "2026-11-29",
           "après-demain": "2026-11-30", "vendredi prochain": "2026-12-04", "le vingt et un janvier": "2027-01-21"},
    "it": {"il tre marzo": "2027-03-03", "il primo gennaio": "2027-01-01", "domani": "2026-11-29",
           "dopodomani": "2026-11-30", "venerdì prossimo": "2026-12-04", "il ventuno gennaio": "2027-01-21"},
}  # fmt: skip
BIRTHS = {
    "de": {"dritter März neunzehnhundertvierundachtzig": "1984-03-03", "am neunten Mai zweitausendsechs": "2006-05-09"},
    "es": {"tres de marzo de mil novecientos ochenta y cuatro": "1984-03-03",
           "el nueve de mayo de dos mil seis": "2006-05-09"},
    "fr": {"le trois mars mille neuf cent quatre-vingt-quatre": "1984-03-03",
           "le neuf mai deux mille six": "2006-05-09"},
    "it": {"tre marzo millenovecentoottantaquattro": "1984-03-03", "il nove maggio duemilasei": "2006-05-09"},
}  # fmt: skip
AMOUNTS = {
    "de": {"dreiundzwanzig Euro fünfzig": "23.50", "zwölf Euro und dreißig Cent": "12.30", "1.200,50 Euro": "1200.50",
           "tausendzweihundert Euro": "1200.00", "zweihundertfünf Euro": "205.00"},
    "es": {"veintitrés euros con cincuenta": "23.50", "doce euros y treinta céntimos": "12.30",
           "mil doscientos euros": "1200.00", "doscientos cinco euros": "205.00"},
    "fr": {"vingt-trois euros cinquante": "23.50", "douze euros et trente centimes": "12.30",
           "mille deux cents euros": "1200.00", "quatre-vingt-dix euros": "90.00", "1 200,50 euros": "1200.50"},
    "it": {"ventitré euro e cinquanta": "23.50", "dodici euro e trenta centesimi": "12.30",
           "milleduecento euro": "1200.00", "duecentocinque euro": "205.00"},
}  # fmt: skip
PHONES = {
    "de": ("plus neunundvierzig dreißig zwölf vierunddreißig fünfzig sechzig", "+493012345060"),
    "es": ("nueve uno dos, tres cuatro cinco, seis siete ocho", "+34912345678"),
    "fr": ("zéro un, quarante-deux, soixante-huit, quatre-vingt-treize, zéro zéro", "+33142689300"),
    "it": ("zero sei, sei nove otto, due otto tre uno tre", "+390669828313"),
}
ADDRESSES = {
    "de": ("Hauptstraße zwölf, 10115 Berlin", "Hauptstraße 12, 10115 Berlin"),
    "es": ("calle Mayor doce, Madrid", "calle Mayor 12, Madrid"),
    "fr": ("douze rue de la Paix, Paris", "12 rue de la Paix, Paris"),
    "it": ("via Roma dodici, Milano", "via Roma 12, Milano"),
}
NAMES = {
    "mein Name ist Anna Müller": "Anna Müller", "ich heiße Jörg Weiß": "Jörg Weiß", "me llamo María José": "María José",
    "je m'appelle Éloïse Dupont": "Éloïse Dupont", "mi chiamo Giulia Rossi": "Giulia Rossi",
    "M wie Martha, Ü, L, L, E, R": "Müller", "D comme Denise, U, P, O, N, T": "Dupont",
    "R come Roma, O, doppia S, I": "Rossi", "P de Pedro, E, Ñ, A": "Peña",
}  # fmt: skip
EMAILS = {
    "anna Punkt weber ät gmx Punkt de": "anna.weber@gmx.de",
    "maria guion bajo lopez arroba correo punto es": "maria_lopez@correo.es",
    "jean tiret paul arobase orange point fr": "jean-paul@orange.fr",
    "giulia punto rossi chiocciola libero punto it": "giulia.rossi@libero.it",
    "giulia trattino basso rossi chiocciola libero punto it": "giulia_rossi@libero.it",
}
ANSWERS = {
    "de": (["Ja.", "Ja, klar.", "Ja, einverstanden.", "Gerne.", "Natürlich."],
           ["Nein.", "Nein, danke.", "Bitte nicht aufzeichnen.", "Das möchte ich nicht.", "Lieber nicht."]),
    "es": (["Sí.", "Si", "Sí, de acuerdo.", "Claro.", "Por supuesto."],
           ["No.", "No, gracias.", "No quiero que me graben.", "Claro que no.", "No quiero ser grabada."]),
    "fr": (["Oui.", "Oui, d'accord.", "Bien sûr.", "Volontiers."],
           ["Non.", "Non, merci.", "Je ne veux pas être enregistré.", "Je ne suis pas d'accord."]),
    "it": (["Sì.", "Si", "Sì, va bene.", "Certo.", "Volentieri."],
           ["No.", "No, grazie.", "Non voglio essere registrato.", "Non sono d'accordo.", "Preferisco di no."]),
}  # fmt: skip


def _cases(table: dict[str, dict[str, str]]) -> list[tuple[str, str, str]]:
    return [(language, said, value) for language, each in table.items() for said, value in each.items()]


@pytest.mark.parametrize(("language", "said", "value"), _cases(DATES))
def test_a_date(language: str, said: str, value: str) -> None:
    assert read.day(said, today=TODAY, language=language).isoformat() == value


@pytest.mark.parametrize(("language", "said", "value"), _cases(BIRTHS))
def test_a_date_of_birth(language: str, said: str, value: str) -> None:
    assert read.birth_date(said, today=TODAY, language=language).isoformat() == value


@pytest.mark.parametrize(("language", "said", "value"), _cases(AMOUNTS))
def test_an_amount(language: str, said: str, value: str) -> None:
    assert read.amount(said, language) == (Decimal(value), "EUR")


@pytest.mark.parametrize(
    ("language", "said"),
    [("de", "5 oder 10 Euro"), ("es", "cinco o diez euros"), ("fr", "cinq ou dix euros"), ("it", "cinque o dieci euro"),
     ("en", "5 or 10 dollars")],
)  # fmt: skip
def test_two_amounts_are_not_one(language: str, said: str) -> None:
    with pytest.raises(ValueError, match="several amounts"):
        read.amount(said, language)


@pytest.mark.parametrize("language", PHONES)
def test_a_phone_number_and_an_address(language: str) -> None:
    said, value = PHONES[language]
    assert read.phone(said, language.upper(), language) == value
    said, value = ADDRESSES[language]
    assert read.address(said, language) == value


@pytest.mark.parametrize(("said", "value"), NAMES.items())
def test_a_name(said: str, value: str) -> None:
    assert read.name(said) == value


@pytest.mark.parametrize(("said", "value"), EMAILS.items())
def test_an_address_of_e_mail(said: str, value: str) -> None:
    assert read.email(said) == value


@pytest.mark.parametrize("language", ANSWERS)
def test_a_yes_and_a_no(language: str) -> None:
    consent = Consent("two-party", notice="?", asks=True)
    accepted, refused = ANSWERS[language]
    assert {said: consent.answer(said, language) for said in accepted} == dict.fromkeys(accepted, Answer.ACCEPTED)
    assert {said: consent.answer(said, language) for said in refused} == dict.fromkeys(refused, Answer.REFUSED)
