"""Collects the data that the console shows about a live call, from the events of the session. Pure.

The state of the call is a list of entries: turns of both sides, tool calls, and events. An entry can change until its
turn or tool call is over. Each change increases `version`. A page requests the entries that changed after a version.
Therefore no queue grows if a page reads slowly, because the next request of the page gets the newest state.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from realtime_core.events import RealtimeAnyEvent
from realtime_core.playback import HeardItem

from ..call.recording.cut_causes import CutCauses
from ..journal.cuts import CutCause
from ..journal.format import object_at
from .entries import MAX_ENTRIES, Entries, Entry
from .event_words import event_words

__all__ = ["LiveCall", "Speaker"]

_MAX_CHARS = 4_000
_HIDDEN = "(a secret part of the call)"
_STEP_MS = 200
"""The interval in milliseconds at which the end of a supervisor's turn is updated."""
_SLOW_MS = 2_000
_SILENT_S = 15.0
_RECENT_S = 30.0
"""The time in seconds for which a failure is shown as a warning."""
_WORDS_S = 10.0
"""The time in seconds after which the page stops waiting for the transcript of a turn of the caller."""
_FORMATS = {"audio/pcm": 48, "audio/pcmu": 8, "audio/pcma": 8}
"""The number of bytes per millisecond of audio, by audio format."""


class Speaker(StrEnum):
    CALLER = "caller"
    AGENT = "agent"


@dataclass(slots=True)
class _Part:
    """An audio part of the agent. `n_bytes` is the number of bytes that were received so far."""

    entry: Entry
    n_bytes: int = 0
    began_ms: int = 0
    """When the caller began to hear the part, as far as a page has looked."""
    complete: bool = False
    over: bool = False
    """Whether the caller heard the part to its end, or the part was cut."""


