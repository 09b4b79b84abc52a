"""Unwanted callers, callers who say nothing, and emergencies."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from realtime_core.errors import UserError
from realtime_core.local import Reply, Script, Turn
from realtime_core.testing import virtual_time
from telephony import CallPolicy, Consent, SilencePolicy
from telephony.audio.files import wav_header
from telephony.call.call_info import CallInfo
from telephony.call.screening import FAILED_ATTESTATION, Emergency, Screening
from telephony.errors import AudioFileError
from telephony.simulator import Handset
from tests.support.office import office, talks

NUMBER: Any = 5
MAPPING: Any = {"no tape": True}
DOCTOR = "+14155550123"
SCRIPT = Script(
    greeting=Reply(say="Hello."),
    turns=[Turn(Reply(say="A long answer. " * 15), heard="My father has CHEST pain!")],
    otherwise=Reply(say="Yes."),
)  # fmt: skip


@pytest.mark.parametrize(
    ("screening", "caller", "verstat", "why"),
    [
        (Screening(blocked=["+1 900*"]), "+19005550100", "", "blocked"),
        (Screening(blocked=["+14155550100"]), "+14155550100", "", "blocked"),
        (Screening(blocked=["+14155550100"]), "+14155550101", "", ""),
        (Screening(blocked=["+1 (415) 555-0100", "+900*"]), "+14155550100", "", "blocked"),
        (Screening(blocked=["+5215512345678"]), "+525512345678", "", "blocked"),
        (Screening(blocked=["sip:mary-ann@example.com", "client:mary.ann"]), "client:mary.ann", "", "blocked"),
        (Screening(blocked=["sip:mary-ann@example.com"]), "sip:mary-ann@example.com", "", "blocked"),
        (Screening(blocked="+14155550100"), "+14155550101", "", ""),
        (Screening(withheld=False), "anonymous", "", "withheld"),
        (Screening(withheld=False), "+266696687", "", "withheld"),
        (Screening(withheld=False), "sip:anonymous@anonymous.invalid", "", "withheld"),
        (Screening(withheld=False), "sip:ada@example.com", "", ""),
        (Screening(refuse_attestation="TN-Validation-Failed-A"), "+14155550101", "", ""),
        (
            Screening(refuse_attestation="TN-Validation-Failed-A"),
            "+14155550101",
            "TN-Validation-Failed-A",
            "attestation",
        ),
        (Screening(withheld=False), "+14155550101", "", ""),
        (Screening(refuse_attestation=FAILED_ATTESTATION), "+14155550101", "TN-Validation-Failed-A", "attestation"),
        (Screening(refuse_attestation=FAILED_ATTESTATION), "+14155550101", "TN-Validation-Passed-A", ""),
        (Screening(needs_attestation=True), "+14155550101", "", "attestation"),
    ],
)
def test_unwanted_callers_are_refused(screening: Screening, caller: str, verstat: str, why: str) -> None:
    assert screening.refusal(CallInfo("CA1", caller=caller, stir_verstat=verstat)) == why


@pytest.mark.parametrize("rule", ["(415) 555-0100", "14155550100", "1900*", "*", "+1 415 555 0100 x42", "everybody", 5])
def test_a_rule_that_no_caller_matches_is_refused(rule: Any) -> None:
    with pytest.raises(UserError, match=r"Screening\(blocked"):
        Screening(blocked=[rule])


@pytest.mark.parametrize(
    "make",
    [
        lambda wrong: Screening(silent_s=wrong),
        lambda wrong: Screening(emergency=wrong),
        lambda wrong: Screening(withheld=wrong),
        lambda wrong: Screening(refuse_attestation=[wrong, NUMBER]),
        lambda wrong: Emergency(phrases=[NUMBER]),
        lambda wrong: Consent(answer_s=wrong),
        lambda wrong: Consent(asks=wrong),
        lambda wrong: Consent(refusals=MAPPING),
        lambda wrong: CallPolicy(max_call_s=wrong),
        lambda wrong: CallPolicy(silence=wrong),
        lambda wrong: CallPolicy(farewell=NUMBER),
        lambda wrong: SilencePolicy(after_s=wrong),
        lambda wrong: SilencePolicy(prompts=NUMBER),
    ],
)  # fmt: skip
def test_rules_of_a_wrong_type_are_refused_when_they_are_made(make: Any) -> None:
    with pytest.raises(UserError, match=": give "):
        make("60")


@pytest.mark.parametrize("line", [b"%PDF-1.7", Path("missing.wav"), "line.wav", NUMBER], ids=repr)
def test_a_line_that_cannot_be_played_is_refused_when_the_rule_is_made(line: Any) -> None:
    with pytest.raises(AudioFileError):
        Emergency(line=line)


def test_a_file_as_the_line_of_an_emergency_is_converted() -> None:
    wav = wav_header(1, 1, 8000, 16, 1600) + bytes(1600)
    assert Emergency(line=wav).line == b"\xff" * 800
    assert Emergency(line="Call 112.").line == "Call 112."


def test_one_text_in_place_of_a_list_is_one_text() -> None:
    assert Emergency(phrases="my chest hurts").phrases == ("my chest hurts",)
    assert not Emergency(phrases="my chest hurts").applies("I am a caller")
    assert SilencePolicy(prompts="Ask again.").prompts == ("Ask again.",)
    assert not Consent(refusals="no tape").refuses("I am a caller")


def rung(screening: Screening, caller: Any, **ring: Any) -> dict[str, Any]:
    left: dict[str, Any] = {}

    async def main() -> None:
        async with office(SCRIPT, screening=screening) as (twilio, app):
            call = await twilio.ring(caller=caller, **ring)
            await asyncio.sleep(2)
            row = await app.state.phone.call_records.client.call(call.sid)
            dialled = [it.to for it in twilio.calls.values() if it.direction != "inbound"]
            left.update(call=call, row=row, dialled=dialled)

    virtual_time.run(main, seed=4)
    return left


def test_a_refused_caller_is_in_the_records() -> None:
    left = rung(Screening(blocked=["+1415*"]), talks)
    assert left["call"].status == "busy" and left["row"].ending == "refused-blocked"


def test_a_failed_attestation_is_refused_by_its_webhook() -> None:
    screening = Screening(refuse_attestation=FAILED_ATTESTATION)
    left = rung(screening, talks, fields={"StirVerstat": "TN-Validation-Failed-C"})
    assert left["call"].status == "busy" and left["row"].ending == "refused-attestation"


async def says_nothing(phone: Handset) -> None:
    await asyncio.sleep(60)


def test_a_caller_who_says_nothing_is_hung_up_on() -> None:
    left = rung(Screening(silent_s=6), says_nothing)
    assert left["row"].ending == "said_nothing" and left["call"].duration_s < 10


def test_a_caller_who_speaks_is_not() -> None:
    left = rung(Screening(silent_s=6), talks)
    assert left["row"].ending == "hung_up"


async def in_need(phone: Handset) -> None:
    await talks(phone)
    await asyncio.sleep(6)


def test_an_emergency_is_transferred_at_once() -> None:
    left = rung(Screening(emergency=Emergency(DOCTOR)), in_need)
    assert left["dialled"] == [DOCTOR]


@pytest.mark.parametrize(
    ("words", "applies"),
    [
        ("Call 911!", True),
        ("Mein Mann ist bewusstlos", True),
        ("Je ne peux pas respirer", True),
        ("I'd like a table", False),
        ("It cost a heart-attack amount", True),
        ("overdosed", False),
    ],
)
def test_phrases_of_emergencies(words: str, applies: bool) -> None:
    assert Emergency().applies(words) is applies
