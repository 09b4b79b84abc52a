"""A replayed call as plain data for the assertions of a test. Audio and text are given as the caller heard them."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import orjson
from numpy.typing import NDArray

from ..journal.audio import CallAudio, pcm_of, rebuild
from ..journal.collector import collect
from ..journal.figures import Figures, figures_of
from ..journal.format import Record, object_at
from ..journal.recorded import RecordedCall
from ..journal.transcript import Event, Turn, events_of, to_text
from ..journal.wav import write_stereo
from .changes import Change
from .compare import Comparison, Divergence

__all__ = ["CallDiffers", "HeardCall", "Interruption", "NotCalled", "ReplayedCall", "ToolCall", "Usage"]

_FRAME_MS = 20
_LOUD = 400
_WHOLE_MS = 40.0
"""The maximum missing length, in milliseconds, of an answer that counts as heard to its end. The silence that fills the
last frame may be missing.
"""


class NotCalled(AssertionError):
    """Raised if a tool was not called, or was called fewer times than expected."""


class CallDiffers(AssertionError):
    """Raised if a replayed call differs from its recording. The message is the whole report."""


@dataclass(frozen=True, slots=True)
class ToolCall:
    """One tool call. `arguments` are the arguments from the model. `at_ms` is the start of the tool call in
    milliseconds since the start of the call. `ms` is the duration in milliseconds, or None if the tool did not return.
    """

    name: str
    arguments: Any
    output: str
    at_ms: float
    ms: float | None


@dataclass(frozen=True, slots=True)
class Interruption:
    """An interruption of an answer by the caller.

    The interruption was detected at `at_ms` milliseconds since the start of the call. `silence_after_ms` is the time in
    milliseconds from the detection by the model until the caller heard silence. `heard_text` and `heard_ms` are the
    part of the answer that the caller had heard. `unheard_text` is the rest of the answer. `told_ms` is the length of
    the heard part that was reported to the model.
    """

    at_ms: float
    silence_after_ms: float
    heard_text: str
    heard_ms: float
    unheard_text: str
    told_ms: int | None


@dataclass(frozen=True, slots=True)
class Usage:
    """The number of tokens of all responses, by kind, such as `{"input_text": 120, "output_audio": 800}`."""

    tokens: Mapping[str, int] = field(default_factory=dict)

    def cost(self, per_million: Mapping[str, float]) -> float:
        """Returns the cost with these prices per million tokens of each kind. Raises `KeyError` for a kind without a
        price.
        """
        return sum(count * per_million[kind] / 1e6 for kind, count in self.tokens.items() if count)


class HeardCall:
    """A call that is read from its journal. Each value is computed on first use. Times are in milliseconds since the
    start of the call.

    `phone_audio` is the audio that a simulated phone played, if the call had such a phone. The agent's speech and
    silence are then measured in this audio, because it is more exact than the audio that is computed from the journal.
    """

    def __init__(
        self, records: Callable[[], Iterable[Record]], name: str = "call", *, phone_audio: bytes | None = None
    ) -> None:
        self.name = name
        self._read = records
        self._phone_audio = phone_audio

    @cached_property
    def records(self) -> list[Record]:
        """All records of the call's journal, in order."""
        return list(self._read())

    @cached_property
    def recorded(self) -> RecordedCall:
        return collect(self.records)

    @cached_property
    def audio(self) -> CallAudio:
        return rebuild(self.recorded)

    @cached_property
    def figures(self) -> Figures:
        return figures_of(self.recorded, self.audio)

    @cached_property
    def events(self) -> list[Turn | Event]:
        """The turns, tool calls, keys and interruptions, in order."""
        return events_of(self.recorded, self.audio)

    @property
    def turns(self) -> list[Turn]:
        return [event for event in self.events if isinstance(event, Turn)]

    @property
    def transcript(self) -> str:
        """The transcript as text. Words in square brackets were not heard by the caller."""
        return to_text(self.events)

    @property
    def duration_ms(self) -> float:
        return self.recorded.duration_ms

    @property
    def ended(self) -> str:
        """The reason why the call ended, such as `hung up` (by the caller), `agent hung up` or `failed: ...`."""
        return str((self.recorded.end or {}).get("reason", ""))

    @property
    def answered_by(self) -> str:
        """Who answered an outgoing call: such as `human`, `machine` or `screening`. The text is empty if the
        application did not detect who answered.
        """
        found = [record for record in self.records if record.kind == "answered"]
        return str(found[-1].data.get("by", "")) if found else ""

    # --- tools ---------------------------------------------------------------------------------------------------

    @cached_property
    def tools(self) -> list[ToolCall]:
        """All tool calls of the call, in order."""
        ms = self.recorded.ms
        return [
            ToolCall(
                t.name, _parsed(t.arguments), t.output, ms(t.t), None if t.end_t is None else (t.end_t - t.t) * 1000
            )
            for t in self.recorded.tools
        ]

    def called(self, name: str) -> bool:
        return any(tool.name == name for tool in self.tools)

    def tool(self, name: str, nth: int = 0) -> ToolCall:
        """Returns the `nth` call of this tool (the first is 0). Raises `NotCalled`, an `AssertionError` that lists the
        called tools.
        """
        found = [tool for tool in self.tools if tool.name == name]
        if not -len(found) <= nth < len(found):
            called = ", ".join(f"{tool.name}({tool.arguments})" for tool in self.tools) or "no tool"
            raise NotCalled(f"{name} was called {len(found)} times, so there is no call {nth}. Called: {called}.")
        return found[nth]

    # --- what the caller heard -----------------------------------------------------------------------------------

    @cached_property
    def interruptions(self) -> list[Interruption]:
        """The interruptions of answers by the caller, in order."""
        turns = {turn.item_id: turn for turn in self.turns if turn.speaker == "agent"}
        found = []
        for interruption in self.recorded.interruptions:
            if not interruption.cause.is_callers:
                continue
            at_ms = self.recorded.ms(interruption.t)
            turn = turns.get(interruption.item_id)
            sent_ms = next(
                (ms for (item_id, _), ms in interruption.truncations if item_id == interruption.item_id), None
            )
            heard, said = (turn.heard, turn.said) if turn else ("", "")
            heard_ms = turn.heard_ms if turn else 0.0
            silence = self._silence_from(at_ms)
            found.append(Interruption(at_ms, silence, heard, heard_ms, said[len(heard) :].strip(), sent_ms))
        return found

    @property
    def goodbye_heard(self) -> bool:
        """Whether the caller heard the agent's last answer to its end."""
        answers = [turn for turn in self.turns if turn.speaker == "agent"]
        return bool(answers) and answers[-1].heard_ms >= answers[-1].received_ms - _WHOLE_MS

    @property
    def response_latencies_ms(self) -> list[float]:
        """The times in milliseconds from the end of the caller's speech (or a key) until the caller heard the first
        sample of the answer.
        """
        return [latency.ms for latency in self.figures.latencies]

    @property
    def median_latency_ms(self) -> float | None:
        return statistics.median(self.response_latencies_ms) if self.response_latencies_ms else None

    @property
    def longest_silence_ms(self) -> float:
        """The longest time in milliseconds in which neither side spoke, between the first and the last speech of the
        call.
        """
        speech = np.flatnonzero(self._voiced[0] | self._voiced[1])
        return float((np.diff(speech) - 1).max() * _FRAME_MS) if len(speech) > 1 else 0.0

    @property
    def talk_over_ms(self) -> float:
        """The time in milliseconds during which both sides spoke at the same time."""
        return float((self._voiced[0] & self._voiced[1]).sum() * _FRAME_MS)

    @property
    def underruns(self) -> int:
        """The number of gaps within the agent's answers, when no audio was ready."""
        return len(self.figures.underruns)

    @property
    def silence_prompts(self) -> int:
        """How often the agent spoke because the caller was silent."""
        return sum(record.kind == "timer" and record.data.get("name") == "silence" for record in self.records)

    @cached_property
    def usage(self) -> Usage:
        tokens: dict[str, int] = {}
        for record in self.records:
            if record.kind == "model.in" and record.event == "response.done":
                for side in ("input", "output"):
                    details = object_at(record.message, "response", "usage", f"{side}_token_details")
                    for kind in ("text", "audio"):
                        count = details.get(f"{kind}_tokens")
                        count = count if isinstance(count, int) else 0
                        tokens[f"{side}_{kind}"] = tokens.get(f"{side}_{kind}", 0) + count
        return Usage(tokens)

    def write_wav(self, path: Path) -> None:
        """Writes both sides of the call as a stereo WAV file. The left channel has the caller. The right channel has
        the agent as the caller heard the agent.
        """
        write_stereo(path, self.audio)

    @cached_property
    def _agent(self) -> bytes:
        if self._phone_audio is None:
            return self.audio.agent
        return self._phone_audio[: len(self.audio.agent)].ljust(len(self.audio.agent), b"\xff")

    @cached_property
    def _voiced(self) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
        """For each 20 ms: whether the caller speaks, and whether the agent speaks."""
        return _voiced(self.audio.caller), _voiced(self._agent)

    def _silence_from(self, at_ms: float) -> float:
        """Returns how long the caller still heard the agent after `at_ms`, in milliseconds, until 200 ms of silence."""
        loud = np.abs(pcm_of(self._agent[round(at_ms * 8) :]).astype(np.int32)) > 0
        quiet = 0
        for at in range(0, len(loud), 8):
            quiet = 0 if loud[at : at + 8].any() else quiet + 1
            if quiet == 200:
                return max(0.0, at / 8 + 1 - 200)
        return len(loud) / 8


