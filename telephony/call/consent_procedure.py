"""Applies the consent policy of one call: plays the notice before the greeting, waits for the answer, and starts the
recordings.

Until Twilio's marks prove that the caller has heard the whole notice, the model gets silence in place of the caller's
audio, and the journal of the call does not contain the conversation.
"""

from __future__ import annotations

import asyncio
import logging
import math
from collections.abc import Callable

from realtime_core import events as session_events
from realtime_core.sources import Sources

from ..errors import CallError, TwilioError
from ..journal.header import digest_of
from .consent import Answer, Consent, ConsentEvidence, ConsentPolicy, Otherwise
from .controls import Controls
from .conversation import Conversation
from .ending import EndReason
from .leg.caller_leg import CallerLeg
from .lifetime import Lifetime
from .line.player import Heard, LinePlayer
from .pacing.reasons import PauseReason
from .pacing.scheduler import Scheduler
from .ports import PhoneControl
from .recording.recorder import CallRecorder
from .recording.seal import SealReason
from .transfers import Transfers

__all__ = ["ConsentProcedure"]

log = logging.getLogger(__name__)

_TIMES = 3
"""The maximum number of times that the notice is started. An interrupted notice is started again."""
_CHECK_S = 1.0
_TARGET = "the transfer of the consent policy"
_SAY = 'Say exactly these words, and nothing else: "{}"'


