"""The lifecycle of responses: tables of what happens, and a server that does things in any order."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from benchmarks.extent import extent
from realtime_core.openai_realtime.encoding import EventIds
from realtime_core.response_effects import CancelResponse, CreateResponse, ResponseFailed, ResponseStalled
from realtime_core.response_outcome import Outcome, RetryPolicy
from realtime_core.response_state import ResponseState
from realtime_core.responses import COLLISION, Responses, echo_of

SPOKEN = Outcome("completed", None, None, spoke=True, wrote=False, called=False)
SILENT = Outcome("completed", None, None, spoke=False, wrote=False, called=False)
WRITTEN = Outcome("completed", None, None, spoke=False, wrote=True, called=False)
CALLED = Outcome("completed", None, None, spoke=False, wrote=False, called=True)
CANCELLED = Outcome("cancelled", "turn_detected", None, spoke=False, wrote=False, called=False)
INTERRUPTED = Outcome("incomplete", "turn_detected", None, spoke=True, wrote=False, called=False)
FAILED = Outcome("failed", None, {"type": "server_error", "code": "server_error"}, False, False, False)
HOPELESS = Outcome("failed", None, {"type": "x", "code": "content_policy"}, False, False, False)


def new(**options: Any) -> Responses:
    return Responses(EventIds(), **options)


def create(effects: list[Any]) -> CreateResponse:
    assert len(effects) == 1 and isinstance(effects[0], CreateResponse), effects
    return effects[0]


def ours(effect: CreateResponse) -> Mapping[str, Any]:
    """The `response` object of a server that returns our metadata."""
    return {"metadata": effect.options["metadata"]}


def test_one_request_is_sent_and_ends() -> None:
    responses = new()
    sent = create(responses.request_answer(0.0, "item_1"))
    assert responses.state is ResponseState.REQUESTED
    responses.acknowledged("item_1")
    assert responses.created(0.1, "resp_1", ours(sent)) == []
    assert responses.state is ResponseState.ACTIVE and responses.active_id == "resp_1"
    assert responses.done(1.0, "resp_1", SPOKEN) == []
    assert responses.idle and responses.deadline is None


def test_wants_while_a_response_is_made_become_one_request() -> None:
    responses = new()
    first = create(responses.request_answer(0.0, "item_1"))
    responses.created(0.1, "resp_1", ours(first))
    assert responses.request_answer(0.2, "item_2") == responses.request_answer(0.3, "item_3") == []
    create(responses.done(1.0, "resp_1", SPOKEN))
    assert responses.created(1.1, "resp_2", {}) == []
    assert responses.state is ResponseState.COLLIDING and responses.active_id == "resp_2"


def test_a_response_of_the_servers_satisfies_what_was_acknowledged_before_it() -> None:
    responses = new()
    sent = create(responses.request_answer(0.0, "item_1"))
    responses.acknowledged("item_1")
    responses.created(0.1, "resp_server", {"metadata": None})
    assert responses.state is ResponseState.COLLIDING
    assert responses.refused(0.2, sent.event_id, COLLISION) == []
    assert responses.done(1.0, "resp_server", SPOKEN) == []
    assert responses.idle


def test_an_item_acknowledged_after_a_collision_is_requested_again() -> None:
    responses = new()
    sent = create(responses.request_answer(0.0, "item_1"))
    responses.created(0.1, "resp_server", {"metadata": None})
    responses.acknowledged("item_1")
    assert responses.refused(0.2, sent.event_id, COLLISION) == []
    again = create(responses.done(1.0, "resp_server", SPOKEN))
    assert again.event_id != sent.event_id


def test_a_request_with_options_is_repeated_after_any_response_of_the_server() -> None:
    responses = new()
    sent = create(responses.request(0.0, {"instructions": "Greet."}))
    responses.created(0.1, "resp_server", {"metadata": None})
    responses.refused(0.2, sent.event_id, COLLISION)
    again = create(responses.done(1.0, "resp_server", SPOKEN))
    assert again.options["instructions"] == "Greet."


def test_a_collision_with_an_unreported_response_is_retried_after_a_pause() -> None:
    responses = new()
    sent = create(responses.request_answer(0.0, "item_1"))
    assert responses.refused(0.1, sent.event_id, COLLISION) == []
    assert responses.deadline == pytest.approx(0.35)
    create(responses.on_time(0.35))


def test_a_late_twin_of_what_was_answered_is_cancelled_unheard() -> None:
    responses = new()
    create(responses.request_answer(0.0))
    responses.created(0.0, "resp_0", {"metadata": {"client_event_id": "evt_1"}})
    responses.done(0.1, "resp_0", SPOKEN)
    sent = create(responses.request_answer(0.2, "item_1"))
    responses.acknowledged("item_1")
    responses.created(0.3, "resp_server", {})
    responses.done(0.4, "resp_server", SPOKEN)
    (cancel,) = responses.created(0.5, "resp_twin", ours(sent))
    assert isinstance(cancel, CancelResponse) and cancel.response_id == "resp_twin" and cancel.mute


def test_a_server_that_returns_no_metadata() -> None:
    responses = new()
    for number in range(3):
        create(responses.request_answer(number, f"item_{number}"))
        responses.acknowledged(f"item_{number}")
        assert responses.created(number + 0.1, f"resp_{number}", {}) == []
        assert responses.done(number + 0.2, f"resp_{number}", SPOKEN) == []
        assert responses.idle


def presumed_wrongly() -> tuple[Responses, CreateResponse]:
    """The server's own response came and went before our request was there, and nothing is known of metadata."""
    responses = new()
    sent = create(responses.request_answer(0.0, "item_1"))
    responses.created(0.1, "resp_server", {})
    responses.acknowledged("item_1")
    assert responses.done(0.2, "resp_server", CALLED) == [] and responses.idle
    return responses, sent


