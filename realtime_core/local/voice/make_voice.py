"""Creates the audio files with which the embedded model speaks: `python -m realtime_core.local.voice.make_voice`.

Needs flite on PATH (2.2 was used). Writes `data/*.wav` (mu-law; complete sentences at 16 kHz, single words at 8 kHz)
and `data/index.json`. Only needed to change the voice or its sentences, which stand in this file.
"""

from __future__ import annotations

import json
import struct
import subprocess
import tempfile
from pathlib import Path

import numpy as np

from ...audio import g711
from .compose import words_of
from .wav import read_wav, resample

LINES = {
    "trattoria-greeting": "Hello, this is Trattoria Blu. I am a recorded script, not a real model. How can I help you?",
    "trattoria-booked": (
        "Your table for two on Friday at seven is booked. Tonight we serve a soup of white beans with sage, then fresh "
        "tagliatelle with mushrooms, or sea bass from the oven with lemon and potatoes. For dessert there is tiramisu, "
        "made this morning. Our house wine comes from a small village near Verona. Would you like to hear more?"
    ),
    "trattoria-hours": "We are open every day from noon until eleven in the evening. To hear that again, press one.",
    "trattoria-again": "Every day, from noon until eleven.",
    "trattoria-goodbye": "Thank you for calling Trattoria Blu. Goodbye!",
}
"""The complete texts that are stored as one clip each. The key is the name of the clip."""

PHRASES = """
hello this is, your agent, I am a script not an AI, I can try your tools one by one, say something and I try the next
one, I have tried all your tools, to try one again press its number, your agent has no tools, press, for, I call, it
answered, to hear this again press zero, the last answer was, you pressed, there is nothing on that key, one moment
please, are you still there, I have come to the end of my script, thank you, goodbye, please, yes, no, and, or, at,
on, in, to, of, the, is, are, with, your, you, table, booked, booking, number, people, time, day, name, today,
tomorrow, open, closed, minutes, hours, transfer, hang up, error, zero, one, two, three, four, five, six, seven,
eight, nine, ten, eleven, twelve, thirteen, fourteen, fifteen, sixteen, seventeen, eighteen, nineteen, twenty, thirty,
forty, fifty, sixty, seventy, eighty, ninety, hundred, thousand, Monday, Tuesday, Wednesday, Thursday, Friday,
Saturday, Sunday, a, b, c, d, e, f, g, h, i, j, k, l, m, n, o, p, q, r, s, t, u, v, w, x, y, z
"""
"""The words and phrases that are stored as separate clips, separated by commas. Speech for a text that is not in
`LINES` is put together from these clips.
"""

SPOKEN = {"Trattoria Blu": "Trattoria Blue", "AI": "A I"}
"""The texts for the synthesiser for words whose spelling leads to a wrong pronunciation."""

DATA = Path(__file__).with_name("data")
LINE_HZ, WORD_HZ = 16000, 8000


def say(text: str, keep_ms: int, stretch: float = 1.0) -> bytes:
    """Returns `text` spoken by flite at 16 kHz, slowed down by the factor `stretch`, with at most `keep_ms`
    milliseconds of silence at each end.
    """
    for written, spoken in SPOKEN.items():
        text = text.replace(written, spoken)
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "line.wav"
        command = ["flite", "-voice", "slt", "--setf", f"duration_stretch={stretch}", "-t", text, "-o", str(out)]
        subprocess.run(command, check=True)  # noqa: S603
        pcm, rate_hz = read_wav(out.read_bytes())
    samples = np.frombuffer(resample(pcm, rate_hz, LINE_HZ), "<i2")
    loud = np.flatnonzero(np.abs(samples.astype(np.int32)) > 200)
    keep = keep_ms * LINE_HZ // 1000
    return samples[max(0, loud[0] - keep) : loud[-1] + keep].tobytes()


def write_wav(path: Path, pcm16: bytes, rate_hz: int) -> None:
    """Writes the samples `pcm16` (16 bit, `rate_hz` samples per second) as a mono mu-law WAV file: RFC 2361,
    format 7.
    """
    audio = g711.encode(pcm16)
    head = struct.pack("<HHIIHH", 7, 1, rate_hz, rate_hz, 1, 8) + struct.pack("<H", 0)
    fact = struct.pack("<4sII", b"fact", 4, len(audio))
    body = b"WAVE" + struct.pack("<4sI", b"fmt ", len(head)) + head + fact
    body += struct.pack("<4sI", b"data", len(audio)) + audio + bytes(len(audio) % 2)
    path.write_bytes(struct.pack("<4sI", b"RIFF", len(body)) + body)


def main() -> None:
    DATA.mkdir(exist_ok=True)
    for name, text in LINES.items():
        write_wav(DATA / f"{name}.wav", say(text, 60), LINE_HZ)
    words: dict[str, list[int]] = {}
    pcm = b""
    for phrase in " ".join(PHRASES.split()).split(", "):
        audio = resample(say(phrase, 15, 0.85), LINE_HZ, WORD_HZ)
        key = " ".join(word for word in words_of(phrase) if word[0].isalnum())
        words[key] = [len(pcm) // 2, len(audio) // 2]
        pcm += audio
    write_wav(DATA / "words.wav", pcm, WORD_HZ)
    (DATA / "index.json").write_text(json.dumps({"lines": LINES, "words": words}, indent=1) + "\n")


if __name__ == "__main__":
    main()
