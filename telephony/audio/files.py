"""Reads and writes audio files of any sample rate. All audio from users passes through `load_ulaw`.

The first bytes decide the type of a file, and not its name (`containers`). This module reads WAV files: PCM of 8 to 32
bits, floats, mu-law and A-law, also in `WAVE_FORMAT_EXTENSIBLE`. Files with wrong sizes, because their writer crashed,
are read to their end. libsndfile (the package `soundfile`) reads other types: MP3, FLAC, Ogg (Vorbis, Opus), RF64,
AIFF, AU, CAF, and other WAV files.

Several channels are mixed to one channel. soxr converts the sample rate of whole files. soxr is too slow for live
audio, which uses `realtime_core.audio.resample`. Source:
https://www.mmsp.ece.mcgill.ca/Documents/AudioFormats/WAVE/WAVE.html
"""

from __future__ import annotations

import io
import os
import struct
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from realtime_core.audio import g711

from ..errors import AudioFileError
from .containers import RAW_SUFFIXES, WAV, Container, RawAudio, container_of, is_text

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

__all__ = [
    "Clip",
    "load_ulaw",
    "load_words",
    "read_pcm16",
    "read_pcm16_channels",
    "read_ulaw",
    "ulaw_of",
    "wav_header",
    "write_pcm16",
    "write_ulaw",
]

PCM, FLOAT, ALAW, ULAW, EXTENSIBLE = 1, 3, 6, 7, 0xFFFE

Clip = bytes | os.PathLike[str]
"""Audio from a user: the path of an audio file, its bytes, or mu-law at 8 kHz without a header."""

_Source = str | os.PathLike[str] | bytes

_CURE = "Convert it first, for example by `ffmpeg -i FILE -ar 8000 -ac 1 clip.wav`."
_SUFFIXES = (".wav", ".mp3", ".ogg", ".oga", ".opus", ".flac", ".m4a", ".aac", ".aiff", ".aif", ".au", ".ulaw", ".webm")
_BLOCK = 1 << 16


@dataclass(frozen=True, slots=True)
class _Wave:
    format: int
    channels: int
    rate: int
    bits: int
    data: bytes


def load_ulaw(given: Clip, what: str = "the clip", *, max_s: float | None = None) -> bytes:
    """Returns `given`, audio from a user, as mono mu-law at 8 kHz. The result is never empty. Audio files are
    converted. Bytes of an unknown type are mu-law at 8 kHz, or A-law if the suffix of the file says so. `what` is the
    name of the audio in error messages.

    Raises:
        AudioFileError: the audio is empty, longer than `max_s` seconds, or of an unsupported type.
    """
    coding = None
    if isinstance(given, bytes | bytearray | memoryview):
        raw, name = bytes(given), what
    elif isinstance(given, os.PathLike):
        raw, name = _file(given), f"{what} {os.fspath(given)}"
        coding = RAW_SUFFIXES.get(Path(given).suffix.lower())
    else:
        raise AudioFileError(f"{what}: give bytes or a pathlib.Path, not {type(given).__name__}.")
    if not raw:
        raise AudioFileError(f"{name} is empty: nothing would be heard. Give audio, or None.")
    if (container := container_of(raw)) is not None:
        ulaw = _ulaw(_parse(raw, name, container, max_s))
        if not ulaw:
            raise AudioFileError(f"{name} is {container.kind} without audio in it.")
    elif is_text(raw):
        raise AudioFileError(f"{name} is text, and not audio. Give words as str, and a file as pathlib.Path.")
    else:
        ulaw = ulaw_of(raw, coding or RawAudio.ULAW)
    if max_s is not None and len(ulaw) > max_s * 8000:
        raise AudioFileError(f"{name} lasts {len(ulaw) / 8000:.0f} s; {max_s:.0f} s is the most.")
    return ulaw


