"""Who answered, as stories: the sounds, the verdicts of Twilio, and the moves that follow, with their times."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from telephony.outbound.answer_classifier import AnswerClassifier, Move
from telephony.outbound.tone_detector import Sound, SoundKind

Step = tuple[float, str] | tuple[float, str, object]

SPEECH = "speech"


def play(
    steps: list[Step], *, until: float = 120.0, **options: object
) -> tuple[AnswerClassifier, list[tuple[float, str]]]:
    """Run a story. A step: (t, noise or "greeted"), (t, "pause", seconds), (t, "verdict", word), (t, "said", text)."""
    who = AnswerClassifier(0.0, **options)  # type: ignore[arg-type]
    moves: list[tuple[float, str]] = []

    def note(now: float, move: Move | None) -> None:
        if move is not None:
            moves.append((round(now, 2), move.value))

    for step in [*steps, (until, "end")]:
        now, what, *rest = step
        while who.deadline <= now:
            at = who.deadline
            note(at, who.on_time(at))
        match what:
            case "verdict":
                note(now, who.verdict(str(rest[0]), now))
            case "said":
                note(now, who.transcript(str(rest[0]), now))
            case "greeted":
                who.greeted()
            case "pause":
                note(now, who.sound(Sound(SoundKind.PAUSE, float(str(rest[0]))), now))
            case "end":
                pass
            case noise:
                note(now, who.sound(Sound(SoundKind(noise)), now))
    return who, moves


def test_a_hello_is_answered_at_once() -> None:
    who, moves = play([(0.5, SPEECH), (1.5, "pause", 0.5)])
    assert (who.answered_by, moves) == ("human", [(1.5, "talk")])


def test_a_sentence_is_answered_after_a_breath() -> None:
    who, moves = play([(0.5, SPEECH), (3.0, "pause", 2.0)])
    assert (who.answered_by, moves) == ("human", [(3.7, "talk")])


def test_noise_without_end_is_spoken_to_in_the_end() -> None:
    assert play([(1.0, SPEECH)])[1] == [(46.0, "talk")]


def test_a_silent_callee_is_spoken_to_and_stays_unknown() -> None:
    who, moves = play([])
    assert (who.answered_by, moves) == ("unknown", [(4.0, "talk")])


def test_a_voicemail_gets_its_message_after_the_beep_and_not_before() -> None:
    steps: list[Step] = [(0.3, SPEECH), (6.0, "pause", 5.5), (6.6, "beep")]
    who, moves = play(steps)
    assert (who.answered_by, moves) == ("machine", [(6.6, "message")])


def test_a_machine_that_breathes_is_still_waited_for() -> None:
    steps: list[Step] = [(0.3, SPEECH), (2.4, "pause", 1.5), (2.6, SPEECH), (7.0, "pause", 4.0), (7.5, "beep")]
    assert play(steps)[1] == [(7.5, "message")]


def test_a_machine_known_by_twilio_is_waited_for_until_it_is_silent() -> None:
    steps: list[Step] = [(0.3, SPEECH), (2.0, "verdict", "machine_start"), (8.0, "pause", 7.0)]
    assert play(steps)[1] == [(12.0, "message")]


def test_without_a_message_a_machine_is_hung_up_on() -> None:
    assert play([(0.3, SPEECH), (5.0, "verdict", "machine_end_beep")], leaves_message=False)[1] == [(5.0, "hang up")]


def test_a_late_verdict_counts_if_nobody_has_conversed() -> None:
    steps: list[Step] = [(0.5, SPEECH), (1.5, "pause", 0.5), (9.0, "verdict", "machine_end_beep")]
    assert play(steps)[1] == [(1.5, "talk"), (9.0, "message")]


@pytest.mark.parametrize("verdict", ["machine_start", "machine_end_beep", "machine_end_other", "fax"])
def test_a_wrong_verdict_ends_no_conversation(verdict: str) -> None:
    steps: list[Step] = [
        (0.5, SPEECH), (1.5, "pause", 0.5), (3.0, "greeted"), (3.5, SPEECH), (5.0, "pause", 1.0),
        (9.0, "verdict", verdict),
    ]  # fmt: skip
    who, moves = play(steps)
    assert (who.answered_by, moves) == ("human", [(1.5, "talk")])


@pytest.mark.parametrize("verdict", ["human", "unknown"])
def test_human_and_unknown_are_spoken_to(verdict: str) -> None:
    who, moves = play([(1.0, "verdict", verdict)])
    assert (who.answered_by, moves) == (verdict, [(1.0, "talk")])


def test_a_screening_hears_name_and_reason_and_then_gets_time() -> None:
    steps: list[Step] = [
        (0.3, SPEECH), (5.0, "pause", 4.0), (5.4, "said", "Please say your name and why you are calling."),
        (12.0, SPEECH), (13.0, "pause", 1.0), (13.3, "said", "Thank you, please hold."),
        (20.0, SPEECH), (21.0, "pause", 0.5), (21.4, "said", "Hello, this is Ada."),
    ]  # fmt: skip
    who, moves = play(steps)
    assert (who.answered_by, moves) == ("human", [(5.4, "screen"), (21.4, "talk")])


def test_a_screening_that_connects_no_person_ends_with_a_hang_up() -> None:
    who, moves = play([(0.3, SPEECH), (5.0, "pause", 4.0), (5.4, "said", "Who is calling?")])
    assert (who.answered_by, moves) == ("screening", [(5.4, "screen"), (50.4, "hang up")])


def test_a_screening_that_asks_again_gets_the_answer_again_once() -> None:
    asks = "Who is calling, please?"
    steps: list[Step] = [
        (1.0, "said", asks), (6.0, SPEECH), (7.0, "pause", 1.0), (7.4, "said", asks),
        (12.0, SPEECH), (13.0, "pause", 1.0), (13.4, "said", asks),
    ]  # fmt: skip
    assert play(steps)[1] == [(1.0, "screen"), (7.4, "screen"), (52.4, "hang up")]


def test_who_speaks_after_a_screening_and_is_not_understood_is_spoken_to() -> None:
    steps: list[Step] = [(1.0, "said", "Who is calling?"), (20.0, SPEECH), (21.0, "pause", 0.5)]
    who, moves = play(steps)
    assert (who.answered_by, moves) == ("human", [(1.0, "screen"), (23.5, "talk")])


def test_a_message_that_was_begun_before_the_beep_is_left_again_after_it() -> None:
    steps: list[Step] = [(0.3, SPEECH), (2.0, "verdict", "machine_start"), (5.0, "pause", 4.0), (11.0, "beep")]
    assert play(steps)[1] == [(9.0, "message"), (11.0, "message")]
    assert play([*steps, (20.0, "beep")])[1] == [(9.0, "message"), (11.0, "message")], "a later beep is the tape's end"
    assert play(steps, leaves_message=False)[1] == [(9.0, "hang up")]
    beeped: list[Step] = [(0.3, SPEECH), (5.0, "verdict", "machine_end_beep"), (5.2, "beep")]
    assert play(beeped)[1] == [(5.0, "message")], "Twilio has heard that beep"


@pytest.mark.parametrize(("noise", "who"), [("fax", "fax"), ("busy", "unknown")])
def test_tones_end_the_call(noise: str, who: str) -> None:
    found, moves = play([(1.0, noise)])
    assert (found.answered_by, moves) == (who, [(1.0, "hang up")])


_STEP = st.one_of(
    st.tuples(st.floats(0, 3), st.sampled_from(["speech", "beep", "greeted"])),
    st.tuples(st.floats(0, 3), st.just("pause"), st.floats(0.1, 8)),
    st.tuples(st.floats(0, 3), st.just("verdict"), st.sampled_from(["human", "unknown"])),
    st.tuples(st.floats(0, 3), st.just("said"), st.sampled_from(["Hello.", "Leave a message.", "Who is calling?"])),
)


@given(st.lists(_STEP, max_size=30), st.booleans())
def test_each_sequence_of_sounds_leads_to_a_move_of_the_answer_classifier(steps: list[Step], leaves: bool) -> None:
    now = 0.0
    timed: list[Step] = []
    for step in steps:
        now += step[0]
        timed.append((now, *step[1:]))
    spoken = any(step[1] == "speech" for step in steps)
    if spoken:  # speech that began comes to an end
        timed.append((now + 1, "pause", 1.0))
    who, moves = play(timed, until=now + 300, leaves_message=leaves)
    names = [move for _, move in moves]
    assert names, "somebody picked up, and nothing was done"
    assert names.count("hang up") + ("message" in names) <= 1, "there is one end"
    assert names.count("message") <= 2, "before a beep, and after it"
    assert names.count("screen") <= 2
    assert not (leaves and "hang up" in names and who.answered_by == "machine")
    assert who.deadline == math.inf