class ConsentProcedure:
    """Carries out the consent policy of one call: plays the notice about the recording, takes the caller's answer, and
    starts the recordings. `run` must be called once, when the first media stream is attached.

    `on_change` is called each time the evidence changes, with the new `ConsentEvidence`: whether the caller heard the
    notice, and what the caller answered.
    """

    def __init__(
        self,
        consent: Consent | None,
        language: str,
        *,
        lifetime: Lifetime,
        recorder: CallRecorder,
        leg: CallerLeg,
        player: LinePlayer,
        conversation: Conversation,
        pacing: Scheduler,
        controls: Controls,
        transfers: Transfers,
        control: PhoneControl | None,
        sources: Sources,
        on_change: Callable[[ConsentEvidence], None],
    ) -> None:
        self._consent = consent or Consent()
        self.language = language
        self._lifetime = lifetime
        self._recorder = recorder
        self._leg = leg
        self._player = player
        self._conversation = conversation
        self._pacing = pacing
        self._controls = controls
        self._transfers = transfers
        self._control = control
        self._sources = sources
        self._on_change = on_change
        self._answered = asyncio.Event()
        self._is_asking = False
        self.settled = asyncio.Event()
        """An event that is set when the greeting may begin."""
        self.began = asyncio.Event()
        """An event that is set when the model is connected, so the model can say a notice."""
        self.evidence = ConsentEvidence(str(self._consent.policy), language, discloses_ai=self._consent.discloses_ai)
        self._lines = self._consent.lines(language)
        if not self._consent.records:
            recorder.close_seal(SealReason.REFUSED)
        if self._lines:
            recorder.close_seal(SealReason.NOTICE)
            conversation.muted_until_ms = math.inf
            conversation.handlers.append(self._on_event)
        else:
            self.settled.set()
            if self._consent.policy is not ConsentPolicy.NONE:
                conversation.handlers.append(self._on_event)
        self._is_sealed = bool(self._lines)

    @property
    def has_notice(self) -> bool:
        """Whether the greeting must wait until a notice has been played."""
        return bool(self._lines)

    async def run(self) -> None:
        """Plays the notice, waits for the caller's answer if the policy requires an answer, and starts the
        recordings.
        """
        if self._lines:
            await self._notice()
        elif self._consent.policy is ConsentPolicy.ONE_PARTY:
            self.evidence.answer, self.evidence.by = Answer.STAYED, "staying"
            self._changed()
        self.settled.set()
        if self.evidence.answer != Answer.REFUSED:
            await self._record()

    async def _notice(self) -> None:
        self._pacing.pause(PauseReason.CONSENT)
        self.evidence.notice = " ".join(words for words, _ in self._lines if words)
        self.evidence.clip = " ".join(digest_of(clip) for _, clip in self._lines if clip is not None)
        try:
            while not self.evidence.heard and self.evidence.notices < _TIMES and not self._lifetime.over:
                self.evidence.notices += 1
                self.evidence.heard = await self._say_all()
            now = asyncio.get_running_loop().time()
            self._conversation.muted_until_ms = self._recorder.seal.stamp_after(now)
            if self.evidence.heard:
                self.evidence.position = self._player.playout.confirmed_position
                self.evidence.heard_at = self._now()
                self._changed()
                await self._take_answer()
            else:
                self._answer(Answer.UNHEARD, "")
        finally:
            self._pacing.resume(PauseReason.CONSENT)

    async def _say_all(self) -> bool:
        for words, clip in self._lines:
            stops = self._player.stops
            if clip is not None:
                heard = await self._controls.play(clip, interruptible=False)
            else:
                await self.began.wait()
                heard = await self._controls.say(_SAY.format(words), interruptible=False)
            if heard is not Heard.HEARD or self._player.stops != stops:
                return False
        return True

    async def _take_answer(self) -> None:
        if not self._consent.asks:
            if not self._answered.is_set():
                self._answer(Answer.STAYED, "staying")
            return
        self._is_asking = True
        try:
            async with asyncio.timeout(self._consent.answer_s):
                await self._answered.wait()
        except TimeoutError:
            self._answer(Answer.REFUSED, "silence")
        finally:
            self._is_asking = False

    # --- answers -----------------------------------------------------------------------------------------------------

    def take_digit(self, digit: str) -> bool:
        """Handles a key that the caller pressed. Returns True if the agent must not get the key, because the key was an
        answer or the notice was still playing.
        """
        consent = self._consent
        if consent.policy is ConsentPolicy.NONE:
            return False
        if digit == consent.refuse_key and self.evidence.answer in (Answer.NONE, Answer.STAYED, Answer.ACCEPTED):
            self._answer(Answer.REFUSED, "key")
            return True
        if self._is_asking and digit == consent.accept_key:
            self._answer(Answer.ACCEPTED, "key")
            return True
        return self._lines != [] and not self.settled.is_set()

    def answered(self, answer: str, by: str) -> None:
        """Applies the caller's answer to the question for consent when a recorded call is replayed from its journal.
        `answer` is a value of `Answer`. `by` is how the caller answered, such as `tool`.
        """
        self._answer(Answer(answer), by)

    def refuse(self) -> None:
        """Stops the recordings of the call, because the caller has refused them, and starts the action that the consent
        policy sets for a refusal, such as a transfer. Called when the model calls the tool `refuse_recording`.
        """
        self._answer(Answer.REFUSED, "tool")

    def _on_event(self, event: session_events.RealtimeAnyEvent) -> None:
        if event.type != "raw_model_event":
            return
        data = event.data
        if data.type == "input_audio_transcription_completed":
            answer = (
                self._consent.answer(data.transcript, self.language)
                if self._is_asking
                else Answer.REFUSED
                if self._consent.refuses(data.transcript)
                else Answer.NONE
            )
            if answer is not Answer.NONE:
                self._answer(answer, "word")
        elif data.type == "transcript_done" and not self.evidence.heard and self.began.is_set():
            self.evidence.said = f"{self.evidence.said} {data.transcript}".strip()[-1000:]

    def _answer(self, answer: Answer, by: str) -> None:
        """Stores an answer of the caller. After a refusal, later answers are ignored."""
        if self.evidence.answer in (Answer.REFUSED, Answer.UNHEARD, answer):
            return
        if by in ("key", "word"):  # the journal has neither, so a replay needs the answer
            self._recorder.callback("consent", answer=answer, by=by)
        self.evidence.answer, self.evidence.by, self.evidence.answered_at = answer, by, self._now()
        recorder = self._recorder
        if answer in (Answer.REFUSED, Answer.UNHEARD):
            recorder.close_seal(SealReason.REFUSED)
        if self._is_sealed:
            self._is_sealed = False
            recorder.open_seal(SealReason.NOTICE)
        self._changed()
        self._answered.set()
        if answer is Answer.REFUSED:
            self._lifetime.start(self._refused())

    async def _refused(self) -> None:
        """Deletes the Twilio recording, stops the transcription, and does the action that the policy sets for a
        refusal.
        """
        if self.evidence.recording and self._control is not None:
            recording, self.evidence.recording = self.evidence.recording, ""
            try:
                await self._control.stop_recording(self._leg.info.sid, recording)
            except TwilioError as error:
                self.evidence.recording = recording
                log.error("Call %s: Twilio's recording could not be deleted: %s", self._leg.info.sid, error)
            self._changed()
        await self._conversation.stop_transcription()
        await self._follow(self._consent.on_refusal)

    async def _follow(self, what: Otherwise | str) -> None:
        if what is Otherwise.TRANSFER:
            await self.settled.wait()
            try:
                await self._transfers.transfer(_TARGET, self._consent.transfer_to, warm=False)
            except CallError as error:
                log.warning("Call %s: %s", self._leg.info.sid, error)
        elif what is Otherwise.FALLBACK:
            await self._controls.give_up("the call must be recorded and is not")
        elif what is Otherwise.HANG_UP:
            await self._controls.hang_up(anyway=True, reason=EndReason.AGENT_HUNG_UP)

    # --- recordings --------------------------------------------------------------------------------------------------

    async def _record(self) -> None:
        """Starts the Twilio recording, and checks that each required recording is written."""
        consent = self._consent
        unheard = self.evidence.answer == Answer.UNHEARD
        if consent.records_at_twilio and not unheard:
            await self._record_at_twilio()
        if not consent.requires_recording:
            return
        while not self._lifetime.over and self.evidence.answer != Answer.REFUSED:
            problem = "the notice was not heard" if unheard else self.evidence.problem or self._recorder.problem
            if problem:
                self.evidence.problem = problem
                self._changed()
                log.error("Call %s must be recorded and is not: %s.", self._leg.info.sid, problem)
                await self._follow(consent.without_recording)
                return
            await asyncio.sleep(_CHECK_S)

    async def _record_at_twilio(self) -> None:
        if self._control is None:
            self.evidence.problem = "Twilio's REST API is not configured"
            return
        try:
            self.evidence.recording = await self._control.start_recording(self._leg.info.sid)
        except TwilioError as error:
            self.evidence.problem = f"Twilio did not start its recording: {error}"
            log.error("Call %s: %s", self._leg.info.sid, self.evidence.problem)
        self._changed()
        if self.evidence.answer == Answer.REFUSED:  # while Twilio was asked
            await self._refused()

    def _changed(self) -> None:
        self._recorder.write("consent", **self.evidence.to_json())
        self._on_change(self.evidence)

    def _now(self) -> str:
        return self._sources.now().isoformat(timespec="milliseconds")
