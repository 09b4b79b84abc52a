"""Audio from users, at every entrance: converted if its kind is known, else refused with the name of its kind."""

from __future__ import annotations

import base64
import io
from pathlib import Path

import numpy as np
import pytest
import soundfile
from pydantic import ValidationError

from realtime_core import RealtimeAgent
from realtime_core.audio import g711
from telephony import create_app
from telephony.audio.containers import container_of
from telephony.audio.files import load_ulaw, load_words, read_ulaw, wav_header
from telephony.call.options import CallOptions
from telephony.errors import AudioFileError, CallerError
from telephony.outbound.call_request import MAX_CLIP_S, CallRequest
from telephony.outbound.plan import CallPlan, LeaveMessage
from telephony.simulator import callers

SECOND = 0.4 * np.sin(2 * np.pi * 440 * np.arange(44_100) / 44_100)
STEREO = np.stack([SECOND, SECOND], axis=1)


def _file(format: str, subtype: str | None = None, samples: np.ndarray = STEREO, rate: int = 44_100) -> bytes:
    out = io.BytesIO()
    soundfile.write(out, samples, rate, format=format, subtype=subtype)
    return out.getvalue()


READ = {
    "wav 16": ("WAV", "PCM_16"),
    "wav 24": ("WAV", "PCM_24"),
    "wav 32": ("WAV", "PCM_32"),
    "wav 8": ("WAV", "PCM_U8"),
    "wav float": ("WAV", "FLOAT"),
    "wav mu-law": ("WAV", "ULAW"),
    "wav A-law": ("WAV", "ALAW"),
    "wav adpcm": ("WAV", "IMA_ADPCM"),
    "wav extensible": ("WAVEX", "PCM_16"),
    "rf64": ("RF64", "PCM_16"),
    "wave64": ("W64", "PCM_16"),
    "mp3": ("MP3", None),
    "flac": ("FLAC", None),
    "vorbis": ("OGG", "VORBIS"),
    "aiff": ("AIFF", "PCM_16"),
    "au": ("AU", "ULAW"),
    "caf": ("CAF", "PCM_16"),
}
NOT_READ = {
    "an MP4, M4A or 3GP file": b"\0\0\0\x20ftypM4A \0\0\0\0" + bytes(100),
    "a WebM or Matroska file": b"\x1aE\xdf\xa3" + bytes(100),
    "a WMA file": b"0&\xb2u\x8ef\xcf\x11" + bytes(100),
    "an AMR file": b"#!AMR\n" + bytes(100),
    "an AAC file": b"\xff\xf1\x50\x80\x02\x1f\xfc" + bytes(9) + (b"\xff\xf1\x50\x80\x02\x1f\xfc" + bytes(9)) * 3,
    "a RIFF file": b"RIFF\x10\0\0\0AVI LIST" + bytes(100),
    "an MP3 file": b"ID3\x04" + bytes(8000),
    "a FLAC file": b"fLaC" + bytes(100),
    "an Ogg file": b"OggS" + bytes(100),
    "a GIF image": b"GIF89a" + bytes(100),
    "a JPEG image": b"\xff\xd8\xff\xdb\x00\x43" + bytes(100),
    "a ZIP archive": b"PK\x03\x04" + bytes(100),
    "a WAV file": wav_header(1, 1, 8000, 16, 0),
    "text": b"greeting.wav",
    "empty": b"",
}


def _tone_hz(ulaw: bytes) -> float:
    samples = np.frombuffer(g711.decode(ulaw), "<i2").astype(float)
    return float(np.argmax(np.abs(np.fft.rfft(samples * np.hanning(len(samples)))))) * 8000 / len(samples)


@pytest.mark.parametrize("kind", READ)
def test_a_file_of_a_known_kind_is_converted(kind: str, tmp_path: Path) -> None:
    raw = _file(*READ[kind])
    (tmp_path / "named.wrong").write_bytes(raw)
    for ulaw in (load_ulaw(raw), load_ulaw(tmp_path / "named.wrong"), read_ulaw(raw)):
        assert 0.95 <= len(ulaw) / 8000 <= 1.1
        assert abs(_tone_hz(ulaw) - 440) < 3
        assert g711.encode(g711.decode(ulaw)) == ulaw


