"""Nothing of a secret part reaches a journal, a log, a trace, the console, the metrics, the files of a database, a
delivered webhook or Twilio's recording.

`PROOF=1` also takes PostgreSQL, and more calls.
"""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from benchmarks.extent import extent
from realtime_core import RealtimeAgent, RunContextWrapper, function_tool
from realtime_core.audio import g711
from realtime_core.local import Call as ToolCall
from realtime_core.local import Reply, Script, Turn
from realtime_core.testing import virtual_time
from telephony import Call, EndedCall
from telephony.replay.replaying import replay_call
from telephony.simulator import Handset, clips
from telephony.simulator.tones import tone
from tests.support.databases import database
from tests.support.office import office
from tests.support.planted import audio_in, bytes_of, delivered, pcm, rows_of, strength, words_in

WORDS = ("aardvark", "wallaby", "platypus", "numbat", "echidna", "quokka", "bilby", "735124", "4242424242424242")
OPEN_WORDS = ("margherita", "goodbye then")
CALLER_HZ, AGENT_HZ, OPEN_HZ = 1209, 620, 1633
log = logging.getLogger("an.application")


@function_tool
async def pay(ctx: RunContextWrapper[Call], order: str) -> str:
    """Take a card."""
    call = ctx.context
    async with call.secret():
        await call.play(tone((AGENT_HZ,), 0.8))
        log.warning("the card of aardvark")
        call.note("card", holder="quokka", number=4242424242424242)
        await call.say("Say it: WALLABY.")
        await asyncio.sleep(4)  # the caller speaks, the model calls `note_card`
        digits = await call.collect_digits(tone((AGENT_HZ,), 0.5), max_digits=6)
    return f"Paid {len(digits.value)}."


@function_tool
async def open_secret(ctx: RunContextWrapper[Call]) -> str:
    """Begin a secret part that does not end with the tool."""
    work.append(asyncio.create_task(stays_secret(ctx.context)))
    return "Go on."


work: list[asyncio.Task[None]] = []


async def stays_secret(call: Call) -> None:
    async with call.secret():
        await asyncio.sleep(9)


@function_tool
async def note_card(holder: str, number: int) -> str:
    """Note a card."""
    return f"Noted for {holder}: echidna"


@function_tool
async def break_down(ctx: RunContextWrapper[Call]) -> str:
    """Fail in a secret part."""
    async with ctx.context.secret():
        raise ValueError("the bilby is out")


SCRIPT = Script(
    greeting=Reply(say="Hello."),
    turns=[
        Turn(Reply(say="Thank you."), heard="A Margherita, please.", calls=[ToolCall("pay", '{"order": "one"}')]),
        Turn(Reply(say="Your card, then."), heard="My card.", calls=[ToolCall("open_secret", "{}")]),
        Turn(
            Reply(say="Thank you, platypus."),
            heard="It is wallaby, four two four two.",
            calls=[ToolCall("note_card", json.dumps({"holder": "numbat", "number": 4242424242424242}))],
        ),
        Turn(Reply(say="All is well."), heard="And now?", calls=[ToolCall("break_down", "{}")]),
        Turn(Reply(say="Goodbye then."), heard="Goodbye then."),
        Turn(Reply(say="Please say the aardvark number, wallaby."), text="WALLABY"),
    ],
    otherwise=Reply(say="Yes."),
)


async def pays(phone: Handset) -> None:
    await phone.agent_speaks()
    await phone.agent_silent(1.0)
    await phone.say(clips.load("booking") + tone((OPEN_HZ,), 0.4))
    await phone.agent_speaks(within_s=20)
    await phone.agent_silent(1.5)
    await phone.say(clips.load("hello") + tone((CALLER_HZ,), 0.5))
    await asyncio.sleep(6)
    for key in "735124":
        phone.press(key)
        await asyncio.sleep(0.2)
    for turn in range(4):
        await phone.agent_speaks(within_s=20)
        await phone.agent_silent(1.5)
        await phone.say(clips.load("sorry_hours") + tone((CALLER_HZ,), 0.3) if turn == 1 else "sorry_hours")
    await asyncio.sleep(5)


@pytest.fixture(scope="module", params=extent([("sqlite", 3)], [("sqlite", 3), ("sqlite", 4), ("postgresql", 5)]))
def left(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Any]]:
    """What one call with secret parts left behind."""
    kind, seed = request.param
    folder = tmp_path_factory.mktemp("secret")
    with database(kind, folder) as (url, files):
        yield what_is_left(folder, url, files, seed)


