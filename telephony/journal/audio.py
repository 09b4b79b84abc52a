"""Rebuilds the audio of a recorded call: the caller's audio as received, and the agent's audio as the caller *heard*
it. Pure.

The journal contains the agent's audio once, as the model sent it. The same resampler and codec produce the same mu-law
samples from this audio. The media records contain the stream position of each sample, the run records contain the time
at which each position was played, and the interruption records contain which audio was sent and then cleared.
"""

from __future__ import annotations

import zlib
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from realtime_core.audio import g711
from realtime_core.audio.resample import Downsampler3

from .format import EXACT_SAMPLES, Segment, schema_of
from .recorded import Media, Part, PartId, RecordedCall

__all__ = ["CallAudio", "HeardSpan", "pcm_of", "rebuild", "voice_of"]

RATE = 8000
SILENCE = b"\xff"
MIN_DRY_MS = 100
SAME_STEP_S = 0.02
"""The maximum difference in seconds between the recorded times of an interruption and of the `clear` message that it
caused. Both happen in one step of the event loop, but their times are read one after the other.
"""


@dataclass(frozen=True, slots=True)
class HeardSpan:
    """A piece of an answer's audio part that the caller heard. It begins at sample `offset` of the part and at sample
    `at` of the call, and has `length` samples.
    """

    part: PartId
    offset: int
    at: int
    length: int


@dataclass(frozen=True, slots=True)
class CallAudio:
    """The audio of both sides in mu-law at 8 kHz, with equal length. Sample n was heard at n / 8 ms of the call.

    `spans` are the pieces of the agent's side that the caller heard, in order. `mismatches` is the number of media
    messages whose rebuilt samples do not have the recorded length and checksum. (In schema 3 and older, only the length
    is compared.) The number is 0 if the journal is complete.
    """

    caller: bytes
    agent: bytes
    spans: tuple[HeardSpan, ...]
    mismatches: int


def rebuild(call: RecordedCall) -> CallAudio:
    """Returns the audio of both sides of a recorded call, computed from the journal. The agent's side is cut
    off where the caller's side ends.
    """
    voices = {part_id: voice_of(part, call.output_format) for part_id, part in call.parts.items()}
    agent = bytearray(SILENCE * len(call.caller))
    spans: list[HeardSpan] = []
    mismatches = 0
    exact = schema_of(call.header) >= EXACT_SAMPLES
    stretches = played_stretches(call)
    for media in call.media:
        payload = _with_bed(call, media, b"".join(_samples(voices, segment) for segment in media.segments))
        mismatches += len(payload) != media.n_bytes or (
            exact and media.crc32 is not None and zlib.crc32(payload) != media.crc32
        )
        for start, end, at in stretches:
            first, last = max(start, media.position), min(end, media.position + len(payload))
            last = min(last, first + len(agent) - (at + first - start))
            if first >= last:
                continue
            where = at + first - start
            agent[where : where + last - first] = payload[first - media.position : last - media.position]
            spans += _heard(media, first, last, where - first)
    return CallAudio(bytes(call.caller), bytes(agent), tuple(_joined(spans)), mismatches)


def voice_of(part: Part, output_format: str) -> bytes:
    """Returns the agent's audio of one content part, or of a clip, as mu-law at 8 kHz. `output_format` is the format in
    which the model sent the audio. Audio at 24 kHz is resampled piece by piece, as in the call, so the samples are the
    same. If the part is complete, the last samples of the resampler are added.
    """
    if part.is_clip or output_format == "audio/pcmu":
        return b"".join(part.chunks)
    resampler = Downsampler3()
    pcm = [resampler.push(chunk) for chunk in part.chunks]
    if part.complete:
        pcm.append(resampler.flush())
    return b"".join(g711.encode(piece) for piece in pcm)


