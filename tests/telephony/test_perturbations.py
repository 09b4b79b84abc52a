"""Faults in replays: each perturbation has an effect, today's code handles it, and one seed repeats it."""

from __future__ import annotations

import dataclasses
import itertools
import json
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from typer.testing import CliRunner

from benchmarks.extent import extent
from telephony.cli.app import app
from telephony.errors import ReplayError
from telephony.journal.audio import pcm_of
from telephony.replay.call import ReplayedCall
from telephony.replay.perturbation import Perturbation, Perturbations, perturbation_of
from telephony.replay.replaying import replay_call
from tests.support.recorded_calls import AGENT, recorded

ARGUMENTS = {"day": "Friday", "people": 2, "time": "19:00"}


def _frames(call: ReplayedCall) -> list[float]:
    return [record.t for record in call.records if record.kind == "twilio.in" and record.event == "media"]


def _marks(call: ReplayedCall, way: str) -> int:
    return sum(record.kind == f"twilio.{way}" and record.event == "mark" for record in call.records)


def _noise(call: ReplayedCall) -> None:
    quiet = pcm_of(call.audio.caller[:8000]).astype(float)
    assert 150 < np.sqrt((quiet**2).mean()) < 220  # 32768 * 10 ** (-45 / 20) is 184
    assert call.divergence is None, call.divergence


def _loss(call: ReplayedCall) -> None:
    assert call.figures.counts["caller_gaps"] > 20 and call.original.figures.counts["caller_gaps"] == 0


def _jitter(call: ReplayedCall) -> None:
    late = [now - then for now, then in zip(_frames(call), _frames_then(call), strict=True)]
    assert min(late) >= 0.0 and 0.035 < max(late) <= 0.0401 and _frames(call) == sorted(_frames(call))


def _frames_then(call: ReplayedCall) -> list[float]:
    return [r.t for r in call.original.records if r.kind == "twilio.in" and r.event == "media"]


def _stalled(call: ReplayedCall) -> None:
    assert max(later - sooner for sooner, later in itertools.pairwise(_frames(call))) > 0.29


def _late_marks(call: ReplayedCall) -> None:
    def soonest(marks: Any) -> float:
        return float(min(mark.back_t - mark.t for mark in marks if mark.back_t is not None))

    assert soonest(call.recorded.marks) >= soonest(call.original.recorded.marks) + 0.299


def _doubled_marks(call: ReplayedCall) -> None:
    assert _marks(call, "in") > 1.15 * _marks(call, "out")


def _slow_tool(call: ReplayedCall) -> None:
    assert call.tool("book_table").ms == pytest.approx((call.original.tool("book_table").ms or 0) + 2000, abs=1)


def _disconnected(call: ReplayedCall) -> None:
    assert [record.kind for record in call.records].count("open") >= 2
    assert "perturbation" in {record.data.get("reason") for record in call.records if record.kind == "close"}
    assert call.longest_silence_ms < 3000  # the recorded model does not come back: somebody else says something


def _late_clear(call: ReplayedCall) -> None:
    late = call.interruptions[0].silence_after_ms - call.original.interruptions[0].silence_after_ms
    assert late > 150


CASES: dict[str, tuple[dict[str, Any], Callable[[ReplayedCall], None]]] = {
    "noise": ({"noise_dbfs": -45.0, "caller": "simulated", "model": "trattoria"}, _noise),
    "loss": ({"loss": 0.05}, _loss),
    "jitter": ({"jitter_ms": 40.0}, _jitter),
    "stalls": ({"stall_ms": 300.0}, _stalled),
    "late marks": ({"late_marks_ms": 300.0}, _late_marks),
    "doubled marks": ({"doubled_marks": 0.3}, _doubled_marks),
    "slow tool": ({"slow_tools_ms": 2000.0}, _slow_tool),
    "disconnected": ({"disconnect_at_s": 15.0}, _disconnected),
    "late clears": ({"late_clears_ms": 250.0, "caller": "simulated"}, _late_clear),
}


REPEATED = {"noise", "loss", "late clears"}
"""The perturbations whose replay is run twice: one of the audio, one of the messages, one on a simulated phone."""


@pytest.mark.parametrize("name", CASES)
def test_each_perturbation_has_an_effect_and_the_call_continues(name: str) -> None:
    options, does_something = CASES[name]
    one = replay_call(recorded("demo"), AGENT, seed=1, **options)
    does_something(one)
    if name in extent(REPEATED, CASES.keys()):
        assert one.records == replay_call(recorded("demo"), AGENT, seed=1, **options).records
    assert one.ended == "hung up" and one.underruns == 0 and one.violations == []
    assert one.goodbye_heard or name == "disconnected"
    assert [tool.arguments for tool in one.tools] == [ARGUMENTS]


