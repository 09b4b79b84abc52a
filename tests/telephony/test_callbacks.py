"""Twilio's requests as values: missing fields are allowed, and order and repetition are handled."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from telephony.twilio.callbacks import (
    CallProgress,
    CallStatus,
    DialResult,
    MachineDetection,
    ProgressBook,
    StreamStatus,
    VoiceRequest,
)

STATES = ["initiated", "ringing", "in-progress", "completed"]


def states() -> list[CallStatus]:
    return [
        CallStatus.parse({"CallSid": "CA1", "CallStatus": state, "SequenceNumber": str(number)})
        for number, state in enumerate(STATES)
    ]


def test_the_voice_webhook() -> None:
    form = {
        "CallSid": "CA1",
        "From": "+1",
        "To": "+2",
        "CallStatus": "ringing",
        "StirVerstat": "TN-Validation-Passed-A",
    }
    request = VoiceRequest.parse(form)
    assert (request.call_sid, request.caller, request.called, request.ended) == ("CA1", "+1", "+2", False)
    assert request.stir_verstat == "TN-Validation-Passed-A"
    assert VoiceRequest.parse({"CallSid": "CA1", "CallStatus": "completed"}).ended


@pytest.mark.parametrize("order", list(itertools.permutations(range(4))))
def test_states_in_any_order_and_twice(order: tuple[int, ...]) -> None:
    progress, result = CallProgress(), states()
    for index in order:
        assert progress.add(result[index])
        assert not progress.add(result[index])
    assert [state.status for state in progress.states] == STATES
    assert progress.now is not None and progress.now.status == "completed"


def test_a_final_call_status_is_kept() -> None:
    progress = CallProgress()
    progress.add(CallStatus("CA1", "completed", 3))
    progress.add(CallStatus("CA1", "in-progress", 2))
    progress.add(CallStatus("CA1", "ringing", 9))
    assert progress.now is not None and progress.now.ended


def test_the_book_is_bounded() -> None:
    book = ProgressBook(max_calls=2)
    for sid in ("CA1", "CA2", "CA1", "CA3"):
        book.add(CallStatus(sid, "ringing"))
    assert [book.of(sid) is not None for sid in ("CA1", "CA2", "CA3")] == [True, False, True]


def test_the_result_of_machine_detection_is_read() -> None:
    human = MachineDetection.parse({"CallSid": "CA1", "AnsweredBy": "human", "MachineDetectionDuration": "2700"})
    assert (human.is_machine, human.duration_ms) == (False, 2700)
    beep = MachineDetection.parse({"CallSid": "CA1", "AnsweredBy": "machine_end_beep"})
    assert (beep.is_machine, beep.may_leave_message) == (True, True)
    assert not MachineDetection.parse({"AnsweredBy": "machine_start"}).may_leave_message
    assert MachineDetection.parse({}).answered_by == "unknown"


def test_how_a_transfer_ended() -> None:
    form = {"CallSid": "CA1", "DialCallStatus": "no-answer", "DialCallSid": "CA2", "DialCallDuration": ""}
    assert DialResult.parse(form) == DialResult("CA1", "no-answer", "CA2", None)
    assert not DialResult.parse(form).connected
    assert DialResult.parse({"DialCallStatus": "completed"}).connected


def test_a_stream_that_failed() -> None:
    status = StreamStatus.parse({"CallSid": "CA1", "StreamEvent": "stream-error", "StreamError": "31920"})
    assert (status.failed, status.error) == (True, "31920")


@given(st.dictionaries(st.sampled_from(["CallSid", "SequenceNumber", "CallDuration", "CallStatus"]), st.text()))
def test_nothing_in_a_form_is_an_error(form: dict[str, str]) -> None:
    for parse in (VoiceRequest.parse, CallStatus.parse, StreamStatus.parse, MachineDetection.parse, DialResult.parse):
        parse(form)
