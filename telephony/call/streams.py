"""The media streams of one call: attaches each stream, and passes the caller's audio, marks and keys to the parts of
the call.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Mapping
from typing import Any

from realtime_core.audio import g711

from ..twilio import media_stream
from .call import Call
from .call_info import TOKEN_PARAMETER, CallInfo
from .callbacks import Callbacks
from .consent_procedure import ConsentProcedure
from .controls import Controls
from .conversation import Conversation
from .ending import EndReason
from .guard import Guard
from .leg.caller_leg import CallerLeg
from .leg.reattach import Reattach
from .lifetime import Lifetime
from .line.player import LinePlayer
from .line.stream import MediaStream
from .options import CallOptions
from .pacing.scheduler import Scheduler
from .recording.recorder import CallRecorder

__all__ = ["CallStreams"]


class CallStreams:
    """Receives the audio, the keys and the marks of the media streams of one call, and passes them to the parts of the
    call, such as the conversation and the player. A call can have several streams, because a new stream replaces a lost
    stream.
    """

    def __init__(
        self,
        call: Call,
        options: CallOptions,
        *,
        callbacks: Callbacks,
        lifetime: Lifetime,
        recorder: CallRecorder,
        leg: CallerLeg,
        reattach: Reattach,
        player: LinePlayer,
        conversation: Conversation,
        pacing: Scheduler,
        controls: Controls,
        consent_procedure: ConsentProcedure,
        guard: Guard | None,
    ) -> None:
        self._call = call
        self._options = options
        self._callbacks = callbacks
        self._lifetime = lifetime
        self._recorder = recorder
        self._leg = leg
        self._player = player
        self._conversation = conversation
        self._pacing = pacing
        self._controls = controls
        self._consent_procedure = consent_procedure
        self._guard = guard
        self._reattach = reattach
        self._now = asyncio.get_running_loop().time

    def attach(self, stream: MediaStream, start: media_stream.Start, info: CallInfo | None = None) -> None:
        """Attaches this media stream to the call, and closes an earlier stream. `start` is the first message of the
        stream. `info` has the data from the stream, for a call that began without a stream.
        """
        leg = self._leg
        self._reattach.attached()
        first, replaces = not leg.had_stream, leg.is_lost
        if first and info is not None:
            leg.info = leg.info.with_stream(info)
        if (before := leg.attach(stream)) is not None:
            self._player.detach()
            before.connection.close(1000, "another stream took its place")
        self._recorder.write("twilio.in", message=_without_token(start.raw))
        self._player.attach(stream.connection, start.stream_sid)
        self._pacing.begin(again=replaces)
        if self._conversation.muted_until_ms != math.inf:
            self._conversation.muted_until_ms = 0.0  # the timestamps of this stream begin at 0
        if first:
            if not self._consent_procedure.has_notice:
                self.greet()
            if not self._conversation.live:
                self._pacing.connecting()
        stream.listen(self, self._recorder)

    def greet(self) -> None:
        """Plays the greeting if it is a clip. The model says any other greeting."""
        if isinstance(self._options.greeting, bytes):
            self._player.play_clip("clip:greeting", self._options.greeting)

    def on_frame(self, timestamp_ms: int, ulaw: bytes) -> None:
        now, timestamp_s = self._now(), timestamp_ms / 1000
        self._pacing.frame(now)
        if self._options.on_frame is not None:
            self._callbacks.call("on_frame", self._options.on_frame, ulaw)
        self._player.playout.frame(timestamp_s, now)
        self._player.latency_meter.frame(timestamp_s, g711.level(ulaw))
        self._conversation.hear(ulaw, timestamp_ms)
        if self._player.monitor.is_on:
            self._player.monitor.frame(ulaw, hidden=self._recorder.seal.hides_caller)

    def on_mark(self, name: str) -> None:
        self._player.mark(name)

    def on_digit(self, digit: str) -> None:
        self._pacing.caller_acted()
        self._recorder.press(digit)
        if self._guard is not None:
            self._guard.pressed()
        if self._consent_procedure.take_digit(digit):
            return
        self._callbacks.call("on_digit", self._options.on_digit, self._call, digit)
        if self._controls.take_digit(digit) or not self._options.digits_to_model:
            return
        self._pacing.expect_answer()
        interrupt = self._options.policy.digits_interrupt and not self._conversation.is_uninterruptible
        self._lifetime.start(self._conversation.press(digit, interrupt=interrupt))

    def on_stream_end(self, stream: MediaStream, *, stopped: bool) -> None:
        if stream is not self._leg.stream:
            return
        self._reattach.detach()
        if self._lifetime.over or self._leg.away is not None:
            return
        if stopped or not self._options.reattach_s:
            self._lifetime.end(EndReason.HUNG_UP if stopped else EndReason.STREAM_LOST)
        else:
            self._reattach.lost()


def _without_token(message: Mapping[str, Any]) -> dict[str, Any]:
    start = dict(message["start"])
    start["customParameters"] = {
        name: value for name, value in (start.get("customParameters") or {}).items() if name != TOKEN_PARAMETER
    }
    return {**message, "start": start}
