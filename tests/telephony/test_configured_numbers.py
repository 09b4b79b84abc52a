"""Calls to configured numbers: each is answered as the configuration says, and none is lost."""

from __future__ import annotations

import asyncio
import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from examples.receptionist import agent as receptionist
from realtime_core import FunctionTool, RealtimeAgent
from realtime_core.errors import ConnectFailed
from realtime_core.local import Reply, Script, Turn
from realtime_core.sources import Sources
from telephony.call.screening import Screening
from telephony.cli import serve as serve_command
from telephony.cli.app import app as cli
from telephony.journal.reader import read_journal
from telephony.locales.locale import shipped
from telephony.numbers.config import NumbersConfig
from telephony.simulator import Handset, callees
from telephony.web.number_book import load_book
from tests.support.clinic import PUBLIC, agent, clinic, own
from tests.support.office import office

pytestmark = pytest.mark.virtual_time

ONE, TWO, RECEPTION, CALLER = "+14155550101", "+14155550102", "+14155550123", "+14155550177"
AC = "AC" + "b" * 32


async def listens(phone: Handset) -> None:
    await phone.agent_speaks()
    await phone.agent_silent(1.0)
    phone.hang_up()


async def asks(phone: Handset) -> None:
    await phone.agent_speaks()
    await phone.agent_silent(1.0)
    await phone.say("sorry_hours")
    await phone.agent_speaks()
    await phone.agent_silent(1.0)
    phone.hang_up()


async def leaves_a_message(phone: Handset) -> None:
    await phone.agent_speaks()
    await phone.agent_silent(1.0)
    await phone.say("booking")
    await asyncio.sleep(10)


def waits(seconds: float) -> Any:
    async def caller(phone: Handset) -> None:
        await asyncio.sleep(seconds)

    return caller


def one(**number: object) -> NumbersConfig:
    return NumbersConfig.model_validate({"numbers": {ONE: {"agent": agent, **number}}})


TO_A_PERSON = {"fallback": [{"dial": "reception"}, {"voicemail": True}], "transfer_targets": {"reception": RECEPTION}}


async def test_an_open_number_is_answered_by_its_agent_with_its_variables() -> None:
    seen: list[str] = []

    def started(context: Any, agent: Any) -> str:
        seen.append(context.context.data["clinic"])
        return "You answer for {clinic}, {city}."

    given = {"agent": RealtimeAgent(name="Clinic", instructions=started), "variables": {"clinic": "Mitte"}}
    async with clinic(one(**given)) as it:
        own(it.twilio, ONE)
        call = await it.twilio.ring(to=ONE, caller=listens, from_=CALLER)
        row = await it.record(call.sid)
    assert (row.status, row.agent, row.ending) == ("completed", "Clinic", "hung_up")
    assert not call.warnings and len(call.streams) == 1 and seen[:1] == ["Mitte"]


