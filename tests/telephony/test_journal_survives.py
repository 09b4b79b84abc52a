"""A server that is killed in mid-call leaves its journals behind. `make proof` kills more servers."""

from __future__ import annotations

from benchmarks.kill import kill_in_mid_call


def test_a_server_killed_in_mid_call_loses_a_second_at_most() -> None:
    survivors = kill_in_mid_call(2, seed=1)
    assert len(survivors) == 2
    for survivor in survivors:
        assert survivor.lost_s <= 1.0, survivor
        assert survivor.wav_is_whole, survivor