def test_a_foreign_response_that_was_taken_for_a_requested_one() -> None:
    responses, sent = presumed_wrongly()
    create(responses.refused(0.3, sent.event_id, COLLISION) or responses.on_time(responses.deadline or 0.0))
    responses, sent = presumed_wrongly()
    assert responses.created(0.3, "resp_ours", ours(sent)) == [], "item_1 has no other answer"


def test_a_long_answer_without_metadata_is_not_taken_for_silence() -> None:
    responses = new(retry=RetryPolicy(stalled_after_s=None))
    create(responses.request(0.0, {"instructions": "Read the menu."}))
    responses.created(0.1, "resp_1", {})
    assert responses.deadline is None and responses.on_time(30.0) == []
    assert responses.done(31.0, "resp_1", SPOKEN) == [] and responses.idle


def test_creates_wait_while_the_caller_speaks_and_for_the_servers_own_answer() -> None:
    responses = new()
    responses.speech_started(10.0)
    assert responses.request_answer(11.0, "item_1") == []
    responses.acknowledged("item_1")
    assert responses.speech_stopped(12.0) == [] and responses.committed(12.0) == []
    responses.created(12.1, "resp_server", {})
    assert responses.done(13.0, "resp_server", SPOKEN) == []
    assert responses.idle


def test_a_server_that_does_not_answer_by_itself_is_not_waited_for() -> None:
    responses = new(server_responds=False)
    responses.speech_started(10.0)
    assert responses.request_answer(11.0, "item_1") == []
    assert responses.speech_stopped(12.0) == []
    create(responses.committed(12.0))


def test_a_detector_that_is_stuck_is_waited_for_eight_seconds() -> None:
    responses = new()
    responses.speech_started(10.0)
    assert responses.request_answer(11.0, "item_1") == []
    assert responses.on_time(17.9) == []
    assert responses.deadline == 18.0
    create(responses.on_time(18.0))


def test_a_turn_ended_by_hand_is_answered_at_once() -> None:
    responses = new()
    assert responses.committed(1.0, by_client=True) == []
    create(responses.request_answer(1.0, "item_1", acknowledged=True))


def test_out_of_band_responses_go_beside() -> None:
    responses = new()
    sent = create(responses.request_answer(0.0, "item_1"))
    side = create(responses.request(0.1, {"conversation": "none", "metadata": {"topic": "label"}}))
    assert side.options["metadata"]["topic"] == "label"
    assert responses.created(0.2, "resp_side", ours(side)) == []
    assert responses.is_out_of_band("resp_side") and responses.state is ResponseState.REQUESTED
    responses.created(0.3, "resp_1", ours(sent))
    assert responses.done(0.4, "resp_side", SILENT) == []
    assert responses.active_id == "resp_1"


def test_out_of_band_without_metadata_is_known_by_its_conversation() -> None:
    responses = new()
    create(responses.request(0.0, {"conversation": "none"}))
    responses.created(0.1, "resp_side", {"conversation_id": None})
    assert responses.is_out_of_band("resp_side") and responses.state is ResponseState.IDLE


def test_one_cancel_at_a_time() -> None:
    responses = new()
    responses.created(0.0, "resp_1", {})
    (cancel,) = responses.cancel()
    assert responses.cancelling and responses.cancel() == []
    responses.refused(0.1, cancel.event_id, "response_cancel_not_active")
    assert not responses.cancelling
    assert len(responses.cancel()) == 1


def test_a_request_that_is_cancelled_under_way_is_cancelled_when_it_is_created() -> None:
    responses = new()
    sent = create(responses.request_answer(0.0, "item_1"))
    assert responses.cancel() == []
    (cancel,) = responses.created(0.1, "resp_1", ours(sent))
    assert isinstance(cancel, CancelResponse) and cancel.mute
    assert responses.done(0.2, "resp_1", CANCELLED) == [] and responses.idle


def test_cancelling_another_response_than_the_present_one_does_nothing() -> None:
    responses = new()
    responses.created(0.0, "resp_1", {})
    assert responses.cancel("resp_0") == []


@pytest.mark.parametrize(("outcome", "reason"), [(SILENT, "empty"), (WRITTEN, "text_only"), (FAILED, "server_error")])
def test_a_response_with_a_passing_failure_is_requested_once_more_and_then_reported(
    outcome: Outcome, reason: str
) -> None:
    responses = new()
    sent = create(responses.request_answer(0.0, "item_1"))
    responses.created(0.0, "resp_1", ours(sent))
    failed, *effects = responses.done(0.1, "resp_1", outcome)
    assert failed == ResponseFailed("resp_1", outcome.status, reason, outcome.error, True)
    effects = effects or responses.on_time(responses.deadline or 0.0)
    sent = create(effects)
    responses.created(2.0, "resp_2", ours(sent))
    assert responses.done(2.1, "resp_2", outcome) == [
        ResponseFailed("resp_2", outcome.status, reason, outcome.error, False)
    ]
    assert responses.idle


def test_a_response_with_a_lasting_failure_is_reported_at_once() -> None:
    responses = new()
    responses.created(0.0, "resp_1", {})
    (failed,) = responses.done(0.1, "resp_1", HOPELESS)
    assert failed == ResponseFailed("resp_1", "failed", "content_policy", HOPELESS.error, False)
    incomplete = Outcome.of({"status": "incomplete", "status_details": {"reason": "max_output_tokens"}})
    responses.created(1.0, "resp_2", {})
    (failed,) = responses.done(1.1, "resp_2", incomplete)
    assert (failed.reason, failed.retrying) == ("max_output_tokens", False)


