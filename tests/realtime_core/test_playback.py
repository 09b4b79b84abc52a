"""The heard audio, the received audio, and the truncations."""

from __future__ import annotations

import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from benchmarks.extent import extent
from realtime_core.playback import ClockPlayer, HeardItem, PlaybackLedger, Truncation

SECOND = 48_000


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def test_the_playing_part_at_its_position_and_what_waits_behind_at_zero() -> None:
    ledger = PlaybackLedger()
    for item in ("a", "b", "c"):
        ledger.received(item, 0, SECOND)
    ledger.done("a", 0)
    heard = [HeardItem("a", 0, 400.9), HeardItem("b", 0, 0.0), HeardItem("c", 0, 0.0)]
    assert ledger.truncations(heard) == [Truncation("a", 0, 400), Truncation("b", 0, 0), Truncation("c", 0, 0)]
    assert ledger.truncations(heard) == []


def test_never_past_what_was_received_rounded_down() -> None:
    ledger = PlaybackLedger()
    ledger.received("a", 0, 6006)  # 125.125 ms
    assert ledger.truncations([HeardItem("a", 0, 500.0)]) == [Truncation("a", 0, 125)]


def test_what_was_received_adds_up_and_the_oldest_parts_are_forgotten() -> None:
    ledger = PlaybackLedger(max_parts=2)
    for item in ("a", "a", "b"):
        ledger.received(item, 0, 480)
    assert (ledger.received_ms("a", 0), ledger.received_ms("b", 0), len(ledger)) == (20.0, 10.0, 2)
    ledger.received("c", 0, 480)
    assert (ledger.received_ms("a", 0), ledger.received_ms("b", 0), len(ledger)) == (0.0, 10.0, 2)


def test_parts_that_need_no_care_are_forgotten() -> None:
    ledger = PlaybackLedger()
    for item in ("playing", "finished", "open", "cut"):
        ledger.received(item, 0, SECOND)
    ledger.done("playing", 0)
    ledger.done("finished", 0)
    ledger.truncations([HeardItem("cut", 0, 5.0)])
    ledger.forget_heard([HeardItem("playing", 0, 3.0), HeardItem("finished", 0, 1000.0, finished=True)])
    left = {item for item in ("playing", "finished", "open", "cut") if ledger.received_ms(item, 0)}
    assert left == {"playing", "open"}


def test_a_part_that_is_not_truncated_hides_none_behind_it() -> None:
    ledger = PlaybackLedger()
    for item in ("whole", "cut"):
        ledger.received(item, 0, SECOND)
    ledger.done("whole", 0)
    heard = [HeardItem("unknown", 0, 1.0), HeardItem("whole", 0, 1000.0), HeardItem("cut", 0, -3.0)]
    assert ledger.truncations(heard) == [Truncation("cut", 0, 0)]


def test_a_clock_that_was_held_and_stopped_plays_again() -> None:
    clock = Clock()
    player = ClockPlayer(clock)
    player.play("a", 0, bytes(SECOND))
    player.hold()
    player.stop()
    player.play("b", 0, bytes(SECOND))
    clock.now += 0.5
    assert player.heard() == [HeardItem("b", 0, pytest.approx(500.0))]  # type: ignore[arg-type]


def test_none_for_what_was_heard_to_its_end_or_never_received() -> None:
    ledger = PlaybackLedger()
    for item in ("finished", "all of it"):
        ledger.received(item, 0, SECOND)
        ledger.done(item, 0)
    ledger.received("empty", 0, 0)
    heard = [
        HeardItem("finished", 0, 900.0, finished=True),
        HeardItem("all of it", 0, 1000.0),
        HeardItem("empty", 0, 0.0),
        HeardItem("unheard of", 0, 10.0),
    ]
    assert ledger.truncations(heard) == []


def test_a_part_that_ran_dry_before_its_end_is_truncated_where_it_stands() -> None:
    ledger = PlaybackLedger()
    ledger.received("a", 0, SECOND)
    assert ledger.truncations([HeardItem("a", 0, 1000.0)]) == [Truncation("a", 0, 1000)]