class ReplayedCall(HeardCall):
    """A replayed call together with its recording.

    `divergence` is the first difference from the recording, or None. `changes` are the differences of instructions,
    tools, voice and model settings. `notes` are differences of the configuration, which do not make the replay fail.
    `unrecorded_tools` are tool calls without a recorded answer.
    """

    def __init__(
        self,
        records: Callable[[], Iterable[Record]],
        comparison: Comparison,
        original: HeardCall,
        *,
        mode: str = "recorded",
        phone_audio: bytes | None = None,
        unrecorded_tools: list[tuple[str, str]] | None = None,
        violations: list[str] | None = None,
        changes: list[Change] | None = None,
        report: Callable[[ReplayedCall], str] = lambda call: str(call.divergence),
    ) -> None:
        super().__init__(records, original.name, phone_audio=phone_audio)
        self.mode = mode
        self.original = original
        self.comparison = comparison
        self.unrecorded_tools = unrecorded_tools or []
        self.violations = violations or []
        """Descriptions of the messages of the call that Twilio would have refused. Only a simulated phone finds such
        messages.
        """
        self.changes = changes or []
        self._report = report

    @property
    def divergence(self) -> Divergence | None:
        return self.comparison.first

    @property
    def notes(self) -> list[Divergence]:
        return self.comparison.notes

    @property
    def has_recorded_model(self) -> bool:
        return self.mode in ("recorded", "simulated")

    @property
    def unjudged(self) -> list[Change]:
        """The changes of the model's configuration since the recording, such as other instructions, if the recorded
        model answered. The replay cannot show the effect of these changes, because a recorded model always gives the
        recorded answers. The list is empty if another model answered.
        """
        return self.changes if self.has_recorded_model else []

    def assert_same(self) -> None:
        """Raises `CallDiffers`, an `AssertionError` with the whole report, if the call differs from the recording."""
        __tracebackhide__ = True
        if self.divergence is not None:
            raise CallDiffers(self._report(self))


def _voiced(ulaw: bytes) -> NDArray[np.bool_]:
    frames = np.abs(pcm_of(ulaw[: len(ulaw) // 160 * 160]).astype(np.int32)).reshape(-1, 160)
    voiced: NDArray[np.bool_] = (frames > _LOUD).mean(axis=1) >= 0.1
    return voiced


def _parsed(text: str) -> Any:
    try:
        return orjson.loads(text)
    except orjson.JSONDecodeError:
        return text
