"""The estimate of the playhead alone: what each observation proves, and what it must not change."""

from __future__ import annotations

import random

import pytest

from telephony.call.line.playhead import LineClock, Playhead

RATE = 8000
WAY = 0.05


def steady(seconds: float = 2.0, *, offset: float = 3.0, drift_ppm: float = 0.0, jitter: float = 0.0) -> LineClock:
    """A line of 50 ms each way, whose far clock is `offset` behind ours."""
    line, rng, last = LineClock(), random.Random(1), 0.0
    for number in range(int(seconds * 50)):
        stamp = number * 0.02
        arrival = stamp / (1 + drift_ppm * 1e-6) + offset + WAY + rng.uniform(0, jitter)
        last = max(last, arrival)
        line.frame(stamp, last)
    return line


def far(now: float, offset: float = 3.0) -> float:
    """Returns the time on the far clock."""
    return now - offset


def test_a_probe_gives_the_way_there() -> None:
    line = steady(2.06)
    sent = 5.0
    assert line.probe(sent, sent + 2 * WAY) == pytest.approx(far(sent) + WAY)
    assert line.round_trip == pytest.approx(2 * WAY)
    assert line.effect(6.0) == line.expected_effect(6.0) == pytest.approx(far(6.0) + WAY)


def test_a_clock_that_drifts_is_followed_without_another_probe() -> None:
    line = LineClock()
    ppm = 100e-6
    for number in range(50):
        line.frame(number * 0.02 * (1 + ppm), number * 0.02 + WAY)
    line.probe(0.5, 0.5 + 2 * WAY)
    for number in range(50, 30_000):
        line.frame(number * 0.02 * (1 + ppm), number * 0.02 + WAY)
    now = 600.0
    assert line.effect(now) == pytest.approx((now + WAY) * (1 + ppm), abs=0.001)


def test_an_arrival_is_dated_between_the_frames_that_enclose_it() -> None:
    line = steady(jitter=0.05)
    stamp = 100 * 0.02
    held_up = stamp + 3.0 + WAY + 0.5  # the whole socket was held up for half a second
    line.frame(stamp, held_up)
    earliest, latest = line.date(held_up + 0.001)
    assert (earliest, latest) == pytest.approx((stamp, stamp + 0.02))


def test_a_run_is_predicted_until_marks_speak_and_then_exact() -> None:
    line = steady()
    line.probe(4.9, 4.9 + 2 * WAY)
    run = Playhead(line, 1000, RATE, sent_at=5.0, start_delay=0.0)
    assert run.position(line.effect(5.5)) == pytest.approx(1000 + 0.5 * RATE, abs=1)
    started = far(5.0) + WAY + 0.150  # Twilio began 150 ms late
    for position in (1160, 1960, 2760):
        played = started + (position - 1000) / RATE
        line.frame(played - 0.005, played - 0.005 + 3.0 + WAY)
        run.played(position, played + 3.0 + WAY)
    assert run.origin == pytest.approx(started, abs=0.001)
    run.arrived(far(5.0) + WAY)
    assert run.start_delay == pytest.approx(0.150, abs=0.001)


def test_a_mark_that_stays_out_proves_that_playout_stalled() -> None:
    line = steady()
    run = Playhead(line, 0, RATE, sent_at=5.0, start_delay=0.0)
    run.arrived(2.05)
    line.frame(2.06, 2.06 + 3.0 + WAY)
    assert not run.played(160, 2.07 + 3.0 + WAY)
    assert not run.waiting(960, 2.10)
    assert run.waiting(960, 2.67), "a mark due at 2.17 is still out at 2.67"
    assert run.position(2.67) == 960
    assert run.shifts == 1


def test_what_was_taken_for_a_stall_is_forgotten_when_it_does_not_persist() -> None:
    line = steady()
    run = Playhead(line, 0, RATE, sent_at=5.0, start_delay=0.0)
    line.frame(2.06, 2.06 + 3.0 + WAY)
    run.played(160, 2.07 + 3.0 + WAY)
    before = run.origin
    run.waiting(960, 2.40)  # this one mark was sent late
    assert run.origin > before + 0.2
    line.frame(2.44, 2.44 + 3.0 + WAY)
    run.played(960, 2.445 + 3.0 + WAY)
    line.frame(2.44, 2.45 + 3.0 + WAY)
    played = before + 3200 / RATE
    line.frame(played - 0.005, played - 0.005 + 3.0 + WAY)
    run.played(3200, played + 3.0 + WAY)
    assert run.origin == pytest.approx(before, abs=0.001)


def test_nothing_plays_before_the_run() -> None:
    run = Playhead(LineClock(), 500, RATE, sent_at=5.0, start_delay=0.2)
    assert run.position(4.0) == run.position(5.2) == 500


def jittery() -> LineClock:
    """A line without delays, whose frames come 10 ms late on average."""
    line = LineClock()
    for stamp, now in ((0.0, 0.0), (0.02, 0.04)):
        line.frame(stamp, now)
    assert (line.up, line.jitter) == (0.0, pytest.approx(0.01))
    return line


def test_the_origin_is_expected_below_its_bounds_and_nearer_with_each_of_them() -> None:
    line = jittery()
    run = Playhead(line, 0, RATE, sent_at=0.0, start_delay=0.0)
    for number in range(4):
        now = 1.0 + number * 0.01
        line.frame(now - 0.015, now)
        run.played(number * 80, now)
        assert run.origin == pytest.approx(1.0 - 2 * line.jitter / (number + 2))


