"""Resamples streams from 8 kHz to 24 kHz and from 24 kHz to 8 kHz, with a linear-phase FIR filter. The delay is 1.875
ms for upsampling and 3 ms for downsampling.

Each call and direction has its own instance. An instance stores what the next chunk needs: the last input samples, an
odd byte, and (for downsampling) which of the next three input samples gives an output sample. soxr's streaming mode is
not used, because it has a delay of 40 to 150 ms, and its dither changes silence.

The filter is computed as a matrix product. Each row of the input matrix has some new input samples and the earlier
samples that the filter also needs. Each column of the filter matrix is a shifted copy of the filter, and gives one
output sample. This is two to three times as fast as a matrix with one row per output sample.

The results are exact and therefore equal on all machines, whatever the order in which the linear-algebra library (BLAS)
adds. The coefficients of the filter are whole multiples of 2**-26. Each sum is therefore a multiple of 2**-26 below
2**18, and a 64-bit float represents the sum without rounding.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from numpy.lib.stride_tricks import as_strided

from . import g711

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["DOWN_DELAY", "UP_DELAY", "Downsampler3", "Upsampler3"]

UP_DELAY: Final = 45
"""The delay of `Upsampler3`, in samples at 24 kHz."""
DOWN_DELAY: Final = 24
"""The delay of `Downsampler3`, in samples at 8 kHz."""

_ROW = 16
"""The number of samples at 8 kHz per row. The value is the fastest of 5 to 160, measured for 20 ms and for 250 ms."""
_TAP_UNIT = 2.0**-26
_INT16 = np.dtype("<i2")
_UINT16 = np.dtype("<u2")
_ULAW = np.frombuffer(g711.encode(np.arange(65536, dtype=_UINT16).tobytes()), np.uint8)
"""The mu-law code of each sample, by the bits of the sample. For long pieces, a look-up is twice as fast as
`g711.encode`.
"""
_MAX_VIEWS = 64
_LOWEST = np.array(-32768.0)
_HIGHEST = np.array(32767.0)


def _low_pass(taps: int, cutoff_hz: float, beta: float) -> NDArray[np.float64]:
    """Returns a windowed sinc filter (Kaiser) at 24 kHz with the sum 1."""
    n = np.arange(taps) - (taps - 1) / 2
    response = np.sinc(2 * cutoff_hz / 24000 * n) * np.kaiser(taps, beta)
    return np.asarray(response / response.sum())


def _exact(taps: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.asarray(np.rint(taps / _TAP_UNIT) * _TAP_UNIT)


def _up_matrix() -> NDArray[np.float64]:
    """Returns the matrix for upsampling. Output 3n + p is the sum over k of `3 * h[3k + p] * x[n - k]`. The gain 3
    compensates for the two missing samples.
    """
    h = _exact(3 * np.append(_low_pass(91, 3925, 7.8), [0, 0]))
    history = len(h) // 3 - 1
    matrix = np.zeros((history + _ROW, 3 * _ROW))
    for n in range(_ROW):
        for phase in range(3):
            matrix[n : n + history + 1, 3 * n + phase] = h[phase::3][::-1]
    return matrix


def _down_matrix() -> NDArray[np.float64]:
    """Returns the matrix for downsampling. Output n is the sum over k of `h[k] * x[3n - k]`."""
    h = _exact(_low_pass(145, 3675, 6.0))
    matrix = np.zeros((len(h) - 1 + 3 * _ROW, _ROW))
    for n in range(_ROW):
        matrix[3 * n : 3 * n + len(h), n] = h[::-1]
    return matrix


class _Filter(threading.local):
    """A filter matrix, and the arrays in which all streams of a thread are filtered. Each thread has its own arrays.

    The arrays take 120 kB for downsampling. They are used only during `_Fir.push`, so streams need no arrays of their
    own. `advance` is the number of inputs per row. `rows` rows are computed together.
    """

    def __init__(self, matrix: NDArray[np.float64], advance: int, rows: int) -> None:
        self.matrix = matrix
        self.history = len(matrix) - advance
        self.capacity = advance * rows
        self.quiet = int(32767 / np.abs(matrix).sum(axis=0).max())
        """Inputs up to this peak need no clipping."""
        self.views: dict[tuple[int, int], tuple[NDArray[Any], ...]] = {}
        """The views for `n` samples from the sample `late` on, by (n, late). See `view`."""
        self._advance = advance
        # Two spare samples, because downsampling may begin up to two samples late.
        self._window = np.zeros(self.history + self.capacity + 2)
        self._rows = [
            as_strided(self._window[late:], (rows, len(matrix)), (8 * advance, 8), writeable=False) for late in range(3)
        ]
        # BLAS does not accept overlapping rows. Copying the rows first is still faster.
        self._copy = np.empty((rows, len(matrix)))
        self._product = np.empty((rows, matrix.shape[1]))
        self._samples = np.empty((rows, matrix.shape[1]), _INT16)

    def view(self, n: int, late: int) -> tuple[NDArray[Any], ...]:
        """Creates and keeps the views for `n` samples from the sample `late` on: the earlier samples, the new samples,
        the last samples, the rows, their copy, the product, and the result.
        """
        count, history, window = -(-(n - late) // self._advance), self.history, self._window
        if len(self.views) >= _MAX_VIEWS:
            self.views.clear()
        self.views[n, late] = views = (
            window[:history],
            window[history : history + n],
            window[n : n + history],
            self._rows[late][:count],
            self._copy[:count],
            self._product[:count],
            self._samples[:count],
        )
        return views


class _Fir:
    """One filtered stream: its last input samples."""

    def __init__(self, filter: _Filter) -> None:
        self._filter = filter
        self.capacity = filter.capacity
        self._past = np.zeros(filter.history)
        self._loud = 0
        """How many of the next inputs are filtered together with an input that needs clipping."""

    def push(self, pcm16: bytes, late: int = 0) -> NDArray[np.int16]:
        """Filters up to `capacity` samples from the sample `late` on. Only whole rows are computed, so the end of the
        result is meaningless and must not be used. The result is valid until the next call of any stream in the same
        thread.
        """
        n, filter = len(pcm16) // 2, self._filter
        past, new, last, rows, copy, product, filtered = filter.views.get((n, late)) or filter.view(n, late)
        past[...] = self._past
        new[...] = np.frombuffer(pcm16, _INT16)
        copy[...] = rows
        copy.dot(filter.matrix, product)  # half of np.dot's time for 20 ms
        np.rint(product, product)
        if g711.peak(pcm16) > filter.quiet:
            self._loud = n + len(past)
        if self._loud > 0:
            self._loud -= n
            np.maximum(product, _LOWEST, out=product)
            np.minimum(product, _HIGHEST, out=product)
        filtered[...] = product
        self._past[...] = last
        return filtered

    def reset(self) -> None:
        self._past[...] = 0
        self._loud = 0


_UP = _Filter(_up_matrix(), _ROW, rows=10)
_DOWN = _Filter(_down_matrix(), 3 * _ROW, rows=50)
"""Filters 100 ms at a time. With 250 ms, a delta of 200 ms takes 24 us in place of 28 us."""


class Upsampler3:
    """Resamples a stream from PCM16 at 8 kHz to PCM16 at 24 kHz."""

    def __init__(self) -> None:
        self._fir = _Fir(_UP)
        self._odd = b""

    def push(self, pcm16_8k: bytes) -> bytes:
        """Converts PCM16 (16 bit, little-endian, mono) from 8 kHz to 24 kHz: returns three samples for each sample. If
        the input ends with half a sample (one byte), this byte is kept for the next call.
        """
        data, self._odd = _whole_samples(self._odd, pcm16_8k)
        piece_bytes = 2 * self._fir.capacity
        pieces = (data[at : at + piece_bytes] for at in range(0, len(data), piece_bytes))
        return b"".join([self._fir.push(piece).tobytes()[: 3 * len(piece)] for piece in pieces])

    def push_ulaw(self, ulaw: bytes) -> bytes:
        """Converts mu-law (8 kHz, any length) to PCM16 (16 bit, little-endian, mono) at 24 kHz: returns three samples
        for each sample. Input of 20 ms, the length of Twilio's frames, is the fastest.
        """
        if len(ulaw) != self._fir.capacity or self._odd:
            return self.push(g711.decode(ulaw))
        return self._fir.push(g711.decode(ulaw)).tobytes()

    def reset(self) -> None:
        """Starts a new stream: the next audio is filtered as if silence came before it. For a lost frame of audio, push
        silence instead of calling this method.
        """
        self._fir.reset()
        self._odd = b""


class Downsampler3:
    """Resamples a stream from PCM16 at 24 kHz to PCM16 at 8 kHz. The input samples 0, 3, 6, ... of the stream give one
    output sample each.
    """

    def __init__(self) -> None:
        self._fir = _Fir(_DOWN)
        self._odd = b""
        self._late = 0

    def push(self, pcm16_24k: bytes) -> bytes:
        """Converts PCM16 (16 bit, little-endian, mono) from 24 kHz to 8 kHz: returns one sample for three samples. The
        chunks may have any length. If the input ends with half a sample (one byte), this byte is kept for the next
        call.
        """
        return b"".join([piece.tobytes() for piece in self._pieces(pcm16_24k)])

    def push_to_ulaw(self, pcm16_24k: bytes) -> bytes:
        """Converts PCM16 (24 kHz, mono) to mu-law at 8 kHz: returns one byte for three samples. The chunks may have any
        length. The result is `g711.encode(push(pcm16_24k))`, computed faster.
        """
        return b"".join([_ULAW.take(piece.view(_UINT16)).tobytes() for piece in self._pieces(pcm16_24k)])

    def flush(self) -> bytes:
        """Ends an utterance: returns the 24 samples (PCM16 at 8 kHz) still in the filter. Then calls `reset`."""
        self._odd = b""
        rest = self.push(bytes(2 * 3 * DOWN_DELAY))
        self.reset()
        return rest

    def reset(self) -> None:
        """Starts a new stream: the next audio is filtered as if silence came before it. The first input sample of the
        stream gives an output sample.
        """
        self._fir.reset()
        self._odd = b""
        self._late = 0

    def _pieces(self, pcm16_24k: bytes) -> Iterator[NDArray[np.int16]]:
        """Yields the filtered samples. Each piece is valid until the next push of any stream in the same thread."""
        data, self._odd = _whole_samples(self._odd, pcm16_24k)
        piece_bytes = 2 * self._fir.capacity
        for at in range(0, len(data), piece_bytes):
            piece, late = data[at : at + piece_bytes], self._late
            n = len(piece) // 2
            self._late = (late - n) % 3
            yield self._fir.push(piece, late).reshape(-1)[: max(0, -(-(n - late) // 3))]


def _whole_samples(odd: bytes, data: bytes) -> tuple[bytes, bytes]:
    """Returns (whole samples, the remaining half sample)."""
    if odd:
        data = odd + data
    return (data[:-1], data[-1:]) if len(data) % 2 else (data, b"")