@pytest.mark.parametrize("heard_ms", [-5.0, math.nan, math.inf, -math.inf])
def test_a_player_that_cannot_count(heard_ms: float) -> None:
    ledger = PlaybackLedger(8)
    ledger.received("a", 1, 8000)
    assert ledger.truncations([HeardItem("a", 1, heard_ms)]) == [Truncation("a", 1, 1000 if heard_ms > 0 else 0)]


def test_g711_has_eight_bytes_a_millisecond() -> None:
    ledger = PlaybackLedger(8)
    ledger.received("a", 0, 804)
    assert ledger.received_ms("a", 0) == 100.5
    assert ledger.received_ms("b", 0) == 0.0


def test_the_ledger_does_not_grow_with_the_call() -> None:
    ledger, clock = PlaybackLedger(), Clock()
    player = ClockPlayer(clock)
    for number in range(1000):
        ledger.forget_heard(player.heard())
        ledger.received(f"item_{number}", 0, SECOND)
        ledger.done(f"item_{number}", 0)
        player.play(f"item_{number}", 0, bytes(SECOND))
        player.end(f"item_{number}", 0)
        clock.now += 1.5
        assert len(ledger) <= 2
    for number in range(1000):
        ledger.received(f"unheard_{number}", 0, 1)
    assert len(ledger) <= 256


def test_an_undisturbed_clock() -> None:
    clock = Clock()
    player = ClockPlayer(clock)
    player.play("a", 0, bytes(SECOND))
    clock.now += 0.25
    assert player.heard() == [HeardItem("a", 0, 250.0)]
    player.play("b", 0, bytes(SECOND))
    player.end("a", 0)
    clock.now += 1.0
    (b,) = player.heard()
    assert (b.item_id, b.heard_ms) == ("b", pytest.approx(250.0))
    assert [each.item_id for each in player.stop()] == ["b"]
    assert player.stop() == [] and player.heard() == []


def test_a_playhead_that_runs_dry_waits() -> None:
    clock = Clock()
    player = ClockPlayer(clock)
    player.play("a", 0, bytes(SECOND))
    clock.now += 5.0
    assert player.heard() == [HeardItem("a", 0, 1000.0)]
    player.play("a", 0, bytes(SECOND))
    clock.now += 0.5
    (a,) = player.stop()
    assert a.heard_ms == pytest.approx(1500.0)


def test_hold_and_release() -> None:
    clock = Clock()
    player = ClockPlayer(clock)
    player.release()
    player.play("a", 0, bytes(SECOND))
    clock.now += 0.25
    player.hold()
    clock.now += 10.0
    player.hold()
    player.release()
    clock.now += 0.25
    (a,) = player.stop()
    assert a.heard_ms == pytest.approx(500.0)
    player.hold()
    player.stop()
    player.play("b", 0, bytes(SECOND))
    clock.now += 0.1
    assert player.heard()[0].heard_ms == pytest.approx(100.0), "stop() ends a hold"


def test_what_ends_when_it_was_heard_is_gone() -> None:
    clock = Clock()
    player = ClockPlayer(clock)
    player.play("a", 0, bytes(SECOND))
    clock.now += 2.0
    player.end("a", 0)
    assert player.stop() == []
    player.end("never played", 0)