def test_the_count_of_bounds_begins_again_after_a_shift() -> None:
    line = jittery()
    run = Playhead(line, 0, RATE, sent_at=0.0, start_delay=0.0)
    line.frame(0.985, 1.0)
    run.played(0, 1.0)
    assert run.waiting(160, 1.5)
    line.frame(1.585, 1.6)
    run.played(160, 1.6)
    assert run.origin == pytest.approx(1.58 - 2 * line.jitter / 2)


def test_each_shift_of_the_playback_is_reported_and_counted() -> None:
    line = LineClock()
    line.frame(0.0, 0.0)
    run = Playhead(line, 100, RATE, sent_at=0.0, start_delay=0.0)
    assert run.played(100, 0.0) is False
    for number in (1, 2):
        line.frame(float(number), float(number))
        assert run.played(100, float(number)) is True, "the frame before the mark proves it"
        assert run.shifts == number
    assert run.waiting(260, 2.02) is False
    assert run.waiting(260, 3.02) is True
    assert (run.origin, run.shifts) == (pytest.approx(3.0), 3)


def test_a_bound_below_what_is_known_moves_nothing() -> None:
    line = LineClock()
    line.frame(0.0, 0.0)
    run = Playhead(line, 0, RATE, sent_at=0.0, start_delay=0.0)
    run.played(0, 0.0)
    assert run.waiting(160, 0.0195) is False, "half a millisecond before the origin"
    assert run.waiting(160, 0.0205) is False, "within the tolerance of one millisecond"
    assert run.shifts == 0 and run.origin == pytest.approx(0.0005)
    assert run.waiting(160, 0.0225) is True


def test_a_mark_that_fits_what_is_known_keeps_it() -> None:
    line = jittery()
    run = Playhead(line, 0, RATE, sent_at=0.0, start_delay=0.0)
    run.waiting(160, 0.52)
    line.frame(0.485, 0.5)
    run.played(0, 0.5)
    assert run.origin == pytest.approx(0.5), "not 10 ms earlier, which the jitter would allow"
    run.played(0, 0.4985)
    assert run.origin < 0.498, "but a mark that contradicts it counts"


def test_a_bound_counts_for_eight_seconds() -> None:
    line = LineClock()
    run = Playhead(line, 0, RATE, sent_at=0.0, start_delay=0.0)
    for number, second in enumerate((0, 4, 8, 9)):
        line.frame(100.0 + second, float(second))
        line.frame(100.0 + second - 0.015, float(second))
        run.played(max(0, round((second - 0.005) * RATE)), float(second))
        bound = 100.005 if second == 9 else 100.0
        assert run.origin == pytest.approx(bound - 2 * line.jitter / (number + 2), abs=1e-6)


def test_an_arrival_counts_for_eight_seconds() -> None:
    line = LineClock()
    line.frame(0.0, 0.5)
    for second in range(1, 12):
        line.frame(second - 0.51, float(second))
        assert line.up == pytest.approx(0.5 if second < 8 else 0.51)
        assert line.jitter == pytest.approx(0.01 * second / (second + 1) if second < 8 else 0.0)


def test_the_expected_delay_is_the_mean_of_the_probes_without_those_that_a_stall_delayed() -> None:
    line = LineClock()
    line.frame(0.0, 10.0)
    assert line.expected_effect(11.0) == pytest.approx(1.0), "before the first probe"
    for sent_at, round_trip in ((20.0, 0.1000), (21.0, 0.1004), (22.0, 0.5)):
        line.frame(sent_at + round_trip - 10.0, sent_at + round_trip)
        line.probe(sent_at, sent_at + round_trip)
    assert line.jitter == pytest.approx(0.0, abs=1e-9)
    for _ in range(2):
        assert line.expected_effect(30.0) == pytest.approx(20.0 + 0.1002, abs=1e-6)


@pytest.mark.parametrize(("later", "counts"), [(0.038, True), (0.049, False)])
def test_a_probe_counts_as_delayed_if_it_took_four_mean_delays_longer_than_the_shortest(
    later: float, counts: bool
) -> None:
    line = jittery()
    for sent_at, round_trip in ((1.0, 0.1), (2.0, 0.1 + later)):
        line.frame(sent_at + round_trip - 0.01, sent_at + round_trip)
        line.probe(sent_at, sent_at + round_trip)
    shortest, other = sorted(line._trips)
    assert other - shortest == pytest.approx(later)
    usual = (shortest + other) / 2 if counts else shortest
    assert line.expected_effect(3.0) == pytest.approx(3.0 + usual - line.up)


def test_a_probe_is_dated_at_most_two_mean_delays_before_the_latest_time() -> None:
    line = LineClock()
    for stamp, now in ((0.0, 0.0), (0.02, 0.03)):
        line.frame(stamp, now)
    assert (line.up, line.jitter) == (0.0, pytest.approx(0.005))
    assert line.date(0.038) == (0.02, pytest.approx(0.038))
    assert line.probe(0.0, 0.038) == pytest.approx((0.028 + 0.038) / 2)


def test_only_the_newest_probes_count() -> None:
    line = LineClock()
    line.frame(0.0, 0.0)
    for n in range(50):
        at = float(n)
        trip = 0.1 if n == 0 else 0.2
        line.frame(at + trip, at + trip)
        line.probe(at, at + trip)
    assert line.round_trip == pytest.approx(0.2), "the first probe is forgotten"
