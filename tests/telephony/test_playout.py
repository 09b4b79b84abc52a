"""Playout and the heard position: the sent audio, the audio that counts as heard, and that both always keep their
rules.
"""

from __future__ import annotations

import itertools
import operator

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from benchmarks.extent import extent
from telephony.call.line.playout import Clear, Command, Mark, Media, Playout, Segment

SECOND = 8000


def media(commands: list[Command]) -> bytes:
    return b"".join(command.payload for command in commands if isinstance(command, Media))


def marks(commands: list[Command]) -> list[str]:
    return [command.name for command in commands if isinstance(command, Mark)]


def test_the_first_audio_goes_out_at_once_and_the_lead_bounds_the_rest() -> None:
    playout = Playout()
    playout.start(0.0)
    playout.enqueue(("a", 0), bytes(SECOND * 5))
    sent = len(media(playout.poll(0.1)))
    assert 0.400 * SECOND <= sent <= 0.500 * SECOND
    wake = playout.next_wake(0.1)
    assert wake is not None
    assert 0.1 < wake <= 0.2
    assert media(playout.poll(0.1 + 1e-4)) == b"", "nothing more before the lead has shrunk"
    assert len(media(playout.poll(wake))) in (640, 800)


def test_a_stalled_loop_catches_up_in_one_step() -> None:
    playout = Playout()
    playout.start(0.0)
    playout.enqueue(("a", 0), bytes(SECOND * 5))
    sent = len(media(playout.poll(0.0)))
    caught_up = len(media(playout.poll(0.3)))
    assert sent > 0.3 * SECOND, "the caller heard no gap"
    assert sent + caught_up >= 0.7 * SECOND, "and the lead is whole again"


def test_everything_goes_out_in_whole_frames_and_the_tail_is_filled_with_silence() -> None:
    playout = Playout()
    playout.enqueue(("a", 0), b"\x01" * 200)
    assert media(playout.poll(0.0)) == b"\x01" * 160
    playout.end(("a", 0))
    assert media(playout.poll(0.01)) == b"\x01" * 40 + b"\xff" * 120


def test_a_mark_stands_after_20_ms_and_then_about_every_100() -> None:
    playout = Playout()
    playout.enqueue(("a", 0), bytes(2400))
    kinds = [
        (type(command).__name__, len(command.payload) if isinstance(command, Media) else 0)
        for command in playout.poll(0.0)
    ]
    assert kinds == [
        ("Mark", 0),
        ("Media", 160),
        ("Mark", 0),
        ("Media", 800),
        ("Mark", 0),
        ("Media", 800),
        ("Mark", 0),
        ("Media", 640),
        ("Mark", 0),
    ]


def test_stop_tells_what_was_heard_of_the_playing_part_and_nothing_of_what_waits_behind_it() -> None:
    playout = Playout()
    playout.start(0.0)
    playout.enqueue(("a", 0), bytes(SECOND))
    playout.end(("a", 0))
    playout.enqueue(("b", 0), bytes(SECOND))
    playout.poll(0.0)
    playout.poll(0.25)
    commands, cuts = playout.stop(0.5)
    assert isinstance(commands[0], Clear)
    assert [(cut.source, cut.samples, cut.finished) for cut in cuts] == [
        (("a", 0), 0.5 * SECOND, False),
        (("b", 0), 0, False),
    ]
    assert playout.stop(0.6) == ([], [])
    assert playout.poll(0.6) == []


def test_what_was_heard_to_its_end_is_neither_cleared_nor_cut() -> None:
    playout = Playout()
    playout.enqueue(("a", 0), bytes(1600))
    playout.end(("a", 0))
    playout.poll(0.0)
    assert playout.stop(0.3) == ([], [])


