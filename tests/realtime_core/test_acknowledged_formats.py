"""A server that uses another audio format than the requested format is refused, because its audio would be noise."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from realtime_core.errors import ServerRejected
from realtime_core.openai_realtime.session_config import SessionConfig
from realtime_core.turn_policy import ServerTurns
from tests.support.realtime_peer import Peer, Talk, settle

pytestmark = pytest.mark.virtual_time

PCM, PCMU, PCMA = {"type": "audio/pcm", "rate": 24000}, {"type": "audio/pcmu"}, {"type": "audio/pcma"}


class StubbornPeer(Peer):
    """A server that reports `session` whatever the client requests."""

    def __init__(self, session: dict[str, Any]) -> None:
        super().__init__()
        self.session = session

    def accept(self, event: dict[str, Any]) -> None:
        if event["type"] == "session.update":
            self.emit("session.updated", session={**event["session"], **self.session})


@pytest.mark.parametrize(
    ("session", "param"),
    [
        ({"audio": {"input": {"format": PCM}, "output": {"format": PCMU}}}, "session.audio.output.format"),
        ({"audio": {"input": {"format": PCMA}, "output": {"format": PCM}}}, "session.audio.input.format"),
        ({"audio": {"output": {"format": {"type": "audio/pcm", "rate": 8000}}}}, "session.audio.output.format"),
        ({"audio": None, "output_audio_format": "g711_ulaw"}, "session.audio.output.format"),
        ({"audio": None, "input_audio_format": "G711_ULAW"}, "session.audio.input.format"),
    ],
)
async def test_connect_names_the_format_that_differs(session: dict[str, Any], param: str) -> None:
    peer = StubbornPeer(session)
    talk = Talk(peer)
    with pytest.raises(ServerRejected, match="the audio would be noise") as raised:
        await talk.model.connect(talk.options)
    assert raised.value.param == param
    assert peer.opened == 1, "another attempt would get the same format"


@pytest.mark.parametrize(
    "session",
    [
        {},
        {"audio": None},
        {"audio": {"input": {"format": None}, "output": {"format": {"type": "audio/pcm"}}}},
        {"audio": None, "input_audio_format": "pcm16", "output_audio_format": "PCM16"},
        {"audio": {"output": {"format": {"type": "pcm24"}}}},
        {"audio": {"output": {"format": 3}}},
    ],
    ids=str,
)
async def test_a_server_that_reports_no_other_known_format_is_accepted(session: dict[str, Any]) -> None:
    async with Talk(StubbornPeer(session)):
        pass


def statuses(talk: Talk) -> list[str]:
    return [event.status for event in talk.heard.of("connection_status")]


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(60):
        while not condition():
            await settle(0.05)


@pytest.mark.parametrize("side", ["input", "output"])
async def test_a_format_that_the_server_changes_later_replaces_the_connection(side: str) -> None:
    async with Talk(Peer()) as talk:
        talk.peer.emit("session.updated", session={"audio": {side: {"format": PCMU}}})
        talk.peer.respond()
        talk.peer.audio(100)  # noise
        await until(lambda: talk.peer.opened == 2 and "connected" in statuses(talk))
        (error,) = talk.heard.of("error")
        assert error.error.param == f"session.audio.{side}.format"
        assert not talk.heard.of("audio"), "nobody hears the noise"
        talk.peer.respond("resp_2")
        talk.peer.audio(100, response_id="resp_2")
        await until(lambda: bool(talk.heard.of("audio")))


async def test_an_update_of_other_settings_keeps_the_connection() -> None:
    async with Talk(Peer()) as talk:
        for session in ({"instructions": "B"}, {"audio": {"output": {"voice": "marin"}}}, {"audio": None}):
            talk.peer.emit("session.updated", session=session)
        talk.peer.respond()
        talk.peer.audio(100)
        await until(lambda: bool(talk.heard.of("audio")))
        assert talk.peer.opened == 1 and not talk.heard.of("error")


async def test_a_server_that_changes_the_format_again_and_again_ends_the_conversation() -> None:
    peer = Peer()
    async with Talk(peer) as talk:
        peer.on_client = lambda event: peer.emit("session.updated", session={"audio": {"output": {"format": PCMU}}})
        peer.emit("session.updated", session={"audio": {"output": {"format": PCMU}}})
        await until(lambda: "disconnected" in statuses(talk))
        assert peer.opened == 2


async def test_a_requested_format_is_no_surprise() -> None:
    async with Talk(Peer(), options={"initial_model_settings": {"audio_format": "g711_ulaw"}}) as talk:
        assert talk.model.effective is not None and talk.model.effective.output_format == PCMU


async def test_a_sip_call_keeps_the_formats_of_the_call() -> None:
    peer = StubbornPeer({"audio": {"input": {"format": PCMU}, "output": {"format": PCMU}}})
    async with Talk(peer, options={"call_id": "rtc_1"}):
        pass


def test_a_format_that_the_server_does_not_report_is_the_requested_format() -> None:
    config = SessionConfig({"audio_format": "g711_ulaw"}, turns=ServerTurns().turn_detection)
    config.due(lambda: "evt_1", 0.0)
    config.updated({"instructions": "B"})
    assert (config.effective.input_format, config.effective.output_format) == (PCMU, PCMU)
