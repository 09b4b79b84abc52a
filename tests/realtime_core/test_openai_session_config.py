"""Desired and acknowledged configuration, and the difference."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from realtime_core.errors import UserError
from realtime_core.openai_realtime.session_config import Effective, SessionConfig, bytes_per_ms, wire_format
from realtime_core.openai_realtime.sip import accept_payload
from realtime_core.turns import OurTurns, ServerTurns, TurnPolicy

PCM = {"type": "audio/pcm", "rate": 24000}
BOTH = {"create_response": True, "interrupt_response": True}


def session(settings: dict[str, Any], *, defaults: bool = False, policy: TurnPolicy | None = None) -> dict[str, Any]:
    config = SessionConfig(settings, turns=(policy or ServerTurns()).turn_detection, defaults=defaults)
    return config.update("evt_1") or {}


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


def test_unknown_formats_are_refused_with_the_cure() -> None:
    with pytest.raises(UserError, match="g711_ulaw"):
        session({"input_audio_format": "opus"})
    assert wire_format({"type": "audio/new"}) == {"type": "audio/new"}
    assert (bytes_per_ms(PCM), bytes_per_ms(wire_format("pcmu")), bytes_per_ms(wire_format("g711_alaw"))) == (48, 8, 8)


def test_only_differences_are_sent() -> None:
    config = SessionConfig({"instructions": "A", "voice": "ash"}, turns=ServerTurns().turn_detection, defaults=False)
    assert config.update("evt_1") is not None
    config.change({"instructions": "B", "voice": "ash"})
    assert config.update("evt_2") == {"type": "realtime", "instructions": "B"}, "what is under way counts"
    assert config.update("evt_3") is None
    config.updated({})
    config.updated({})
    config.change({"instructions": "A"})
    assert config.update("evt_4") == {"type": "realtime", "instructions": "A"}


def test_what_was_changed_by_other_means_outlives_the_agent() -> None:
    desk = {"instructions": "A", "prompt": "p_desk", "turn_detection": {"type": "server_vad"}, "tools": []}
    config = SessionConfig(desk, turns=ServerTurns().turn_detection)
    config.update("evt_1")
    config.sent_by_hand("evt_2", {"type": "realtime", "audio": {"input": {"turn_detection": None}}})
    config.change({**desk, "instructions": "B", "prompt": "p_billing"}, desk)
    assert config.update("evt_3") == {"type": "realtime", "instructions": "B", "prompt": {"id": "p_billing"}}
    config.change({"instructions": "C"}, desk)
    assert config.update("evt_4") == {"type": "realtime", "instructions": "C", "prompt": None}, (
        "a prompt is its agent's"
    )
    config.change(desk)
    asked = config.update("evt_5") or {}
    assert asked["audio"]["input"]["turn_detection"] == {"type": "server_vad", **BOTH}, "asked for in so many words"


def test_what_was_refused_is_not_wished_for_again() -> None:
    config = SessionConfig({"instructions": "A"}, turns=ServerTurns().turn_detection, defaults=False)
    config.update("evt_1")
    config.updated({})
    config.change({"instructions": "B", "voice": "?"})
    config.update("evt_2")
    assert not config.refused("evt_1") and config.refused("evt_2") and not config.refused("evt_2")
    assert config.update("evt_3") is None


def test_the_voice_stays_once_it_was_heard_and_a_new_session_gets_the_same() -> None:
    config = SessionConfig({"voice": "ash"}, turns=ServerTurns().turn_detection)
    config.update("evt_1")
    config.updated({})
    config.voice_frozen = True
    config.change({"voice": "coral", "instructions": "B"})
    assert config.update("evt_2") == {"type": "realtime", "instructions": "B"}
    renewed = config.renewed().update("evt_3")
    assert renewed is not None and renewed["audio"]["output"]["voice"] == "ash" and renewed["instructions"] == "B"


def test_the_policy_has_the_last_word_on_turns() -> None:
    detection = session({"turn_detection": {"type": "server_vad", "create_response": True}}, policy=OurTurns())
    assert detection["audio"]["input"]["turn_detection"] == {
        "type": "server_vad", "create_response": False, "interrupt_response": False,
    }  # fmt: skip
    config = SessionConfig({}, turns=ServerTurns().turn_detection)
    assert config.let_server_respond(False) and not config.let_server_respond(False)
    assert not SessionConfig({}, turns=OurTurns().turn_detection).let_server_respond(False)
    assert not SessionConfig({"turn_detection": None}, turns=OurTurns().turn_detection).let_server_respond(False)


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
def test_what_is_in_effect(session: dict[str, Any], expected: tuple[Any, ...]) -> None:
    effective = Effective.of(session)
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


values = st.sampled_from(["A", "B", "C"])


@given(
    st.lists(
        st.tuples(
            st.sampled_from(["change", "taken", "refused"]),
            st.dictionaries(st.sampled_from(["instructions", "voice", "tool_choice"]), values),
        ),
        max_size=25,
    )
)
def test_server_and_client_agree_in_the_end(steps: list[tuple[str, dict[str, str]]]) -> None:
    """A server that applies or refuses each update has in the end what the client last wished for and was granted."""
    config = SessionConfig({"instructions": "A"}, turns=ServerTurns().turn_detection, defaults=False)
    under_way: list[tuple[str, dict[str, Any]]] = []
    server: dict[str, Any] = {}
    number = 0

    def merge(update: dict[str, Any]) -> None:
        voice = update.get("audio", {}).get("output", {}).get("voice")
        server.update({key: value for key, value in update.items() if key in ("instructions", "tool_choice")})
        server.update({"voice": voice} if voice else {})

    def answer(refuse: bool) -> None:
        event_id, update = under_way.pop(0)
        if refuse:
            assert config.refused(event_id)
        else:
            merge(update)
            config.updated({})

    for kind, settings in (*steps, ("change", {"instructions": "C", "voice": "B"})):
        if kind == "change":
            config.change(settings)
            number += 1
            update = config.update(f"evt_{number}")
            if update is not None:
                under_way.append((f"evt_{number}", update))
        elif under_way:
            answer(kind == "refused")
    while under_way:
        answer(False)
    assert (server["instructions"], server["voice"]) == ("C", "B")