def test_an_mp3_without_a_tag_is_detected_by_its_samples() -> None:
    for rate in (8000, 16_000, 24_000, 44_100, 48_000):
        found = container_of(_file("MP3", samples=SECOND, rate=rate))
        assert found is not None and found.kind == "an MP3 file", rate


def test_samples_without_a_header_are_taken_as_they_are() -> None:
    rng = np.random.default_rng(1)
    quiet = bytes(rng.choice([0xFF, 0xFE, 0xFB, 0xF3, 0xE3, 0x7F, 0x7E], 8000).astype(np.uint8))
    loud = rng.integers(0, 256, 8000, dtype=np.uint8).tobytes()
    for ulaw in (quiet, loud, b"\xff" * 160, b"\x7f" * 160, bytes(160), b"\xff\xfb" * 400, b"\xff"):
        assert load_ulaw(ulaw) == ulaw


def _as_greeting(clip: bytes) -> object:
    return create_app(RealtimeAgent(name="Desk"), greeting=clip)


def _as_ambience(clip: bytes) -> object:
    return create_app(RealtimeAgent(name="Desk"), ambience=clip)


def _in_options(clip: bytes) -> object:
    return CallOptions(greeting=clip, ambience=clip)


DOORS = {"greeting": _as_greeting, "ambience": _as_ambience, "options": _in_options, "voicemail": LeaveMessage}


@pytest.mark.parametrize("door", DOORS)
@pytest.mark.parametrize("kind", NOT_READ)
def test_what_is_not_audio_is_refused_at_each_door_by_its_kind(kind: str, door: str) -> None:
    with pytest.raises(AudioFileError, match=kind) as result:
        DOORS[door](NOT_READ[kind])
    assert door in str(result.value) or door in ("options", "voicemail")


def test_options_and_messages_hold_what_the_phone_plays() -> None:
    raw = _file("FLAC")
    ulaw = load_ulaw(raw)
    options = CallOptions(greeting=raw, ambience=raw)
    assert (options.greeting, options.ambience) == (ulaw, ulaw)
    assert LeaveMessage(raw).message == ulaw
    assert LeaveMessage("Please call us.").message == "Please call us."


def test_the_name_of_a_file_is_no_words_for_the_model(tmp_path: Path) -> None:
    for name in ("hello.wav", "clips/Hello.MP3", "/tmp/hello.ulaw"):
        with pytest.raises(AudioFileError, match=r"pathlib\.Path"):
            load_words(name, "greeting")
    assert load_words("Say that hello.wav is missing.", "greeting")
    with pytest.raises(AudioFileError, match="cannot be read"):
        load_ulaw(tmp_path / "missing.wav", "greeting")
    with pytest.raises(AudioFileError, match="not int"):
        load_ulaw(7, "greeting")  # type: ignore[arg-type]


def test_an_order_takes_files_and_refuses_what_is_too_long_or_no_audio() -> None:
    def order(raw: bytes) -> CallRequest:
        return CallRequest.model_validate({"to": "+14155550123", "clip": base64.b64encode(raw).decode()})

    machine = order(_file("MP3")).plan({}).machine
    assert machine is not None and isinstance(machine.message, bytes)
    assert abs(len(machine.message) / 8000 - 1) < 0.1
    silent_hour = _file("FLAC", samples=np.zeros(3600 * 8000), rate=8000)  # a few kilobytes
    for raw, result in (
        (silent_hour, f"{MAX_CLIP_S} s is the most"),
        (b"%PDF-1.7" + bytes(9), "a PDF"),
        (b"", "empty"),
    ):
        with pytest.raises(ValidationError, match=result):
            order(raw)


def test_a_plan_is_read_from_a_journal_with_an_empty_message() -> None:
    assert CallPlan.from_journal({"message": 0}).machine is not None


def test_a_simulated_caller_says_any_kind_of_file(tmp_path: Path) -> None:
    (tmp_path / "hello.ogg").write_bytes(_file("OGG", "VORBIS"))
    (tmp_path / "caller.toml").write_text('steps = [{ say = "hello.ogg" }]')
    callers.load(tmp_path / "caller.toml")
    (tmp_path / "hello.ogg").write_bytes(b"\0\0\0\x20ftypM4A " + bytes(50))
    with pytest.raises(CallerError, match="M4A"):
        callers.load(tmp_path / "caller.toml")
