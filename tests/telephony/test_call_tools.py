"""The tools for agents, and the controls that users' own tools have: as in the design, and refused where unsafe."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from realtime_core import RealtimeAgent, RunContextWrapper, function_tool
from realtime_core.errors import UserError
from realtime_core.local import Call as ToolCall
from realtime_core.local import Reply, Script, Trouble, Turn
from realtime_core.run_context import ToolContext
from realtime_core.usage import Usage
from telephony import Call, collect_digits, create_app, hang_up, send_digits, transfer
from telephony.audio.files import write_ulaw
from telephony.call import clips
from telephony.errors import AudioFileError, CallError
from tests.support.exchange import CallerPhone, hear_out, story

pytestmark = pytest.mark.virtual_time

GREETING = "Hello. How can I help you?"
OPEN = "We are open every day from noon until eleven in the evening."


@function_tool
async def book_table(ctx: RunContextWrapper[Call], day: str, people: int) -> str:
    """Book a table; returns the confirmation number."""
    return f"{ctx.context.caller} {day} {people}"


def test_the_sketch_of_the_design_is_all_that_a_user_writes() -> None:
    agent = RealtimeAgent(
        name="Desk",
        instructions="You answer for Trattoria Blu. Short sentences.",
        tools=[book_table, hang_up(), transfer(kitchen="+14155550123", manager="+14155550199", warm=True)],
    )
    app = create_app(agent, greeting="Greet the caller and ask how you can help.")
    assert callable(app)
    _, ends, hands_over = agent.tools
    assert (ends.name, hands_over.name) == ("hang_up", "transfer")
    schema = hands_over.params_json_schema
    assert schema["properties"]["target"]["enum"] == ["kitchen", "manager"]
    assert schema["required"] == ["target", "summary"] and schema["additionalProperties"] is False


@pytest.mark.parametrize(
    "targets", [{}, {"kitchen": "14155550123"}, {"kitchen": "+0"}, {"kitchen": "0900"}, {"the kitchen": "+14155550123"}]
)
def test_a_transfer_that_cannot_hold_is_refused_when_it_is_declared(targets: dict[str, str]) -> None:
    with pytest.raises(UserError):
        transfer(**targets)  # type: ignore[arg-type]


@pytest.mark.parametrize("tool", [hang_up(), transfer(a="+14155550123"), send_digits(), collect_digits()])
async def test_without_a_call_the_model_learns_so(tool: Any) -> None:
    context = ToolContext(None, Usage(), tool_name=tool.name, tool_call_id="1")
    assert "phone calls only" in await tool.on_invoke_tool(context, "{}")


async def run(tool: Any, *turns: Turn, seconds: float = 20.0, arguments: str = "{}", **options: Any) -> Any:
    async def caller(phone: CallerPhone) -> None:
        await hear_out(phone)
        await phone.say("sorry_hours")
        await asyncio.sleep(seconds)

    first = Turn(Reply(say="Goodbye!"), calls=[ToolCall(tool.name, arguments)])
    script = Script(greeting=Reply(say=GREETING), turns=[first, *turns])
    return await story(caller, script=script, agent=RealtimeAgent(name="Desk", tools=[tool]), **options)


async def test_hold_with_audio_is_heard_and_the_caller_is_not() -> None:
    music = clips.farewell()

    @function_tool
    async def check(ctx: RunContextWrapper[Call]) -> str:
        """Look something up."""
        with ctx.context.hold(music):
            await asyncio.sleep(8.0)
        return "done"

    result = await run(check)
    assert music in result.heard, "looped, sample by sample"
    answer = list(result.spoken().values())[-1]
    assert answer[2400:8000] in result.heard
    result.assert_no_undecided_silence()


async def test_a_clip_and_a_sentence_are_heard_to_the_end() -> None:
    results = []

    @function_tool
    async def tell(ctx: RunContextWrapper[Call]) -> str:
        """Tell something."""
        results.append(await ctx.context.play(clips.farewell()))
        results.append(await ctx.context.say("hours"))
        return "done"

    result = await run(tell, Turn(Reply(say=OPEN), text="hours"))
    assert results == [True, True]
    assert clips.farewell() in result.heard
    assert result.heard_whole(1)
    assert result.heard.index(clips.farewell()) < result.heard.index(list(result.spoken().values())[1])
    result.assert_no_undecided_silence()


async def test_a_live_call_plays_files_and_refuses_what_is_no_audio(tmp_path: Path) -> None:
    wav, results, errors = tmp_path / "clip.wav", [], []
    write_ulaw(wav, clips.farewell())

    @function_tool
    async def tell(ctx: RunContextWrapper[Call]) -> str:
        """Tell something."""
        call = ctx.context
        results.append(await call.play(wav.read_bytes()))
        results.append(await call.play(wav))
        for given in (b"", b"ID3\x04" + bytes(100), tmp_path / "missing.wav"):
            for use in (call.play, call.collect_digits, call.hold):
                try:
                    made = use(given)
                    await made if asyncio.iscoroutine(made) else None
                except AudioFileError as error:
                    errors.append(error)
        return "done"

    result = await run(tell)
    assert results == [True, True]
    assert result.heard.count(clips.farewell()) == 2
    assert len(errors) == 9


async def test_while_the_caller_is_muted_the_model_hears_silence() -> None:
    @function_tool
    async def listen(ctx: RunContextWrapper[Call]) -> str:
        """Do not listen."""
        with ctx.context.muted():
            await asyncio.sleep(6.0)
        return "done"

    async def caller(phone: CallerPhone) -> None:
        await hear_out(phone)
        await phone.say("sorry_hours")
        await asyncio.sleep(1.5)
        await phone.say("hello")
        await asyncio.sleep(8)

    script = Script(greeting=Reply(say=GREETING), turns=[Turn(Reply(say="Goodbye!"), calls=[ToolCall("listen", "{}")])])
    result = await story(caller, script=script, agent=RealtimeAgent(name="Desk", tools=[listen]))
    assert len(result.records.of("model.in", "input_audio_buffer.speech_started")) == 1


async def test_impossible_commands_of_a_call_raise_errors_in_words() -> None:
    errors = []

    @function_tool
    async def try_it(ctx: RunContextWrapper[Call]) -> str:
        """Try."""
        for attempt in (
            ctx.context.transfer("nobody"),
            ctx.context.send_digits("call me"),
            ctx.context.send_digits(""),
        ):
            try:
                await attempt
            except CallError as error:
                errors.append(str(error))
        return "done"

    await run(try_it)
    assert len(errors) == 3
    assert "no transfer target 'nobody'" in errors[0]


async def test_digits_are_refused_where_there_is_no_address_for_a_stream() -> None:
    def no_addresses(call: Call) -> None:
        call._parts.controls._addresses = None  # type: ignore[attr-defined]

    result = await run(send_digits(), on_start=no_addresses, arguments='{"digits": "12"}')
    ((_, ended),) = result.records.of("tool.end")
    assert "no address for a new stream" in ended["output"]
    assert result.exchange.streams == 1


async def test_a_goodbye_that_the_model_cannot_say_is_a_clip() -> None:
    @function_tool
    async def end(ctx: RunContextWrapper[Call]) -> str:
        """End it."""
        ctx.context._parts.conversation.live = False
        await ctx.context.hang_up(goodbye="bye")
        return ""

    result = await run(end)
    assert result.reason == "agent hung up"
    assert clips.farewell() in result.heard


async def test_a_goodbye_whose_response_fails_is_a_clip_too() -> None:
    result = await run(
        hang_up(goodbye="bye"), Turn(Reply(trouble=Trouble("fail", code="invalid_request_error")), text="bye")
    )
    assert result.reason == "agent hung up"
    assert clips.farewell() in result.heard
    result.assert_no_undecided_silence()
