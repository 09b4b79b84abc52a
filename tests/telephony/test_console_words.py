"""What the pages of the console say about the events of a call: true sentences, and no words of the machinery."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from realtime_core import events
from realtime_core.events import RealtimeAnyEvent
from realtime_core.playback import HeardItem
from telephony.call.ending import EndReason
from telephony.console.endings import words_of
from telephony.console.event_words import event_words
from telephony.console.live_call import LiveCall
from telephony.console.prepare import _add_words, _note_unheard_end, _with_joined_supervisor
from telephony.console.taken_over import AGAIN, NOT_TAKEN_OVER, names_by_call
from telephony.journal.cuts import CutCause
from telephony.records.access import Action, AuditEntry
from telephony.records.call_record import CallRecord
from tests.telephony.test_console_live import audio, call_with, raw, said, turns

INFO: Any = None


@pytest.mark.parametrize(
    "kind, text, words",
    [
        ("timer", "silence", "The caller said nothing for 10 s, so the agent was told to ask."),
        ("timer", "a machine", "A machine was recognized, so the agent was told to say goodbye and hang up."),
        ("timer", "pending answer: sound", "The answer took long, so the caller heard a waiting sound."),
        ("timer", "a later limit", "A time limit was reached: a later limit."),
        ("rest", "hang_up: ok", ""),
        ("rest", "transfer: None", ""),
        ("rest", "hang_up: 21220: Gone", "Twilio did not accept a request (hang up): 21220: Gone"),
        ("callback", "after stream", ""),
        ("callback", "dialled in-progress CA65", "The other person answered."),
        ("callback", "dialled completed CA65", ""),
        ("callback", "dialled no-answer CA65", "The other person did not answer."),
        ("stream", "a new media stream replaced it", "The line to the caller was connected again."),
        ("interruption", CutCause.SUPERVISOR.words, ""),
        ("interruption", f"{CutCause.SUPERVISOR.words}: 900 ms were heard", ""),
        ("interruption", CutCause.CALLER.words, None),
        ("handoff", "Desk hands over to Billing", None),
    ],
)  # fmt: skip
def test_an_event_has_plain_words_or_is_not_shown(kind: str, text: str, words: str | None) -> None:
    assert event_words(kind, text, silence_ms=9_800) == words


@pytest.mark.parametrize("reason", EndReason)
def test_no_ending_mentions_a_goodbye(reason: EndReason) -> None:
    words = words_of(CallRecord("CA1", status="completed", ending=reason.name.lower()))
    assert words is not None and "goodbye" not in words.sentence


def test_a_past_call_tells_how_long_the_caller_said_nothing() -> None:
    turn = {"type": "turn", "speaker": "agent", "start_ms": 0, "end_ms": 4_000}
    timer = {"type": "timer", "start_ms": 14_100, "text": "silence"}
    _add_words([turn, timer])
    assert timer["words"] == "The caller said nothing for 10 s, so the agent was told to ask."


@pytest.mark.parametrize(
    "heard, interrupted, unheard",
    [("one two", False, "call ended"), ("one two three", False, None), ("one", True, None)],
)
def test_words_that_were_not_heard_because_the_call_ended_are_marked(
    heard: str, interrupted: bool, unheard: str | None
) -> None:
    first = {"type": "turn", "speaker": "agent", "said": "Hello.", "heard": "", "interrupted": False}
    last = {"type": "turn", "speaker": "agent", "said": "one two three", "heard": heard, "interrupted": interrupted}
    _note_unheard_end([first, last, {"type": "callback"}])
    assert (first.get("unheard"), last.get("unheard")) == (None, unheard)


# --- live calls --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("looks", [False, True])
def test_an_answer_that_was_just_heard_is_no_silence(looks: bool) -> None:
    call = call_with(said("a1", "one two"), *[audio("a1")] * 15, events.RealtimeAudioEnd(INFO, "a1", 0))
    if looks:
        call.observe([HeardItem("a1", 0, 14_000.0)], 27.0)
    call.observe([], 29.0)
    assert call.warnings(30.0) == [], "it began at 12 s, and has 15 s"
    assert call.warnings(47.0) == ["Silence for 20 s"]


def test_the_silence_before_a_time_limit_counts_from_an_answer_at_which_no_page_looked() -> None:
    call = call_with(said("a1", "one two"), audio("a1"), events.RealtimeAudioEnd(INFO, "a1", 0))
    call.on_record("timer", {"name": "silence"}, 22.0)
    (timer,) = [entry for entry in call.since(0) if entry["type"] == "timer"]
    assert timer["words"] == "The caller said nothing for 10 s, so the agent was told to ask."


def heard_turn(*after: RealtimeAnyEvent) -> LiveCall:
    return call_with(events.RealtimeSpeechStarted(INFO, "c1", 0), events.RealtimeSpeechStopped(INFO, "c1", 0), *after)


def test_the_words_of_a_turn_are_awaited_until_they_are_final_or_late() -> None:
    call = heard_turn()
    call.observe([], 15.0)
    assert "is_final" not in turns(call)[0]
    call.observe([], 23.0)
    assert turns(call)[0]["is_final"], "no words came in ten seconds"


@pytest.mark.parametrize("text", ["A table.", ""])
def test_the_words_of_a_turn_are_final_when_the_model_says_so(text: str) -> None:
    from realtime_core.model_events import RealtimeModelInputAudioTranscriptionCompletedEvent as Completed

    (turn,) = turns(heard_turn(raw(Completed("c1", text))))
    assert (turn["said"], turn["is_final"]) == (text, True)


@pytest.mark.parametrize(
    "ended, words",
    [({"result": "kitchen did not take the call: busy. The caller is back."}, "kitchen did not take the call: busy."),
     ({"error": "no REST API"}, "no REST API.")],
)  # fmt: skip
def test_a_transfer_is_shown_until_its_outcome(ended: dict[str, str], words: str) -> None:
    call = call_with()
    call.on_record("control", {"action": "supervisor.transfer", "target": "kitchen"}, 12.0)
    assert call.transferring == "kitchen"
    call.on_record("control.end", {"action": "supervisor.transfer", **ended}, 20.0)
    assert call.transferring == ""
    assert [entry["text"] for entry in call.since(0) if entry["type"] == "transfer"] == [words]


def test_the_words_of_a_supervisor_begin_where_they_were_said() -> None:
    """A long turn has several parts. The caller speaks meanwhile. The words of the next turn belong to a later part."""
    call = call_with()
    call.on_record("supervisor", {"item_id": "supervisor:1"}, 13.0)
    call.on_event(events.RealtimeSpeechStarted(INFO, "c1", 0), 16.0)
    call.on_record("supervisor", {"item_id": "supervisor:2"}, 18.0)
    call.on_record("supervisor", {"item_id": "supervisor:3"}, 33.0)
    call.on_record("supervisor.words", {"item_id": "supervisor:1", "text": "Twenty seconds."}, 34.0)
    call.on_record("supervisor.words", {"item_id": "supervisor:3", "text": "Nine seconds."}, 44.0)
    lines = [(turn["start_ms"], turn["said"]) for turn in turns(call) if turn["speaker"] == "supervisor"]
    assert lines == [(3_000, "Twenty seconds."), (23_000, "Nine seconds.")]


def test_the_words_of_a_recorded_supervisor_begin_where_they_were_said() -> None:
    supervisor = {"type": "turn", "speaker": "supervisor", "heard": ""}
    parts = [(13_000, "Twenty seconds."), (18_000, ""), (33_000, "Nine seconds."), (42_000, "More.")]
    entries = [{**supervisor, "start_ms": at, "end_ms": at + 1, "said": text} for at, text in parts]
    caller = {"type": "turn", "speaker": "caller", "start_ms": 16_000, "said": "Yes."}
    joined = _with_joined_supervisor([entries[0], caller, *entries[1:]])
    assert [(each["start_ms"], each["said"]) for each in joined] == [
        (13_000, "Twenty seconds."), (16_000, "Yes."), (33_000, "Nine seconds. More."),
    ]  # fmt: skip


# --- who took over -----------------------------------------------------------------------------------------------


def test_a_call_was_taken_over_by_those_whose_attempt_succeeded() -> None:
    def entry(call: str, who: str, detail: str = "", action: Action = Action.TAKE_OVER) -> AuditEntry:
        return AuditEntry(datetime(2026, 1, 1, tzinfo=UTC), who, action, call, detail)

    entries = [
        entry("CA1", "Ada"), entry("CA1", "Ada", AGAIN), entry("CA1", "Bob"), entry("CA1", "Ada"),
        entry("CA2", "Ada"), entry("CA2", "Ada", NOT_TAKEN_OVER), entry("CA3", "Bob", action=Action.LISTEN),
    ]  # fmt: skip
    assert names_by_call(entries) == {"CA1": ["Ada", "Bob"]}
