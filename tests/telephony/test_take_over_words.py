"""The words of a take-over reach the model, the journal, the console and the replay, and never delay the call."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from realtime_core import RealtimeAgent
from realtime_core.audio import g711
from realtime_core.connection import Connection
from realtime_core.errors import ConnectFailed
from realtime_core.local import LocalRealtimeServer, Reply, Script, Turn
from realtime_core.local.reply import Heard
from realtime_core.openai_realtime import OpenAIRealtimeWebSocketModel
from telephony.call.call import Call
from telephony.call.hand_back import Dialogue, note_of
from telephony.call.line.speech_turns import Piece, SpeechTurns
from telephony.console.live_call import LiveCall
from telephony.console.prepare import timeline_of
from telephony.journal.reader import read_journal
from telephony.journal.transcript import to_text
from telephony.replay.call import HeardCall
from telephony.simulator import Handset
from telephony.web.call_outcomes import TranscriptionUsage
from tests.support.take_overs import LONG, out, records, replayed, run, speak, voice

FRAME = 160
SCRIPT = Script(
    greeting=Reply(say=LONG),
    turns=[Turn(Reply(say="Yes."), heard="And when does the money arrive?")],
    otherwise=Reply(say="Yes, I know what was settled."),
    transcribed=[Heard("I have approved your refund."), Heard("It arrives on Monday.")],
)


# --- turns of a voice ------------------------------------------------------------------------------------------------


def pieces(ulaw: bytes) -> Iterator[Piece]:
    turns = SpeechTurns()
    for at in range(0, len(ulaw), FRAME):
        if (piece := turns.push(ulaw[at : at + FRAME])) is not None:
            yield piece


def test_a_pause_divides_a_voice_and_silence_is_left_out() -> None:
    quiet = g711.SILENCE * 40_000
    found = list(pieces(quiet + voice() + quiet + voice() + quiet))
    assert [piece.begins for piece in found].count(True) == [piece.ends for piece in found].count(True) == 2
    assert found[0].begins and found[-1].ends
    assert len(found[0].ulaw) > 2000, "a turn has what was said just before it was detected"
    seconds = sum(len(piece.ulaw) for piece in found) / 8000
    assert 2.0 < seconds < 4.5, "15 s of silence are left out"
    assert not list(pieces(quiet))


def test_long_speech_is_divided() -> None:
    speech = voice()[:6500]
    found = list(pieces(speech * 60))
    ends = [n for n, piece in enumerate(found) if piece.ends]
    assert len(ends) >= 2 and max(b - a for a, b in zip([0, *ends], ends, strict=False)) <= 1000


def test_a_turn_can_be_cut() -> None:
    turns = SpeechTurns()
    assert not turns.cut()
    assert any(turns.push(voice()[at : at + FRAME]) for at in range(0, 6400, FRAME))
    assert turns.cut() and not turns.cut()


# --- the note --------------------------------------------------------------------------------------------------------


def test_the_note_has_the_words_in_the_order_in_which_they_began() -> None:
    dialogue = Dialogue()
    dialogue.caller_said("before", "Left out: it began before the take-over.")
    dialogue.caller_began("a", 2.0)
    dialogue.caller_began("b", 4.0)
    dialogue.supervisor_said(3.0, " It is\napproved. ")
    dialogue.caller_said("a", "Is it approved?")
    dialogue.supervisor_said(1.0, "Hello.")
    dialogue.supervisor_said(5.0, "")
    lines = dialogue.lines()
    assert lines == [
        ["supervisor", "Hello."], ["caller", "Is it approved?"], ["supervisor", "It is approved."], ["caller", ""],
        ["supervisor", ""],
    ]  # fmt: skip
    note = note_of(lines, "Booked at  eight.")
    order = ["Member of staff: “Hello.”", "Caller: “Is it approved?”", "Member of staff: “It is approved.”",
             "Caller: (you heard it)", "Member of staff: (not understood)", "adds: “Booked at eight.”"]  # fmt: skip
    assert sorted(order, key=note.index) == order


def test_words_of_a_secret_part_are_left_out() -> None:
    dialogue = Dialogue()
    dialogue.supervisor_said(1.0, "Hello.")
    dialogue.caller_began("secret", 2.0)
    dialogue.caller_said("secret", "My card is 4242.")
    assert dialogue.lines("secret".__eq__) == [["supervisor", "Hello."]]


def test_a_long_dialogue_keeps_its_end() -> None:
    dialogue = Dialogue()
    for n in range(300):
        dialogue.supervisor_said(float(n), f"{n} " + "word " * 40)
    lines = dialogue.lines()
    assert lines[-1][1].startswith("299 ") and sum(len(text) for _, text in lines) <= 8000 and len(lines) > 30


@pytest.mark.parametrize("said", ["", "The table is booked."])
def test_without_words_the_note_has_what_was_typed(said: str) -> None:
    dialogue = Dialogue()
    dialogue.caller_began("a", 1.0)
    dialogue.caller_said("a", "Hello?")
    dialogue.supervisor_said(2.0, "")
    assert dialogue.lines() == []
    note = note_of([], said)
    assert (f"The member of staff said: “{said}”." in note) is bool(said) and "in order" not in note


# --- a call ----------------------------------------------------------------------------------------------------------


async def spoken(phone: Handset, call: Call) -> None:
    """The supervisor speaks, the caller asks, the supervisor answers and hands back at once after the last word."""
    await phone.heard(1.0)
    await call.supervision.take_over()
    await speak(call, voice())
    await phone.say("sorry_hours")
    await asyncio.sleep(1.5)
    await speak(call, voice()[:8000])
    await call.supervision.hand_back("Reference 77.")
    await phone.agent_speaks()
    await phone.agent_silent(1.0)


def note_in(found: list[dict[str, Any]]) -> str:
    text: str = out(found, "conversation.item.create")[-1]["message"]["item"]["content"][0]["text"]
    return text


def journal_of(folder: Path) -> HeardCall:
    (journal,) = folder.glob("*/journal.jsonl")
    return HeardCall(lambda: read_journal(journal))


def test_the_model_knows_what_was_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    used: list[Any] = []
    monkeypatch.setattr(TranscriptionUsage, "add", lambda self, usage: used.append(usage))
    shown: list[LiveCall] = []
    begin = LiveCall.begin

    def begins(state: LiveCall, now: float) -> None:
        shown.append(state)
        begin(state, now)

    monkeypatch.setattr(LiveCall, "begin", begins)
    history: list[Any] = []

    async def story(phone: Handset, call: Call) -> None:
        await spoken(phone, call)
        history.extend(call.session.history)

    run(tmp_path, story, script=SCRIPT)
    found = records(tmp_path)
    note = note_in(found)
    order = ["Member of staff: “I have approved your refund.”", "Caller: “And when does the money arrive?”",
             "Member of staff: “It arrives on Monday.”", "adds: “Reference 77.”"]  # fmt: skip
    assert sorted(order, key=note.index) == order
    (told,) = [item for item in history if item.type == "message" and item.role == "system"]
    assert told.content[0].text == note, "the model's context has it"
    turns = [(turn.speaker, turn.said) for turn in journal_of(tmp_path).turns]
    assert turns[1:4] == [
        ("supervisor", "I have approved your refund."), ("caller", "And when does the money arrive?"),
        ("supervisor", "It arrives on Monday."),
    ]  # fmt: skip
    text = to_text(journal_of(tmp_path).events)
    assert "Supervisor  It arrives on Monday." in text and "dialogue" not in text
    entries = [each for each in timeline_of(journal_of(tmp_path))["entries"] if each.get("speaker") == "supervisor"]
    live = [each for each in shown[0].since(0) if each.get("speaker") == "supervisor"]
    for page in (entries, live):
        assert [each["said"] for each in page] == ["I have approved your refund.", "It arrives on Monday."]
    assert sum(usage["seconds"] for usage in used if usage) > 2.0 and len(used) == 3, "each transcript is paid"


@pytest.mark.parametrize("seed", range(2))
def test_a_replay_repeats_the_words_without_a_transcription(tmp_path: Path, seed: int) -> None:
    run(tmp_path, spoken, script=SCRIPT, seed=seed)
    again = replayed(tmp_path)
    assert again.divergence is None, again.divergence
    assert again.audio.mismatches == 0
    assert [turn.said for turn in again.turns if turn.speaker == "supervisor"] == [
        "I have approved your refund.", "It arrives on Monday.",
    ]  # fmt: skip


def test_the_noise_of_a_silent_supervisor_is_not_transcribed(tmp_path: Path) -> None:
    hiss = np.random.default_rng(1).normal(0, 40, 16_000)

    async def story(phone: Handset, call: Call) -> None:
        await phone.heard(1.0)
        await call.supervision.take_over()
        await speak(call, g711.encode(hiss.astype("<i2").tobytes()))
        await call.supervision.hand_back()
        await phone.agent_speaks()

    run(tmp_path, story, script=SCRIPT)
    assert not [each for each in records(tmp_path) if each["kind"] == "supervisor.words"]
    assert "in order" not in note_in(records(tmp_path))
    assert "supervisor" not in [turn.speaker for turn in journal_of(tmp_path).turns]


def test_words_that_must_not_be_recorded_are_not_transcribed(tmp_path: Path) -> None:
    async def story(phone: Handset, call: Call) -> None:
        await phone.heard(1.0)
        await call.supervision.take_over()
        async with call.secret():
            await speak(call, voice())
        await speak(call, voice())
        await call.supervision.hand_back()
        await phone.agent_speaks()

    run(tmp_path, story, script=SCRIPT)
    words = [each["text"] for each in records(tmp_path) if each["kind"] == "supervisor.words"]
    assert words == ["I have approved your refund."], "only the second turn reached the transcription"


# --- failures --------------------------------------------------------------------------------------------------------


class BadServer:
    """The transcription sessions of a server that does not do what it should."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, kind: str) -> None:
        self.kind = kind
        self.open: set[Connection] = set()
        self.asked = 0
        serve, connect = LocalRealtimeServer.serve_connection, LocalRealtimeServer._connect

        async def refuses(server: LocalRealtimeServer, url: str, headers: Any) -> Connection:
            if kind == "refused" and "intent=transcription" in url:
                self.asked += 1
                raise ConnectFailed("The server answered with status 403.")
            return await connect(server, url, headers)

        async def serves(
            server: LocalRealtimeServer, connection: Connection, *, model: str | None = None, transcribes: bool = False
        ) -> None:
            if not transcribes:
                return await serve(server, connection, model=model)
            self.asked += 1
            self.open.add(connection)
            try:
                await connection.run(lambda message: self._on_message(connection, json.loads(message)))
            finally:
                self.open.discard(connection)
            return None

        monkeypatch.setattr(LocalRealtimeServer, "_connect", refuses)
        monkeypatch.setattr(LocalRealtimeServer, "serve_connection", serves)
        self._say_hello = kind != "silent"
        begin = serves

        async def greets(server: LocalRealtimeServer, connection: Connection, **wanted: Any) -> None:
            if wanted.get("transcribes") and self._say_hello:
                connection.send('{"type":"session.created","event_id":"e1","session":{}}')
            await begin(server, connection, **wanted)

        monkeypatch.setattr(LocalRealtimeServer, "serve_connection", greets)

    def _on_message(self, connection: Connection, event: dict[str, Any]) -> None:
        if event["type"] == "session.update":
            answer: dict[str, Any] = {"type": "session.updated", "event_id": "e2", "session": {}}
            if self.kind == "rejects":
                error = {"type": "invalid_request_error", "code": "invalid_model", "message": "No such model."}
                answer = {"type": "error", "event_id": "e2", "error": error}
            if self.kind != "silent":
                connection.send(json.dumps(answer))
        elif event["type"] == "input_audio_buffer.commit":
            connection.send('{"type":"input_audio_buffer.committed","event_id":"e3","item_id":"i"}')
            if self.kind == "dies":
                connection.close(1011, "broken")
            if self.kind == "fails":
                connection.send(
                    '{"type":"conversation.item.input_audio_transcription.failed","event_id":"e4","item_id":"i",'
                    '"content_index":0,"error":{"message":"no words"}}'
                )


