"""A call sounds right whatever audio format the settings of the model name."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from realtime_core import RealtimeModelConfig
from realtime_core.local import Reply, Script, Turn
from telephony import Call
from telephony.call.clips import apology
from telephony.call.model_formats import without_formats
from tests.support.exchange import CallerPhone, hear_out, story
from tests.support.realtime_peer import Peer

PCMU: Any = {"type": "audio/pcmu"}
FLAT: Any = {"input_audio_format": "g711_ulaw", "output_audio_format": "g711_ulaw"}
SETTINGS: dict[str, Any] = {
    "flat": FLAT,
    "input only": {"input_audio_format": "g711_ulaw"},
    "output only": {"output_audio_format": PCMU},
    "both in one": {"audio_format": "g711_ulaw"},
    "nested": {"audio": {"input": {"format": PCMU}, "output": {"format": PCMU, "voice": "marin"}}},
}
SCRIPT = Script(greeting=Reply(say="Hello. How can I help you?"), turns=[Turn(Reply(say="Yes, we are open."))] * 2)


async def caller(phone: CallerPhone) -> None:
    await hear_out(phone)
    await phone.say("sorry_hours")
    await hear_out(phone)


@pytest.mark.virtual_time
@pytest.mark.parametrize("settings", SETTINGS.values(), ids=SETTINGS)
@pytest.mark.parametrize("place", ["model_config", "call_model_config", "run_config"])
async def test_the_speech_of_both_sides_is_whole(settings: Any, place: str, caplog: pytest.LogCaptureFixture) -> None:
    initial: Any = {"initial_model_settings": settings}
    options: dict[str, Any] = {
        "model_config": initial,
        "call_model_config": lambda call: initial,
        "run_config": {"model_settings": settings},
    }
    result = await story(caller, script=SCRIPT, **{place: options[place]})
    assert result.heard_whole(0) and result.heard_whole(1)
    assert [record for record in caplog.records if "ignored, because a call converts the audio" in record.message]


@pytest.mark.virtual_time
@pytest.mark.parametrize("settings", [None, {"audio": None}, {"audio": {"input": None, "output": None}}])
@pytest.mark.parametrize("place", ["initial_model_settings", "model_settings"])
async def test_settings_that_are_none_do_not_end_the_call(settings: Any, place: str) -> None:
    options: dict[str, Any] = {"run_config" if place == "model_settings" else "model_config": {place: settings}}
    result = await story(caller, script=SCRIPT, **options)
    assert result.heard_whole(0) and result.heard_whole(1)


@pytest.mark.virtual_time
async def test_a_change_of_the_settings_in_a_call_keeps_the_format(caplog: pytest.LogCaptureFixture) -> None:
    calls: list[Call] = []

    async def changes(phone: CallerPhone) -> None:
        await hear_out(phone)
        await calls[0].session.update_settings(FLAT)
        await asyncio.sleep(1)
        await phone.say("sorry_hours")
        await hear_out(phone)

    result = await story(changes, script=SCRIPT, on_start=calls.append)
    assert result.heard_whole(0) and result.heard_whole(1)
    assert "input_audio_format, output_audio_format" in caplog.text


@pytest.mark.parametrize("pcm", ["pcm16", {"type": "audio/pcm", "rate": 24000}, {"type": "audio/pcm"}, None])
def test_the_format_of_a_call_needs_no_warning(pcm: Any, caplog: pytest.LogCaptureFixture) -> None:
    kept = without_formats({"input_audio_format": pcm, "audio": {"output": {"format": pcm}}, "voice": "marin"})
    assert kept == {"audio": {"output": {}}, "voice": "marin"}
    assert not caplog.records


@pytest.mark.parametrize("other", ["g711_alaw", PCMU, {"type": "audio/pcm", "rate": 8000}])
def test_other_formats_are_named_and_the_given_settings_are_kept(other: Any, caplog: pytest.LogCaptureFixture) -> None:
    given: Any = {"audio": {"input": {"format": other, "turn_detection": None}}, "output_audio_format": other}
    assert without_formats(given) == {"audio": {"input": {"turn_detection": None}}}
    assert "The settings output_audio_format, audio.input.format are ignored" in caplog.text
    assert given["audio"]["input"]["format"] == other


@pytest.mark.virtual_time
async def test_a_server_that_chooses_mu_law_by_itself_ends_in_an_apology_and_one_message(
    caplog: pytest.LogCaptureFixture,
) -> None:
    class MuLawServer(Peer):
        def accept(self, event: dict[str, Any]) -> None:
            if event["type"] == "session.update":
                self.emit("session.updated", session={**event["session"], "audio": {"output": {"format": PCMU}}})

    async def waits(phone: CallerPhone) -> None:
        await asyncio.Event().wait()

    config = RealtimeModelConfig(transport=MuLawServer().transport)
    result = await story(waits, model_config=config, may_be_silent=True)
    assert apology() in result.heard
    assert caplog.text.count("the audio would be noise") == 1
