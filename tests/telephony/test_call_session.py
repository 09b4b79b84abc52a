"""The call session: bad input, gaps, stalls, interruptions, a model that is not there. The audio that the caller heard
decides.
"""

from __future__ import annotations

import asyncio
import base64
import json
from itertools import pairwise

import pytest

from realtime_core import RealtimeAgent, RealtimeModelConfig, function_tool
from realtime_core.audio import g711
from realtime_core.audio.resample import Downsampler3
from realtime_core.connection import Connection
from realtime_core.connection.memory import MemoryConnection, memory_pair
from realtime_core.errors import ConnectFailed
from realtime_core.local import Reply, Script, Trouble, Turn
from realtime_core.openai_realtime import OpenAIRealtimeWebSocketModel
from realtime_core.openai_realtime.recovery import ReconnectPolicy
from telephony.call.clips import apology
from telephony.call.session import CallOptions, run_call
from telephony.simulator import clips
from telephony.simulator.events import Cleared
from telephony.simulator.handset import Handset
from tests.support.phone_calls import PhoneCall, phone_call

pytestmark = pytest.mark.virtual_time

LONG = (
    "Your table for two on Friday at seven is booked. Tonight we serve a soup of white beans with sage, then fresh "
    "tagliatelle with mushrooms, or sea bass from the oven with lemon and potatoes."
)


def long_answers() -> Script:
    return Script(greeting=Reply(say=LONG), turns=[Turn(Reply(say=LONG)), Turn(Reply(say=LONG))])


async def listen(phone: Handset) -> None:
    await phone.agent_speaks()
    await phone.agent_silent(1.0)
    phone.hang_up()


def spoken(call: PhoneCall) -> dict[str, bytes]:
    """Returns the audio of the model by item, as the phone must hear it: mu-law at 8 kHz."""
    pcm: dict[str, bytes] = {}
    for _, message in call.records.of("model.in", "response.output_audio.delta"):
        pcm[message["item_id"]] = pcm.get(message["item_id"], b"") + base64.b64decode(message["delta"])
    ulaw = {}
    for item, audio in pcm.items():
        down = Downsampler3()
        ulaw[item] = g711.encode(down.push(audio)) + g711.encode(down.flush())
    return ulaw


async def test_an_answer_is_heard_to_its_last_sample_without_a_gap() -> None:
    call = await phone_call(listen, script=long_answers())
    (answer,) = spoken(call).values()
    assert answer in call.peer.heard
    assert call.outcome.reason == "hung up"


async def test_a_stall_of_the_loop_of_300_ms_is_not_heard() -> None:
    async def caller(phone: Handset) -> None:
        await phone.agent_speaks()
        for _ in range(4):
            await phone.heard(1.0)
            asyncio.get_running_loop().stall(0.3)  # type: ignore[attr-defined]
        await phone.agent_silent(1.0)
        phone.hang_up()

    call = await phone_call(caller, script=long_answers())
    (answer,) = spoken(call).values()
    assert answer in call.peer.heard
    assert call.outcome.underruns == 0


async def test_a_barge_in_silences_the_line_at_once_and_for_good() -> None:
    async def caller(phone: Handset) -> None:
        await phone.agent_speaks()
        await phone.heard(3.0)
        await phone.say("sorry_hours")
        await phone.agent_speaks()
        await phone.heard(1.0)
        phone.hang_up()

    call = await phone_call(caller, script=long_answers())
    (started, _), *_ = call.records.of("model.in", "input_audio_buffer.speech_started")
    (cut,) = [event for event in call.peer.events if isinstance(event, Cleared)]
    assert cut.flushed > 0
    assert cut.at_s - started <= 0.060
    first, second = spoken(call).values()
    heard = call.peer.heard
    silence = heard.index(b"\xff" * 800, cut.position)
    assert silence == cut.position, "not one sample after the clear"
    assert first[:8000] in heard[: cut.position]
    rest = heard[cut.position :].lstrip(b"\xff")
    assert rest[:4000] == second.lstrip(b"\xff")[:4000], "what is heard next is the next answer"
    ((_, truncate),) = call.records.of("model.out", "conversation.item.truncate")
    assert 0 < truncate["audio_end_ms"] <= len(first) / 8


