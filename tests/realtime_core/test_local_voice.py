"""The stored voice: its content, the speech for other text, and the use of a synthesiser."""

from __future__ import annotations

import base64
import json
import re
import subprocess
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from realtime_core.local import voice as voice_package
from realtime_core.local.formats import ALAW, PCM, ULAW
from realtime_core.local.voice import Speech, Voice, synthesis
from realtime_core.local.voice.compose import compose, words_of
from realtime_core.local.voice.make_voice import LINES, PHRASES
from realtime_core.local.voice.wav import read_wav
from tests.support.local_client import session

FOLDER = Path(voice_package.__file__).parent
HOURS = LINES["trattoria-hours"]


def spoken(text: str) -> Speech:
    speech = Voice().speech(text)
    assert speech is not None
    return speech


def test_the_stored_voice_is_complete_small_and_names_its_sources() -> None:
    index = json.loads((FOLDER / "data" / "index.json").read_text())
    assert index["lines"] == LINES
    phrases = [" ".join(words_of(phrase)) for phrase in " ".join(PHRASES.split()).split(", ")]
    assert list(index["words"]) == phrases
    words, rate = read_wav((FOLDER / "data" / "words.wav").read_bytes())
    assert rate == 8000 and sum(n for _, n in index["words"].values()) == len(words) // 2
    for name in LINES:
        pcm, rate = read_wav((FOLDER / "data" / f"{name}.wav").read_bytes())
        assert rate == 16000 and np.abs(np.frombuffer(pcm, "<i2").astype(int)).max() > 5000
    assert sum(path.stat().st_size for path in (FOLDER / "data").iterdir()) < 1.05 * 2**20
    assert "Flite" in (FOLDER / "README.md").read_text()


def test_a_stored_line_is_found_whatever_its_punctuation() -> None:
    assert (
        spoken("we are OPEN every day, from noon until eleven in the evening; to hear that again press 1!").pcm
        == spoken(HOURS).pcm
    )


def test_captions_are_the_text_spread_over_the_bursts() -> None:
    speech = spoken(HOURS)
    assert "".join(speech.captions) == HOURS
    assert len(speech.captions) == len(speech.bursts(PCM)) == len(speech.bursts(ULAW)) == 26
    assert speech.captions[0].startswith("We") and " one." in speech.captions[-4:]


@given(st.text(max_size=60))
def test_any_text_becomes_speech_and_its_captions_keep_every_word(text: str) -> None:
    speech = Speech(text, compose(text, {"a": bytes(48), "b c": bytes(480)}))
    assert "".join(speech.captions).split() == text.split()
    assert len(speech.pcm) % 2 == 0 and speech.duration_ms > 0
    assert len(speech.captions) == len(speech.bursts(PCM))
    assert b"".join(base64.b64decode(burst) for burst, _ in speech.bursts(PCM)) == speech.pcm


def test_every_format_is_as_long_and_sounds_alike() -> None:
    speech = spoken(HOURS)
    pcm = np.frombuffer(speech.pcm, "<i2")[::3].astype(float)
    for format in (ULAW, ALAW):
        audio = speech.encoded(format)
        assert len(audio) == pytest.approx(speech.duration_ms * format.bytes_per_ms, abs=1)
        decoded = np.frombuffer(format.decode(audio), "<i2").astype(float)[: len(pcm)]
        assert np.corrcoef(decoded, pcm[: len(decoded)])[0, 1] > 0.95


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("It's 7.", ["it's", "seven", "."]),
        ("1250", ["one", "thousand", "two", "hundred", "fifty"]),
        ("21, 90", ["twenty", "one", ",", "ninety"]),
        ("007", ["zero", "zero", "seven"]),
        ("4155550123", ["four", "one", "five", "five", "five", "five", "zero", "one", "two", "three"]),
        ("1000", ["one", "thousand"]),
        ("Böse-Wörter", ["böse", "wörter"]),
    ],
)
def test_text_is_taken_apart(text: str, words: list[str]) -> None:
    assert words_of(text) == words


def test_the_longest_phrase_is_taken_and_an_unknown_word_is_hummed() -> None:
    a, b, ab = (bytes([n, 0]) * 10 for n in (1, 2, 3))
    stored = {"a": a, "b": b, "a b": ab}
    assert re.sub(rb"\0\0{99,}", b"|", compose("a b", stored)).startswith(ab[:-1])
    assert compose("A, b.", stored).startswith(ab)
    assert a in compose("a c b", stored) and b in compose("a c b", stored)
    hum = np.frombuffer(compose("xylophone", stored), "<i2").astype(int)
    assert 500 < np.abs(hum).max() < 8000


def test_what_is_not_stored_is_put_together_and_kept() -> None:
    voice = Voice()
    text = "I am a script, not an AI. Press 1 for book table."
    speech = voice.speech(text)
    assert speech is not None and speech is voice.speech(text)
    assert 3000 < speech.duration_ms < 9000


def test_no_synthesiser_is_started_by_default(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(subprocess, "run", lambda *args, **kwargs: pytest.fail("a synthesiser was started"))
    assert Voice().speech("Something that nobody has stored.") is not None


def test_a_synthesiser_speaks_what_is_not_stored(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """With a program in flite's place that copies a stored line."""
    program = tmp_path / "flite"
    line = FOLDER / "data" / "trattoria-again.wav"
    program.write_text(f'#!/bin/sh\nwhile [ "$1" != -o ]; do shift; done\ncp "{line}" "$2"\n')
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/bin:/usr/bin")
    assert synthesis.find_synthesiser() == str(program)
    voice = Voice(synthesise=True)
    assert voice.speech(HOURS) is not None
    assert voice.speech("-h Something new.") is None
    voice.prepare("-h Something new.")
    speech = voice.speech("-h Something new.")
    assert speech is not None and speech.pcm == spoken(LINES["trattoria-again"]).pcm
    program.write_text("#!/bin/sh\nexit 1\n")
    voice.prepare("Something else.")
    failed = voice.speech("Something else.")
    assert failed is not None and failed.pcm == spoken("Something else.").pcm


@pytest.mark.virtual_time
async def test_an_answer_waits_for_its_synthesis(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("realtime_core.local.voice.voice.find_synthesiser", lambda: "flite")
    pcm = bytes(48000)
    monkeypatch.setattr("realtime_core.local.voice.voice.synthesise", lambda program, text: pcm)
    monkeypatch.setattr("realtime_core.local.server._voice", lambda synthesise: Voice(synthesise=synthesise))
    async with session(synthesise=True) as client:
        client.respond()
        response = await client.answer()
        assert response["status"] == "completed"
        assert client.audio() == pcm
        assert response["output"][0]["content"][0]["transcript"].startswith("Hello, this is your agent.")


@pytest.mark.parametrize(
    ("data", "result"),
    [
        (b"", "is not a WAV file"),
        (b"RIFF\0\0\0\0WAVE", "holds no audio"),
        (b"RIFF\0\0\0\0WAVEfmt \x10\0\0\0\1\0\2\0" + bytes(10) + b"\x10\0" + b"data\0\0\0\0", "must be mono"),
    ],
)
def test_a_wav_file_that_is_none(data: bytes, result: str) -> None:
    with pytest.raises(ValueError, match=result):
        read_wav(data)