class PlaybackMachine(RuleBasedStateMachine):
    """A model that sends and a listener who hears, in any order. A message that the server would refuse must never be
    sent.
    """

    def __init__(self) -> None:
        super().__init__()
        self.clock = Clock()
        self.player = ClockPlayer(self.clock)
        self.ledger = PlaybackLedger()
        self.received: dict[tuple[str, int], int] = {}
        self.done: set[tuple[str, int]] = set()
        self.truncated: dict[tuple[str, int], int] = {}
        self.heard: dict[tuple[str, int], float] = {}
        self.current = 0

    parts = st.tuples(st.sampled_from(["x", "y"]), st.integers(0, 1))

    @rule(part=parts, n_samples=st.integers(0, 30_000))
    def receive(self, part: tuple[str, int], n_samples: int) -> None:
        part = (f"{part[0]}{self.current}", part[1])
        if part in self.done or part in self.truncated:
            return
        self.received[part] = self.received.get(part, 0) + 2 * n_samples
        self.ledger.received(*part, 2 * n_samples)
        self.player.play(*part, bytes(2 * n_samples))

    @rule(part=parts)
    def end(self, part: tuple[str, int]) -> None:
        part = (f"{part[0]}{self.current}", part[1])
        if part in self.received:
            self.done.add(part)
            self.ledger.done(*part)
            self.player.end(*part)

    @rule(dt=st.floats(0, 2))
    def time_passes(self, dt: float) -> None:
        self.clock.now += dt

    @rule(held=st.booleans())
    def hold(self, held: bool) -> None:
        (self.player.hold if held else self.player.release)()

    @rule()
    def forget(self) -> None:
        self.ledger.forget_heard(self.player.heard())

    @rule()
    def interrupt(self) -> None:
        stopped = self.player.stop()
        for cut in self.ledger.truncations(stopped):
            part = (cut.item_id, cut.content_index)
            assert part not in self.truncated, "truncated twice"
            assert self.received[part] > 0, "no audio"
            assert 0 <= cut.audio_end_ms <= self.received[part] // 48, "past what was received"
            assert cut.audio_end_ms <= self.heard.get(part, 0.0) + 1e-6, "past what was heard"
            self.truncated[part] = cut.audio_end_ms
        whole = {part for part in self.done if part not in self.truncated}
        for each in stopped:
            part = (each.item_id, each.content_index)
            if self.received.get(part, 0) and part not in whole:
                assert part in self.truncated, "cut, and the server does not know"
        assert self.player.heard() == []
        self.current += 1

    @invariant()
    def heard_only_grows(self) -> None:
        for each in self.player.heard():
            part = (each.item_id, each.content_index)
            assert each.heard_ms >= self.heard.get(part, 0.0) - 1e-9
            assert each.heard_ms <= self.received[part] / 48 + 1e-6
            self.heard[part] = each.heard_ms


PlaybackMachine.TestCase.settings = settings(max_examples=extent(60, 5000), stateful_step_count=40)
test_no_truncation_that_the_server_would_refuse = PlaybackMachine.TestCase


@given(st.lists(st.tuples(st.integers(1, 5000), st.floats(0, 1)), min_size=1, max_size=30))
def test_the_clock_neither_gains_nor_loses(pieces: list[tuple[int, float]]) -> None:
    clock = Clock()
    player = ClockPlayer(clock)
    expected, left = 0.0, 0.0
    for n_bytes, dt in pieces:
        player.play("a", 0, bytes(n_bytes))
        left += n_bytes / 48
        played = min(left, dt * 1000)
        expected, left = expected + played, left - played
        clock.now += dt
    assert player.heard()[0].heard_ms == pytest.approx(expected, abs=1e-3)


def test_less_than_a_millisecond_counts() -> None:
    clock = Clock()
    player = ClockPlayer(clock)
    player.play("a", 0, bytes(SECOND))
    for _ in range(4):
        clock.now += 0.00025
        player.heard()
    assert player.heard()[0].heard_ms == pytest.approx(1.0)


def test_a_part_of_several_pieces_is_heard_to_its_end() -> None:
    clock = Clock()
    player = ClockPlayer(clock)
    player.play("a", 0, bytes(4800))
    player.play("b", 0, bytes(4800))
    player.play("a", 0, bytes(4800))
    player.end("a", 0)
    clock.now += 0.25
    assert [(each.item_id, each.heard_ms) for each in player.heard()] == [
        ("a", pytest.approx(150.0)),
        ("b", pytest.approx(100.0)),
    ]
    clock.now += 0.06
    assert [each.item_id for each in player.heard()] == ["b"]
