"""Scripts of the embedded server: reading them, following them, and the errors of an invalid one."""

from __future__ import annotations

from pathlib import Path

import pytest

from realtime_core.errors import ScriptError
from realtime_core.local import (
    LocalRealtimeServer,
    Pause,
    Reply,
    Script,
    Trouble,
    Turn,
    builtin_script,
    load_script,
    parse_script,
)
from realtime_core.local.voice import Voice
from realtime_core.local.voice.make_voice import LINES
from tests.support.local_client import DATA, Client, human, session, silence

pytestmark = pytest.mark.virtual_time


def said(response: dict[str, object]) -> str:
    """Returns the text of a response."""
    output = response["output"]
    assert isinstance(output, list)
    text: str = output[0]["content"][0]["transcript"]
    return text


async def spoken(client: Client) -> None:
    await client.say(human() + silence(1))


async def test_the_demonstration_from_its_greeting_to_its_goodbye() -> None:
    async with session("trattoria") as client:
        client.update_input(transcription={"model": "gpt-4o-mini-transcribe"})
        client.respond()
        assert said(await client.answer(1)) == LINES["trattoria-greeting"]
        await spoken(client)
        call = (await client.answer(2))["output"][0]
        assert (call["name"], call["arguments"]) == ("book_table", '{"day": "Friday", "people": 2, "time": "19:00"}')
        client.result(call, "Booked.")
        client.respond()
        await client.wait("response.output_audio.delta", 60)
        await spoken(client)
        assert (await client.answer(3))["status_details"]["reason"] == "turn_detected"
        assert said(await client.answer(4)) == LINES["trattoria-hours"]
        client.write("The caller pressed 1.")
        client.respond()
        assert said(await client.answer(5)) == LINES["trattoria-again"]
        await spoken(client)
        assert said(await client.answer(6)) == LINES["trattoria-goodbye"]
        await spoken(client)
        assert said(await client.answer(7)) == "I have come to the end of my script."
        heard = [e["transcript"] for e in client.all("conversation.item.input_audio_transcription.completed")]
        assert heard == ["Hello. For two, Friday, at seven P.M.", "I'm sorry. Hours?", "Goodbye!", "[1.6 s of speech]"]
        assert not client.all("error")


def test_every_line_of_the_demonstration_has_stored_speech_and_one_is_long() -> None:
    script = builtin_script("trattoria")
    assert script.greeting is not None
    lines = {reply.say for reply in (script.greeting, *(turn.answer for turn in script.turns))}
    assert lines == set(LINES.values())
    speech = Voice().speech(LINES["trattoria-booked"])
    assert speech is not None and speech.duration_ms > 15_000


FULL = """
name = "Everything"
latency_s = 1
expires_after_s = 120.5

[greeting]
say = "Hello."
clip = "hello.wav"

[[turn]]
heard = "A table."
filler = "One moment."
tool = "book"
arguments = { day = "Friday", on = 2026-11-20, n = { deep = [1, 2] } }
say = "Booked: {result}"
pauses = [{ at_s = 1.0, pause_s = 0.5 }]
stall_s = 2
at_s = 1

[[turn]]
heard_fails = true
calls = [{ tool = "a" }, { tool = "b", arguments = { x = 1 } }]
fail = "server_error"
message = "No."

[[turn]]
text = "pressed 1"
close = 4000
say = "Never said."
at_s = 0.2

[[turn]]
empty = true

[otherwise]
say = "That is all."
text_only = true
incomplete = "content_filter"
"""


def test_a_script_is_read(tmp_path: Path) -> None:
    (tmp_path / "hello.wav").write_bytes((DATA / "im-sorry.wav").read_bytes())
    (tmp_path / "full.toml").write_text(FULL)
    script = load_script(tmp_path / "full.toml")
    assert (script.name, script.latency_s, script.expires_after_s) == ("Everything", 1.0, 120.5)
    assert script.greeting == Reply(say="Hello.", clip=str(tmp_path / "hello.wav"))
    first, second, third, fourth = script.turns
    assert first.heard == "A table." and first.filler == "One moment."
    assert first.calls[0].name == "book"
    assert first.calls[0].arguments == '{"day": "Friday", "on": "2026-11-20", "n": {"deep": [1, 2]}}'
    assert first.answer == Reply(
        say="Booked: {result}", pauses=(Pause(1.0, 0.5),), trouble=Trouble("stall", 1.0, stall_s=2.0)
    )
    assert second.heard_fails and [call.name for call in second.calls] == ["a", "b"]
    assert second.answer.trouble == Trouble("fail", None, code="server_error", message="No.")
    assert third.text == "pressed 1"
    assert third.answer.trouble == Trouble("close", 0.2, message="The script says so.", close_code=4000)
    assert fourth.answer == Reply()
    assert script.otherwise.text_only and script.otherwise.trouble is not None
    speech = Voice().speech("Hello.", script.greeting.clip)
    assert speech is not None and speech.duration_ms == pytest.approx(1022.25)