def test_speech_left_is_what_the_caller_has_still_to_hear() -> None:
    playout = Playout()
    playout.start(0.0)
    assert playout.speech_left(0.0) == 0
    playout.enqueue(("a", 0), bytes(SECOND))
    assert playout.speech_left(0.0) == SECOND
    playout.poll(0.0)
    assert playout.queued > 0 and playout.speech_left(0.0) == SECOND
    playout.poll(0.25)
    assert playout.speech_left(0.25) == 0.75 * SECOND
    for at in (0.5, 0.75):
        playout.poll(at)
    assert playout.queued == 0 and playout.speech_left(0.8) == pytest.approx(0.2 * SECOND, abs=1)
    assert playout.speech_left(1.5) == 0


def test_unheard_audio_is_what_was_sent_and_not_heard() -> None:
    playout = Playout()
    playout.start(0.0)
    assert playout.unheard(0.0) == b""
    speech = bytes(n % 251 for n in range(SECOND))
    playout.enqueue(("a", 0), speech)
    playout.poll(0.0)
    sent = SECOND - playout.queued
    assert playout.unheard(0.0) == speech[:sent]
    assert playout.unheard(0.1) == speech[800:sent]
    for at in (0.25, 0.5, 0.75):
        playout.poll(at)
    assert playout.unheard(0.8) == speech[6400:], "also of pieces that were sent one after the other"
    assert playout.unheard(2.0) == b""


def test_ambience_is_no_speech_that_is_left() -> None:
    playout = Playout()
    playout.start(0.0)
    playout.set_bed(bytes)
    assert media(playout.poll(0.0)) and playout.speech_left(0.0) == 0
    playout.enqueue(("a", 0), bytes(800))
    playout.end(("a", 0))
    at = playout.next_wake(0.0) or 0.0
    playout.poll(at)
    playout.poll(at + 0.1)
    assert playout.queued == 0 and 0 < playout.speech_left(at + 0.1) < playout.sent
    playout.set_bed(None)
    sent = playout.sent
    playout.poll(5.0)
    assert playout.sent == sent, "no ambience is sent any more"


def test_a_lost_line_keeps_what_had_not_arrived_and_forgets_the_line() -> None:
    playout = Playout()
    playout.start(0.0)
    playout.enqueue(("a", 0), b"".join(bytes([n]) * 160 for n in range(50)))
    playout.poll(0.0)
    playout.frame(0.2, 0.2)
    playout.poll(0.2)  # goes out after the last frame came: it may have got nowhere
    line, generation, runs = playout.line, playout.generation, len(playout.runs)
    playout.lose_line(5.0)
    assert playout.line is not line and playout.generation > generation and len(playout.runs) > runs
    assert playout.heard_position(9.0) == playout.sent
    again = media(playout.poll(5.0))
    assert 0 < again[0] <= 25, "it goes on where the last mark before the last frame stands"
    assert 160 * again[0] + playout.queued + len(again) == SECOND


def test_a_line_that_is_lost_before_any_frame_has_carried_what_was_sent() -> None:
    playout = Playout()
    playout.enqueue(("a", 0), bytes(SECOND))
    playout.poll(0.0)
    playout.lose_line(0.3)
    assert playout.queued == pytest.approx(0.7 * SECOND, abs=160)
    playout.lose_line(0.3)
    assert playout.queued == pytest.approx(0.7 * SECOND, abs=160), "nothing is counted twice"


def test_the_last_run_ends_once() -> None:
    playout = Playout()
    playout.finish()
    assert playout.runs == []
    playout.enqueue(("a", 0), bytes(1600))
    playout.poll(0.0)
    assert len(playout.runs) == 1
    playout.finish()
    playout.finish()
    assert [base for base, _ in playout.runs] == [0, 0]


def test_a_part_that_ran_dry_in_the_middle_is_cut_where_it_ran_dry() -> None:
    playout = Playout()
    playout.enqueue(("a", 0), bytes(1600))
    out = playout.poll(0.0)
    for name in marks(out):
        playout.frame(0.2, 0.2)
        playout.mark(name, 0.2)
    commands, cuts = playout.stop(3.0)
    assert commands == []
    assert [(cut.source, cut.samples) for cut in cuts] == [(("a", 0), 1600)]


