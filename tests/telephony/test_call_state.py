"""The state of a placed call, for any order of events."""

from __future__ import annotations

import math

from hypothesis import given
from hypothesis import strategies as st

from telephony.outbound.call_state import CallState, NextStep
from telephony.twilio.callbacks import ENDED, CallStatus

SID = "CA1"


def status(name: str, number: int) -> CallStatus:
    return CallStatus(SID, name, number)


def test_the_usual_way() -> None:
    state = CallState()
    state.created(SID, 0.0)
    for number, name in enumerate(["initiated", "ringing", "in-progress", "completed"]):
        state.callback(status(name, number), number)
    assert (state.status, state.answered, state.over, state.deadline) == ("completed", True, True, math.inf)


def test_silence_is_answered_by_asking_again_and_again() -> None:
    state = CallState(fetch_s=10)
    state.created(SID, 0.0)
    assert state.next_step(9.9) == NextStep.WAIT
    assert state.next_step(10.0) == NextStep.FETCH
    assert state.next_step(10.1) == NextStep.WAIT, "once"
    state.fetch_failed(11.0)
    assert state.next_step(13.0) == NextStep.FETCH
    state.fetched("in-progress", 13.0)
    assert state.status == "in-progress"
    assert state.next_step(23.0) == NextStep.FETCH
    state.fetched("completed", 23.0)
    assert state.over


def test_a_call_that_may_have_been_made_is_searched_and_never_made_again() -> None:
    state = CallState()
    state.uncertain("Twilio failed.", 0.0)
    looks, now = 0, 0.0
    while not state.over:
        now = state.deadline
        assert state.next_step(now) == NextStep.LIST
        looks += 1
        state.listed(None, now)
    assert looks == 6
    assert now > 15, "Twilio's listing lags"
    assert (state.status, state.error) == ("failed", "Twilio failed. The call was not made.")


def test_a_call_that_is_found_during_the_search_continues() -> None:
    state = CallState()
    state.uncertain("Twilio failed.", 0.0)
    assert state.identified(SID, 0.2)
    assert state.error == ""
    assert state.next_step(0.4) == NextStep.WAIT
    state.callback(status("busy", 2), 1.0)
    assert state.status == "busy"


def test_a_call_that_is_found_after_its_refusal_is_not_taken() -> None:
    state = CallState()
    state.refused("No.")
    assert not state.identified(SID, 5.0)


def test_a_second_call_with_the_same_token_is_not_taken() -> None:
    state = CallState()
    assert state.identified(SID, 0.0)
    assert not state.identified("CA2", 1.0)


def test_a_search_whose_listings_all_fail_ends_with_an_error() -> None:
    state = CallState()
    state.uncertain("Twilio failed.", 0.0)
    now = 0.0
    while not state.over:
        now = state.deadline
        assert state.next_step(now) == NextStep.LIST
        state.listing_failed(now)
    assert "could not be found out" in state.error


_CALLBACKS = [status("initiated", 0), status("ringing", 1), status("in-progress", 2), status("completed", 3)]


@given(st.permutations(_CALLBACKS), st.lists(st.sampled_from(_CALLBACKS), max_size=4), st.booleans())
def test_callbacks_in_any_order_and_number_end_alike(
    order: list[CallStatus], again: list[CallStatus], created_late: bool
) -> None:
    state = CallState()
    if not created_late:
        state.created(SID, 0.0)
    for now, result in enumerate([*order, *again]):
        state.identified(SID, now)
        state.callback(result, now)
    state.created(SID, 99.0)
    assert (state.status, state.answered, state.sid, state.error) == ("completed", True, SID, "")
    assert state.next_step(1e9) == NextStep.WAIT


_EVENTS = st.one_of(
    st.tuples(st.just("callback"), st.sampled_from(_CALLBACKS)),
    st.tuples(st.just("fetched"), st.sampled_from(["queued", "ringing", "in-progress", "completed"])),
    st.tuples(st.sampled_from(["uncertain", "looked", "not_looked", "not_fetched", "stream", "ended"]), st.none()),
)


@given(st.lists(_EVENTS, max_size=40), st.sampled_from(["created", "uncertain", "refused"]))
def test_a_call_is_over_once_and_until_then_there_is_something_to_wait_for(events: list, first: str) -> None:  # type: ignore[type-arg]
    state = CallState()
    match first:
        case "created":
            state.created(SID, 0.0)
        case "uncertain":
            state.uncertain("?", 0.0)
        case "refused":
            state.refused("No.")
    last = ""
    for now, (name, value) in enumerate(events, 1):
        if state.deadline <= now:
            state.deadline = now
        doing = state.next_step(now)
        match name:
            case "callback" if state.identified(SID, now):
                state.callback(value, now)
            case "fetched" if state.sid:
                state.fetched(value, now)
            case "looked" if doing == NextStep.LIST:
                state.listed(None, now)
            case "not_looked" if doing == NextStep.LIST:
                state.listing_failed(now)
            case "not_fetched" if doing == NextStep.FETCH:
                state.fetch_failed(now)
            case "stream" if state.sid:
                state.stream_started(now)
            case "ended" if state.sid:
                state.stream_ended(now)
            case _:
                if doing == NextStep.LIST:
                    state.listed(None, now)
                elif doing == NextStep.FETCH:
                    state.fetch_failed(now)
        if last:
            assert state.status == last, "a last state stays"
        last = state.status if state.over else ""
        assert state.over or state.deadline < math.inf, "a call is never forgotten"
        assert not state.over or state.status in ENDED
