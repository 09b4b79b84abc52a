"""The way of a caller's frame through the call, from the phone's connection to the model's."""

from __future__ import annotations

import sys
from pathlib import Path
from types import FrameType

import pytest

from benchmarks import stages

ROOT = Path(__file__).parents[2]
PACKAGES = (str(ROOT / "realtime_core"), str(ROOT / "telephony"))


def _way(frame: FrameType | None) -> list[tuple[str, str]]:
    """(file, function) of our packages on the stack."""
    way = []
    while frame is not None:
        if frame.f_code.co_filename.startswith(PACKAGES) and "testing" not in frame.f_code.co_filename:
            way.append((frame.f_code.co_filename, frame.f_code.co_name))
        frame = frame.f_back
    return way


@pytest.mark.parametrize(("journal", "functions", "modules"), [(False, 8, 7), (True, 9, 8)])
def test_few_functions_lie_between_the_sockets(
    journal: bool, functions: int, modules: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The sockets have two functions and one module more: see `realtime_core.connection`. A journal has one."""
    ways: list[list[tuple[str, str]]] = []
    sent = stages._Model._sent

    def traced(model: stages._Model, text: str) -> None:
        if text.startswith('{"type":"input_audio_buffer.append"'):
            ways.append(_way(sys._getframe()))
        sent(model, text)

    monkeypatch.setattr(stages._Model, "_sent", traced)
    stages.call_cost(1.0, journal=journal)
    way = ways[-1]  # the first frames wait for the model's connection
    assert len(way) <= functions, way
    assert len({file for file, _ in way}) <= modules, way
