"""Whether outcomes are true: 40 labelled calls, and how many fields of their results are right.

`python -m benchmarks.outcomes [--calls N]`

Each call runs in virtual time, with the embedded model, which speaks from a script. The agent records some fields by
its tool, and a text model reads the rest from what was heard. The text model here is a deterministic stand-in, no AI:
it finds words by patterns, and it also invents values, with quotes that were not heard and without quotes. So the
figures say what the software does with a model's answers. They say nothing about a model.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import re
import sys
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from pydantic import BaseModel

from realtime_core import RealtimeAgent
from realtime_core.connection.memory import memory_pair
from realtime_core.local import Call as ToolCall
from realtime_core.local import LocalRealtimeServer, Reply, Script, Turn
from realtime_core.sources import Sources
from realtime_core.testing import virtual_time
from telephony.call.call import Call
from telephony.call.session import CallOptions, run_call
from telephony.outcomes.call_agent import agent_for_call
from telephony.outcomes.result_form import ResultForm
from telephony.outcomes.text_model import TextModel
from telephony.outcomes.transcript import Line, transcript_of
from telephony.simulator import Handset, MediaPeer
from telephony.simulator import Line as PhoneLine

FIELDS = ("day", "people", "name", "highchair")


class Booking(BaseModel):
    """What a call is to find out. None means that the call did not say it."""

    day: str | None = None
    people: int | None = None
    name: str | None = None
    highchair: bool | None = None


@dataclass(frozen=True)
class Said:
    """One turn: what the caller says, what the agent answers, which fields it records, and whether the caller
    interrupts the answer at its beginning."""

    caller: str
    agent: str = "I see."
    records: dict[str, Any] = field(default_factory=dict)
    interrupted: bool = False


@dataclass(frozen=True)
class Conversation:
    """A labelled call. `truth` has the fields that were said and heard; all others are unknown."""

    kind: str
    turns: Sequence[Said]
    truth: dict[str, Any]


DAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")
NAMES = ("Ada", "Grace", "Alan", "Edsger", "Barbara", "Donald", "Tony", "Frances")
COUNTS = {2: "two", 3: "three", 4: "four", 5: "five", 6: "six", 7: "seven", 8: "eight"}
_NUMBERS = {word: number for number, word in COUNTS.items()}


def conversations() -> list[Conversation]:
    """Eight kinds of calls, five of each."""
    made = []
    for n in range(5):
        day, other = DAYS[n], DAYS[(n + 3) % 7]
        name, people = NAMES[n], 2 + n
        number, more = COUNTS[people], COUNTS[people + 2]
        table = f"A table for {number} on {day}."
        promise = f"Then I write down {other}, for eight people, under the name of {NAMES[n + 3]}, with a highchair."
        made += [
            Conversation(
                "all in one line",
                [Said(f"A table for {number} on {day} please, my name is {name}, with a highchair.")],
                {"day": day, "people": people, "name": name, "highchair": True},
            ),
            Conversation(
                "in several lines",
                [Said(f"It is for {number} people."), Said(f"On {day}."), Said(f"My name is {name}.")],
                {"day": day, "people": people, "name": name},
            ),
            Conversation(
                "corrected by the caller",
                [Said(f"On {other} for {number} people."), Said(f"No, on {day}, and for {more} people.")],
                {"day": day, "people": people + 2},
            ),
            Conversation(
                "the agent records everything",
                [Said(table, "Noted.", {"day": day, "people": people}), Said("Thank you.")],
                {"day": day, "people": people},
            ),
            Conversation(
                "the agent records a part",
                [Said(table, "Noted.", {"people": people}), Said(f"My name is {name}. No highchair.")],
                {"day": day, "people": people, "name": name, "highchair": False},
            ),
            Conversation(
                "the agent records a wrong value first",
                [Said(table, "Noted.", {"people": "many"}), Said("Yes.", "Noted.", {"people": people})],
                {"day": day, "people": people},
            ),
            Conversation(
                "the answer is interrupted before it says anything",
                [Said("A table please.", promise, interrupted=True), Said("Never mind.")],
                {},
            ),
            Conversation("nothing is said", [Said("Good morning."), Said("I call again later.")], {}),
        ]
    return made


# --- one call ----------------------------------------------------------------------------------------------------


async def call(conversation: Conversation, form: ResultForm) -> tuple[Line, ...]:
    """Makes the call. Returns what was said, and what of it was heard."""
    transcript: tuple[Line, ...] = ()
    script = Script(
        greeting=Reply(say="Hello. How can I help you?"),
        turns=[
            Turn(
                heard=turn.caller,
                answer=Reply(say=turn.agent),
                calls=[ToolCall("record_result", json.dumps(turn.records))] if turn.records else (),
            )
            for turn in conversation.turns
        ],
        otherwise=Reply(say="Yes."),
    )

    async def caller(phone: Handset) -> None:
        await phone.agent_speaks()
        await phone.agent_silent(1.0)
        for turn in conversation.turns:
            await phone.say("hello")
            await phone.agent_speaks()
            await (phone.heard(1.0) if turn.interrupted else phone.agent_silent(1.2))
        phone.hang_up()

    def on_end(call: Call) -> None:
        nonlocal transcript
        transcript = transcript_of(call, other="caller")

    ours, theirs = memory_pair()
    peer = MediaPeer(theirs, line=PhoneLine(seed=1), sources=Sources(1))
    async with LocalRealtimeServer(script, in_memory=True, sources=Sources(2)) as model:
        agent = agent_for_call(RealtimeAgent[Any](name="Desk"), {}, [form.tool()])
        options = CallOptions(model_config=model.model_config, greeting="Greet the caller.", on_end=on_end)
        async with asyncio.TaskGroup() as group:
            group.create_task(run_call(ours, agent, options))
            await peer.run(caller)
    return transcript


# --- the stand-in ------------------------------------------------------------------------------------------------


def stand_in(transcript: str, wanted: Sequence[str]) -> dict[str, Any]:
    """Returns the answer of a text model that is none: what patterns find in the caller's lines, and inventions."""
    said = [line.partition(": ")[2] for line in transcript.splitlines() if line.startswith("caller: ")]
    found: dict[str, Any] = {}
    for line in said:  # a later line corrects an earlier one
        for pattern, name, value in (
            (rf"\b({'|'.join(DAYS)})\b", "day", lambda text: text),
            (rf"\bfor ({'|'.join(_NUMBERS)})\b", "people", lambda text: _NUMBERS[text]),
            (r"\bmy name is (\w+)", "name", lambda text: text),
            (r"\b(no highchair)\b", "highchair", lambda text: False),
            (r"\b(with a highchair)\b", "highchair", lambda text: True),
        ):
            if match := re.search(pattern, line, re.IGNORECASE):
                found[name] = {"value": value(match[1]), "quote": match[0]}
    inventions = {
        "day": {"value": "Sunday", "quote": "on Sunday"},
        "people": {"value": 8, "quote": "for eight people"},
        "name": {"value": "Nobody"},
        "highchair": {"value": True, "quote": ""},
    }
    return {"fields": {name: found.get(name, inventions[name]) for name in wanted if name in FIELDS}, "summary": ""}