def ulaw_of(raw: bytes, coding: RawAudio) -> bytes:
    """Converts `raw`, audio at 8 kHz without a header, to mu-law. `coding` is the encoding of `raw`."""
    return raw if coding is RawAudio.ULAW else g711.encode(g711.decode_alaw(raw))


def load_words(given: str | Clip, what: str) -> str | bytes:
    """Prepares words that the caller will hear. Returns a text for the model unchanged, and converts a clip to mu-law
    (see `load_ulaw`). `what` is the name of the words in error messages. Raises `AudioFileError` for an unusable clip.
    """
    if not isinstance(given, str):
        return load_ulaw(given, what)
    if given.lower().endswith(_SUFFIXES) and not any(map(str.isspace, given.strip())):
        raise AudioFileError(
            f"{what} {given!r} would be used as words for the model. Give a file as pathlib.Path({given!r})."
        )
    return given


def read_ulaw(source: _Source) -> bytes:
    """Returns an audio file (a path, or its bytes) as mono mu-law at 8 kHz. Raises `AudioFileError` for an unusable
    file, and `OSError` if the file cannot be read.
    """
    return _ulaw(_parse(source))


def read_pcm16(source: _Source, rate: int = 24000) -> bytes:
    """Returns an audio file (a path, or its bytes) as mono 16-bit PCM at `rate` (Hz). Raises `AudioFileError` for an
    unusable file, and `OSError` if the file cannot be read.
    """
    return _mono_pcm16(_parse(source), rate)