def test_the_clock_restarts_where_playout_ran_dry() -> None:
    playout = Playout()
    playout.enqueue(("a", 0), bytes(1600))
    playout.poll(0.0)
    playout.enqueue(("a", 0), bytes(SECOND))
    playout.poll(5.0)
    assert playout.underruns == 1
    (cut,) = playout.cuts(5.1)
    assert cut.samples == 1600 + 800


def test_flushed_marks_do_not_move_what_comes_after_the_clear() -> None:
    playout = Playout()
    playout.enqueue(("a", 0), bytes(SECOND))
    old = marks(playout.poll(0.0))
    playout.stop(0.1)
    playout.enqueue(("b", 0), bytes(SECOND))
    playout.poll(0.1)
    for name in old:
        playout.mark(name, 0.12)
    (cut,) = playout.cuts(0.2)
    assert (cut.source, cut.samples) == (("b", 0), 800)


def test_hold_and_release_go_on_from_the_sample_that_was_heard_last() -> None:
    playout = Playout()
    audio = bytes(itertools.islice(itertools.cycle(range(251)), SECOND))
    playout.enqueue(("a", 0), audio)
    playout.end(("a", 0))
    playout.poll(0.0)
    commands = playout.hold(0.2)
    assert isinstance(commands[0], Clear)
    assert playout.poll(0.5) == []
    assert playout.release(1.0) == []
    resumed = media(playout.poll(1.0))
    assert resumed == audio[1600 : 1600 + len(resumed)]
    _, cuts = playout.stop(1.1)
    assert cuts[0].samples == 1600 + 800


def test_ducked_audio_goes_on_from_the_sample_that_was_heard_last_and_comes_back_from_there() -> None:
    playout = Playout(mix=lambda speech, bed: speech)
    audio = bytes(itertools.islice(itertools.cycle(range(125)), 2 * SECOND))
    playout.enqueue(("a", 0), audio)
    playout.end(("a", 0))
    playout.poll(0.0)
    commands = playout.duck(0.2, lambda speech: bytes(code + 125 for code in speech))
    assert isinstance(commands[0], Clear)
    assert playout.duck(0.2, bytes) == [], "once"
    ducked = media(playout.poll(0.2))
    assert len(ducked) > 1600 and ducked == bytes(code + 125 for code in audio[1600 : 1600 + len(ducked)])
    commands = playout.release(0.3)
    assert isinstance(commands[0], Clear)
    loud = media(playout.poll(0.3))
    assert loud == audio[2400 : 2400 + len(loud)]
    assert playout.release(0.4) == []
    _, cuts = playout.stop(0.5)
    assert cuts[0].samples == 2400 + 1600


def test_ambience_without_speech_leaves_in_whole_frames_and_120_ms_ahead() -> None:
    playout = Playout(bed=lambda n: b"\x10" * n)
    pieces = [command for command in playout.poll(0.0) if isinstance(command, Media)]
    assert [len(piece.payload) for piece in pieces] == [160, 800, 640]
    assert [piece.segments for piece in pieces] == [
        (Segment(0, 160, None, 0, b"\x10" * 160),),
        (Segment(160, 960, None, 0, b"\x10" * 800),),
        (Segment(960, 1600, None, 0, b"\x10" * 640),),
    ]
    assert playout.next_wake(0.0) == 641 / 8000
    assert len(media(playout.poll(641 / 8000))) == 800


def test_one_frame_of_speech_over_ambience_is_sent_with_the_lead_of_speech() -> None:
    playout = Playout(bed=bytes, mix=lambda speech, bed: speech)
    playout.poll(0.0)
    assert playout.poll(0.01) == []
    playout.enqueue(("a", 0), b"\x01" * 160)
    assert playout.next_wake(0.01) == 0.01
    assert media(playout.poll(0.01)).startswith(b"\x01" * 160)


