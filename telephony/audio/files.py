"""WAV files of any rate, in and out. Whole files go through soxr, which is as good as it gets (the live path may not
wait for it: `realtime_core.audio.resample`).

Read are PCM of 8, 16, 24 and 32 bits, floats, mu-law and A-law, also in `WAVE_FORMAT_EXTENSIBLE`; several channels are
mixed to one. Files whose sizes are wrong, because their writer died, are read as far as they go.
https://www.mmsp.ece.mcgill.ca/Documents/AudioFormats/WAVE/WAVE.html
"""

from __future__ import annotations

import os
import struct
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from realtime_core.audio import g711

from ..errors import AudioFileError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

__all__ = ["read_pcm16", "read_pcm16_channels", "read_ulaw", "wav_header", "write_pcm16", "write_ulaw"]

PCM, FLOAT, ALAW, ULAW, EXTENSIBLE = 1, 3, 6, 7, 0xFFFE

_Source = str | os.PathLike[str] | bytes


@dataclass(frozen=True, slots=True)
class _Wave:
    format: int
    channels: int
    rate: int
    bits: int
    data: bytes


def read_ulaw(source: _Source) -> bytes:
    """A WAV file (a path, or its bytes) as mono mu-law at 8 kHz. Raises `AudioFileError`, and `OSError`."""
    wave = _parse(source)
    if (wave.format, wave.rate, wave.channels) == (ULAW, 8000, 1):
        return wave.data
    return g711.encode(_mono_pcm16(wave, 8000))


def read_pcm16(source: _Source, rate: int = 24000) -> bytes:
    """The same as mono 16-bit PCM at `rate`."""
    return _mono_pcm16(_parse(source), rate)


def read_pcm16_channels(source: _Source, rate: int = 24000) -> list[bytes]:
    """Each channel for itself."""
    wave = _parse(source)
    samples = _samples(wave)
    usable = samples[: len(samples) // wave.channels * wave.channels].reshape(-1, wave.channels)
    return [_pcm16(usable[:, channel], wave.rate, rate) for channel in range(wave.channels)]


def write_ulaw(path: str | os.PathLike[str], ulaw: bytes) -> None:
    """mu-law, mono, 8 kHz."""
    Path(path).write_bytes(wav_header(ULAW, 1, 8000, 8, len(ulaw)) + ulaw)


def write_pcm16(path: str | os.PathLike[str], pcm16: bytes, rate: int = 8000, channels: int = 1) -> None:
    """16-bit PCM; several channels interleaved."""
    Path(path).write_bytes(wav_header(PCM, channels, rate, 16, len(pcm16)) + pcm16)


def wav_header(format: int, channels: int, rate: int, bits: int, data_bytes: int) -> bytes:
    """The header of a WAV file; audio follows."""
    frame = channels * bits // 8
    fmt = struct.pack("<HHIIHH", format, channels, rate, rate * frame, frame, bits)
    fact = b"" if format == PCM else b"fact" + struct.pack("<II", 4, min(data_bytes // frame, 0xFFFFFFFF))
    if format != PCM:
        fmt += b"\0\0"
    chunks = b"WAVEfmt " + struct.pack("<I", len(fmt)) + fmt + fact
    riff_bytes = min(len(chunks) + 8 + data_bytes, 0xFFFFFFFF)
    return b"RIFF" + struct.pack("<I", riff_bytes) + chunks + b"data" + struct.pack("<I", min(data_bytes, 0xFFFFFFFF))


def _parse(source: _Source) -> _Wave:
    raw = source if isinstance(source, bytes) else Path(source).read_bytes()
    if raw[:4] != b"RIFF" or raw[8:12] != b"WAVE":
        raise AudioFileError("This is no WAV file.")
    fmt = None
    at = 12
    while at + 8 <= len(raw):
        name, size = raw[at : at + 4], int.from_bytes(raw[at + 4 : at + 8], "little")
        body = raw[at + 8 : at + 8 + size]
        if name == b"fmt ":
            fmt = _format(body)
        elif name == b"data":
            if fmt is None:
                raise AudioFileError("The audio stands before its format.")
            # A writer that died, or one that streamed, left nothing or a nonsense as the size.
            if size in (0, 0xFFFFFFFF):
                body = raw[at + 8 :]
            format, channels, rate, bits = fmt
            return _Wave(format, channels, rate, bits, body[: len(body) - len(body) % (channels * bits // 8)])
        at += 8 + size + size % 2
    raise AudioFileError("There is no audio in this WAV file.")


def _format(body: bytes) -> tuple[int, int, int, int]:
    if len(body) < 16:
        raise AudioFileError("The format of this WAV file is cut off.")
    format, channels, rate, _, _, bits = struct.unpack("<HHIIHH", body[:16])
    if format == EXTENSIBLE and len(body) >= 26:
        format = int.from_bytes(body[24:26], "little")
    known = {PCM: (8, 16, 24, 32), FLOAT: (32, 64), ALAW: (8,), ULAW: (8,)}
    if bits not in known.get(format, ()) or not channels or not 1000 <= rate <= 768000:
        raise AudioFileError(f"WAV format {format} with {bits} bits, {channels} channels at {rate} Hz is not read.")
    return format, channels, rate, bits


def _mono_pcm16(wave: _Wave, rate: int) -> bytes:
    import numpy as np

    if (wave.format, wave.bits, wave.channels, wave.rate) == (PCM, 16, 1, rate):
        return wave.data
    return _pcm16(_samples(wave).reshape(-1, wave.channels).mean(axis=1, dtype=np.float32), wave.rate, rate)


def _pcm16(samples: NDArray[np.float32], from_rate: int, rate: int) -> bytes:
    import numpy as np

    if from_rate != rate:
        import soxr

        samples = soxr.resample(np.ascontiguousarray(samples), from_rate, rate, "VHQ")
    pcm16: bytes = np.clip(np.rint(samples), -32768, 32767).astype("<i2").tobytes()
    return pcm16


def _samples(wave: _Wave) -> NDArray[np.float32]:
    """All samples, channels interleaved, on the scale of 16-bit PCM."""
    import numpy as np

    data, bits = wave.data, wave.bits
    if wave.format == FLOAT:
        with np.errstate(invalid="ignore"):  # NaNs of any kind are silence
            wide = np.frombuffer(data, f"<f{bits // 8}").astype(np.float64)
        samples = np.nan_to_num(wide, posinf=2, neginf=-2)
        return np.asarray(samples.clip(-2, 2) * 32768, np.float32)
    if wave.format == ULAW:
        return np.frombuffer(g711.decode(data), "<i2").astype(np.float32)
    if wave.format == ALAW:
        return np.frombuffer(g711.decode_alaw(data), "<i2").astype(np.float32)
    if bits == 8:
        return (np.frombuffer(data, np.uint8).astype(np.float32) - 128) * 256
    if bits == 24:
        padded = np.zeros((len(data) // 3, 4), np.uint8)
        padded[:, 1:] = np.frombuffer(data, np.uint8).reshape(-1, 3)
        return padded.view("<i4").ravel().astype(np.float32) / np.float32(1 << 16)
    return np.frombuffer(data, f"<i{bits // 8}").astype(np.float32) / np.float32(1 << (bits - 16))