def played_stretches(call: RecordedCall) -> list[tuple[int, int, int]]:
    """Returns the stretches of audio that the caller heard without a gap, in order. Each stretch is a tuple of three
    numbers of samples (8 kHz): (start, end, time).

    `start` and `end` are positions in the audio that was sent to Twilio: the first sample of the stretch, and the
    sample after the last. `time` is the time in the call at which the caller heard the first sample.
    """
    sent = max((media.position + media.n_bytes for media in call.media), default=0)
    runs = sorted(call.runs.items())
    runs += _open_runs(call, runs[-1] if runs else None)
    dead = [(_cut_position(call, t, runs), _sent_at(call, t)) for t in call.clears]
    dead += [(stream.heard, stream.sent) for stream in call.streams if stream.heard is not None]
    stretches = []
    for n, (position, ms) in enumerate(runs):
        end = runs[n + 1][0] if n + 1 < len(runs) else sent
        at = round(ms * 8)
        for start, stop in _without(position, end, dead):
            stretches.append((start, stop, at + start - position))
    return stretches


def pcm_of(ulaw: bytes) -> NDArray[np.int16]:
    """Converts mu-law to 16-bit samples."""
    return np.frombuffer(g711.decode(ulaw), dtype="<i2")


def _samples(voices: Mapping[PartId, bytes], segment: Segment) -> bytes:
    voice = voices.get((segment.item_id, segment.content_index), b"") if segment.item_id else b""
    return voice[segment.offset : segment.offset + segment.length].ljust(segment.length, SILENCE)


def _with_bed(call: RecordedCall, media: Media, speech: bytes) -> bytes:
    """Returns the sent samples: the speech mixed with the clip under it."""
    if media.bed is None:
        return speech
    clip, at = call.clips.get(media.bed[0], b""), media.bed[1]
    if not clip:
        return speech
    at %= len(clip)
    bed = (clip[at:] + clip * (len(speech) // len(clip) + 1))[: len(speech)]
    return g711.mix(speech, bed) if any(segment.item_id for segment in media.segments) else bed


def _heard(media: Media, first: int, last: int, shift: int) -> list[HeardSpan]:
    spans = []
    for segment in media.segments:
        start, end = max(first, segment.position), min(last, segment.position + segment.length)
        if segment.item_id and start < end:
            offset = segment.offset + start - segment.position
            spans.append(HeardSpan((segment.item_id, segment.content_index), offset, start + shift, end - start))
    return spans


def _joined(spans: list[HeardSpan]) -> list[HeardSpan]:
    joined: list[HeardSpan] = []
    for span in spans:
        last = joined[-1] if joined else None
        if last and last.part == span.part and span.offset - last.offset == span.at - last.at == last.length:
            joined[-1] = HeardSpan(last.part, last.offset, last.at, last.length + span.length)
        else:
            joined.append(span)
    return joined


def _open_runs(call: RecordedCall, last: tuple[int, float] | None) -> list[tuple[int, float]]:
    """Returns the runs that a truncated journal does not contain. A run begins when audio is sent after all earlier
    audio was played.
    """
    runs: list[tuple[int, float]] = []
    after_clear = {_sent_at(call, t) for t in call.clears}
    for media in call.media:
        if last and media.position < last[0]:
            continue
        now_ms = call.ms(media.t)
        dry = last is None or now_ms > last[1] + (media.position - last[0]) / 8 + MIN_DRY_MS
        if dry or (media.position in after_clear and last is not None and media.position > last[0]):
            last = (media.position, now_ms)
            runs.append(last)
    return runs


def _cut_position(call: RecordedCall, t: float, runs: list[tuple[int, float]]) -> int:
    """Returns the stream position of a clear: the position of its interruption, or the position that was playing."""
    for interruption in call.interruptions:
        if interruption.position is not None and abs(interruption.t - t) < SAME_STEP_S:
            return interruption.position
    sent = _sent_at(call, t)
    playing = [(position, ms) for position, ms in runs if position < sent and ms <= call.ms(t)]
    return min(sent, playing[-1][0] + int((call.ms(t) - playing[-1][1]) * 8)) if playing else sent


def _sent_at(call: RecordedCall, t: float) -> int:
    return max((media.position + media.n_bytes for media in call.media if media.t <= t), default=0)


def _without(start: int, end: int, dead: list[tuple[int, int]]) -> list[tuple[int, int]]:
    """Returns the parts of the interval that are outside of the `dead` intervals."""
    pieces = [(start, end)]
    for dead_start, dead_end in dead:
        pieces = [
            piece
            for a, b in pieces
            for piece in ((a, min(b, dead_start)), (max(a, dead_end), b))
            if piece[0] < piece[1]
        ]
    return pieces
