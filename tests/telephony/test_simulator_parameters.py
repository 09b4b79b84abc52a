"""The simulated Twilio refuses the parameters of a call that Twilio refuses, with Twilio's error code."""

from __future__ import annotations

import pytest

from telephony.simulator.parameters import Refused, check_create, check_test_create

GOOD = {"To": "+14155550100", "From": "+14155550199", "Url": "https://desk.example/answer"}
OWNED = {"+14155550199"}


def form(**changes: str) -> dict[str, list[str]]:
    return {name: [value] for name, value in {**GOOD, **changes}.items() if value}


def test_a_complete_form_is_taken() -> None:
    check_create(form(Timeout="600", SendDigits="w1#", StatusCallbackEvent="answered"), owned=OWNED)


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"To": ""}, 21201),
        ({"From": ""}, 21213),
        ({"To": "4155550100"}, 21211),
        ({"From": "4155550199"}, 21212),
        ({"From": "+266696687"}, 21212),
        ({"From": "+14155550111"}, 21210),
        ({"Url": ""}, 21205),
        ({"Url": "desk.example"}, 21205),
        ({"Twiml": "<Response/>" * 400}, 32018),
        ({"StatusCallback": "desk"}, 21609),
        ({"FallbackUrl": "desk"}, 21205),
        ({"MachineDetection": "Maybe"}, 20001),
        ({"MachineDetection": "Enable", "AsyncAmd": "true"}, 21262),
        ({"Timeout": "0"}, 21208),
        ({"Timeout": "soon"}, 21208),
        ({"TimeLimit": "86401"}, 21208),
        ({"MachineDetectionTimeout": "60"}, 21208),
        ({"SendDigits": "x"}, 21206),
        ({"StatusCallbackEvent": "gone"}, 21626),
    ],
)
def test_a_parameter_that_twilio_refuses_is_refused(changes: dict[str, str], code: int) -> None:
    with pytest.raises(Refused) as caught:
        check_create(form(**changes), owned=OWNED)
    assert (caught.value.status, caught.value.code) == (400, code)


@pytest.mark.parametrize(
    ("to", "from_", "code"),
    [
        ("+14155550100", "+15005550001", 21212),
        ("+14155550100", "+15005550007", 21606),
        ("+14155550100", "+14155550199", 21210),
        ("+15005550001", "+15005550006", 21217),
        ("+15005550004", "+15005550006", 21216),
    ],
)
def test_the_magic_numbers_of_the_test_credentials_cause_their_errors(to: str, from_: str, code: int) -> None:
    with pytest.raises(Refused) as caught:
        check_test_create(form(To=to, From=from_))
    assert caught.value.code == code


def test_the_test_credentials_take_the_number_without_an_error() -> None:
    check_test_create(form(From="+15005550006"))
