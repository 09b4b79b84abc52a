"""A player that gets reports of played audio: rows 59 and 61."""

from __future__ import annotations

import pytest

from realtime_core import HeardItem, Player, RealtimePlaybackTracker
from tests.support.session_kit import opened


def heard(tracker: RealtimePlaybackTracker) -> list[tuple[str, float, bool]]:
    return [(item.item_id, item.heard_ms, item.finished) for item in tracker.heard()]


def test_it_is_a_player() -> None:
    player: Player = RealtimePlaybackTracker()
    player.hold()
    player.release()
    assert (list(player.heard()), list(player.stop())) == ([], [])


def test_reports_add_up_and_stay_within_what_was_received() -> None:
    tracker = RealtimePlaybackTracker()
    tracker.play("a", 0, bytes(48 * 1000))
    tracker.on_play_bytes("a", 0, bytes(48 * 100))
    tracker.on_play_ms("a", 0, 150.5)
    assert heard(tracker) == [("a", 250.5, False)]
    assert tracker.get_state() == {"current_item_id": "a", "current_item_content_index": 0, "elapsed_ms": 250.5}
    tracker.on_play_ms("a", 0, 5000)
    assert heard(tracker) == [("a", 1000.0, False)]
    tracker.end("a", 0)
    assert heard(tracker) == [("a", 1000.0, True)]
    assert list(tracker.stop()) == []


def test_nothing_reported_is_nothing_heard() -> None:
    """The reference sends no truncation at all then, and the server believes that everything was heard."""
    tracker = RealtimePlaybackTracker()
    tracker.play("a", 0, bytes(4800))
    assert list(tracker.stop()) == [HeardItem("a", 0, 0.0)]


def test_the_playing_part_and_the_queued_ones_are_cut_and_earlier_ones_were_heard() -> None:
    tracker = RealtimePlaybackTracker()
    for name in "abc":
        tracker.play(name, 0, bytes(48 * 100))
        tracker.end(name, 0)
    tracker.on_play_ms("a", 0, 90)
    tracker.on_play_ms("b", 0, 30)
    assert [(item.item_id, item.heard_ms) for item in tracker.stop()] == [("b", 30.0), ("c", 0.0)]
    assert list(tracker.stop()) == []


def test_reports_that_come_after_the_interruption_are_ghosts() -> None:
    tracker = RealtimePlaybackTracker()
    tracker.play("old", 0, bytes(48 * 100))
    tracker.on_interrupted()
    for name in ("new", "newer"):
        tracker.play(name, 0, bytes(48 * 100))
        tracker.end(name, 0)
    tracker.on_play_ms("new", 0, 99)
    tracker.on_play_ms("newer", 0, 20)
    tracker.on_play_ms("old", 0, 50)
    assert tracker.get_state()["current_item_id"] == "newer"
    assert [(item.item_id, item.heard_ms) for item in tracker.stop()] == [("newer", 20.0)]


def test_what_is_remembered_is_bounded() -> None:
    tracker = RealtimePlaybackTracker()
    for number in range(1000):
        tracker.play(str(number), 0, bytes(48))
        tracker.end(str(number), 0)
        tracker.on_play_ms(str(number), 0, 1)
        if number % 2:
            tracker.stop()
    sizes = [len(tracker._received), len(tracker._played), len(tracker._complete), len(tracker._stopped)]
    assert max(sizes) <= 64


@pytest.mark.virtual_time
async def test_the_session_tells_it_the_format() -> None:
    tracker = RealtimePlaybackTracker()
    async with opened(
        model_config={"playback_tracker": tracker, "initial_model_settings": {"output_audio_format": "g711_ulaw"}}
    ):
        tracker.play("a", 0, bytes(8 * 100))
        tracker.on_play_bytes("a", 0, bytes(80))
        assert heard(tracker) == [("a", 10.0, False)]
