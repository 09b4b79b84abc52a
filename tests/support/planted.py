"""Searches everything that a call left behind for planted words, digits and tones."""

from __future__ import annotations

import base64
import gzip
import json
import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from realtime_core.audio import g711

__all__ = ["audio_in", "bytes_of", "strength", "words_in"]


def bytes_of(folder: Path) -> Iterator[tuple[str, bytes]]:
    """Each file below a folder, also compressed ones as plain bytes."""
    for path in sorted(folder.rglob("*")):
        if path.is_file():
            data = path.read_bytes()
            yield path.name, gzip.decompress(data) if path.suffix == ".gz" else data


def words_in(things: Iterable[tuple[str, bytes]], words: Iterable[str]) -> list[tuple[str, str]]:
    """Where one of the words is: as it stands, in UTF-16, in base64, and with escapes of JSON."""
    found = []
    for name, data in things:
        lower = data.lower()
        for word in words:
            plain = word.lower().encode()
            forms = [plain, word.lower().encode("utf-16-le"), json.dumps(word.lower())[1:-1].encode()]
            encoded = [base64.b64encode(bytes(n) + word.encode())[n + 2 : -4] for n in range(3) if len(word) > 7]
            if any(form in lower for form in forms) or any(each and each in data for each in encoded):
                found.append((name, word))
    return found


def audio_in(data: bytes) -> Iterator[tuple[str, NDArray[np.int16]]]:
    """All audio in the lines of a journal, at 8 kHz: the caller's frames in a row, each clip, the agent's pieces in a
    row."""
    frames: dict[str, list[bytes]] = {"caller": []}
    pieces: dict[str, list[bytes]] = {}
    for line in data.splitlines():
        record: dict[str, Any] = json.loads(line)
        message = record.get("message") or {}
        if record["kind"] == "clip":
            yield "clip", pcm(g711.decode(base64.b64decode(record["payload"])))
        elif message.get("event") == "media" and "payload" in message.get("media", {}):
            frames["caller"].append(base64.b64decode(message["media"]["payload"]))
        elif re.fullmatch(r"response\.(output_)?audio\.delta", str(message.get("type"))):
            pieces.setdefault(message["item_id"], []).append(base64.b64decode(message["delta"]))
    yield "caller", pcm(g711.decode(b"".join(frames["caller"])))
    for item_id, chunks in pieces.items():
        yield item_id, pcm(b"".join(chunks))[::3]


def pcm(data: bytes) -> NDArray[np.int16]:
    return np.frombuffer(data[: len(data) // 2 * 2], "<i2")


def strength(samples: NDArray[np.int16], hz: float) -> float:
    """The share of a tone in a piece of audio, in its 100 ms where the share is largest. 1: nothing but the tone.
    Silence has none."""
    best = 0.0
    for at in range(0, max(1, len(samples) - 800), 400):
        block = samples[at : at + 800].astype(float)
        energy = float((block**2).sum())
        if energy < 800 * 30**2:
            continue
        wave = np.exp(-2j * np.pi * hz * np.arange(len(block)) / 8000)
        best = max(best, abs(complex((block * wave).sum())) ** 2 * 2 / (len(block) * energy))
    return best
