"""The consent to a recording: nothing of before the notice's end, and nothing after a refusal, is in any record.

The search reads the journal, the files and the rows of the database, a delivered webhook, the metrics and the traces.
`PROOF=1` also takes PostgreSQL.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from benchmarks.extent import extent
from realtime_core import RealtimeAgent, RunContextWrapper, function_tool
from realtime_core.errors import UserError
from realtime_core.local import Call as ToolCall
from realtime_core.local import Reply, Script, Turn
from realtime_core.testing import virtual_time
from telephony import Call
from telephony.call.call_info import CallInfo
from telephony.call.consent import Answer, Consent, consent_of
from telephony.errors import AudioFileError
from telephony.journal.daemon import in_daemon
from telephony.replay.replaying import replay_call
from telephony.simulator import Handset, Line, SimulatedCall, clips
from telephony.simulator.tones import tone
from tests.support.databases import database
from tests.support.journal_disk import wait_until_taken
from tests.support.office import office
from tests.support.phone_calls import phone_call
from tests.support.planted import audio_in, bytes_of, delivered, rows_of, strength, words_in

NOTICE = tone((350,), 2.0)
NOTICE_HZ, BEFORE_HZ, AFTER_HZ = 350, 1209, 697
BEFORE, AFTER = (clips.load("hello") + tone((hz,), 0.5) for hz in (BEFORE_HZ, AFTER_HZ))
SCRIPT = Script(
    greeting=Reply(say="Hello. How can I help you?"),
    turns=[
        Turn(Reply(say="For quokka, then."), heard="A table for wallaby."),
        Turn(Reply(say="Thank you, bilby."), heard="Aardvark it is."),
    ],
    otherwise=Reply(say="Yes."),
)
CONSENT = Consent("two-party", notice=NOTICE, text="This call is recorded.")


async def speaks_early(phone: Handset) -> None:
    """Speaks over the notice, then after the greeting."""
    await phone.say(BEFORE)
    await phone.agent_speaks()
    await phone.say(BEFORE)
    await phone.agent_silent(1.0)
    await phone.agent_silent(1.0)
    await phone.say(AFTER)
    await phone.agent_speaks()
    await phone.agent_silent(1.0)
    await phone.say("sorry_hours")
    await asyncio.sleep(4)


Left = dict[str, Any]


@pytest.fixture(params=extent(["sqlite"], ["sqlite", "postgresql"]))
def records(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[tuple[str, Path]]:
    """The address of a database, and the folder of its files."""
    with database(request.param, tmp_path) as found:
        yield found


def call_of(
    folder: Path,
    consent: Any,
    caller: Any = speaks_early,
    *,
    records: tuple[str, Path] | None = None,
    script: Script = SCRIPT,
    agent: RealtimeAgent[Any] | None = None,
    given: dict[str, Any] | None = None,
) -> Left:
    """What one call of an application left behind, also in the database of the `records`, and in a webhook."""
    left: Left = {}
    spans = InMemorySpanExporter()
    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(spans))
    files: list[tuple[str, bytes]] = []

    async def main() -> None:
        settings = {"telephony_journal_dir": folder / "calls", "telephony_trace_content": True, **(given or {})}
        if records is not None:
            settings["database_url"] = records[0]
        async with office(script, agent=agent, given=settings, consent=consent, tracer_provider=provider) as (
            twilio,
            app,
        ):
            app.state.phone.call_records.client.announces = True
            call: SimulatedCall = await twilio.ring(caller=caller)
            await twilio.close()
            row = await app.state.phone.call_records.client.call(call.sid)
            left.update(call=call, row=row, requests=[(m, p) for m, p, _ in twilio.requests])
            files.append(("metrics", app.state.phone.metrics.render()))
            if records is not None:
                await app.state.phone.call_records.client.flush(5)
                files.extend(bytes_of(records[1]))  # with the write-ahead log, which the end of the process removes

    virtual_time.run(main, seed=3)
    if records is not None:
        files += [*bytes_of(records[1]), ("rows", rows_of(records[0]))]
        files += [("webhook", body) for body in asyncio.run(delivered(records[0]))]
    files.append(("traces", "".join(span.to_json() for span in spans.get_finished_spans()).encode()))
    left["things"] = [*bytes_of(folder), *files, ("record", json.dumps(left["row"].to_json()).encode())]
    left["journal"] = next(data for name, data in left["things"] if name.startswith("journal"))
    return left


def tones(left: Left) -> dict[int, float]:
    pieces = [samples for name, samples in audio_in(left["journal"]) if name == "caller"]
    return {hz: max(strength(samples, hz) for samples in pieces) for hz in (BEFORE_HZ, AFTER_HZ)}


def replays(folder: Path, agent: RealtimeAgent[Any] | None = None) -> None:
    (journal,) = (folder / "calls").glob("*/journal.jsonl")
    replayed = replay_call(journal, agent or RealtimeAgent(name="Desk"))
    assert replayed.divergence is None, replayed.divergence


# --- the notice ------------------------------------------------------------------------------------------------------


@pytest.mark.virtual_time
@pytest.mark.parametrize("round_trip_s", [0.0, 0.2])
async def test_a_barge_in_during_the_notice_does_not_shorten_it(round_trip_s: float) -> None:
    evidence: list[Any] = []
    call = await phone_call(
        speaks_early,
        script=SCRIPT,
        consent=CONSENT,
        line=Line(seed=1, round_trip_s=round_trip_s, start_delay_s=0.1),
        on_consent=lambda call, it: evidence.append(it.to_json()),
    )
    assert NOTICE in call.peer.heard
    assert evidence[-1]["heard"] and evidence[-1]["notices"] == 1 and evidence[-1]["position"] >= len(NOTICE)


def test_nothing_of_before_the_end_of_the_notice_is_kept(tmp_path: Path, records: tuple[str, Path]) -> None:
    left = call_of(tmp_path, CONSENT, records=records)
    heard = tones(left)
    assert heard[BEFORE_HZ] < 0.3 and heard[AFTER_HZ] > 0.8
    assert left["row"].consent["answer"] == Answer.STAYED
    assert left["row"].consent["notice"] == "This call is recorded." and left["row"].consent["heard_at"]
    assert words_in(left["things"], ["wallaby"]), "the call is recorded after the notice"
    replays(tmp_path)


def test_the_model_says_a_notice_of_words_in_the_language_of_the_call(tmp_path: Path) -> None:
    script = Script(SCRIPT.turns, greeting=Reply(say="Hello."),
                    otherwise=Reply(say="Yes."))  # fmt: skip
    spoken = Turn(Reply(say="This call is recorded for training."), text="This call is recorded")
    script = Script([*script.turns, spoken], greeting=Reply(say="Hello."), otherwise=Reply(say="Yes."))
    consent = Consent("one-party", notice={"en": "This call is recorded.", "de": "Wird aufgezeichnet."})
    assert consent.lines("de-AT") == [("Wird aufgezeichnet.", None)]
    left = call_of(tmp_path, consent, script=script)
    evidence = left["row"].consent
    assert evidence["heard"] and evidence["notice"] == "This call is recorded."
    assert tones(left)[BEFORE_HZ] < 0.3


def test_an_agent_says_that_it_is_an_ai_where_the_policy_wants_it() -> None:
    consent = Consent("two-party", notice="Recorded.", discloses_ai=True)
    assert (
        next(words for words, _ in consent.lines("fr")) == "Vous parlez avec un assistant d'intelligence artificielle."
    )
    assert [words for words, _ in Consent(discloses_ai=True, disclosure="I am a bot.").lines("en")] == ["I am a bot."]


@pytest.mark.virtual_time
async def test_a_notice_that_code_cuts_off_is_played_again() -> None:
    evidence: list[Any] = []

    async def cuts(call: Call) -> None:
        await asyncio.sleep(1.0)
        await call.interrupt()

    await phone_call(
        speaks_early, script=SCRIPT, consent=CONSENT, beside=cuts,
        on_consent=lambda call, it: evidence.append(it.to_json()),
    )  # fmt: skip
    assert evidence[-1]["heard"] and evidence[-1]["notices"] == 2


# --- refusals --------------------------------------------------------------------------------------------------------


@function_tool
async def no_recording(ctx: RunContextWrapper[Call]) -> str:
    """Do not record."""
    ctx.context.refuse_recording()
    return "Nothing is recorded."


async def presses_nine(phone: Handset) -> None:
    await phone.agent_speaks()
    await asyncio.sleep(2.5)
    phone.press("9")
    await goes_on(phone)


async def goes_on(phone: Handset) -> None:
    for _ in range(2):
        await phone.agent_speaks()
        await phone.agent_silent(1.0)
        await phone.say(BEFORE)
    await asyncio.sleep(4)


async def speaks_first(phone: Handset) -> None:
    await phone.agent_speaks()
    await phone.agent_silent(1.0)
    await phone.agent_speaks()
    await phone.agent_silent(1.0)
    await phone.say("hello")
    await phone.agent_speaks()
    await goes_on(phone)


def refusing(first: Turn) -> Script:
    return Script([first, *SCRIPT.turns], greeting=Reply(say="Hello."), otherwise=Reply(say="Yes."))


REFUSALS = {
    "key": (presses_nine, SCRIPT),
    "word": (speaks_first, refusing(Turn(Reply(say="Fine."), heard="Please do NOT record me, thanks."))),
    "tool": (
        speaks_first,
        refusing(Turn(Reply(say="Fine."), heard="No tape.", calls=[ToolCall("no_recording", "{}")])),
    ),
}


@pytest.mark.parametrize("by", REFUSALS)
def test_nothing_after_a_refusal_is_kept(tmp_path: Path, by: str, records: tuple[str, Path]) -> None:
    caller, script = REFUSALS[by]
    agent = RealtimeAgent(name="Desk", tools=[no_recording])
    left = call_of(tmp_path, CONSENT, caller, records=records, script=script, agent=agent)
    assert {name for name, _ in words_in(left["things"], [left["row"].sid])} > {"rows", "webhook", "traces"}
    assert (left["row"].consent["answer"], left["row"].consent["by"]) == (Answer.REFUSED, by)
    assert words_in(left["things"], ["wallaby", "quokka", "aardvark", "bilby"]) == []
    assert tones(left)[BEFORE_HZ] < 0.3
    assert strength(audio_of(left["call"]), NOTICE_HZ) > 0.8
    replays(tmp_path, agent)


def audio_of(call: SimulatedCall) -> Any:
    from realtime_core.audio import g711
    from tests.support.planted import pcm

    return pcm(g711.decode(call.heard))


def test_a_caller_who_is_asked_and_does_not_answer_is_not_recorded(tmp_path: Path) -> None:
    async def waits(phone: Handset) -> None:
        await phone.agent_speaks()
        await asyncio.sleep(7)
        await goes_on(phone)

    left = call_of(tmp_path, Consent("two-party", notice=NOTICE, asks=True, answer_s=4), waits)
    assert (left["row"].consent["answer"], left["row"].consent["by"]) == (Answer.REFUSED, "silence")
    assert words_in(left["things"], ["wallaby", "quokka"]) == [] and tones(left)[BEFORE_HZ] < 0.3
    replays(tmp_path)


def test_a_caller_who_is_asked_and_accepts_is_recorded_from_the_answer_on(tmp_path: Path) -> None:
    async def accepts(phone: Handset) -> None:
        await phone.agent_speaks()
        await asyncio.sleep(2.2)
        await phone.say(BEFORE)
        phone.press("1")
        await phone.agent_speaks()
        await phone.agent_silent(1.0)
        await phone.say(AFTER)
        await asyncio.sleep(4)

    left = call_of(tmp_path, Consent("two-party", notice=NOTICE, asks=True), accepts)
    assert (left["row"].consent["answer"], left["row"].consent["by"]) == (Answer.ACCEPTED, "key")
    assert tones(left)[BEFORE_HZ] < 0.3 < 0.8 < tones(left)[AFTER_HZ]


@pytest.mark.parametrize(
    ("words", "language", "answer"),
    [
        ("Yes, sure.", "en", Answer.ACCEPTED),
        ("No.", "en-GB", Answer.REFUSED),
        ("Bitte nicht aufzeichnen!", "de", Answer.REFUSED),
        ("Sí, de acuerdo", "es", Answer.ACCEPTED),
        ("Oui", "fr", Answer.ACCEPTED),
        ("Non registrare, per favore", "it", Answer.REFUSED),
        ("What did you say?", "en", Answer.NONE),
        ("I want to notice a yesterday", "en", Answer.NONE),
    ],
)
def test_answers_in_words(words: str, language: str, answer: Answer) -> None:
    assert Consent("two-party", notice="?", asks=True).answer(words, language) is answer


# --- recordings ------------------------------------------------------------------------------------------------------


def test_twilio_records_only_after_the_notice_and_not_after_a_refusal(tmp_path: Path) -> None:
    consent = Consent("two-party", notice=NOTICE, records_at_twilio=True)
    kept = call_of(tmp_path / "kept", consent)
    assert kept["row"].consent["recording"].startswith("RE")
    (recording,) = kept["call"].recordings
    assert (recording.started - kept["call"].started).total_seconds() >= 2.0
    refused = call_of(tmp_path / "refused", consent, presses_nine)
    assert refused["call"].recordings == [] and refused["row"].consent["recording"] == ""


@pytest.mark.parametrize("follows", ["hang-up", "transfer", "continue"])
def test_a_call_that_must_be_recorded_and_is_not_follows_the_policy(tmp_path: Path, follows: str) -> None:
    consent = Consent(
        "one-party", requires_recording=True, without_recording=follows, transfer_to="+14155550123"
    )  # fmt: skip
    (tmp_path / "calls").write_text("no folder")
    left: Left = {}

    async def main() -> None:
        given = {"telephony_journal_dir": tmp_path / "calls"}
        async with office(SCRIPT, given=given, consent=consent) as (twilio, app):
            disk = app.state.phone.journals._disk

            async def caller(phone: Handset) -> None:
                """Speaks after the thread of the journals has tried to write the journal."""
                await asyncio.sleep(0.1)
                assert disk.taken
                await in_daemon(lambda: wait_until_taken(disk), "wait")
                await speaks_early(phone)

            call = await twilio.ring(caller=caller)
            await asyncio.sleep(1)
            row = await app.state.phone.call_records.client.call(call.sid)
            dialled = [it.to for it in twilio.calls.values() if it.direction != "inbound"]
            left.update(row=row, call=call, dialled=dialled)

    virtual_time.run(main, seed=3)
    assert left["row"].consent["problem"]
    assert (left["row"].ending == "agent_hung_up") == (follows == "hang-up")
    assert (left["dialled"] == ["+14155550123"]) == (follows == "transfer")


def test_a_number_that_records_nothing_keeps_nothing(tmp_path: Path) -> None:
    left = call_of(tmp_path, Consent(records=False))
    assert words_in(left["things"], ["wallaby", "quokka", "aardvark"]) == []
    assert max(tones(left).values()) < 0.3


# --- the policy ------------------------------------------------------------------------------------------------------


def test_a_policy_that_cannot_be_followed_is_refused() -> None:
    for wrong in ({"policy": "three-party"}, {"policy": "two-party"}, {"on_refusal": "transfer"}, {"asks": True}):
        with pytest.raises(UserError):
            Consent(**wrong)


@pytest.mark.parametrize(
    "notice",
    [b"", b"RIFF\x24\0\0\0WAVEfmt ", b"%PDF-1.7", Path("missing.wav"), "notice.wav", {"en": 5},
     {"en": NOTICE, "de": b""}],
    ids=repr,
)  # fmt: skip
def test_a_notice_that_cannot_be_played_is_refused_when_the_policy_is_made(notice: Any) -> None:
    """In a call it would be too late: the caller would be recorded without it, or the call would fail."""
    with pytest.raises((AudioFileError, UserError)):
        Consent("two-party", notice=notice)
    with pytest.raises(AudioFileError):
        Consent(discloses_ai=True, disclosure=notice)


def test_a_notice_is_read_once_and_not_in_each_call(tmp_path: Path) -> None:
    file = tmp_path / "notice.ulaw"
    file.write_bytes(NOTICE)
    policy = Consent("two-party", notice={"en": file}, text="This call is recorded.")
    file.unlink()
    assert policy.lines("de") == [("This call is recorded.", NOTICE)]


def test_a_policy_for_a_number_in_another_notation_applies(tmp_path: Path) -> None:
    left = call_of(tmp_path, {"+1 (415) 555-0199": CONSENT})
    assert left["row"].consent["notice"] == "This call is recorded."


async def _no_plain_function(info: CallInfo) -> Consent:
    return CONSENT


def _leaves(info: CallInfo) -> Consent:
    raise SystemExit(3)


def _fails(info: CallInfo) -> Consent:
    raise ValueError("the customer is unknown")


@pytest.mark.parametrize(
    "policy", [_fails, _leaves, _no_plain_function, lambda info: "two-party", lambda info: [CONSENT]]
)
def test_a_call_whose_policy_is_not_known_goes_on_and_is_not_recorded(
    policy: Any, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    left = call_of(tmp_path, policy)
    assert left["call"].status == "completed" and left["row"].turns, "the agent speaks"
    assert words_in(left["things"], ["wallaby", "quokka", "aardvark"]) == []
    (line,) = [record for record in caplog.records if "is not recorded: its consent policy" in record.getMessage()]
    assert line.levelname == "ERROR"


def test_each_number_may_have_its_policy() -> None:
    policies = {"+1": CONSENT}
    assert consent_of(policies, CallInfo("CA1", called="+1")) is CONSENT
    assert consent_of(policies, CallInfo("CA1", called="+2")) is None
    assert consent_of(lambda info: CONSENT if info.caller == "+3" else None, CallInfo("CA1", caller="+3")) is CONSENT
