"""Decides when audio is sent to Twilio, and computes how much audio the caller has heard.

Pure: the methods take `now` (seconds) and return the commands to send. `next_wake` returns when `poll` must be called.

All audio has a position on one *stream timeline*. The position is the number of mu-law samples (8 kHz) that were sent
before, in all media streams of the call. A `Segment` maps samples of the timeline to samples of a source. Answers,
clips and ambience use the same segments. Playout sends only a limited amount of audio before it is heard (the lead).
Audio that was not sent can be dropped immediately. The lead grows when marks show that Twilio had no audio to play, and
shrinks slowly.

Twilio returns a mark when its audio was played, and also when a `clear` message has removed its audio. The two cases
must be distinguished. Therefore playout sends a mark after each `clear` (the *sentinel*). Marks that Twilio returns
before the sentinel belong to the removed audio. The time between two `clear` messages is a *generation*. The name of
each mark contains the number of its generation and its position.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

from .playhead import LineClock, Playhead

__all__ = ["Clear", "Command", "Cut", "Mark", "Media", "Playout", "Segment", "Source"]

RATE = 8000
FRAME = 160
SILENCE = b"\xff"

_FIRST_MARK = FRAME
"""The distance of the first mark from the start of a run: 20 ms. This mark measures the start delay early."""
_MARK_EVERY = 5 * FRAME
_STEP = 4 * FRAME
"""The number of samples that are sent at once beyond the lead. The process then wakes up every 80 ms and not every 20
ms.
"""
_FIRST_MARK_S = 0.3
"""If the first mark of a stream is not returned in this time in seconds, a missing mark does not prove that playback
stands still. Audio is sent by the clock then.
"""
_NO_MARKS_S = 2.0
"""If the first mark of a stream is not returned in this time in seconds, the far end returns no marks. Audio counts as
heard by the clock then.
"""
_LEAD_MIN = int(0.400 * RATE)
_LEAD_MAX = int(2.000 * RATE)
_LEAD_GROWTH = int(0.200 * RATE)
_LEAD_DECAY = RATE // 1000
"""The number of samples by which the lead shrinks with each punctual mark: 1 ms (about 10 ms a second)."""
_BED_LEAD = int(0.120 * RATE)
"""The lead of the ambience sound alone, in samples. An answer has to wait until this audio has played."""

Source = tuple[str, int]
"""The key of the audio that is played: (item id, content index). Clips and ambience have keys of their own."""


@dataclass(frozen=True, slots=True)
class Media:
    """The command to send the audio `payload` (mu-law). `position` is the position of its first sample on the stream
    timeline.
    """

    payload: bytes
    position: int
    segments: tuple[Segment, ...]


@dataclass(frozen=True, slots=True)
class Mark:
    name: str


@dataclass(frozen=True, slots=True)
class Clear:
    pass


Command = Media | Mark | Clear


@dataclass(frozen=True, slots=True)
class Segment:
    """A piece of the stream timeline, from the position `start` to the position `end`, in samples. In this piece, the
    audio of `source` plays, beginning at the sample `offset` of that audio. `source` is None for padding and silence.
    """

    start: int
    end: int
    source: Source | None
    offset: int
    payload: bytes


@dataclass(frozen=True, slots=True)
class Cut:
    """How much of one answer or clip the caller had heard when playback stopped. `source` is the key of the answer or
    clip.

    `samples` is the number of heard samples. `finished` is True if the audio was complete and the caller heard all of
    it.
    """

    source: Source
    samples: int
    finished: bool


@dataclass(slots=True)
class _Chunk:
    """A piece of audio that was queued and not sent."""

    source: Source | None
    offset: int
    payload: bytes


@dataclass(slots=True)
class _Track:
    """The state of one source: the number of received samples, the number of samples that were certainly heard or
    dropped, and whether the source is complete.
    """

    received: int = 0
    gone: int = 0
    ended: bool = False


@dataclass(frozen=True, slots=True)
class _Pending:
    """A mark that was sent and that Twilio has not returned. A probe is sent before the audio of its run, or after a
    clear. After a clear, `run` is None.
    """

    name: str
    position: int
    sent_at: float
    probe: bool
    run: Playhead | None


class Playout:
    """Decides when the audio of one call is sent to Twilio, and computes how much of the audio the caller has heard.
    `bed(n)` returns n samples of ambience (mu-law). `mix(speech, bed)` mixes ambience and speech. Between answers only
    the ambience plays. `now` is in seconds on the local clock, such as the clock of the event loop.
    """

    def __init__(
        self, *, bed: Callable[[int], bytes] | None = None, mix: Callable[[bytes, bytes], bytes] | None = None
    ) -> None:
        self.line = LineClock()
        self.lead = _LEAD_MIN
        self.sent = 0
        self.generation = 0
        self.underruns = 0
        """The number of times that no audio was ready in the middle of an answer or a clip."""
        self.runs: list[tuple[int, float]] = []
        """The runs of playback (playback without a gap), for the journal. Each run has two entries, one at its start
        and one at its end: the position of the first sample, and the estimated time at which this sample plays. The
        time is in seconds on the clock of the caller's frames. The player empties the list.
        """
        self._bed, self._mix = bed, mix
        self._queue: deque[_Chunk] = deque()
        self._queued = 0
        self._tracks: dict[Source, _Track] = {}
        self._segments: deque[Segment] = deque()
        self._marks: deque[_Pending] = deque()
        self._playhead: Playhead | None = None
        self._start_delay = 0.0
        self._marked = 0
        self._serial = 0
        self._confirmed_position = 0
        self._frame_at = math.inf
        self._started_at = math.inf
        self._held = False
        self._level: Callable[[bytes], bytes] | None = None

    # --- input ---------------------------------------------------------------------------------------------------

    def start(self, now: float) -> list[Command]:
        """Returns the first command for the media stream: a mark without audio before it (a probe). Twilio returns this
        mark immediately, which shows the delay of the line.
        """
        self._started_at = now
        return [self._mark(now, probe=True)]

    def enqueue(self, source: Source, payload: bytes) -> None:
        """Queues mu-law audio after all queued audio. `source` is the key of the answer or clip to which the audio
        belongs.
        """
        if payload:
            track = self._tracks.setdefault(source, _Track())
            self._push(_Chunk(source, track.received, payload))
            track.received += len(payload)

    def end(self, source: Source) -> None:
        """Marks the audio of the answer or clip with the key `source` as complete, because all of this audio was
        queued. If this audio is the last in the queue, silence is added until the last frame of 20 ms is full.
        """
        if (track := self._tracks.get(source)) is None:
            return
        track.ended = True
        self._drop_finished(source)
        if self._queue and self._queue[-1].source == source:
            self._push(_Chunk(None, 0, SILENCE * (-self._queued % FRAME)))

    def frame(self, timestamp_s: float, now: float) -> None:
        """Corrects the estimate of what the caller has heard, because a frame of the caller's audio has arrived at
        `now`. `timestamp_s` is the media timestamp of the frame in seconds. Twilio plays audio on the clock of these
        timestamps.
        """
        self.line.frame(timestamp_s, now)
        self._frame_at = now
        if (run := self._playhead) is None:
            return
        if not self.line.known and now > self._started_at + _FIRST_MARK_S:
            run.ignore_waiting()
            return
        for mark in self._marks:
            if not mark.probe:
                if run.waiting(mark.position, timestamp_s):
                    self._grow_lead()
                break

    def _play_by_clock(self, now: float) -> None:
        """Counts audio as heard by the clock, if the far end returns no marks."""
        if self.line.known or now < self._started_at + _NO_MARKS_S:
            return
        self._confirmed_position = self.heard_position(now)
        while self._marks and self._marks[0].position < self._confirmed_position:
            self._marks.popleft()
        self._forget(self._confirmed_position)

    def mark(self, name: str, now: float) -> None:
        """Updates the estimate of what the caller has heard: Twilio returned the mark `name` at the time `now`, so all
        audio before the mark was played. Unknown marks, and marks of audio that was removed by a `clear` message, are
        ignored.
        """
        if all(pending.name != name for pending in self._marks):
            return
        while (pending := self._marks.popleft()).name != name:
            pass
        if pending.probe:
            x = self.line.probe(pending.sent_at, now)
            if pending.run is not None:
                pending.run.arrived(x)
        elif (run := self._playhead) is not None:
            if run.played(pending.position, now):
                self._grow_lead()
            self._confirmed_position = pending.position
            self.lead = max(_LEAD_MIN, self.lead - _LEAD_DECAY)
            if run.start_delay is not None:
                self._start_delay = run.start_delay
            self._forget(self._confirmed_position)

    def _grow_lead(self) -> None:
        """Increases the lead, because playback had no audio or stopped for a moment."""
        self.lead = min(_LEAD_MAX, self.lead + _LEAD_GROWTH)

    # --- output --------------------------------------------------------------------------------------------------

    def poll(self, now: float) -> list[Command]:
        """Returns the media messages that must be sent now. Playout sends audio only a limited time before the caller
        hears the audio.
        """
        commands: list[Command] = []
        self._play_by_clock(now)
        if self._held:
            return commands
        ahead = self._ahead(now)
        lead = self._lead_now()
        room = lead + _STEP - ahead if ahead <= lead else 0
        while (size := self._sendable(room)) > 0:
            if ahead <= 0:
                commands.append(self._begin_run(now))
                ahead = FRAME
            first = self._playhead is not None and self.sent == self._playhead.base
            size = min(size, _FIRST_MARK if first else self._marked + _MARK_EVERY - self.sent)
            commands.append(self._media(size))
            room -= size
            if first or self.sent - self._marked >= _MARK_EVERY or self._sendable(room) <= 0:
                commands.append(self._mark(now))
        return commands

    def next_wake(self, now: float) -> float | None:
        """Returns the time of the next call of `poll`: the time at which Twilio needs more audio, or the time at which
        the audio was heard if the far end returns no marks. Returns None if `poll` is needed only after new input.
        """
        if self._held or (self._queued < FRAME and self._bed is None):
            if self.line.known or not self._segments:
                return None
            return max(self._started_at + _NO_MARKS_S, now + (self.sent - self.heard_position(now) + 1) / RATE)
        excess = self._ahead(now) - self._lead_now()
        return now if excess <= 0 else now + (excess + 1) / RATE

    def _ahead(self, now: float) -> int:
        """Returns the number of samples that Twilio will still have when a message that is sent at `now` arrives."""
        return 0 if self._playhead is None else self.sent - self._playhead.position(self.line.effect(now))

    def _lead_now(self) -> int:
        return self.lead if self._queued >= FRAME or self._bed is None else _BED_LEAD

    def _sendable(self, room: int) -> int:
        """Returns the number of samples in whole frames that may be sent within `room`."""
        available = self._queued - self._queued % FRAME
        if available == 0 and self._bed is not None:
            available = room + FRAME
        return min(available, -(-room // FRAME) * FRAME)

    def _begin_run(self, now: float) -> Command:
        if self._playhead is not None:
            self._end_run(self._playhead)
            if self._segments and self._queue and self._segments[-1].source == self._queue[0].source is not None:
                self.underruns += 1
                self._grow_lead()
        self._playhead = Playhead(self.line, self.sent, RATE, now, self._start_delay)
        self.runs.append((self._playhead.base, self._playhead.origin))
        return self._mark(now, probe=True)

    def _end_run(self, run: Playhead) -> None:
        self.runs.append((run.base, run.origin))

    def _media(self, size: int) -> Media:
        position, segments = self.sent, []
        while self.sent < position + size and self._queue:
            chunk = self._queue[0]
            payload = chunk.payload[: position + size - self.sent]
            segments.append(Segment(self.sent, self.sent + len(payload), chunk.source, chunk.offset, payload))
            self.sent += len(payload)
            self._queued -= len(payload)
            if len(payload) == len(chunk.payload):
                self._queue.popleft()
            else:
                chunk.payload = chunk.payload[len(payload) :]
                chunk.offset += len(payload)
        speech = b"".join(segment.payload for segment in segments)
        if self._level is not None:
            speech = self._level(speech)
        if self._bed is not None:
            bed = self._bed(size)
            speech = self._mix(speech, bed) if speech and self._mix is not None else speech or bed
            if not segments:
                segments = [Segment(position, position + size, None, 0, speech)]
                self.sent += size
        self._segments.extend(segments)
        return Media(speech, position, tuple(segments))

    def _mark(self, now: float, *, probe: bool = False) -> Mark:
        self._serial += 1
        name = f"{'probe' if probe else 'heard'}:{self.generation}:{self.sent}:{self._serial}"
        self._marks.append(_Pending(name, self.sent, now, probe, self._playhead))
        if not probe:
            self._marked = self.sent
        return Mark(name)

    # --- heard audio ---------------------------------------------------------------------------------------------

    def heard_position(self, now: float) -> int:
        """Returns the position of the last sample that the caller hears if a `clear` message is sent at `now`. The
        `clear` takes effect at Twilio only after a delay, and the caller hears the audio of this time, too. Positions
        count the sent samples (8 kHz). The result is at most the end of the sent audio, and at least the position that
        Twilio's marks have confirmed.
        """
        if self._playhead is None:
            return self.sent
        return max(self._confirmed_position, min(self.sent, self._playhead.position(self.line.expected_effect(now))))

    def unheard(self, now: float) -> bytes:
        """Returns the sent audio (mu-law, 8 kHz) that the caller has not heard, without the ambience sound."""
        heard, audio = self.heard_position(now), bytearray()
        for segment in self._segments:
            if segment.end > heard:
                audio += segment.payload[max(0, heard - segment.start) :]
        return bytes(audio)

    def plays_at(self, position: int) -> float | None:
        """Returns the time at which the caller hears the sample `position`, in seconds on the clock of the media
        timestamps in the caller's frames. `position` counts the sent samples (8,000 in a second). Returns None if
        nothing plays, or if the sample is before the last gap in playback.
        """
        run = self._playhead
        return None if run is None or position < run.base else run.origin + (position - run.base) / RATE

    @property
    def confirmed_position(self) -> int:
        """The position on the stream timeline, in samples, up to which the caller has heard the audio according to
        Twilio's marks.
        """
        return self._confirmed_position

    def silent_at(self, now: float) -> float:
        """Returns the time at which playback stops if a `clear` message is sent at `now`, in seconds on the clock of
        the caller's frames.
        """
        return self.line.expected_effect(now)

    def cuts(self, now: float) -> list[Cut]:
        """Returns how much was heard at `now`, as a `Cut`, of each answer or clip that is queued, playing or
        incomplete, in playing order.
        """
        heard = self.heard_position(now)
        samples = {source: track.received for source, track in self._tracks.items()}
        for chunk in reversed(self._queue):
            if chunk.source is not None:
                samples[chunk.source] = chunk.offset
        for segment in reversed(self._segments):
            if segment.source is not None and segment.end > heard:
                samples[segment.source] = segment.offset + max(0, heard - segment.start)
        return [
            Cut(source, count, track.ended and count >= track.received)
            for source, track in self._tracks.items()
            for count in (samples[source],)
        ]

    def stop(self, now: float) -> tuple[list[Command], list[Cut]]:
        """Stops playback, and drops the queued audio and the audio at Twilio. Returns the commands for Twilio, and how
        much the caller had heard of each answer or clip. If the caller has heard all audio, there is no command.
        """
        cuts = [cut for cut in self.cuts(now) if not cut.finished]
        commands = self._clear(now)
        self._queue.clear()
        self._queued = 0
        self._tracks.clear()
        self._held, self._level = False, None
        return commands, cuts

    def hold(self, now: float) -> list[Command]:
        """Stops playback and keeps the audio that the caller has not heard. `release` continues playback at the exact
        sample. Returns the commands that must be sent to Twilio.
        """
        if self._held:
            return []
        self._held = True
        return self._rewind(now)

    def duck(self, now: float, level: Callable[[bytes], bytes]) -> list[Command]:
        """Plays the audio from the last heard sample on at another level, until `release`. The ambience sound keeps its
        level. Returns the commands that must be sent to Twilio. `level` changes the level of mu-law audio.
        """
        if self._held or self._level is not None:
            return []
        self._level = level
        return self._rewind(now)

    def lose_line(self, now: float) -> None:
        """Stops playback, because the media stream has ended. Audio that was sent after the last frame from the caller
        arrived counts as not heard. Audio that was not heard is kept for the next stream. The delay measurements are
        dropped.
        """
        arrived = (mark.position for mark in self._marks if mark.sent_at <= self._frame_at)
        self._rewind(now, at_most=max(arrived, default=self._confirmed_position))
        self.finish()
        self.generation += 1
        self._marks.clear()
        self._confirmed_position = self.sent
        self.line = LineClock()

    def _rewind(self, now: float, at_most: float = math.inf) -> list[Command]:
        """Moves sent audio that the caller has not heard back to the queue. `at_most` is an upper limit of the heard
        position.
        """
        heard = int(min(self.heard_position(now), max(at_most, self._confirmed_position)))
        self._forget(heard)
        for segment in reversed(self._segments):
            if segment.source is None:
                continue
            skip = max(0, heard - segment.start)
            self._queue.appendleft(_Chunk(segment.source, segment.offset + skip, segment.payload[skip:]))
            self._queued += len(segment.payload) - skip
            self._tracks[segment.source].gone += skip
        commands = self._clear(now)
        if self._queue and self._all_ended():
            self._push(_Chunk(None, 0, SILENCE * (-self._queued % FRAME)))
        return commands

    def release(self, now: float) -> list[Command]:
        """Continues playback at the normal level from the last heard sample on, after `hold` has stopped playback or
        `duck` has changed the level. Returns the commands that must be sent to Twilio.
        """
        ducked, self._held, self._level = self._level is not None, False, None
        return self._rewind(now) if ducked else []

    def finish(self) -> None:
        """Counts the audio that was sent as no longer playing, because the media stream has ended."""
        if self._playhead is not None:
            self._end_run(self._playhead)
            self._playhead = None

    @property
    def busy(self) -> bool:
        """Whether audio is queued, or was sent and is not yet confirmed by a mark as heard."""
        return bool(self._tracks)

    @property
    def queued(self) -> int:
        """The number of samples that are queued."""
        return self._queued

    def speech_left(self, now: float) -> int:
        """Returns the number of samples that the caller has not heard at `now`, up to the last sample of an answer or
        clip. The ambience sound is not counted.
        """
        heard = self.heard_position(now)
        if self._queued:
            return self.sent - heard + self._queued
        last = next((segment.end for segment in reversed(self._segments) if segment.source is not None), heard)
        return max(0, last - heard)

    def set_bed(self, bed: Callable[[int], bytes] | None) -> None:
        """Sets the ambience sound, which plays in the background. `bed(n)` returns the next n samples of the sound
        (mu-law, 8 kHz). None removes the ambience sound. Audio that was already sent plays to its end.
        """
        self._bed = bed

    def _clear(self, now: float) -> list[Command]:
        """Returns a clear and its sentinel mark. Returns nothing if the caller has heard all audio. Twilio returns the
        sentinel immediately. Marks that are returned before the sentinel may have been flushed.
        """
        run, needed = self._playhead, self.sent > self.heard_position(now)
        self._segments.clear()
        if not needed:
            return []
        if run is not None:
            self._end_run(run)
        self.generation += 1
        self._marks.clear()
        self._playhead = None
        self._confirmed_position = self.sent
        return [Clear(), self._mark(now, probe=True)]

    def _forget(self, heard: int) -> None:
        """Removes the segments that the caller has heard, so the memory does not grow during the call."""
        while self._segments and self._segments[0].end <= heard:
            segment = self._segments.popleft()
            if segment.source is not None and (track := self._tracks.get(segment.source)) is not None:
                track.gone += segment.end - segment.start
                self._drop_finished(segment.source)

    def _drop_finished(self, source: Source) -> None:
        track = self._tracks[source]
        if track.ended and track.gone >= track.received:
            del self._tracks[source]

    def _all_ended(self) -> bool:
        return all(track.ended for track in self._tracks.values())

    def _push(self, chunk: _Chunk) -> None:
        if chunk.payload:
            self._queue.append(chunk)
            self._queued += len(chunk.payload)
