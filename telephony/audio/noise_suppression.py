"""Removes noise from the caller's audio before the model and its speech detector get the audio. Off by default.

WebRTC's noise suppression reduces steady noise. A gate then replaces audio that is still much quieter than speech by
silence. The extra `noise` contains the library: https://pypi.org/project/webrtc-noise-gain/.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from realtime_core.audio import g711

from ..errors import SettingsError

__all__ = ["NoiseSuppressor"]

_PIECE = 80
"""The number of samples in a piece. The library processes 10 ms at a time, at 16 kHz."""
_LEVEL = 2
"""The strength of the suppression, from 0 to 4. A higher value changes voices audibly and removes little more noise."""
_GATE = 32768 * 10 ** (-44 / 20)
"""The level (RMS) below which a frame counts as noise: -44 dBFS."""
_OPEN_FRAMES = 10
"""The number of frames (200 ms) that stay unchanged after a loud frame, so the ends of words are not cut."""


class NoiseSuppressor:
    """The noise suppression of one call. The frames must be passed in order. Raises `SettingsError` if the library is
    not installed.
    """

    def __init__(self) -> None:
        try:
            from webrtc_noise_gain import AudioProcessor
        except ModuleNotFoundError:
            raise SettingsError(
                ["noise_suppression=True needs its library: pip install 'telephony-agent[noise]'"]
            ) from None
        self._processor: Any = AudioProcessor(0, _LEVEL)
        self._open = 0

    def __call__(self, ulaw: bytes) -> bytes:
        """Returns the frame (mu-law, 8 kHz) without its noise. A remainder shorter than 10 ms stays unchanged."""
        whole = len(ulaw) // _PIECE * _PIECE
        # Each sample is doubled, and the pairs are averaged again. Therefore silence and an open gate change nothing.
        doubled = np.repeat(np.frombuffer(g711.decode(ulaw[:whole]), "<i2"), 2).tobytes()
        pieces = [
            self._processor.Process10ms(doubled[at : at + 4 * _PIECE]).audio
            for at in range(0, len(doubled), 4 * _PIECE)
        ]
        clean = np.frombuffer(b"".join(pieces), "<i2").astype(np.float32).reshape(-1, 2).mean(axis=1)
        self._open = _OPEN_FRAMES if len(clean) and float(np.sqrt(np.square(clean).mean())) >= _GATE else self._open - 1
        if self._open <= 0:
            return g711.SILENCE * len(ulaw)
        return g711.encode(np.rint(clean).astype("<i2").tobytes()) + ulaw[whole:]
