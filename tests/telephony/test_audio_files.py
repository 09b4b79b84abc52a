"""WAV files of every kind that is read, broken ones, and the stereo file that survives a crash."""

from __future__ import annotations

import io
import struct
import wave
from pathlib import Path

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from realtime_core.audio import g711
from telephony.audio.files import read_pcm16, read_ulaw, wav_header, write_pcm16, write_ulaw
from telephony.errors import AudioFileError
from telephony.journal.wav import StereoWriter

TONE = 0.5 * np.sin(2 * np.pi * 440 * np.arange(8000) / 8000)


def _as(kind: str, x: np.ndarray) -> tuple[int, int, bytes]:
    """(format, bits, data) of a signal within +-1."""
    if kind == "8":
        return 1, 8, (np.rint(x * 127) + 128).astype(np.uint8).tobytes()
    if kind == "24":
        return 1, 24, b"".join(int(v).to_bytes(3, "little", signed=True) for v in np.rint(x * (2**23 - 1)))
    if kind in ("16", "32"):
        bits = int(kind)
        return 1, bits, np.rint(x * (2 ** (bits - 1) - 1)).astype(f"<i{bits // 8}").tobytes()
    if kind in ("float32", "float64"):
        return 3, int(kind[5:]), x.astype(f"<f{int(kind[5:]) // 8}").tobytes()
    pcm = np.rint(x * 32767).astype("<i2").tobytes()
    return (7, 8, g711.encode(pcm)) if kind == "ulaw" else (6, 8, _alaw(pcm))


def _alaw(pcm: bytes) -> bytes:
    codes = np.frombuffer(g711.decode_alaw(bytes(range(256))), "<i2").astype(int)
    samples = np.frombuffer(pcm, "<i2").astype(int)
    return bytes(np.abs(samples[:, None] - codes[None, :]).argmin(axis=1).astype(np.uint8))


KINDS = ["8", "16", "24", "32", "float32", "float64", "ulaw", "alaw"]


def _signal(pcm: bytes) -> np.ndarray:
    return np.frombuffer(pcm, "<i2") / 32768


def _snr(got: np.ndarray, expected: np.ndarray) -> float:
    return float(10 * np.log10(np.mean(expected**2) / np.mean((got - expected) ** 2)))


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("channels", [1, 2])
def test_every_kind_is_read(kind: str, channels: int) -> None:
    format, bits, data = _as(kind, np.repeat(TONE, channels))
    got = _signal(read_pcm16(wav_header(format, channels, 8000, bits, len(data)) + data, 8000))
    assert len(got) == 8000
    assert _snr(got, TONE) > (30 if bits == 8 else 80)


@pytest.mark.parametrize("rate", [8000, 11025, 16000, 22050, 24000, 44100, 48000])
def test_every_rate_is_read(rate: int) -> None:
    n = np.arange(rate)
    stereo = np.stack([np.sin(2 * np.pi * 440 * n / rate) * 0.6, np.sin(2 * np.pi * 440 * n / rate) * 0.4], axis=1)
    format, bits, data = _as("16", stereo.ravel())
    got = _signal(read_pcm16(wav_header(format, 2, rate, bits, len(data)) + data))
    assert len(got) == 24000
    expected = 0.5 * np.sin(2 * np.pi * 440 * np.arange(24000) / 24000)
    assert _snr(got[1000:-1000], expected[1000:-1000]) > 70


def test_mu_law_at_8_khz_is_read_as_it_is(tmp_path: Path) -> None:
    ulaw = bytes(range(256))
    write_ulaw(tmp_path / "a.wav", ulaw)
    assert read_ulaw(tmp_path / "a.wav") == ulaw
    assert read_pcm16(tmp_path / "a.wav", 8000) == g711.decode(ulaw)


