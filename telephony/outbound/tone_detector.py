"""Detects speech by its level, and tones by their spectrum. Pure. The input is mu-law at 8 kHz in frames of 20 ms.

- The beep of a voicemail: one steady tone of 240 ms or more.
- A fax: 1,100 Hz (calling) or 2,100 Hz (called), ITU-T T.30.
- Busy and reorder: 480 and 620 Hz (US) or 425 Hz (Europe), alternately on and off, ITU-T E.180.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

import numpy as np

from realtime_core.audio import g711

__all__ = ["Sound", "SoundKind", "ToneDetector"]


class SoundKind(StrEnum):
    SPEECH = "speech"
    PAUSE = "pause"
    BEEP = "beep"
    FAX = "fax"
    BUSY = "busy"


FRAME = 160
FRAME_S = 0.02
_LOUD_RMS = 500.0
"""The level (RMS) above which a frame is loud: about -36 dBm0. The level is above line noise and below quiet speech."""
_PURE = 0.9
"""The minimum share of a frame's power that must be in its tones."""
_PAUSE_FRAMES = 30
"""The number of frames (600 ms) without sound that end an utterance."""
_TONE_FRAMES = 12
"""The minimum number of frames (240 ms) of a tone. No sung vowel is steady for this time."""
_LONGEST_BEEP_FRAMES = 75
_FFT = 512
_HZ = 8000 / _FFT
_WINDOW = np.hanning(FRAME)


@dataclass(frozen=True, slots=True)
class Sound:
    """A sound that was recognised in the audio of the callee. The kind `SPEECH` means that an utterance has begun. The
    kind `PAUSE` means that an utterance has ended, and `seconds` is its length. The other kinds are tones.
    """

    kind: SoundKind
    seconds: float = 0.0


class ToneDetector:
    """Detects sounds in the audio of the callee: the start and the end of speech, the beep of a voicemail, fax tones,
    and the busy tone. The audio may be passed in pieces of any size.
    """

    def __init__(self) -> None:
        self._rest = b""
        self._spoken = False
        self._speech = 0
        self._silence = _PAUSE_FRAMES
        self._tone: tuple[int, ...] = ()
        self._tone_frames = 0
        self._bursts: list[tuple[int, ...]] = []

    def feed(self, ulaw: bytes) -> list[Sound]:
        """Analyses the next piece of the callee's audio (mu-law, 8 kHz). Returns the sounds that were recognised in
        this piece.
        """
        sounds: list[Sound] = []
        audio = self._rest + ulaw
        for at in range(0, len(audio) - FRAME + 1, FRAME):
            self._frame(np.frombuffer(g711.decode(audio[at : at + FRAME]), np.int16).astype(np.float64), sounds)
        self._rest = audio[len(audio) - len(audio) % FRAME :]
        return sounds

    def _frame(self, samples: np.ndarray[tuple[int], np.dtype[np.float64]], sounds: list[Sound]) -> None:
        loud = float(np.sqrt(np.mean(samples**2))) > _LOUD_RMS
        tone = _tones(samples) if loud else ()
        if tone and (not self._tone or _same(tone, self._tone)):
            self._tone = self._tone or tone
            self._tone_frames += 1
            return
        if self._tone_frames >= _TONE_FRAMES:
            self._tone_over(sounds)
        elif self._tone_frames:
            self._speech_frames(self._tone_frames, sounds)
        self._tone, self._tone_frames = tone, 1 if tone else 0
        if loud and not tone:
            self._speech_frames(1, sounds)
        elif not loud:
            self._quiet(sounds)

    def _speech_frames(self, frames: int, sounds: list[Sound]) -> None:
        if self._speech == 0:
            sounds.append(Sound(SoundKind.SPEECH))
            self._bursts.clear()
        self._spoken = True
        self._speech += frames + (self._silence if self._speech else 0)
        self._silence = 0

    def _quiet(self, sounds: list[Sound]) -> None:
        self._silence += 1
        if self._speech and self._silence == _PAUSE_FRAMES:
            sounds.append(Sound(SoundKind.PAUSE, self._speech * FRAME_S))
            self._speech = 0

    def _tone_over(self, sounds: list[Sound]) -> None:
        if self._speech:
            sounds.append(Sound(SoundKind.PAUSE, self._speech * FRAME_S))
            self._speech = 0
        tone, frames = self._tone, self._tone_frames
        if len(tone) == 1 and (abs(tone[0] - 1100) < 40 or abs(tone[0] - 2100) < 40) and frames >= 20:
            sounds.append(Sound(SoundKind.FAX))
        elif _is_busy(tone) and not (self._spoken and len(tone) == 1):  # after a greeting, 425 Hz can be a beep
            self._bursts.append(tone)
            if len(self._bursts) >= 2:
                sounds.append(Sound(SoundKind.BUSY))
        elif len(tone) == 1 and frames <= _LONGEST_BEEP_FRAMES:
            sounds.append(Sound(SoundKind.BEEP, frames * FRAME_S))


def _tones(samples: np.ndarray[tuple[int], np.dtype[np.float64]]) -> tuple[int, ...]:
    """Returns the one or two frequencies that contain nearly all the power of a frame. Returns an empty tuple if the
    frame is not a tone.
    """
    power = np.abs(np.fft.rfft(samples * _WINDOW, _FFT)) ** 2
    power[: round(250 / _HZ)] = 0.0
    total = float(power.sum())
    if total <= 0:
        return ()
    found: list[int] = []
    share = 0.0
    for _ in range(2):
        peak = int(power.argmax())
        low, high = max(0, peak - 7), peak + 8
        part = float(power[low:high].sum()) / total
        if part < 0.15:
            break
        share += part
        found.append(round(peak * _HZ))
        power[low:high] = 0.0
    return tuple(sorted(found)) if share >= _PURE else ()


def _same(one: tuple[int, ...], other: tuple[int, ...]) -> bool:
    return len(one) == len(other) and all(abs(a - b) <= 16 for a, b in zip(one, other, strict=True))


def _is_busy(tone: tuple[int, ...]) -> bool:
    if len(tone) == 2:
        return abs(tone[0] - 480) < 50 and abs(tone[1] - 620) < 50
    return len(tone) == 1 and abs(tone[0] - 425) < 30
