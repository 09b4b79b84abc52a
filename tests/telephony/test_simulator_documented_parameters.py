"""The simulated Twilio accepts only documented requests. A test that sends another request fails."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

import pytest
from twilio.rest.api.v2010.account.call import CallContext, CallList
from twilio.rest.api.v2010.account.call.recording import RecordingContext, RecordingList
from twilio.rest.api.v2010.account.conference import ConferenceContext, ConferenceList
from twilio.rest.api.v2010.account.conference.participant import ParticipantContext, ParticipantList
from twilio.rest.api.v2010.account.incoming_phone_number import IncomingPhoneNumberContext, IncomingPhoneNumberList

from telephony.errors import UndocumentedRequest
from telephony.simulator import documented_parameters as documented
from tests.support.twilio_world import OURS, THEIRS, run, world

PAGING = {"PageSize", "Page", "PageToken"}
OF_THE_LIBRARY = {"Limit", "PageSize"}


def parameters(method: Callable[..., Any]) -> set[str]:
    """As the official client sends them."""
    names = {name.rstrip("_") for name in inspect.signature(method).parameters} - {"self"}
    sent = {"".join(part.capitalize() for part in name.split("_")) for name in names} - OF_THE_LIBRARY
    return {name.replace("Before", "<").replace("After", ">") for name in sent}


@pytest.mark.parametrize(
    ("method", "ours"),
    [
        (CallList.create, documented.CALL_CREATE),
        (CallContext.update, documented.CALL_UPDATE),
        (CallList.list, documented.CALL_LIST - PAGING),
        (ConferenceContext.update, documented.CONFERENCE_UPDATE),
        (ConferenceList.list, documented.CONFERENCE_LIST - PAGING),
        (ParticipantList.create, documented.PARTICIPANT_CREATE),
        (ParticipantContext.update, documented.PARTICIPANT_UPDATE),
        (ParticipantList.list, documented.PARTICIPANT_LIST - PAGING),
        (IncomingPhoneNumberContext.update, documented.NUMBER_UPDATE),
        (IncomingPhoneNumberList.list, documented.NUMBER_LIST - PAGING),
        (RecordingList.create, documented.RECORDING_CREATE),
        (RecordingContext.update, documented.RECORDING_UPDATE),
    ],
)  # fmt: skip
def test_the_parameters_are_those_of_the_official_client(method: Callable[..., Any], ours: frozenset[str]) -> None:
    assert parameters(method) == ours


@pytest.mark.parametrize(
    ("form", "wrong"),
    [
        ({"To": [THEIRS], "StatusCallbackEvent": ["ringing", "answered"], "AsyncAmd": ["true"]}, []),
        ({"Too": [THEIRS]}, ["Too is not known"]),
        ({"To": [THEIRS, OURS]}, ["To comes 2 times"]),
        ({"AsyncAmd": ["True"]}, ["AsyncAmd='True' is not allowed"]),
        ({"Timeout": ["0"]}, ["Timeout='0' is not allowed"]),
        ({"Timeout": ["30.5"]}, ["Timeout='30.5' is not allowed"]),
        ({"Method": ["PUT"]}, ["Method='PUT' is not allowed"]),
        ({"StatusCallback": ["ftp://x"]}, ["StatusCallback='ftp://x' is not allowed"]),
        ({"Url": ["http://under_score.example.com"]}, ["Url='http://under_score.example.com' is not allowed"]),
        ({"StatusCallbackEvent": ["ringing", "rung"]}, ["StatusCallbackEvent='rung' is not allowed"]),
        ({"RecordingStatusCallbackEvent": ["in-progress completed"]}, []),
    ],
)
def test_what_is_not_documented_is_found(form: dict[str, list[str]], wrong: list[str]) -> None:
    assert documented.undocumented(form, documented.CALL_CREATE) == wrong


def test_sending_it_is_reported_at_the_end() -> None:
    async def main() -> None:
        async with world() as it:
            await it.create(async_amd=True, machine_detection="Enable", async_amd_status_callback=f"{it.app.url}/amd")

    with pytest.raises(UndocumentedRequest, match=r"POST .*/Calls\.json: AsyncAmd='True' is not allowed"):
        run(main)
