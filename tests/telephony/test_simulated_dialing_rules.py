"""Simulated calls keep the rules that are set, and change no list of real people."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from starlette.applications import Starlette
from typer.testing import CliRunner

from realtime_core import RealtimeAgent, RealtimeModelConfig
from realtime_core.errors import UserError
from realtime_core.local import Call, LocalRealtimeServer, Reply, Script, Turn
from realtime_core.sources import Sources
from realtime_core.testing import virtual_time
from telephony import Care, DialingRules, Telephony, create_app, hang_up, opt_out
from telephony.cli.app import app
from telephony.errors import CallRefused
from telephony.journal.disk import settle
from telephony.outbound import care, dialing_rules
from telephony.outbound.do_not_call import DoNotCall
from telephony.outbound.plan import CallPlan
from telephony.replay.replaying import replay_call
from telephony.settings import read_settings
from telephony.simulator import Caller, Handset, SimulatedTwilio, callees
from telephony.simulator.twilio import OWN_NUMBER
from telephony.twilio.rest import TwilioRest

TO, PUBLIC = "+14155550123", "https://phone.example.com"
AGENT: RealtimeAgent[Any] = RealtimeAgent(name="Reminder", instructions="You remind people.", tools=[hang_up()])


class Night(Sources):
    """Three in the morning in San Francisco."""

    def now(self) -> datetime:
        return datetime(2026, 11, 20, 11, 0, tzinfo=UTC)


async def ring(phone: Telephony, to: str = TO, **options: Any) -> Any:
    async with phone:
        result = await phone.run_call(to, agent=AGENT, max_s=40, **options)
        assert phone.twilio is not None and bool(phone.twilio.placed_to(to)) == (result.status != "refused")
    return result


@pytest.mark.virtual_time
async def test_who_is_on_the_list_is_not_called_in_simulation(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "no.txt"
    path.write_text(f"{TO}\n")
    monkeypatch.setenv("TELEPHONY_DO_NOT_CALL", str(path))
    monkeypatch.setenv("TELEPHONY_SIMULATE", "busy")
    for phone in (Telephony.from_env(), Telephony(simulate="busy"), Telephony(read_settings(), simulate="busy")):
        result = await ring(phone)
        assert result.status == "refused" and "is on the do-not-call list" in result.error
    assert (await ring(Telephony.from_env(), "+14155550124")).status == "busy"


@pytest.mark.virtual_time
async def test_quiet_hours_that_are_set_count_in_simulation(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TELEPHONY_QUIET_HOURS", "21:00-08:00")
    result = await ring(Telephony(simulate="busy", sources=Night(0)))
    assert result.status == "refused" and "--any-hour" in result.error and "TELEPHONY_QUIET_HOURS" in result.error
    requested = read_settings(telephony_quiet_hours="off")
    assert (await ring(Telephony(requested, simulate="busy", sources=Night(0)))).status == "busy"
    result = await ring(Telephony(simulate="busy", dialing_rules=DialingRules(), sources=Night(0)))
    assert result.status == "refused", "rules that are given count, too"


@pytest.mark.virtual_time
async def test_without_rules_of_its_own_a_simulation_calls_at_any_hour_and_anywhere() -> None:
    for to in (TO, "+493012345678"):
        assert (await ring(Telephony(simulate="busy", sources=Night(0)), to)).status == "busy"


@pytest.mark.virtual_time
async def test_countries_that_are_set_count_in_simulation(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TELEPHONY_CALL_COUNTRIES", "DE")
    assert "lies in US" in (await ring(Telephony(simulate="busy"))).error


@pytest.mark.virtual_time
@pytest.mark.parametrize("scripted", [False, True])
async def test_no_simulated_call_writes_the_users_list(
    scripted: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "no.txt"
    path.write_text("+14155550999\n")
    monkeypatch.setenv("TELEPHONY_DO_NOT_CALL", str(path))
    objects = Script(turns=[Turn(Reply(say="Hello."))] + [Turn(Reply(say="Noted."), calls=[Call("opt_out", "{}")])] * 3)
    async with (
        LocalRealtimeServer(objects if scripted else None) as model,
        Telephony(simulate=True, model_config=model.model_config) as phone,
    ):
        await phone.run_call(TO, agent=AGENT, max_s=90)
        again = await phone.run_call(TO, agent=AGENT, max_s=20)
    assert path.read_text() == "+14155550999\n"
    assert (again.status == "refused") == scripted, "within the simulation the wish holds; no script makes none"


@pytest.mark.virtual_time
async def test_the_agents_own_tool_writes_no_list_in_simulation(tmp_path: Path) -> None:
    path = tmp_path / "no.txt"
    agent: RealtimeAgent[Any] = RealtimeAgent(name="Reminder", tools=[opt_out(DoNotCall(path))])
    objects = Script(turns=[Turn(Reply(say="Hello."))] + [Turn(Reply(say="Noted."), calls=[Call("opt_out", "{}")])] * 3)
    async with (
        LocalRealtimeServer(objects) as model,
        Telephony(simulate=True, model_config=model.model_config) as phone,
    ):
        result = await phone.run_call(TO, agent=agent, max_s=60)
    assert any("Noted" in line.text for line in result.transcript)
    assert not path.exists()


@pytest.mark.virtual_time
async def test_a_number_as_people_write_it_is_looked_for_as_it_was_called() -> None:
    async with Telephony(simulate="busy") as phone:
        began = phone.dialer._sources.now()
        await phone.run_call("(415) 555-0123", agent=AGENT)
        assert len(await phone.placed_since("415 555 0123", began)) == 1


OPTS_OUT = Turn(Reply(say="Noted."), calls=[Call("opt_out", "{}")])
STOPPING = Script(greeting=Reply(say="Hello."), turns=[OPTS_OUT, replace(OPTS_OUT, text="pressed 9")])


async def says_stop(phone: Handset) -> None:
    await phone.agent_speaks()
    await phone.agent_silent(0.5)
    await phone.say("sorry_hours")
    await phone.agent_speaks()
    await phone.agent_silent(0.5)


async def presses_stop(phone: Handset) -> None:
    await phone.agent_speaks()
    await phone.agent_silent(0.5)
    phone.press("9")
    await phone.agent_speaks()
    await phone.agent_silent(0.5)


Begin = Callable[[SimulatedTwilio, Starlette, Caller], Awaitable[None]]


async def the_person_calls(twilio: SimulatedTwilio, app: Starlette, person: Caller) -> None:
    await twilio.ring(from_=TO, caller=person)
    await app.state.phone.registry.empty()


async def a_program_places_a_call(twilio: SimulatedTwilio, app: Starlette, person: Caller) -> None:
    twilio.default_callee = callees.person(person, after_s=0.05)
    await app.state.dialer.place(CallPlan(TO, None, detect=False)).finished()


async def a_request_places_a_call(twilio: SimulatedTwilio, app: Starlette, person: Caller) -> None:
    twilio.default_callee = callees.person(person, after_s=0.05)
    headers = {"Authorization": "Bearer t", "Content-Type": "application/json"}
    body = json.dumps({"to": TO, "agent": "reminder"}).encode()
    url = twilio.webhooks.reach[PUBLIC] + "/calls"
    answer = await twilio.links.request("POST", url, headers, body, timeout_s=5, max_bytes=10_000)
    assert answer.status == 201
    await app.state.dialer.calls[json.loads(answer.body)["id"]].finished()


@pytest.mark.virtual_time
@pytest.mark.parametrize("person", [says_stop, presses_stop])
@pytest.mark.parametrize("begin", [the_person_calls, a_program_places_a_call, a_request_places_a_call])
async def test_a_server_on_a_simulated_twilio_writes_no_list(person: Caller, begin: Begin, tmp_path: Path) -> None:
    path = tmp_path / "no.txt"
    path.write_text("+14155550999\n")
    agent: RealtimeAgent[Any] = RealtimeAgent(name="Reminder", tools=[opt_out(DoNotCall(path))])
    async with (
        LocalRealtimeServer(STOPPING, in_memory=True) as model,
        SimulatedTwilio(sources=Sources(3)) as twilio,
    ):
        settings = read_settings(
            twilio_account_sid=twilio.account_sid, twilio_auth_token=twilio.auth_token,
            twilio_phone_number=OWN_NUMBER, telephony_twilio_api_url=twilio.base_url, public_url=PUBLIC,
            telephony_api_token="t", telephony_quiet_hours="off", telephony_do_not_call=path,
        )  # fmt: skip
        rest, config = TwilioRest.of(settings, twilio.http_client()), RealtimeModelConfig(**model.model_config)
        app = create_app(
            agent, greeting="Greet.", settings=settings, model_config=config, rest=rest, outgoing={"reminder": agent}
        )
        async with twilio.serving(app) as address:
            twilio.webhooks.reach[PUBLIC] = address
            twilio.numbers[OWN_NUMBER].voice_url = f"{PUBLIC}/incoming-call"
            await begin(twilio, app, person)
            assert path.read_text() == "+14155550999\n"
            for refused in (TO, "+14155550999"):
                with pytest.raises(CallRefused, match="is on the do-not-call list"):
                    app.state.dialer.place(CallPlan(refused, agent))


def test_a_replay_that_runs_the_tools_writes_no_list(tmp_path: Path) -> None:
    path = tmp_path / "no.txt"
    agent: RealtimeAgent[Any] = RealtimeAgent(name="Reminder", tools=[opt_out(DoNotCall(path))])

    async def call() -> None:
        settings = read_settings(telephony_journal_dir=tmp_path / "calls")
        async with (
            LocalRealtimeServer(STOPPING, in_memory=True) as model,
            Telephony(settings, simulate=True, model_config=model.model_config) as phone,
        ):
            assert phone.twilio is not None
            phone.twilio.default_callee = callees.person(says_stop, after_s=0.05)
            await phone.run_call(TO, agent=agent, detect=False, max_s=60)

    virtual_time.run(call)
    settle()
    (journal,) = (tmp_path / "calls").glob("*/journal.jsonl")
    replayed = replay_call(journal, agent, run_tools=True)
    assert any("will not be called again" in str(record) for record in replayed.records)
    assert not path.exists()


def test_the_older_name_of_the_rules_still_works() -> None:
    assert Care is DialingRules is care.Care and care.e164 is dialing_rules.e164
    rules = DialingRules(timezone="Europe/Berlin")
    assert Telephony(care=rules)._rules is Telephony(dialing_rules=rules)._rules is rules


def test_simulate_is_never_passed_over() -> None:
    with pytest.raises(UserError, match="real calls"):
        Telephony(server="http://127.0.0.1:8000", simulate=True)


def test_the_demo_lists_the_tools_that_the_script_leaves_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "leaver.py").write_text(
        "from realtime_core import RealtimeAgent, function_tool\n"
        "from telephony import hang_up, transfer\n"
        "@function_tool\ndef hours() -> str:\n    'Opening hours.'\n    return 'always'\n"
        "agent = RealtimeAgent(name='Desk', tools=[hours, hang_up(), transfer(kitchen='+14155550123', name='ring')])\n"
    )
    monkeypatch.chdir(tmp_path)
    done = CliRunner().invoke(app, ["demo", "leaver:agent", "--fast", "--folder", str(tmp_path / "calls")])
    assert done.exit_code == 0 and "list: hang_up, ring." in " ".join(done.output.split()), done.output
    done = CliRunner().invoke(app, ["demo", "leaver:agent", "--fast", "--json", "--folder", str(tmp_path / "calls")])
    figures = json.loads(done.stdout)
    assert figures["skipped_tools"] == ["hang_up", "ring"] and figures["counts"]["tool_calls"] == 1


def test_a_tool_of_the_users_own_list_is_left_alone_by_the_script(tmp_path: Path) -> None:
    from realtime_core.local.improviser import has_side_effects

    tool = opt_out(DoNotCall(tmp_path / "no.txt"))
    assert has_side_effects(tool.name, tool.description) and has_side_effects("stop", tool.description)
