"""The commands of a supervisor in a live call: hang up, transfer, decide on tool calls, and speak in place of the
agent.

A take-over has a fixed order. First the agent is interrupted, and its answer is truncated at the position that the
caller has heard. Then the responses are paused, and the server must confirm the pause. After that the audio of the
supervisor is played. This audio is never queued after an answer of the agent, and its marks belong to no item of the
model. The model hears the caller during the whole take-over. If the model offers a transcription session, this session
transcribes the supervisor. At the end a message tells the model what the supervisor and the caller have said. Then the
responses are resumed, and the model continues.

The journal has each command as a `control` record, and the audio and the words of the supervisor, so a replay repeats
all of them. A replay opens no transcription session.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping, Sequence
from enum import Enum, auto
from typing import Any

import pybase64

from realtime_core import events as session_events
from realtime_core.errors import RealtimeCoreError

from ..errors import CallError
from ..journal.cuts import CutCause
from . import clips
from .controls import Controls
from .conversation import Conversation
from .ending import EndReason
from .hand_back import Dialogue, HandedBack, Line, note_of
from .leg.caller_leg import CallerLeg
from .lifetime import Lifetime
from .line.live_voice import LiveVoice
from .line.player import Heard, LinePlayer
from .pacing.reasons import PauseReason
from .pacing.scheduler import Scheduler
from .recording.recorded_commands import RecordedCommands
from .recording.recorder import CallRecorder
from .transfers import Transfers
from .voice_transcription import SpokenWords, VoiceTranscription

__all__ = ["Supervision", "TakeOver"]

log = logging.getLogger(__name__)

_AGREE_S = 3.0
"""The maximum time in seconds until the server must confirm the pause of the responses."""
_LAST_WORDS_S = 1.0
_WORDS_S = 1.5
"""The maximum time in seconds for which a hand-back waits for the transcripts of the supervisor's last words."""
_NOT_TRANSFERRED = "A member of staff tried to transfer the caller. {result}"
_NOT_POSSIBLE = "It is not possible. The caller is still with you: continue."
_WORDS = "Say this to the caller now, in these words: {words}"


class TakeOver(Enum):
    """The state of a take-over. During a take-over a supervisor speaks to the caller in place of the agent."""

    NONE = auto()
    BEGINNING = auto()
    """The supervisor's take-over of the conversation has begun. The agent was interrupted, and the model's server has
    not yet confirmed that it starts no further responses.
    """
    LIVE = auto()
    """The caller hears the supervisor."""
    AWAY = auto()
    """The connection of the supervisor was lost. The caller hears a waiting sentence or sound."""
    ENDING = auto()


