"""Calls with more than one stream or model connection: they replay without a divergence, and no users' code runs."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from realtime_core import RealtimeAgent, RunContextWrapper, function_tool
from realtime_core.errors import ConnectFailed
from realtime_core.local import Call as ToolCall
from realtime_core.local import Reply, Script, Turn
from realtime_core.testing import virtual_time
from telephony import Call, hang_up, send_digits, transfer
from telephony.audio.files import read_ulaw
from telephony.call import clips
from telephony.call.pacing.policy import CallPolicy
from telephony.call.pacing.silence_prompts import SilencePolicy
from telephony.errors import CallError, ReplayError, TwilioRejected
from telephony.locales.locale import words_of
from telephony.replay.call import ReplayedCall
from telephony.replay.replaying import read, replay_call
from telephony.simulator import clips as voices
from tests.support.exchange import CallerPhone, Exchange, Story, hear_out, story
from tests.support.recorded_calls import written

LONG = (
    "Your table for two on Friday at seven is booked. Tonight we serve a soup of white beans with sage, then fresh "
    "tagliatelle with mushrooms, or sea bass from the oven with lemon and potatoes."
)
LINE = "We are open every day from noon until eleven in the evening."


def told_and_replayed(path: Path, caller: Any, **options: Any) -> tuple[Story, ReplayedCall]:
    """Returns a story, and its replay without the agent of the story. The effects of the agent are in the recording."""

    async def tell() -> Story:
        return await story(caller, **options)

    told = virtual_time.run(tell, seed=1)
    return told, replay_call(written(told.records.all, path / "journal.jsonl"))


async def asks(ear: CallerPhone) -> None:
    await hear_out(ear)
    await ear.say("sorry_hours")
    await ear.agent_speaks()
    await ear.agent_silent(2.5)


def runs(name: str, *, filler: str = "One moment.", **arguments: Any) -> Script:
    import json

    return Script(
        greeting=Reply(say="Hello. How can I help you?"),
        turns=[Turn(Reply(say="Done."), filler=filler, calls=[ToolCall(name, json.dumps(arguments))])],
        otherwise=Reply(say=LINE),
    )


@pytest.mark.parametrize("fails", [False, True])
def test_a_tool_that_the_models_server_runs(tmp_path: Path, fails: bool) -> None:
    tool = ToolCall("find", "{}", server_label="shop", output="two", error="Sold out." if fails else None, takes_s=1.0)
    script = Script(greeting=Reply(say=LINE), turns=[Turn(Reply(say="It says {result}"), calls=[tool])])
    agent = RealtimeAgent[Any](
        name="Desk", tools=[{"type": "mcp", "server_label": "shop", "server_url": "https://a.b"}]
    )
    _, call = told_and_replayed(tmp_path, asks, script=script, agent=agent)
    assert call.divergence is None, call.divergence
    assert [(each.name, each.output) for each in call.tools] == [("find", "Sold out." if fails else "two")]


# --- streams ----------------------------------------------------------------------------------------------------------


def test_a_lost_stream_and_the_one_that_took_its_place(tmp_path: Path) -> None:
    def breaks(connection: Any) -> None:
        if not broken:
            broken.append(connection)
            asyncio.get_running_loop().call_later(3.0, connection.break_)

    broken: list[Any] = []
    script = Script(greeting=Reply(say=LONG), turns=[Turn(Reply(say=LINE))])
    told, call = told_and_replayed(tmp_path, asks, script=script, wire=breaks)
    assert told.exchange.streams == 2
    assert call.divergence is None, call.divergence
    starts = [record.message["streamSid"] for record in call.records if record.event == "start"]
    ends = [record.data["stream_sid"] for record in call.records if record.data.get("peer") == "twilio"]
    assert len(starts) == 2 and starts == ends, "the journal says when each stream began and ended"


@pytest.mark.parametrize("rest", [True, False])
def test_keys_for_the_far_end(tmp_path: Path, rest: bool) -> None:
    script = runs("send_digits", filler=LINE, digits="12")
    agent = RealtimeAgent[Any](name="Desk", tools=[send_digits()])
    told, call = told_and_replayed(tmp_path, asks, script=script, agent=agent, rest=rest)
    assert told.exchange.digits == ["12"] and told.exchange.streams == 2
    assert call.divergence is None, call.divergence
    assert [record.data["keys"] for record in call.records if record.kind == "control"] == ["00"]


@pytest.mark.parametrize("result", ["busy", "completed"])
def test_a_cold_transfer(tmp_path: Path, result: str) -> None:
    agent = RealtimeAgent[Any](name="Desk", tools=[transfer(kitchen="+14155550123")])
    script = runs("transfer", target="kitchen")
    told, call = told_and_replayed(tmp_path, asks, script=script, agent=agent, dial_results=[result])
    assert told.exchange.streams == (2 if result == "busy" else 1)
    assert call.divergence is None, call.divergence
    assert "+14155550123" not in (tmp_path / "journal.jsonl").read_text()


@pytest.mark.parametrize("key", ["1", "2"])
def test_a_warm_transfer(tmp_path: Path, key: str) -> None:
    async def human(leg: Any) -> None:
        await asyncio.sleep(4)
        leg.status("in-progress")
        await asyncio.sleep(3)
        leg.press(key)

    agent = RealtimeAgent[Any](name="Desk", tools=[transfer(kitchen="+14155550123", warm=True)])
    script = runs("transfer", target="kitchen", summary="Ada")
    told, call = told_and_replayed(tmp_path, asks, script=script, agent=agent, human=human)
    assert [leg.joined is not None for leg in told.exchange.legs] == [key == "1"]
    assert call.divergence is None, call.divergence
    rest = [record.data for record in call.records if record.kind == "rest"]
    assert {**rest[0], "ms": 0} == {
        "action": "create_call", "call": "second leg", "verbs": rest[0]["verbs"], "ring_s": 25, "status": "ok",
        "result": rest[0]["result"], "ms": 0,
    }  # fmt: skip
    assert [(each["action"], each["call"]) for each in rest[1:2]] == [
        ("redirect", "caller") if key == "1" else ("hang_up", "second leg")
    ]


def test_a_request_that_twilio_refuses_is_refused_again(tmp_path: Path) -> None:
    def refuse(exchange: Exchange) -> None:
        exchange.refuses = lambda what: TwilioRejected("No.", status=400, code=21220) if what == "redirect" else None

    agent = RealtimeAgent[Any](name="Desk", tools=[transfer(kitchen="+14155550123")])
    _, call = told_and_replayed(tmp_path, asks, script=runs("transfer", target="kitchen"), agent=agent, prepare=refuse)
    assert call.divergence is None, call.divergence
    (rest,) = [record.data for record in call.records if record.kind == "rest" and record.data["action"] == "redirect"]
    assert (rest["status"], rest["code"], rest["http"]) == ("TwilioRejected", 21220, 400)


# --- controls inside of tools -----------------------------------------------------------------------------------------


def test_what_a_tool_did_to_the_call_is_done_again_without_the_tool(tmp_path: Path) -> None:
    ran = []

    @function_tool
    async def busy(ctx: RunContextWrapper[Call]) -> str:
        """Does all that a tool can do."""
        ran.append("busy")
        call = ctx.context
        heard = await call.say("Say that you will look it up.", interruptible=False)
        with call.hold():
            await asyncio.sleep(1.5)
        with call.muted(), call.listening():
            await call.play(voices.load("hello"))
        talking = asyncio.create_task(call.say("Tell a long story."))
        await asyncio.sleep(0.5)
        await call.session.interrupt()
        await talking
        try:
            await call.send_digits("x")
        except CallError as error:
            return f"{heard} {error}"
        return ""

    told, call = told_and_replayed(
        tmp_path, asks, script=runs("busy"), agent=RealtimeAgent[Any](name="Desk", tools=[busy])
    )
    assert ran == ["busy"], "once, and not in the replay"
    assert call.divergence is None, call.divergence
    done = [record.data["action"] for record in call.records if record.kind == "control"]
    assert done == ["say", "hold", "muted", "listening", "play", "say", "session.interrupt", "send_digits"]
    ended = {record.data["id"]: record.data for record in call.records if record.kind == "control.end"}
    assert ended[1]["result"] is True and "Digits are" in ended[8]["error"]
    assert voices.load("hello") in told.heard


def test_keys_are_collected_again_from_masked_ones(tmp_path: Path) -> None:
    @function_tool
    async def ask_pin(ctx: RunContextWrapper[Call]) -> str:
        """Ask for the PIN."""
        digits = await ctx.context.collect_digits("ask for the pin", max_digits=8)
        return f"It is {digits.value}"

    async def caller(ear: CallerPhone) -> None:
        await hear_out(ear)
        await ear.say("sorry_hours")
        await hear_out(ear)
        for key in "4711#":
            ear.press(key)
            await asyncio.sleep(0.2)
        await hear_out(ear)

    _, call = told_and_replayed(
        tmp_path, caller, script=runs("ask_pin"), agent=RealtimeAgent[Any](name="Desk", tools=[ask_pin])
    )
    assert call.divergence is None, call.divergence
    (ended,) = [record.data for record in call.records if record.kind == "control.end"]
    assert (ended["keys"], ended["complete"]) == (4, True)
    told = [record for record in call.original.records if record.event in ("dtmf", "conversation.item.create")]
    assert len(told) >= 6 and "4711" not in "".join(str(record.data) for record in told)


def test_code_beside_the_tools_is_done_again_too(tmp_path: Path) -> None:
    """As `LeaveMessage` does it: a task of the application that holds the call."""
    tasks = set()

    def on_start(call: Call) -> None:
        async def leave_message() -> None:
            await asyncio.sleep(6.0)
            await call.play(voices.load("hello"), interruptible=False)
            await call.hang_up(within_s=2.0)

        tasks.add(asyncio.get_running_loop().create_task(leave_message()))

    async def machine(ear: CallerPhone) -> None:
        await ear.agent_silent(60.0)

    _, call = told_and_replayed(tmp_path, machine, greeting=None, on_start=on_start, may_be_silent=True)
    assert call.ended == "agent hung up"
    assert call.divergence is None, call.divergence


# --- timers, clips ----------------------------------------------------------------------------------------------------


def test_prompts_of_a_silent_call_are_counted(tmp_path: Path) -> None:
    async def says_nothing(ear: CallerPhone) -> None:
        await ear.agent_silent(60.0)

    policy = CallPolicy(silence=SilencePolicy(after_s=3.0))
    _, call = told_and_replayed(tmp_path, says_nothing, policy=policy)
    assert call.divergence is None, call.divergence
    assert call.silence_prompts == 2 and call.ended == "silence"
    assert any(event.text.startswith("silence") for event in call.events if not hasattr(event, "said"))


def test_a_fill_that_an_earlier_version_named_otherwise_replays(tmp_path: Path) -> None:
    told, call = told_and_replayed(tmp_path, asks, script=replace(runs("end", filler=""), latency_s=4.0), agent=_ends())
    fills = [record["name"] for _, record in told.records.of("timer")]
    assert call.divergence is None and fills, call.divergence
    assert {fill.partition(": ")[0] for fill in fills} == {"pending answer"}
    earlier = []
    for t, kind, fields in told.records.all:
        if kind == "timer":
            fields = {**fields, "name": fields["name"].replace("pending answer", "an answer")}
        earlier.append((t, kind, fields))
    again = replay_call(written(earlier, tmp_path / "earlier.jsonl"))
    assert again.divergence is None, again.divergence


def test_a_prompt_that_does_not_come_is_a_divergence(tmp_path: Path) -> None:
    async def says_nothing(ear: CallerPhone) -> None:
        await ear.agent_silent(60.0)

    told_and_replayed(tmp_path, says_nothing, policy=CallPolicy(silence=SilencePolicy(after_s=3.0)))

    def never(options: Any) -> None:
        options.policy = CallPolicy(silence=None)

    found = replay_call(tmp_path / "journal.jsonl", configure=never).divergence
    assert found is not None and "time is up: silence did not happen" in found.what


def test_clips_are_stored_once_and_heard_everywhere(tmp_path: Path) -> None:
    async def caller(ear: CallerPhone) -> None:
        await asyncio.sleep(4.0)
        await ear.say("sorry_hours")
        await hear_out(ear)
        await ear.agent_silent(3.0)

    hum = bytes(range(0x60, 0x90)) * 100
    greeting = voices.load("hello")
    options = {"greeting": greeting, "ambience": hum, "script": runs("end"), "agent": _ends()}
    told, call = told_and_replayed(tmp_path, caller, **options, may_be_silent=True)
    assert call.divergence is None, call.divergence
    digests = [record.data["digest"] for record in call.original.records if record.kind == "clip"]
    assert len(digests) == len(set(digests)) >= 2, "every sample is stored once"
    for one in (call.original, call):
        assert one.audio.mismatches == 0, "what was sent can be made again, ambience included"
        assert next(turn for turn in one.turns if turn.speaker == "agent").item_id == "clip:greeting"
    heard = call.original.audio.agent
    assert told.heard[8000:40000] in heard, "the WAV is what the ear got"


def _ends() -> RealtimeAgent[Any]:
    return RealtimeAgent(name="Desk", tools=[hang_up()])


@pytest.mark.parametrize("status", [401, 500, None])
def test_a_model_that_could_not_be_reached_is_replayed_with_every_attempt(tmp_path: Path, status: int | None) -> None:
    async def waits(ear: CallerPhone) -> None:
        await ear.agent_silent(40.0)

    async def transport(url: str, headers: Any) -> Any:
        await asyncio.sleep(0.2)
        error = ConnectFailed("no")
        error.status = status
        raise error

    _, call = told_and_replayed(tmp_path, waits, model_config={"transport": transport})
    assert call.divergence is None, call.divergence
    attempts = [record for record in call.original.records if record.kind == "open"]
    assert (len(attempts) == 1) is (status == 401)


def test_a_clip_of_the_package_has_its_words_in_the_transcript(tmp_path: Path) -> None:
    async def waits(ear: CallerPhone) -> None:
        await ear.agent_silent(40.0)

    async def transport(url: str, headers: Any) -> Any:
        await asyncio.sleep(2.0)
        raise OSError("nobody is there")

    _, call = told_and_replayed(tmp_path, waits, model_config={"transport": transport})
    assert call.divergence is None, call.divergence
    assert "something went wrong at our end" in call.transcript
    assert words_of(clips.apology()) and not words_of(read_ulaw.__name__.encode())


# --- what stood still, and what a simulated phone cannot do ----------------------------------------------------------


def test_a_process_that_stood_still_stands_still_again(tmp_path: Path) -> None:
    def stands_still(connection: Any) -> None:
        loop = asyncio.get_running_loop()
        loop.call_later(3.0, loop.stall, 0.9)  # type: ignore[attr-defined]

    script = Script(greeting=Reply(say=LONG), turns=[Turn(Reply(say=LINE))])
    _, call = told_and_replayed(tmp_path, asks, script=script, wire=stands_still, may_be_silent=True)
    assert call.divergence is None, call.divergence
    ((begin, end, _),) = read(tmp_path / "journal.jsonl").stalls
    assert 2.9 < begin < 3.1 and end - begin == pytest.approx(0.9, abs=0.1)


def test_a_simulated_phone_does_not_pretend_to_have_two_streams(tmp_path: Path) -> None:
    agent = RealtimeAgent[Any](name="Desk", tools=[send_digits()])
    told_and_replayed(tmp_path, asks, script=runs("send_digits", filler=LINE, digits="12"), agent=agent)
    with pytest.raises(ReplayError, match="2 media streams"):
        replay_call(tmp_path / "journal.jsonl", caller="simulated")
    call = replay_call(tmp_path / "journal.jsonl", caller="simulated", model="embedded")
    assert call.violations == [] and call.called("send_digits")
