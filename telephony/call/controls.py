"""The commands of a call: speak, play a clip, hold, mute, collect digits, send digits, and hang up."""

from __future__ import annotations

import asyncio
import logging
import re
from collections.abc import Iterator
from contextlib import contextmanager

from realtime_core import events as session_events

from ..errors import CallError
from ..journal.cuts import CutCause
from ..locales.locale import waiting_sound
from ..twilio import twiml
from .conversation import Conversation, MuteReason, SessionHandler
from .digits import DigitCollector, Digits
from .ending import EndReason, Release
from .leg.caller_leg import CallerLeg
from .lifetime import Lifetime
from .line.player import Heard, LinePlayer
from .pacing.reasons import PauseReason
from .pacing.scheduler import Scheduler
from .ports import CallAddresses
from .recording.recorder import CallRecorder
from .wording import Wording

__all__ = ["Controls"]

log = logging.getLogger(__name__)

_BEGIN_S = 6.0
"""The maximum time in seconds until the model must begin a requested response."""
_SPEAK_S = 60.0
_MARGIN_S = 5.0
_APOLOGY_S = 8.0
_DIGIT_S = 0.5
"""The time in seconds for each DTMF digit. `<Play digits>` needs less time for one digit."""
_REATTACH_S = 15.0


class Controls:
    """The commands of one call. Users' code calls these commands through `Call`."""

    def __init__(
        self,
        *,
        lifetime: Lifetime,
        recorder: CallRecorder,
        leg: CallerLeg,
        player: LinePlayer,
        conversation: Conversation,
        pacing: Scheduler,
        wording: Wording,
        addresses: CallAddresses | None,
    ) -> None:
        self._lifetime = lifetime
        self._recorder = recorder
        self._leg = leg
        self._player = player
        self._conversation = conversation
        self._pacing = pacing
        self._wording = wording
        self._addresses = addresses
        self._collector: DigitCollector | None = None
        self._pressed = asyncio.Event()
        self._clips = 0

    # --- speaking ------------------------------------------------------------------------------------------------

    async def prompt(self, instructions: str) -> None:
        """Requests a response to `instructions` from the model, and does not wait for the response."""
        if await self._conversation.ask(instructions):
            self._pacing.expect_answer()

    async def say(self, instructions: str, *, interruptible: bool = True) -> Heard:
        """Requests a spoken response to `instructions` from the model, and waits until the playback of the response has
        ended. With `interruptible=False`, the caller cannot interrupt the response. Returns how the playback ended, for
        example that the caller heard all of the audio.
        """
        begun = asyncio.Event()
        failed = False

        def on_event(event: session_events.RealtimeAnyEvent) -> None:
            nonlocal failed
            failed = event.type == "session_ended" or (event.type == "response_failed" and not event.retrying) or failed
            if failed or event.type == "agent_start":
                begun.set()

        with self._listening(interruptible), self._handler(on_event):
            try:
                async with asyncio.timeout(_BEGIN_S):
                    await self._conversation.idle.wait()
                    begun.clear()
                    if not await self._conversation.ask(instructions):
                        return Heard.NOT_SAID
                    self._pacing.expect_answer()
                    await begun.wait()
            except TimeoutError:
                return Heard.NOT_SAID
            heard = await self.heard(_SPEAK_S)
            return Heard.NOT_SAID if failed else heard

    async def play(self, ulaw: bytes, *, interruptible: bool = True) -> Heard:
        """Plays a clip (mu-law, 8 kHz) after the queued audio, and waits until the playback of the clip has ended. With
        `interruptible=False`, the caller cannot interrupt the clip. Returns how the playback ended, for example that
        the caller heard all of the clip.
        """
        self._clips += 1
        with self._listening(interruptible):
            self._player.play_clip(f"clip:{self._clips}", ulaw)
            return await self.heard(len(ulaw) / 8000 + _MARGIN_S, to_come=False)

    async def heard(self, within_s: float, *, to_come: bool = True) -> Heard:
        """Waits until the caller has heard the last sample of all queued audio, or until the caller speaks. Waits at
        most `within_s` seconds. If `to_come` is True, also waits for the rest of a response that the model has not
        completed. Returns how the playback ended.
        """
        loop, player = asyncio.get_running_loop(), self._player
        interrupted = False

        def on_event(event: session_events.RealtimeAnyEvent) -> None:
            nonlocal interrupted
            # The package's own turn policy may hold the audio until the policy knows that the sound is speech and not
            # noise.
            if event.type == "audio_interrupted" or (event.type == "speech_started" and not player.playout.busy):
                interrupted = True
                limit.reschedule(loop.time())

        limit = asyncio.timeout(within_s)
        with self._handler(on_event):
            try:
                async with limit:
                    if to_come:
                        await self._conversation.idle.wait()
                    await player.quiet()
            except TimeoutError:
                if not interrupted:
                    log.warning("Call %s: no mark confirmed that the caller heard the audio.", self._leg.info.sid)
                    return Heard.NOT_CONFIRMED
        return Heard.INTERRUPTED if interrupted else Heard.HEARD

    # --- hold and mute -------------------------------------------------------------------------------------------

    @contextmanager
    def hold(self, ulaw: bytes | None = None) -> Iterator[None]:
        """Plays `ulaw` (mu-law, 8 kHz) to the caller in a loop during this block. The default is a waiting sound. The
        model gets silence in place of the caller's audio.
        """
        self._pacing.pause(PauseReason.HOLD)
        self._player.sound(ulaw or waiting_sound())
        try:
            with self.muted(MuteReason.HOLD):
                yield
        finally:
            self._player.sound(None)
            self._pacing.resume(PauseReason.HOLD)

    @contextmanager
    def muted(self, reason: MuteReason = MuteReason.MUTED) -> Iterator[None]:
        """Replaces the caller's audio by silence for the model during this block. `reason` distinguishes this block
        from other causes of silence: the caller is audible again when no reason is left.
        """
        muted = self._conversation.muted
        muted.add(reason)
        try:
            yield
        finally:
            muted.discard(reason)

    # --- keys ----------------------------------------------------------------------------------------------------

    def take_digit(self, digit: str) -> bool:
        """Adds a key that the caller pressed to the digits that `collect_digits` collects. Returns False if no
        collection of digits is in progress, so the key can be used for something else.
        """
        if self._collector is None:
            return False
        self._collector.press(digit, asyncio.get_running_loop().time())
        self._pressed.set()
        return True

    async def collect_digits(self, prompt: str | bytes | None, collector: DigitCollector) -> Digits:
        """Asks the caller for digits with `prompt` (instructions for the model, or a clip; with None, nothing is said),
        and waits until `collector` has a result. Returns the digits. The first digit stops the prompt. Raises
        `CallError` if another collection is in progress.
        """
        if self._collector is not None:
            raise CallError("Digits are being collected already.")
        self._collector = collector
        self._pacing.pause(PauseReason.DIGITS)
        self._pressed.clear()
        try:
            async with asyncio.TaskGroup() as group:
                prompting = group.create_task(self._prompt_for_digits(prompt, collector))
                while collector.result is None:
                    await self._wait_for_key(collector)
                    if collector.begun and not prompting.done():
                        prompting.cancel()
                        await self._conversation.interrupt(CutCause.DIGIT)
        finally:
            self._collector = None
            self._pacing.resume(PauseReason.DIGITS)
        self._recorder.hide(collector.result.value)
        return collector.result

    async def _prompt_for_digits(self, prompt: str | bytes | None, collector: DigitCollector) -> None:
        if isinstance(prompt, bytes):
            await self.play(prompt)
        elif prompt is not None:
            await self.say(prompt)
        collector.begin(asyncio.get_running_loop().time())
        self._pressed.set()

    async def _wait_for_key(self, collector: DigitCollector) -> None:
        try:
            async with asyncio.timeout_at(collector.deadline):
                await self._pressed.wait()
        except TimeoutError:
            collector.on_time(asyncio.get_running_loop().time())
        self._pressed.clear()

    async def send_digits(self, digits: str) -> None:
        """Sends DTMF tones to the other party.

        A media stream cannot carry tones to Twilio. Therefore Twilio ends the media stream, plays the tones, and then
        opens a new media stream. The session with the model stays open, and no audio is repeated.

        Raises:
            CallError: this process has no public address, or the caller hung up.
        """
        if not digits or any(key not in "0123456789*#ABCDwW" for key in digits):
            raise CallError("Digits are 0-9, *, #, A-D, and w or W for a pause of half a second or one.")
        if (addresses := self._addresses) is None:
            raise CallError("Digits cannot be sent: this call has no address for a new stream.")
        for secret in (digits, *re.split("[wW]+", digits)):
            self._recorder.hide(secret)
        self._pacing.pause(PauseReason.SENDING_DIGITS, fill=True)
        try:
            if await self.heard(_SPEAK_S) is not Heard.HEARD:
                # Audio that the caller has not heard by now is not repeated later.
                await self._conversation.interrupt(CutCause.CALL)
            document = twiml.play_digits(digits, addresses.stream(self._leg.info))
            if (failure := await self._leg.send_away("digits", document)) is not None:
                raise CallError(f"Digits could not be sent: {failure}.")
            if not await self._leg.back(_REATTACH_S + _DIGIT_S * len(digits)):
                self._lifetime.end(EndReason.STREAM_LOST)
                raise CallError("The call got no new media stream after its digits.")
        finally:
            self._pacing.resume(PauseReason.SENDING_DIGITS)

    # --- the end -------------------------------------------------------------------------------------------------

    async def hang_up(
        self,
        *,
        goodbye: str | None = None,
        within_s: float = 10.0,
        reason: EndReason = EndReason.AGENT_HUNG_UP,
        anyway: bool = False,
    ) -> bool:
        """Ends the call when the caller has heard all queued audio, or after `within_s` seconds at the latest. Returns
        True if the call was ended.

        With `goodbye` (instructions for the model), the model first says goodbye. If the caller speaks before the end,
        the call continues, and the method returns False. If `anyway` is True, the call ends even if the caller speaks.
        `reason` is written to the journal.
        """
        self._pacing.pause(PauseReason.HANGING_UP, fill=True)
        try:
            said = await self.heard(within_s) if goodbye is None else await self.say(goodbye, interruptible=not anyway)
            if said is Heard.NOT_SAID:
                said = await self.play(self._wording.clip("farewell"), interruptible=not anyway)
            if said is Heard.INTERRUPTED and not anyway:
                return False
        finally:
            self._pacing.resume(PauseReason.HANGING_UP)
        self._lifetime.end(reason)
        return True

    async def say_goodbye(self, instructions: str, reason: EndReason) -> None:
        """Lets the model say goodbye as `instructions` say, and then ends the call with `reason`. If the caller speaks
        during the goodbye, the call continues.
        """
        await self.hang_up(goodbye=instructions, reason=reason)

    async def say_farewell(self, instructions: str) -> None:
        """Lets the model say goodbye as `instructions` say, and then ends the call, because the process stops. The call
        ends even if the caller speaks.
        """
        self._recorder.callback("farewell")
        if self._leg.stream is None:
            self._lifetime.end(EndReason.PROCESS_STOPS)
        else:
            await self.hang_up(goodbye=instructions, reason=EndReason.DRAINED, anyway=True)

    async def give_up(self, reason: str) -> None:
        """Apologises to the caller and ends the call, because the call cannot continue. `reason` is the text for the
        journal. If TwiML for such a case is configured, Twilio continues the call with this TwiML.
        """
        self._conversation.end()
        self._pacing.pause(PauseReason.GIVING_UP)
        if self._leg.stream is not None and not self._lifetime.over:
            self._player.sound(None)
            self._player.stop()
            continues = self._leg.fallback_twiml() is not None
            self._player.play_clip("clip:apology", self._wording.clip("hold_the_line" if continues else "apology"))
            await self.heard(_APOLOGY_S, to_come=False)
        release = Release.HANG_UP if self._leg.fallback_twiml() is None else Release.CLOSE
        self._lifetime.end(EndReason.FAILED, reason, release=release)

    # -------------------------------------------------------------------------------------------------------------

    @contextmanager
    def _listening(self, interruptible: bool) -> Iterator[None]:
        if interruptible:
            yield
        else:
            with self.muted(MuteReason.UNINTERRUPTIBLE):
                yield

    @contextmanager
    def _handler(self, handler: SessionHandler) -> Iterator[None]:
        handlers = self._conversation.handlers
        handlers.append(handler)
        try:
            yield
        finally:
            handlers.remove(handler)
