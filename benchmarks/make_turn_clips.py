"""Makes the clips of the noise and backchannel suite: `python -m benchmarks.make_turn_clips`.

Needs flite and espeak-ng on PATH, and Debian's asterisk-core-sounds-{en,es,fr,it,ru}-wav. It writes
`telephony/evals/clips/*.wav` (mu-law, 8 kHz) and `index.toml`. It is only needed to change the clips.
"""

from __future__ import annotations

import json
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from realtime_core.audio import g711
from telephony.audio.files import read_ulaw, write_ulaw
from telephony.evals.acoustics import noise
from telephony.evals.persona import NoiseKind
from telephony.simulator import clips
from telephony.simulator.tones import digits

RATE, FRAME = 8000, 160
OUT = Path(__file__).parents[1] / "telephony" / "evals" / "clips"
ASTERISK = Path("/usr/share/asterisk/sounds")
BY_SA, BY = "CC BY-SA 3.0", "CC BY 3.0"
SPEECH_DBFS = -22.0
SEED = 7

Samples = NDArray[np.float64]


@dataclass(frozen=True)
class Made:
    """One clip. `turn` means that a person wants the turn, so the agent has to stop."""

    name: str
    kind: str
    turn: bool
    samples: Samples
    source: str
    licence: str = "MIT"


def main() -> None:
    OUT.mkdir(exist_ok=True)
    for old in OUT.glob("*.wav"):
        old.unlink()
    random = np.random.default_rng(SEED)
    made = [*_speech(), *_degraded(random), *_backchannels(), *_second_speakers(random), *_noises(random), *_tones()]
    lines = [
        "# The clips of the noise and backchannel suite, with the truth about each. README.md names the licences.",
        "",
    ]
    for clip in made:
        write_ulaw(OUT / f"{clip.name}.wav", _ulaw(clip.samples))
        fields = {
            "name": clip.name,
            "kind": clip.kind,
            "turn": clip.turn,
            "source": clip.source,
            "licence": clip.licence,
        }
        lines += ["[[clip]]", *(f"{key} = {json.dumps(value)}" for key, value in fields.items()), ""]
    (OUT / "index.toml").write_text("\n".join(lines))
    print(f"{len(made)} clips, {sum(len(clip.samples) for clip in made) / 1e6:.2f} MB")


# --- speech ------------------------------------------------------------------------------------------------------


def _speech() -> list[Made]:
    human = [
        Made(
            f"human-en-{name.replace('_', '-')}",
            "speech",
            True,
            _pcm(clips.load(name)),
            f"Asterisk, Allison Smith: {name}",
            BY_SA,
        )
        for name in ("booking", "sorry_hours", "hello")
    ]
    for language, voice, licence, files in (
        ("en", "en_US_f_Allison", BY_SA, ("one-moment-please", "please-try-again", "cancelled")),
        ("es", "es_MX_f_Allison", BY_SA, ("auth-thankyou", "please-try-again")),
        ("fr", "fr_CA_f_June", BY_SA, ("one-moment-please", "please-try-again")),
        ("it", "it_IT_m_Carlo", BY_SA, ("one-moment-please", "please-try-again")),
        ("ru", "ru_RU_f_IvrvoiceRU", BY, ("one-moment-please", "please-try-again")),
    ):
        for file in files:
            path = ASTERISK / voice / f"{file}.wav"
            samples = _levelled(_trimmed(_pcm(read_ulaw(path.read_bytes()))), SPEECH_DBFS)
            human.append(
                Made(f"human-{language}-{file}", "speech", True, samples, f"Asterisk, {voice}: {file}", licence)
            )
    synthetic = []
    for voice, text in (
        ("flite:slt", "No, wait, I meant Friday."),
        ("flite:awb", "Stop, that is wrong."),
        ("flite:rms", "Can I ask you something?"),
        ("flite:kal", "No."),
        ("espeak-ng:en-us", "I want to speak to a person."),
        ("espeak-ng:en-gb-scotland", "Sorry, four people, not two."),
        ("espeak-ng:en-gb-x-rp", "Excuse me, what was the price?"),
        ("espeak-ng:de", "Nein, ich meine Freitag."),
        ("espeak-ng:hi", "नहीं, रुकिए."),
    ):
        synthetic.append(Made(f"synthetic-{_slug(voice)}", "speech", True, _spoken(voice, text), f"{voice}: {text}"))
    return [*human, *synthetic]


