"""Synthetic calls for the tests of the journal's tools: the records, and separately the audio that was really heard."""

from __future__ import annotations

import base64
import zlib
from pathlib import Path
from random import Random
from typing import Any

from realtime_core.audio import g711
from realtime_core.audio.resample import Downsampler3
from realtime_core.local.voice import Voice
from telephony.journal.format import SCHEMA
from telephony.journal.writer import JournalWriter

LAG_S = 0.007
"""How long a message from the phone is on its way."""
LEAD_MS = 400


class SyntheticCall:
    """Say what happens at which millisecond of the call, then `write` it."""

    def __init__(self, duration_ms: int, *, seed: int = 1) -> None:
        self.caller = bytearray(g711.SILENCE * (duration_ms * 8))
        self.heard = bytearray(g711.SILENCE * (duration_ms * 8))
        self.missing_frames: set[int] = set()
        self._random = Random(seed)
        self._voice = Voice()
        self._records: list[tuple[float, str, dict[str, Any]]] = []
        self._position = 0
        self.add(0, "header", schema=SCHEMA, agent="Trattoria Blu", call_sid="CA" + "0" * 32)

    def add(self, at_ms: float, kind: str, **fields: Any) -> None:
        self._records.append((at_ms / 1000 + LAG_S, kind, fields))

    def model(self, at_ms: float, type: str, **fields: Any) -> None:
        self.add(at_ms, "model.in", message={"type": type, **fields})

    def twilio(self, at_ms: float, event: str, **fields: Any) -> None:
        self.add(at_ms, "twilio.out" if event in ("clear",) else "twilio.in", message={"event": event, **fields})

    def caller_says(self, at_ms: int, text: str, item_id: str) -> int:
        """Lets the caller speak. Returns the time at which the speech ends."""
        voice = self._render(text)[0]
        self.caller[at_ms * 8 : at_ms * 8 + len(voice)] = voice
        end_ms = at_ms + len(voice) // 8
        self.model(at_ms + 100, "input_audio_buffer.speech_started", item_id=item_id, audio_start_ms=at_ms)
        self.model(end_ms + 300, "input_audio_buffer.speech_stopped", item_id=item_id, audio_end_ms=end_ms)
        transcribed = "conversation.item.input_audio_transcription.completed"
        self.model(end_ms + 310, transcribed, item_id=item_id, transcript=text)
        return end_ms

    def agent_says(
        self, at_ms: int, text: str, item_id: str, *, cut_ms: int | None = None, hiccup: tuple[int, int] | None = None
    ) -> int:
        """Lets the caller hear the agent from `at_ms` on, up to `cut_ms` (of the call) if given. After `hiccup[0]` ms
        of it the audio pauses for `hiccup[1]` ms. Returns the time at which the caller hears the end of the voice.
        """
        voice, chunks = self._render(text)
        for n, chunk in enumerate(chunks):
            delta = base64.b64encode(chunk).decode()
            when = at_ms - 30 + 40 * n
            self.model(when, "response.output_audio.delta", item_id=item_id, content_index=0, delta=delta)
        after = at_ms - 30 + 40 * len(chunks)
        self.model(after, "response.output_audio.done", item_id=item_id, content_index=0)
        self.model(after, "response.output_audio_transcript.done", item_id=item_id, content_index=0, transcript=text)
        runs = [(0, len(voice), at_ms)]
        if hiccup:
            first = hiccup[0] * 8
            runs = [(0, first, at_ms), (first, len(voice), at_ms + hiccup[0] + hiccup[1])]
        end = runs[-1][2] + (runs[-1][1] - runs[-1][0]) // 8
        for start, stop, run_ms in runs:
            end = self._play(item_id, voice, start, stop, run_ms, cut_ms)
        return end

    def _play(self, item_id: str, voice: bytes, start: int, stop: int, run_ms: int, cut_ms: int | None) -> int:
        base, offset = self._position, start
        sent_to = stop if cut_ms is None else min(stop, start + (cut_ms - run_ms + LEAD_MS) * 8 // 160 * 160)
        while offset < sent_to:
            size = min(160 * self._random.randint(1, 5), sent_to - offset)
            fill = -size % 160
            payload = voice[offset : offset + size] + g711.SILENCE * fill
            segments = [[item_id, 0, offset, size]] + ([["", 0, 0, fill]] if fill else [])
            at_ms = max(run_ms - 5, run_ms + (offset - start) / 8 - LEAD_MS)
            crc32 = zlib.crc32(payload)
            message = {"event": "media", "bytes": len(payload), "crc32": crc32, "position": self._position}
            self.add(at_ms, "twilio.out", message=message | {"segments": segments})
            self._position += len(payload)
            offset += size
        heard = stop - start if cut_ms is None else min(stop - start, (cut_ms - run_ms) * 8)
        self.heard[run_ms * 8 : run_ms * 8 + heard] = voice[start : start + heard]
        end_ms = run_ms + heard // 8
        self.add(end_ms, "stream", runs=[[base, run_ms - 20]])
        if cut_ms is not None:
            self.twilio(cut_ms, "clear")
            ms = (start + heard) / 8
            self.add(
                cut_ms + 1, "interruption", item_id=item_id, position=base + heard,
                heard=[[item_id, 0, ms]], truncations=[[item_id, 0, int(ms)]],
            )  # fmt: skip
        return end_ms

    def write(self, path: Path) -> Path:
        appended = 0
        for at in range(0, len(self.caller), 160):
            if at // 160 in self.missing_frames:
                self.caller[at : at + 160] = g711.SILENCE * 160
                appended += 960
                continue
            payload = base64.b64encode(self.caller[at : at + 160]).decode()
            appended += 960
            media = {"track": "inbound", "chunk": str(at // 160), "timestamp": str(at // 8), "payload": payload}
            arrival = at / 8 + 20 + self._random.choice((0, 0, 3))
            self.add(arrival, "twilio.in", message={"event": "media", "media": media})
            message = {"type": "input_audio_buffer.append", "bytes": appended, "crc32": 0}
            self.add(at / 8 + 23, "model.out", message=message)
            appended = 0
        journal = JournalWriter(path)
        for t, kind, fields in sorted(self._records, key=lambda record: record[0]):
            journal.write(kind, t, **fields)
        journal.finish()
        return journal.path

    def _render(self, text: str) -> tuple[bytes, list[bytes]]:
        """(mu-law as the live path makes it, the model's deltas)."""
        speech = self._voice.speech(text)
        assert speech is not None
        chunks = [speech.pcm[at : at + 9600] for at in range(0, len(speech.pcm), 9600)]
        down = Downsampler3()
        return b"".join(g711.encode(down.push(chunk)) for chunk in chunks) + g711.encode(down.flush()), chunks


def restaurant_call(*, seed: int = 1) -> SyntheticCall:
    """A call with everything in it: greeting, tool, a hiccup, an interruption, a key, a goodbye."""
    call = SyntheticCall(46_000, seed=seed)
    end = call.agent_says(400, GREETING, "item_1")
    end = call.caller_says(end + 600, "For two on Friday at seven", "item_2")
    call.add(end + 350, "tool.start", call_id="call_1", name="book_table", arguments='{"day":"Friday","people":2}')
    call.add(end + 390, "tool.end", call_id="call_1", name="book_table", output="Confirmed: BLU-2711", ms=40.0)
    barge = end + 700 + 4000
    call.agent_says(end + 700, LONG_ANSWER, "item_3", cut_ms=barge + 110)
    end = call.caller_says(barge, "Friday at seven", "item_4")
    end = call.agent_says(end + 480, HOURS, "item_5", hiccup=(1200, 340))
    call.twilio(end + 700, "dtmf", dtmf={"track": "inbound_track", "digit": "1"})
    end = call.agent_says(end + 900, "Noon until eleven, every day.", "item_6")
    end = call.caller_says(end + 500, "Goodbye", "item_7")
    end = call.agent_says(end + 450, GOODBYE, "item_8")
    del call.caller[(end + 800) // 20 * 160 :], call.heard[(end + 800) // 20 * 160 :]
    call.add(end + 810, "end", cpu_s=0.31)
    return call


GREETING = "Hello, this is Trattoria Blu. I am a recorded script, not a real model. How can I help you?"
LONG_ANSWER = (
    "Your table for two on Friday at seven is booked. Tonight the kitchen makes pumpkin ravioli with sage, a risotto "
    "with mushrooms, and sea bass with lemon; for dessert there is panna cotta, and the house wine is white."
)
HOURS = "We are open every day from noon until eleven in the evening. To hear that again, press one."
GOODBYE = "Thank you for calling Trattoria Blu. Goodbye!"
