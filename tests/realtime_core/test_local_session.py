"""The embedded server's session object: the settings in effect, the valid updates, and the refusals."""

from __future__ import annotations

from typing import Any

import pytest

from realtime_core.local import Reply, Script
from tests.support.local_client import Event, session

pytestmark = pytest.mark.virtual_time

GREETING = Script(greeting=Reply(say="Every day, from noon until eleven."))


async def test_a_session_begins_with_its_defaults_and_its_end() -> None:
    async with session(query="?model=gpt-realtime-2.1") as client:
        created = client.events[0]
        assert created["type"] == "session.created"
        object = created["session"]
        assert (object["type"], object["object"], object["model"]) == (
            "realtime",
            "realtime.session",
            "gpt-realtime-2.1",
        )
        # Seeded sources count from 2026-01-01.
        assert object["expires_at"] == 1767225600 + 3600
        assert object["output_modalities"] == ["audio"]
        assert object["audio"]["input"]["format"] == {"type": "audio/pcm", "rate": 24000}
        assert object["audio"]["input"]["turn_detection"] == {
            "type": "server_vad",
            "threshold": 0.5,
            "prefix_padding_ms": 300,
            "silence_duration_ms": 500,
            "idle_timeout_ms": None,
            "create_response": True,
            "interrupt_response": True,
        }


async def test_an_update_changes_what_it_names_and_shows_all() -> None:
    async with session() as client:
        client.update(
            instructions="Short.",
            audio={
                "input": {"format": {"type": "audio/pcmu"}, "turn_detection": {"type": "server_vad", "threshold": 0.7}},
                "output": {"voice": "marin"},
            },
        )
        client.update(audio={"input": {"turn_detection": {"silence_duration_ms": 200}}})
        client.update(audio={"input": {"transcription": {"model": "whisper-1"}}})
        client.update(audio={"input": {"transcription": {"language": "en"}}})
        updated: Event = (await client.wait("session.updated", 4))["session"]
        assert updated["instructions"] == "Short."
        assert updated["audio"]["output"] == {
            "format": {"type": "audio/pcm", "rate": 24000},
            "voice": "marin",
            "speed": 1.0,
        }
        assert updated["audio"]["input"]["format"] == {"type": "audio/pcmu"}
        assert updated["audio"]["input"]["transcription"] == {"model": "whisper-1", "language": "en"}
        detection = updated["audio"]["input"]["turn_detection"]
        assert (detection["threshold"], detection["silence_duration_ms"], detection["prefix_padding_ms"]) == (
            0.7,
            200,
            300,
        )


async def test_turn_detection_changes_its_kind_and_is_turned_off_and_on() -> None:
    async with session() as client:
        client.update_input(turn_detection={"type": "semantic_vad", "eagerness": "high", "create_response": False})
        client.update_input(turn_detection=None)
        client.update_input(turn_detection={"type": "server_vad"})
        await client.wait("session.updated", 3)
        semantic, off, on = (u["session"]["audio"]["input"]["turn_detection"] for u in client.all("session.updated"))
        assert semantic == {
            "type": "semantic_vad",
            "eagerness": "high",
            "create_response": False,
            "interrupt_response": True,
        }
        assert off is None
        assert on["create_response"] is True


