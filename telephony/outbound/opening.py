"""The first seconds of a placed call: passes the audio to the answer classifier, and executes its moves (what the agent
does next).
"""

from __future__ import annotations

import asyncio
import logging
import math
from contextlib import ExitStack
from typing import Any

from realtime_core.config import RealtimeSessionModelSettings
from realtime_core.deadline_timer import DeadlineTimer
from realtime_core.errors import RealtimeCoreError
from realtime_core.events import RealtimeAnyEvent
from realtime_core.model import RealtimeModelConfig

from ..call.call import Call
from ..call.options import CallOptions
from ..errors import TelephonyError
from .answer_classifier import AnswerClassifier, Move
from .plan import AnsweredBy, CallPlan
from .tone_detector import SoundKind, ToneDetector

__all__ = ["Opening"]

log = logging.getLogger(__name__)

_READY_S = 15.0
_SCREENED = (
    "A call screening asks who is calling. In one sentence say your name, who you call for and why. Then stop and wait."
)


class Opening:
    """Controls the first seconds of one placed call. Finds out who answered, and makes the agent talk, leave a message,
    answer a call screening service or hang up. `attach` must be called before the call session starts.
    """

    def __init__(self, plan: CallPlan) -> None:
        self.message_left = False
        self._plan = plan
        self._loop = asyncio.get_running_loop()
        self._detector = ToneDetector()
        self._classifier: AnswerClassifier | None = None
        self._moves: asyncio.Queue[Move] = asyncio.Queue()
        self._timer = DeadlineTimer(self._on_time)
        self._call: Call | None = None
        self._turns: dict[str, Any] = {}
        self._verdict = ""
        self._waits_since: float | None = None
        self._talks = False
        self.silence_s: float | None = None
        """The time in seconds for which a person who answered waited for the agent's first words (see
        `CallResult.silence_s`).
        """

    @property
    def answered_by(self) -> AnsweredBy:
        """Who answered the call, as detected in its first seconds. If the call ended before a decision, the result of
        Twilio's detection.
        """
        if self._classifier is None:
            return ""
        return self._classifier.answered_by or ("human" if self._verdict == "human" else "unknown")

    def attach(self, options: CallOptions) -> None:
        """Changes the options of the call, so this object gets the audio and decides when the agent speaks first. The
        usual greeting is switched off. If the plan wants to know who answers (`CallPlan.detect`), the model listens to
        the callee and gives no answer until this is known.
        """
        if self._plan.detect:
            settings: RealtimeSessionModelSettings = {**options.model_config.get("initial_model_settings", {})}
            given: Any = settings.get("turn_detection") or options.run_config.get("model_settings", {}).get(
                "turn_detection"
            )
            self._turns = dict(given or {"type": "server_vad"})
            settings["turn_detection"] = {**self._turns, "create_response": False}  # type: ignore[typeddict-item]
            options.model_config = RealtimeModelConfig(**{**options.model_config, "initial_model_settings": settings})
        options.greeting = None
        options.on_frame = self._on_frame
        options.on_event = (*options.on_event, self._on_event)
        options.beside = self._run
        options.placed = {**self._plan.to_journal(), **(options.placed or {})}

    def _first_frame(self) -> AnswerClassifier:
        classifier = self._classifier = AnswerClassifier(
            self._loop.time(), leaves_message=self._plan.machine is not None
        )
        if not self._plan.detect:
            self._decided(classifier.on_time(math.inf))
        elif self._verdict:
            self._decided(classifier.verdict(self._verdict, self._loop.time()))
        self._set()
        return classifier

    # --- sounds and words --------------------------------------------------------------------------------------------

    def verdict(self, answered_by: str) -> None:
        """Passes the result of Twilio's answering machine detection to the answer classifier and to the journal. The
        result may arrive before the media stream and after the end of the call.
        """
        self._verdict = answered_by
        if self._call is not None:
            self._call.note("verdict", answered_by=answered_by)
        if self._classifier is not None:
            self._decided(self._classifier.verdict(answered_by, self._loop.time()))

    def _on_frame(self, ulaw: bytes) -> None:
        classifier = self._classifier or self._first_frame()
        if not classifier.conversed:
            for sound in self._detector.feed(ulaw):
                log.debug("Detected: %s", sound)
                if sound.kind is SoundKind.PAUSE:
                    self._waits_since = self._loop.time()
                self._decided(classifier.sound(sound, self._loop.time()))

    def _on_event(self, event: RealtimeAnyEvent) -> None:
        if self._classifier is None:
            return
        if event.type == "audio" and self._talks:
            self._end_silence()
        elif event.type == "audio_end":
            self._classifier.greeted()
        elif event.type == "raw_model_event" and event.data.type == "input_audio_transcription_completed":
            self._decided(self._classifier.transcript(event.data.transcript, self._loop.time()))

    def _on_time(self, now: float) -> None:
        assert self._classifier is not None
        self._decided(self._classifier.on_time(now))

    def _decided(self, move: Move | None) -> None:
        if move is not None:
            log.info("Answered by: %s. Next: %s.", self.answered_by, move.value)
            if self._call is not None:
                self._call.note("answered", by=self.answered_by, move=move.value)
            self._moves.put_nowait(move)
            if move is Move.TALK:
                self._talks = True
                self._waits_since = self._loop.time() if self._waits_since is None else self._waits_since
        self._set()

    def ended(self) -> None:
        """Ends the measurement of the time for which a person waits for the agent's first words (`silence_s`), because
        the call has ended.
        """
        if self._talks:
            self._end_silence()

    def _end_silence(self) -> None:
        if self.silence_s is None and self._waits_since is not None:
            self.silence_s = self._loop.time() - self._waits_since

    def _set(self) -> None:
        self._timer.set(None if self._classifier is None else self._classifier.deadline)

    # --- moves -------------------------------------------------------------------------------------------------------

    async def _run(self, call: Call) -> None:
        """Runs during the call, until the call ends."""
        self._call = call
        for secret in self._plan.secrets.values():
            call.keep_secret(str(secret))
        if self._verdict:
            call.note("verdict", answered_by=self._verdict)
        try:
            await self._make_moves(call)
        finally:
            self._call = None
            self._timer.cancel()

    async def _make_moves(self, call: Call) -> None:
        """Executes the moves. Each move replaces the move before it, because a person may answer later, and a beep may
        come late.
        """
        with ExitStack() as listening:
            if self._plan.detect:
                listening.enter_context(call.listening())
            async with asyncio.TaskGroup() as group:
                making: asyncio.Task[None] | None = None
                while True:
                    move = await self._moves.get()
                    if making is not None and not making.done():
                        making.cancel()
                        await asyncio.wait({making})
                    making = group.create_task(self._make(move, call, listening))

    async def _make(self, move: Move, call: Call, listening: ExitStack) -> None:
        try:
            await self._session_ready(call)
            await self._do(move, call, listening)
        except (RealtimeCoreError, TelephonyError, TimeoutError) as error:
            log.warning("Call %s: %s failed: %s", call.sid, move.value, error or "no model")

    async def _do(self, move: Move, call: Call, listening: ExitStack) -> None:
        match move:
            case Move.TALK:
                listening.close()
                if self._plan.detect:
                    await self._answer_by_itself(call, True)
                await call.session.request_response(instructions=self._plan.greeting)
            case Move.SCREEN:
                await self._answer_by_itself(call, False)
                await call.say(_SCREENED)
            case Move.MESSAGE:
                await self._leave_message(call)
                await call.hang_up(within_s=2.0)
            case Move.HANG_UP:
                await call.hang_up(within_s=2.0)

    async def _answer_by_itself(self, call: Call, yes: bool) -> None:
        await call.session.update_settings({"turn_detection": {**self._turns, "create_response": yes}})  # type: ignore[typeddict-item]

    async def _leave_message(self, call: Call) -> None:
        assert self._plan.machine is not None
        message = self._plan.machine.message
        self.message_left = False
        await call.interrupt()
        if isinstance(message, bytes):
            self.message_left = await call.play(message, interruptible=False)
        else:
            words = f'Say exactly this, and nothing else: "{message}"'
            self.message_left = await call.say(words, interruptible=False)

    async def _session_ready(self, call: Call) -> None:
        """Waits until the model is connected. The connection may take longer than a hello."""
        async with asyncio.timeout(_READY_S):
            while not call.is_live:  # noqa: ASYNC110 - there is no event for it
                await asyncio.sleep(0.05)
