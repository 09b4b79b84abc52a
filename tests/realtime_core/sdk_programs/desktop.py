"""A conversation at the desk: microphone and loudspeaker of this machine, through the library `sounddevice`."""

from __future__ import annotations

import asyncio
import collections
import threading
from typing import Any

import numpy as np
import sounddevice as sd

from realtime_core import RealtimeAgent, RealtimePlaybackTracker, RealtimeRunner, RealtimeSession
from realtime_core.decorators import tool
from realtime_core.events import RealtimeAudio
from realtime_core.items import AssistantMessageItem, UserMessageItem

RATE = 24_000
BLOCK = RATE // 50


@tool
def get_weather(city: str) -> str:
    """Tell the weather in a city."""
    return f"The weather in {city} is sunny."


agent = RealtimeAgent(name="Assistant", instructions="Short sentences.", tools=[get_weather])


class Loudspeaker:
    """Plays the given audio in order, and reports the played audio."""

    def __init__(self, tracker: RealtimePlaybackTracker) -> None:
        self._tracker = tracker
        self._waiting: collections.deque[tuple[Any, str, int]] = collections.deque()
        self._lock = threading.Lock()
        self.stream = sd.OutputStream(channels=1, samplerate=RATE, dtype=np.int16, blocksize=BLOCK, callback=self._play)

    def add(self, event: RealtimeAudio) -> None:
        with self._lock:
            self._waiting.append((np.frombuffer(event.audio.data, np.int16), event.item_id, event.content_index))

    def drop(self) -> None:
        with self._lock:
            self._waiting.clear()

    def _play(self, out: Any, frames: int, _time: Any, _status: Any) -> None:
        out.fill(0)
        at = 0
        with self._lock:
            while at < frames and self._waiting:
                samples, item_id, index = self._waiting.popleft()
                part, rest = samples[: frames - at], samples[frames - at :]
                out[at : at + len(part), 0] = part
                at += len(part)
                if len(rest):
                    self._waiting.appendleft((rest, item_id, index))
                self._tracker.on_play_bytes(item_id, index, part.tobytes())


async def listen(session: RealtimeSession) -> None:
    microphone = sd.InputStream(channels=1, samplerate=RATE, dtype=np.int16)
    microphone.start()
    while True:
        await asyncio.sleep(0.005)
        while microphone.read_available >= BLOCK:
            data, _ = microphone.read(BLOCK)
            await session.send_audio(data.tobytes())


async def main() -> None:
    tracker = RealtimePlaybackTracker()
    loudspeaker = Loudspeaker(tracker)
    loudspeaker.stream.start()
    runner = RealtimeRunner(agent, config={"model_settings": {"audio": {"output": {"voice": "ash"}}}})
    async with await runner.run(model_config={"playback_tracker": tracker}) as session:
        listening = asyncio.create_task(listen(session))
        try:
            async for event in session:
                if event.type == "audio":
                    loudspeaker.add(event)
                elif event.type == "audio_interrupted":
                    loudspeaker.drop()
                elif event.type == "history_updated":
                    for item in event.history:
                        if isinstance(item, UserMessageItem | AssistantMessageItem):
                            print(item.role, [getattr(part, "transcript", None) for part in item.content])
                elif event.type == "tool_end":
                    print("Tool ended:", event.output)
                elif event.type == "agent_end":
                    print("Agent ended:", event.agent.name)
                elif event.type == "error":
                    print("Error:", event.error)
        finally:
            listening.cancel()


if __name__ == "__main__":
    try:
        asyncio.run(main())
    except KeyboardInterrupt:
        pass
