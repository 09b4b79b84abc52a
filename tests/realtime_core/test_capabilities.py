"""The session asks a model for its capabilities."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest

from realtime_core.agent import RealtimeAgent
from realtime_core.capabilities import ModelCapabilities
from realtime_core.model import RealtimeModelConfig
from realtime_core.model_events import RealtimeModelAudioDoneEvent, RealtimeModelAudioInterruptedEvent
from realtime_core.model_inputs import RealtimeModelSendSessionUpdate
from realtime_core.playback import HeardItem
from realtime_core.testing import ScriptedRealtimeModel
from tests.support.session_kit import audio, opened, started

pytestmark = pytest.mark.virtual_time


class Calls:
    """A player that keeps its calls."""

    def __init__(self) -> None:
        self.calls: list[tuple[Any, ...]] = []

    def play(self, item_id: str, content_index: int, audio: bytes) -> None:
        self.calls.append(("play", item_id, content_index, len(audio)))

    def end(self, item_id: str, content_index: int) -> None:
        self.calls.append(("end", item_id, content_index))

    def stop(self) -> Sequence[HeardItem]:
        self.calls.append(("stop",))
        return ()

    def hold(self) -> None:
        self.calls.append(("hold",))

    def duck(self, by_db: float) -> None:
        self.calls.append(("duck",))

    def release(self) -> None:
        self.calls.append(("release",))

    def heard(self) -> Sequence[HeardItem]:
        return ()


def a_model(**capabilities: bool) -> ScriptedRealtimeModel:
    model = ScriptedRealtimeModel(strict=False)
    model.capabilities = ModelCapabilities(**capabilities)
    return model


@pytest.mark.parametrize("key", ["player", "playback_tracker"])
async def test_the_session_plays_for_a_model_that_does_not(key: str) -> None:
    player = Calls()
    options: RealtimeModelConfig = {key: player}  # type: ignore[misc]
    async with opened(model=a_model(), model_config=options) as kit:
        kit.emit(started(), audio(20), RealtimeModelAudioDoneEvent("item_a", 0))
        kit.emit(audio(20, item_id="item_b"), RealtimeModelAudioInterruptedEvent("item_b", 0, audio_end_ms=10))
    assert player.calls == [("play", "item_a", 0, 960), ("end", "item_a", 0), ("play", "item_b", 0, 960), ("stop",)]


async def test_a_model_that_plays_gets_no_help() -> None:
    player = Calls()
    async with opened(model=a_model(drives_player=True), model_config={"player": player}) as kit:
        kit.emit(started(), audio(20), RealtimeModelAudioDoneEvent("item_a", 0))
        kit.emit(RealtimeModelAudioInterruptedEvent("item_a", 0, audio_end_ms=10))
    assert player.calls == []


async def test_the_player_of_either_name_reaches_the_model_and_the_new_name_comes_first() -> None:
    player, tracker = Calls(), Calls()
    async with opened(model=a_model(), model_config={"player": player, "playback_tracker": tracker}) as kit:
        kit.emit(started(), audio(20))
        (call,) = kit.model.connect_calls
        assert call["player"] is player
    assert player.calls and not tracker.calls


@pytest.mark.parametrize(("changes_voice", "voice"), [(False, "ash"), (True, "coral")])
async def test_a_later_agent_has_its_own_voice_where_the_model_can_change_it(changes_voice: bool, voice: str) -> None:
    agents = RealtimeAgent(name="A", voice="ash"), RealtimeAgent(name="B", voice="coral")
    async with opened(agents[0], model=a_model(changes_voice=changes_voice)) as kit:
        kit.emit(started(), audio(20))
        await kit.session.update_agent(agents[1])
        (update,) = [event for event in kit.sent if isinstance(event, RealtimeModelSendSessionUpdate)]
        assert update.session_settings["voice"] == voice
