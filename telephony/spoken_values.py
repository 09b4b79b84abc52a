"""Finds values in the words of callers: names, e-mail addresses, phone numbers, dates, amounts. Pure. No model is used.

Phone numbers are parsed by `phonenumbers`, dates by `dateutil`. Each function raises `ValueError` if the words do not
contain one clear value. The text of the exception tells the model what to ask.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import date, datetime, timedelta
from decimal import Decimal, InvalidOperation

import phonenumbers
from dateutil import parser as dates

from .spoken_digits import digits_of, spoken_runs
from .spoken_numbers import in_figures, knows, ungrouped

__all__ = ["address", "amount", "birth_date", "day", "email", "name", "phone", "spelled"]

_ALPHABET_WORDS = """
alfa bravo charlie delta echo foxtrot golf hotel india juliett kilo lima mike november oscar papa quebec romeo sierra
tango uniform victor whiskey xray yankee zulu
"""
_ALPHABET = _ALPHABET_WORDS.split()
_LETTERS: Mapping[str, str] = {
    **{word: word[0] for word in _ALPHABET}, "alpha": "a", "juliet": "j", "whisky": "w", "x-ray": "x", "anton": "a",
    "berta": "b", "cäsar": "c", "dora": "d", "emil": "e", "friedrich": "f", "gustav": "g", "heinrich": "h", "ida": "i",
    "julius": "j", "kaufmann": "k", "ludwig": "l", "martha": "m", "nordpol": "n", "otto": "o", "paula": "p",
    "richard": "r", "samuel": "s", "theodor": "t", "ulrich": "u", "viktor": "v", "wilhelm": "w", "zacharias": "z",
}  # fmt: skip
_MARKS: Mapping[str, str] = {
    "at": "@", "dot": ".", "point": ".", "period": ".", "underscore": "_", "dash": "-", "hyphen": "-", "minus": "-",
    "plus": "+", "punkt": ".", "punto": ".", "arroba": "@", "arobase": "@", "chiocciola": "@", "klammeraffe": "@",
    "ät": "@", "unterstrich": "_",
    "bindestrich": "-", "strich": "-", "guion": "-", "guión": "-", "tiret": "-", "trattino": "-",
}  # fmt: skip
_INTERNATIONAL = re.compile(r"\s*(?:\+|plus\b|más\b|più\b|0\s?0|double (?:zero|oh)|zero zero)")
_HOSTS = {"gmail", "gmx", "hotmail", "icloud", "outlook", "yahoo", "web", "aol", "proton", "protonmail"}
_EMAIL = re.compile(r"[a-z0-9](?:[a-z0-9._%+-]{0,62}[a-z0-9])?@(?:[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?\.)+[a-z]{2,24}")
_TIMES = {"double": 2, "triple": 3, "doppel": 2, "doble": 2, "doppia": 2, "doppio": 2}
_LONG_MARKS = re.compile(r"\b(?:guion bajo|guión bajo|trattino basso|tiret (?:du )?bas)\b")
"""An underscore in several words."""
_AS_IN = r"\b(\w)\s+(?:as in|for|like|wie|como|comme|come|de)\s+\w+"
_CURRENCIES: Mapping[str, str] = {
    "$": "USD", "dollar": "USD", "dollars": "USD", "usd": "USD", "bucks": "USD", "€": "EUR", "euro": "EUR",
    "euros": "EUR", "eur": "EUR", "£": "GBP", "pound": "GBP", "pounds": "GBP", "gbp": "GBP", "franken": "CHF",
    "francs": "CHF", "chf": "CHF",
}  # fmt: skip
_CENTS = re.compile(r"(?i)\b(?:cents?|pence|céntimos|centimes?|centesimi)\b")
_CURRENCY_WORDS = "|".join(re.escape(word) for word in _CURRENCIES)
_PRICE = re.compile(rf"(?<![\d.,])\d+\s*(?:{_CURRENCY_WORDS})?\s*(?:and|und|y|con|et|e)?\s*\d\d(?![\d.,])")
"""A price with cents, but without a word for cents: `23 euros con 50`."""
_MONTHS = {
    "januar": "january", "jänner": "january", "februar": "february", "märz": "march", "mai": "may", "juni": "june",
    "juli": "july", "oktober": "october", "dezember": "december", "enero": "january", "febrero": "february",
    "marzo": "march", "abril": "april", "mayo": "may", "junio": "june", "julio": "july", "agosto": "august",
    "septiembre": "september", "octubre": "october", "noviembre": "november", "diciembre": "december",
    "janvier": "january", "février": "february", "mars": "march", "avril": "april", "juin": "june",
    "juillet": "july", "août": "august", "septembre": "september", "octobre": "october", "novembre": "november",
    "décembre": "december", "gennaio": "january", "febbraio": "february", "aprile": "april", "maggio": "may",
    "giugno": "june", "luglio": "july", "settembre": "september", "ottobre": "october", "dicembre": "december",
}  # fmt: skip
_ENGLISH_ORDINALS = """
first second third fourth fifth sixth seventh eighth ninth tenth eleventh twelfth thirteenth fourteenth fifteenth
sixteenth seventeenth eighteenth nineteenth twentieth
"""
_GERMAN_ORDINALS = "erst zweit dritt viert fünft sechst siebt acht neunt zehnt elft zwölft"
_ORDINALS = {word: str(n) for n, word in enumerate(_ENGLISH_ORDINALS.split(), 1)} | {"thirtieth": "30"}
_ORDINALS |= {
    word + ending: str(n) for n, word in enumerate(_GERMAN_ORDINALS.split(), 1) for ending in ("e", "er", "en")
}
_YEAR = re.compile(
    r"\b(?:(?:nineteen|twenty)[ -](?:oh[ -])?[a-z]+(?:[ -][a-z]+)?|two thousand(?: and)?(?: [a-z]+){0,2})"
)
_WEEKDAYS = {
    **dict.fromkeys(("montag", "lunes", "lundi", "lunedì"), "monday"),
    **dict.fromkeys(("dienstag", "martes", "mardi", "martedì"), "tuesday"),
    **dict.fromkeys(("mittwoch", "miércoles", "mercredi", "mercoledì"), "wednesday"),
    **dict.fromkeys(("donnerstag", "jueves", "jeudi", "giovedì"), "thursday"),
    **dict.fromkeys(("freitag", "viernes", "vendredi", "venerdì"), "friday"),
    **dict.fromkeys(("samstag", "sonnabend", "sábado", "samedi", "sabato"), "saturday"),
    **dict.fromkeys(("sonntag", "domingo", "dimanche", "domenica"), "sunday"),
}
_IN_TWO_DAYS = ("the day after tomorrow", "day after tomorrow", "übermorgen", "pasado mañana", "après-demain",
                "après demain", "dopodomani")  # fmt: skip
_DAYS = {
    "today": 0,
    "heute": 0,
    "hoy": 0,
    "oggi": 0,
    "aujourd'hui": 0,
    "tomorrow": 1,
    "morgen": 1,
    "mañana": 1,
    "demain": 1,
    "domani": 1,
}
_OLDEST = 120


def spelled(said: str) -> str:
    """Returns the letters of a word that the caller spelled, such as `A, D, A`, `a as in alpha`, `double l` or `Anton
    Dora Anton`. Returns an empty text if there are no letters.
    """
    text = re.sub(f"(?i){_AS_IN}", r"\1", said)
    letters, times = "", 1
    for token in re.findall(r"[^\W_]+(?:-ray)?", text.lower()):
        if token in _TIMES:
            times = _TIMES[token]
        elif len(token) == 1 or token in _LETTERS:
            letters, times = letters + _LETTERS.get(token, token) * times, 1
        else:
            return ""
    return letters


def name(said: str) -> str:
    """Returns the name in the words `said`, spelled or as a word: `A D A`, or `Ada Lovelace`. Raises `ValueError` with
    a text for the model if there is no name.
    """
    text = re.sub(
        r"(?i)^\s*(?:my name is|i am|i'm|it is|it's|ich heiße|ich bin|mein name ist|me llamo|mi nombre es|"
        r"soy|je m'appelle|je suis|mon nom est|mi chiamo|il mio nome è|sono)\s+",
        "",
        said,
    ).strip(" .,!")
    if (letters := spelled(text)).isalpha():
        return letters.capitalize()
    if not re.fullmatch(r"[^\W\d_][^\W\d_' .-]{0,99}(?:[ '.-][^\W\d_' .-]{0,99}){0,9}\.?", text):
        raise ValueError("This is no name. Ask the caller to spell it, letter by letter.")
    return " ".join(word[:1].upper() + word[1:] for word in text.split())


def email(said: str) -> str:
    """Returns the e-mail address in the words `said`, such as `ada dot lovelace at example dot com`. Parts of the
    address may be spelled.
    """
    text = said.lower().strip(" .,!?")
    if _EMAIL.fullmatch(text):
        return text
    for run in reversed(list(spoken_runs(text))):
        text = f"{text[: run.spans[0][0]]} {run.digits} {text[run.spans[-1][1] :]}"
    text = _LONG_MARKS.sub("_", re.sub(_AS_IN, r"\1", text))
    built, times = "", 1
    for token in re.findall(r"[\w@.+%-]+", text):
        if token in _TIMES:
            times = _TIMES[token]
            continue
        built, times = built + _MARKS.get(token, token) * times, 1
    host = built.rpartition("@")[2]
    if built.count("@") == 1 and host in _HOSTS:
        raise ValueError("The end of the address is missing. Ask what comes after the dot.")
    if len(built) > 254 or not _EMAIL.fullmatch(built) or ".." in built:
        raise ValueError("This is no e-mail address. Ask the caller to spell it, with `at` and `dot`.")
    return built


def phone(said: str, region: str = "US", language: str = "en") -> str:
    """Returns the phone number in the words `said`, in E.164. A number without a country code is a number of the
    country `region` (ISO 3166). `language` is the language of the words, such as `en` or `fr-CA`. Raises `ValueError`
    with a text for the model if there is no valid number.
    """
    if knows(language):
        said = in_figures(said, language)
    digits = digits_of(said)
    international = _INTERNATIONAL.match(said.lower()) is not None
    if international:
        digits = digits.removeprefix("00")
    try:
        number = phonenumbers.parse(f"+{digits}" if international else digits, region)
    except phonenumbers.NumberParseException:
        raise ValueError("This is no phone number. Ask for it digit by digit.") from None
    if not phonenumbers.is_valid_number(number):
        raise ValueError("There is no such phone number. Ask for it again, digit by digit.")
    return phonenumbers.format_number(number, phonenumbers.PhoneNumberFormat.E164)


def day(said: str, *, today: date, is_past: bool = False, language: str = "en") -> date:
    """Returns the date in the words `said`, such as `the third of March`, `tomorrow`, `2026-03-03` or `Friday`. `today`
    is the current date. A date without a year is the next such date, or the last such date if `is_past` is True.
    `language` is the language of the words, such as `en` or `fr-CA`. A date that has only numbers must be
    year-month-day or day.month.year. Other orders are ambiguous, and raise `ValueError` with a text for the model.
    """
    text = said.lower().strip(" .,!?")
    if text in _IN_TWO_DAYS:
        return today + timedelta(days=2)
    for word, ahead in _DAYS.items():
        if re.fullmatch(rf"(?:\w+ )?{word}", text):
            return today + timedelta(days=ahead)
    if re.fullmatch(r"\d{1,2}[/-]\d{1,2}[/-]\d{2,4}", text):
        raise ValueError("Day and month are not clear in this date. Ask for the month by its name.")
    if knows(language):
        text = in_figures(text, language)
    text = _YEAR.sub(_figures_of_year, text)
    text = re.sub(r"\btwenty[ -](\w+)\b", lambda m: _compound(m[1], m[0]), text)
    text = re.sub(r"[^\W\d_]+", lambda m: _ORDINALS.get(m[0]) or _MONTHS.get(m[0]) or _WEEKDAYS.get(m[0], m[0]), text)
    text = re.sub(r"\b(\d+)(?:st|nd|rd|th)\b", r"\1", text)
    for run in reversed(list(spoken_runs(text))):
        text = f"{text[: run.spans[0][0]]} {run.digits} {text[run.spans[-1][1] :]}"
    text = re.sub(
        r"\b(?:the|of|on|next|am|den|dem|der|de|del|el|le|il|this|nächste[rnms]?|kommende[rnms]?|"
        r"próximo|prochaine?|prossim[oa]|que viene)\b",
        " ",
        text,
    )
    is_dotted = re.match(r"\s*\d{1,2}\.", text) is not None
    try:
        middle = dates.parse(text, default=_at(today), dayfirst=is_dotted)
        other = dates.parse(text, default=_at(date(today.year - 4, 2, 1) + timedelta(days=5)), dayfirst=is_dotted)
    except (ValueError, OverflowError):
        raise ValueError("This is no date. Ask for day, month and year.") from None
    found: date = middle.date()
    if re.search(r"\b(?:mon|tues|wednes|thurs|fri|satur|sun)day\b", text) and not re.search(r"\d", text):
        return found if found > today else found + timedelta(days=7)
    if (middle.month, middle.day) != (other.month, other.day):
        raise ValueError("A part of the date is missing. Ask for day and month.")
    if middle.year != other.year:  # no year was said
        if is_past and found > today:
            found = _in_year(found, found.year - 1)
        elif not is_past and found < today:
            found = _in_year(found, found.year + 1)
    return found


def birth_date(said: str, *, today: date, language: str = "en") -> date:
    """Returns the date of birth in the words `said`. The caller has to say the year. `language` is the language of the
    words, such as `en` or `fr-CA`. Raises `ValueError` with a text for the model if the year is missing, or if nobody
    can be born on this date.
    """
    said = in_figures(said.lower(), language) if knows(language) else _YEAR.sub(_figures_of_year, said.lower())
    if not re.search(r"\d{4}|\d{2}\b.*\d{2}\b.*\d{2}", said) and len(digits_of(said)) < 4:
        raise ValueError("The year is missing. Ask for day, month and year of birth.")
    found = day(said, today=today, is_past=True, language=language)
    if not date(today.year - _OLDEST, 1, 1) <= found <= today:
        raise ValueError("Nobody who calls was born on this date. Ask for it again.")
    return found


def amount(said: str, language: str = "en") -> tuple[Decimal, str]:
    """Returns the amount in the words `said` and its currency (ISO 4217, or empty). Examples: `twenty three fifty`,
    `$1,200.50`, `12 euros and 30 cents`. `language` is the language of the words, such as `en` or `fr-CA`. Raises
    `ValueError` with a text for the model if there is no amount, or more than one.
    """
    text = said.lower()
    currency = next((code for word, code in _CURRENCIES.items() if re.search(_alone(word), text)), "")
    if knows(language):
        plain = ungrouped(in_figures(text, language))
    else:
        plain = _with_words(re.sub(r"(?<=\d)[,'](?=\d{3}\b)", "", text))
    cents = 0
    if (found := re.search(r"(\d{1,2})\s*$", plain[: m.start()] if (m := _CENTS.search(plain)) else "")) is not None:
        cents, plain = int(found[1]), plain[: found.start()]
    numbers = re.findall(r"\d+(?:[.,]\d{1,2}(?!\d))?", plain)
    if not numbers and not cents:
        raise ValueError("This is no amount. Ask for it in figures.")
    if len(numbers) == 2 and not cents and _PRICE.search(plain):
        numbers = [f"{numbers[0]}.{numbers[1]}"]  # "twenty three fifty"
    if len(numbers) > 1:
        raise ValueError("These are several amounts. Ask for one.")
    try:
        value = Decimal(numbers[0].replace(",", ".")) if numbers else Decimal(0)
        return (value + Decimal(cents) / 100).quantize(Decimal("0.01")), currency
    except InvalidOperation:  # for example more digits than a Decimal has
        raise ValueError("This is no amount. Ask for it in figures.") from None


def address(said: str, language: str = "en") -> str:
    """Returns the postal address in the words `said`, with digits in place of number words. `language` is the language
    of the words, such as `en` or `fr-CA`. Raises `ValueError` with a text for the model if the address has no number or
    no other word.
    """
    text = " ".join(said.split()).strip(" .,")
    if knows(language):
        text = in_figures(text, language)
    else:
        for run in reversed(list(spoken_runs(text))):
            text = f"{text[: run.spans[0][0]]}{run.digits}{text[run.spans[-1][1] :]}"
    if not re.search(r"\d", text) or not re.search(r"[^\W\d_]{3}", text):
        raise ValueError("This is no complete address. Ask for street, number, postal code and town.")
    return text[:300]


def _alone(word: str) -> str:
    return rf"(?<!\w){re.escape(word)}(?!\w)|(?<!\w){re.escape(word)}(?=\d)"


def _compound(word: str, whole: str) -> str:
    """Returns `23` for `twenty third`. `word` is the second word. Returns the `whole` text if `word` is no ordinal
    below 10.
    """
    return str(20 + int(_ORDINALS[word])) if word in _ORDINALS and int(_ORDINALS[word]) < 10 else whole


def _figures_of_year(match: re.Match[str]) -> str:
    """Returns a year in figures, such as `nineteen eighty four`, `twenty oh six` or `two thousand and six`. Other words
    are not changed.
    """
    words = match[0]
    if words.startswith("two thousand"):
        after = digits_of(words.removeprefix("two thousand").replace("and", ""))
        return f" {2000 + int(after or 0)} " if len(after) < 3 else words
    for rest in (words, words.rpartition(" ")[0]):
        if len(digits := digits_of(rest)) == 4:
            return f" {digits} {words.removeprefix(rest)}"
    return words


def _with_words(text: str) -> str:
    """Returns the text with figures in place of spoken numbers up to thousands, such as `two hundred and five`."""
    tokens = re.findall(r"[^\W\d_]+|\d+(?:[.,]\d+)?|[^\w\s]", text)
    built, current, total, is_open = list[str](), 0, 0, False

    def close() -> None:
        nonlocal current, total, is_open
        if is_open:
            built.append(str(total + current))
        current, total, is_open = 0, 0, False

    for token in tokens:
        value = digits_of(token) if token.isalpha() else ""
        if token in ("hundred", "hundert", "cien", "cent", "cento") and is_open:
            current *= 100
        elif token in ("thousand", "tausend", "mil", "mille", "mila") and is_open:
            total, current = (total + current) * 1000, 0
        elif value and len(value) <= 2:
            number = int(value)
            if is_open and not _fits(current, number) and not (total and current == 0):
                close()
            current, is_open = current + number, True
        elif token in ("and", "und", "y", "et", "e") and is_open:
            continue
        else:
            close()
            built.append(token)
    close()
    return re.sub(r"(?<=\d) (?=[.,] \d)|(?<=\d [.,]) (?=\d)", "", " ".join(built))


def _fits(current: int, number: int) -> bool:
    """Returns whether `number` may follow `current` within one spoken number, such as `twenty` `three` or `200`
    `five`.
    """
    if current % 100 == 0:
        return current > 0
    return current % 10 == 0 and current % 100 >= 20 and number < 10


def _at(day_: date) -> datetime:
    return datetime(day_.year, day_.month, day_.day)  # noqa: DTZ001 - a date


def _in_year(found: date, year: int) -> date:
    try:
        return found.replace(year=year)
    except ValueError:  # the 29th of February
        raise ValueError("There is no such day in that year. Ask for the year.") from None