def test_ambience_continues_without_speech_and_lies_under_it() -> None:
    playout = Playout(bed=lambda n: b"\x10" * n, mix=lambda speech, bed: bytes(map(operator.or_, speech, bed)))
    alone = media(playout.poll(0.0))
    assert 0 < len(alone) <= 0.25 * SECOND, "an answer must not wait long behind it"
    assert set(alone) == {0x10}
    playout.enqueue(("a", 0), b"\x01" * 800)
    assert b"\x11" * 160 in media(playout.poll(0.05))
    _, cuts = playout.stop(0.06)
    assert cuts[0].samples == 0


# --- names, leads and accounts ---------------------------------------------------------------------------------------


def test_the_name_of_a_mark_has_its_kind_generation_position_and_number() -> None:
    playout = Playout()
    assert marks(playout.start(0.0)) == ["probe:0:0:1"]
    playout.enqueue(("a", 0), bytes(320))
    assert marks(playout.poll(0.0)) == ["probe:0:0:2", "heard:0:160:3", "heard:0:320:4"]
    commands, _ = playout.stop(0.0)
    assert marks(commands) == ["probe:1:320:5"]
    playout.enqueue(("b", 0), bytes(160))
    assert marks(playout.poll(0.1)) == ["probe:1:320:6", "heard:1:480:7"]
    assert marks(playout.stop(0.1)[0]) == ["probe:2:480:8"]


def test_a_new_line_is_a_new_generation() -> None:
    playout = Playout()
    for generation in range(1, 4):
        playout.lose_line(0.0)
        assert playout.generation == generation


def test_only_the_last_source_in_the_queue_is_filled_up() -> None:
    playout = Playout()
    playout.enqueue(("a", 0), bytes(200))
    playout.enqueue(("b", 0), bytes(200))
    playout.end(("a", 0))
    assert playout.queued == 400
    playout.end(("b", 0))
    assert playout.queued == 480
    playout.enqueue(("c", 0), bytes(160))
    playout.poll(0.0)
    assert playout.queued == 0
    playout.end(("c", 0))
    assert playout.queued == 0


def test_the_segments_of_what_is_sent() -> None:
    playout = Playout()
    playout.enqueue(("a", 0), b"\x01" * 200)
    playout.end(("a", 0))
    first, second = (command for command in playout.poll(0.0) if isinstance(command, Media))
    assert first.segments == (Segment(0, 160, ("a", 0), 0, b"\x01" * 160),)
    assert second.segments == (
        Segment(160, 200, ("a", 0), 160, b"\x01" * 40), Segment(200, 320, None, 0, b"\xff" * 120),
    )  # fmt: skip


def test_audio_that_is_taken_back_is_filled_up_again() -> None:
    playout = Playout()
    playout.enqueue(("a", 0), b"\x01" * 200)
    playout.end(("a", 0))
    playout.poll(0.0)
    playout.hold(0.0125)
    assert playout.queued == 160
    playout.release(1.0)
    (again,) = (command for command in playout.poll(1.0) if isinstance(command, Media))
    assert again.segments == (
        Segment(320, 380, ("a", 0), 100, b"\x01" * 60), Segment(380, 420, ("a", 0), 160, b"\x01" * 40),
        Segment(420, 480, None, 0, b"\xff" * 60),
    )  # fmt: skip


def test_an_incomplete_source_that_is_taken_back_is_not_filled_up() -> None:
    playout = Playout()
    playout.enqueue(("a", 0), bytes(400))
    playout.poll(0.0)
    playout.hold(0.0125)
    assert playout.queued == 300


def test_sources_on_both_sides_of_a_filling_are_taken_back() -> None:
    playout = Playout()
    playout.enqueue(("a", 0), b"\x01" * 200)
    playout.end(("a", 0))
    playout.enqueue(("b", 0), b"\x02" * 320)
    playout.poll(0.0)
    playout.hold(0.0)
    playout.release(1.0)
    assert media(playout.poll(1.0)) == b"\x01" * 200 + b"\x02" * 280, "without the silence, in whole frames"


def punctual(playout: Playout, names: list[str], until: float, *, start: float = 0.0) -> None:
    """A line without a delay: frames come every 20 ms, marks when their position has played."""
    names = list(names)
    for frame in range(int(start * 50), int(until * 50) + 1):
        now = frame / 50
        playout.frame(now, now)
        while names and (names[0].startswith("probe") or int(names[0].split(":")[2]) <= (now - start) * SECOND + 1e-6):
            playout.mark(names.pop(0), now)