@pytest.mark.parametrize("outcome", [SPOKEN, CALLED, CANCELLED, INTERRUPTED])
def test_outcomes_that_are_no_failure(outcome: Outcome) -> None:
    responses = new()
    responses.created(0.0, "resp_1", {})
    assert responses.done(0.1, "resp_1", outcome) == []


def test_a_cancelled_response_is_not_requested_again() -> None:
    responses = new()
    responses.created(0.0, "resp_1", {})
    responses.cancel()
    assert responses.done(0.1, "resp_1", SILENT) == [] and responses.idle


def test_text_is_no_failure_where_text_was_asked_for() -> None:
    responses = new(audio=False)
    responses.created(0.0, "resp_1", {})
    assert responses.done(0.1, "resp_1", WRITTEN) == []
    responses = new()
    sent = create(responses.request(0.0, {"output_modalities": ["text"]}))
    responses.created(0.0, "resp_1", ours(sent))
    assert responses.done(0.1, "resp_1", WRITTEN) == []


def test_a_refused_request_frees_the_place_and_is_reported() -> None:
    responses = new()
    sent = create(responses.request(0.0, {"voice": "?"}))
    assert responses.refused(0.1, "evt_of_something_else", "invalid_value") == []
    assert responses.state is ResponseState.REQUESTED
    assert responses.refused(0.2, sent.event_id, "invalid_value", "why") == [
        ResponseFailed("", "failed", "invalid_value", "why", False)
    ]
    assert responses.idle


def test_no_reaction_is_not_waited_for_forever() -> None:
    responses = new(retry=RetryPolicy(delay_s=0.0))
    create(responses.request_answer(0.0, "item_1"))
    assert responses.deadline == 10.0
    failed, again = responses.on_time(10.0)
    assert failed == ResponseFailed("", "failed", "no_reaction", None, True)
    assert isinstance(again, CreateResponse)
    assert responses.on_time(20.0) == [ResponseFailed("", "failed", "no_reaction", None, False)]
    assert responses.idle


def test_a_response_that_went_silent_is_given_up_and_requested_again() -> None:
    responses = new(retry=RetryPolicy(delay_s=0.0))
    sent = create(responses.request_answer(0.0, "item_1"))
    responses.created(1.0, "resp_1", ours(sent))
    assert responses.deadline == 16.0
    responses.progress(5.0, "resp_1")
    responses.progress(9.0, "resp_of_somebody_else")
    assert responses.on_time(16.0) == [] and responses.deadline == 20.0
    cancel, stalled, failed, again = responses.on_time(20.0)
    assert isinstance(cancel, CancelResponse) and (cancel.response_id, cancel.mute) == ("resp_1", True)
    assert stalled == ResponseStalled("resp_1")
    assert isinstance(failed, ResponseFailed) and (failed.reason, failed.retrying) == ("stalled", True)
    assert isinstance(again, CreateResponse)
    assert responses.done(21.0, "resp_1", CANCELLED) == [], "it is over already"
    assert responses.state is ResponseState.REQUESTED


def test_a_response_with_complete_items_and_without_an_end_is_over() -> None:
    responses = new()
    sent = create(responses.request_answer(0.0, "item_1"))
    responses.acknowledged("item_1")
    responses.created(0.0, "resp_1", ours(sent))
    responses.began_item("resp_1")
    responses.spoke("resp_1")
    responses.progress(2.0, "resp_1")
    responses.completed_item(2.0, "resp_1")
    assert responses.deadline == 7.0
    responses.progress(3.0, "resp_1")
    assert responses.on_time(7.0) == [] and responses.deadline == 8.0
    assert responses.on_time(8.0) == [ResponseStalled("resp_1", is_complete=True)], "nothing is asked for again"
    assert responses.idle


def test_a_response_that_has_begun_another_item_is_not_complete() -> None:
    responses = new()
    responses.created(0.0, "resp_1", {})
    responses.completed_item(1.0, "resp_of_somebody_else")
    assert responses.deadline == 15.0
    responses.completed_item(1.0, "resp_1")
    responses.began_item("resp_of_somebody_else")
    assert responses.deadline == 6.0
    responses.began_item("resp_1")
    responses.progress(1.0, "resp_1")
    assert responses.on_time(6.0) == [] and responses.deadline == 16.0
    assert responses.on_time(16.0)[1] == ResponseStalled("resp_1")


def test_a_response_that_names_no_request_is_due_where_the_server_makes_one_or_returns_no_metadata() -> None:
    responses = new()
    assert not responses.expects_unnamed(0.0)
    sent = create(responses.request_answer(0.0, "item_1"))
    assert responses.expects_unnamed(0.0), "nobody knows yet whether it returns metadata"
    responses.created(0.0, "resp_1", ours(sent))
    responses.done(1.0, "resp_1", SPOKEN)
    create(responses.request_answer(2.0, "item_2"))
    assert not responses.expects_unnamed(2.0)
    responses.committed(3.0)
    assert responses.expects_unnamed(3.0) and not responses.expects_unnamed(13.0)


def test_a_cancelled_response_that_never_ends_is_given_up_and_not_requested_again() -> None:
    responses = new()
    responses.created(0.0, "resp_1", {})
    (cancel,) = responses.cancel()
    assert responses.on_time(15.0) == [ResponseStalled("resp_1")]
    assert responses.idle
    assert isinstance(cancel, CancelResponse)


def test_a_silent_response_is_not_given_up_without_a_time_limit() -> None:
    responses = new(retry=RetryPolicy(stalled_after_s=None))
    responses.created(0.0, "resp_1", {})
    assert responses.deadline is None and responses.on_time(1e6) == []


