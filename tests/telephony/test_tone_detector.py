"""The tone detector: tones by their spectrum, voices by their level, and neither is mistaken for the other."""

from __future__ import annotations

import pytest

from realtime_core.audio import g711
from telephony.outbound.tone_detector import Sound, ToneDetector
from telephony.simulator import clips
from telephony.simulator.tones import beep, tone

QUIET = g711.SILENCE * 8000


def heard(ulaw: bytes, *, piece: int = 160) -> list[Sound]:
    detector = ToneDetector()
    return [sound for at in range(0, len(ulaw), piece) for sound in detector.feed(ulaw[at : at + piece])]


@pytest.mark.parametrize("name", clips.names())
def test_a_voice_is_speech_and_never_a_tone(name: str) -> None:
    sounds = heard(QUIET + clips.load(name) + QUIET)
    assert {sound.kind for sound in sounds} == {"speech", "pause"}
    assert [sound.kind for sound in sounds][::2] == ["speech"] * (len(sounds) // 2)


@pytest.mark.parametrize("hertz", [440, 620, 1000, 1400, 1700])
@pytest.mark.parametrize("seconds", [0.26, 0.4, 1.0])
def test_a_beep_is_heard_after_a_greeting(hertz: int, seconds: float) -> None:
    sounds = heard(clips.load("next_in_line") + QUIET[:4000] + tone((hertz,), seconds) + QUIET)
    assert sounds[-1].kind == "beep"
    assert sounds[-1].seconds == pytest.approx(seconds, abs=0.06)


def test_frames_of_any_size_are_heard_the_same() -> None:
    audio = clips.load("hello") + QUIET + beep() + QUIET
    assert heard(audio, piece=37) == heard(audio, piece=160) == heard(audio, piece=len(audio))


@pytest.mark.parametrize("hertz", [1100, 2100])
def test_a_fax_is_known_by_its_tone(hertz: int) -> None:
    assert [sound.kind for sound in heard(QUIET + tone((hertz,), 0.5) + QUIET)] == ["fax"]


@pytest.mark.parametrize("hertz", [(480, 620), (425,)])
def test_a_busy_tone_is_known_by_its_second_burst(hertz: tuple[int, ...]) -> None:
    burst = tone(hertz, 0.5) + QUIET[:4000]
    assert [sound.kind for sound in heard(burst * 3)] == ["busy", "busy"]
    assert "busy" not in [sound.kind for sound in heard(burst)]


def test_silence_and_line_noise_are_nothing() -> None:
    noise = bytes([0x7E, 0xFE, 0x7D, 0xFD]) * 4000
    assert heard(QUIET * 3 + noise) == []