def test_marks_prove_what_was_heard_and_shorten_the_lead() -> None:
    playout = Playout()
    playout.lead = 4000
    playout.enqueue(("a", 0), bytes(1600))
    playout.end(("a", 0))
    names = marks(playout.poll(0.0))
    assert [name.split(":")[2] for name in names] == ["0", "160", "960", "1600"]
    punctual(playout, names, 0.14)
    assert (playout.confirmed_position, playout.lead, playout.busy) == (960, 4000 - 2 * 8, True)
    punctual(playout, names[3:], 0.2)
    assert (playout.confirmed_position, playout.lead, playout.busy) == (1600, 4000 - 3 * 8, False)
    playout.frame(0.3, 0.3)
    assert playout.lead == 4000 - 3 * 8, "no mark is out"


def test_a_source_is_gone_when_its_last_piece_was_heard() -> None:
    playout = Playout()
    playout.enqueue(("a", 0), bytes(480))
    playout.enqueue(("b", 0), bytes(480))
    playout.end(("a", 0))
    playout.end(("b", 0))
    names = marks(playout.poll(0.0))
    punctual(playout, names, 0.10)
    assert [cut.source for cut in playout.cuts(0.1)] == [("a", 0), ("b", 0)], "the mark at 960 is not back"
    punctual(playout, names[2:], 0.12, start=0.0)
    assert not playout.busy


def test_a_source_that_was_held_twice_is_gone_when_it_was_heard() -> None:
    playout = Playout()
    playout.enqueue(("a", 0), bytes(1600))
    playout.end(("a", 0))
    playout.poll(0.0)
    playout.hold(0.05)
    assert [cut.samples for cut in playout.cuts(0.05)] == [400]
    playout.release(1.0)
    playout.poll(1.0)
    playout.hold(1.05)
    assert [cut.samples for cut in playout.cuts(1.05)] == [800]
    playout.release(2.0)
    names = marks(playout.poll(2.0))
    for now in (2.0, 2.05, 2.1, 2.15):
        playout.frame(now, now)
    assert playout.busy
    for name in names:
        playout.mark(name, 2.15)
    assert not playout.busy


def test_audio_counts_as_heard_by_the_clock_if_no_mark_is_returned_in_two_seconds() -> None:
    playout = Playout()
    playout.start(10.0)
    playout.enqueue(("answer", 0), bytes(SECOND))
    playout.end(("answer", 0))
    playout.poll(10.5)
    assert len(media(playout.poll(11.2))) > 0 and playout.queued == 0
    assert playout.next_wake(11.2) == pytest.approx(12.0), "the audio is over before it is clear that no mark comes"
    playout.poll(11.99)
    assert playout.confirmed_position == 0 and playout.busy
    playout.poll(12.0)
    assert playout.confirmed_position == SECOND and not playout.busy


def test_the_end_of_the_audio_by_the_clock_is_the_next_wake() -> None:
    playout = Playout()
    playout.start(0.0)
    playout.enqueue(("answer", 0), bytes(4 * SECOND))
    playout.end(("answer", 0))
    now = 0.0
    while playout.queued:
        playout.poll(now)
        now += 0.02
    assert now > 3.0
    left = playout.sent - playout.heard_position(now)
    assert 0 < left < SECOND
    assert playout.next_wake(now) == pytest.approx(now + (left + 1) / SECOND, abs=1e-9)


def test_a_missing_mark_proves_nothing_before_the_first_mark_and_after_300_ms() -> None:
    def heard_at_400_ms(frame_at_s: float) -> int:
        playout = Playout()
        playout.start(0.0)
        for n in range(1, 11):
            playout.frame(n * 0.02, n * 0.02)
        playout.enqueue(("answer", 0), bytes(SECOND))
        playout.poll(0.2)
        playout.frame(frame_at_s, frame_at_s)
        return playout.heard_position(0.4)

    assert heard_at_400_ms(0.3) == pytest.approx(0.12 * SECOND, abs=1), "the mark after 20 ms is still missing"
    assert heard_at_400_ms(0.31) == pytest.approx(0.2 * SECOND, abs=1), "the far end may return no marks at all"