@given(st.binary(max_size=400).map(lambda data: data[: len(data) // 2 * 2]))
def test_pcm_is_read_back_exactly_and_by_others(pcm: bytes) -> None:
    raw = wav_header(1, 1, 8000, 16, len(pcm)) + pcm
    assert read_pcm16(raw, 8000) == pcm
    with wave.open(io.BytesIO(raw)) as file:
        assert file.getparams()[:3] == (1, 2, 8000)
        assert file.readframes(10**6) == pcm


def test_loud_floats_clip() -> None:
    data = np.array([2.0, -2.0, np.inf, -np.inf, np.nan, 0.5], "<f4").tobytes()
    got = read_pcm16(wav_header(3, 1, 8000, 32, len(data)) + data, 8000)
    assert struct.unpack("<6h", got) == (32767, -32768, 32767, -32768, 0, 16384)


def test_extensible_format_and_foreign_chunks() -> None:
    pcm = struct.pack("<4h", 1, -2, 3, -4)
    guid = struct.pack("<H", 1) + bytes.fromhex("000000001000800000aa00389b71")
    fmt = struct.pack("<HHIIHHHHI", 0xFFFE, 1, 8000, 16000, 2, 16, 22, 16, 4) + guid
    chunks = b"LIST" + struct.pack("<I", 3) + b"abc\0" + b"fmt " + struct.pack("<I", len(fmt)) + fmt
    raw = b"RIFF\0\0\0\0WAVE" + chunks + b"data" + struct.pack("<I", len(pcm)) + pcm + b"LIST\1\0\0\0x\0"
    assert read_pcm16(raw, 8000) == pcm


@pytest.mark.parametrize("size", [0, 0xFFFFFFFF, 1000])
def test_a_file_whose_writer_died_is_read_as_far_as_it_goes(size: int) -> None:
    raw = wav_header(1, 1, 8000, 16, size) + b"\1\0\2\0\3"
    assert read_pcm16(raw, 8000) == b"\1\0\2\0"


@given(st.binary(max_size=80), st.integers(0, 60), st.binary(max_size=8))
@example(junk=b"", at=59, patch=b"\x00\x81\x7f")  # a signalling NaN
def test_anything_else_is_a_typed_error(junk: bytes, at: int, patch: bytes) -> None:
    good = wav_header(3, 2, 44100, 32, 16) + bytes(16)
    for raw in (junk, b"RIFF\0\0\0\0WAVE" + junk, good[:at] + patch + good[at + len(patch) :], good[:at]):
        try:
            read_ulaw(raw)
        except AudioFileError:
            pass


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"OggS",
        b"RIFF\0\0\0\0WAVE",
        wav_header(2, 1, 8000, 16, 2) + b"\0\0",
        wav_header(1, 1, 8000, 12, 0),
        wav_header(1, 0, 8000, 16, 0),
        wav_header(1, 1, 0, 16, 0),
        wav_header(1, 1, 8000, 16, 0)[:30],
        b"RIFF\0\0\0\0WAVE" + wav_header(1, 1, 8000, 16, 0)[36:],
    ],
    ids=range(9),
)
def test_audio_files_of_other_formats_are_refused(raw: bytes) -> None:
    with pytest.raises(AudioFileError):
        read_ulaw(raw)


def test_stereo_left_and_right(tmp_path: Path) -> None:
    path = tmp_path / "call.wav"
    left, right = (np.arange(1000, dtype="<i2"), -np.arange(1000, dtype="<i2"))
    with StereoWriter(path) as writer:
        for at in range(0, 1000, 160):
            writer.write(left[at : at + 160].tobytes(), right[at : at + 160].tobytes())
        with pytest.raises(ValueError, match="same length"):
            writer.write(b"\0\0", b"")
    with wave.open(str(path)) as file:
        assert file.getparams()[:4] == (2, 2, 8000, 1000)
        sides = np.frombuffer(file.readframes(1000), "<i2").reshape(-1, 2)
    assert np.array_equal(sides[:, 0], left)
    assert np.array_equal(sides[:, 1], right)


def test_stereo_can_be_played_while_it_is_written_and_after_a_crash(tmp_path: Path) -> None:
    path = tmp_path / "call.wav"
    writer = StereoWriter(path)
    for seconds in range(1, 4):
        for _ in range(50):
            writer.write(b"\1\0" * 160, b"\2\0" * 160)
        with wave.open(str(path)) as file:  # nobody has closed it
            assert file.getnframes() == 8000 * seconds
            assert file.readframes(1) == b"\1\0\2\0"
    writer.close()
    writer.close()


def test_pcm16_is_written_with_its_rate(tmp_path: Path) -> None:
    write_pcm16(tmp_path / "a.wav", bytes(8), 24000, 2)
    with wave.open(str(tmp_path / "a.wav")) as file:
        assert file.getparams()[:4] == (2, 2, 24000, 2)