def test_an_unreported_response_that_never_ends_is_cancelled() -> None:
    responses = new()
    sent = create(responses.request_answer(0.0, "item_1"))
    now, cancels, creates = 0.0, 0, 1
    while now < 10.5:
        effects = responses.refused(now, sent.event_id, COLLISION)
        cancels += sum(isinstance(each, CancelResponse) and each.response_id == "" for each in effects)
        assert responses.deadline is not None
        now = responses.deadline
        sent = create(responses.on_time(now))
        creates += 1
    assert cancels == 1 and creates < 50
    assert responses.created(now, "resp_2", ours(sent)) == []


def test_a_refused_item_needs_no_answer() -> None:
    responses = new()
    responses.created(0.0, "resp_1", {})
    responses.request_answer(0.1, "item_1")
    responses.answer_not_needed("item_1")
    assert responses.done(0.2, "resp_1", SPOKEN) == []


def test_what_a_lost_server_leaves_unanswered() -> None:
    responses = new()
    assert responses.unanswered(0.0) == []
    sent = create(responses.request(0.0, {"instructions": "Greet."}))
    assert responses.request_answer(0.0, "item_1") == []
    assert responses.unanswered(0.0) == [{"instructions": "Greet."}, {}]
    responses.created(0.1, "resp_1", ours(sent))
    responses.spoke("resp_1")
    assert responses.unanswered(0.0) == [{}]  # item_1 was not acknowledged before


def test_an_answer_that_was_heard_in_part_is_not_requested_again() -> None:
    responses = new()
    responses.created(0.1, "resp_1", {})
    assert responses.unanswered(0.0) == [{}]
    responses.spoke("resp_1")
    assert responses.unanswered(0.0) == []


def test_paused_responses_wait_until_they_are_resumed() -> None:
    responses = new()
    assert not responses.paused
    responses.pause()
    assert responses.paused
    assert responses.request_answer(0.0, "item_1") == []
    sent = create(responses.resume(1.0))
    assert not responses.paused
    responses.created(1.1, "resp_1", ours(sent))
    assert responses.active_id == "resp_1"


def test_a_response_that_begins_during_a_pause_is_cancelled() -> None:
    responses = new()
    responses.pause()
    assert [type(each).__name__ for each in responses.created(0.1, "resp_server", {})] == ["CancelResponse"]
    assert responses.resume(0.2) == [], "nothing was asked for"


def test_at_rest_is_idle_with_an_open_answer_gate() -> None:
    responses = new()
    assert responses.at_rest(0.0)
    responses.speech_started(0.0)
    responses.speech_stopped(1.0)
    assert not responses.at_rest(1.9) and responses.at_rest(2.0)
    create(responses.request_answer(2.0))
    assert not responses.at_rest(2.0)


def test_the_server_owes_an_answer_to_a_turn_until_it_has_spoken() -> None:
    responses = new()
    assert not responses.awaits_server_answer(0.0)
    responses.committed(1.0)
    assert responses.awaits_server_answer(1.0) and responses.awaits_server_answer(10.9)
    assert not responses.awaits_server_answer(11.0), "by then the server has decided otherwise"
    responses.created(11.0, "resp_1", {})
    assert responses.awaits_server_answer(11.0)
    responses.spoke("resp_1")
    assert not responses.awaits_server_answer(11.0)


def test_a_turn_that_was_ended_by_hand_is_not_the_servers_to_answer() -> None:
    responses = new()
    responses.committed(1.0, by_client=True)
    assert not responses.awaits_server_answer(1.0)
    responses = new(server_responds=False)
    responses.committed(1.0)
    assert not responses.awaits_server_answer(1.0)


def test_a_requested_response_is_not_the_servers_answer() -> None:
    responses = new()
    sent = create(responses.request_answer(0.0))
    responses.created(0.1, "resp_1", ours(sent))
    assert not responses.awaits_server_answer(0.1)
    responses.spoke("resp_2")
    assert responses.unanswered(0.1) == [{}], "another response has spoken"


def test_speech_of_a_response_that_is_over_changes_nothing() -> None:
    responses = new()
    sent = create(responses.request_answer(0.0, "item_1"))
    responses.created(0.1, "resp_1", ours(sent))
    responses.done(1.0, "resp_1", SPOKEN)
    responses.spoke("resp_1")
    assert responses.idle and responses.deadline is None and responses.unanswered(1.1) == []


def test_a_request_without_options_is_a_plain_one() -> None:
    responses = new()
    assert [*create(responses.request(0.0, {})).options] == ["metadata"]
    assert responses.request(0.1, {}) == responses.request_answer(0.2) == []
    assert responses.unanswered(0.3) == [{}]


def test_out_of_band_responses_are_cancelled_by_their_id() -> None:
    responses = new()
    side = create(responses.request(0.0, {"conversation": "none"}))
    assert side.event_id == side.options["metadata"]["client_event_id"]
    assert responses.cancel("resp_side") == []
    responses.created(0.1, "resp_side", ours(side))
    (cancel,) = responses.cancel("resp_side", mute=True)
    assert isinstance(cancel, CancelResponse) and (cancel.response_id, cancel.mute) == ("resp_side", True)
    assert cancel.event_id and cancel.event_id != side.event_id
    (cancel,) = responses.cancel("resp_side")
    assert isinstance(cancel, CancelResponse) and cancel.mute is False


def test_a_refused_out_of_band_request_claims_no_response() -> None:
    responses = new()
    side = create(responses.request(0.0, {"conversation": "none"}))
    responses.refused(0.1, side.event_id, "invalid_value")
    responses.created(0.2, "resp_1", {"conversation_id": None})
    assert not responses.is_out_of_band("resp_1") and responses.active_id == "resp_1"