def what_is_left(folder: Path, database_url: str, database_folder: Path, seed: int) -> dict[str, Any]:
    """`database_folder` has the files of the database."""
    spans = InMemorySpanExporter()
    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(spans))
    ended: list[EndedCall[Any]] = []
    fed: list[Any] = []
    lines: list[str] = []

    class Lines(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            lines.append(logging.Formatter("%(name)s %(message)s").format(record))

    async def main() -> None:
        given = {
            "telephony_journal_dir": folder / "calls",
            "telephony_trace_content": True,
            "database_url": database_url,
        }
        agent = RealtimeAgent(name="Desk", tools=[pay, open_secret, note_card, break_down])
        async with office(SCRIPT, agent=agent, given=given, tracer_provider=provider, on_end=ended.append) as (
            twilio,
            app,
        ):
            app.state.phone.call_records.client.announces = True
            call = twilio.start_ringing(caller=pays)
            recording = call.record("DialVerb")

            async def watch() -> None:
                with app.state.console.feeds.follow(call.sid) as feed:
                    fed.extend([record async for record in feed.records()])

            watching = asyncio.create_task(watch())
            statuses: list[str] = []
            while not call.is_over:
                await asyncio.sleep(0.1)
                if not statuses or statuses[-1] != recording.status:
                    statuses.append(recording.status)
            await call.finished()
            await watching
            seen["recording"] = statuses
            seen["metrics"] = app.state.phone.metrics.render()
            row = await app.state.phone.call_records.client.call(call.sid)
            seen["row"] = json.dumps(row.to_json())
            await app.state.phone.call_records.client.flush(5)
            files.extend(bytes_of(database_folder))  # with the write-ahead log, which the end of the process removes

    seen: dict[str, Any] = {}
    files: list[tuple[str, bytes]] = []
    handler = Lines()
    logging.getLogger().addHandler(handler)
    try:
        virtual_time.run(main, seed=seed)
    finally:
        logging.getLogger().removeHandler(handler)
    things = [
        *bytes_of(folder),
        *files,
        *bytes_of(database_folder),
        ("rows", rows_of(database_url)),
        *(("webhook", body) for body in asyncio.run(delivered(database_url))),
        ("metrics", seen["metrics"]),
        ("traces", "".join(span.to_json() for span in spans.get_finished_spans()).encode()),
        ("logs", "\n".join(lines).encode()),
        ("record", seen["row"].encode()),
        ("feed", json.dumps(fed).encode()),
        ("transcript", repr(ended[0].transcript).encode()),
    ]
    return {"folder": folder, "things": things, "ended": ended[0], **seen}


def test_the_search_finds_what_a_call_may_leave(left: dict[str, Any]) -> None:
    """The call's id is in each place that is searched, so the search reads what the place has."""
    sid = json.loads(left["row"])["sid"]
    found = {name.partition(".")[0] for name, _ in words_in(left["things"], [sid])}
    places = {"journal", "rows", "webhook", "traces", "record"}
    assert found > places, "and in at least one file of the database"
    assert words_in(left["things"], ["hidden: the call is in a secret part"]) == [
        ("logs", "hidden: the call is in a secret part")
    ]


def test_no_word_and_no_key_of_a_secret_part_is_anywhere(left: dict[str, Any]) -> None:
    assert words_in(left["things"], WORDS) == []


def test_what_was_said_before_and_after_is_recorded(left: dict[str, Any]) -> None:
    journal = [(name, data) for name, data in left["things"] if name.startswith("journal")]
    assert {word for _, word in words_in(journal, OPEN_WORDS)} == set(OPEN_WORDS)
    assert words_in([("transcript", repr(left["ended"].transcript).encode())], OPEN_WORDS)


def test_no_sample_of_a_secret_part_is_in_the_journal(left: dict[str, Any]) -> None:
    (journal,) = (data for name, data in left["things"] if name.startswith("journal"))
    pieces = list(audio_in(journal))
    for hz in (CALLER_HZ, AGENT_HZ):
        assert max(strength(samples, hz) for _, samples in pieces) < 0.3, hz
    assert max(strength(samples, OPEN_HZ) for _, samples in pieces) > 0.8


def test_the_recording_at_twilio_is_paused(left: dict[str, Any]) -> None:
    assert left["recording"][:3] == ["in-progress", "paused", "in-progress"]


def test_a_call_with_a_secret_part_can_be_replayed(left: dict[str, Any]) -> None:
    (journal,) = (left["folder"] / "calls").glob("*/journal.jsonl")
    agent = RealtimeAgent(name="Desk", tools=[pay, open_secret, note_card, break_down])
    replayed = replay_call(journal, agent)
    assert replayed.divergence is None, replayed.divergence


def test_the_audio_of_the_journal_agrees_with_its_checksums(left: dict[str, Any]) -> None:
    from telephony.journal.audio import rebuild
    from telephony.journal.collector import collect
    from telephony.journal.reader import read_journal

    (journal,) = Path(left["folder"] / "calls").glob("*/journal.jsonl")
    assert rebuild(collect(read_journal(journal))).mismatches == 0


@pytest.mark.virtual_time
async def test_a_secret_part_begins_when_the_caller_has_heard_what_was_said_before() -> None:
    """Audio of before, which the records have, is not heard inside."""
    at: list[int] = []

    @function_tool
    async def take_card(ctx: RunContextWrapper[Call]) -> str:
        """Take a card."""
        saying = asyncio.create_task(ctx.context.play(tone((AGENT_HZ,), 3.0)))
        await asyncio.sleep(0.5)
        async with ctx.context.secret():
            at.append(len(simulated[0].heard))
            await asyncio.sleep(1.0)
            at.append(len(simulated[0].heard))
        await saying
        return "Done."

    async def caller(phone: Handset) -> None:
        await phone.agent_speaks()
        await phone.agent_silent(1.0)
        await phone.say("booking")
        await phone.agent_speaks(within_s=20)
        await phone.agent_silent(3.0)

    simulated: list[Any] = []
    script = Script([Turn(Reply(say="Yes."), calls=[ToolCall("take_card", "{}")])], greeting=Reply(say="Hello."))
    async with office(script, agent=RealtimeAgent(name="Desk", tools=[take_card])) as (twilio, _):
        simulated.append(twilio.start_ringing(caller=caller))
        await simulated[0].ends()
    before, inside = (pcm(g711.decode(bytes(simulated[0].heard)[slice(*part)])) for part in ((0, at[0]), tuple(at)))
    assert len(inside) >= 8000 and strength(inside, AGENT_HZ) < 0.3 < 0.8 < strength(before, AGENT_HZ)
