"""The way of a caller's frame through the call, from the phone's connection to the model's."""

from __future__ import annotations

import asyncio
import itertools
import json
import sys
from pathlib import Path
from types import FrameType

import pytest
from websockets.asyncio.client import connect

from benchmarks import stages
from realtime_core import RealtimeAgent
from realtime_core.connection import frames, websocket_connection
from realtime_core.local import LocalRealtimeServer
from telephony import create_app
from telephony.settings import Settings
from telephony.web.server import listening

ROOT = Path(__file__).parents[2]
START = json.dumps(
    {
        "event": "start",
        "sequenceNumber": "1",
        "streamSid": "MZ1",
        "start": {
            "accountSid": "AC1",
            "streamSid": "MZ1",
            "callSid": "CA1",
            "tracks": ["inbound"],
            "customParameters": {},
            "mediaFormat": {"encoding": "audio/x-mulaw", "sampleRate": 8000, "channels": 1},
        },
    }
)
PACKAGES = (str(ROOT / "realtime_core"), str(ROOT / "telephony"))


def _way(frame: FrameType | None) -> list[tuple[str, str]]:
    """(file, function) of our packages on the stack."""
    way = []
    while frame is not None:
        if frame.f_code.co_filename.startswith(PACKAGES) and "testing" not in frame.f_code.co_filename:
            way.append((frame.f_code.co_filename, frame.f_code.co_name))
        frame = frame.f_back
    return way


@pytest.mark.parametrize(("journal", "functions", "modules"), [(False, 9, 8), (True, 9, 8)])
def test_few_functions_lie_between_the_sockets(
    journal: bool, functions: int, modules: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The sockets have two functions and one module more: see `realtime_core.connection`. Without a journal, the
    recorder counts the audio, because a secret part may begin at any time."""
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


@pytest.mark.real_time
async def test_few_functions_lie_between_real_sockets(monkeypatch: pytest.MonkeyPatch) -> None:
    """Under our server, without a journal, from the bytes of the one socket to the bytes of the other."""
    ways: asyncio.Queue[list[tuple[str, str]]] = asyncio.Queue()
    mask = frames.masked_text

    def traced(payload: bytes, key: bytes) -> bytes:
        if payload.startswith(b'{"type":"input_audio_buffer.append"'):
            ways.put_nowait(_way(sys._getframe(1)))
        return mask(payload, key)

    monkeypatch.setattr(websocket_connection, "masked_text", traced)
    async with LocalRealtimeServer() as model:
        settings = Settings(telephony_data_dir=Path("off"))
        app = create_app(RealtimeAgent(name="Desk"), settings=settings, model_config=model.model_config)
        async with (
            listening(app) as address,
            connect(f"{address.replace('http', 'ws')}/media-stream", proxy=None) as phone,
        ):
            await phone.send(START)
            for number in itertools.count():
                media = {
                    "track": "inbound",
                    "chunk": f"{number + 1}",
                    "timestamp": f"{number * 20}",
                    "payload": "/" * 216,
                }
                message = {"event": "media", "sequenceNumber": f"{number + 2}", "media": media, "streamSid": "MZ1"}
                await phone.send(json.dumps(message))
                await asyncio.sleep(0.005)
                # The first frames wait for the model's connection.
                if not ways.empty() and (way := ways.get_nowait())[-1][1] == "data_received":
                    break
            await phone.send('{"event":"stop","sequenceNumber":"9","streamSid":"MZ1","stop":{}}')
    assert len(way) <= 11, way
    assert len({file for file, _ in way}) <= 9, way