@pytest.mark.parametrize("mute", [False, True])
def test_a_cancelled_response_is_muted_only_on_request(mute: bool) -> None:
    responses = new()
    responses.created(0.0, "resp_1", {})
    (cancel,) = responses.cancel(mute=mute) if mute else responses.cancel()
    assert isinstance(cancel, CancelResponse) and cancel.mute is mute


def test_what_is_under_way_when_the_server_cancels_is_cancelled_when_it_is_created() -> None:
    responses = new()
    responses.cancelled_by_server()
    sent = create(responses.request_answer(0.0, "item_1"))
    responses.cancelled_by_server()
    assert responses.unanswered(0.0) == []
    (cancel,) = responses.created(0.1, "resp_1", ours(sent))
    assert isinstance(cancel, CancelResponse) and cancel.response_id == "resp_1"


def test_answers_are_held_back_and_requests_with_options_are_not() -> None:
    responses = new()
    responses.hold(5.0)
    assert responses.request_answer(0.0) == [] and responses.deadline == 5.0
    create(responses.request(0.1, {"instructions": "One moment."}))
    responses = new()
    responses.hold(5.0)
    responses.request_answer(0.0)
    create(responses.release(1.0))


def test_a_lost_server_leaves_the_oldest_unanswered_first_and_one_plain_request() -> None:
    responses = new()
    first = create(responses.request(0.0, {"instructions": "First."}))
    responses.created(0.1, "resp_1", ours(first))
    assert responses.request(0.2, {"instructions": "Second."}) == []
    assert responses.unanswered(0.2) == [{"instructions": "First."}, {"instructions": "Second."}]
    responses = new()
    responses.committed(0.0)
    responses.request_answer(0.0)
    assert responses.unanswered(0.5) == [{}]
    responses = new()
    responses.committed(0.0)
    assert responses.unanswered(9.9) == [{}] and responses.unanswered(10.0) == []


def test_a_request_under_way_comes_after_the_response_that_is_being_made() -> None:
    responses = new()
    sent = create(responses.request(0.0, {"instructions": "Second."}))
    responses.created(0.1, "resp_server", {"metadata": {"client_event_id": "evt_of_another"}})
    assert responses.state is ResponseState.COLLIDING and sent.event_id
    assert responses.unanswered(0.1) == [{"instructions": "Second."}, {}]
    responses.cancel()
    assert responses.unanswered(0.1) == []


def test_answer_not_needed_says_whether_an_answer_was_needed() -> None:
    responses = new()
    responses.created(0.0, "resp_1", {})
    responses.request_answer(0.1, "item_1")
    assert responses.answer_not_needed("item_1") and not responses.answer_not_needed("item_1")


def test_an_error_for_another_command_is_none_of_a_requests() -> None:
    responses = new()
    sent = create(responses.request_answer(0.0, "item_1"))
    assert responses.refused(0.1, "evt_other", COLLISION) == []
    assert responses.refused(0.1, "", "session_expired") == []
    assert responses.state is ResponseState.REQUESTED
    assert responses.refused(0.2, "", COLLISION) == [] and responses.state is ResponseState.IDLE
    again = create(responses.on_time(0.45))
    assert again.event_id != sent.event_id


def test_an_error_without_an_id_refuses_no_cancel() -> None:
    responses = new()
    responses.created(0.0, "resp_1", {})
    responses.cancel()
    responses.refused(0.1, "", "server_error")
    responses.refused(0.1, "evt_other", "server_error")
    assert responses.cancelling


def test_a_request_is_sent_again_as_soon_as_the_response_in_its_way_is_over() -> None:
    responses = new()
    first = create(responses.request_answer(0.0, "item_1"))
    assert responses.refused(0.0, first.event_id, COLLISION) == []
    again = create(responses.on_time(0.25))
    responses.created(0.3, "resp_server", {"metadata": {"client_event_id": "evt_of_another"}})
    responses.refused(0.35, again.event_id, COLLISION)
    create(responses.done(0.4, "resp_server", SPOKEN))


def test_a_collision_that_lasts_as_long_as_the_limit_is_broken() -> None:
    responses = new(request_limit_s=2.0, collision_delay_s=1.0)
    now = 0.0
    effects = responses.request_answer(now, "item_1")
    cancelled: list[tuple[float, CancelResponse]] = []
    while not cancelled:
        effects = responses.refused(now, create(effects).event_id, COLLISION)
        cancelled += [(now, each) for each in effects if isinstance(each, CancelResponse)]
        now += 1.0
        effects = responses.on_time(now)
    assert cancelled == [(2.0, CancelResponse("evt_4", ""))]


def test_a_refused_request_that_was_cancelled_under_way_is_not_reported() -> None:
    responses = new()
    sent = create(responses.request_answer(0.0, "item_1"))
    responses.cancel()
    assert responses.refused(0.1, sent.event_id, "invalid_value") == [] and responses.idle


def test_a_retry_keeps_its_options_waits_and_is_counted() -> None:
    responses = new(retry=RetryPolicy(failed=2, delay_s=1.0))
    effects, now = responses.request(0.0, {"instructions": "Greet."}), 0.0
    for retrying in (True, True, False):
        sent = create(effects)
        assert sent.options["instructions"] == "Greet."
        (failed,) = responses.refused(now, sent.event_id, "server_error")
        assert isinstance(failed, ResponseFailed) and failed.retrying is retrying
        assert responses.deadline == (now + 1.0 if retrying else None)
        assert responses.on_time(now + 0.9) == []
        now += 1.0
        effects = responses.on_time(now)
    assert responses.idle


