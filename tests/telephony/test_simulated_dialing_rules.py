"""Simulated calls keep the rules that somebody has set, and change no list of real people."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from realtime_core import RealtimeAgent
from realtime_core.errors import UserError
from realtime_core.local import Call, LocalRealtimeServer, Reply, Script, Turn
from realtime_core.sources import Sources
from telephony import Care, DialingRules, Telephony, hang_up, opt_out
from telephony.cli.app import app
from telephony.outbound import care, dialing_rules
from telephony.outbound.do_not_call import DoNotCall, dialing_rules_of
from telephony.settings import read_settings

TO = "+14155550123"
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
        assert result.status == "refused" and "does not want to be called" in result.error
    assert (await ring(Telephony.from_env(), "+14155550124")).status == "busy"


@pytest.mark.virtual_time
async def test_quiet_hours_that_are_set_count_in_simulation(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TELEPHONY_QUIET_HOURS", "21:00-08:00")
    result = await ring(Telephony(simulate="busy", sources=Night(0)))
    assert result.status == "refused" and "--any-hour" in result.error and "TELEPHONY_QUIET_HOURS" in result.error
    asked = read_settings(telephony_quiet_hours="off")
    assert (await ring(Telephony(asked, simulate="busy", sources=Night(0)))).status == "busy"
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
        began = phone.dialler._sources.now()
        await phone.run_call("(415) 555-0123", agent=AGENT)
        assert len(await phone.placed_since("415 555 0123", began)) == 1


def test_a_server_on_a_simulated_twilio_writes_no_list(tmp_path: Path) -> None:
    path = tmp_path / "no.txt"
    rules = dialing_rules_of(
        read_settings(telephony_do_not_call=path, telephony_twilio_api_url="http://127.0.0.1:9000")
    )
    assert isinstance(rules.do_not_call, DoNotCall)
    rules.do_not_call.add(TO)
    assert TO in rules.do_not_call and not path.exists()
    rules = dialing_rules_of(read_settings(telephony_do_not_call=path))
    assert isinstance(rules.do_not_call, DoNotCall)
    rules.do_not_call.add(TO)
    assert path.read_text() == f"{TO}\n"


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
    assert figures["skipped_tools"] == ["hang_up", "ring"] and figures["counts"]["tool_calls"] == 2, (
        "by voice and by key"
    )


def test_a_tool_of_the_users_own_list_is_left_alone_by_the_script(tmp_path: Path) -> None:
    from realtime_core.local.improviser import leaves_alone

    tool = opt_out(DoNotCall(tmp_path / "no.txt"))
    assert leaves_alone(tool.name, tool.description) and leaves_alone("stop", tool.description)
