"""A player that gets reports of played audio: rows 59 and 61."""

from __future__ import annotations

import pytest

from realtime_core import (
    HeardItem,
    Player,
    RealtimeAgent,
    RealtimeModelConfig,
    RealtimePlaybackState,
    RealtimePlaybackTracker,
    RealtimeRunner,
    UserError,
)
from realtime_core.model import player_of
from tests.support.realtime_peer import Peer, settle
from tests.support.session_kit import opened


def heard(tracker: RealtimePlaybackTracker) -> list[tuple[str, float, bool]]:
    return [(item.item_id, item.heard_ms, item.finished) for item in tracker.heard()]


def test_a_playback_tracker_is_a_player() -> None:
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
async def test_a_playback_tracker_gets_the_audio_format_from_the_session() -> None:
    tracker = RealtimePlaybackTracker()
    async with opened(
        model_config={"playback_tracker": tracker, "initial_model_settings": {"output_audio_format": "g711_ulaw"}}
    ):
        tracker.play("a", 0, bytes(8 * 100))
        tracker.on_play_bytes("a", 0, bytes(80))
        assert heard(tracker) == [("a", 10.0, False)]


class OwnPosition(RealtimePlaybackTracker):
    """A tracker that gets the position from elsewhere, for example from a browser."""

    elapsed_ms: object = 250.0
    interruptions = 0

    def get_state(self) -> RealtimePlaybackState:
        return {"current_item_id": "a", "current_item_content_index": 0, "elapsed_ms": self.elapsed_ms}  # type: ignore[typeddict-item]

    def on_interrupted(self) -> None:
        self.interruptions += 1
        raise LookupError("the browser has gone")


def foreign(tracker: object) -> Player:
    player = player_of({"playback_tracker": tracker})  # type: ignore[typeddict-item]
    assert player is not None
    return player


class Shaped:
    """A tracker of another class, as that of the SDK."""

    interruptions = 0

    def get_state(self) -> dict[str, object]:
        return {"current_item_id": "a", "current_item_content_index": 0, "elapsed_ms": 250.0}

    def on_interrupted(self) -> None:
        self.interruptions += 1


@pytest.mark.parametrize("kind", [OwnPosition, Shaped])
def test_the_position_that_a_users_tracker_returns_counts(kind: type[OwnPosition | Shaped]) -> None:
    tracker = kind()
    player = foreign(tracker)
    player.play("a", 0, bytes(48 * 1000))
    player.play("b", 0, bytes(48 * 1000))
    assert list(player.stop()) == [HeardItem("a", 0, 250.0), HeardItem("b", 0, 0.0)]
    assert tracker.interruptions == 1 and list(player.heard()) == []


def test_a_part_is_heard_to_its_end_when_nothing_plays_any_more() -> None:
    """A tracker reports None between two answers."""

    class Idle(Shaped):
        state: tuple[str | None, float | None] = ("a", 950.0)

        def get_state(self) -> dict[str, object]:
            return {"current_item_id": self.state[0], "current_item_content_index": 0, "elapsed_ms": self.state[1]}

    tracker = Idle()
    player = foreign(tracker)
    player.play("a", 0, bytes(48 * 1000))
    player.end("a", 0)
    assert list(player.heard()) == [HeardItem("a", 0, 950.0)]
    tracker.state = (None, None)
    assert list(player.heard()) == [HeardItem("a", 0, 1000.0, finished=True)]
    player.play("b", 0, bytes(48 * 1000))
    assert list(player.heard()) == [HeardItem("a", 0, 1000.0, finished=True), HeardItem("b", 0, 0.0)]
    assert list(player.stop()) == [HeardItem("b", 0, 0.0)]
    tracker.state = (None, None)
    player.play("c", 0, bytes(48 * 1000))
    assert list(player.heard()) == [HeardItem("c", 0, 0.0)]


@pytest.mark.parametrize("piece", [480, 640, 960, 1024, 4096])
def test_reports_in_pieces_of_any_size_reach_the_end(piece: int) -> None:
    for pieces in (7, 19, 40):
        tracker = RealtimePlaybackTracker()
        for _ in range(pieces):
            tracker.play("a", 0, bytes(4800))
        tracker.end("a", 0)
        left = 4800 * pieces
        while left:
            tracker.on_play_bytes("a", 0, bytes(min(piece, left)))
            left -= min(piece, left)
        assert heard(tracker) == [("a", tracker.heard()[0].heard_ms, True)] and not tracker.stop()


@pytest.mark.parametrize("elapsed_ms", [-5, None, "much", [], 10**12])
def test_no_position_of_a_users_tracker_stops_the_session(elapsed_ms: object) -> None:
    tracker = OwnPosition()
    tracker.elapsed_ms = elapsed_ms
    tracker.play("a", 0, bytes(48 * 1000))
    (heard,) = tracker.stop()
    assert heard.heard_ms == (1000.0 if elapsed_ms == 10**12 else 0.0)


def test_an_object_that_is_no_tracker_is_refused() -> None:
    with pytest.raises(UserError, match="playback_tracker"):
        foreign(object())


@pytest.mark.virtual_time
async def test_a_session_truncates_at_the_position_of_a_users_tracker() -> None:
    peer, tracker = Peer(), Shaped()
    config: RealtimeModelConfig = {**peer.config, "playback_tracker": tracker}  # type: ignore[typeddict-item]
    async with await RealtimeRunner(RealtimeAgent(name="Desk")).run(model_config=config) as session:
        peer.respond()
        peer.audio(1000, "a")
        await settle(0.1)
        await session.interrupt()
        await settle(0.1)
        (cut,) = [each for each in peer.sent if each["type"] == "conversation.item.truncate"]
        assert cut["audio_end_ms"] == 250 and tracker.interruptions == 1
