"""What cannot be an agent, a canary or a function is refused at the start, and not in the first call."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from realtime_core import RealtimeAgent
from realtime_core.errors import UserError
from realtime_core.sources import SYSTEM
from telephony import CallPolicy, Consent, Settings, create_app
from telephony.errors import NumbersFileError
from telephony.numbers.number_file import read_numbers
from telephony.records.client import RecordsClient
from telephony.versions import Canary
from telephony.web.canaries import Canaries
from telephony.web.number_book import load_book

AGENT: Any = RealtimeAgent(name="Desk")
OURS = "+14155550199"


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ({"agent": 5}, "agent: give a RealtimeAgent, or a function"),
        ({"agent": "desk:agent"}, "not 'desk:agent'"),
        ({"agent": {OURS: "desk:agent"}}, r"The agent for '\+14155550199': give a RealtimeAgent"),
        ({"agent": {OURS: None}}, "not None"),
        ({"agent": {14155550199: AGENT}}, "never called: a phone number is a text, not int"),
        ({"agent": {OURS: AGENT, "+1 415 555 0199": AGENT}}, "given twice, in two forms of the number"),
        ({"agent": AGENT, "outgoing": {"sales": "desk:sales"}}, r"outgoing\['sales'\]: give a RealtimeAgent"),
        ({"agent": RealtimeAgent}, "not <class"),
        ({"agent": AGENT, "on_end": 5}, "on_end: give a function, not int"),
        ({"agent": AGENT, "numbers": {OURS: AGENT}}, "numbers: give a NumbersConfig, or the path .*, not dict"),
        ({"agent": AGENT, "numbers": b"numbers.toml"}, "numbers: .* not bytes"),
        ({"agent": AGENT, "settings": {"twilio_auth_token": "s3cret"}}, "settings: give a Settings object, .*not dict"),
        ({"agent": AGENT, "settings": Settings}, "settings: .* not the class Settings"),
        ({"agent": AGENT, "model": "gpt-realtime"}, "model: give a RealtimeModel, or a function"),
        ({"agent": AGENT, "model_config": "x"}, "model_config: give a mapping, or a function"),
        ({"agent": AGENT, "run_config": [1]}, "run_config: give a mapping, not list"),
        ({"agent": AGENT, "policy": {"max_call_s": 60}}, "policy: give a CallPolicy, not dict"),
        ({"agent": AGENT, "policy": CallPolicy}, "not the class CallPolicy"),
        ({"agent": AGENT, "noise_suppression": "no"}, "noise_suppression: give True or False"),
        ({"agent": AGENT, "data": "x"}, "data: give a mapping"),
        ({"agent": AGENT, "outgoing": [AGENT]}, "outgoing: give a mapping from names to agents"),
        ({"agent": AGENT, "consent": "two-party"}, "consent: give a Consent"),
        ({"agent": AGENT, "consent": {OURS: "two-party"}}, r"consent\['\+14155550199'\]: give a Consent, not str"),
        ({"agent": AGENT, "consent": {14155550199: Consent()}}, "a phone number is a text, not int"),
        ({"agent": AGENT, "screening": ["+1900*"]}, "screening: give a Screening"),
        ({"agent": AGENT, "canary": "desk:new"}, "canary: give a Canary"),
        ({"agent": AGENT, "tracer_provider": 5}, "tracer_provider: give a TracerProvider"),
        ({"agent": AGENT, "rest": "x"}, "rest: give a TwilioRest"),
        ({"agent": AGENT, "account_rest": {}}, "account_rest: give a function"),
        ({"agent": AGENT, "agent_loader": "x"}, "agent_loader: give a function"),
        ({"agent": AGENT, "sources": 5}, "sources: give a Sources"),
    ],
    ids=str,
)
def test_a_value_of_a_wrong_type_is_refused(given: dict[str, Any], says: str) -> None:
    with pytest.raises(UserError, match=says) as refused:
        create_app(**given)
    assert "s3cret" not in str(refused.value)


@pytest.mark.parametrize("given", [{"percent": "5"}, {"percent": None}, {"rollback": 5}, {"percent": 101}], ids=str)
def test_a_canary_with_a_wrong_value_is_refused(given: dict[str, Any]) -> None:
    with pytest.raises(UserError, match="Canary"):
        Canary(AGENT, **given)


@pytest.mark.virtual_time
async def test_what_is_no_canary_is_refused() -> None:
    wrong: Any = "desk:new"
    canaries: list[Any] = [
        Canary(wrong),
        {OURS: None},
        {14155550199: Canary(AGENT)},
        {OURS: Canary(AGENT), "+1 415 555-0199": None},
    ]
    async with RecordsClient() as client:
        for each in canaries:
            with pytest.raises(UserError, match=r"The canary for|Canary: agent"):
                Canaries(each, client=client, subject_of=str, sources=SYSTEM)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        (f'[numbers."{OURS}"]\nagent = 5\n'.encode(), "write an import string, such as clinic:agent, not 5"),
        (f'[numbers."{OURS}"]\nagent = "desk:agent"\ngreeting = "Gr'.encode() + b'\xfc"\n', ":3: this is no UTF-8"),
    ],
    ids=["agent", "encoding"],
)
def test_a_numbers_file_is_checked_as_well(text: bytes, says: str, tmp_path: Path) -> None:
    file = tmp_path / "numbers.toml"
    file.write_bytes(text)
    with pytest.raises(NumbersFileError, match=says):
        read_numbers(file)
        load_book(file, lambda name: AGENT)
