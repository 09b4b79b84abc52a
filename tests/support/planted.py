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
from sqlalchemy import inspect, text

from realtime_core.audio import g711
from realtime_core.sources import SYSTEM
from telephony.records.client import RecordsClient
from telephony.records.database import DatabaseRecords
from telephony.records.engine import engine_of, parse_url
from telephony.webhooks.sender import WebhookSender
from tests.support.webhook_receiver import SECRET, receiver

__all__ = ["audio_in", "bytes_of", "delivered", "rows_of", "strength", "words_in"]


def bytes_of(folder: Path) -> Iterator[tuple[str, bytes]]:
    """Each file below a folder, also compressed ones as plain bytes."""
    for path in sorted(folder.rglob("*")):
        if path.is_file():
            data = path.read_bytes()
            yield path.name, gzip.decompress(data) if path.suffix == ".gz" else data


def rows_of(url: str) -> bytes:
    """All rows of all tables, as text. A database may compress what is in its files."""
    engine = engine_of(parse_url(url))
    try:
        with engine.connect() as connection:
            tables = [f'"{name}"' for name in inspect(connection).get_table_names()]
            rows = [tuple(row) for name in tables for row in connection.execute(text(f"SELECT * FROM {name}"))]
    finally:
        engine.dispose()
    return repr(rows).encode()


async def delivered(url: str) -> list[bytes]:
    """Delivers the messages of the outbox to a receiver on this machine. Returns what the receiver got."""
    async with (
        receiver() as here,
        RecordsClient(DatabaseRecords(url)) as client,
        WebhookSender(client, here.url, [SECRET], sources=SYSTEM),
    ):
        got = await here.until(lambda received: len(received) > 0)
    return [each.body + repr(each.headers).encode() for each in got]


def words_in(things: Iterable[tuple[str, bytes]], words: Iterable[str]) -> list[tuple[str, str]]:
    """Returns the places that contain one of the words: unchanged, in UTF-16, in base64, or with escapes of JSON."""
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
