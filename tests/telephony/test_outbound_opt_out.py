"""People who do not want to be called: the tool is there, the file has the number, and no call reaches it again."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from realtime_core import RealtimeAgent, function_tool, realtime_handoff
from realtime_core.local import Call, LocalRealtimeServer, Reply, Script, Turn
from telephony import DialingRules, Telephony, create_app, load_settings
from telephony.outbound.do_not_call import DoNotCall
from telephony.outcomes.call_agent import agent_for_call
from telephony.simulator import Handset, SimulatedTwilio, callees
from telephony.web.server import listening

TO, OTHER = "+14155550123", "+14155550124"
PUBLIC = "https://phone.example.com"
AGENT: RealtimeAgent[Any] = RealtimeAgent(name="Blu", instructions="You call for Blu Dental. Short sentences.")
OPTS_OUT = Script(
    greeting=Reply(say="Hello."),
    turns=[Turn(heard="Never call me again.", calls=[Call("opt_out", "{}")], answer=Reply(say="{result}"))],
)


async def objects(phone: Handset) -> None:
    await phone.say("hello")
    await phone.agent_speaks()
    await phone.agent_silent(0.5)
    await phone.say("hello")
    await phone.agent_speaks()
    await phone.agent_silent(0.5)


@pytest.mark.virtual_time
async def test_who_opts_out_on_the_phone_is_not_called_again(tmp_path: Path) -> None:
    path = tmp_path / "no.txt"
    rules = replace(DialingRules.none(), do_not_call=DoNotCall(path))
    async with (
        LocalRealtimeServer(OPTS_OUT) as model,
        Telephony(simulate=True, dialing_rules=rules, model_config=model.model_config) as phone,
    ):
        assert phone.twilio is not None
        phone.twilio.default_callee = callees.person(objects, after_s=0.05)
        result = await phone.run_call(TO, agent=AGENT, max_s=60)
        assert not path.exists(), "a simulated wish is on no list of real people"
        assert any("will not be called again" in line.text for line in result.transcript)
        again = await phone.run_call("(415) 555-0123", agent=AGENT)
        assert (again.status, len(phone.twilio.placed_to(TO))) == ("refused", 1)
        assert "is on the do-not-call list" in again.error


def test_a_server_keeps_to_its_settings(tmp_path: Path) -> None:
    """TELEPHONY_QUIET_HOURS and TELEPHONY_DO_NOT_CALL count for `POST /calls` and `Telephony(server=...)`."""
    path = tmp_path / "no.txt"
    path.write_text(f"{TO}\n")

    async def ask(**rules: Any) -> list[str]:
        async with SimulatedTwilio() as twilio:
            twilio.default_callee = callees.busy(after_s=0.05)
            settings = load_settings(
                twilio_account_sid=twilio.account_sid, twilio_auth_token=twilio.auth_token,
                twilio_phone_number="+14155550199", telephony_twilio_api_url=twilio.base_url,
                telephony_model="scripted", telephony_api_token="t", public_url=PUBLIC, **rules,
            )  # fmt: skip
            async with listening(create_app(AGENT, settings=settings)) as address:
                twilio.webhooks.reach[PUBLIC] = address
                async with Telephony(server=address, token="t") as phone:
                    results = [await phone.run_call(to) for to in (TO, OTHER)]
            return [result.error if result.status == "refused" else result.status for result in results]

    async def main() -> None:
        free = await ask(telephony_quiet_hours="off", telephony_do_not_call=path)
        assert free == [f"{TO} is on the do-not-call list.", "busy"]
        night = await ask(telephony_quiet_hours="00:00-23:59:59.999")
        assert all("no calls from" in outcome for outcome in night)

    asyncio.run(main())


@function_tool
def opt_out() -> str:
    """Ours."""
    return ""


def test_everybody_who_may_speak_has_the_tools_and_the_facts() -> None:
    clerk: RealtimeAgent[Any] = RealtimeAgent(name="Clerk", instructions=lambda context, agent: "You are the clerk.")
    chief: RealtimeAgent[Any] = RealtimeAgent(name="Chief", tools=[opt_out])
    desk: RealtimeAgent[Any] = RealtimeAgent(name="Desk", handoffs=[clerk, realtime_handoff(chief)])
    clerk.handoffs = [desk]
    given = DialingRules(do_not_call=DoNotCall("no.txt"))
    assert isinstance(given.do_not_call, DoNotCall)
    from telephony.outbound.do_not_call import opt_out as usual

    async def main() -> None:
        assert isinstance(given.do_not_call, DoNotCall)
        made: Any = agent_for_call(lambda info: desk, {"name": "Ada"}, [usual(given.do_not_call)])
        spoken: Any = await made(None)
        clerk_too, to_chief = spoken.handoffs
        chief_too = await to_chief.on_invoke_handoff(None, "{}")
        assert clerk_too.handoffs == [spoken]
        assert [await it.get_system_prompt(None) for it in (spoken, clerk_too, chief_too)] == [
            "About this call: name: Ada.", "You are the clerk.\nAbout this call: name: Ada.",
            "About this call: name: Ada.",
        ]  # fmt: skip
        assert [[tool.name for tool in it.tools] for it in (spoken, clerk_too, chief_too)] == [["opt_out"]] * 3
        assert chief_too.tools == [opt_out], "the user's own goes first"
        assert not desk.tools and not clerk.tools, "what the user has is as it was"

    asyncio.run(main())
