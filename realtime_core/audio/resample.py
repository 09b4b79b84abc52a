"""Resamples streams from 8 kHz to 24 kHz and back, with a linear-phase FIR. The delay is 1.875 ms up and 3 ms down.

Each call and direction has its own instance. An instance keeps only the filter's history, an odd byte and its phase
between two output samples. soxr's stream is not used: it delays by 40 to 150 ms, and its dither changes silence.

Computation: a row of the window holds `_ROW` samples at 8 kHz and the history that they need. The row is multiplied by
a matrix with one shifted copy of the filter per output sample. Matrix products of this shape are two to three times as
fast as one row per output sample.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np
from numpy.lib.stride_tricks import as_strided

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["DOWN_DELAY", "UP_DELAY", "Downsampler3", "Upsampler3"]

UP_DELAY: Final = 45
"""The delay of `Upsampler3`, in samples at 24 kHz."""
DOWN_DELAY: Final = 24
"""The delay of `Downsampler3`, in samples at 8 kHz."""

_ROW = 20
_LOWEST = np.array(-32768, np.float32)
_HIGHEST = np.array(32767, np.float32)


def _low_pass(taps: int, cutoff_hz: float, beta: float) -> NDArray[np.float64]:
    """A windowed sinc (Kaiser) at 24 kHz with sum 1."""
    n = np.arange(taps) - (taps - 1) / 2
    response = np.sinc(2 * cutoff_hz / 24000 * n) * np.kaiser(taps, beta)
    return np.asarray(response / response.sum())


def _up_matrix() -> NDArray[np.float32]:
    """Output 3n + p is the sum over k of `3 * h[3k + p] * x[n - k]`. The gain 3 compensates for the two missing
    samples."""
    h = 3 * np.append(_low_pass(91, 3925, 7.8), [0, 0])
    history = len(h) // 3 - 1
    matrix = np.zeros((history + _ROW, 3 * _ROW), np.float32)
    for n in range(_ROW):
        for phase in range(3):
            matrix[n : n + history + 1, 3 * n + phase] = h[phase::3][::-1]
    return matrix


def _down_matrix() -> NDArray[np.float32]:
    """Output n is the sum over k of `h[k] * x[3n - k]`."""
    h = _low_pass(145, 3675, 6.0)
    matrix = np.zeros((len(h) - 1 + 3 * _ROW, _ROW), np.float32)
    for n in range(_ROW):
        matrix[3 * n : 3 * n + len(h), n] = h[::-1]
    return matrix


_UP = _up_matrix()
_DOWN = _down_matrix()


class _Fir:
    """The sliding window and the matrix product. `advance` is the number of inputs per row; `rows` are computed
    together."""

    def __init__(self, matrix: NDArray[np.float32], advance: int, rows: int) -> None:
        self._matrix = matrix
        self._advance = advance
        self._history = len(matrix) - advance
        self.capacity = advance * rows
        # Two spare samples, because downsampling may begin up to two samples late.
        self._window = np.zeros(self._history + self.capacity + 2, np.float32)
        self._rows = [
            as_strided(self._window[late:], (rows, len(matrix)), (4 * advance, 4), writeable=False) for late in range(3)
        ]
        # BLAS does not accept overlapping rows; copying them first is still faster.
        self._copy = np.empty((rows, len(matrix)), np.float32)
        self._product = np.empty((rows, matrix.shape[1]), np.float32)
        self._samples = np.empty((rows, matrix.shape[1]), "<i2")

    def push(self, samples: NDArray[np.int16], late: int = 0) -> bytes:
        """Filter up to `capacity` samples from sample `late` on. Only whole rows are computed, so the end may be
        meaningless."""
        n, window, rows = len(samples), self._window, self._rows[late]
        window[self._history : self._history + n] = samples
        copy, product, filtered = self._copy, self._product, self._samples
        if (count := -(-(n - late) // self._advance)) != len(rows):
            rows, copy, product, filtered = rows[:count], copy[:count], product[:count], filtered[:count]
        copy[...] = rows
        np.matmul(copy, self._matrix, out=product)
        np.rint(product, out=product)
        np.maximum(product, _LOWEST, out=product)
        np.minimum(product, _HIGHEST, out=product)
        filtered[...] = product
        window[: self._history] = window[n : n + self._history]
        return filtered.tobytes()

    def reset(self) -> None:
        self._window[: self._history] = 0


class Upsampler3:
    """A stream from PCM16 at 8 kHz to PCM16 at 24 kHz."""

    def __init__(self) -> None:
        self._fir = _Fir(_UP, _ROW, rows=8)
        self._odd = b""

    def push(self, pcm16_8k: bytes) -> bytes:
        """Return three samples for each sample, little-endian. A half sample at the end waits for its other half."""
        data, self._odd = _whole_samples(self._odd, pcm16_8k)
        samples = np.frombuffer(data, "<i2")
        if len(samples) <= self._fir.capacity:
            return self._fir.push(samples)[: 6 * len(samples)]
        pieces = (samples[at : at + self._fir.capacity] for at in range(0, len(samples), self._fir.capacity))
        return b"".join(self._fir.push(piece)[: 6 * len(piece)] for piece in pieces)

    def reset(self) -> None:
        """Start a new stream with silence before it. For a lost frame push silence instead."""
        self._fir.reset()
        self._odd = b""


class Downsampler3:
    """A stream from PCM16 at 24 kHz to PCM16 at 8 kHz. Inputs 0, 3, 6, ... of the stream give an output each."""

    def __init__(self) -> None:
        self._fir = _Fir(_DOWN, 3 * _ROW, rows=40)
        self._odd = b""
        self._late = 0

    def push(self, pcm16_24k: bytes) -> bytes:
        """Return one sample for three, little-endian, for chunks of any length. A half sample waits for the rest."""
        data, self._odd = _whole_samples(self._odd, pcm16_24k)
        samples = np.frombuffer(data, "<i2")
        if len(samples) <= self._fir.capacity:
            return self._push(samples)
        pieces = (samples[at : at + self._fir.capacity] for at in range(0, len(samples), self._fir.capacity))
        return b"".join(map(self._push, pieces))

    def flush(self) -> bytes:
        """End an utterance: return the 24 samples that the filter still holds, then `reset`."""
        self._odd = b""
        rest = self.push(bytes(2 * 3 * DOWN_DELAY))
        self.reset()
        return rest

    def reset(self) -> None:
        """Start a new stream with silence before it. Its first sample gives an output."""
        self._fir.reset()
        self._odd = b""
        self._late = 0

    def _push(self, samples: NDArray[np.int16]) -> bytes:
        late, n = self._late, len(samples)
        self._late = (late - n) % 3
        return self._fir.push(samples, late)[: 2 * max(0, -(-(n - late) // 3))]


def _whole_samples(odd: bytes, data: bytes) -> tuple[bytes, bytes]:
    """Return (whole samples, the half sample that is left)."""
    if odd:
        data = odd + data
    return (data[:-1], data[-1:]) if len(data) % 2 else (data, b"")