def _degraded(random: np.random.Generator) -> list[Made]:
    """Speech on bad lines: quiet, with lost frames, in noise."""
    base = {"booking": _pcm(clips.load("booking")), "wrong": _spoken("flite:awb", "Stop, that is wrong."),
            "person": _spoken("espeak-ng:en-us", "I want to speak to a person.")}  # fmt: skip
    made = []
    for name, samples in base.items():
        licence, source = (BY_SA, "Asterisk, Allison Smith") if name == "booking" else ("MIT", "synthesis")
        for kind, changed in (
            ("low level", _levelled(samples, -40.0)),
            ("packet loss", _lossy(samples, 0.15, random)),
            ("speech in street noise", samples + noise(NoiseKind.STREET, -38, SEED)[np.arange(len(samples)) % 64000]),
        ):
            made.append(Made(f"{_slug(kind)}-{name}", kind, True, changed, f"{source}, {kind}", licence))
    return made


def _backchannels() -> list[Made]:
    made = []
    for voice, text in (
        ("flite:slt", "Mhm."),
        ("flite:awb", "Uh huh."),
        ("flite:rms", "Yeah."),
        ("flite:kal", "Okay."),
        ("flite:rms", "Hm."),
        ("flite:slt", "Right."),
        ("espeak-ng:en-us", "Mhm."),
        ("espeak-ng:en-gb-scotland", "Aye."),
        ("espeak-ng:de", "Ja."),
        ("espeak-ng:fr-fr", "Oui."),
        ("espeak-ng:es", "Sí."),
        ("espeak-ng:en-gb-x-rp", "I see."),
    ):
        name = f"backchannel-{_slug(voice)}-{_slug(text)}"
        made.append(
            Made(name, "backchannel", False, _levelled(_spoken(voice, text), SPEECH_DBFS - 6), f"{voice}: {text}")
        )
    return made


def _second_speakers(random: np.random.Generator) -> list[Made]:
    """Somebody else in the room: far from the microphone, with reverberation."""
    made = []
    for name, samples, licence, source in (
        ("busy", _pcm(clips.load("busy"))[: 3 * RATE], BY_SA, "Asterisk, Allison Smith"),
        ("echo", _pcm(clips.load("echo"))[: 3 * RATE], BY_SA, "Asterisk, Allison Smith"),
        ("rms", _spoken("flite:rms", "Did you feed the cat this morning?"), "MIT", "flite:rms"),
        ("en-gb", _spoken("espeak-ng:en-gb", "Dinner is ready in ten minutes."), "MIT", "espeak-ng:en-gb"),
    ):
        for level in (-38.0, -46.0):
            far = _levelled(_reverberant(samples, random), level)
            made.append(
                Made(f"second-speaker-{name}{level:.0f}", "second speaker", False, far, f"{source}, far", licence)
            )
    return made


# --- noises ------------------------------------------------------------------------------------------------------


def _noises(random: np.random.Generator) -> list[Made]:
    made = [Made(f"cough-{n + 1}", "cough", False, _cough(random, bursts=1 + n % 2), "generated") for n in range(4)]
    for kind in (NoiseKind.STREET, NoiseKind.MUSIC, NoiseKind.BABBLE, NoiseKind.WHITE):
        for level in (-30.0, -38.0, -46.0):
            samples = _faded(noise(kind, level, SEED, 3.0))
            made.append(Made(f"{kind.value}{level:.0f}", kind.value, False, samples, "generated"))
    made.append(Made("clicks", "clicks", False, _clicks(random), "generated"))
    made.append(Made("slam", "slam", False, _slam(random), "generated"))
    made += [
        Made(f"silence{level:.0f}", "silence", False, noise(NoiseKind.WHITE, level, SEED, 2.0), "generated")
        for level in (-70.0, -55.0)
    ]
    return made


