"""The secret parts of a call. The words, keys and audio of a secret part are not written to a journal, a log, a trace,
the console, a webhook or a Twilio recording.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

from ..errors import CallError, SecretPartFailed, TelephonyError, TwilioError
from ..logs import sealed_logs
from .call_info import CallInfo
from .line.player import LinePlayer
from .line.playout import RATE
from .ports import PhoneControl
from .recording.recorder import CallRecorder
from .recording.seal import SealReason

__all__ = ["SecretParts"]

_MARGIN_S = 2.0
"""The additional time in seconds, after the queued audio, in which the caller must have heard the audio."""


class SecretParts:
    """Begins and ends the secret parts of one call. The words, keys and audio of a secret part are written nowhere, for
    example to no journal, log or Twilio recording. Secret parts may overlap.
    """

    def __init__(
        self, info: CallInfo, recorder: CallRecorder, player: LinePlayer, control: PhoneControl | None
    ) -> None:
        self._sid = info.sid
        self._recorder = recorder
        self._player = player
        self._control = control
        self._open = 0
        self._paused: str | None = None

    @asynccontextmanager
    async def part(self) -> AsyncIterator[None]:
        """Makes this block a secret part of the call. In this part, the journal contains no words and no audio, and a
        recording at Twilio is paused. The secret part begins when the caller has heard the audio that the agent
        produced before. This audio is still recorded.

        Raises:
            CallError: the recording at Twilio cannot be paused. The secret part does not begin.
            SecretPartFailed: the block raised an exception. The text of the exception is dropped, because the text may
                contain a secret.
        """
        self._recorder.close_seal(SealReason.SECRET)
        self._open += 1
        try:
            with sealed_logs(self._sid):
                if self._open == 1:
                    await self._pause()
                    await self._said()
                try:
                    yield
                except TelephonyError:
                    raise
                except Exception as error:  # noqa: BLE001 - users' code
                    raise SecretPartFailed(type(error).__name__) from None
        finally:
            self._open -= 1
            self._recorder.open_seal(SealReason.SECRET)
            if self._open == 0:
                await self._resume()

    async def _said(self) -> None:
        """Waits until the caller has heard the queued audio, or until the audio was dropped."""
        with suppress(TimeoutError):
            async with asyncio.timeout(self._player.unheard / RATE + _MARGIN_S):
                await self._player.quiet()

    async def _pause(self) -> None:
        if self._control is None:
            return
        try:
            self._paused = await self._control.pause_recording(self._sid)
        except TwilioError as error:
            raise CallError(
                f"The recording at Twilio could not be paused, so nothing secret was said: {error}"
            ) from None

    async def _resume(self) -> None:
        recording, self._paused = self._paused, None
        if self._control is None or recording is None:
            return
        try:
            await self._control.resume_recording(self._sid, recording)
        except TwilioError as error:
            self._recorder.write("error", error=f"The recording at Twilio could not be continued: {error.code}")