@pytest.mark.parametrize("kind", ["refused", "rejects", "silent", "slow", "dies", "fails"])
def test_a_transcription_that_does_not_work_leaves_the_typed_text(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    server = BadServer(monkeypatch, kind)
    took: list[float] = []
    available: list[bool] = []

    async def story(phone: Handset, call: Call) -> None:
        loop = asyncio.get_running_loop()
        await phone.heard(1.0)
        await call.supervision.take_over()
        await speak(call, voice())
        await speak(call, voice())
        available.append(call.supervision.transcribes)
        began = loop.time()
        await call.supervision.hand_back("The table is booked.")
        took.append(loop.time() - began)
        await phone.agent_speaks()
        await phone.agent_silent(1.0)

    run(tmp_path, story, script=SCRIPT)
    assert server.asked == 1 and not server.open
    assert available == [kind in ("silent", "slow", "fails")], "the page can say that words must be typed"
    assert took[0] < (2.0 if kind in ("silent", "slow") else 0.5)
    found = records(tmp_path)
    assert "The member of staff said: “The table is booked.”" in note_in(found)
    assert not [each for each in found if each["kind"] == "supervisor.words"]
    assert replayed(tmp_path).divergence is None


class Deaf(OpenAIRealtimeWebSocketModel):
    """A model that offers no transcription session."""

    capabilities = OpenAIRealtimeWebSocketModel.capabilities.__class__(
        drives_player=True, confirms_settings=True, truncates=True, cancels=True, decides_turns=True,
        pauses_responses=True,
    )  # fmt: skip


class Broken(OpenAIRealtimeWebSocketModel):
    """A model of an application whose transcription session fails in its own way."""

    async def transcription_session(self, on_delta: Any = None) -> Any:
        raise LookupError("the application's own")


class Fragile:
    """A transcription session of an application that fails in each method."""

    is_open = True

    def append(self, audio: bytes) -> None:
        raise LookupError("the application's own")

    def commit(self) -> asyncio.Future[Any]:
        raise LookupError("the application's own")

    async def close(self) -> None:
        raise LookupError("the application's own")


class Empty(Fragile):
    """A transcription session of an application that returns no futures."""

    def append(self, audio: bytes) -> None:
        pass

    def commit(self) -> Any:
        return None

    async def close(self) -> None:
        pass


class NoFutures(OpenAIRealtimeWebSocketModel):
    async def transcription_session(self, on_delta: Any = None) -> Any:
        return Empty()


class BrokenLater(OpenAIRealtimeWebSocketModel):
    """A model whose transcription session opens late, and then fails."""

    async def transcription_session(self, on_delta: Any = None) -> Any:
        await asyncio.sleep(0.5)
        return Fragile()


class NoSession(OpenAIRealtimeWebSocketModel):
    """A model that returns no session."""

    async def transcription_session(self, on_delta: Any = None) -> Any:
        return None


@pytest.mark.parametrize("model", [Deaf, Broken, BrokenLater, NoSession, NoFutures])
def test_a_model_without_a_transcription_leaves_the_typed_text(
    tmp_path: Path, model: type[OpenAIRealtimeWebSocketModel]
) -> None:
    async def story(phone: Handset, call: Call) -> None:
        await spoken(phone, call)
        assert not call.supervision.transcribes

    run(tmp_path, story, script=SCRIPT, model=model)
    assert "The member of staff said: “Reference 77.”" in note_in(records(tmp_path))


def test_a_transcription_that_is_switched_off(tmp_path: Path) -> None:
    run(tmp_path, spoken, script=SCRIPT, settings_given={"telephony_transcription_model": "off"})
    assert "The member of staff said: “Reference 77.”" in note_in(records(tmp_path))


def test_the_session_ends_with_the_call(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    server = BadServer(monkeypatch, "slow")

    async def story(phone: Handset, call: Call) -> None:
        await phone.heard(1.0)
        await call.supervision.take_over()
        await speak(call, voice())
        assert server.open
        await call.supervision.hang_up()
        await asyncio.sleep(60)

    run(tmp_path, story, script=SCRIPT, agent=RealtimeAgent(name="Desk"))
    assert not server.open
