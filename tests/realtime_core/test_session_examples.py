"""The examples of the session API run as they are, over a real socket."""

from __future__ import annotations

import runpy
from pathlib import Path
from typing import Any

import pytest

EXAMPLES = Path(__file__).parents[2] / "examples"


def example(name: str) -> dict[str, Any]:
    return runpy.run_path(str(EXAMPLES / f"{name}.py"))


@pytest.mark.real_time
async def test_text(capsys: pytest.CaptureFixture[str]) -> None:
    await example("realtime_text")["main"]()
    result = capsys.readouterr().out
    assert "user: Hello! When are you open?" in result
    assert "[opening_hours{" in result
    assert "assistant: " in result


@pytest.mark.real_time
async def test_audio(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    voice = await example("realtime_audio")["main"](str(tmp_path / "out.wav"))
    assert len(voice) > 24_000
    assert (tmp_path / "out.wav").stat().st_size == len(voice) + 44
    assert len(capsys.readouterr().out) > 20
