"""Several numbers in E.164 reach one phone."""

from __future__ import annotations

import pytest

from telephony.twilio.phone_forms import forms_of_one_phone, main_form


@pytest.mark.parametrize(
    "phone",
    [
        ("+525512345678", "+5215512345678"),
        ("+5491123456789", "+541123456789"),
        ("+5511981234567", "+551181234567"),
        ("+2290197123456", "+22997123456"),
        ("+24111441234", "+24101441234"),
        ("+24166031234", "+24106031234", "+2416031234"),
        ("+24177031234", "+24107031234", "+2417031234"),
        ("+3780549886377", "+378886377"),
        ("+970599123456", "+972599123456"),
        ("+97022234567", "+97222234567"),
    ],
)
def test_each_number_of_a_phone_has_all_forms(phone: tuple[str, ...]) -> None:
    for number in phone:
        assert forms_of_one_phone(number) == phone and main_form(number) == phone[0]


@pytest.mark.parametrize(
    "number",
    [
        "+14155550123",
        "+4930901820",
        "+972541234567",
        "+97231234567",
        "+551171234567",
        "+551132345678",
        "+541",
        "+52",
        "",
    ],
)
def test_a_phone_with_one_number_has_one_form(number: str) -> None:
    assert forms_of_one_phone(number) == (number,)
