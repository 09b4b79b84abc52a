"""Requested and confirmed configuration, and the difference."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from realtime_core.errors import UserError
from realtime_core.openai_realtime.session_config import EffectiveSettings, ServerWait, SessionConfig
from realtime_core.openai_realtime.session_object import bytes_per_ms, wire_format
from realtime_core.openai_realtime.sip import accept_payload
from realtime_core.turn_policy import OurTurns, ServerTurns, TurnPolicy

PCM = {"type": "audio/pcm", "rate": 24000}
BOTH = {"create_response": True, "interrupt_response": True}


def session(settings: dict[str, Any], *, defaults: bool = False, policy: TurnPolicy | None = None) -> dict[str, Any]:
    config = SessionConfig(settings, turns=(policy or ServerTurns()).turn_detection, defaults=defaults)
    return update(config, "evt_1") or {}


def update(config: SessionConfig, event_id: str) -> dict[str, Any] | None:
    """The one `session.update` that is due, or None."""
    updates, _ = config.due(lambda: event_id, 0.0)
    assert len(updates) < 2
    return updates[0][1] if updates else None


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        ({"instructions": "A"}, {"instructions": "A"}),
        ({"modalities": ["text"]}, {"output_modalities": ["text"]}),
        ({"modalities": ["text"], "output_modalities": ["audio"]}, {"output_modalities": ["audio"]}),
        ({"voice": "ash", "speed": 1.2}, {"audio": {"output": {"voice": "ash", "speed": 1.2}}}),
        ({"voice": {"id": "voice_1"}}, {"audio": {"output": {"voice": {"id": "voice_1"}}}}),
        ({"voice": "ash", "audio": {"output": {"voice": "coral"}}}, {"audio": {"output": {"voice": "coral"}}}),
        ({"input_audio_format": "g711_ulaw"}, {"audio": {"input": {"format": {"type": "audio/pcmu"}}}}),
        (
            {"audio_format": "pcmu", "audio": {"output": {"format": PCM}}},
            {"audio": {"input": {"format": {"type": "audio/pcmu"}}, "output": {"format": PCM}}},
        ),
        ({"audio": {"input": None, "output": {"format": None}}}, {}),
        ({"turn_detection": None}, {"audio": {"input": {"turn_detection": None}}}),
        ({"input_audio_noise_reduction": None}, {"audio": {"input": {"noise_reduction": None}}}),
        ({"audio": {"input": {"transcription": None}}}, {"audio": {"input": {"transcription": None}}}),
        (
            {"turn_detection": {"type": "server_vad", "silenceDurationMs": 300, "prefixPaddingMs": 1}},
            {
                "audio": {
                    "input": {
                        "turn_detection": {
                            "type": "server_vad", "silence_duration_ms": 300, "prefix_padding_ms": 1, **BOTH,
                        }
                    }
                }
            },
        ),
        (
            {"turn_detection": {"eagerness": "low", "interrupt_response": False}},
            {
                "audio": {
                    "input": {
                        "turn_detection": {
                            "type": "semantic_vad", "eagerness": "low", "create_response": True,
                            "interrupt_response": False,
                        }
                    }
                }
            },
        ),
        ({"prompt": "pmpt_1"}, {"prompt": {"id": "pmpt_1"}}),
        ({"prompt": {"id": "pmpt_1", "version": "2"}}, {"prompt": {"id": "pmpt_1", "version": "2"}}),
        ({"tool_choice": "required"}, {"tool_choice": "required"}),
        ({"tool_choice": "book"}, {"tool_choice": {"type": "function", "name": "book"}}),
        ({"tracing": None}, {"tracing": None}),
        (
            {"max_output_tokens": 5, "parallel_tool_calls": False, "reasoning": {"effort": "low"}},
            {"max_output_tokens": 5, "parallel_tool_calls": False, "reasoning": {"effort": "low"}},
        ),
        (
            {"truncation": {"type": "retention_ratio", "retention_ratio": 0.8}, "include": ["x"]},
            {"truncation": {"type": "retention_ratio", "retention_ratio": 0.8}, "include": ["x"]},
        ),
        ({"instructions": None, "tool_choice": None, "speed": None, "model_name": "m"}, {}),
    ],
)  # fmt: skip
def test_settings_in_the_protocols_words(settings: dict[str, Any], expected: dict[str, Any]) -> None:
    assert session(settings) == ({"type": "realtime", **expected} if expected else {})


def test_tools_by_their_shape() -> None:
    tool = SimpleNamespace(name="book", description="Books.", params_json_schema={"type": "object"})
    handoff = SimpleNamespace(tool_name="transfer", tool_description="To B.", input_json_schema={})
    hosted = {"type": "mcp", "server_label": "x"}
    assert session({"tools": [tool, hosted], "handoffs": [handoff]})["tools"] == [
        {"type": "function", "name": "book", "description": "Books.", "parameters": {"type": "object"}},
        hosted,
        {"type": "function", "name": "transfer", "description": "To B.", "parameters": {}},
    ]
    with pytest.raises(UserError, match="not a tool"):
        session({"tools": [3]})


@pytest.mark.parametrize(
    ("given", "sent"),
    [
        ({"type": "audio/pcm"}, PCM),  # the server refuses PCM without a rate
        ({"type": "pcm16"}, PCM),
        ({"type": "audio/pcm", "rate": 16000}, {"type": "audio/pcm", "rate": 16000}),  # the server says what it takes
        ({"type": "audio/pcmu", "rate": 8000}, {"type": "audio/pcmu"}),
        ({"type": "g711_alaw"}, {"type": "audio/pcma"}),
        ({"type": "audio/new", "x": 1}, {"type": "audio/new", "x": 1}),
    ],
)
def test_a_format_object_becomes_one_that_the_server_takes(given: dict[str, Any], sent: dict[str, Any]) -> None:
    assert session({"audio": {"output": {"format": given}}})["audio"]["output"]["format"] == sent


@pytest.mark.parametrize(
    ("settings", "sent"),
    [
        ({"modalities": ["text", "audio"]}, ["audio"]),  # the beta's name for speech with its transcript
        ({"modalities": ["audio", "text"]}, ["audio"]),
        ({"modalities": ["text"]}, ["text"]),
        ({"modalities": ["text", "audio"], "output_modalities": ["text"]}, ["text"]),
        ({"output_modalities": ["audio", "text"]}, ["audio", "text"]),
    ],
)
def test_the_modalities_of_the_beta(settings: dict[str, Any], sent: list[str]) -> None:
    assert session(settings)["output_modalities"] == sent


def test_unknown_formats_are_refused_with_the_cure() -> None:
    with pytest.raises(UserError, match="g711_ulaw"):
        session({"input_audio_format": "opus"})
    assert wire_format({"type": "audio/new"}) == {"type": "audio/new"}
    assert (bytes_per_ms(PCM), bytes_per_ms(wire_format("pcmu")), bytes_per_ms(wire_format("g711_alaw"))) == (48, 8, 8)


def test_only_differences_are_sent() -> None:
    config = SessionConfig({"instructions": "A", "voice": "ash"}, turns=ServerTurns().turn_detection, defaults=False)
    assert update(config, "evt_1") is not None
    config.updated({})
    config.change({"instructions": "B", "voice": "ash"})
    assert update(config, "evt_2") == {"type": "realtime", "instructions": "B"}
    assert update(config, "evt_3") is None
    config.updated({})
    config.change({"instructions": "A"})
    assert update(config, "evt_4") == {"type": "realtime", "instructions": "A"}


def test_what_was_changed_by_other_means_outlives_the_agent() -> None:
    desk = {"instructions": "A", "prompt": "p_desk", "turn_detection": {"type": "server_vad"}, "tools": []}
    config = SessionConfig(desk, turns=ServerTurns().turn_detection)
    update(config, "evt_1")
    config.sent_by_user("evt_2", {"type": "realtime", "audio": {"input": {"turn_detection": None}}}, 0.0)
    config.updated({})
    config.updated({})
    config.change({**desk, "instructions": "B", "prompt": "p_billing"}, desk)
    assert (update(config, "evt_3") or {}) | {"audio": 0} == {
        "type": "realtime", "instructions": "B", "prompt": {"id": "p_billing"}, "audio": 0,
    }  # fmt: skip
    config.updated({})
    config.change({"instructions": "C"}, desk)
    assert (update(config, "evt_4") or {}) | {"audio": 0} == {
        "type": "realtime", "instructions": "C", "prompt": None, "audio": 0,
    }, "a prompt is its agent's"  # fmt: skip
    config.updated({})
    config.change(desk)
    requested = update(config, "evt_5") or {}
    assert requested["audio"]["input"]["turn_detection"] == {"type": "server_vad", **BOTH}, "asked for in so many words"


def test_a_change_of_the_rest_names_the_audio_formats_in_force() -> None:
    config = SessionConfig({"input_audio_format": "g711_ulaw", "output_audio_format": "g711_alaw"},
                           turns=ServerTurns().turn_detection)  # fmt: skip
    update(config, "evt_1")
    config.updated({})
    config.change({"instructions": "B"})
    assert update(config, "evt_2") == {
        "type": "realtime",
        "instructions": "B",
        "audio": {"input": {"format": {"type": "audio/pcmu"}}, "output": {"format": {"type": "audio/pcma"}}},
    }
    config.updated({})
    config.change({"input_audio_format": "pcm16"})
    config.change({"instructions": "C"})
    updates, _ = config.due(iter(("evt_3", "evt_4")).__next__, 0.0)
    assert updates[1][1]["audio"] == {"output": {"format": {"type": "audio/pcma"}}}, (
        "what is being changed is not asked for again"
    )


def test_the_voice_stays_once_it_was_heard_and_a_new_session_gets_the_same() -> None:
    config = SessionConfig({"voice": "ash"}, turns=ServerTurns().turn_detection)
    update(config, "evt_1")
    config.updated({})
    config.voice_frozen = True
    config.change({"voice": "coral", "instructions": "B"})
    assert "voice" not in (update(config, "evt_2") or {})["audio"]["output"]
    config.updated({})
    renewed = update(config.renewed(), "evt_3")
    assert renewed is not None and renewed["audio"]["output"]["voice"] == "ash" and renewed["instructions"] == "B"


def test_the_policy_has_the_last_word_on_turns() -> None:
    detection = session({"turn_detection": {"type": "server_vad", "create_response": True}}, policy=OurTurns())
    assert detection["audio"]["input"]["turn_detection"] == {
        "type": "server_vad", "create_response": False, "interrupt_response": False,
    }  # fmt: skip
    cases: list[tuple[TurnPolicy, dict[str, Any]]] = [(OurTurns(), {}), (ServerTurns(), {"turn_detection": None})]
    for policy, settings in cases:
        config = SessionConfig(settings, turns=policy.turn_detection)
        update(config, "evt_1")
        config.updated({})
        config.let_server_wait(ServerWait.TOOL, waits=True)
        assert update(config, "evt_2") is None, "the server does not answer anyway"


def test_the_server_waits_and_answers_again_as_the_settings_say() -> None:
    config = SessionConfig({"turn_detection": {"type": "server_vad"}}, turns=ServerTurns().turn_detection)
    update(config, "evt_1")
    config.updated({})

    def detection(event_id: str) -> Any:
        requested = update(config, event_id)
        config.updated({})
        return requested and requested["audio"]["input"]["turn_detection"]

    config.let_server_wait(ServerWait.TOOL, waits=True)
    assert detection("evt_2") == {"type": "server_vad", "create_response": False, "interrupt_response": True}
    config.change({"turn_detection": {"type": "server_vad", "threshold": 0.9}})
    assert detection("evt_3") == {"type": "server_vad", "threshold": 0.9, **BOTH}
    assert detection("evt_4")["create_response"] is False, "it waits under other settings, too"
    config.let_server_wait(ServerWait.TOOL, waits=False)
    assert detection("evt_5") == {"type": "server_vad", "threshold": 0.9, **BOTH}
    assert detection("evt_6") is None


@pytest.mark.parametrize(
    "settings",
    [
        {"turn_detection": {"type": "server_vad", "threshold": None, "idle_timeout_ms": None, "createResponse": None}},
        {"audio": {"input": {"transcription": {"model": "whisper-1", "language": None}}, "output": {"voice": None}}},
        {"input_audio_noise_reduction": {"type": "near_field", "strength": None}},
        {"output_audio_format": {"type": "audio/pcmu", "rate": None}},
        {"voice": {"id": "voice_1", "version": None}},
        {"prompt": {"id": "p", "version": None, "variables": {"name": None}}},
        {"reasoning": {"effort": None}, "truncation": {"type": "retention_ratio", "token_limits": None}},
        {"tracing": {"workflow_name": "x", "group_id": None}},
        {"tool_choice": {"type": "function", "name": "book", "server_label": None}},
    ],
)
def test_an_optional_setting_of_none_is_left_out_of_its_object(settings: dict[str, Any]) -> None:
    def nones(value: Any) -> bool:
        if isinstance(value, dict):
            return any(each is None or nones(each) for each in value.values())
        return False

    assert not nones(session(settings, defaults=True))


def test_none_within_a_tools_schema_is_the_tools() -> None:
    schema = {"type": "object", "properties": {"n": {"enum": [1, None], "default": None}}}
    tool = SimpleNamespace(name="book", description="Books.", params_json_schema=schema)
    assert session({"tools": [tool]})["tools"][0]["parameters"] == schema


def test_none_switches_an_idle_timeout_off() -> None:
    config = SessionConfig({"turn_detection": {"idle_timeout_ms": 6000}}, turns=ServerTurns().turn_detection)
    update(config, "evt_1")
    config.updated({})
    config.change({"turn_detection": {"idle_timeout_ms": None}})
    requested = update(config, "evt_2") or {}
    assert requested["audio"]["input"]["turn_detection"]["idle_timeout_ms"] is None


def test_a_server_that_describes_only_what_has_changed_keeps_the_formats() -> None:
    config = SessionConfig({"output_audio_format": "g711_ulaw"}, turns=ServerTurns().turn_detection)
    update(config, "evt_1")
    config.updated({"audio": {"output": {"format": {"type": "audio/pcmu"}}}})
    config.updated({"instructions": "B"})
    assert config.effective.output_format == {"type": "audio/pcmu"}


@pytest.mark.parametrize(
    ("session", "expected"),
    [
        ({}, (48, 48, False, False, True)),
        (
            {
                "audio": {
                    "input": {"turn_detection": {"type": "server_vad"}},
                    "output": {"format": {"type": "audio/pcmu"}},
                }
            },
            (48, 8, True, True, True),
        ),
        ({"audio": {"input": {"turn_detection": {"interrupt_response": False}}}}, (48, 48, True, False, True)),
        (
            {"input_audio_format": "g711_ulaw", "turn_detection": {"create_response": False}, "modalities": ["text"]},
            (8, 48, False, True, False),
        ),
        ({"audio": 3, "turn_detection": "x"}, (48, 48, False, False, True)),
    ],
)
def test_effective_settings_are_read_from_the_session_object(
    session: dict[str, Any], expected: tuple[Any, ...]
) -> None:
    effective = EffectiveSettings.of(session)
    assert (
        bytes_per_ms(effective.input_format),
        bytes_per_ms(effective.output_format),
        effective.create_response,
        effective.interrupt_response,
        effective.speaks,
    ) == expected


def test_a_sip_call_is_accepted_with_the_settings_and_without_formats() -> None:
    payload = accept_payload({"instructions": "A"})
    assert payload["model"] == "gpt-realtime-2.1" and payload["audio"]["output"] == {"voice": "ash"}
    assert "format" not in payload["audio"]["input"] and payload["type"] == "realtime"