class Supervision:
    """Executes the commands of supervisors for one call, such as a take-over of the call."""

    def __init__(
        self,
        *,
        commands: RecordedCommands,
        lifetime: Lifetime,
        recorder: CallRecorder,
        leg: CallerLeg,
        player: LinePlayer,
        conversation: Conversation,
        pacing: Scheduler,
        controls: Controls,
        transfers: Transfers,
        transcribes: bool = True,
    ) -> None:
        """Creates the commands of one call. With `transcribes=False` no transcription session is opened."""
        self.state = TakeOver.NONE
        self._may_transcribe = transcribes
        self._transcription: VoiceTranscription | None = None
        self._dialogue: Dialogue | None = None
        self._commands = commands
        self._lifetime = lifetime
        self._recorder = recorder
        self._leg = leg
        self._player = player
        self._conversation = conversation
        self._pacing = pacing
        self._controls = controls
        self._transfers = transfers
        self._transferring = False
        self._voice = LiveVoice()
        self._part = ""
        self._parts = 0
        self._next_part = False
        """Whether the next piece of the voice begins a part, because the supervisor begins to speak."""
        self._filled = False
        self._is_told = False
        """Whether the server of the model has the message about the last take-over."""
        self._loop = asyncio.get_running_loop()
        conversation.handlers.append(self._on_event)

    @property
    def is_active(self) -> bool:
        """Whether a supervisor has taken over the call."""
        return self.state is not TakeOver.NONE

    @property
    def is_away(self) -> bool:
        """Whether the connection of the supervisor was lost."""
        return self.state is TakeOver.AWAY

    @property
    def transcribes(self) -> bool:
        """Whether the words of the supervisor are transcribed now."""
        is_open = self._transcription is not None and self._transcription.is_available
        return is_open and not self._recorder.seal.is_closed  # speech in a secret part is not transcribed

    # --- single commands -----------------------------------------------------------------------------------------

    async def hang_up(self) -> None:
        """Ends the call immediately. If a supervisor is speaking, the call ends after the last words of the
        supervisor.
        """
        await self._commands.run("supervisor.hang_up", self._hang_up())

    async def transfer(self, target: str, number: str, *, warm: bool) -> str:
        """Transfers the caller to `number` immediately. `target` is the name of the number. If `warm` is True, the
        called person first hears who is calling, and accepts or declines. Returns the result as text. If the transfer
        fails, the agent or the supervisor continues the call.

        Raises:
            CallError: another transfer is in progress.
        """
        work = self._transfer(target, number, warm=warm)
        return await self._commands.run("supervisor.transfer", work, target=target, warm=warm)

    async def say(self, words: str) -> bool:
        """Lets the agent say these words. Returns whether the caller heard the words to their end.

        Raises:
            CallError: a supervisor has taken over the call.
        """
        if self.state is not TakeOver.NONE:
            raise CallError("The agent is silent while a supervisor speaks.")
        return await self._commands.run("supervisor.say", self._say(words), words=words)

    async def approve(self, call_id: str) -> None:
        """Approves a tool call that waits for approval. An unknown id has no effect."""
        work = self._conversation.session.approve_tool_call(call_id)
        self._conversation.waiting_tools.pop(call_id, None)
        await self._commands.run("supervisor.approve", work, call_id=call_id)

    async def reject(self, call_id: str, message: str | None = None) -> None:
        """Rejects a tool call that waits for approval. The model gets `message`, or a default text if it is None. An
        unknown id has no effect.
        """
        work = self._conversation.session.reject_tool_call(call_id, rejection_message=message)
        self._conversation.waiting_tools.pop(call_id, None)
        await self._commands.run("supervisor.reject", work, call_id=call_id, message=message)

    async def _transfer(self, target: str, number: str, *, warm: bool) -> str:
        if self._transfers.is_busy:
            raise CallError("The caller is being transferred already.")
        self._end_part()
        self._transferring = True
        try:
            if self.state is TakeOver.NONE:
                await self._conversation.interrupt(CutCause.SUPERVISOR)
            result = await self._transfers.transfer(target, number, warm=warm)
        except CallError:
            if self.state is TakeOver.NONE and not self._lifetime.over:  # the agent was interrupted
                await self._send_note(_NOT_TRANSFERRED.format(result=_NOT_POSSIBLE))
            raise
        finally:
            self._transferring = False
        if self.state is TakeOver.NONE and not self._lifetime.over:
            await self._send_note(_NOT_TRANSFERRED.format(result=result))
        return result

    async def _hang_up(self) -> None:
        self._end_part()
        if self.state is TakeOver.NONE:
            await self._conversation.interrupt(CutCause.SUPERVISOR)
        await self._controls.hang_up(within_s=_LAST_WORDS_S, reason=EndReason.SUPERVISOR_HUNG_UP, anyway=True)

    async def _say(self, words: str) -> bool:
        return await self._controls.say(_WORDS.format(words=words)) is Heard.HEARD

    # --- taking over ---------------------------------------------------------------------------------------------

    async def take_over(self) -> None:
        """Stops the agent, so `hear` can play the voice of the supervisor in place of the agent. Returns when the
        server of the model has confirmed the pause of the responses.

        Raises:
            CallError: a supervisor has already taken over the call, the model is not connected, or its server did not
                confirm the pause. The agent then speaks again.
        """
        if self.state is not TakeOver.NONE:
            raise CallError("Another supervisor has taken over this call.")
        if not self._conversation.live or self._lifetime.over:
            raise CallError("This call cannot be taken over: the agent is not connected, or the call is over.")
        await self._commands.run("supervisor.take_over", self._take_over())

    async def _take_over(self) -> None:
        self.state = TakeOver.BEGINNING
        conversation = self._conversation
        conversation.taken_over = True
        self._pacing.pause(PauseReason.TAKEN_OVER)
        try:
            await conversation.interrupt(CutCause.SUPERVISOR)
            async with asyncio.timeout(_AGREE_S):
                await conversation.session.pause_responses()
        except (TimeoutError, RealtimeCoreError) as error:
            await self._resume()
            raise CallError(f"The agent could not be silenced: {error or 'its server did not answer'}.") from None
        except BaseException:  # cancelled, or a failure of a model of the application: the agent must speak again
            await self._resume()
            raise
        self.state = TakeOver.LIVE
        self._dialogue = Dialogue()
        model = conversation.session.model
        if self._may_transcribe and model.capabilities.transcribes:
            self._transcription = transcription = VoiceTranscription(
                model.transcription_session, self._on_words, name=f"Call {self._leg.info.sid}"
            )
            self._lifetime.start(transcription.run())

    def hear(self, ulaw: bytes) -> None:
        """Plays a piece of the supervisor's voice to the caller (mu-law, 8 kHz, any length). Audio that the caller
        would hear more than 250 ms later is dropped. Plays nothing unless the supervisor has taken over the call
        (`state` is `LIVE`).
        """
        if self.state is not TakeOver.LIVE or self._leg.stream is None or self._transferring:
            return
        if self._transcribe(ulaw):
            self._next_part = True
        unheard = self._player.unheard
        if not (piece := self._voice.push(ulaw, unheard)):
            return
        if not self._part or unheard <= 0 or self._next_part:
            self._parts += 1
            self._next_part = False
        self.voice(piece, f"supervisor:{self._parts}")

    def _transcribe(self, ulaw: bytes) -> bool:
        """Passes a piece of the supervisor's voice to the transcription, except in a part of the call that must not be
        recorded. Returns whether the supervisor begins to speak with this piece.
        """
        if self._transcription is None:
            return False
        if self._recorder.seal.is_closed:
            self._transcription.cut()
            return False
        return self._transcription.hear(ulaw, f"supervisor:{self._parts + 1}", self._loop.time())

    def _on_words(self, words: SpokenWords) -> None:
        if self._dialogue is not None:
            self._dialogue.supervisor_said(words.began, words.text)
        if words.text:
            self.words(words.part, words.text, usage=words.usage)

    def words(self, item_id: str, text: str, *, usage: Mapping[str, Any] | None = None) -> None:
        """Writes words of the supervisor to the journal. `item_id` is the id of the piece of speech (see `voice`) in
        which the words begin. `usage` is the token usage that the transcription model reported, or None.
        """
        used = {} if usage is None else {"usage": usage}
        self._recorder.write("supervisor.words", item_id=item_id, text=text, **used)

    def voice(self, ulaw: bytes, part: str) -> None:
        """Plays audio of the supervisor (mu-law, 8 kHz) immediately after the earlier samples of the same `part`, and
        writes the audio to the journal. `part` is the id of a piece of speech without a gap.
        """
        if self.state is not TakeOver.LIVE:
            return
        if part != self._part:
            self._player.end_voice(self._part)
            self._part = part
        kept = b"\xff" * len(ulaw) if self._recorder.seal.is_closed else ulaw
        self._recorder.write("supervisor", item_id=self._part, payload=pybase64.b64encode(kept).decode())
        self._player.play_voice(self._part, ulaw)

    async def away(self) -> None:
        """Pauses the take-over, because the connection of the supervisor was lost. The caller hears a waiting sentence
        or sound until the supervisor is back.
        """
        if self.state is TakeOver.LIVE:
            self.state = TakeOver.AWAY
            self._commands.done("supervisor.away")
            if self._transcription is not None:
                self._transcription.cut()
            self._end_part()
            self._player.play_clip("clip:one moment", clips.one_moment())
            self._fill()

    async def back(self) -> None:
        """Continues the take-over, because the supervisor has connected again after a lost connection. The waiting
        sound ends, and the caller hears the supervisor again.
        """
        if self.state is TakeOver.AWAY:
            self.state = TakeOver.LIVE
            self._commands.done("supervisor.back")
            self._stop_filling()

    async def hand_back(self, said: str = "", dialogue: Sequence[Line] | None = None) -> HandedBack:
        """Gives the call back to the agent, which continues. `said` is the text that the supervisor typed for the
        agent. `dialogue` has the words of the supervisor and the caller, in order. By default, these are the
        transcripts. The last transcripts may delay the hand-back by at most 1.5 s. Returns what the model knows of the
        take-over.
        """
        if self.state not in (TakeOver.LIVE, TakeOver.AWAY):
            return HandedBack.UNKNOWN
        if self._transcription is not None:
            self.state = TakeOver.ENDING
            try:
                await self._transcription.finish(_WORDS_S)
            except asyncio.CancelledError:  # the caller must not stay without a voice
                await self._resume()
                raise
            finally:
                self._transcription = None
        if dialogue is None:
            dialogue = [] if self._dialogue is None else self._dialogue.lines(self._recorder.seal.hides)
        told = {"dialogue": dialogue} if dialogue else {}
        self._is_told = False
        await self._commands.run("supervisor.hand_back", self._hand_back(said, dialogue), said=said, **told)
        if not self._is_told:
            return HandedBack.UNKNOWN
        return HandedBack.WORDS if dialogue else HandedBack.NOTE if said.strip() else HandedBack.NOTHING_SAID

    async def _hand_back(self, said: str, dialogue: Sequence[Line]) -> None:
        self.state = TakeOver.ENDING
        self._end_part()
        is_sent = is_resumed = False
        try:
            is_sent = await self._send_note(note_of(dialogue, said))
        finally:  # also if the hand-back is cancelled or the model fails: the caller must not stay without a voice
            is_resumed = await self._resume()
        # The server handles the messages of a session in order, so it has the note when it confirms the responses.
        self._is_told = is_resumed and is_sent

    async def _send_note(self, note: str) -> bool:
        """Sends a note to the model. The model answers the note as soon as a response is possible. Returns whether the
        note was sent.
        """
        content: list[Any] = [{"type": "input_text", "text": note}]
        try:
            await self._conversation.session.send_message({"type": "message", "role": "system", "content": content})
        except RealtimeCoreError as error:
            log.warning("Call %s: the model could not be told what happened: %s", self._leg.info.sid, error)
            return False
        finally:
            self._pacing.expect_answer()
        return True

    async def _resume(self) -> bool:
        """Lets the agent speak again. Returns whether the server of the model has confirmed this."""
        self.state = TakeOver.NONE
        self._dialogue = None
        self._conversation.taken_over = False
        self._player.latency_meter.handed_back()
        self._pacing.resume(PauseReason.TAKEN_OVER)
        try:
            async with asyncio.timeout(_AGREE_S):
                await self._conversation.session.resume_responses()
        except (TimeoutError, RealtimeCoreError) as error:
            log.warning("Call %s: the model's server did not confirm that it answers again: %s",
                        self._leg.info.sid, error or "no answer")  # fmt: skip
            return False
        return True

    # --- the caller's ear ----------------------------------------------------------------------------------------

    def _end_part(self) -> None:
        if self._part:
            self._voice.flush()
            self._player.end_voice(self._part)
            self._part = ""

    def _fill(self) -> None:
        self._filled = True
        self._player.sound(clips.waiting())

    def _stop_filling(self) -> None:
        if self._filled:
            self._filled = False
            self._player.sound(None)

    def _on_event(self, event: session_events.RealtimeAnyEvent) -> None:
        if self._filled and event.type == "audio":
            self._stop_filling()
        if self._dialogue is None:
            return
        if event.type == "speech_started":
            self._dialogue.caller_began(event.item_id, self._loop.time())
        elif event.type == "raw_model_event" and event.data.type == "input_audio_transcription_completed":
            self._dialogue.caller_said(event.data.item_id, event.data.transcript)