def test_audio_ends_by_the_clock_without_frames_of_the_caller() -> None:
    playout = Playout()
    playout.start(0.0)
    playout.enqueue(("answer", 0), b"\x80" * 24_000)
    playout.end(("answer", 0))
    now: float | None = 0.0
    while now is not None:
        last = now
        playout.poll(now)
        now = playout.next_wake(now)
    assert not playout.busy and last == pytest.approx(3.0, abs=0.01)


def test_what_waits_for_marks_is_bounded_without_them() -> None:
    playout = Playout()
    playout.start(0.0)
    for step in range(3000):
        now = step * 0.02
        playout.enqueue(("answer", 0), b"\x80" * 160)
        playout.poll(now)
        playout.frame(now, now)
    assert playout.sent > 50 * 8000
    assert len(playout._segments) < 400 and len(playout._marks) < 100
    playout.end(("answer", 0))
    for step in range(3000, 3600):
        playout.poll(step * 0.02)
        playout.frame(step * 0.02, step * 0.02)
    assert not playout.busy


def test_a_missing_mark_counts_once_the_far_end_has_returned_one() -> None:
    playout = Playout()
    (probe,) = playout.start(0.0)
    playout.mark(probe.name, 0.05)
    playout.enqueue(("answer", 0), b"\x80" * 80_000)
    for step in range(500):
        playout.poll(step * 0.02)
        playout.frame(step * 0.02, step * 0.02)
    assert playout.sent < 20_000


def test_a_mark_that_stays_out_makes_the_lead_longer() -> None:
    playout = Playout()
    playout.start(0.0)
    playout.enqueue(("a", 0), bytes(SECOND))
    probe, first, *_ = marks(playout.poll(0.0))
    playout.frame(0.0, 0.0)
    playout.mark(probe, 0.0)
    playout.frame(0.02, 0.02)
    playout.mark(first, 0.02)
    assert playout.lead == 3200
    playout.frame(0.2, 0.2)
    assert playout.lead == 3200 + 1600, "the mark at 0.12 s is still out at 0.2 s"


def test_the_lead_grows_to_two_seconds_where_playout_runs_dry() -> None:
    playout = Playout()
    for number in range(1, 12):
        playout.enqueue(("a", 0), bytes(160))
        playout.poll(float(number))
        assert playout.underruns == number - 1
        assert playout.lead == min(16_000, 3200 + 1600 * (number - 1))


def test_the_delay_until_playback_starts_is_learned_for_the_next_run() -> None:
    playout = Playout()
    playout.enqueue(("a", 0), bytes(1600))
    probe, first, *_ = marks(playout.poll(0.0))
    playout.frame(0.0, 0.0)
    playout.mark(probe, 0.0)
    for at in (0.02, 0.04, 0.06, 0.08, 0.1, 0.12):
        playout.frame(at, at)
    playout.mark(first, 0.12)  # 20 ms of audio were over after 120 ms
    playout.stop(0.15)
    playout.enqueue(("b", 0), bytes(1600))
    playout.poll(1.0)
    _, origin = playout.runs[-1]
    assert origin == pytest.approx(1.1, abs=0.001)


def test_a_run_that_is_cleared_ends() -> None:
    playout = Playout()
    playout.enqueue(("a", 0), bytes(1600))
    playout.poll(0.0)
    playout.stop(0.1)
    assert [base for base, _ in playout.runs] == [0, 0]
    playout.start(0.2)
    assert playout.stop(0.2) == ([], []) and len(playout.runs) == 2


