"""The embedded server's responses: their events in order, their audio, and each fault of a script."""

from __future__ import annotations

import asyncio
import itertools
import json
from typing import Any

import numpy as np
import pytest

from realtime_core.audio import g711
from realtime_core.connection.memory import Faults
from realtime_core.local import Call, Pause, Reply, Script, Trouble, Turn
from tests.support.local_client import human, session, silence

pytestmark = pytest.mark.virtual_time

HOURS = "We are open every day from noon until eleven in the evening. To hear that again, press one."
HOURS_S = 5.026


def says(reply: Reply | str = HOURS) -> Script:
    return Script(greeting=Reply(say=reply) if isinstance(reply, str) else reply)


async def test_the_events_of_a_spoken_answer_in_their_order() -> None:
    async with session(says()) as client:
        client.respond(metadata={"topic": "hours"})
        response = await client.answer()
        at = client.types().index("response.created")
        spoken = [t for t in client.types(0)[at:] if not t.endswith(".delta")]
        assert spoken == [
            "response.created",
            "rate_limits.updated",
            "response.output_item.added",
            "conversation.item.added",
            "response.content_part.added",
            "response.output_audio.done",
            "response.output_audio_transcript.done",
            "response.content_part.done",
            "conversation.item.done",
            "response.output_item.done",
            "response.done",
        ]
        created = client.last("response.created")["response"]
        assert (created["status"], created["output"], created["usage"]) == ("in_progress", [], None)
        assert response["id"] == created["id"] and response["conversation_id"] == created["conversation_id"]
        assert (response["status"], response["status_details"]) == ("completed", None)
        assert response["metadata"] == {"topic": "hours"}
        assert response["output_modalities"] == ["audio"]
        item = client.last("response.output_item.done")["item"]
        assert response["output"] == [item] == [client.last("conversation.item.done")["item"]]
        assert item["content"] == [{"type": "output_audio", "transcript": HOURS}]
        assert (item["role"], item["status"]) == ("assistant", "completed")
        transcript = client.all("response.output_audio_transcript.delta")
        assert "".join(delta["delta"] for delta in transcript) == HOURS
        assert client.last("response.output_audio_transcript.done")["transcript"] == HOURS
        assert {e["item_id"] for e in client.all("response.output_audio.delta")} == {item["id"]}