# A server, a wire each way, a caller and a user, in any order.


# --- small rules ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("outcome", [SILENT, WRITTEN])
def test_a_silent_response_is_requested_again_at_once(outcome: Outcome) -> None:
    responses = new()
    sent = create(responses.request_answer(0.0, "item_1"))
    responses.created(0.1, "resp_1", ours(sent))
    failed, again = responses.done(0.2, "resp_1", outcome)
    assert isinstance(failed, ResponseFailed) and failed.retrying and isinstance(again, CreateResponse)


def test_nothing_is_cancelled_before_the_first_response() -> None:
    responses = new()
    assert not responses.cancelling and responses.cancel() == []


def test_answers_that_wait_together_are_requested_once() -> None:
    responses = new()
    first = create(responses.request_answer(0.0, "item_1"))
    responses.created(0.1, "resp_1", ours(first))
    responses.request(0.2, {"instructions": "Greet."})
    responses.request_answer(0.3, "item_2")
    responses.request_answer(0.4, "item_3")
    greeting = create(responses.done(1.0, "resp_1", SPOKEN))
    assert greeting.options["instructions"] == "Greet."
    responses.created(1.1, "resp_2", ours(greeting))
    second = create(responses.done(2.0, "resp_2", SPOKEN))
    responses.created(2.1, "resp_3", ours(second))
    assert responses.done(3.0, "resp_3", SPOKEN) == [] and responses.idle


def test_an_item_that_is_acknowledged_with_its_request_is_answered_by_the_next_response() -> None:
    responses = new()
    responses.created(0.0, "resp_1", {})
    assert responses.request_answer(0.1, "item_1", acknowledged=True) == []
    sent = create(responses.done(1.0, "resp_1", SPOKEN))
    responses.created(1.1, "resp_server", {"metadata": None})
    assert responses.refused(1.2, sent.event_id, COLLISION) == []
    assert responses.done(2.0, "resp_server", SPOKEN) == [] and responses.idle


def test_a_lost_connection_leaves_requests_with_options_and_one_plain_request() -> None:
    responses = new()
    responses.created(0.0, "resp_server", {})
    assert responses.unanswered(0.1) == [{}]
    responses.request(0.1, {"instructions": "Greet."})
    responses.request_answer(0.1, "item_1")
    assert responses.unanswered(0.2) == [{"instructions": "Greet."}, {}]
    responses.spoke("resp_server")
    responses.request(0.3, {"instructions": "Warn."})
    assert responses.unanswered(0.4) == [{"instructions": "Greet."}, {"instructions": "Warn."}, {}]
    responses = new()
    sent = create(responses.request(0.0, {"instructions": "Greet."}))
    assert responses.unanswered(0.1) == [{"instructions": "Greet."}]
    responses.created(0.2, "resp_1", ours(sent))
    assert responses.unanswered(0.3) == [{"instructions": "Greet."}]
    responses.cancel()
    assert responses.unanswered(0.4) == []


@pytest.mark.parametrize("named", [True, False])
def test_an_out_of_band_response_is_taken_once(named: bool) -> None:
    responses = new()
    side = create(responses.request(0.0, {"conversation": "none"}))
    told: dict[str, Any] = {"conversation_id": None, **(ours(side) if named else {})}
    assert responses.created(0.1, "resp_side", told) == []
    responses.created(0.2, "resp_other", {"conversation_id": None})
    assert responses.active_id == "resp_other" and not responses.is_out_of_band("resp_other")
    assert responses.done(0.3, "resp_side", SPOKEN) == [] and not responses.is_out_of_band("resp_side")


def test_of_two_out_of_band_requests_the_named_one_is_taken() -> None:
    responses = new()
    first = create(responses.request(0.0, {"conversation": "none"}))
    second = create(responses.request(0.0, {"conversation": "none"}))
    responses.created(0.1, "resp_2", ours(second))
    responses.created(0.2, "resp_1", ours(first))
    assert responses.is_out_of_band("resp_1") and responses.is_out_of_band("resp_2")


def answered_without_metadata() -> tuple[Responses, CreateResponse]:
    """A response without metadata seems to have answered the request."""
    responses = new()
    sent = create(responses.request_answer(0.0, "item_1", acknowledged=True))
    assert responses.created(0.1, "resp_1", {}) == [] and responses.done(0.2, "resp_1", SPOKEN) == []
    return responses, sent


def test_the_answer_to_a_request_that_seemed_answered_is_cancelled() -> None:
    responses, sent = answered_without_metadata()
    (cancel,) = responses.created(0.3, "resp_2", ours(sent))
    assert isinstance(cancel, CancelResponse) and (cancel.response_id, cancel.mute) == ("resp_2", True)


def test_another_response_after_one_that_seemed_the_answer_is_not_cancelled() -> None:
    responses, _ = answered_without_metadata()
    assert responses.created(0.3, "resp_2", {}) == []


def test_a_revoked_request_is_cancelled_only_where_the_response_may_be_its_own() -> None:
    responses = new()
    create(responses.request_answer(0.0, "item_1"))
    responses.cancel()
    (cancel,) = responses.created(0.1, "resp_1", {})
    assert isinstance(cancel, CancelResponse) and cancel.mute, "this server may return no metadata"
    responses = new()
    sent = create(responses.request_answer(0.0, "item_1"))
    responses.created(0.1, "resp_1", ours(sent))
    responses.done(0.2, "resp_1", SPOKEN)
    create(responses.request_answer(0.3, "item_2"))
    responses.cancel()
    assert responses.created(0.4, "resp_2", {}) == [], "this server returns metadata, so the response is its own"


