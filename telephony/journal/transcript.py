"""The transcript of a call: the words that were said, the words that the caller heard, and events. Pure."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal

import numpy as np

from .audio import CallAudio, HeardSpan, pcm_of, voice_of
from .cuts import CutCause
from .detected_speech import detected_speech
from .recorded import Interruption, Part, PartId, RecordedCall

__all__ = ["Event", "Turn", "events_of", "to_json", "to_text"]


@dataclass(frozen=True, slots=True)
class Turn:
    """One turn of a call: speech of one side, from `start_ms` to `end_ms` of the call. `said` is the model's
    transcript.

    `heard` is the part of an agent's text that the caller heard. The part is estimated from the length of the heard
    audio, on the assumption that the speed of speech is constant. The length of the heard audio is measured: the caller
    heard `heard_ms` milliseconds, and the model sent `received_ms` milliseconds. For turns of the caller and of a
    supervisor, both texts are complete. They are empty if the words are not known.
    """

    start_ms: float
    end_ms: float
    speaker: Literal["agent", "caller", "supervisor"]
    item_id: str
    said: str
    heard: str
    heard_ms: float
    received_ms: float
    content_index: int = 0
    interrupted: bool = False


@dataclass(frozen=True, slots=True)
class Event:
    """An event that is not speech: a `tool` call with its result, a `key` of the caller, an `interruption` with its
    `cause`, a time-out (`timer`), a request of users' code (`control`), a REST request (`rest`), a webhook
    (`callback`), a new media `stream`, or a `handoff`.
    """

    start_ms: float
    end_ms: float
    kind: Literal["tool", "key", "interruption", "timer", "control", "rest", "callback", "stream", "handoff"]
    text: str
    cause: CutCause | None = None


def events_of(call: RecordedCall, audio: CallAudio) -> list[Turn | Event]:
    """Returns the turns and events of a recorded call, in order of their start."""
    entries: list[Turn | Event] = [*_caller_turns(call), *_played_turns(call, audio)]
    entries += [Event(call.ms(key.t), call.ms(key.t), "key", _key(key.digit)) for key in call.keys]
    for tool in call.tools:
        failed = f" failed ({tool.error})" if tool.error else ""
        result = "" if tool.end_t is None else f"{failed} -> {tool.output}"
        start, end = call.ms(tool.t), call.ms(tool.t if tool.end_t is None else tool.end_t)
        entries.append(Event(start, end, "tool", f"{tool.name}({_arguments(tool.arguments)}){result}"))
    entries += [Event(call.ms(i.t), call.ms(i.t), "interruption", _cut_text(i), i.cause) for i in call.interruptions]
    entries += [Event(call.ms(note.t), call.ms(note.t), note.kind, note.text) for note in call.notes]
    return sorted(entries, key=lambda entry: entry.start_ms)


def to_json(entries: Sequence[Turn | Event]) -> list[dict[str, Any]]:
    """Returns the turns and events of a call as JSON objects. `type` is `turn` or the kind of the event. Times are
    whole milliseconds.
    """
    objects = []
    for entry in entries:
        fields = {k: v for k, v in asdict(entry).items() if k != "kind" and v is not None}
        data = {k: round(v) if isinstance(v, float) else v for k, v in fields.items()}
        objects.append({"type": "turn" if isinstance(entry, Turn) else entry.kind, **data})
    return objects


def to_text(entries: Sequence[Turn | Event]) -> str:
    """Returns the turns and events of a call as lines of text. Words in square brackets were not heard by the
    caller.
    """
    return "".join(f"{_clock(entry.start_ms)}  {line_of(entry)}\n" for entry in entries)


def line_of(entry: Turn | Event) -> str:
    """Returns the text of one turn or event, without its time."""
    match entry:
        case Turn(speaker="caller"):
            return f"Caller  {entry.said or '(speech)'}"
        case Turn(speaker="supervisor"):
            return f"Supervisor  {entry.said or '(speaks to the caller)'}"
        case Turn():
            unheard = entry.said[len(entry.heard) :].strip()
            return "Agent   " + " ".join(filter(None, [entry.heard, f"[not heard: {unheard}]" if unheard else ""]))
        case Event():
            return f"        {_BEFORE.get(entry.kind, '')}{entry.text}"


_BEFORE = {
    "tool": "tool ",
    "key": "the caller pressed ",
    "timer": "time is up: ",
    "control": "request to the call: ",
    "rest": "request to Twilio: ",
    "callback": "webhook of Twilio: ",
}
"""The beginning of an event's line, by its kind."""


