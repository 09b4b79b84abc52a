"""The queue with a bound."""

from __future__ import annotations

import tracemalloc

import pytest
from hypothesis import given
from hypothesis import strategies as st

from realtime_core.audio.resample import Upsampler3
from realtime_core.bounded_queue import BoundedQueue
from realtime_core.openai_realtime.recovery import RecentAudio

pieces = st.lists(st.binary(max_size=50), max_size=60)


@given(pieces, st.integers(1, 300))
def test_a_queue_that_may_drop_keeps_the_newest(given: list[bytes], limit: int) -> None:
    queue = BoundedQueue[bytes](limit, len, may_drop=lambda item: True)
    for piece in given:
        assert queue.put(piece)
        assert queue.size <= max(limit, len(piece))
    kept = b"".join(queue.take())
    whole = b"".join(given)
    assert whole.endswith(kept) and len(kept) + queue.dropped == len(whole)
    assert queue.size == len(queue) == 0 and queue.take() == []


@given(pieces, st.integers(1, 300))
def test_a_queue_that_may_not_drop_keeps_the_oldest_and_refuses(given: list[bytes], limit: int) -> None:
    queue = BoundedQueue[bytes](limit, len)
    taken = [piece for piece in given if queue.put(piece)]
    assert list(queue) == taken and queue.size == sum(map(len, taken)) and queue.dropped == 0
    assert queue.size <= limit or len(queue) == 1


@given(st.lists(st.integers(-20, 20).filter(bool), max_size=60), st.integers(1, 60))
def test_only_items_that_may_be_dropped_are_dropped(given: list[int], limit: int) -> None:
    """Negative numbers may be dropped; the size is the absolute value."""
    dropped: list[int] = []
    queue = BoundedQueue[int](limit, abs, may_drop=lambda item: item < 0, on_drop=dropped.append)
    taken = [number for number in given if queue.put(number)]
    left = list(queue)
    assert all(number < 0 for number in dropped) and queue.dropped == -sum(dropped)
    assert sorted([*left, *dropped]) == sorted(taken)
    assert [number for number in taken if number > 0] == [number for number in left if number > 0]


@given(pieces, st.integers(0, 200))
def test_the_last_of_the_audio_can_be_kept(given: list[bytes], size: int) -> None:
    audio = RecentAudio(10_000)
    for piece in given:
        audio.put(piece)
    audio.keep_last(size)
    kept, left = audio.size, audio.take()
    assert left == given[len(given) - len(left) :] and audio.dropped == 0
    assert kept == sum(map(len, left)) >= min(size, sum(map(len, given)))
    assert not left or kept - len(left[0]) < size
    assert audio.size == 0 and not audio.take()


@given(pieces, st.integers(0, 100))
def test_the_oldest_audio_beyond_the_limit_is_dropped_and_counted(given: list[bytes], limit: int) -> None:
    audio = RecentAudio(limit)
    for piece in given:
        audio.put(piece)
    left = audio.take()
    assert left == given[len(given) - len(left) :]
    assert audio.dropped == sum(map(len, given)) - sum(map(len, left))
    assert sum(map(len, left)) <= limit or len(left) == 1
    if len(left) < len(given):  # no piece was dropped without need
        assert sum(map(len, given[len(given) - len(left) - 1 :])) > limit


@given(st.lists(st.tuples(st.binary(min_size=31, max_size=170), st.booleans())), st.integers(0, 8), st.integers(0, 900))
def test_upsampled_audio_comes_out_as_it_was(given: list[tuple[bytes, bool]], taken_at: int, size: int) -> None:
    """It is stored as mu-law. Pieces of both kinds may be mixed, and the filter needs the piece before the first."""
    audio, up = RecentAudio(4000), Upsampler3()
    pieces: list[bytes] = []
    for number, (piece, is_upsampled) in enumerate(given):
        if number == taken_at:
            left = audio.take()
            assert left == pieces[len(pieces) - len(left) :]
        pieces.append(up.push_ulaw(piece) if is_upsampled else piece)
        audio.put(pieces[-1], piece if is_upsampled else None)
    audio.keep_last(size)
    kept, left = audio.size, audio.take()
    assert left == pieces[len(pieces) - len(left) :] and kept == sum(map(len, left))
    assert audio.size == 0 and not audio.take()


def test_upsampled_audio_takes_little_memory() -> None:
    up, audio = Upsampler3(), RecentAudio(480_000)
    tracemalloc.start()
    try:
        before, _ = tracemalloc.get_traced_memory()
        for number in range(500):
            ulaw = bytes([number % 256]) * 160
            audio.put(up.push_ulaw(ulaw), ulaw)
        after, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert audio.size == 480_000 and after - before < 200_000


def test_items_come_out_in_order() -> None:
    queue = BoundedQueue[str](2)
    assert [queue.put(item) for item in "abc"] == [True, True, False]
    assert [queue.popleft(), queue.popleft()] == ["a", "b"]
    with pytest.raises(IndexError):
        queue.popleft()