@pytest.mark.parametrize("options", [{"late_clears_ms": 250.0}, {"disconnect_at_s": 15.0}])
def test_with_another_model_the_call_continues_too(options: dict[str, Any]) -> None:
    call = replay_call(recorded("demo"), AGENT, caller="simulated", model="trattoria", seed=1, **options)
    assert call.ended == "hung up" and call.underruns == 0 and call.violations == []
    assert call.tool("book_table").arguments == ARGUMENTS


def test_what_the_model_cannot_understand_for_noise_it_does_not_answer() -> None:
    call = replay_call(recorded("demo"), AGENT, caller="simulated", model="trattoria", noise_dbfs=-25.0)
    assert call.tools == [] and call.divergence is not None and call.ended == "hung up"


# --- clears that race ------------------------------------------------------------------------------------------------


def _sentinels(call: ReplayedCall) -> list[tuple[float, list[float]]]:
    """Of each clear: when its sentinel came back, and when the marks that were out at the clear did."""
    found = []
    for at in call.recorded.clears:
        sentinel = next(mark for mark in call.recorded.marks if mark.t >= at)
        out = [m.back_t for m in call.recorded.marks if m.t < at and m.back_t is not None and m.back_t > at]
        found.append((sentinel.back_t or at, out))
    return found


def test_the_call_continues_after_races_of_clears() -> None:
    silences, behind, dry = set[float](), 0, 0
    for seed in range(extent(3, 6)):
        line = {"caller": "simulated", "round_trip_ms": 120.0, "seed": seed}
        call = replay_call(recorded("breaks_in"), AGENT, clear_races=1.0, **line)  # type: ignore[arg-type]
        assert call.divergence is None, call.divergence  # what is done is the same, whenever the clear arrived
        assert call.ended == "hung up" and call.underruns == 0 and call.violations == []
        assert all(cut.silence_after_ms < 2000 for cut in call.interruptions)
        silences |= {round(cut.silence_after_ms, -1) for cut in call.interruptions}
        for sentinel, flushed in _sentinels(call):
            behind += any(at > sentinel for at in flushed)
            dry += bool(flushed) and max(flushed) < sentinel - 0.1
    assert len(silences) > 3 and behind and dry, (silences, behind, dry)


def test_all_kinds_of_races_are_drawn() -> None:
    perturbation = Perturbation(seed=1, clear_races=0.5)
    races = [perturbation.clear() for _ in range(60)]
    assert {None if race is None else (race.when_dry, race.scattered) for race in races} == {
        None, (False, False), (True, False), (False, True),
    }  # fmt: skip


def test_one_perturbation_does_not_change_the_random_numbers_of_another() -> None:
    alone, both = Perturbation(seed=3, loss=0.5), Perturbation(seed=3, loss=0.5, doubled_marks=0.5)

    def lost(perturbation: Perturbation) -> list[bool]:
        return [bool(perturbation.mark(0.0)) and perturbation.voice(bytes(160)) is None for _ in range(50)]

    assert lost(alone) == lost(both) and len(set(lost(alone))) == 2


def test_the_command_has_them_all() -> None:
    options = [f"--{name.replace('_', '-')}" for name in Perturbations.__annotations__]
    values = ["0.01", "-50", "15", "100", "20", "0.1", "40", "0.5"]
    given = [each for pair in zip(options, values, strict=True) for each in pair]
    result = CliRunner().invoke(app, ["replay", str(recorded("demo")), "--mode", "embedded", "--json", *given])
    assert result.exit_code in (0, 3), result.output
    (outcome,) = json.loads(result.output)["results"]
    assert outcome["ended"] == "hung up" and outcome["tools"][0]["ms"] > 480


def test_arguments() -> None:
    made = perturbation_of(7, {"late_marks_ms": 30.0, "noise_dbfs": -50.0, "doubled_marks": 0.1})
    known = {field.name: getattr(made, field.name) for field in dataclasses.fields(made) if field.init}
    assert {name: value for name, value in known.items() if value} == {
        "seed": 7, "late_marks_s": 0.03, "noise_dbfs": -50.0, "doubled_marks": 0.1,
    }  # fmt: skip
    with pytest.raises(ReplayError, match="not both"):
        replay_call(recorded("demo"), perturbation=Perturbation(), loss=0.1)