def _tones() -> list[Made]:
    return [
        Made(f"dtmf-{keys}", "DTMF", False, _levelled(_pcm(digits(keys)), -20.0), "generated")
        for keys in ("5", "12", "909")
    ]


def _cough(random: np.random.Generator, *, bursts: int) -> Samples:
    parts = []
    for _ in range(bursts):
        n = round(random.uniform(0.16, 0.26) * RATE)
        t = np.arange(n) / RATE
        burst = np.convolve(random.standard_normal(n), np.hanning(5), "same") * np.exp(-t * random.uniform(10, 16))
        parts += [burst, np.zeros(round(0.12 * RATE))]
    return _levelled(np.concatenate(parts), -18.0)


def _clicks(random: np.random.Generator) -> Samples:
    samples = np.zeros(2 * RATE)
    for at in random.integers(0, 2 * RATE - 200, 14):
        samples[at : at + 60] += random.standard_normal(60) * np.hanning(60)
    return _levelled(samples, -30.0)


def _slam(random: np.random.Generator) -> Samples:
    n = round(0.5 * RATE)
    t = np.arange(n) / RATE
    thump = np.sin(2 * np.pi * 90 * t) + 0.5 * random.standard_normal(n)
    return _levelled(thump * np.exp(-t * 14), -18.0)


# --- samples -----------------------------------------------------------------------------------------------------


def _spoken(voice: str, text: str) -> Samples:
    return _levelled(_trimmed(_pcm(synthesised(voice, text))), SPEECH_DBFS)


def synthesised(voice: str, text: str) -> bytes:
    """Returns the text in a voice of flite or espeak-ng, as mu-law."""
    program, _, name = voice.partition(":")
    with tempfile.TemporaryDirectory() as folder:
        out = str(Path(folder) / "speech.wav")
        command = {
            "flite": ["flite", "-voice", name, "-t", text, "-o", out],
            "espeak-ng": ["espeak-ng", "-v", name, "-s", "160", "-w", out, text],
        }[program]
        subprocess.run(command, check=True, capture_output=True)
        return read_ulaw(Path(out).read_bytes())


def _pcm(ulaw: bytes) -> Samples:
    return np.frombuffer(g711.decode(ulaw), "<i2").astype(np.float64)


def _ulaw(samples: Samples) -> bytes:
    return g711.encode(np.clip(np.rint(samples), -32000, 32000).astype("<i2").tobytes())


def _levelled(samples: Samples, dbfs: float) -> Samples:
    """Returns the samples at this level (RMS of the loud frames)."""
    frames = samples[: len(samples) // FRAME * FRAME].reshape(-1, FRAME)
    levels = np.sqrt((frames**2).mean(axis=1))
    loud = float(np.sqrt((levels[levels > levels.max() / 10] ** 2).mean()))
    return samples * (32768 * 10 ** (dbfs / 20) / loud)


def _trimmed(samples: Samples) -> Samples:
    loud = np.flatnonzero(np.abs(samples) > np.abs(samples).max() / 50)
    return samples[max(0, loud[0] - 400) : loud[-1] + 400]


def _faded(samples: Samples) -> Samples:
    ramp = np.minimum(1, np.minimum(np.arange(len(samples)), np.arange(len(samples))[::-1]) / 1600)
    faded: Samples = samples * ramp
    return faded


def _lossy(samples: Samples, share: float, random: np.random.Generator) -> Samples:
    """Returns the samples without some frames, in bursts of one to three."""
    changed, at = samples.copy(), 0
    while at < len(changed):
        if random.random() < share:
            n = int(random.integers(1, 4)) * FRAME
            changed[at : at + n] = 0
            at += n
        at += FRAME
    return changed


def _reverberant(samples: Samples, random: np.random.Generator) -> Samples:
    n = round(0.3 * RATE)
    room = random.standard_normal(n) * np.exp(-np.arange(n) / RATE * 18)
    room[0] = 4.0
    return np.convolve(samples, room)[: len(samples) + n // 2]


def _slug(text: str) -> str:
    return "-".join("".join(c if c.isascii() and c.isalnum() else " " for c in text.lower()).split())


if __name__ == "__main__":
    main()
