"""Ends a call if the caller neither speaks nor presses a key for a time after its start. If the caller says an
emergency phrase, the caller is transferred to a configured number, or hears a configured sentence.
"""

from __future__ import annotations

import asyncio
import logging

from realtime_core import events as session_events

from ..errors import CallError
from ..journal.cuts import CutCause
from .consent import language_of
from .controls import Controls
from .conversation import Conversation
from .ending import EndReason
from .leg.caller_leg import CallerLeg
from .lifetime import Lifetime
from .recording.recorder import CallRecorder
from .screening import LINES, Screening
from .transfers import Transfers

__all__ = ["Guard"]

log = logging.getLogger(__name__)

_SAY = 'Say exactly these words, and nothing else: "{}"'
_TARGET = "emergency"


class Guard:
    """Ends one call if the caller does nothing, and handles emergencies, as the `Screening` rules say. `run` must be
    started together with the call.
    """

    def __init__(
        self,
        screening: Screening,
        language: str,
        *,
        lifetime: Lifetime,
        recorder: CallRecorder,
        leg: CallerLeg,
        conversation: Conversation,
        controls: Controls,
        transfers: Transfers,
    ) -> None:
        self._screening = screening
        self._language = language
        self._lifetime = lifetime
        self._recorder = recorder
        self._leg = leg
        self._conversation = conversation
        self._controls = controls
        self._transfers = transfers
        self._acted = asyncio.Event()
        self._is_emergency = False
        conversation.handlers.append(self._on_event)

    async def run(self) -> None:
        """Ends the call if the caller neither speaks nor presses a key within the time limit."""
        if self._screening.silent_s is None:
            return
        await self._leg.attached.wait()
        try:
            async with asyncio.timeout(self._screening.silent_s):
                await self._acted.wait()
        except TimeoutError:
            self._recorder.write("timer", name="the caller says nothing")
            self._lifetime.end(EndReason.SAID_NOTHING)

    def pressed(self) -> None:
        """Switches off the time limit for a caller who does nothing, because the caller has pressed a key."""
        self._acted.set()

    def emergency(self) -> None:
        """Helps a caller in an emergency. The agent stops speaking. Then the caller is transferred to the configured
        number. If no number is configured or the transfer fails, the caller hears a sentence. This method is called
        when the caller says one of the emergency phrases. Further calls have no effect while the caller is being
        helped.
        """
        emergency = self._screening.emergency
        if emergency is None or self._is_emergency:
            return
        self._is_emergency = True
        self._recorder.callback("emergency")
        log.warning("Call %s: the caller speaks of an emergency.", self._leg.info.sid)
        self._lifetime.start(self._help())

    def _on_event(self, event: session_events.RealtimeAnyEvent) -> None:
        if event.type == "speech_started":
            self._acted.set()
        elif event.type == "raw_model_event" and event.data.type == "input_audio_transcription_completed":
            emergency = self._screening.emergency
            if emergency is not None and emergency.applies(event.data.transcript):
                self.emergency()

    async def _help(self) -> None:
        emergency = self._screening.emergency
        assert emergency is not None
        await self._conversation.interrupt(CutCause.CALL)
        if emergency.transfer_to:
            try:
                await self._transfers.transfer(_TARGET, emergency.transfer_to, warm=False)
            except CallError as error:
                log.warning("Call %s: %s", self._leg.info.sid, error)
            if self._lifetime.over:
                return
        line = emergency.line or LINES.get(language_of(self._language), LINES["en"])
        if isinstance(line, bytes):
            await self._controls.play(line, interruptible=False)
        else:
            await self._controls.say(_SAY.format(line), interruptible=False)
        self._is_emergency = False