@asynccontextmanager
async def stand_in_server() -> AsyncIterator[str]:
    """The stand-in as a server with the Chat Completions API."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).decode().lower()
        length = int(re.search(r"content-length: (\d+)", head)[1])  # type: ignore[index]
        system, user = json.loads(await reader.readexactly(length))["messages"]
        wanted = list(json.loads(system["content"].rpartition("\n")[2])["fields"])
        answer = json.dumps(stand_in(user["content"], wanted))
        body = json.dumps({"choices": [{"message": {"role": "assistant", "content": answer}}]}).encode()
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\nConnection: close\r\n\r\n%b" % (len(body), body))
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with server:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/v1"


# --- the figures -------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Score:
    """How a field came out in one call."""

    kind: str
    name: str
    truth: Any
    found: Any

    @property
    def is_right(self) -> bool:
        return bool(self.truth == self.found)


def measure(calls: int) -> list[Score]:
    """Returns the fields of the first `calls` conversations."""
    chosen = conversations()[:calls]
    forms = [ResultForm(Booking) for _ in chosen]
    transcripts = [virtual_time.run(call(each, form), seed=1) for each, form in zip(chosen, forms, strict=True)]

    async def read() -> None:
        async with stand_in_server() as url:
            model = TextModel(url, "a deterministic stand-in")
            for form, transcript in zip(forms, transcripts, strict=True):
                await model.read(form, transcript)
                form.validate()

    asyncio.run(read())
    return [
        Score(each.kind, name, each.truth.get(name), getattr(form.output, name, None))
        for each, form in zip(chosen, forms, strict=True)
        for name in FIELDS
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--calls", type=int, default=40)
    scores = measure(parser.parse_args().calls)
    print("The text model is a deterministic stand-in, no AI.")
    for kind in dict.fromkeys(each.kind for each in scores):
        of_kind = [each for each in scores if each.kind == kind]
        print(f"{kind:<50} {sum(each.is_right for each in of_kind):>3} of {len(of_kind)} fields right")
    for title, group in (
        ("said", [each for each in scores if each.truth is not None]),
        ("not said, so unknown", [each for each in scores if each.truth is None]),
    ):
        right = sum(each.is_right for each in group)
        print(f"fields that were {title}: {right} of {len(group)} right ({100 * right / len(group):.1f} %)")
    wrong = [each for each in scores if not each.is_right]
    for each in wrong:
        print(f"wrong: {each.kind}: {each.name} is {each.found!r}, and {each.truth!r} was said")
    sys.exit(bool(wrong))


if __name__ == "__main__":
    main()