@pytest.mark.parametrize("mode", ["refuses", "hangs"])
async def test_the_second_endpoint_takes_over_within_the_call(mode: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AZURE_KEY", "a-key")
    given = {"numbers": {ONE: {"agent": agent, "models": ["main", "azure"]}}, "models": {"azure": AZURE}}
    async with clinic(NumbersConfig.model_validate(given), models={"azure": SECOND}) as it:
        own(it.twilio, ONE)
        it.endpoints.modes["main"] = mode
        call = await it.twilio.ring(to=ONE, caller=listens, from_=CALLER)
        row = await it.record(call.sid)
        assert it.endpoints.tried == ["main", "azure"]
        again = await it.twilio.ring(to=ONE, caller=listens, from_=CALLER)
        assert (await it.record(again.sid)).status == "completed"
        it.endpoints.tried.clear()
        await it.twilio.ring(to=ONE, caller=listens, from_=CALLER)
        assert it.endpoints.tried == ["azure"], "the breaker of the first endpoint is open"
    assert (row.status, row.ending, row.agent) == ("completed", "hung_up", "Clinic")
    assert silence_s(call) <= 3.0


AZURE = {"base_url": "https://azure.example.com/openai/v1", "api_key_env": "AZURE_KEY"}
SECOND = Script(greeting=Reply("Hello from the second endpoint."), otherwise=Reply("Yes, we are open."))


async def test_a_conversation_continues_at_the_second_endpoint(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AZURE_KEY", "a-key")
    given = {"numbers": {ONE: {"agent": agent, "models": ["main", "azure"]}}, "models": {"azure": AZURE}}
    async with clinic(NumbersConfig.model_validate(given), models={"azure": SECOND}) as it:
        own(it.twilio, ONE)

        async def meets_it(phone: Handset) -> None:
            await phone.agent_speaks()
            await phone.agent_silent(1.0)
            it.endpoints.die("main")
            await asyncio.sleep(2)
            await phone.say("sorry_hours")
            await phone.agent_speaks()
            await phone.agent_silent(1.0)
            phone.hang_up()

        call = await it.twilio.ring(to=ONE, caller=meets_it, from_=CALLER)
        row = await it.record(call.sid)
    assert (row.status, row.ending) == ("completed", "hung_up") and len(call.streams) == 1


@pytest.mark.parametrize("answers", [True, False])
async def test_when_no_endpoint_works_the_next_steps_take_the_caller(answers: bool, tmp_path: Path) -> None:
    async with clinic(one(**TO_A_PERSON), given={"telephony_journal_dir": tmp_path}) as it:
        own(it.twilio, ONE)
        it.twilio.callees[RECEPTION] = callees.person() if answers else callees.no_answer()
        it.endpoints.modes["main"] = "refuses"

        async def waits_for_the_beep(phone: Handset) -> None:
            await asyncio.sleep(32)
            await leaves_a_message(phone)

        caller = waits(30) if answers else waits_for_the_beep
        call = await it.twilio.ring(to=ONE, caller=caller, from_=CALLER)
        row = await it.record(call.sid)
        await asyncio.sleep(5)
        row = await it.record(call.sid)
    assert not call.met_twilios_error and row.status == "completed"
    assert row.caller == "+14•••••••77"
    if answers:
        assert it.twilio.placed_to(RECEPTION)[0].status == "completed"
        return
    assert row.ending == "fallback-voicemail" and row.reason == "the caller left a message"
    assert [step["step"] for step in row.steps] == ["dial reception", "voicemail"]
    assert row.task["state"] == "open" and row.task["number"] == CALLER and row.task["seconds"] >= 2
    assert row.task["stored"]
    assert read_journal(Path(row.task["file"]).parent / "journal.jsonl")


async def test_after_failures_new_calls_go_to_the_next_step_at_once() -> None:
    async with clinic(one(fallback=[{"say": "Please call later."}])) as it:
        own(it.twilio, ONE)
        it.endpoints.modes["main"] = "refuses"
        for _ in range(2):
            await it.twilio.ring(to=ONE, caller=waits(30), from_=CALLER)
        it.endpoints.tried.clear()
        call = await it.twilio.ring(to=ONE, caller=waits(30), from_=CALLER)
        assert not it.endpoints.tried and not call.streams, "no stream was opened"
        row = await it.record(call.sid)
        assert (row.status, row.ending) == ("completed", "fallback-say")
        assert row.steps == [{"step": "agent", "result": "the model's endpoints fail"}]
        it.endpoints.modes["main"] = "works"
        await asyncio.sleep(20)
        call = await it.twilio.ring(to=ONE, caller=listens, from_=CALLER)
        assert len(call.streams) == 1, "the endpoint works again"


MONDAY = datetime(2026, 11, 30, tzinfo=UTC)
HOURS = {"clinic": {"timezone": "Europe/Berlin", "weekdays": ["08:00-18:00"]}}


@pytest.mark.parametrize(("hour", "is_open"), [(9, True), (20, False)])
async def test_a_closed_number_follows_its_own_steps(hour: int, is_open: bool) -> None:
    begin = MONDAY + timedelta(hours=hour)
    sources = Sources(5, clock=lambda: begin + timedelta(seconds=asyncio.get_running_loop().time()))
    number = {"agent": agent, "language": "de", "hours": "clinic", "closed": [{"voicemail": True}]}
    config = NumbersConfig.model_validate({"numbers": {ONE: number}, "hours": HOURS})
    async with clinic(config, sources=sources) as it:
        own(it.twilio, ONE)
        call = await it.twilio.ring(to=ONE, caller=listens if is_open else leaves_a_message, from_=CALLER)
        row = await it.record(call.sid)
    assert bool(call.streams) is is_open
    assert row.ending == ("hung_up" if is_open else "closed-voicemail")
    if not is_open:
        assert row.language == "de" and row.task["language"] == "de"


async def test_a_caller_at_a_limit_goes_to_the_next_step_and_is_in_the_records() -> None:
    async with clinic(one(limits={"max_calls": 1}, fallback=[{"say": True}])) as it:
        own(it.twilio, ONE)
        first = it.twilio.start_ringing(to=ONE, caller=waits(20), from_=CALLER)
        await asyncio.sleep(2)
        second = await it.twilio.ring(to=ONE, caller=waits(20), from_="+14155550178")
        row = await it.record(second.sid)
        await first.ends()
    assert (row.status, row.ending, row.steps[0]["result"]) == ("completed", "fallback-say", "number-limit")


async def test_a_call_that_only_twilios_fallback_took_is_written_into_the_records_later(tmp_path: Path) -> None:
    given = {"database_url": f"sqlite:///{tmp_path}/records.db"}
    async with clinic(one(), given=given) as it:
        own(it.twilio, ONE)
        await it.twilio.ring(to=ONE, caller=listens, from_=CALLER)
        it.twilio.webhooks.reach[PUBLIC] = "http://127.0.0.1:9"
        call = await it.twilio.ring(to=ONE, caller=waits(20), from_="+14155550178")
        client = it.app.state.phone.call_records.client
        assert await client.call(call.sid) is None and not call.streams
        await asyncio.sleep(610)
        row = await client.call(call.sid)
    assert (row.status, row.ending, row.called) == ("completed", "missed", ONE) and "0178" not in row.caller
    assert row.subject and row.duration_s == call.duration_s


async def test_a_blocked_caller_is_turned_away_and_in_the_records() -> None:
    async with clinic(one(), screening=Screening(blocked=["+1415555017*"])) as it:
        own(it.twilio, ONE)
        call = await it.twilio.ring(to=ONE, caller=waits(20), from_=CALLER)
        row = await it.record(call.sid)
    assert not call.streams and call.status == "busy" and row.ending == "refused-blocked"


async def test_a_caller_who_hangs_up_before_the_first_word_is_in_the_records() -> None:
    async with clinic(one()) as it:
        own(it.twilio, ONE)
        call = await it.twilio.ring(to=ONE, caller=waits(0.05), from_=CALLER)
        row = await it.record(call.sid)
    assert row.over and row.direction == "inbound"


async def test_the_consent_policy_of_a_number_has_its_notice_in_the_language_of_the_call() -> None:
    async with clinic(one(language="de", consent={"policy": "two-party"})) as it:
        own(it.twilio, ONE)
        call = await it.twilio.ring(to=ONE, caller=asks, from_=CALLER)
        row = await it.record(call.sid)
    assert (row.consent["policy"], row.consent["language"]) == ("two-party", "de")
    assert row.consent["notice"] == shipped("de").texts["recording_notice"]


# --- languages -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("key", "language"), [("2", "fr"), ("", "de"), ("9", "de")])
async def test_the_caller_chooses_the_language_with_a_key(key: str, language: str) -> None:
    async def presses(phone: Handset) -> None:
        await asyncio.sleep(1)
        if key:
            phone.press(key)
        await phone.agent_silent(1.0)
        await asyncio.sleep(25)

    given = {"language": "de", "languages": ["fr"], "choose_language": ["keypad"], "fallback": [{"say": True}]}
    async with clinic(one(**given)) as it:
        own(it.twilio, ONE)
        it.endpoints.modes["main"] = "refuses"
        call = await it.twilio.ring(to=ONE, caller=presses, from_=CALLER)
        row = await it.record(call.sid)
    assert row.language == language
    assert shipped(language).clips["hold_the_line"] in call.heard


async def test_the_caller_s_number_chooses_the_language() -> None:
    given = {"language": "de", "languages": ["fr"], "choose_language": ["caller"], "callers": {"+33": "fr"}}
    async with clinic(one(**given)) as it:
        own(it.twilio, ONE)
        it.endpoints.modes["main"] = "refuses"
        call = await it.twilio.ring(to=ONE, caller=waits(20), from_="+33144445555")
    assert shipped("fr").clips["hold_the_line"] in call.heard


@pytest.mark.parametrize("has_agent", [True, False])
async def test_the_call_changes_to_the_language_that_the_caller_speaks(has_agent: bool) -> None:
    spanish = RealtimeAgent(name="Clínica", instructions="Contestas por la clínica.")
    script = Script(
        greeting=Reply("Hello, how can I help you?"),
        turns=[Turn(Reply("Yes."), heard="Hola, quiero pedir una cita", heard_in="es"), Turn(Reply("Yes."))],
        otherwise=Reply("Yes."),
    )
    given: dict[str, Any] = {"languages": ["es"], "choose_language": ["speech"]}
    if has_agent:
        given["agents"] = {"es": spanish}
    seen: list[tuple[str, str]] = []

    async def talks(phone: Handset) -> None:
        await asks(phone)

    async with clinic(one(**given), models={"main": script}) as it:
        own(it.twilio, ONE)

        async def watches(phone: Handset) -> None:
            await phone.agent_speaks()
            await phone.agent_silent(1.0)
            await phone.say("sorry_hours")
            await phone.agent_speaks()
            await phone.agent_silent(2.0)
            (call,) = it.app.state.phone.registry
            seen.append((call.language, call.session.current_agent.name))
            seen.append((str(call.session.current_agent.instructions)[-200:], ""))
            phone.hang_up()

        await it.twilio.ring(to=ONE, caller=watches, from_=CALLER)
    assert seen[0] == ("es", "Clínica" if has_agent else "Clinic")
    assert shipped("es").instructions["language"] in seen[1][0]


# --- accounts --------------------------------------------------------------------------------------------------------


def two_accounts() -> NumbersConfig:
    numbers = {ONE: {"agent": agent}, TWO: {"agent": agent, "account": "berlin", **TO_A_PERSON}}
    accounts = {"berlin": {"sid": AC, "auth_token_env": "BERLIN_TOKEN", "region": "ie1"}}
    return NumbersConfig.model_validate({"numbers": numbers, "accounts": accounts})


async def test_each_account_signs_with_its_own_token(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BERLIN_TOKEN", "token-of-berlin")
    async with clinic(two_accounts(), accounts={"berlin": AC}) as it:
        own(it.twilio, ONE)
        own(it.others["berlin"], TWO)
        first = await it.twilio.ring(to=ONE, caller=listens, from_=CALLER)
        second = await it.others["berlin"].ring(to=TWO, caller=listens, from_=CALLER)
        assert len(first.streams) == len(second.streams) == 1
        assert not first.warnings and not second.warnings
        # The token of one account does not open the numbers of the other.
        it.twilio.add_number(TWO, voice_url=f"{PUBLIC}/incoming-call")
        stolen = await it.twilio.ring(to=TWO, caller=waits(10), from_=CALLER)
        assert not stolen.streams


async def test_a_request_for_an_account_with_the_token_of_another_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BERLIN_TOKEN", "another-token")
    async with clinic(two_accounts(), accounts={"berlin": AC}) as it:
        own(it.others["berlin"], TWO)
        it.others["berlin"].numbers[TWO].voice_fallback_url = ""
        call = await it.others["berlin"].ring(to=TWO, caller=waits(10), from_=CALLER)
    assert call.met_twilios_error and any("403" in warning for warning in call.warnings)


# --- reload ----------------------------------------------------------------------------------------------------------

FILE = """\
[numbers."+14155550101"]
agent = "tests.support.clinic:agent"
language = "{language}"
fallback = [{{ say = "{text}" }}]
"""


async def test_a_reload_changes_new_calls_and_no_live_one(tmp_path: Path) -> None:
    path = tmp_path / "numbers.toml"
    path.write_text(FILE.format(language="de", text="Eins"))
    async with clinic(path) as it:
        own(it.twilio, ONE)
        numbers = it.app.state.phone.numbers

        async def meets_it(phone: Handset) -> None:
            await phone.agent_speaks()
            await phone.agent_silent(1.0)
            path.write_text(FILE.format(language="fr", text="Deux, trois"))
            await asyncio.sleep(3)
            assert numbers.reloads == 1
            it.endpoints.die("main")
            await asyncio.sleep(60)

        live = await it.twilio.ring(to=ONE, caller=meets_it, from_=CALLER)
        clip = shipped("de").clips["hold_the_line"][:40_000]
        assert clip in live.heard, "the live call keeps its language"
        new = await it.twilio.ring(to=ONE, caller=waits(30), from_=CALLER)
        assert numbers.of(new.sid).language == "fr" and numbers.of(live.sid).language == "de"


async def test_a_file_with_a_mistake_changes_nothing(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path = tmp_path / "numbers.toml"
    path.write_text(FILE.format(language="de", text="Eins"))
    async with clinic(path) as it:
        own(it.twilio, ONE)
        numbers = it.app.state.phone.numbers
        path.write_text(FILE.format(language="xx", text="Eins"))
        await asyncio.sleep(3)
        assert numbers.problems and f"{path}:3: " in numbers.problems[0] and f"{path}:3: " in caplog.text
        call = await it.twilio.ring(to=ONE, caller=listens, from_=CALLER)
        assert len(call.streams) == 1 and numbers.of(call.sid).language == "de"
        path.write_text(FILE.format(language="it", text="Uno"))
        await asyncio.sleep(3)
        assert not numbers.problems


async def test_a_fallback_number_that_nobody_answers_is_followed_by_a_notice() -> None:
    async with office(Script(), given={"telephony_fallback_number": RECEPTION}) as (twilio, app):
        twilio.callees[RECEPTION] = callees.no_answer()
        app.state.phone.defaults.model_config["url"] = "ws://nowhere"

        async def refuses(url: str, headers: Any) -> Any:
            raise ConnectFailed("the model refuses")

        app.state.phone.defaults.model_config["transport"] = refuses
        call = await twilio.ring(caller=waits(90), from_=CALLER)
    assert shipped("en").clips["hold_the_line"][:20_000] in call.heard
    after = call.heard.rstrip(b"\xff\x7f")
    assert len(after) / 8000 > 35, "the caller heard something after the phone had rung for 30 s"
    assert not call.met_twilios_error and call.duration_s < 60


async def test_the_console_lists_the_numbers() -> None:
    given = {"telephony_api_token": "a-token"}
    async with clinic(one(languages=["de"], **TO_A_PERSON), given=given) as it:
        address, headers = f"{it.address}/console/api/numbers", {"authorization": "Bearer a-token"}
        answer = await it.twilio.links.request("GET", address, headers, None, timeout_s=5, max_bytes=10_000)
        refused = await it.twilio.links.request("GET", address, {}, None, timeout_s=5, max_bytes=10_000)
    (row,) = json.loads(answer.body)["numbers"]
    assert (row["number"], row["agent"], row["languages"], row["open"]) == (ONE, "Clinic", ["en", "de"], True)
    assert row["steps"] == ["Clinic", "dial reception", "voicemail"] and row["closed"] == ["notice"]
    assert refused.status == 401


# --- the host is dead ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("when", ["before", "during"])
async def test_while_the_host_is_dead_the_fallback_outside_of_it_answers(when: str) -> None:
    async with clinic(one()) as it:
        own(it.twilio, ONE)

        async def meets_it(phone: Handset) -> None:
            await asyncio.sleep(5)
            it.twilio.webhooks.reach[PUBLIC] = "http://127.0.0.1:9"
            for peer in call.streams:
                peer.lose()
            await asyncio.sleep(20)

        if when == "before":
            it.twilio.webhooks.reach[PUBLIC] = "http://127.0.0.1:9"
            call = await it.twilio.ring(to=ONE, caller=waits(20), from_=CALLER)
        else:
            call = it.twilio.start_ringing(to=ONE, caller=meets_it, from_=CALLER)
            await call.finished()
    assert not call.met_twilios_error and call.status == "completed"


def silence_s(call: Any) -> float:
    """The longest time in which the caller heard nothing."""
    longest = run = 0
    for byte in call.heard:
        run = run + 1 if byte in (0xFF, 0x7F) else 0
        longest = max(longest, run)
    return longest / 8000


def test_stub_tools_reach_the_agents_of_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """`telephony serve --config numbers.toml --stub-tools`."""
    given: dict[str, Any] = {}
    monkeypatch.setattr(serve_command, "create_app", lambda *args, **options: given.update(options))
    monkeypatch.setattr(serve_command, "serve", lambda *args, **options: None)
    monkeypatch.setenv("TELEPHONY_ENV_FILE", "off")
    path = tmp_path / "numbers.toml"
    path.write_text(f'[numbers."{ONE}"]\nagent = "examples.receptionist:agent"\n')
    for stub_tools in (False, True):
        command = ["serve", "--config", str(path), "--port", "0", *["--stub-tools"] * stub_tools]
        done = CliRunner().invoke(cli, command)
        assert done.exit_code == 0, done.output
        book = load_book(path, given["agent_loader"])
        source = book.agent("examples.receptionist:agent")
        assert isinstance(source, RealtimeAgent)
        outputs = [tool.on_invoke_tool for tool in source.tools if isinstance(tool, FunctionTool)]
        original = [tool.on_invoke_tool for tool in receptionist.tools if isinstance(tool, FunctionTool)]
        assert outputs and (outputs == original) is not stub_tools