@pytest.mark.parametrize(
    ("text", "outcome"),
    [
        ("[[turn]\n", "test is not valid TOML: "),
        (
            "nmae = 'x'",
            "test, line 1: `nmae` is not a key of a script: use one of: expires_after_s, greeting, latency_s,",
        ),
        ("\n[greeting]\nsya = 'x'", "test, line 3: `greeting.sya` is not a key of a script: use one of: at_s, clip,"),
        ("[[turn]]\nsay = 'x'\n[[turn]]\nheard = 5\nsay = 'y'", "test, line 4: `turn[1].heard` is 5: write a string."),
        ("[[turn]]\nheard = 'x'", "`turn[0].say` is missing: write the text to say, or `empty = true`."),
        (
            "[[turn]]\nsay = 'x'\nfail = 'a'\nclose = 1000",
            "line 4: `turn[0].close` cannot be combined with `fail`: keep one",
        ),
        ("[[turn]]\nsay = 'x'\nclose = 1005", "line 3: `turn[0].close` is 1005, which an endpoint may not send"),
        ("[[turn]]\nsay = 'x'\nincomplete = 'tired'", "`turn[0].incomplete` is 'tired': use max_output_tokens or"),
        ("[[turn]]\nsay = 'x'\nat_s = 1", "`turn[0].at_s` gives the position of a fault, but there is no fault"),
        ("[[turn]]\nsay = 'x'\nempty = true", "`turn[0].empty` is an answer without content"),
        ("[[turn]]\nsay = 'x'\narguments = {}", "`turn[0].arguments` needs a `tool`"),
        ("[[turn]]\nsay = 'x'\ncalls = [{ arguments = {} }]", "`turn[0].calls[0].tool` is missing"),
        (
            "[[turn]]\nsay = 'x'\ntool = 't'\ncalls = [{ tool = 'u' }]",
            "`turn[0].tool` cannot be used together with `calls`",
        ),
        ("[[turn]]\nsay = 'x'\nfiller = 'y'", "`turn[0].filler` is said before a call, but the turn has no call"),
        ("[[turn]]\nsay = 'x'\ntext = 'y'\nheard = 'z'", "`turn[0].heard` is for spoken turns"),
        ("[[turn]]\nsay = 'x'\npauses = [{ at_s = 1 }]", "`turn[0].pauses[0]` needs both `at_s` and `pause_s`"),
        (
            "[[turn]]\nsay = 'x'\npauses = [{ at_s = -1, pause_s = 1 }]",
            "`turn[0].pauses[0].at_s` is -1: write a number",
        ),
        ("latency_s = true", "`latency_s` is True: write a number."),
        ("turn = 5", "`turn` is 5: write an array of tables."),
    ],
)
def test_a_script_that_does_not_hold_says_where_and_what_to_do(text: str, outcome: str) -> None:
    with pytest.raises(ScriptError) as caught:
        parse_script(text, name="test")
    assert outcome in str(caught.value)


def test_a_script_or_clip_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(ScriptError, match=r"The script .*nowhere\.toml cannot be read"):
        LocalRealtimeServer(tmp_path / "nowhere.toml")
    with pytest.raises(ScriptError, match=r"The clip 'nobody\.wav' cannot be read .* or one of: trattoria-greeting,"):
        LocalRealtimeServer(parse_script("[greeting]\nsay = 'x'\nclip = 'nobody.wav'", folder=tmp_path))
    (tmp_path / "text.wav").write_text("no sound")
    with pytest.raises(ScriptError, match=r"is not a WAV file"):
        LocalRealtimeServer(parse_script("[greeting]\nsay = 'x'\nclip = 'text.wav'", folder=tmp_path))


async def test_written_turns_are_matched_by_what_they_hold_and_as_often_as_it_comes() -> None:
    script = Script(turns=[Turn(Reply(say="Yes.")), Turn(Reply(say="One."), text="PRESSED 1"), Turn(Reply(say="No."))])
    async with session(script) as client:
        for n, (text, answer) in enumerate(
            [
                ("The caller pressed 1.", "One."),
                ("Hello", "Yes."),
                ("The caller pressed 1.", "One."),
                ("The caller pressed 2.", "I have come to the end of my script."),
                ("And now?", "No."),
                ("And now?", "I have come to the end of my script."),
            ],
            1,
        ):
            client.write(text)
            client.respond()
            assert said(await client.answer(n)) == answer
        client.respond(instructions="The caller has pressed 1: answer.")
        assert said(await client.answer(7)) == "One."


async def test_a_turn_that_was_interrupted_before_it_began_is_answered_again() -> None:
    script = Script(turns=[Turn(Reply(say="Yes."), heard="One."), Turn(Reply(say="No."), heard="Two.")], latency_s=1.5)
    async with session(script) as client:
        client.update_input(transcription={"model": "whisper-1"})
        await spoken(client)
        await spoken(client)
        assert (await client.answer(1))["output"] == []
        assert said(await client.answer(2)) == "Yes."
        heard = [e["transcript"] for e in client.all("conversation.item.input_audio_transcription.completed")]
        assert heard == ["One.", "One."]


async def test_a_greeting_is_given_once_and_only_when_nothing_else_was_said() -> None:
    script = Script(greeting=Reply(say="Hello this is"), turns=[Turn(Reply(say="Yes."))])
    async with session(script) as client:
        client.respond()
        client.respond()
        assert said(await client.answer(1)) == "Hello this is"
        client.respond()
        assert said(await client.answer(2)) == "I have come to the end of my script."
    async with session(script) as client:
        client.write("Hi")
        client.respond()
        assert said(await client.answer(1)) == "Yes."