async def test_two_barge_ins_within_200_ms() -> None:
    async def caller(phone: Handset) -> None:
        await phone.agent_speaks()
        await phone.heard(2.0)
        await phone.say("hello")
        await asyncio.sleep(0.2)
        await phone.say("hello")
        await phone.agent_speaks()
        await phone.agent_silent(1.0)
        phone.hang_up()

    call = await phone_call(caller, script=long_answers())
    assert call.records.of("error") == []
    truncated = [message["item_id"] for _, message in call.records.of("model.out", "conversation.item.truncate")]
    assert len(truncated) == len(set(truncated)) >= 1


async def test_a_barge_in_when_all_of_the_answer_is_already_at_twilio() -> None:
    async def caller(phone: Handset) -> None:
        await phone.agent_speaks()
        await phone.heard(1.0)
        await phone.say("sorry_hours")
        await asyncio.sleep(0.5)
        phone.hang_up()

    script = Script(greeting=Reply(say="Every day, from noon until eleven."))
    call = await phone_call(caller, script=script)
    (done, _), *_ = call.records.of("model.in", "response.done")
    ((cut_at, truncate),) = call.records.of("model.out", "conversation.item.truncate")
    assert done < cut_at
    (answer,) = spoken(call).values()
    assert 1000 <= truncate["audio_end_ms"] < len(answer) / 8


async def test_a_barge_in_after_the_answer_was_heard_cuts_nothing() -> None:
    async def caller(phone: Handset) -> None:
        await phone.agent_speaks()
        await phone.agent_silent(1.0)
        await phone.say("sorry_hours")
        await phone.agent_speaks()
        phone.hang_up()

    call = await phone_call(caller, script=Script(greeting=Reply(say="Every day, from noon until eleven.")))
    assert call.records.of("model.out", "conversation.item.truncate") == []
    assert call.records.of("twilio.out", "clear") == []
    assert call.records.of("interruption") == []


async def test_a_hole_in_the_callers_audio_becomes_silence_for_the_model() -> None:
    def lose_half_a_second(connection: MemoryConnection) -> None:
        send = connection.send

        def lossy(text: str) -> None:
            if '"media"' in text and 1000 <= int(json.loads(text)["media"]["timestamp"]) < 1500:
                return
            send(text)

        connection.send = lossy  # type: ignore[method-assign]

    call = await phone_call(listen, wire=lose_half_a_second)
    appended = sum(message["bytes"] for _, message in call.records.of("model.out", "input_audio_buffer.append"))
    frames = [int(message["media"]["timestamp"]) for _, message in call.records.of("twilio.in", "media")]
    assert max(b - a for a, b in pairwise(frames)) == 520
    assert appended == (frames[-1] + 20) * 48, "the model's clock is the caller's"


async def test_keys_reach_the_model_and_no_record() -> None:
    async def caller(phone: Handset) -> None:
        await phone.agent_speaks()
        await phone.agent_silent(1.0)
        phone.press("7")
        await phone.agent_speaks()
        phone.hang_up()

    call = await phone_call(caller)
    ((_, reported),) = call.records.of("model.out", "conversation.item.create")
    assert reported["item"]["content"][0]["text"] == "The caller pressed •."
    assert "7" not in json.dumps([m for _, m in call.records.of("twilio.in", "dtmf")]).partition('"digit"')[2]


async def test_a_tool_is_called_with_the_call_as_its_context() -> None:
    seen = []

    @function_tool
    async def book_table(day: str, people: int, time: str) -> str:
        """Book a table."""
        from telephony import current_call

        seen.append((current_call().sid, day, people, time))
        return "17"

    async def caller(phone: Handset) -> None:
        await phone.agent_speaks()
        await phone.agent_silent(1.0)
        await phone.say("booking")
        await phone.agent_speaks()
        phone.hang_up()

    call = await phone_call(caller, agent=RealtimeAgent(name="Trattoria Blu", tools=[book_table]))
    assert seen == [(call.peer.call_sid, "Friday", 2, "19:00")]
    ((_, ended),) = call.records.of("tool.end")
    assert ended["output"] == "17"


