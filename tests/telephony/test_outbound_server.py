"""`Telephony(server=...)`: the requests to a running server, its answers, and the arguments that cannot be sent."""

from __future__ import annotations

import asyncio
import base64
import json
import urllib.error
import urllib.request
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from pydantic import BaseModel, Field

from examples import remind, survey
from realtime_core import RealtimeAgent
from realtime_core.audio import g711
from realtime_core.errors import UserError
from telephony import DialingRules, LeaveMessage, Telephony, create_app, load_settings
from telephony.errors import ServerFailed
from telephony.outbound.call_request import CallRequest
from telephony.outcomes.result_form import ResultForm
from telephony.simulator import Handset, SimulatedTwilio, callees, clips
from telephony.web.server import listening

TO, TOKEN, PUBLIC = "+14155550123", "api-token", "https://phone.example.com"
DESK: RealtimeAgent[Any] = RealtimeAgent(name="Desk", instructions="Short sentences.")

pytestmark = pytest.mark.real_time


@asynccontextmanager
async def server() -> AsyncIterator[tuple[Telephony, SimulatedTwilio]]:
    """A client of a server that serves `DESK`, and may call as the reminder and the survey."""
    async with SimulatedTwilio() as twilio:
        settings = load_settings(
            twilio_account_sid=twilio.account_sid, twilio_auth_token=twilio.auth_token,
            twilio_phone_number="+14155550199", telephony_twilio_api_url=twilio.base_url,
            telephony_api_token=TOKEN, telephony_model="scripted", public_url=PUBLIC,
        )  # fmt: skip
        agents = {"examples.remind:agent": remind.agent, "examples.survey:agent": survey.agent}
        app = create_app(DESK, settings=settings, outgoing=agents)
        async with listening(app) as address, Telephony(server=address, token=TOKEN) as phone:
            twilio.webhooks.reach[PUBLIC] = address
            app.state.dialer.rules = DialingRules.none()
            yield phone, twilio


async def says_hello(phone: Handset) -> None:
    await phone.say("hello")
    await phone.agent_speaks()
    await phone.agent_silent(1.0)


async def test_an_agent_is_named_and_a_result_comes_back_as_its_model() -> None:
    async with server() as (phone, twilio):
        twilio.default_callee = callees.person(says_hello, after_s=0.05)
        seen: list[str] = []
        reminded, surveyed = await asyncio.gather(
            phone.run_call(TO, agent="examples.remind:agent", result=remind.Outcome, data={"name": "Ada"}, max_s=60,
                           on_status=seen.append),
            phone.run_call("+14155550124", agent="examples.survey:agent", result=survey.Answers, max_s=60),
        )  # fmt: skip
    assert (reminded.status, reminded.output) == ("completed", remind.Outcome(comes=True))
    assert isinstance(surveyed.output, survey.Answers)
    assert {line.who for line in reminded.transcript} == {"agent", "callee"}
    assert "in-progress" in seen


async def test_only_the_agents_of_the_server_can_be_named() -> None:
    """A request does not cause an import."""
    async with server() as (phone, twilio):
        for name in ("os:system", "examples.verify:agent", "examples.remind:main"):
            with pytest.raises(ServerFailed, match=r"400: agent: there is no .*examples\.remind:agent"):
                await phone.run_call(TO, agent=name)
        assert not twilio.calls


async def test_a_voicemail_gets_a_clip_that_travelled() -> None:
    clip = clips.load("sorry_hours")
    async with server() as (phone, twilio):
        twilio.default_callee = callees.voicemail(after_s=0.05, silence_s=1.0)
        result = await phone.run_call(TO, machine=LeaveMessage(clip), max_s=60)
        (placed,) = twilio.placed_to(TO)
    assert (result.answered_by, result.message_left) == ("machine", True)
    loud = [byte for byte in placed.heard if byte not in (0xFF, 0x7F)]
    spoken = [byte for byte in clip if byte not in (0xFF, 0x7F)]
    assert loud == spoken[: len(loud)]
    assert len(spoken) - len(loud) < 160, "to its end; of the last frame the ear may miss some, in real time"


