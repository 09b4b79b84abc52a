"""Uses the speech synthesiser flite or espeak-ng, if installed, for text without a stored recording."""

from __future__ import annotations

import shutil
import subprocess
import tempfile
from pathlib import Path

from .speech import RATE_HZ
from .wav import read_wav, resample

__all__ = ["find_synthesiser", "synthesise"]

_COMMANDS = {
    "flite": ["-voice", "slt", "-t", "{text}", "-o", "{out}"],
    "espeak-ng": ["-v", "en-us", "-s", "160", "-w", "{out}", "{text}"],
}
_TIMEOUT_S = 20.0


def find_synthesiser() -> str | None:
    """Returns the path of flite or espeak-ng, if one of them is on PATH, or None."""
    return next((path for name in _COMMANDS if (path := shutil.which(name))), None)


def synthesise(program: str, text: str) -> bytes:
    """Returns `text` as 16-bit samples at 24 kHz, spoken by the synthesiser `program` (the path of flite or espeak-ng).
    Returns empty bytes if the synthesiser fails. The function blocks, so it must be called in a thread.
    """
    # The program would read a leading hyphen as an option.
    values = {"{text}": " " + text.replace("\0", " "), "{out}": ""}
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "speech.wav"
        values["{out}"] = str(out)
        command = [program, *(values.get(argument, argument) for argument in _COMMANDS[Path(program).stem])]
        try:
            subprocess.run(command, check=True, capture_output=True, timeout=_TIMEOUT_S)  # noqa: S603
            pcm, rate_hz = read_wav(out.read_bytes())
        except (OSError, subprocess.SubprocessError, ValueError):
            return b""
    return resample(pcm, rate_hz, RATE_HZ)