def test_a_response_with_its_own_input_answers_no_item() -> None:
    responses = new()
    sent = create(responses.request(0.0, {"input": []}))
    responses.request_answer(0.1, "item_1", acknowledged=True)
    responses.created(0.2, "resp_1", ours(sent))
    create(responses.done(1.0, "resp_1", SPOKEN))


def test_an_item_that_begins_makes_its_response_incomplete_again_and_no_other() -> None:
    responses = new()
    responses.began_item("resp_0")
    responses.created(0.0, "resp_1", {})
    responses.completed_item(1.0, "resp_1")
    responses.began_item("resp_0")
    assert [type(effect) for effect in responses.on_time(6.0)] == [ResponseStalled]
    responses.created(10.0, "resp_2", {})
    responses.completed_item(11.0, "resp_2")
    responses.progress(11.0)
    responses.began_item("resp_2")
    assert responses.on_time(16.0) == [] and responses.deadline == 26.0


def test_a_response_that_is_complete_is_no_failure_and_the_next_request_is_sent() -> None:
    responses = new()
    responses.created(0.0, "resp_1", {})
    responses.request_answer(0.5, "item_1")
    responses.completed_item(1.0, "resp_1")
    ended, again = responses.on_time(6.0)
    assert ended == ResponseStalled("resp_1", True) and isinstance(again, CreateResponse)
    assert responses.deadline == 16.0


def test_a_stalled_response_is_cancelled_by_an_event_with_an_id() -> None:
    responses = new()
    responses.created(0.0, "resp_1", {})
    cancel, *_ = responses.on_time(15.0)
    assert isinstance(cancel, CancelResponse) and cancel.event_id.startswith("evt_")


def test_nothing_is_due_after_a_request_that_had_no_reaction() -> None:
    responses = new(retry=RetryPolicy(failed=0))
    create(responses.request_answer(0.0, "item_1"))
    assert [type(effect) for effect in responses.on_time(10.0)] == [ResponseFailed]
    assert responses.deadline is None and responses.unanswered(11.0) == []


def test_an_event_that_does_not_fit_the_state_changes_no_state() -> None:
    responses = new()
    responses.created(0.0, "resp_1", {})
    responses.created(0.1, "resp_2", {})
    assert responses.state is ResponseState.ACTIVE and responses.active_id == "resp_2"


@pytest.mark.parametrize("value", [None, 5, ["evt_1"], {}])
def test_metadata_of_another_type_names_no_request(value: Any) -> None:
    assert echo_of({"metadata": {"client_event_id": value}}) is None
    assert echo_of({"metadata": value}) is None


@dataclass
class Made:
    """A response that the server made."""

    id: str
    items: frozenset[str]
    create_id: str | None
    custom: str | None
    status: str = "active"


def test_without_metadata_a_request_whose_response_the_caller_cut_off_is_not_sent_again() -> None:
    responses = new()
    sent = create(responses.request(0.0, {"instructions": "the greeting"}))
    responses.created(0.1, "resp_1", {})
    assert responses.state is ResponseState.COLLIDING  # it could be the server's own
    assert responses.done(0.2, "resp_1", CANCELLED) == []
    assert responses.request(0.3, {"instructions": "the next one"}) == []
    assert responses.deadline == 1.2
    following = create(responses.on_time(1.2))
    assert following.options["instructions"] == "the next one" != sent.options["instructions"]


def test_without_metadata_a_request_is_sent_again_after_a_late_refusal() -> None:
    responses = new()
    sent = create(responses.request(0.0, {"instructions": "the greeting"}))
    responses.created(0.1, "resp_1", {})
    responses.done(0.2, "resp_1", CANCELLED)  # the server's own, which ended while our request was under way
    assert responses.on_time(1.2) == [] and responses.idle
    responses.refused(1.3, sent.event_id, COLLISION)
    again = create(responses.on_time(1.3 + 0.25))
    assert again.options["instructions"] == "the greeting" and again.event_id != sent.event_id
    # The time limit of the first attempt does not hold for the second.
    assert responses.deadline == 1.3 + 0.25 + 10.0


@dataclass
class FakeServer:
    """Keeps one response at a time in a conversation of items."""

    echoes: bool
    items: list[str] = field(default_factory=list)
    made: list[Made] = field(default_factory=list)
    out: deque[tuple[Any, ...]] = field(default_factory=deque)

    @property
    def active(self) -> Made | None:
        return self.made[-1] if self.made and self.made[-1].status == "active" else None

    def take(self, command: tuple[Any, ...]) -> None:
        match command:
            case ("item", item_id):
                self.items.append(item_id)
                self.out.append(("added", item_id))
            case ("create", event_id, options):
                if self.active:
                    self.out.append(("error", event_id, COLLISION))
                else:
                    self.make(event_id, options)
            case ("cancel", event_id, response_id):
                if self.active and self.active.id == response_id:
                    self.finish(CANCELLED)
                else:
                    self.out.append(("error", event_id, "response_cancel_not_active"))

    def make(self, create_id: str | None, options: Mapping[str, Any]) -> None:
        made = Made(f"resp_{len(self.made)}", frozenset(self.items), create_id, options.get("instructions"))
        self.made.append(made)
        metadata = options.get("metadata") if self.echoes else None
        self.out.append(("created", made.id, {"metadata": metadata}))

    def finish(self, outcome: Outcome) -> None:
        assert self.active
        made, made.status = self.active, outcome.status
        self.out.append(("done", made.id, outcome))