def read_pcm16_channels(source: _Source, rate: int = 24000) -> list[bytes]:
    """Returns each channel of an audio file as 16-bit PCM at `rate` (Hz). Raises `AudioFileError` for an unusable file,
    and `OSError` if the file cannot be read.
    """
    wave = _parse(source)
    samples = _samples(wave)
    usable = samples[: len(samples) // wave.channels * wave.channels].reshape(-1, wave.channels)
    return [_pcm16(usable[:, channel], wave.rate, rate) for channel in range(wave.channels)]


def write_ulaw(path: str | os.PathLike[str], ulaw: bytes) -> None:
    """Writes the mu-law audio `ulaw` as a WAV file: mono, 8 kHz."""
    Path(path).write_bytes(wav_header(ULAW, 1, 8000, 8, len(ulaw)) + ulaw)


def write_pcm16(path: str | os.PathLike[str], pcm16: bytes, rate: int = 8000, channels: int = 1) -> None:
    """Writes a WAV file with `pcm16`: 16-bit PCM at `rate` Hz. With several `channels`, the samples of the channels are
    interleaved.
    """
    Path(path).write_bytes(wav_header(PCM, channels, rate, 16, len(pcm16)) + pcm16)


def wav_header(format: int, channels: int, rate: int, bits: int, data_bytes: int) -> bytes:
    """Returns the header of a WAV file with `data_bytes` bytes of audio. `format` is the format code (RFC 2361), `rate`
    is the sample rate in Hz, and `bits` is the number of bits of a sample. The result does not contain the audio.
    """
    frame = channels * bits // 8
    fmt = struct.pack("<HHIIHH", format, channels, rate, rate * frame, frame, bits)
    fact = b"" if format == PCM else b"fact" + struct.pack("<II", 4, min(data_bytes // frame, 0xFFFFFFFF))
    if format != PCM:
        fmt += b"\0\0"
    chunks = b"WAVEfmt " + struct.pack("<I", len(fmt)) + fmt + fact
    riff_bytes = min(len(chunks) + 8 + data_bytes, 0xFFFFFFFF)
    return b"RIFF" + struct.pack("<I", riff_bytes) + chunks + b"data" + struct.pack("<I", min(data_bytes, 0xFFFFFFFF))


def _file(path: str | os.PathLike[str]) -> bytes:
    try:
        return Path(path).read_bytes()
    except OSError as error:
        raise AudioFileError(f"{os.fspath(path)} cannot be read: {error.strerror}.") from error


def _ulaw(wave: _Wave) -> bytes:
    if (wave.format, wave.rate, wave.channels) == (ULAW, 8000, 1):
        return wave.data
    return g711.encode(_mono_pcm16(wave, 8000))


def _parse(source: _Source, name: str = "", container: Container | None = None, max_s: float | None = None) -> _Wave:
    """Reads any audio file. Returns its content in the form of a WAV file. `name` is the name in error messages."""
    raw = source if isinstance(source, bytes) else Path(source).read_bytes()
    name = name or ("This" if isinstance(source, bytes) else os.fspath(source))
    container = container or container_of(raw)
    if container is None:
        raise AudioFileError(f"{name} is no audio file of a known kind (WAV, MP3, FLAC, Ogg...). {_CURE}")
    if not container.is_read:
        raise AudioFileError(f"{name} is {container.kind}, which is not read. {_CURE}")
    if container is not WAV:
        return _decoded(raw, name, container, max_s)
    try:
        return _parse_wav(raw)
    except _ForeignFormat:
        return _decoded(raw, name, container, max_s)
    except AudioFileError as error:
        raise AudioFileError(f"{name}: {error}") from None


class _ForeignFormat(AudioFileError):
    """Raised for a WAV file with a format that only libsndfile can read."""


def _decoded(raw: bytes, name: str, container: Container, max_s: float | None) -> _Wave:
    """Decodes the file with libsndfile. With `max_s`, reads at most about one second more than `max_s` seconds."""
    try:
        import soundfile
    except (ImportError, OSError) as error:  # a platform without libsndfile
        raise AudioFileError(f"{name} is {container.kind}; libsndfile, which reads it, is missing: {error}") from error
    data = bytearray()
    try:
        with soundfile.SoundFile(io.BytesIO(raw)) as file:
            rate, channels = int(file.samplerate), int(file.channels)
            while max_s is None or len(data) <= (max_s + 1) * rate * channels * 4:
                block = file.read(_BLOCK, dtype="float32", always_2d=True)
                if not len(block):
                    break
                data += block.astype("<f4").tobytes()
    except soundfile.SoundFileError as error:
        why = str(getattr(error, "error_string", error)).rstrip(".")
        raise AudioFileError(f"{name} looks like {container.kind}, but cannot be decoded ({why}). {_CURE}") from error
    if not 1000 <= rate <= 768000:
        raise AudioFileError(f"{name} is {container.kind} at {rate} Hz, which is not read. {_CURE}")
    return _Wave(FLOAT, channels, rate, 32, bytes(data))


def _parse_wav(raw: bytes) -> _Wave:
    fmt = None
    at = 12
    while at + 8 <= len(raw):
        name, size = raw[at : at + 4], int.from_bytes(raw[at + 4 : at + 8], "little")
        body = raw[at + 8 : at + 8 + size]
        if name == b"fmt ":
            fmt = _format(body)
        elif name == b"data":
            if fmt is None:
                raise AudioFileError("The audio comes before its format.")
            # A writer that crashed or streamed leaves invalid sizes in the header.
            if size in (0, 0xFFFFFFFF):
                body = raw[at + 8 :]
            format, channels, rate, bits = fmt
            return _Wave(format, channels, rate, bits, body[: len(body) - len(body) % (channels * bits // 8)])
        at += 8 + size + size % 2
    raise AudioFileError("This WAV file has no audio.")


def _format(body: bytes) -> tuple[int, int, int, int]:
    if len(body) < 16:
        raise AudioFileError("The format of this WAV file is truncated.")
    format, channels, rate, _, _, bits = struct.unpack("<HHIIHH", body[:16])
    if format == EXTENSIBLE and len(body) >= 26:
        format = int.from_bytes(body[24:26], "little")
    if format not in (PCM, FLOAT, ALAW, ULAW):
        raise _ForeignFormat(f"WAV format {format} is not read here.")
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
    """Returns all samples of a WAV file, channels interleaved, on the scale of 16-bit PCM."""
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