@pytest.mark.parametrize(
    ("change", "code", "param"),
    [
        ({"foo": 1}, "unknown_parameter", "session.foo"),
        ({"voice": "ash"}, "unknown_parameter", "session.voice"),
        ({"audio": {"input": {"turn_detection": {"type": "server_vad", "x": 1}}}}, "unknown_parameter",
         "session.audio.input.turn_detection.x"),
        ({"audio": {"input": {"turn_detection": {"type": "semantic_vad", "idle_timeout_ms": 6000}}}},
         "unknown_parameter", "session.audio.input.turn_detection.idle_timeout_ms"),
        ({"audio": {"input": {"turn_detection": {"type": "none"}}}}, "invalid_value",
         "session.audio.input.turn_detection.type"),
        ({"audio": {"input": {"turn_detection": {"idle_timeout_ms": 100}}}}, "integer_below_min_value",
         "session.audio.input.turn_detection.idle_timeout_ms"),
        ({"audio": {"input": {"turn_detection": {"threshold": 1.5}}}}, "decimal_above_max_value",
         "session.audio.input.turn_detection.threshold"),
        ({"audio": {"input": {"format": {"type": "audio/pcm", "rate": 16000}}}}, "invalid_value",
         "session.audio.input.format.rate"),
        ({"audio": {"output": {"format": {"type": "audio/pcm"}}}}, "missing_required_parameter",
         "session.audio.output.format.rate"),
        ({"audio": {"input": {"format": {}}}}, "missing_required_parameter", "session.audio.input.format.type"),
        ({"audio": {"output": {"voice": "fred"}}}, "invalid_value", "session.audio.output.voice"),
        ({"audio": {"output": {"speed": 2}}}, "decimal_above_max_value", "session.audio.output.speed"),
        ({"output_modalities": ["audio", "text"]}, "invalid_value", "session.output_modalities"),
        ({"instructions": 5}, "invalid_type", "session.instructions"),
        ({"max_output_tokens": 5000}, "integer_above_max_value", "session.max_output_tokens"),
        ({"tools": [{"type": "function", "name": "a b"}]}, "invalid_value", "session.tools[0].name"),
        ({"tools": [{"type": "function", "name": "a", "meta": 1}]}, "unknown_parameter", "session.tools[0].meta"),
        ({"tools": [{"type": "function", "name": "a", "description": "x" * 1025}]}, "string_above_max_length",
         "session.tools[0].description"),
        ({"tools": [{"type": "mcp"}]}, "missing_required_parameter", "session.tools[0].server_label"),
        ({"tool_choice": "sometimes"}, "invalid_type", "session.tool_choice"),
        ({"tool_choice": {"type": "function", "name": None}}, "invalid_type", "session.tool_choice.name"),
        ({"prompt": {"id": None}}, "invalid_type", "session.prompt.id"),
        ({"reasoning": {"effort": None}}, "invalid_type", "session.reasoning.effort"),
        ({"tracing": {"group_id": None}}, "invalid_type", "session.tracing.group_id"),
        ({"truncation": {"type": "retention_ratio", "retention_ratio": None}}, "invalid_type",
         "session.truncation.retention_ratio"),
        ({"audio": {"input": {"transcription": {"model": "x", "language": None}}}}, "invalid_type",
         "session.audio.input.transcription.language"),
        ({"audio": {"input": {"turn_detection": {"create_response": None}}}}, "invalid_type",
         "session.audio.input.turn_detection.create_response"),
        ({"type": "transcription"}, "invalid_parameter", ""),
        ({"model": "other"}, "cannot_update_model", "session.model"),
    ],
)  # fmt: skip
async def test_an_update_that_does_not_hold_changes_nothing(change: dict[str, Any], code: str, param: str) -> None:
    async with session(query="?model=gpt-realtime") as client:
        client.update(**{"instructions": "Changed.", **change})
        error = await client.error()
        assert (error["type"], error["code"], error["param"]) == ("invalid_request_error", code, param)
        assert error["event_id"] == "update"
        client.update()
        assert (await client.wait("session.updated"))["session"] == client.events[0]["session"]


async def test_the_type_of_the_session_is_required() -> None:
    async with session() as client:
        client.send("session.update", session={"instructions": "x"})
        assert (await client.error())["message"] == "Missing required parameter: 'session.type'."
        client.send("session.update")
        assert (await client.error(2))["param"] == "session"


async def test_the_first_update_names_the_model_where_the_url_does_not() -> None:
    async with session() as client:
        client.update(model="gpt-realtime-2.1")
        client.update(model="gpt-realtime-2.1")
        client.update(model="gpt-realtime")
        assert (await client.error())["code"] == "cannot_update_model"
        assert client.last("session.updated")["session"]["model"] == "gpt-realtime-2.1"


async def test_the_voice_is_fixed_once_there_was_audio() -> None:
    async with session(GREETING) as client:
        client.update(audio={"output": {"voice": "marin"}})
        client.respond()
        await client.wait("response.output_audio.delta")
        client.update(audio={"output": {"voice": "marin"}})
        client.update(audio={"output": {"voice": "ash"}})
        error = await client.error()
        assert error["code"] == "cannot_update_voice"
        assert error["message"] == "Cannot update a conversation's voice if assistant audio is present."
        assert len(client.all("session.updated")) == 2


async def test_the_speed_is_fixed_during_a_response() -> None:
    async with session(GREETING) as client:
        client.respond()
        client.update(audio={"output": {"speed": 1.2}})
        assert (await client.error())["code"] == "cannot_update_speed"
        await client.answer()
        client.update(audio={"output": {"speed": 1.2}})
        assert (await client.wait("session.updated"))["session"]["audio"]["output"]["speed"] == 1.2


async def test_tracing_is_fixed_once_it_is_on() -> None:
    async with session() as client:
        client.update(tracing="auto")
        client.update(tracing=None)
        assert (await client.error())["code"] == "cannot_update_tracing"


async def test_the_session_expires() -> None:
    async with session(Script(expires_after_s=90)) as client:
        close = await client.wait_closed(100)
        assert (close.code, close.by) == (1001, "peer")
        assert close.reason == "Your session hit the maximum duration of 1.5 minutes."
        assert client.last("error")["error"]["code"] == "session_expired"
        assert client.last("error")["at"] == pytest.approx(90)