async def test_audio_comes_in_bursts_of_200_ms_at_five_times_real_time_and_its_words_ahead_of_it() -> None:
    async with session(says()) as client:
        client.respond()
        await client.answer()
        deltas = client.all("response.output_audio.delta")
        assert deltas[0]["at"] == pytest.approx(0.3)
        assert [d["at"] - deltas[0]["at"] for d in deltas] == pytest.approx([0.04 * i for i in range(len(deltas))])
        sizes = [len(d["delta"]) * 3 // 4 for d in deltas]
        assert set(sizes[:-1]) == {9600} and sizes[-1] <= 9600
        assert len(client.audio()) / 48000 == pytest.approx(HOURS_S, abs=0.001)
        words = client.all("response.output_audio_transcript.delta")
        assert len(words) > 12
        assert words[-1]["at"] > deltas[-1]["at"] - 0.5
        for word in words:
            following = client.events[client.events.index(word) + 1]
            assert following["type"] == "response.output_audio.delta" and following["at"] == word["at"]


async def test_speed_is_how_much_quicker_than_real_time() -> None:
    async with session(says(), speed=1.0) as client:
        client.respond()
        await client.answer()
        deltas = client.all("response.output_audio.delta")
        assert deltas[-1]["at"] - deltas[0]["at"] == pytest.approx(0.2 * (len(deltas) - 1))


async def test_mu_law_carries_the_same_speech() -> None:
    async with session(says()) as client:
        client.respond()
        await client.answer()
        pcm = np.frombuffer(client.audio(), "<i2").astype(float)
    async with session(says()) as client:
        client.update(audio={"output": {"format": {"type": "audio/pcmu"}}})
        client.respond()
        response = await client.answer()
        assert response["audio"]["output"]["format"] == {"type": "audio/pcmu"}
        ulaw = np.frombuffer(g711.decode(client.audio()), "<i2").astype(float)
    assert len(ulaw) == pytest.approx(len(pcm) / 3, abs=2)
    n = min(len(ulaw), len(pcm[::3]))
    assert np.corrcoef(ulaw[:n], pcm[::3][:n])[0, 1] > 0.95


async def test_text_only() -> None:
    async with session(says()) as client:
        client.respond(output_modalities=["text"])
        response = await client.answer()
        assert response["output_modalities"] == ["text"]
        assert response["output"][0]["content"] == [{"type": "output_text", "text": HOURS}]
        assert "".join(d["delta"] for d in client.all("response.output_text.delta")) == HOURS
        assert client.last("response.output_text.done")["text"] == HOURS
        assert not client.audio()
    async with session(says(Reply(say=HOURS, text_only=True))) as client:
        client.respond()
        assert (await client.answer())["output"][0]["content"][0]["type"] == "output_text"


async def test_out_of_band_beside_the_conversation() -> None:
    async with session(Script(turns=[Turn(Reply(say="Yes."), text="open?")], greeting=Reply(say=HOURS))) as client:
        client.respond()
        await client.wait("response.output_audio.delta")
        content = [{"type": "input_text", "text": "Are you open?"}]
        aside = {"type": "message", "role": "user", "content": content}
        client.respond(conversation="none", output_modalities=["text"], metadata={"id": "x"}, input=[aside])
        first = await client.answer()
        assert first["conversation_id"] is None and first["metadata"] == {"id": "x"}
        assert first["output"][0]["content"][0]["text"] == "Yes."
        second = await client.answer(2)
        assert second["output"][0]["content"][0]["transcript"] == HOURS
        assert [added["item"]["id"] for added in client.all("conversation.item.added")] == [second["output"][0]["id"]]


async def test_one_response_at_a_time() -> None:
    async with session(says()) as client:
        client.respond()
        client.respond()
        error = await client.error()
        active = client.last("response.created")["response"]["id"]
        assert error["code"] == "conversation_already_has_active_response" and error["event_id"] == "respond"
        assert error["message"] == (
            f"Conversation already has an active response in progress: {active}. "
            "Wait until the response is finished before creating a new one."
        )
        assert (await client.answer())["status"] == "completed"


async def test_cancel() -> None:
    async with session(says()) as client:
        client.send("response.cancel", event_id="c0")
        error = await client.error()
        assert (error["code"], error["event_id"]) == ("response_cancel_not_active", "c0")
        assert error["message"] == "Cancellation failed: no active response found"
        client.respond()
        await client.wait("response.output_audio.delta", 3)
        client.send("response.cancel")
        response = await client.answer()
        assert response["status_details"] == {"type": "cancelled", "reason": "client_cancelled"}
        said = response["output"][0]["content"][0]["transcript"]
        assert said and HOURS.startswith(said) and said != HOURS
        n = len(client.all("response.output_audio.delta"))
        await asyncio.sleep(5)
        assert len(client.all("response.output_audio.delta")) == n == 3
        client.send("response.cancel", response_id=response["id"])
        assert (await client.error(2))["code"] == "response_cancel_not_active"


async def test_cancel_before_any_output_and_by_id() -> None:
    async with session(says()) as client:
        client.respond()
        created = await client.wait("response.created")
        client.send("response.cancel", response_id=created["response"]["id"])
        response = await client.answer()
        assert (response["status"], response["output"]) == ("cancelled", [])
        # Nothing of it was out: the same is offered again.
        client.respond()
        assert (await client.answer(2))["output"][0]["content"][0]["transcript"] == HOURS


@pytest.mark.parametrize(
    ("options", "code", "param"),
    [
        ({"conversation": "maybe"}, "invalid_value", "response.conversation"),
        ({"foo": 1}, "unknown_parameter", "response.foo"),
        ({"output_modalities": ["video"]}, "invalid_value", "response.output_modalities[0]"),
        ({"max_output_tokens": 0}, "integer_below_min_value", "response.max_output_tokens"),
    ],
)
async def test_options_that_do_not_hold(options: dict[str, Any], code: str, param: str) -> None:
    async with session(says()) as client:
        client.respond(**options)
        error = await client.error()
        assert (error["code"], error["param"]) == (code, param)
        assert not client.all("response.created")


async def test_usage_counts_what_went_in_and_out() -> None:
    async with session(Script(turns=[Turn(Reply(say=HOURS)), Turn(Reply(say=HOURS))])) as client:
        await client.say(human() + silence(1))
        first = (await client.answer())["usage"]
        assert first["output_token_details"]["audio_tokens"] == pytest.approx(HOURS_S * 20, abs=1)
        assert first["input_token_details"]["audio_tokens"] == 14
        assert first["total_tokens"] == first["input_tokens"] + first["output_tokens"]
        await asyncio.sleep(6)
        await client.say(human() + silence(1))
        second = (await client.answer(2))["usage"]
        assert second["input_token_details"]["audio_tokens"] == pytest.approx(2 * 14 + 3 + HOURS_S * 20, abs=1)


BOOK = Call("book", '{"day": "Friday"}')


async def test_a_call_and_what_follows_its_result() -> None:
    turn = Turn(Reply(say="Booked: {result}."), filler="One moment, please.", calls=[BOOK])
    async with session(Script(turns=[turn])) as client:
        await client.say(human() + silence(1))
        response = await client.answer()
        message, call = response["output"]
        assert message["content"][0]["transcript"] == "One moment, please."
        assert (call["type"], call["name"], call["status"]) == ("function_call", "book", "completed")
        assert json.loads(call["arguments"]) == {"day": "Friday"}
        deltas = client.all("response.function_call_arguments.delta")
        assert "".join(d["delta"] for d in deltas) == call["arguments"]
        done = client.last("response.function_call_arguments.done")
        assert (done["call_id"], done["name"], done["arguments"]) == (call["call_id"], "book", call["arguments"])
        added = client.all("response.output_item.added")[1]
        assert added["output_index"] == 1 and added["item"]["arguments"] == ""
        client.result(call, "B17")
        client.respond()
        second = await client.answer(2)
        assert second["output"][0]["content"][0]["transcript"] == "Booked: B17."
        assert client.all("conversation.item.added")[-2]["previous_item_id"] == call["id"]


async def test_parallel_calls_in_one_response() -> None:
    turn = Turn(Reply(say="{result}"), calls=[Call("a", "{}"), Call("b", '{"x": 1}'), Call("c", "{}")])
    async with session(Script(turns=[turn])) as client:
        await client.say(human() + silence(1))
        calls = (await client.answer())["output"]
        assert [call["name"] for call in calls] == ["a", "b", "c"]
        assert len({call["call_id"] for call in calls}) == 3
        assert [e["output_index"] for e in client.all("response.output_item.done")] == [0, 1, 2]
        for call in reversed(calls):
            client.result(call, call["name"].upper())
        client.respond()
        assert (await client.answer(2))["output"][0]["content"][0]["transcript"] == "C, B, A"


async def test_speech_while_a_tool_runs_does_not_lose_its_answer() -> None:
    script = Script(turns=[Turn(Reply(say="Booked."), calls=[BOOK]), Turn(Reply(say="Yes."))])
    async with session(script) as client:
        await client.say(human() + silence(1))
        call = (await client.answer())["output"][0]
        await client.say(human() + silence(1))
        assert (await client.answer(2))["output"][0]["content"][0]["transcript"] == "Yes."
        client.result(call, "done")
        client.respond()
        assert (await client.answer(3))["output"][0]["content"][0]["transcript"] == "Booked."


async def test_a_hiccup_is_a_pause_and_nothing_is_lost() -> None:
    pauses = [Pause(0.4, 0.7), Pause(2.1, 3.0)]
    async with session(says(Reply(say=HOURS, pauses=pauses))) as client:
        client.respond()
        await client.answer()
        times = [d["at"] for d in client.all("response.output_audio.delta")]
        gaps = {i: b - a for i, (a, b) in enumerate(itertools.pairwise(times)) if b - a > 0.041}
        # Before the third burst (400 ms are out) and before the twelfth (2.1 s rounded up to 2.2 s).
        assert gaps == pytest.approx({1: 0.74, 10: 3.04})
        assert len(client.audio()) / 48000 == pytest.approx(HOURS_S, abs=0.001)


async def test_failed_at_once_and_in_the_midst() -> None:
    for at_s, bursts in ((None, 0), (1.0, 5)):
        trouble = Trouble("fail", at_s, code="rate_limit_exceeded", message="Slow down.")
        async with session(says(Reply(say=HOURS, trouble=trouble))) as client:
            client.respond()
            response = await client.answer()
            assert response["status"] == "failed"
            error = {"type": "invalid_request_error", "code": "rate_limit_exceeded", "message": "Slow down."}
            assert response["status_details"] == {"type": "failed", "error": error}
            assert len(client.all("response.output_audio.delta")) == bursts
            assert [item["status"] for item in response["output"]] == ["incomplete"] * bool(bursts)
            client.respond()
            assert (await client.answer(2))["status"] == "completed"


@pytest.mark.parametrize(("text_only", "deltas"), [(False, 26), (True, 9)])
async def test_trouble_past_the_end_comes_at_the_end_and_in_text_half_way(text_only: bool, deltas: int) -> None:
    trouble = Trouble("fail", 99.0)
    async with session(says(Reply(say=HOURS, trouble=trouble, text_only=text_only))) as client:
        client.respond()
        assert (await client.answer())["status"] == "failed"
        assert len(client.all("response.output_text.delta") or client.all("response.output_audio.delta")) == deltas


@pytest.mark.parametrize("reason", ["max_output_tokens", "content_filter"])
async def test_incomplete(reason: str) -> None:
    trouble = Trouble("incomplete", code=reason)
    async with session(says(Reply(say=HOURS, trouble=trouble))) as client:
        client.respond()
        response = await client.answer()
        assert response["status_details"] == {"type": "incomplete", "reason": reason}
        assert len(client.audio()) / 48000 == pytest.approx(HOURS_S / 2, abs=0.2)
    async with session(says(Reply(say=HOURS, trouble=trouble, text_only=True))) as client:
        client.respond()
        assert (await client.answer())["status_details"]["reason"] == reason


async def test_too_few_tokens_make_an_answer_incomplete() -> None:
    async with session(says()) as client:
        client.respond(max_output_tokens=40)
        response = await client.answer()
        assert response["status_details"] == {"type": "incomplete", "reason": "max_output_tokens"}
        assert len(client.audio()) / 48000 == pytest.approx(2.0)


async def test_an_error_in_place_of_the_answer() -> None:
    trouble = Trouble("error", code="server_error", message="Sorry.")
    async with session(says(Reply(trouble=trouble))) as client:
        client.respond()
        error = await client.error()
        assert (error["type"], error["code"], error["message"]) == ("server_error", "server_error", "Sorry.")
        assert error["event_id"] == "respond"
        client.respond()
        assert (await client.answer())["status"] == "completed"


async def test_an_empty_response() -> None:
    async with session(says(Reply())) as client:
        client.respond()
        response = await client.answer()
        assert (response["status"], response["output"]) == ("completed", [])


async def test_close_on_demand() -> None:
    trouble = Trouble("close", 1.0, message="Bye.", close_code=1011)
    async with session(says(Reply(say=HOURS, trouble=trouble))) as client:
        client.respond()
        close = await client.wait_closed()
        assert (close.code, close.reason, close.by) == (1011, "Bye.", "peer")
        assert len(client.all("response.output_audio.delta")) == 5
        assert not client.all("response.done")


async def test_a_dropped_line_on_demand() -> None:
    trouble = Trouble("close", close_code=1006)
    async with session(says(Reply(trouble=trouble))) as client:
        client.respond()
        close = await client.wait_closed()
        assert (close.code, close.by) == (1006, "network")


async def test_a_stalled_server_answers_everything_afterwards() -> None:
    trouble = Trouble("stall", 1.0, stall_s=2.0)
    async with session(says(Reply(say=HOURS, trouble=trouble))) as client:
        client.respond()
        await client.wait("response.output_audio.delta", 5)
        stalled_at = asyncio.get_running_loop().time()
        await asyncio.sleep(0.5)
        client.update(instructions="x")
        updated = await client.wait("session.updated")
        assert updated["at"] == pytest.approx(stalled_at + 0.04 + 2.0)
        await client.answer()
        assert len(client.audio()) / 48000 == pytest.approx(HOURS_S, abs=0.001)


async def test_faults_of_the_line() -> None:
    async with session(says(), faults=Faults(delay_s=0.1)) as client:
        client.respond()
        deltas = [await client.wait("response.output_audio.delta", n) for n in (1, 2)]
        assert deltas[0]["at"] == pytest.approx(0.1 + 0.2 + 0.3)
        assert deltas[1]["at"] - deltas[0]["at"] == pytest.approx(0.04)


@pytest.mark.parametrize("error", [None, "Sold out."])
async def test_a_tool_that_the_server_runs(error: str | None) -> None:
    call = Call("find", '{"q": 1}', server_label="shop", output="two", error=error, takes_s=2.0)
    async with session(Script(turns=[Turn(Reply(say="It says {result}"), calls=[call])])) as client:
        client.write("go")
        client.respond()
        (item,) = (await client.answer())["output"]
        outcome: dict[str, Any] = {"output": "two", "error": None}
        if error is not None:
            outcome = {
                "output": None,
                "error": {"type": "tool_execution_error", "content": [{"type": "text", "text": error}]},
            }
        assert item == {
            "id": item["id"], "type": "mcp_call", "server_label": "shop", "name": "find", "arguments": '{"q": 1}',
            "approval_request_id": None, **outcome,
        }  # fmt: skip
        kinds = [event["type"] for event in client.events if event.get("item_id") == item["id"]]
        assert kinds == [
            "response.mcp_call_arguments.delta",
            "response.mcp_call_arguments.done",
            "response.mcp_call.in_progress",
            f"response.mcp_call.{'completed' if error is None else 'failed'}",
        ]
        assert client.all("conversation.item.done")[-1]["item"] == item
        await asyncio.sleep(5.0)
        assert len(client.all("response.created")) == 1, "the client has to ask for the answer"
        client.respond()
        (said,) = (await client.answer(2))["output"]
        assert said["content"][0]["transcript"] == f"It says {error or 'two'}"
