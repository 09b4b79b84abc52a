"""Detects the type of a file by its first bytes. Pure.

Sources of the signatures: https://en.wikipedia.org/wiki/List_of_file_signatures, the frame headers of MPEG audio
(ISO/IEC 11172-3, 2.4.1.3) and of ADTS (ISO/IEC 13818-7, 6.2).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum

__all__ = ["RAW_SUFFIXES", "Container", "RawAudio", "container_of", "is_text"]


class RawAudio(StrEnum):
    """The encoding of audio at 8 kHz without a header."""

    ULAW = "ulaw"
    ALAW = "alaw"


_ULAW_SUFFIXES, _ALAW_SUFFIXES = (".ulaw", ".ul", ".mulaw", ".mu", ".pcmu"), (".alaw", ".al", ".pcma")
RAW_SUFFIXES = dict.fromkeys(_ULAW_SUFFIXES, RawAudio.ULAW) | dict.fromkeys(_ALAW_SUFFIXES, RawAudio.ALAW)
"""The suffixes of audio files without a header, with the encoding. Such audio cannot be detected by its content."""


@dataclass(frozen=True, slots=True)
class Container:
    """A type of file. `kind` is the name of the type in messages, such as "an MP3 file". `is_read` is True if
    `telephony.audio.files` can read the type.
    """

    kind: str
    is_read: bool


def _read(kind: str) -> Container:
    return Container(kind, True)


def _not_read(kind: str) -> Container:
    return Container(kind, False)


WAV = _read("a WAV file")
GZIP = _not_read("a gzip file")
_MP3 = _read("an MP3 file")
_AAC = _not_read("an AAC file")

_FIRST_BYTES: tuple[tuple[bytes, Container], ...] = (
    (b"RF64", _read("an RF64 file")),
    (b"BW64", _read("a BW64 file")),
    (b"RIFX", _read("a RIFX file")),
    (b"riff\x2e\x91\xcf\x11", _read("a Wave64 file")),
    (b"ID3", _MP3),
    (b"fLaC", _read("a FLAC file")),
    (b"OggS", _read("an Ogg file")),
    (b".snd", _read("an AU file")),
    (b"caff", _read("a CAF file")),
    (b"NIST_1A", _read("a SPHERE file")),
    (b"Creative Voice File\x1a", _read("a VOC file")),
    (b"\x1aE\xdf\xa3", _not_read("a WebM or Matroska file")),
    (b"0&\xb2u\x8ef\xcf\x11", _not_read("a WMA file")),
    (b"#!AMR", _not_read("an AMR file")),
    (b"#!SILK", _not_read("a SILK file")),
    (b"wvpk", _not_read("a WavPack file")),
    (b"MAC \x96\x0f", _not_read("a Monkey's Audio file")),
    (b"MThd\0\0\0\x06", _not_read("a MIDI file")),
    (b"FLV\x01", _not_read("an FLV file")),
    (b"\x89PNG\r\n", _not_read("a PNG image")),
    (b"GIF87a", _not_read("a GIF image")),
    (b"GIF89a", _not_read("a GIF image")),
    (b"\xff\xd8\xff\xdb", _not_read("a JPEG image")),
    (b"%PDF-", _not_read("a PDF document")),
    (b"PK\x03\x04", _not_read("a ZIP archive")),
    (b"\x1f\x8b\x08", GZIP),
    (b"\x7fELF", _not_read("a program")),
)

_MPEG_KBPS = {
    # (MPEG 1?, layer): kbit/s by the index in the header
    (True, 1): (0, 32, 64, 96, 128, 160, 192, 224, 256, 288, 320, 352, 384, 416, 448),
    (True, 2): (0, 32, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320, 384),
    (True, 3): (0, 32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320),
    (False, 1): (0, 32, 48, 56, 64, 80, 96, 112, 128, 144, 160, 176, 192, 224, 256),
    (False, 2): (0, 8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160),
    (False, 3): (0, 8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160),
}
_MPEG_HZ = {3: (44100, 48000, 32000), 2: (22050, 24000, 16000), 0: (11025, 12000, 8000)}


def container_of(data: bytes) -> Container | None:
    """Returns the type of a file that begins with these bytes, or None if the type is unknown. Audio without a header
    has an unknown type.
    """
    for first, container in _FIRST_BYTES:
        if data.startswith(first):
            return container
    if data[:4] == b"RIFF":
        return WAV if data[8:12] == b"WAVE" else _not_read("a RIFF file without audio of the kind WAVE")
    if data[:4] == b"FORM" and data[8:12] in (b"AIFF", b"AIFC"):
        return _read("an AIFF file")
    if data[4:8] == b"ftyp":
        return _not_read("an MP4, M4A or 3GP file")
    if data[:2] == b"\xff\xd8" and data[6:10] in (b"JFIF", b"Exif"):
        return _not_read("a JPEG image")
    if data[:2] in (b"\xff\xf1", b"\xff\xf9") and _chained(data, _adts_bytes):
        return _AAC
    if data[:1] == b"\xff" and _chained(data, _mpeg_bytes):
        return _MP3
    return None


def is_text(data: bytes) -> bool:
    """Returns whether the bytes `data` are text (such as a path, a sentence or base64) and not audio samples."""
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError:
        return False
    return text.replace("\n", " ").replace("\r", " ").replace("\t", " ").isprintable() and len(set(text)) > 2


def _chained(data: bytes, frame_bytes: Callable[[bytes], int], frames: int = 3) -> bool:
    """Returns whether the data begins with `frames` frames of audio, one after the other. A single header can be a
    coincidence in audio samples.
    """
    at = 0
    for _ in range(frames):
        n = frame_bytes(data[at : at + 7])
        if not n:
            return False
        at += n
    return at <= len(data)


def _mpeg_bytes(header: bytes) -> int:
    """Returns the length in bytes of the MPEG audio frame with this header, or 0 if the header is not valid."""
    if len(header) < 4 or header[0] != 0xFF or header[1] & 0xE0 != 0xE0:
        return 0
    version, layer = header[1] >> 3 & 3, 4 - (header[1] >> 1 & 3)
    index, rate_index, padding = header[2] >> 4, header[2] >> 2 & 3, header[2] >> 1 & 1
    if version == 1 or layer == 4 or index in (0, 15) or rate_index == 3:
        return 0
    rate = _MPEG_HZ[version][rate_index]
    bits = 1000 * _MPEG_KBPS[version == 3, layer][index]
    if layer == 1:
        return (12 * bits // rate + padding) * 4
    return (72 if layer == 3 and version != 3 else 144) * bits // rate + padding


def _adts_bytes(header: bytes) -> int:
    """Returns the length in bytes of the ADTS frame with this header, or 0 if the header is not valid."""
    if len(header) < 7 or header[0] != 0xFF or header[1] & 0xF6 != 0xF0:
        return 0
    n = (header[3] & 3) << 11 | header[4] << 3 | header[5] >> 5
    return n if n > 7 else 0
