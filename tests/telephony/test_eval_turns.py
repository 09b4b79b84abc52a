"""The noise and backchannel suite, noise suppression, and planted regressions: the short forms of the proofs."""

from __future__ import annotations

import sys
from collections import Counter
from pathlib import Path

import pytest

from benchmarks.evals import PLANTED, run_once, write_personas
from benchmarks.turns import SUPPRESSION_LIMIT_MS, suppression_ms_per_s
from realtime_core import RealtimeAgent
from realtime_core.audio import g711
from telephony import create_app
from telephony.audio.noise_suppression import NoiseSuppressor
from telephony.errors import SettingsError
from telephony.evals.turn_suite import Policy, TurnClip, figures_of, is_cut_by, turn_clips


def named(name: str) -> TurnClip:
    (clip,) = (clip for clip in turn_clips() if clip.name == name)
    return clip


def test_the_suite_has_sixty_clips_of_all_kinds_with_sources_and_licences() -> None:
    clips = turn_clips()
    kinds = Counter(clip.kind for clip in clips)
    assert len(clips) >= 60 and sum(clip.turn for clip in clips) >= 25
    assert {"speech", "backchannel", "cough", "music", "street", "second speaker", "DTMF", "silence", "low level",
            "packet loss"} <= kinds.keys()  # fmt: skip
    assert all(clip.source and clip.licence in ("MIT", "CC BY-SA 3.0", "CC BY 3.0") for clip in clips)
    assert sum(len(clip.ulaw) for clip in clips) < 2_000_000


@pytest.mark.parametrize(
    ("name", "policy", "suppressed", "cut"),
    [
        ("human-en-booking", Policy.SERVER, False, True),
        ("human-en-booking", Policy.OURS, False, True),
        ("human-en-booking", Policy.OURS_LONGER, True, True),
        ("cough-1", Policy.SERVER, False, True),
        ("cough-1", Policy.OURS_LONGER, False, False),
        ("white-46", Policy.OURS, False, True),
        ("white-46", Policy.OURS, True, False),
        ("silence-70", Policy.SERVER, False, False),
    ],
)
def test_a_sound_over_the_agents_voice(name: str, policy: Policy, suppressed: bool, cut: bool) -> None:
    assert is_cut_by(named(name), policy, noise_suppression=suppressed) is cut


def test_the_figures_count_wrong_clips() -> None:
    clips = [named("human-en-booking"), named("cough-1"), named("silence-70")]
    figures = figures_of(Policy.SERVER, clips)
    assert (figures.false_cuts, figures.misses) == ((1, 2), (0, 1))
    assert figures.by_kind == {"speech": (0, 1), "cough": (1, 1), "silence": (0, 1)}


def test_noise_suppression_keeps_silence_and_the_length() -> None:
    suppress = NoiseSuppressor()
    assert [suppress(g711.SILENCE * n) for n in (160, 160, 100, 0)] == [g711.SILENCE * n for n in (160, 160, 100, 0)]


def test_noise_suppression_costs_little() -> None:
    """The limit is for an idle machine. Process time also grows when caches are shared."""
    assert min(suppression_ms_per_s(4) for _ in range(3)) < 3 * SUPPRESSION_LIMIT_MS


def test_noise_suppression_without_its_library_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "webrtc_noise_gain", None)
    with pytest.raises(SettingsError, match=r"telephony-agent\[noise\]"):
        create_app(RealtimeAgent(name="Desk"), noise_suppression=True)


@pytest.mark.proof
def test_a_planted_regression_is_found(tmp_path: Path) -> None:
    """One run of one of them. `python -m benchmarks.evals` makes twenty runs of all, and of an unchanged agent."""
    planted = PLANTED[0]
    (verdicts,) = run_once([planted], write_personas(tmp_path, 1), pairs=lambda each: 9, seed=3, workers=1).values()
    assert planted.is_right(verdicts) and not planted.besides(verdicts)
