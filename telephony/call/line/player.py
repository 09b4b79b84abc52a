"""Plays the audio of the model to the caller: converts the audio, and sends the audio at the times that `Playout`
decides.
"""

from __future__ import annotations

import asyncio
import binascii
import logging
from collections import Counter, deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from enum import Enum, auto
from functools import partial
from typing import Any

from realtime_core.audio import g711
from realtime_core.audio.resample import DOWN_DELAY, Downsampler3
from realtime_core.connection import Connection
from realtime_core.deadline_timer import DeadlineTimer
from realtime_core.playback import HeardItem

from ...audio.mixer import Loop
from ...locales.locale import words_of
from ...twilio import media_stream
from ..recording.recorder import CallRecorder
from .latency import LatencyMeter
from .monitor import Listener, Monitor
from .playout import Clear, Command, Cut, Mark, Media, Playout, Source

__all__ = ["Heard", "LinePlayer"]

log = logging.getLogger(__name__)

_SAMPLES_PER_MS = 8
_MAX_QUEUED = 15 * 60 * 8000
"""The maximum number of samples (15 minutes) of audio that the caller has not heard. More audio is dropped."""

_MAX_FIRST_SAMPLES = 100


class Heard(Enum):
    """The result of playing audio to the caller: whether the caller heard all of the audio, or why not."""

    HEARD = auto()
    INTERRUPTED = auto()
    """The caller spoke, so the rest of the audio was not played."""
    NOT_CONFIRMED = auto()
    """No mark from Twilio confirmed in time that the caller heard the audio."""
    NOT_SAID = auto()
    """The model did not say the requested text."""


@dataclass(slots=True)
class _Background:
    """A background sound under the speech. `sent` is the number of samples that were sent so far."""

    digest: str
    loop: Loop
    sent: int = 0