class ResponsesMachine(RuleBasedStateMachine):
    @initialize(echoes=st.booleans(), server_responds=st.booleans())
    def start(self, echoes: bool, server_responds: bool) -> None:
        self.now = 0.0
        self.server = FakeServer(echoes)
        patient = RetryPolicy(stalled_after_s=None)  # this server may take its time
        self.client = Responses(EventIds(), server_responds=server_responds, retry=patient)
        self.to_server: deque[tuple[Any, ...]] = deque()
        self.wanted: set[str] = set()
        self.customs: set[str] = set()
        self.given_up: set[str] = set()
        self.speaking = False
        self.cancelled = False
        self.muted: set[str] = set()
        self.turns = 0
        if echoes:  # the first exchange shows that it does
            self.wants()
            self.quiesce()

    def run(self, effects: list[Any]) -> None:
        for effect in effects:
            match effect:
                case CreateResponse(event_id, options):
                    self.to_server.append(("create", event_id, options))
                case CancelResponse(event_id, response_id, mute):
                    self.muted |= {response_id} if mute else set()
                    self.to_server.append(("cancel", event_id, response_id))
                case ResponseFailed():
                    raise AssertionError("nothing has failed")

    @rule()
    def wants(self) -> None:
        item_id = f"item_{len(self.wanted)}"
        self.wanted.add(item_id)
        self.to_server.append(("item", item_id))
        self.run(self.client.request_answer(self.now, item_id))

    @rule()
    def wants_something_special(self) -> None:
        name = f"special {len(self.customs)}"
        self.customs.add(name)
        self.run(self.client.request(self.now, {"instructions": name}))

    @rule()
    def interrupts(self) -> None:
        self.cancelled = True
        self.given_up |= self.wanted
        self.run(self.client.cancel())

    @precondition(lambda self: self.to_server)
    @rule()
    def server_takes(self) -> None:
        self.server.take(self.to_server.popleft())

    @precondition(lambda self: self.server.out)
    @rule()
    def client_hears(self) -> None:
        event = self.server.out.popleft()
        hear: dict[str, Callable[..., Any]] = {
            "added": self.client.acknowledged,
            "created": lambda *a: self.run(self.client.created(self.now, *a)),
            "done": lambda *a: self.run(self.client.done(self.now, *a)),
            "error": lambda *a: self.run(self.client.refused(self.now, *a)),
            "started": lambda: self.client.speech_started(self.now),
            "stopped": lambda: self.run(self.client.speech_stopped(self.now)),
            "committed": lambda item: self.run(self.client.committed(self.now)),
        }
        hear[event[0]](*event[1:])

    # Without metadata the client goes by this: a response takes longer than a command on its way.
    @precondition(lambda self: self.server.active and (self.server.echoes or not self.to_server))
    @rule(outcome=st.sampled_from([SPOKEN, SPOKEN, SPOKEN, CALLED]))
    def server_finishes(self, outcome: Outcome) -> None:
        self.server.finish(outcome)

    @precondition(lambda self: not self.speaking)
    @rule()
    def caller_speaks(self) -> None:
        self.speaking = True
        if self.server.active and self.client.server_responds:
            self.server.finish(CANCELLED)
        self.server.out.append(("started",))

    @precondition(lambda self: self.speaking)
    @rule()
    def caller_stops(self) -> None:
        self.speaking = False
        self.turns += 1
        item = f"turn_{self.turns}"
        self.server.items.append(item)
        self.server.out.extend([("stopped",), ("committed", item), ("added", item)])
        if self.client.server_responds:
            if self.server.active:
                self.server.finish(CANCELLED)
            self.server.make(None, {})

    @precondition(lambda self: not self.to_server and not self.server.out)  # else it passes without any reaction
    @rule(dt=st.sampled_from([0.01, 0.3, 1.0, 3.0]))
    def time_passes(self, dt: float) -> None:
        self.now += dt
        deadline = self.client.deadline
        if deadline is not None and self.now >= deadline:
            self.run(self.client.on_time(self.now))

    def quiesce(self) -> None:
        if self.speaking:
            self.caller_stops()
        for _ in range(2000):
            if self.to_server:
                self.server_takes()
            elif self.server.out:
                self.client_hears()
            elif self.server.active:
                self.server_finishes(SPOKEN)
            elif (deadline := self.client.deadline) is not None:
                self.now = max(self.now, deadline)
                self.run(self.client.on_time(self.now))
            else:
                return
        raise AssertionError("it never comes to rest")

    @invariant()
    def one_at_a_time(self) -> None:
        # Without metadata a response that was over before our command left may be taken for its answer.
        if hasattr(self, "to_server") and self.server.echoes:
            assert sum(1 for each in self.to_server if each[0] == "create") <= 1

    def teardown(self) -> None:
        if not hasattr(self, "to_server"):
            return
        self.quiesce()
        assert self.client.idle and self.client.active_id is None
        answered = frozenset[str]().union(*(each.items for each in self.server.made))
        assert not self.wanted - self.given_up - answered, "a response is lost"
        specials = [each.custom for each in self.server.made if each.custom]
        assert len(specials) == len(set(specials)), "something special is said twice"
        if not self.cancelled and not self.client.server_responds:
            assert set(specials) == self.customs, "something special is lost"
        if self.server.echoes:
            self.nothing_is_said_twice()

    def nothing_is_said_twice(self) -> None:
        said: set[str] = set()
        for made in self.server.made:
            plain = made.create_id is not None and made.custom is None
            if plain and made.status == "completed" and made.id not in self.muted:
                assert (made.items & self.wanted) - said, f"{made.id} says nothing new"
            said |= made.items


ResponsesMachine.TestCase.settings = settings(max_examples=extent(80, 20000), stateful_step_count=50)
test_any_order_of_events_loses_no_response_and_doubles_none = ResponsesMachine.TestCase