# --- bad input -------------------------------------------------------------------------------------------------------

RUBBISH = [
    "",
    "{",
    "[]",
    "null",
    '"media"',
    '{"event":"media"}',
    '{"event":"media","media":{"payload":"%%%"}}',
    '{"event":"media","sequenceNumber":"3","media":{"track":"inbound","chunk":"1","timestamp":"x","payload":"//8="}}',
    '{"event":"something new","x":1}',
    '{"event":"mark"}',
    '{"event":"dtmf","dtmf":{}}',
    '{"event":"start","start":{}}',
    '{"event":"mark","mark":{"name":"' + "x" * 2**20 + '"}}',
    '{"event":' * 5000,
]


def with_rubbish(connection: MemoryConnection) -> None:
    """Adds an unusable message after each hundredth message."""
    send, count = connection.send, iter(range(10**6))

    def rubbish(text: str) -> None:
        send(text)
        number = next(count)
        if number % 100 == 99:
            index = number // 100
            if index % 5 == 4:
                connection.send_binary(b"\x00\xff" * 80)
            else:
                send(RUBBISH[index % len(RUBBISH)])

    connection.send = rubbish  # type: ignore[method-assign]


async def test_rubbish_is_counted_and_the_call_continues() -> None:
    async def caller(phone: Handset) -> None:
        for _ in range(3):
            await phone.agent_speaks()
            await phone.agent_silent(1.0)
            await phone.say("sorry_hours")
        phone.hang_up()

    call = await phone_call(caller, script=long_answers(), wire=with_rubbish)
    assert call.outcome.skipped >= 10
    assert call.outcome.reason == "hung up"
    for answer in list(spoken(call).values())[:2]:
        assert answer in call.peer.heard


def start_message(**media_format: object) -> str:
    return json.dumps(
        {
            "event": "start",
            "sequenceNumber": "1",
            "streamSid": "MZ1",
            "start": {
                "accountSid": "AC1",
                "streamSid": "MZ1",
                "callSid": "CA1",
                "tracks": ["inbound"],
                "mediaFormat": {"encoding": "audio/x-mulaw", "sampleRate": 8000, "channels": 1, **media_format},
                "customParameters": {},
            },
        }
    )


async def refused(*messages: str, within_s: float = 6.0) -> tuple[str, int, float]:
    """Send these, and see the stream being refused: (reason, close code, after how long)."""
    ours, theirs = memory_pair()
    opened = []

    async def transport(url: str, headers: object) -> Connection:
        opened.append(url)
        raise AssertionError("no model connection may be opened")

    for message in messages:
        theirs.send(message)
    options = CallOptions(model_config=RealtimeModelConfig(url="ws://model", api_key="x", transport=transport))
    started = asyncio.get_running_loop().time()
    async with asyncio.timeout(within_s), asyncio.TaskGroup() as group:
        running = group.create_task(run_call(ours, RealtimeAgent(name="Desk"), options))
        close = await theirs.run(lambda message: None)
    assert opened == []
    assert running.result().call is None
    return running.result().reason, close.code, asyncio.get_running_loop().time() - started


@pytest.mark.parametrize("wrong", [{"encoding": "audio/opus"}, {"sampleRate": 16000}, {"channels": 2}])
async def test_a_format_that_is_not_served_is_refused(wrong: dict[str, object]) -> None:
    reason, code, _ = await refused('{"event":"connected"}', start_message(**wrong))
    assert "audio/x-mulaw" in reason
    assert code == 1008


