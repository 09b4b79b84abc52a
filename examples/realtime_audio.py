"""A spoken conversation with an agent: audio in, audio out, barge-in. No key needed: it runs on the embedded server.

python examples/realtime_audio.py [OUT.wav]     writes what the agent says
"""

from __future__ import annotations

import asyncio
import sys
import wave

from realtime_core import RealtimeAgent, RealtimeRunner, RealtimeSession
from realtime_core.local import LocalRealtimeServer

agent = RealtimeAgent(name="Assistant", instructions="You are friendly and brief.")


async def microphone(session: RealtimeSession) -> None:
    """Your microphone goes here: PCM16 at 24 kHz, mono, as it comes. This one records silence."""
    while True:
        session.post_audio(bytes(960))
        await asyncio.sleep(0.02)


async def main(path: str | None = None) -> bytes:
    voice = bytearray()
    runner = RealtimeRunner(agent)
    async with LocalRealtimeServer() as server, await runner.run(model_config=server.model_config) as session:
        listening = asyncio.create_task(microphone(session))
        await session.request_response("Greet the user.")
        async for event in session.events():
            if event.type == "audio":
                voice += event.audio  # your loudspeaker goes here
            elif event.type == "audio_interrupted":
                voice.clear()  # the user speaks: drop what is not played yet
            elif event.type == "transcript_delta":
                print(event.delta, end="")
            elif event.type == "agent_end":
                print()
                break
        listening.cancel()
    if path is not None:
        with wave.open(path, "wb") as out:
            out.setparams((1, 2, 24000, 0, "NONE", ""))
            out.writeframes(bytes(voice))
    return bytes(voice)


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
