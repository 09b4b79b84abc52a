"""Suppresses noise in the caller's audio, before the model and its detector of speech hear it. Off by default.

WebRTC's noise suppression makes steady noise quieter, and a gate then replaces what is still far below speech by
silence. The extra `noise` has the library: https://pypi.org/project/webrtc-noise-gain/.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from realtime_core.audio import g711

from ..errors import SettingsError

__all__ = ["NoiseSuppressor"]

_PIECE = 80
"""The library takes 10 ms at a time, at 16 kHz."""
_LEVEL = 2
"""Of 0 to 4. More changes voices audibly and does little more here."""
_GATE = 32768 * 10 ** (-44 / 20)
"""The level (RMS) below which a frame is taken for noise: -44 dBFS."""
_OPEN_FRAMES = 10
"""How many frames stay as they are after a loud one, so that the ends of words are heard: 200 ms."""


class NoiseSuppressor:
    """The suppression of one call. It takes the frames in order. Raises `SettingsError` without the library."""

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
        """Returns the frame (mu-law, 8 kHz) without its noise. A rest that is shorter than 10 ms stays as it is."""
        whole = len(ulaw) // _PIECE * _PIECE
        # Each sample is doubled and the pairs are averaged again, so silence and an open gate change nothing.
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