class LinePlayer:
    """Plays audio to the attached media stream. Without a media stream, the player keeps the audio for the next stream.

    If `passthrough` is True, the model sends mu-law at 8 kHz, and the player does not convert the audio.
    """

    on_sound: Callable[[float], None] = staticmethod(lambda until: None)
    """A function that is called at each change of the queue. The argument is the time until which the caller will hear
    queued audio, in seconds on the loop's clock.
    """
    on_sent: Callable[[int], None] = staticmethod(lambda buffered_bytes: None)
    """A function that is called after each send. The argument is the number of bytes that wait in the connection."""

    def __init__(
        self,
        record: CallRecorder,
        *,
        playout: Playout | None = None,
        ambience: bytes | None = None,
        passthrough: bool = False,
    ) -> None:
        self.playout = playout or Playout(mix=g711.mix)
        self._record = record
        self._ambience = None if ambience is None else _Background(record.clip(ambience), Loop(ambience))
        self._looped: bytes | None = None
        self._set_background(self._ambience)
        self._connection: Connection | None = None
        self._stream_sid = ""
        self._loop = asyncio.get_running_loop()
        self._down = None if passthrough else Downsampler3()
        self._source: Source | None = None
        self._timer = DeadlineTimer(self._on_time)
        self._clips: Counter[str] = Counter()
        self._clip_sources: set[str] = set()
        self.monitor = Monitor()
        """Passes the audio of the call to the people who listen to the call."""
        self._quiet = asyncio.Event()
        self._quiet.set()
        self.latency_meter = LatencyMeter()
        self._first_samples: deque[tuple[int, bool]] = deque(maxlen=_MAX_FIRST_SAMPLES)
        """The first samples of answers and clips that no mark has confirmed yet: the position of each sample, and
        whether the sample belongs to a clip.
        """
        self.silent_at = 0.0
        """The time at which the agent became silent for the caller after the last `stop`, in seconds on the clock of
        the timestamps in the caller's frames.
        """
        self.stops = 0
        """The number of times that `stop` ended the playback before the caller had heard all audio."""
        self.last_stop: tuple[int, tuple[HeardItem, ...]] = (0, ())
        """The position of the last `stop` in the audio that the call has sent, in samples (8 kHz), and how much the
        caller had heard of each item.
        """

    # --- the model's side: realtime_core.playback.Player ---------------------------------------------------------

    def play(self, item_id: str, content_index: int, audio: bytes) -> None:
        source = (item_id, content_index)
        if self._source is not None and self._source != source:
            self._end_source()
        self._source = source
        self._enqueue(source, self._down.push_to_ulaw(audio) if self._down else audio)

    def end(self, item_id: str, content_index: int) -> None:
        if self._source == (item_id, content_index):
            self._end_source()

    def stop(self) -> Sequence[HeardItem]:
        now = self._loop.time()
        position = self.playout.heard_position(now)
        self._first_samples.clear()
        self.silent_at = self.playout.silent_at(now)
        commands, cuts = self.playout.stop(now)
        self.stops += bool(cuts)
        self._send(commands)
        if self._down:
            self._down.reset()
        self._source = None
        self._settle()
        self._sounded()
        self.last_stop = (position, tuple(self._heard(cut) for cut in cuts))
        return self.last_stop[1]

    def hold(self) -> None:
        self._send(self.playout.hold(self._loop.time()))
        self._pump()

    def duck(self, by_db: float) -> None:
        self._send(self.playout.duck(self._loop.time(), partial(g711.quieter, by_db=by_db)))
        self._pump()

    def release(self) -> None:
        self._send(self.playout.release(self._loop.time()))
        self._pump()
        self._sounded()

    def heard(self) -> Sequence[HeardItem]:
        return [self._heard(cut) for cut in self.playout.cuts(self._loop.time())]

    # --- the stream's side ---------------------------------------------------------------------------------------

    def attach(self, connection: Connection, stream_sid: str) -> None:
        """Attaches a media stream, and plays to this stream. Playback starts, or continues at the position where the
        last stream ended.
        """
        self._connection = connection
        self._stream_sid = stream_sid
        self.latency_meter.stream_started()
        self._send(self.playout.start(self._loop.time()))
        self._pump()
        self._sounded()

    def detach(self) -> None:
        """Stops sending audio to Twilio, because the media stream has ended. Audio that the caller has not heard is
        kept for the next stream.
        """
        if self._connection is not None:
            heard = self.playout.heard_position(self._loop.time())
            self.playout.lose_line(self._loop.time())
            self._record_runs(heard=heard)
            self._connection = None
            self._pump()

    def mark(self, name: str) -> None:
        """Corrects the estimate of what the caller has heard, because Twilio returned the mark `name`. Also measures
        the latency of the answers and clips that the caller has begun to hear before this mark.
        """
        self.playout.mark(name, self._loop.time())
        self._confirm()

    def _confirm(self) -> None:
        while self._first_samples and self._first_samples[0][0] < self.playout.confirmed_position:
            position, is_clip = self._first_samples.popleft()
            if (at_s := self.playout.plays_at(position)) is not None:
                self.latency_meter.heard(at_s, is_clip=is_clip)
        self._settle()

    def play_clip(self, name: str, ulaw: bytes) -> None:
        """Queues a clip (mu-law, 8 kHz) after the audio that is already queued. `name` identifies the clip in the names
        of marks and in the journal, where the agent's speech is identified by its item id. A name that was already used
        gets a number.
        """
        if self._source is not None:
            self._end_source()
        self._clips[name] += 1
        name = name if self._clips[name] == 1 else f"{name} {self._clips[name]}"
        text = words_of(ulaw)
        self._clip_sources.add(name)
        if self._record.seal.is_closed:
            self._record.seal.add(name)
        self._record.write("play", item_id=name, clip=self._record.clip(ulaw), **({"text": text} if text else {}))
        self._enqueue((name, 0), ulaw, whole=True)

    def play_voice(self, name: str, ulaw: bytes) -> None:
        """Plays a piece of a person's voice (mu-law, 8 kHz) as a part of the audio `name`. `end_voice` completes this
        audio. The audio belongs to no item of the model.
        """
        self._clip_sources.add(name)
        self._enqueue((name, 0), ulaw)

    def end_voice(self, name: str) -> None:
        """Ends the audio `name` of a person's voice: no more pieces follow. Fills the last frame of the audio (20 ms)
        with silence, so the whole audio is played.
        """
        self.playout.end((name, 0))
        self._settle()
        self._pump()

    @property
    def unheard(self) -> int:
        """The number of samples that the caller has not heard yet: queued samples, and samples that were sent to
        Twilio.
        """
        playout = self.playout
        return playout.queued + playout.sent - playout.heard_position(self._loop.time())

    @contextmanager
    def listen(self) -> Iterator[Listener]:
        """Yields a listener to both sides of the call, during this block."""
        unheard = b"" if self._record.seal.watches else self.playout.unheard(self._loop.time())
        with self.monitor.listen(unheard) as listener:
            yield listener

    def sound(self, ulaw: bytes | None) -> None:
        """Plays the clip `ulaw` (mu-law, 8 kHz) in a loop under the speech and between answers. None restores the
        ambience sound of the call.
        """
        if ulaw is not self._looped:
            self._looped = ulaw
            self._set_background(self._ambience if ulaw is None else _Background(self._record.clip(ulaw), Loop(ulaw)))
            self._pump()

    def _set_background(self, bed: _Background | None) -> None:
        self._background = bed
        self.playout.set_bed(None if bed is None else bed.loop.take)

    @property
    def sounding(self) -> bool:
        """Whether the caller hears or will hear audio other than the ambience sound."""
        return self._looped is not None or self.playout.speech_left(self._loop.time()) > 0

    @property
    def mid_sentence(self) -> bool:
        """Whether the model has begun an audio part of an answer and has not completed the part."""
        return self._source is not None

    async def quiet(self) -> None:
        """Waits until the caller has heard all queued audio, or until the audio was dropped. Marks prove that audio was
        heard. If the far end returns no marks, the clock decides.
        """
        await self._quiet.wait()

    def close(self) -> None:
        """Stops sending audio, because the call has ended."""
        self.playout.finish()
        self._record_runs()
        self._connection = None
        self._pump()
        self._quiet.set()
        self.monitor.close()

    # -------------------------------------------------------------------------------------------------------------

    def _heard(self, cut: Cut) -> HeardItem:
        item_id, content_index = cut.source
        delay = DOWN_DELAY if self._down else 0
        return HeardItem(item_id, content_index, max(0, cut.samples - delay) / _SAMPLES_PER_MS, cut.finished)

    def _enqueue(self, source: Source, ulaw: bytes, *, whole: bool = False) -> None:
        if self.playout.queued > _MAX_QUEUED:
            log.warning("The model sent more than a quarter of an hour of unheard audio; the rest is dropped.")
            return
        self.playout.enqueue(source, ulaw)
        if whole:
            self.playout.end(source)
        self._settle()
        self._pump()
        self._sounded()

    def _end_source(self) -> None:
        assert self._source is not None
        if self._down:
            self.playout.enqueue(self._source, g711.encode(self._down.flush()))
        self.playout.end(self._source)
        self._source = None
        self._pump()

    def _pump(self) -> None:
        """Sends the audio that is due, and sets the timer for the next audio."""
        self._timer.cancel()
        if self._connection is not None:
            self._on_time(self._loop.time())

    def _on_time(self, now: float) -> None:
        self._send(self.playout.poll(now))
        self._confirm()
        self._timer.set(self.playout.next_wake(now))

    def _sounded(self) -> None:
        now = self._loop.time()
        self.on_sound(now + self.playout.speech_left(now) / (1000 * _SAMPLES_PER_MS))

    def _settle(self) -> None:
        if self.playout.busy:
            self._quiet.clear()
        else:
            self._quiet.set()

    def _send(self, commands: Sequence[Command]) -> None:
        connection = self._connection
        if connection is None:
            return
        texts = [self._encode(command) for command in commands]
        connection.send_all(texts)
        for command, text in zip(commands, texts, strict=True):
            if isinstance(command, Media):
                for part in command.segments:
                    if part.source is not None and part.offset == 0:
                        self._first_samples.append((part.start, part.source[0] in self._clip_sources))
                if self.monitor.is_on:
                    self.monitor.sent(command.payload, hidden=self._record.seal.is_closed or self._is_sealed(command))
                if self._record.is_on:
                    self._record.sent_audio(self._media(command))
            else:
                self._record.verbatim("twilio.out", text)
                if isinstance(command, Clear):
                    self.monitor.cleared()
        if self.playout.runs:
            self._record_runs()
        if commands:
            self.on_sent(connection.buffered_bytes)

    def _is_sealed(self, media: Media) -> bool:
        """Returns whether a part of this audio belongs to a sealed part of the call, which must not be recorded."""
        seal = self._record.seal
        return seal.watches and any(part.source is not None and seal.hides(part.source[0]) for part in media.segments)

    def _encode(self, command: Command) -> str:
        match command:
            case Media(payload):
                return media_stream.encode_media(self._stream_sid, payload)
            case Mark(name):
                return media_stream.encode_mark(self._stream_sid, name)
            case Clear():
                return media_stream.encode_clear(self._stream_sid)

    def _media(self, media: Media) -> dict[str, Any]:
        """Returns the form of a media message in the journal."""
        payload = media.payload
        message: dict[str, Any] = {
            "event": "media",
            "bytes": len(payload),
            "crc32": binascii.crc32(payload),
            "position": media.position,
            "segments": [[*(part.source or ("", 0)), part.offset, part.end - part.start] for part in media.segments],
        }
        if self._is_sealed(media):
            message |= {"crc32": 0, "sealed": True}
        if (bed := self._background) is not None:
            message["bed"] = [bed.digest, bed.sent]
            bed.sent += len(payload)
        return message

    def _record_runs(self, **ended: int) -> None:
        if self.playout.runs or ended:
            self._record.write("stream", runs=[[base, round(x * 1000, 3)] for base, x in self.playout.runs], **ended)
            self.playout.runs.clear()
