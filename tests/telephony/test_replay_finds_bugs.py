"""A test of the test tool: bugs are put into the code one at a time, and replaying recorded calls finds each of
them."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import Any

import pytest

from realtime_core.audio.resample import Downsampler3, Upsampler3
from realtime_core.openai_realtime import protocol
from realtime_core.openai_realtime.server_session import session
from realtime_core.openai_realtime.server_session.requests import ResponseRequests
from realtime_core.openai_realtime.server_session.user_inputs import UserInputs
from realtime_core.playback import HeardItem, PlaybackLedger
from realtime_core.response_effects import CancelResponse, CreateResponse
from realtime_core.tool_calls import ToolCalls
from telephony.call.controls import Controls
from telephony.call.conversation import Conversation
from telephony.call.ending import EndReason
from telephony.call.line import playout
from telephony.call.line.player import LinePlayer
from telephony.call.line.playout import Clear, Command, Playout
from telephony.call.streams import CallStreams
from telephony.replay.compare import Divergence
from telephony.replay.replaying import replay_call
from telephony.twilio import media_stream
from tests.support.recorded_calls import AGENT, recorded

Patch = pytest.MonkeyPatch


def late_clear(patch: Patch) -> None:
    send = LinePlayer._send

    def late(self: LinePlayer, commands: Sequence[Command]) -> None:
        clears = [command for command in commands if isinstance(command, Clear)]
        send(self, [command for command in commands if not isinstance(command, Clear)])
        if clears:
            asyncio.get_running_loop().call_later(0.08, send, self, clears)

    patch.setattr(LinePlayer, "_send", late)


def truncation_at_sent(patch: Patch) -> None:
    heard = LinePlayer._heard

    def sent(self: LinePlayer, cut: Any) -> HeardItem:
        item = heard(self, cut)
        return HeardItem(item.item_id, item.content_index, item.heard_ms + 400, item.finished)

    patch.setattr(LinePlayer, "_heard", sent)


def old_mark_counted(patch: Patch) -> None:
    mark = Playout.mark

    def counted(self: Playout, name: str, now: float) -> None:
        kind, generation, position, *_ = name.split(":")
        if kind == "heard" and int(generation) < self.generation and self._playhead is not None:
            self._playhead.played(int(position), now)
        mark(self, name, now)

    patch.setattr(Playout, "mark", counted)


def lost_tool_result(patch: Patch) -> None:
    patch.setattr(UserInputs, "_tool_output", lambda self, event: None)


def doubled_response_create(patch: Patch) -> None:
    perform = ResponseRequests.perform

    def doubled(self: ResponseRequests, effects: Any) -> None:
        perform(self, [twice for effect in effects for twice in [effect] * (1 + isinstance(effect, CreateResponse))])

    patch.setattr(ResponseRequests, "perform", doubled)


def resampler_reset_per_chunk(patch: Patch) -> None:
    push = Downsampler3.push_to_ulaw

    def fresh(self: Downsampler3, pcm: bytes) -> bytes:
        self.reset()
        return push(self, pcm)

    patch.setattr(Downsampler3, "push_to_ulaw", fresh)


def caller_resampler_loses_a_sample(patch: Patch) -> None:
    push, calls = Upsampler3.push_ulaw, iter(range(10**9))
    patch.setattr(Upsampler3, "push_ulaw", lambda self, pcm: push(self, pcm)[: -2 if next(calls) == 300 else None])


def off_by_one_frame(patch: Patch) -> None:
    enqueue = Playout.enqueue
    patch.setattr(Playout, "enqueue", lambda self, source, payload: enqueue(self, source, payload[160:]))


def hang_up_before_the_goodbye_is_heard(patch: Patch) -> None:
    async def at_once(self: Controls, within_s: float, *, to_come: bool = True) -> str:
        return "heard"

    patch.setattr(Controls, "heard", at_once)


def needless_cancel(patch: Patch) -> None:
    interrupt = ResponseRequests.interrupt

    def cancels(self: ResponseRequests) -> Any:
        active = self.responses.active_id
        interrupted = interrupt(self)
        if active is not None:
            self.perform([CancelResponse("evt_x", active, False)])
        return interrupted

    patch.setattr(ResponseRequests, "interrupt", cancels)


def old_answer_goes_on_after_the_clear(patch: Patch) -> None:
    stop = Playout.stop

    def keeps(self: Playout, now: float) -> Any:
        kept, queued, tracks = list(self._queue), self._queued, dict(self._tracks)
        result = stop(self, now)
        self._queue.extend(kept)
        self._queued = queued
        self._tracks.update(tracks)
        return result

    patch.setattr(Playout, "stop", keeps)


def lead_too_long(patch: Patch) -> None:
    patch.setattr(playout, "_LEAD_MIN", 16000)
    init = Playout.__init__

    def long(self: Playout, **options: Any) -> None:
        init(self, **options)
        self.lead = 16000

    patch.setattr(Playout, "__init__", long)


def key_told_twice(patch: Patch) -> None:
    press = Conversation.press

    async def twice(self: Conversation, *args: Any, **options: Any) -> None:
        await press(self, *args, **options)
        await press(self, *args, **options)

    patch.setattr(Conversation, "press", twice)


def tool_runs_twice(patch: Patch) -> None:
    begin = ToolCalls.begin

    def twice(self: ToolCalls, event: Any) -> None:
        begin(self, event)
        self._calls.clear()
        begin(self, event)

    patch.setattr(ToolCalls, "begin", twice)


def truncation_forgotten(patch: Patch) -> None:
    patch.setattr(PlaybackLedger, "truncations", lambda self, heard: [])


def greeting_forgotten(patch: Patch) -> None:
    begin = Conversation.begin

    async def silent(self: Conversation) -> None:
        self._options.greeting = None
        await begin(self)

    patch.setattr(Conversation, "begin", silent)


def frames_dropped(patch: Patch) -> None:
    hear, frames = Conversation.hear, iter(range(10**9))

    def lossy(self: Conversation, ulaw: bytes, stamp_ms: float = 0.0) -> None:
        if next(frames) != 200:
            hear(self, ulaw, stamp_ms)

    patch.setattr(Conversation, "hear", lossy)


def hang_up_is_not_noticed(patch: Patch) -> None:
    patch.setattr(CallStreams, "on_stream_end", lambda self, stream, *, stopped: asyncio.get_running_loop().call_later(
        0.5, self._lifetime.end, EndReason.HUNG_UP
    ))  # fmt: skip


# --- protocol code ---------------------------------------------------------------------------------------------------


def speech_is_not_understood(patch: Patch) -> None:
    patch.delitem(protocol.SERVER_EVENTS, "input_audio_buffer.speech_started")


def delta_is_lost(patch: Patch) -> None:
    decode, deltas = session.decode_audio, iter(range(10**9))  # type: ignore[attr-defined]

    def lossy(message: str) -> Any:
        event = decode(message)
        return protocol.AudioDelta(event.response_id, event.item_id, 0, b"") if event and next(deltas) == 3 else event  # type: ignore[attr-defined]

    patch.setattr(session, "decode_audio", lossy)


def media_is_cut_short(patch: Patch) -> None:
    decode, frames = media_stream._frame, iter(range(10**9))

    def short(text: str) -> media_stream.Media | None:
        media = decode(text)
        return media._replace(payload=media.payload[:-1]) if media is not None and next(frames) == 250 else media

    patch.setattr(media_stream, "_frame", short)


Bug = Callable[[Patch], None]
BUGS: list[tuple[Bug, str, str, str, str, str]] = [
    # the bug, and a call that shows it; the first divergence: its kind and lane, what it says, and what came before it
    (late_clear, "demo", "late", "phone", "clear came 80 ms too late", "speech_started"),
    (truncation_at_sent, "demo", "changed", "model", "conversation.item.truncate: audio_end_ms", "phone  <- clear"),
    (old_mark_counted, "keys", "early", "phone", "was sent", "mark (name=probe:1"),  # marks of generation 0 are counted
    (lost_tool_result, "demo", "missing", "model", "conversation.item.create", "tool.start"),
    (doubled_response_create, "demo", "extra", "model", "response.create is not in the recording", "response.create"),
    (resampler_reset_per_chunk, "demo", "audio", "phone", "the samples from 200 ms on", "content_part.added"),
    (caller_resampler_loses_a_sample, "demo", "audio", "model", "the caller's audio", ""),
    (off_by_one_frame, "demo", "audio", "phone", "the samples from 0 ms on", "content_part.added"),
    (hang_up_before_the_goodbye_is_heard, "let_go", "early", "tools", "say_goodbye returns", "action=hang_up"),
    (needless_cancel, "breaks_in", "extra", "model", "response.cancel", "interruption("),
    (old_answer_goes_on_after_the_clear, "demo", "audio", "phone", "ms of it were sent, and 4700 ms then", ""),
    (lead_too_long, "demo", "early", "phone", "was sent 320 ms too early", "content_part.added"),
    (key_told_twice, "demo", "extra", "model", "conversation.item.create", "conversation.item.create"),
    (tool_runs_twice, "demo", "extra", "tools", "tool book_table", "tool.start"),
    (truncation_forgotten, "demo", "missing", "model", "conversation.item.truncate", "phone  <- clear"),
    (greeting_forgotten, "demo", "missing", "model", "response.create", "session.updated"),
    (frames_dropped, "demo", "audio", "model", "the caller's audio", ""),
    (hang_up_is_not_noticed, "demo", "late", "call", "the call ends came 500 ms too late", ""),
    (speech_is_not_understood, "demo", "missing", "phone", "clear", "speech_started"),
    (delta_is_lost, "demo", "audio", "phone", "samples", "content_part.added"),
    (media_is_cut_short, "demo", "audio", "model", "the caller's audio", ""),
]


@pytest.mark.parametrize(
    ("bug", "kind", "divergence", "lane", "words", "before"), BUGS, ids=[bug[0].__name__ for bug in BUGS]
)
def test_a_bug_is_found(
    bug: Bug, kind: str, divergence: str, lane: str, words: str, before: str, monkeypatch: Patch
) -> None:
    path = recorded(kind)
    bug(monkeypatch)
    call = replay_call(path, AGENT)
    found = call.divergence
    assert isinstance(found, Divergence)
    assert (found.kind, found.lane) == (divergence, lane) and words in found.what, str(found)
    assert any(before in line for line in found.context), str(found)
    assert found.t == min(each.t for each in call.comparison.divergences)
