"""The state machines of pacing, by the second."""

from __future__ import annotations

import math
from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from realtime_core.errors import UserError
from telephony.call.digits import DigitCollector, Digits
from telephony.call.leg.warm_transfer import LegState, WarmTransfer
from telephony.call.pacing.limits import CallLength, LengthAction, MachineLimit
from telephony.call.pacing.pending_answer import Fill, PendingAnswer
from telephony.call.pacing.reasons import PauseReason, PendingCause
from telephony.call.pacing.silence_prompts import Goodbye, Prompt, SilencePolicy, SilencePrompts
from telephony.call.pacing.stream_watchdog import StreamWatchdog

# --- silence ---------------------------------------------------------------------------------------------------------


def prompts() -> SilencePrompts:
    silence = SilencePrompts(SilencePolicy(10.0, ("a", "b"), "bye"))
    silence.begin(0.0)
    return silence


def test_a_silence_policy_refuses_values_of_wrong_types() -> None:
    wrong, prompts = "10", ("a", 7)
    with pytest.raises(UserError, match=r"^SilencePolicy: after_s: give a number of seconds, not str\."):
        SilencePolicy(after_s=wrong)  # type: ignore[arg-type]
    with pytest.raises(UserError, match=r"^SilencePolicy\(prompts=\.\.\.\): give a list of texts"):
        SilencePolicy(prompts=prompts)  # type: ignore[arg-type]


def test_silence_escalates_from_the_heard_end_of_each_answer() -> None:
    silence = prompts()
    silence.heard_until(4.0)
    assert silence.deadline == 14.0
    assert silence.on_time(13.9) is None
    assert silence.on_time(14.0) == Prompt("a")
    silence.heard_until(16.0)
    assert silence.on_time(26.0) == Prompt("b")
    silence.heard_until(28.0)
    assert silence.on_time(38.0) == Goodbye("bye")
    assert silence.deadline is None


@pytest.mark.parametrize("why", [it for it in PauseReason if it is not PauseReason.AWAY])
def test_silence_is_not_counted_during_a_pause(why: PauseReason) -> None:
    silence = prompts()
    silence.pause(why)
    silence.pause(PauseReason.AWAY)
    assert silence.deadline is None
    silence.resume(PauseReason.AWAY, 20.0)
    assert silence.deadline is None and silence.on_time(100.0) is None
    silence.resume(why, 100.0)
    silence.resume(why, 105.0)
    assert silence.deadline == 110.0


def test_a_caller_who_acts_is_prompted_from_the_first_again() -> None:
    silence = prompts()
    assert silence.on_time(10.0) == Prompt("a")
    silence.caller_acted(15.0)
    assert silence.on_time(25.0) == Prompt("a")


def test_before_the_call_is_live_nothing_is_prompted() -> None:
    silence = SilencePrompts(SilencePolicy())
    silence.heard_until(5.0)
    assert silence.deadline is None


# --- a pending answer ------------------------------------------------------------------------------------------


def test_a_pending_answer_is_a_line_then_a_sound_then_the_end() -> None:
    answer = PendingAnswer(line_s=2.0, limit_s=20.0)
    answer.add(PendingCause.TURN, 10.0)
    assert answer.on_time(12.0) is Fill.LINE
    answer.heard_until(13.7)
    assert answer.on_time(13.6) is None
    assert answer.on_time(13.7) is Fill.SOUND
    assert answer.deadline == 30.0
    assert answer.on_time(30.0) is Fill.GIVE_UP
    assert answer.deadline is None


def test_an_answer_is_waited_for_two_seconds_and_then_twenty() -> None:
    answer = PendingAnswer()
    answer.add(PendingCause.TURN, 0.0)
    assert answer.deadline == 2.0
    assert (answer.on_time(2.0), answer.on_time(2.0)) == (Fill.LINE, Fill.SOUND)
    assert answer.deadline == 20.0


@pytest.mark.parametrize("gives_up", [False, True])
def test_another_answer_begins_with_a_line_again(gives_up: bool) -> None:
    answer = PendingAnswer()
    answer.add(PendingCause.TURN, 0.0)
    answer.on_time(2.0)
    answer.on_time(2.0)
    if gives_up:
        assert answer.on_time(20.0) is Fill.GIVE_UP
    else:
        assert answer.remove(PendingCause.TURN, 20.0)
    answer.add(PendingCause.TURN, 30.0)
    assert answer.on_time(32.0) is Fill.LINE


def test_what_is_still_being_heard_is_no_silence() -> None:
    answer = PendingAnswer(line_s=2.0)
    answer.add(PendingCause.TOOL, 0.0, "1")
    answer.heard_until(9.0)
    assert answer.deadline == 11.0


