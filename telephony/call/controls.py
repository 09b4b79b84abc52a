"""What a call can be told to do: speak, play, hold, take keys, press keys, hang up."""

from __future__ import annotations

import asyncio
import logging
import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Literal

from realtime_core import events as session_events

from ..errors import CallError
from ..journal.cuts import CutCause
from ..twilio import twiml
from . import clips
from .conversation import SessionHandler
from .digits import DigitCollector, Digits

if TYPE_CHECKING:
    from .session import CallSession

__all__ = ["Controls", "Heard"]

log = logging.getLogger(__name__)

Heard = Literal["heard", "interrupted", "not confirmed", "not said"]

_BEGIN_S = 6.0
"""How long the model may take to begin to speak when it was asked to."""
_SPEAK_S = 60.0
_MARGIN_S = 5.0
_DIGIT_S = 0.5
"""Longer than `<Play digits>` takes for one key."""
_BACK_S = 15.0


class Controls:
    """One call's controls; users get at them by `Call`."""

    def __init__(self, bridge: CallSession) -> None:
        self._bridge = bridge
        self._collector: DigitCollector | None = None
        self._pressed = asyncio.Event()
        self._clips = 0

    # --- speaking ------------------------------------------------------------------------------------------------

    async def say(self, instructions: str, *, interruptible: bool = True) -> Heard:
        """Have the model say something, and wait until it was heard."""
        bridge = self._bridge
        conversation = bridge.conversation
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
                    await conversation.idle.wait()
                    begun.clear()
                    if not await conversation.ask(instructions):
                        return "not said"
                    bridge.conduct.expect_answer()
                    await begun.wait()
            except TimeoutError:
                return "not said"
            heard = await self.heard(_SPEAK_S)
            return "not said" if failed else heard

    async def play(self, ulaw: bytes, *, interruptible: bool = True) -> Heard:
        """Play a clip (mu-law, 8 kHz) behind what is being said, and wait until it was heard."""
        self._clips += 1
        with self._listening(interruptible):
            self._bridge.player.play_clip(f"clip:{self._clips}", ulaw)
            return await self.heard(len(ulaw) / 8000 + _MARGIN_S, to_come=False)

    async def heard(self, within_s: float, *, to_come: bool = True) -> Heard:
        """Wait until all that is being said has been heard, to the last sample, or the caller speaks. `to_come`: also
        what is still to come of the response that is being made."""
        loop, player = asyncio.get_running_loop(), self._bridge.player
        interrupted = False

        def on_event(event: session_events.RealtimeAnyEvent) -> None:
            nonlocal interrupted
            # A turn policy of ours may only hold what is said until it knows that this is no noise.
            if event.type == "audio_interrupted" or (event.type == "speech_started" and not player.playout.busy):
                interrupted = True
                limit.reschedule(loop.time())

        limit = asyncio.timeout(within_s)
        with self._handler(on_event):
            try:
                async with limit:
                    if to_come:
                        await self._bridge.conversation.idle.wait()
                    await player.quiet()
            except TimeoutError:
                if not interrupted:
                    log.warning("Call %s: the line did not confirm what was said.", self._bridge.call.sid)
                    return "not confirmed"
        return "interrupted" if interrupted else "heard"

    # --- hold and mute -------------------------------------------------------------------------------------------

    @contextmanager
    def hold(self, ulaw: bytes | None = None) -> Iterator[None]:
        """The caller hears `ulaw` (mu-law, 8 kHz, looped; default: a waiting sound), and is not heard."""
        bridge = self._bridge
        bridge.conduct.rest("hold")
        bridge.player.sound(ulaw or clips.waiting())
        try:
            with self.muted("hold"):
                yield
        finally:
            bridge.player.sound(None)
            bridge.conduct.resume("hold")

    @contextmanager
    def muted(self, why: str = "mute") -> Iterator[None]:
        """The model hears silence in place of the caller."""
        deaf = self._bridge.conversation.deaf
        deaf.add(why)
        try:
            yield
        finally:
            deaf.discard(why)

    # --- keys ----------------------------------------------------------------------------------------------------

    def take_digit(self, digit: str) -> bool:
        """The caller pressed a key. Returns whether somebody was waiting for it."""
        if self._collector is None:
            return False
        self._collector.press(digit, asyncio.get_running_loop().time())
        self._pressed.set()
        return True

    async def collect_digits(self, prompt: str | bytes | None, collector: DigitCollector) -> Digits:
        """Ask for keys (instructions for the model, or a clip) and take them; the first one silences the prompt."""
        bridge = self._bridge
        if self._collector is not None:
            raise CallError("Digits are being collected already.")
        self._collector = collector
        bridge.conduct.rest("digits")
        self._pressed.clear()
        try:
            async with asyncio.TaskGroup() as group:
                prompting = group.create_task(self._prompt(prompt, collector))
                while collector.result is None:
                    await self._wait_for_key(collector)
                    if collector.begun and not prompting.done():
                        prompting.cancel()
                        await bridge.conversation.interrupt(CutCause.DIGIT)
        finally:
            self._collector = None
            bridge.conduct.resume("digits")
        bridge.record.hide(collector.result.value)
        return collector.result

    async def _prompt(self, prompt: str | bytes | None, collector: DigitCollector) -> None:
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
        """Press keys for the far end. Twilio takes no tones from a stream: the call leaves it for as long as they last,
        and comes back to another one. The session stays as it is, and nothing is said twice.

        Raises:
            CallError: there is no way back, or the caller is gone.
        """
        bridge = self._bridge
        if not digits or any(key not in "0123456789*#ABCDwW" for key in digits):
            raise CallError("Digits are 0-9, *, #, A-D, and w or W for a pause of half a second or one.")
        if (way_back := bridge.options.way_back) is None:
            raise CallError("Digits cannot be sent: this call has no way back to its stream.")
        for secret in (digits, *re.split("[wW]+", digits)):
            bridge.record.hide(secret)
        bridge.conduct.rest("sending digits", fill=True)
        try:
            if await self.heard(_SPEAK_S) != "heard":
                # What was not heard until now is not said again later.
                await bridge.conversation.interrupt(CutCause.CALL)
            document = twiml.play_digits(digits, way_back.stream(bridge.call.info))
            if (failure := await bridge.leg.send_away("digits", document)) is not None:
                raise CallError(f"Digits could not be sent: {failure}.")
            if not await bridge.leg.back(_BACK_S + _DIGIT_S * len(digits)):
                bridge.end("stream lost")
                raise CallError("The call did not come back after its digits.")
        finally:
            bridge.conduct.resume("sending digits")

    # --- the end -------------------------------------------------------------------------------------------------

    async def hang_up(
        self, *, goodbye: str | None = None, within_s: float = 10.0, reason: str = "agent hung up", anyway: bool = False
    ) -> bool:
        """End the call when all was heard, `within_s` after the last word was said at the latest. Returns False, and
        does nothing, when the caller speaks meanwhile, unless `anyway`."""
        bridge = self._bridge
        bridge.conduct.rest("hanging up", fill=True)
        try:
            said = await self.heard(within_s) if goodbye is None else await self.say(goodbye, interruptible=not anyway)
            if said == "not said":
                said = await self.play(clips.farewell(), interruptible=not anyway)
            if said == "interrupted" and not anyway:
                return False
        finally:
            bridge.conduct.resume("hanging up")
        bridge.end(reason)
        return True

    # -------------------------------------------------------------------------------------------------------------

    @contextmanager
    def _listening(self, interruptible: bool) -> Iterator[None]:
        if interruptible:
            yield
        else:
            with self.muted("uninterruptible"):
                yield

    @contextmanager
    def _handler(self, handler: SessionHandler) -> Iterator[None]:
        handlers = self._bridge.conversation.handlers
        handlers.append(handler)
        try:
            yield
        finally:
            handlers.remove(handler)