def test_the_time_of_the_next_send() -> None:
    playout = Playout()
    assert playout.next_wake(0.0) is None
    playout.enqueue(("a", 0), bytes(159))
    assert playout.next_wake(0.0) is None, "less than a frame"
    playout.enqueue(("a", 0), bytes(1))
    assert playout.next_wake(0.0) == 0.0
    playout.enqueue(("a", 0), bytes(SECOND))
    assert len(media(playout.poll(0.0))) == 3840
    assert playout.next_wake(0.0) == 641 / 8000, "the lead of 400 ms is reached after 80 ms"
    assert playout.poll(0.06) == [], "in steps of 80 ms"
    assert playout.next_wake(0.08) == 0.08
    assert playout.next_wake(0.2) == 0.2
    before = 0.08 - 1 / 8000
    assert playout.next_wake(before) == before + 2 / 8000
    assert len(media(playout.poll(0.08))) == 640
    playout.hold(0.1)
    assert playout.next_wake(0.1) is None
    ambience = Playout(bed=bytes)
    assert ambience.next_wake(0.0) == 0.0
    ambience.hold(0.0)
    assert ambience.next_wake(0.0) is None


def test_audio_that_comes_with_the_last_sample_still_playing_continues_the_run() -> None:
    playout = Playout()
    playout.enqueue(("a", 0), bytes(160))
    playout.poll(0.0)
    playout.enqueue(("a", 0), bytes(160))
    playout.poll(159 / SECOND)
    assert len(playout.runs) == 1 and playout.underruns == 0
    playout.enqueue(("a", 0), bytes(160))
    playout.poll(320 / SECOND)
    assert len(playout.runs) == 3 and playout.underruns == 1


def test_ambience_behind_speech_needs_no_mark_of_its_own() -> None:
    playout = Playout(bed=bytes, mix=lambda speech, bed: speech)
    playout.poll(0.0)
    playout.poll(playout.next_wake(0.0) or 0.0)
    playout.enqueue(("a", 0), b"\x01" * 160)
    playout.end(("a", 0))
    commands = playout.poll(0.2)
    kinds = [len(command.payload) if isinstance(command, Media) else type(command) for command in commands]
    assert kinds[:3] == [160, 640, Mark]


def test_when_a_position_plays_and_a_clear_takes_effect() -> None:
    playout = Playout()
    assert playout.plays_at(0) is None, "nothing was sent"
    (probe,) = marks(playout.start(1.0))
    playout.frame(100.0, 1.0)  # the caller's clock is 99 s ahead
    playout.frame(100.1, 1.1)
    playout.mark(probe, 1.1)  # a way of 100 ms there and back
    assert playout.silent_at(2.0) == pytest.approx(101.1)
    playout.enqueue(("a", 0), bytes(1600))
    playout.poll(2.0)
    origin = playout.silent_at(2.0)
    assert playout.plays_at(0) == pytest.approx(origin)
    assert playout.plays_at(800) == pytest.approx(origin + 0.1)
    playout.stop(2.0)
    playout.enqueue(("b", 0), bytes(1600))
    playout.poll(3.0)
    assert playout.plays_at(0) is None, "it belongs to an earlier run"
    assert playout.plays_at(1600) == pytest.approx(playout.silent_at(3.0))


def test_a_source_that_was_heard_is_not_counted_beyond_its_end() -> None:
    playout = Playout()
    playout.enqueue(("a", 0), bytes(1600))
    playout.enqueue(("b", 0), bytes(1600))
    playout.poll(0.0)
    assert [(cut.source, cut.samples) for cut in playout.cuts(0.3)] == [(("a", 0), 1600), (("b", 0), 800)]


def test_a_mark_that_was_sent_with_the_last_frame_has_arrived() -> None:
    playout = Playout()
    playout.frame(0.0, 0.0)
    playout.enqueue(("a", 0), bytes(SECOND))
    playout.poll(0.0)
    playout.lose_line(0.3)
    assert playout.queued == SECOND - 2400


def test_what_was_sent_after_the_last_frame_has_not_arrived() -> None:
    playout = Playout()
    playout.frame(0.0, 0.0)
    playout.enqueue(("a", 0), bytes(SECOND))
    playout.poll(0.001)
    playout.lose_line(0.3)
    assert playout.queued == SECOND