def test_a_tool_does_not_run_into_the_limit() -> None:
    answer = PendingAnswer(line_s=2.0, limit_s=20.0)
    answer.add(PendingCause.TOOL, 0.0, "1")
    answer.on_time(2.0)
    assert answer.on_time(3.0) is Fill.SOUND
    assert answer.deadline is None
    answer.add(PendingCause.TURN, 60.0)
    answer.remove(PendingCause.TOOL, 60.0, "1")
    assert answer.deadline == 80.0


def test_the_models_voice_ends_the_sound_and_a_stall_begins_it_again() -> None:
    answer = PendingAnswer(line_s=2.0)
    answer.add(PendingCause.RESPONSE, 0.0, "1")
    answer.on_time(2.0)
    answer.on_time(2.0)
    assert answer.model_spoke(5.0) is True
    assert answer.model_spoke(5.1) is False
    answer.heard_until(8.0)
    assert answer.on_time(10.0, mid_sentence=True) is Fill.SOUND, "no line in the middle of a sentence"


def test_pauses_suspend_a_pending_answer() -> None:
    answer = PendingAnswer(line_s=2.0)
    answer.add(PendingCause.TURN, 0.0)
    answer.pause(PauseReason.CALLER)
    assert answer.deadline is None
    answer.resume(PauseReason.CALLER, 30.0)
    assert answer.deadline == 32.0
    assert answer.remove(PendingCause.TURN, 31.0) is True
    assert answer.remove(PendingCause.TURN, 31.0) is False


# --- length, machines, streams ---------------------------------------------------------------------------------------


def test_a_call_is_warned_and_ended() -> None:
    length = CallLength(300.0, 60.0)
    assert length.deadline is None
    length.begin(100.0)
    length.begin(200.0)
    assert length.on_time(339.0) is None
    assert length.on_time(340.0) is LengthAction.WARN
    assert length.on_time(400.0) is LengthAction.END
    assert length.deadline is None


def test_a_short_call_is_not_warned() -> None:
    length = CallLength(30.0, 60.0)
    length.begin(0.0)
    assert length.on_time(30.0) is LengthAction.END


def test_a_far_end_that_repeats_long_sentences_is_a_machine() -> None:
    machine = MachineLimit(60.0)
    for at in (0.0, 10.0):
        machine.heard("For opening hours, please press the one key.", at)
        machine.heard("Hello?", at)
        machine.heard("[2.5 s of speech that nobody wrote down]", at)
    assert machine.deadline is None
    machine.heard("for opening hours please press the ONE key", 20.0)
    assert machine.deadline == 80.0
    assert machine.on_time(80.0) is True
    assert machine.on_time(90.0) is False


def test_one_cause_after_the_other_is_one_silence() -> None:
    answer = PendingAnswer(line_s=2.0, limit_s=20.0)
    answer.add(PendingCause.TURN, 0.0)
    answer.add(PendingCause.RESPONSE, 0.8, "1")
    answer.remove(PendingCause.TURN, 0.8)
    answer.add(PendingCause.TOOL, 1.0, "1")
    answer.remove(PendingCause.RESPONSE, 1.0, "1")
    assert answer.deadline == 2.0


def test_a_caller_who_has_heard_nothing_for_long_enough_hears_a_line_at_once() -> None:
    answer = PendingAnswer(line_s=2.0, limit_s=20.0)
    assert not answer.fill_now(5.0), "nothing is pending"
    answer.add(PendingCause.TURN, 5.0)
    answer.pause(PauseReason.CALLER)
    assert not answer.fill_now(5.0), "the caller speaks"
    answer.resume(PauseReason.CALLER, 5.5)
    assert answer.fill_now(6.0) and answer.on_time(6.0) is Fill.LINE
    never = PendingAnswer(line_s=math.inf, limit_s=20.0)
    never.add(PendingCause.TURN, 5.0)
    assert never.fill_now(6.0) and never.on_time(6.0) is None


def passing(
    watch: StreamWatchdog, now: float, until: float, *, held_up: Sequence[tuple[float, float]] = ()
) -> float | None:
    """Calls the watchdog at each deadline, late while the loop is blocked (from, to). Returns when the stream was found
    stalled.
    """
    while watch.deadline is not None and watch.deadline <= until:
        now = watch.deadline
        for begin, end in held_up:
            now = end if begin <= now < end else now
        if watch.on_time(now):
            return now
    return None


def test_a_stream_is_stalled_without_frames() -> None:
    watch = StreamWatchdog(1.4)
    assert watch.deadline is None
    watch.begin(2.9)
    watch.frame(3.0)
    assert passing(watch, 3.0, 10.0) == pytest.approx(4.4)
    assert watch.deadline is None and not watch.on_time(9.0), "once"
    watch.begin(20.0)
    watch.end()
    assert watch.deadline is None