async def test_a_cancelled_call_is_hung_up_by_the_server() -> None:
    async with server() as (phone, twilio):
        twilio.default_callee = callees.no_answer()
        calling = asyncio.create_task(phone.run_call(TO))
        while not twilio.placed_to(TO):  # noqa: ASYNC110
            await asyncio.sleep(0.02)
        calling.cancel()
        with pytest.raises(asyncio.CancelledError):
            await calling
        async with asyncio.timeout(60):
            while not twilio.placed_to(TO)[0].is_over:  # noqa: ASYNC110
                await asyncio.sleep(0.02)
        assert twilio.placed_to(TO)[0].status == "canceled"


async def test_who_may_not_call_may_not_hang_up() -> None:
    def delete(address: str, path: str, token: str) -> int:
        headers = {"Authorization": f"Bearer {token}"}
        request = urllib.request.Request(address + path, None, headers, method="DELETE")
        try:
            with urllib.request.urlopen(request) as response:
                return int(response.status)
        except urllib.error.HTTPError as error:
            with error:
                assert "error" in json.loads(error.read())
                return error.code

    async with server() as (phone, _):
        assert phone._server is not None
        for path, token, status in (("/calls/x", "wrong", 401), ("/calls/x", TOKEN, 404)):
            assert await asyncio.to_thread(delete, phone._server, path, token) == status


class Odd(BaseModel):
    day: str = Field(pattern="^[A-Z]")


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"agent": DESK}, "cannot be sent .* --outgoing"),
        ({"machine": LeaveMessage(b"\xff" * 8000 * 61)}, "clip: .*61 s; 60 s is the most"),
        ({"data": {"when": object()}}, "are sent to the server as JSON"),
        ({"max_s": -1}, "max_s"),
        ({"colour": "blue"}, "colour"),
    ],
)  # fmt: skip
async def test_arguments_that_are_not_json_are_refused_before_the_request(options: dict[str, Any], says: str) -> None:
    async with Telephony(server="http://127.0.0.1:9", token=TOKEN) as phone:
        with pytest.raises(UserError, match=says):
            await phone.run_call(TO, **options)
        with pytest.raises(UserError, match="run_call"):
            phone.call(TO, agent=DESK)


@pytest.mark.parametrize(
    ("body", "says"),
    [
        ({"to": TO, "clip": "//8", "message": "x"}, "base64"),
        ({"to": TO, "clip": "//8=", "message": "x"}, "not both"),
        ({"to": TO, "result": {"type": "string"}}, "object"),
        ({"to": TO, "result": {"type": "object", "properties": 3}}, "result"),
    ],
)
def test_an_order_that_is_none_is_refused(body: dict[str, Any], says: str) -> None:
    with pytest.raises(ValueError, match=says):
        CallRequest.model_validate(body)


def test_a_result_is_checked_by_its_schema_and_nothing_is_fetched_for_it() -> None:
    form = ResultForm(survey.Answers.model_json_schema())
    assert "'rating' is a required property" in form.take("{}")
    assert "9 is greater than the maximum of 5" in form.take('{"rating": 9, "comes_again": true}')
    assert form.output is None
    assert form.take('{"rating": 4}') == "Noted. Nothing is missing."
    assert survey.Answers.model_validate(form.output) == survey.Answers(rating=4, comes_again=True, remark=None)
    elsewhere = ResultForm({"type": "object", "properties": {"a": {"$ref": "http://127.0.0.1:9/schema"}}})
    assert "nowhere" in elsewhere.take('{"a": 1}')


def test_a_clip_is_given_in_base64() -> None:
    clip = g711.SILENCE * 80
    plan = CallRequest.model_validate({"to": TO, "clip": base64.b64encode(clip).decode()}).plan({})
    assert plan.machine == LeaveMessage(clip)