class Line(RuleBasedStateMachine):
    """Any order of deltas, ends, marks (on time, late, flushed), frames, holds, stops and time."""

    def __init__(self) -> None:
        super().__init__()
        self.playout = Playout()
        self.now = 0.0
        self.items = itertools.count()
        self.current: tuple[str, int] | None = None
        self.enqueued: dict[tuple[str, int], bytes] = {}
        self.dead: set[tuple[str, int]] = set()
        self.out: list[str] = []
        self.position = 0
        self.last_heard = 0

    def take(self, commands: list[Command]) -> None:
        for command in commands:
            if isinstance(command, Mark):
                self.out.append(command.name)
            elif isinstance(command, Media):
                assert len(command.payload) % 160 == 0
                assert command.position == self.position
                self.position += len(command.payload)
                assert sum(part.end - part.start for part in command.segments) == len(command.payload)
                for part in command.segments:
                    if part.source is not None:
                        assert part.source not in self.dead, "a sample of something that was stopped"
                        whole = self.enqueued[part.source]
                        assert part.payload == whole[part.offset : part.offset + part.end - part.start]

    @initialize()
    def begin(self) -> None:
        self.take(self.playout.start(self.now))

    @rule(size=st.integers(1, 4000))
    def delta(self, size: int) -> None:
        if self.current is None:
            self.current = (f"item{next(self.items)}", 0)
            self.enqueued[self.current] = b""
        start = len(self.enqueued[self.current])
        audio = bytes((start + n) % 249 for n in range(size))
        self.enqueued[self.current] += audio
        self.playout.enqueue(self.current, audio)
        self.take(self.playout.poll(self.now))

    @rule()
    def end(self) -> None:
        if self.current is not None:
            self.playout.end(self.current)
            self.current = None
            self.take(self.playout.poll(self.now))

    @rule(seconds=st.floats(0, 1.5))
    def wait(self, seconds: float) -> None:
        until = self.now + seconds
        for _ in range(200):
            wake = self.playout.next_wake(self.now)
            if wake is None or wake > until:
                break
            assert wake >= self.now
            self.now = max(wake, self.now + 1e-6)
            before = self.position
            self.take(self.playout.poll(self.now))
            assert self.position - before <= 2.2 * SECOND
        self.now = max(self.now, until)

    @rule(stamp=st.floats(0, 0.2))
    def frame(self, stamp: float) -> None:
        self.playout.frame(max(0.0, self.now - stamp), self.now)

    @rule(count=st.integers(1, 6))
    def marks_return(self, count: int) -> None:
        for name in self.out[:count]:
            self.playout.mark(name, self.now)
        del self.out[:count]

    @rule(name=st.text(max_size=20))
    def stranger(self, name: str) -> None:
        self.playout.mark(name, self.now)

    @rule()
    def stop(self) -> None:
        commands, cuts = self.playout.stop(self.now)
        self.take(commands)
        order = [int(cut.source[0][4:]) for cut in cuts]
        assert order == sorted(order)
        for index, cut in enumerate(cuts):
            assert 0 <= cut.samples <= len(self.enqueued[cut.source])
            if index and cuts[index - 1].samples < len(self.enqueued[cuts[index - 1].source]):
                assert cut.samples == 0, "what waits behind a cut part was not heard"
        self.dead.update(self.enqueued)
        self.current = None

    @rule()
    def hold(self) -> None:
        self.take(self.playout.hold(self.now))
        assert self.playout.poll(self.now) == []

    @rule()
    def duck(self) -> None:
        self.take(self.playout.duck(self.now, bytes))

    @rule()
    def release(self) -> None:
        self.take(self.playout.release(self.now))
        self.take(self.playout.poll(self.now))

    @invariant()
    def heard_is_never_past_what_was_sent(self) -> None:
        assert 0 <= self.playout.heard_position(self.now) <= self.playout.sent == self.position


Line.TestCase.settings = settings(max_examples=extent(60, 5000), stateful_step_count=40)
TestLine = Line.TestCase