def test_what_the_loop_is_late_by_does_not_count() -> None:
    watch = StreamWatchdog(1.4)
    watch.begin(0.0)
    assert passing(watch, 0.0, 30.0, held_up=[(0.5, 4.5), (5.0, 8.0)]) == pytest.approx(8.2)
    watch.begin(0.0)
    watch.on_time(9.0)
    watch.frame(9.0)
    assert passing(watch, 9.0, 30.0) == pytest.approx(10.4, abs=0.21), "and is forgotten with the next frame"


@given(st.lists(st.tuples(st.floats(0.001, 3.0), st.booleans()), max_size=20))
def test_only_time_in_which_a_frame_could_have_been_heard_makes_a_stall(steps: list[tuple[float, bool]]) -> None:
    watch = StreamWatchdog(1.4)
    watch.begin(0.0)
    now = heard = 0.0
    for seconds, comes in steps:  # awake up to its deadline, then held up until `now`
        assert watch.deadline is not None
        heard += min(watch.deadline, now + seconds) - now
        now += seconds
        stalled = watch.on_time(now)
        assert stalled is (heard >= 1.4) or heard == pytest.approx(1.4)
        if stalled:
            return
        if comes:
            watch.frame(now)
            heard = 0.0


def test_a_stream_that_takes_nothing_is_stalled() -> None:
    watch = StreamWatchdog(5.0, max_bytes=1000)
    assert not watch.sent(2000)
    watch.begin(10.0)
    assert not watch.sent(1000)
    assert watch.sent(1001) and not watch.sent(1001)


# --- keys ------------------------------------------------------------------------------------------------------------


def test_digits_end_with_the_terminator_which_is_none_of_them() -> None:
    collector = DigitCollector()
    for key in "12#3":
        collector.press(key, 0.0)
    assert collector.result == Digits("12", complete=True)


def test_digits_end_in_time() -> None:
    collector = DigitCollector(first_s=8.0, between_s=4.0)
    assert collector.deadline is None
    collector.begin(10.0)
    collector.on_time(17.9)
    assert collector.result is None
    collector.press("1", 17.9)
    collector.begin(18.0)
    assert collector.deadline == pytest.approx(21.9)
    collector.on_time(21.9)
    assert collector.result == Digits("1", complete=False)


@given(st.text("0123456789*", max_size=20), st.integers(1, 12))
def test_a_collector_takes_at_most_its_digits_and_shows_none(keys: str, most: int) -> None:
    collector = DigitCollector(max_digits=most)
    for key in keys:
        collector.press(key, 0.0)
    if len(keys) < most:
        assert collector.result is None
    else:
        assert collector.result == Digits(keys[:most], complete=True)
        assert str(collector.result) == "•" * most
        assert "value" not in repr(collector.result)


# --- the second leg of a warm transfer -------------------------------------------------------------------------------

steps = st.lists(
    st.one_of(
        st.tuples(
            st.just("status"), st.sampled_from(["ringing", "in-progress", "busy", "completed", "no-answer", "x"])
        ),
        st.tuples(st.just("key"), st.sampled_from(["1", "2", "", "#"])),
        st.tuples(st.just("time"), st.floats(0, 200)),
        st.tuples(st.just("joined"), st.just(None)),
    ),
    max_size=12,
)


@given(steps)
def test_only_an_accepting_key_joins_the_two_and_what_is_decided_stays(order: list[tuple[str, object]]) -> None:
    leg = WarmTransfer(0.0)
    accepted = False
    decided: LegState | None = None
    for what, value in order:
        before = leg.state
        match what:
            case "status":
                leg.status(str(value), 1.0)
            case "key":
                joins = leg.key(str(value))
                accepted = accepted or joins
                assert not joins or value == "1"
            case "time":
                leg.on_time(float(value))  # type: ignore[arg-type]
            case "joined":
                leg.joined()
        if leg.state is LegState.JOINED:
            assert accepted
        if before in (LegState.JOINED, LegState.FAILED):
            assert leg.state is before
        assert bool(leg.failure) is (leg.state is LegState.FAILED)
        decided = leg.state if leg.decided else decided
    assert decided is None or leg.decided


def test_a_leg_that_is_neither_answered_nor_decided_fails_in_time() -> None:
    leg = WarmTransfer(0.0, ring_s=30.0, brief_s=45.0)
    leg.on_time(29.0)
    leg.status("in-progress", 29.0)
    assert leg.deadline == 74.0
    leg.on_time(74.0)
    assert "voicemail" in leg.failure
