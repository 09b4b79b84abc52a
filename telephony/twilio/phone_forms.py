"""The several numbers in E.164 that reach one phone. Numbers are compared in all forms, and dialed as given. Pure.

Google's libphonenumber advises the same: during a transition, both forms of a number must be supported for look-up
(https://github.com/google/libphonenumber/blob/master/FALSEHOODS.md). The comments of the library's file
`resources/PhoneNumberMetadata.xml` name the countries, except Brazil and Benin. The rule of Brazil is from the
communication of Anatel of 6 February 2013 in the ITU Operational Bulletin. For Benin no document was read:
libphonenumber refuses its old numbers.
"""

from __future__ import annotations

import re
from collections.abc import Callable

__all__ = ["forms_of_one_phone", "main_form", "subjects_of_phone"]

_FORMS = [
    (re.compile(pattern), templates)
    for pattern, templates in (
        # Mexico: mobile numbers had the digit 1 after the country code until August 2019.
        (r"\+521?([2-9]\d{9})", (r"+52\1", r"+521\1")),
        # Argentina: mobile numbers have the digit 9 in calls from abroad (`phonenumbers.country_mobile_token(54)`).
        (r"\+549?([1-3]\d{9})", (r"+549\1", r"+54\1")),
        # Brazil: mobile numbers got a ninth digit between 2012 and 2016. 7... can be a number of its own.
        (r"\+55([1-9]{2})9?([689]\d{7})", (r"+55\g<1>9\2", r"+55\1\2")),
        # Benin: all numbers got the prefix 01 in November 2024.
        (r"\+229(?:01)?([24-69]\d{7})", (r"+22901\1", r"+229\1")),
        # Gabon: in November 2019, the prefix 01 became 11, 0[256] became 6[256], and 0[47] became 7[47]. The 0 of the
        # older mobile numbers was optional.
        (r"\+241[01]1(\d{6})", (r"+24111\1", r"+24101\1")),
        (r"\+241[06]?([256]\d{6})", (r"+2416\1", r"+2410\1", r"+241\1")),
        (r"\+241[07]?([47]\d{6})", (r"+2417\1", r"+2410\1", r"+241\1")),
        # San Marino: the area code 0549 is optional in calls from abroad.
        (r"\+378(?:0549)?([89]\d{5})", (r"+3780549\1", r"+378\1")),
        # Palestine: its phones can also be reached through the country code of Israel.
        (r"\+97[02]([2489]\d{7}|5[69]\d{7})", (r"+970\1", r"+972\1")),
    )
]


def forms_of_one_phone(number: str) -> tuple[str, ...]:
    """Returns all numbers in E.164 that reach the phone of this number, such as `+525512345678` and `+5215512345678`.
    The result is the same for each of these numbers, and its first number is the main form (`main_form`). In most
    countries a phone has only one number, so the result is `number` alone.
    """
    for pattern, templates in _FORMS:
        if (found := pattern.fullmatch(number)) is not None:
            return tuple(found.expand(template) for template in templates)
    return (number,)


def main_form(number: str) -> str:
    """Returns the one number in E.164 that stands for the phone of `number` in comparisons. The result is the same for
    all numbers that reach this phone.
    """
    return forms_of_one_phone(number)[0]


def subjects_of_phone(number: str, subject_of: Callable[[str], str]) -> list[str]:
    """Returns the hashes of all numbers that reach the phone of `number` (see `forms_of_one_phone`). A stored row may
    contain any of these hashes. All numbers of one phone give the same list. `subject_of` returns the hash of a number.
    """
    return [subject_of(form) for form in forms_of_one_phone(number)]