def _caller_turns(call: RecordedCall) -> list[Turn]:
    turns = []
    for speech in call.speech:
        end_ms = speech.end_ms if speech.end_ms is not None else call.duration_ms
        length = end_ms - speech.start_ms
        turns.append(Turn(speech.start_ms, end_ms, "caller", speech.item_id, speech.text, speech.text, length, length))
    return turns


def _played_turns(call: RecordedCall, audio: CallAudio) -> list[Turn]:
    """Returns the turns that were played to the caller: those of the agent and of a supervisor."""
    spans: dict[PartId, list[HeardSpan]] = {}
    for span in audio.spans:
        spans.setdefault(span.part, []).append(span)
    cut = {part: i for i in call.interruptions for part, _ in i.heard}
    turns = []
    for part_id, part in call.parts.items():
        heard = spans.get(part_id)
        if heard:
            start_ms, end_ms = heard[0].at / 8, (heard[-1].at + heard[-1].length) / 8
        elif part_id in cut:
            start_ms = end_ms = call.ms(cut[part_id].t)
        else:
            continue
        voice = voice_of(part, call.output_format)
        if part.is_supervisor and not part.transcript and not detected_speech(voice):
            continue  # the microphone of a supervisor who was silent
        samples = min(max((span.offset + span.length for span in heard or ()), default=0), len(voice))
        said = part.transcript.strip()
        turns.append(
            Turn(start_ms, end_ms, "supervisor" if part.is_supervisor else "agent", part.item_id, said,
                 said if part.is_supervisor else _heard_text(part, voice, samples),
                 samples / 8, len(voice) / 8, part.content_index, interrupted=part_id in cut)
        )  # fmt: skip
    return turns


def _heard_text(part: Part, voice: bytes, samples: int) -> str:
    """Returns the words in the first `samples` samples of the voice. The share of the letters is the share of the time
    with sound.
    """
    text = part.transcript.strip()
    if samples == 0:
        return ""
    if samples >= len(voice) - 160:
        return text
    frames = np.abs(pcm_of(voice)[: len(voice) // 160 * 160].astype(np.int32)).reshape(-1, 160).max(axis=1)
    voiced = frames > 300
    share = voiced[: samples // 160].sum() / max(1, voiced.sum())
    cut = round(share * len(text))
    return text[:cut].rsplit(None, 1)[0] if text[:cut].strip() and not text[cut : cut + 1].isspace() else text[:cut]


def _cut_text(interruption: Interruption) -> str:
    if not interruption.truncations:
        return interruption.cause.words
    return f"{interruption.cause.words}: {interruption.truncations[0][1]} ms were heard"


def _key(digit: str) -> str:
    """Returns the key, or "a key" if the journal masks it."""
    return digit if digit.isascii() else "a key"


def _arguments(text: str) -> str:
    try:
        arguments = json.loads(text)
    except ValueError:
        return text
    if not isinstance(arguments, dict):
        return text
    return ", ".join(f"{name}={json.dumps(value, ensure_ascii=False)}" for name, value in arguments.items())


def _clock(ms: float) -> str:
    tenths = int(ms // 100)
    return f"{tenths // 600:02d}:{tenths // 10 % 60:02d}.{tenths % 10}"