@dataclass(slots=True)
class LiveCall:
    """The state of one live call, as the console shows it: who speaks, the latest latency, and a list of turns, tool
    calls and events. The code that creates this object must pass each event of the session to `on_event`, and must
    regularly pass to `observe` how much of each audio part the caller has heard.

    Times are in seconds of the event loop.
    """

    agent: str = ""
    speaking: Speaker | None = None
    latency_ms: int | None = None
    hides: Callable[[str], bool] = lambda item_id: False
    """A function that returns whether the words of this item must be hidden, because they were spoken inside a
    `call.secret()` block.
    """
    is_sealed: Callable[[], bool] = lambda: False
    """A function that returns whether a `call.secret()` block is in progress. The console shows nothing of such a
    block.
    """
    is_taken_over: Callable[[], bool] = lambda: False
    """A function that returns whether a supervisor speaks in place of the agent."""
    transferring: str = ""
    """The name of the target to which a supervisor is transferring the caller, or an empty text."""
    waiting: dict[str, str] = field(default_factory=dict)
    """The tool calls that wait for an approval: a mapping from the call id to the name of the tool."""
    _began: float | None = None
    _entries: Entries = field(default_factory=Entries)
    _of_item: dict[str, Entry] = field(default_factory=dict)
    _parts: dict[tuple[str, int], _Part] = field(default_factory=dict)
    _tools: dict[str, Entry] = field(default_factory=dict)
    _unwritten: dict[str, float] = field(default_factory=dict)
    """The turns of the caller that are over and have no final transcript: item id -> the end of the speech."""
    _began_of_part: dict[str, int] = field(default_factory=dict)
    """When the parts of the supervisor's voice began, in milliseconds of the call."""
    _caller_speaks: bool = False
    _quiet_since: float = 0.0
    _heard_until_ms: int = 0
    """When the part of the agent that was heard last was over."""
    _failure: tuple[float, str] | None = None
    _model_lost: bool = False
    _causes: CutCauses = field(default_factory=CutCauses)
    _bytes_per_ms: int = _FORMATS["audio/pcm"]

    def begin(self, now: float) -> None:
        """Sets the start of the call to the time `now`, in seconds. The times of all displayed entries count from this
        start.
        """
        self._began = self._quiet_since = now

    def elapsed_ms(self, now: float) -> float:
        """Returns the time since the call began, in milliseconds."""
        return 0.0 if self._began is None else (now - self._began) * 1000

    # --- what happens ------------------------------------------------------------------------------------------------

    def on_event(self, event: RealtimeAnyEvent, now: float) -> None:
        cause = self._causes.of(event)
        match event.type:
            case "audio":
                self._audio(event.item_id, event.content_index, len(event.audio.data), now)
            case "transcript_delta":
                self._agent_text(event.item_id, event.content_index, event.delta, now)
            case "audio_end":
                self._part(event.item_id, event.content_index, now).complete = True
            case "audio_interrupted":
                self._interrupted(event.items, cause or CutCause.CALLER, now)
            case "speech_started":
                self._caller_speaks = True
                self._keep(event.item_id, self._add("turn", now, speaker="caller", said=""))
            case "speech_stopped":
                self._caller_speaks, self._quiet_since = False, now
                if (entry := self._of_item.get(event.item_id)) is not None:
                    self._entries.change(entry, end_ms=self._ms(now))
                    if not entry.fields.get("is_final"):
                        self._unwritten[event.item_id] = now
            case "input_audio_transcription_delta":
                entry = self._caller(event.item_id, now)
                self._say(entry, event.item_id, entry.fields["said"] + event.delta)
            case "raw_model_event":
                self._on_model_event(event.data, now)
            case "tool_start":
                self.waiting.pop(event.call_id, None)
                self._tool(event.call_id, event.tool.name, event.arguments, now, waits=False)
            case "tool_end":
                self._tool_end(event.call_id, event.output, event.error, now)
            case "tool_approval_required":
                self.waiting[event.call_id] = event.tool.name
                self._tool(event.call_id, event.tool.name, event.arguments, now, waits=True)
            case "handoff":
                self.agent = event.to_agent.name
                self._add("handoff", now, text=f"{event.from_agent.name} handed over to {event.to_agent.name}")
            case "agent_start":
                self.agent = event.agent.name
            case "guardrail_tripped":
                names = ", ".join(str(getattr(each.guardrail, "name", "")) for each in event.guardrail_results)
                self._add("guardrail", now, text=f"A guardrail stopped the agent{f': {names}' if names else ''}")
            case "response_failed":
                self._fail(now, "The model could not answer" + ("; it is asked again" if event.retrying else ""))
            case "error":
                self._fail(now, _words(event.error))
            case "connection_status":
                self._model_lost = event.status == "disconnected"

    def _on_model_event(self, event: Any, now: float) -> None:
        match event.type:
            case "input_audio_transcription_completed":
                self._say(self._caller(event.item_id, now), event.item_id, event.transcript)
                self._finish_words(event.item_id)
            case "input_audio_transcription_failed":
                self._finish_words(event.item_id)
            case "transcript_done":
                entry = self._part(event.item_id, event.content_index, now).entry
                self._say(entry, event.item_id, event.transcript)
            case "raw_server_event" if event.data.get("type") in ("session.created", "session.updated"):
                name = object_at(event.data, "session", "audio", "output", "format").get("type")
                self._bytes_per_ms = _FORMATS.get(str(name), self._bytes_per_ms)

    def on_record(self, kind: str, fields: Mapping[str, Any], now: float) -> None:
        """Adds an entry to the displayed list of this call, for a journal record such as a played announcement, an
        action of a supervisor, a timer, or a request to Twilio. Other kinds of records are ignored. `kind` and `fields`
        are the kind and the fields of the record. `now` is the time of the event loop in seconds.
        """
        match kind:
            case "play":
                key = (str(fields.get("item_id")), 0)
                said = str(fields.get("text") or "(recorded announcement)")
                entry = self._add("turn", now, speaker="agent", said=said, clip=True, interrupted=False, heard_share=0)
                self._parts[key] = _Part(entry, complete=True)
            case "supervisor":
                self._supervisor(str(fields.get("item_id")), now)
            case "supervisor.words":
                self._supervisor_words(str(fields.get("item_id")), str(fields.get("text", "")), now)
            case "control" if not fields.get("ours"):
                said = f"(said={fields['said']})" if fields.get("said") else ""
                self._add("control", now, text=_cut(f"{fields.get('action', '')}{said}"))
                if fields.get("action") == "supervisor.transfer":
                    self.transferring = str(fields.get("target", ""))
                    self._entries.touch()
            case "control.end" if fields.get("action") == "supervisor.transfer":
                self._transfer_ended(fields, now)
            case "timer":
                self._event("timer", str(fields.get("name", "")), now, silence_ms=self._silence_ms(now))
            case "rest":
                self._event("rest", f"{fields.get('action')}: {fields.get('error') or fields.get('status')}", now)
            case "callback":
                values = " ".join(str(value) for name, value in fields.items() if name != "what")
                self._event("callback", f"{fields.get('what')} {values}".strip(), now)

    def on_key(self, now: float) -> None:
        """Adds an entry that says that the caller pressed a key. The entry does not say which key."""
        self._add("key", now, text="The caller pressed a key")

    def on_latency(self, seconds: float) -> None:
        """Stores the time in seconds from the end of the caller's speech until the caller heard the answer."""
        self.latency_ms = round(seconds * 1000)
        self._entries.touch()

    def observe(self, heard: Sequence[HeardItem], now: float) -> None:
        """Stores how much the caller has heard of each audio part. `heard` contains only the parts that are playing or
        queued. If a completely received part is missing in `heard`, the caller has heard the part to its end. `now` is
        the time of the event loop in seconds.
        """
        known = {(item.item_id, item.content_index): item for item in heard}
        is_playing = False
        for key, part in list(self._parts.items()):
            item = known.get(key)
            if part.over:
                if item is None:
                    del self._parts[key]
                continue
            if item is None:
                if part.n_bytes and not part.complete:
                    continue  # more of the part will come
                if part.n_bytes or part.entry.fields.get("clip"):
                    self._heard(part, 1.0, now)
                    self._close(part, self._end_of(part, now))
                continue
            ms = part.n_bytes / self._bytes_per_ms
            share = 1.0 if item.finished else min(1.0, item.heard_ms / ms) if ms else 0.0
            is_playing = is_playing or (item.heard_ms > 0 and not item.finished)
            part.began_ms = self._ms(now) - round(item.heard_ms)
            self._heard(part, share, now)
            if item.finished:
                self._close(part, self._end_of(part, now))
        for item_id in [item_id for item_id, end in self._unwritten.items() if now >= end + _WORDS_S]:
            self._finish_words(item_id)
        self._note_speaker(is_playing, now)

    def _note_speaker(self, is_playing: bool, now: float) -> None:
        speaker = Speaker.CALLER if self._caller_speaks else Speaker.AGENT if is_playing else None
        if speaker is not None or self.is_taken_over():
            self._quiet_since = now
        if speaker is not self.speaking:
            self.speaking = speaker
            self._entries.touch()

    # --- what the console asks for -----------------------------------------------------------------------------------

    @property
    def version(self) -> int:
        return self._entries.version

    def since(self, version: int) -> list[dict[str, Any]]:
        """Returns the entries (turns, tool calls and events) that changed after the property `version` had this value,
        oldest first. 0 gives all entries.
        """
        return self._entries.since(version)

    @property
    def last_words(self) -> tuple[str, str]:
        """The side that spoke last (`caller` or `agent`), and its last words. Both are empty if nothing was said."""
        return self._entries.last_words

    def warnings(self, now: float) -> list[str]:
        """Returns texts about problems of the call for a supervisor, the most urgent first. `now` is the time of the
        event loop, in seconds.
        """
        found = [f"Waits for approval: {name}" for name in self.waiting.values()]
        if self._model_lost:
            found.append("No connection to the model")
        if self._failure is not None and now - self._failure[0] < _RECENT_S:
            found.append(self._failure[1])
        if self.latency_ms is not None and self.latency_ms > _SLOW_MS:
            found.append("Slow answers")
        if self._began is not None and (quiet_s := now - self._quiet_since) > _SILENT_S:
            found.append(f"Silence for {round(quiet_s / 5) * 5} s")
        return found

    # --- entries -----------------------------------------------------------------------------------------------------

    def _add(self, type_: str, now: float, **fields: Any) -> Entry:
        return self._entries.add(type_, self._ms(now), **fields)

    def _event(self, type_: str, text: str, now: float, *, silence_ms: float | None = None) -> None:
        """Adds an event of the call, if it says anything to a supervisor."""
        if words := event_words(type_, text, silence_ms=silence_ms):
            self._add(type_, now, text=text, words=_cut(words))

    def _silence_ms(self, now: float) -> float:
        """Returns the time since the last speech of either side, in milliseconds. No page may have looked at the call
        since an answer of the agent was heard to its end.
        """
        ends = [self._end_of(it, now) for it in self._parts.values() if it.complete and it.n_bytes and not it.over]
        began = now if self._began is None else self._began
        return (now - max([self._quiet_since, *(began + end_ms / 1000 for end_ms in ends)])) * 1000

    def _transfer_ended(self, fields: Mapping[str, Any], now: float) -> None:
        self.transferring = ""
        if result := str(fields.get("result") or fields.get("error") or ""):
            first, _, _ = result.partition(". ")  # the rest is an instruction for the model
            self._add("transfer", now, text=_cut(f"{first.rstrip('.')}."))
        self._entries.touch()

    def _finish_words(self, item_id: str) -> None:
        """Registers that the words of a turn of the caller will not change any more."""
        self._unwritten.pop(item_id, None)
        if (entry := self._of_item.get(item_id)) is not None:
            self._entries.change(entry, is_final=True)

    def _keep(self, item_id: str, entry: Entry) -> None:
        self._of_item[item_id] = entry
        if len(self._of_item) > MAX_ENTRIES:
            self._of_item.pop(next(iter(self._of_item)))

    def _ms(self, now: float) -> int:
        return round(self.elapsed_ms(now))

    def _caller(self, item_id: str, now: float) -> Entry:
        if item_id not in self._of_item:
            self._keep(item_id, self._add("turn", now, speaker="caller", said=""))
        return self._of_item[item_id]

    def _part(self, item_id: str, content_index: int, now: float) -> _Part:
        key = (item_id, content_index)
        if key not in self._parts:
            entry = self._of_item.get(f"{item_id}/{content_index}")
            if entry is None:
                entry = self._add("turn", now, speaker="agent", said="", interrupted=False, heard_share=0)
                self._keep(f"{item_id}/{content_index}", entry)
                self._parts[key] = _Part(entry)
            else:  # a late event of a part that is over
                self._parts[key] = _Part(entry, complete=True, over=True)
        return self._parts[key]

    def _audio(self, item_id: str, content_index: int, n_bytes: int, now: float) -> None:
        self._part(item_id, content_index, now).n_bytes += n_bytes

    def _supervisor(self, item_id: str, now: float) -> None:
        """Updates the entry of a supervisor's turn for a piece of the part `item_id` of the supervisor's voice."""
        self._quiet_since = now
        self._began_of_part.setdefault(item_id, self._ms(now))
        if len(self._began_of_part) > MAX_ENTRIES:
            self._began_of_part.pop(next(iter(self._began_of_part)))
        entry = self._supervisor_turn(item_id, now)
        if entry.end_ms is None or self._ms(now) >= entry.end_ms + _STEP_MS:
            self._entries.change(entry, end_ms=self._ms(now) + _STEP_MS)

    def _supervisor_turn(self, item_id: str, now: float) -> Entry:
        """Returns the entry of the turn to which a part of the supervisor's voice belongs. If the supervisor pauses
        during a turn, the turn has several parts.
        """
        entry = self._of_item.get(item_id)
        if entry is None:
            last = self._entries.last
            is_same_turn = last is not None and last.fields.get("speaker") == "supervisor"
            entry = last if last is not None and is_same_turn else self._add("turn", now, speaker="supervisor", said="")
            self._keep(item_id, entry)
        return entry

    def _supervisor_words(self, item_id: str, words: str, now: float) -> None:
        """Adds words of the supervisor to the turn in which they begin. Sound before the first words of a turn does not
        count as its beginning, because a microphone also sends the end of the words before and silence.
        """
        entry = self._supervisor_turn(item_id, now)
        if not entry.fields["said"]:
            entry.start_ms = self._began_of_part.get(item_id, entry.start_ms)
        self._say(entry, "", f"{entry.fields['said']} {words}".strip())

    def _agent_text(self, item_id: str, content_index: int, delta: str, now: float) -> None:
        entry = self._part(item_id, content_index, now).entry
        self._say(entry, item_id, entry.fields["said"] + delta)

    def _say(self, entry: Entry, item_id: str, text: str) -> None:
        self._entries.change(entry, said=_HIDDEN if self.is_sealed() or self.hides(item_id) else _cut(text))

    def _heard(self, part: _Part, share: float, now: float) -> None:
        share = round(share, 3)
        if share != part.entry.fields["heard_share"]:
            self._entries.change(part.entry, heard_share=share)

    def _end_of(self, part: _Part, now: float) -> int:
        """Returns when a part that was heard to its end was over. No page may have looked at the call since then, so
        the length of its audio counts.
        """
        if not part.n_bytes:
            return self._ms(now)
        began_ms = max(part.entry.start_ms, self._heard_until_ms, part.began_ms)
        return min(self._ms(now), began_ms + round(part.n_bytes / self._bytes_per_ms))

    def _close(self, part: _Part, end_ms: int) -> None:
        part.over = True
        self._heard_until_ms = max(self._heard_until_ms, end_ms)
        if self._began is not None:
            self._quiet_since = max(self._quiet_since, self._began + end_ms / 1000)
        self._entries.change(part.entry, end_ms=end_ms)

    def _interrupted(self, items: Sequence[HeardItem], cause: CutCause, now: float) -> None:
        for item in items:
            part = self._parts.get((item.item_id, item.content_index))
            if part is None or part.over:
                continue
            ms = part.n_bytes / self._bytes_per_ms
            self._heard(part, min(1.0, item.heard_ms / ms) if ms else 0.0, now)
            self._entries.change(part.entry, interrupted=not item.finished)
            self._close(part, self._ms(now))
        words = event_words("interruption", cause.words)
        self._add(
            "interruption", now, cause=cause.value, text=cause.words, **({} if words is None else {"words": words})
        )

    def _tool(self, call_id: str, name: str, arguments: str, now: float, *, waits: bool) -> None:
        entry = self._tools.get(call_id)
        if entry is None:
            shown = _HIDDEN if self.is_sealed() else _cut(arguments)
            entry = self._add("tool", now, call_id=call_id, name=name, arguments=shown, output="", error="")
            self._tools[call_id] = entry
            if len(self._tools) > MAX_ENTRIES:
                self._tools.pop(next(iter(self._tools)))
        self._entries.change(entry, waits=waits)

    def _tool_end(self, call_id: str, output: Any, error: BaseException | None, now: float) -> None:
        self.waiting.pop(call_id, None)
        if (entry := self._tools.get(call_id)) is None:
            return
        problem = "" if error is None else f"{type(error).__name__}: {error}"
        shown, failed = (
            (_HIDDEN, _HIDDEN if problem else "") if self.is_sealed() else (_cut(str(output)), _cut(problem))
        )
        self._entries.change(entry, end_ms=self._ms(now), output=shown, error=failed, waits=False)
        if error is not None:
            self._failure = now, f"The tool {entry.fields['name']} failed"

    def _fail(self, now: float, words: str) -> None:
        words = "An error" if self.is_sealed() else words
        self._failure = now, words
        self._add("error", now, text=words)


def _cut(text: str) -> str:
    return text if len(text) <= _MAX_CHARS else text[:_MAX_CHARS] + "…"


def _words(error: Any) -> str:
    message = error.get("message") if isinstance(error, Mapping) else getattr(error, "message", None) or error
    return _cut(str(message or "An error"))[:200]