async def test_a_stream_without_a_start_is_closed_after_five_seconds() -> None:
    payload = base64.b64encode(b"\xff" * 160).decode()
    media = {"track": "inbound", "chunk": "1", "timestamp": "0", "payload": payload}
    early = json.dumps({"event": "media", "sequenceNumber": "1", "streamSid": "MZ1", "media": media})
    reason, code, after = await refused('{"event":"connected"}', early)
    assert "start" in reason
    assert code == 1008
    assert after == pytest.approx(5.0)


async def test_a_second_start_changes_nothing() -> None:
    def twice(connection: MemoryConnection) -> None:
        send = connection.send

        def doubled(text: str) -> None:
            send(text)
            if '"start"' in text[:40]:
                send(text.replace("CA", "CB"))

        connection.send = doubled  # type: ignore[method-assign]

    call = await phone_call(listen, wire=twice)
    assert call.outcome.skipped == 1
    assert call.outcome.call is not None
    assert call.outcome.call.sid == call.peer.call_sid


@pytest.mark.parametrize("strange", ["outbound", "another stream"])
async def test_only_the_callers_track_of_the_own_stream_is_the_caller(strange: str) -> None:
    voice = iter(range(0, 10**6, 160))
    loud = clips.load("booking")

    def with_strangers(connection: MemoryConnection) -> None:
        send = connection.send

        def sent(text: str) -> None:
            send(text)
            message = json.loads(text)
            other = {} if strange == "outbound" else {"streamSid": "MZ-other"}
            if message["event"] == "media":
                at = next(voice) % len(loud)
                payload = base64.b64encode(loud[at : at + 160]).decode()
                track = "outbound" if strange == "outbound" else "inbound"
                send(
                    json.dumps({**message, **other, "media": {**message["media"], "track": track, "payload": payload}})
                )
                if at == 160 * 100:
                    track = "outbound_track" if strange == "outbound" else "inbound_track"
                    key = {"event": "dtmf", "sequenceNumber": "9", "dtmf": {"digit": "1", "track": track}}
                    send(json.dumps({"streamSid": message["streamSid"], **key, **other}))
                    send(json.dumps({"event": "stop", "streamSid": "MZ-other", "stop": {"callSid": "CA-other"}}))

        connection.send = sent  # type: ignore[method-assign]

    call = await phone_call(listen, script=long_answers(), wire=with_strangers)
    assert call.outcome.reason == "hung up"
    assert call.outcome.skipped > 500
    assert len(call.records.of("skipped")) <= 4, "each kind is told once"
    assert call.records.of("model.in", "input_audio_buffer.speech_started") == []
    assert call.records.of("twilio.in", "dtmf") == []
    (answer,) = spoken(call).values()
    assert answer in call.peer.heard


# --- a model that is not there ---------------------------------------------------------------------------------------


async def test_a_model_that_cannot_be_reached_is_an_apology_and_no_silence() -> None:
    async def unreachable(url: str, headers: object) -> Connection:
        raise ConnectFailed("Nobody listens there.")

    async def caller(phone: Handset) -> None:
        await phone.agent_speaks(within_s=3.0)
        await phone.agent_silent(30.0)

    call = await phone_call(caller, model_config=RealtimeModelConfig(transport=unreachable))
    assert apology() in call.peer.heard
    assert call.outcome.reason.startswith("failed")


async def test_a_model_that_goes_away_for_good_is_an_apology() -> None:
    async def caller(phone: Handset) -> None:
        await phone.agent_speaks()
        await phone.agent_silent(1.0)
        await phone.say("hello")
        await phone.agent_silent(60.0)

    script = Script(greeting=Reply(say="Hello."), turns=[Turn(Reply(say=LONG, trouble=Trouble("close", 0.2)))])
    model = OpenAIRealtimeWebSocketModel(reconnect=ReconnectPolicy(attempts=0))
    call = await phone_call(caller, script=script, model=model)
    (lost, _), *_ = call.records.of("close")
    assert call.outcome.reason.startswith("failed")
    assert apology() in call.peer.heard
    assert call.peer.heard.index(apology()) / 8000 - lost < 3.0
