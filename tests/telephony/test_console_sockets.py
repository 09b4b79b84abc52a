"""The console's WebSockets over real sockets: listening to a call, and taking it over."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx2
import numpy as np
import pytest
from numpy.typing import NDArray
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed

from realtime_core import RealtimeAgent, RealtimeModelConfig
from realtime_core.audio import g711
from realtime_core.local import LocalRealtimeServer, Reply, Script
from telephony import create_app, load_settings
from telephony.call.call import Call
from telephony.call.hand_back import HandedBack
from telephony.call.supervision import Supervision
from telephony.replay.replaying import replay_call
from telephony.simulator import Handset, SimulatedTwilio, clips
from telephony.web.server import listening
from tests.support.browser import find

pytestmark = pytest.mark.real_time

OURS = "+14155550199"
GREETING = "We are open from noon to eleven, every day but Monday, and on Sundays we also serve breakfast from nine."
PIECE = 25
"""Half a second, in frames. A busy machine makes gaps, which the ear and the listener have at different moments. So the
test compares them piece by piece, and the median counts: most pieces have no gap."""
Story = Callable[[Handset, Call, str], Awaitable[None]]


@asynccontextmanager
async def desk(folder: Path) -> AsyncIterator[tuple[SimulatedTwilio, Any, str]]:
    script = Script(greeting=Reply(say=GREETING), otherwise=Reply(say="Yes, I know what was settled."))
    async with LocalRealtimeServer(script) as model:
        app = create_app(
            RealtimeAgent(name="Desk"),
            greeting="Greet.",
            settings=load_settings(telephony_journal_dir=folder),
            model_config=RealtimeModelConfig(**model.model_config),
        )
        async with listening(app) as address, SimulatedTwilio(numbers=()) as twilio:
            twilio.add_number(OURS, voice_url=f"{address}/incoming-call")
            yield twilio, app, address


def run(folder: Path, story: Story) -> Handset:
    """Rings, and runs the story when the agent speaks. The end of the story hangs up. If the story itself hangs up,
    the story continues after the call.
    """
    phones: list[Handset] = []
    stories: list[asyncio.Future[None]] = []

    async def main() -> None:
        async with desk(folder) as (twilio, app, address):

            async def caller(phone: Handset) -> None:
                phones.append(phone)
                await phone.agent_speaks()
                (call,) = app.state.phone.registry
                base = address.replace("http", "ws") + f"/console/api/calls/{call.sid}"
                stories.append(asyncio.ensure_future(story(phone, call, base)))
                await asyncio.shield(stories[0])

            await twilio.ring(to=OURS, caller=caller)
            await stories[0]

    asyncio.run(main())
    return phones[0]


def loudness(pcm: NDArray[np.float64]) -> NDArray[np.float64]:
    frames = pcm[: len(pcm) // 160 * 160].reshape(-1, 160)
    level: NDArray[np.float64] = np.sqrt((frames**2).mean(axis=1))
    return level


def alike(one: NDArray[np.float64], other: NDArray[np.float64]) -> tuple[float, int]:
    """How well the shorter one fits into the longer one, from 0 to 1, and where."""
    one = (one - one.mean()) / (one.std() + 1e-9)
    best = (0.0, 0)
    for at in range(len(other) - len(one) + 1):
        part = other[at : at + len(one)]
        score = float((one * (part - part.mean())).mean() / (part.std() + 1e-9))
        best = max(best, (score, at))
    return best


def pcm(ulaw: bytes | bytearray) -> NDArray[np.float64]:
    return np.frombuffer(g711.decode(bytes(ulaw)), "<i2").astype(float)


def test_a_listener_hears_both_sides_as_the_caller_does(tmp_path: Path) -> None:
    heard = bytearray()

    async def story(phone: Handset, call: Call, base: str) -> None:
        async with connect(f"{base}/listen") as socket:

            async def take() -> None:
                async for message in socket:
                    assert isinstance(message, bytes)
                    heard.extend(message)

            taking = asyncio.create_task(take())
            await phone.heard(1.5)
            await phone.say("sorry_hours")
            await phone.agent_speaks()
            await phone.agent_silent(1.0)
            phone.hang_up()
            await taking
            assert socket.close_code == 1000, "the call is over"

    phone = run(tmp_path, story)
    stereo = np.frombuffer(bytes(heard), "<i2").astype(float)
    left, right = loudness(stereo[0::2]), loudness(stereo[1::2])
    said, ear = loudness(pcm(clips.load("sorry_hours"))), loudness(pcm(phone.received))
    assert alike(said, left)[0] > 0.95
    agent, received = stereo[1::2], pcm(phone.received)
    loud = [n for n in range(10, len(right) - PIECE, PIECE) if right[n : n + PIECE].std() > 300]
    found = [(n, *find(agent[n * 160 : (n + PIECE) * 160], received)) for n in loud]
    assert len(found) >= 3, "the agent is heard"
    assert np.median([score for _, _, score in found]) > 0.95, "the right side is what the ear got"
    late = float(np.median([place / 160 - n for n, place, _ in found]))
    assert abs(late - (len(ear) - len(right))) <= 15, "it is in step with the caller's side"


class Microphone:
    """A supervisor's browser: a tone, 20 ms at a time, while `sending`, and silence otherwise. While `stalled`, it
    sends nothing.
    """

    def __init__(self, socket: ClientConnection) -> None:
        self.socket = socket
        self.states: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
        self.sending = asyncio.Event()
        self.stalled = False

    async def run(self) -> None:
        async with asyncio.TaskGroup() as group:
            speaking = group.create_task(self._speak())
            async for message in self.socket:
                self.states.put_nowait(json.loads(message))
            speaking.cancel()

    async def _speak(self) -> None:
        wave = 9000 * np.sin(2 * np.pi * 440 * np.arange(160) / 8000)
        piece, loop = wave.astype("<i2").tobytes(), asyncio.get_running_loop()
        began, n = loop.time(), 0
        while True:
            if not self.stalled:
                with contextlib.suppress(ConnectionClosed):  # `run` notices it
                    await self.socket.send(piece if self.sending.is_set() else bytes(320))
            n += 1
            await asyncio.sleep(max(0.0, began + n * 0.02 - loop.time()))


def tone_frames(ulaw: bytes | bytearray) -> NDArray[np.int64]:
    """The 20 ms frames with the supervisor's tone."""
    frames = pcm(ulaw)
    frames = frames[: len(frames) // 160 * 160].reshape(-1, 160)
    found = np.abs(frames @ np.exp(-2j * np.pi * 440 * np.arange(160) / 8000)) / 160
    return np.flatnonzero(found * np.sqrt(2) > 0.8 * (np.sqrt((frames**2).mean(axis=1)) + 1.0))


def test_the_caller_hears_the_supervisor_and_then_the_agent_who_knows(tmp_path: Path) -> None:
    times: dict[str, float] = {}
    before: list[int] = []

    async def story(phone: Handset, call: Call, base: str) -> None:
        await phone.heard(1.0)
        async with connect(f"{base}/take-over") as socket:
            microphone = Microphone(socket)
            running = asyncio.create_task(microphone.run())
            assert (await microphone.states.get())["state"] == "live"
            times["live"] = len(phone.received) / 8000
            microphone.sending.set()
            await phone.heard(1.5)
            before.append(
                sum(1 for each in call.session.history if each.type == "message" and each.role == "assistant")
            )
            microphone.sending.clear()
            await phone.say("sorry_hours")
            await phone.agent_silent(1.0)
            after = sum(1 for each in call.session.history if each.type == "message" and each.role == "assistant")
            assert after == before[0], "the model says nothing"
            await socket.send(json.dumps({"type": "hand-back", "said": "Your table is booked for eight."}))
            over = await microphone.states.get()
            assert over["state"] == "over" and over["agent"] in (HandedBack.WORDS, HandedBack.NOTE)
            await running
        times["back"] = len(phone.received) / 8000
        await phone.agent_speaks()
        await phone.agent_silent(1.0)
        said = [each for each in call.session.history if each.type == "message" and each.role == "system"]
        assert "booked for eight" in (said[-1].content[0].text or "")

    phone = run(tmp_path, story)
    found = tone_frames(phone.received) * 0.02
    assert 0 <= found[0] - times["live"] < 0.3, f"heard after {found[0] - times['live']:.3f} s"
    assert loudness(pcm(phone.received[int(times["back"] * 8000) :])).max() > 300, "the agent continues"
    (journal,) = tmp_path.glob("*/journal.jsonl")
    again = replay_call(journal, RealtimeAgent(name="Desk"))
    assert again.divergence is None, again.divergence


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """A connection counts as lost after half a second, and the agent has the call again half a second later."""
    monkeypatch.setattr("telephony.console.take_over.QUIET_S", 0.5)
    monkeypatch.setattr("telephony.console.take_over.GRACE_S", 0.5)


async def stalls(socket: ClientConnection, microphone: Microphone) -> None:
    """The network of the supervisor is gone, and neither side notices it."""
    microphone.stalled = True


async def breaks(socket: ClientConnection, microphone: Microphone) -> None:
    """The browser of the supervisor has crashed."""
    socket.transport.abort()


async def closes(socket: ClientConnection, microphone: Microphone) -> None:
    """The supervisor has closed the page, and the page sent no hand-back."""
    await socket.close()


@pytest.mark.usefixtures("impatient")
@pytest.mark.parametrize("is_lost", [stalls, breaks, closes])
def test_the_agent_has_the_call_again_soon_after_a_supervisor_is_lost(
    tmp_path: Path, is_lost: Callable[[ClientConnection, Microphone], Awaitable[None]]
) -> None:
    async def story(phone: Handset, call: Call, base: str) -> None:
        async with connect(f"{base}/take-over") as socket:
            microphone = Microphone(socket)
            running = asyncio.create_task(microphone.run())
            assert (await microphone.states.get())["state"] == "live"
            microphone.sending.set()
            await phone.heard(0.5)
            await is_lost(socket, microphone)
            async with asyncio.timeout(60):
                while call.supervision.is_active:  # noqa: ASYNC110
                    await asyncio.sleep(0.02)
            await phone.agent_speaks()
            await asyncio.wait([running])
            if is_lost is stalls:
                assert socket.close_code == 4408, "the page learns that it was given up"
            running.exception()

    run(tmp_path, story)
    (journal,) = tmp_path.glob("*/journal.jsonl")
    kept = journal.read_text()
    assert kept.index("supervisor.away") < kept.index("supervisor.hand_back"), "first the caller heard a filler"


@pytest.mark.usefixtures("impatient")
def test_a_supervisor_connects_again_also_before_the_server_knows_of_the_loss(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("telephony.console.take_over.QUIET_S", 60.0)

    async def story(phone: Handset, call: Call, base: str) -> None:
        async with connect(f"{base}/take-over?again=1") as early:
            assert json.loads(await early.recv())["state"] == "failed", "there is nothing to continue"
        async with connect(f"{base}/take-over") as socket:
            live = json.loads(await socket.recv())
            async with connect(f"{base}/take-over?again={live['id']}") as other:
                assert json.loads(await other.recv()) == live
                socket.transport.abort()  # the lost connection ends now, and does not end the take-over
                microphone = Microphone(other)
                running = asyncio.create_task(microphone.run())
                microphone.sending.set()
                await phone.heard(1.5)
                assert call.supervision.is_active and not call.supervision.is_away
                await other.send(json.dumps({"type": "hand-back", "said": ""}))
                assert (await microphone.states.get())["state"] == "over"
                await running
        await phone.agent_speaks()

    phone = run(tmp_path, story)
    assert len(tone_frames(phone.received)) > 20


def test_a_person_with_the_same_name_cannot_continue_the_take_over_of_another_person(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("telephony.console.take_over.GRACE_S", 60.0)

    async def story(phone: Handset, call: Call, base: str) -> None:
        async with connect(f"{base}/take-over") as socket:
            live = json.loads(await socket.recv())
            microphone = Microphone(socket)
            running = asyncio.create_task(microphone.run())
            for query in ("", "?again=1", f"?again={'0' * len(live['id'])}"):
                async with connect(f"{base}/take-over{query}") as other:
                    assert json.loads(await other.recv())["state"] == "failed", query
            assert microphone.states.empty() and not call.supervision.is_away, "the first person still speaks"
        await running
        async with asyncio.timeout(60):
            while not call.supervision.is_away:  # noqa: ASYNC110
                await asyncio.sleep(0.02)
        for query in ("", "?again=1"):
            async with connect(f"{base}/take-over{query}") as other:
                assert json.loads(await other.recv())["state"] == "failed", "also while that person is away"
        async with connect(f"{base}/take-over?again={live['id']}") as socket:
            assert json.loads(await socket.recv()) == live
            await socket.send(json.dumps({"type": "hand-back"}))
            assert json.loads(await socket.recv()) == {"state": "over", "agent": "nothing said"}

    run(tmp_path, story)


def test_a_supervisor_learns_that_a_newer_connection_has_replaced_this_one(tmp_path: Path) -> None:
    audit: list[str] = []

    async def story(phone: Handset, call: Call, base: str) -> None:
        async with asyncio.timeout(60), connect(f"{base}/take-over") as socket:
            old = Microphone(socket)
            running = asyncio.create_task(old.run())
            live = await old.states.get()
            async with connect(f"{base}/take-over?again={live['id']}") as other:
                new = Microphone(other)
                both = asyncio.gather(running, new.run())
                assert await new.states.get() == live
                assert await old.states.get() == {"state": "over"}, "a newer connection continues"
                assert call.supervision.is_active and not call.supervision.is_away
                phone.hang_up()
                assert await new.states.get() == {"state": "over"}, "the call is over"
                await both
                assert (socket.close_code, other.close_code) == (1000, 1000)
        api = base.replace("ws", "http", 1).rpartition("/calls/")[0]
        async with httpx2.AsyncClient() as client:
            page = (await client.get(f"{api}/audit", params={"limit": 10})).json()
        audit.extend(entry["action"] for entry in page["entries"])

    run(tmp_path, story)
    assert audit == ["take over", "take over"], "no call was given back to the agent"


def test_a_supervisor_who_leaves_during_the_hand_back_causes_no_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    left = asyncio.Event()
    hand_back = Supervision.hand_back

    async def slow_hand_back(self: Supervision, said: str = "") -> HandedBack:
        await left.wait()
        return await hand_back(self, said)

    monkeypatch.setattr(Supervision, "hand_back", slow_hand_back)

    async def story(phone: Handset, call: Call, base: str) -> None:
        async with connect(f"{base}/take-over") as socket:
            assert json.loads(await socket.recv())["state"] == "live"
            await socket.send(json.dumps({"type": "hand-back", "said": ""}))
        left.set()
        async with asyncio.timeout(60):
            while call.supervision.is_active:  # noqa: ASYNC110
                await asyncio.sleep(0.02)
        await phone.agent_speaks()

    run(tmp_path, story)
    assert [record for record in caplog.records if record.name == "uvicorn.error" and record.exc_info] == []
