"""The calls of evals: personas, recorded callers, scripted callers, and their lines."""

from __future__ import annotations

import itertools
import shutil
import tomllib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from benchmarks.evals import baseline, our_turns
from realtime_core import RealtimeAgent, function_tool
from telephony.call.options import CallOptions
from telephony.errors import EvalError
from telephony.evals import speech
from telephony.evals.acoustics import Acoustics, noise
from telephony.evals.call import Plan, make_call
from telephony.evals.caller_actions import CallerActionKind
from telephony.evals.cases import Case, find_cases
from telephony.evals.evidence import Evidence
from telephony.evals.persona import LineProfile, NoiseKind, Persona
from telephony.evals.players import Move, StandInPlayer, TextPlayer
from telephony.evals.run import ComparedAgent, VoiceSettings, make_calls
from telephony.evals.speech import StoredVoice, voice_of
from telephony.evals.texts import HttpChat
from tests.support.chat_server import chat_service

ADA = """
name = "Ada"
goal = "A table for two on Friday, please."
facts = { day = "Friday", people = 2, name = "Ada" }
"""


class Scripted:
    """A player with fixed moves."""

    def __init__(self, moves: Sequence[Move]) -> None:
        self.heard: list[str] = []
        self._moves = iter(moves)

    def next(self, heard: str) -> Move:
        self.heard.append(heard)
        return next(self._moves, Move(hang_up=True))


@pytest.fixture
def persona(tmp_path: Path) -> Callable[[str], Case]:
    def write(more: str = "") -> Case:
        (tmp_path / "ada.toml").write_text(ADA + more)
        return find_cases([tmp_path / "ada.toml"])[0]

    return write


def plan(agent: Any = baseline, **fields: Any) -> Plan:
    return Plan(agent, player=StandInPlayer, voice=StoredVoice(), run_tools=True, **fields)


def call(case: Case, wanted: Plan | None = None, seed: int = 1, model_seed: int = 2) -> Evidence:
    return make_call(case, wanted or plan(), caller_seed=seed, model_seed=model_seed)


def kinds(evidence: Evidence) -> list[CallerActionKind]:
    return [act.kind for act in evidence.acts]


def test_a_persona_reaches_its_goal_in_a_phone_call(persona: Callable[[str], Case]) -> None:
    evidence = call(persona(""))
    assert [(tool.name, tool.arguments) for tool in evidence.tools] == [
        ("book_table", {"day": "Friday", "people": 2}), ("hang_up", {}),
    ]  # fmt: skip
    assert evidence.ended == "agent hung up" and not evidence.error
    said = [line.said for line in evidence.lines if line.speaker == "caller"]
    assert said == ["A table for two on Friday, please.", "Yes, that is right.", "No, thank you. Goodbye."]
    assert 500 < evidence.measures["response_latency_ms"] < 1500 and evidence.measures["goodbye_heard"] == 1
    assert evidence.facts["people"] == 2


def test_the_same_seeds_make_the_same_call(persona: Callable[[str], Case]) -> None:
    case = persona("backchannels = 0.5\ninterrupts = 0.3\nhesitates = 0.5\n")
    assert call(case) == call(case)
    assert call(case) != call(case, seed=5)


def test_a_persona_says_mhm_and_its_policy_decides_about_the_cut(persona: Callable[[str], Case]) -> None:
    case = persona("backchannels = 1.0\n")
    cut, kept = call(case), call(case, plan(configure=our_turns))
    assert CallerActionKind.BACKCHANNEL in kinds(cut)
    assert cut.measures["false_cuts"] >= 1 and kept.measures["false_cuts"] == 0


def test_a_persona_interrupts(persona: Callable[[str], Case]) -> None:
    evidence = call(persona("interrupts = 1.0\n"))
    over = [act for act in evidence.acts if act.kind is CallerActionKind.INTERRUPTS]
    assert over and all(act.over_agent for act in over)
    assert evidence.measures["barge_in_silence_ms"] < 300 and evidence.measures["missed_barge_ins"] == 0


def test_a_persona_hesitates_in_the_middle_of_a_sentence(persona: Callable[[str], Case]) -> None:
    said = [act.text for act in call(persona("hesitates = 1.0\n")).acts]
    assert said[0].endswith("uh,") and said[1] == "two on Friday, please."


@pytest.mark.parametrize("moves", [[Move(keys="1")], [Move(say="Hello.", keys="*2")]], ids=str)
def test_a_persona_presses_keys(persona: Callable[[str], Case], moves: list[Move]) -> None:
    player = Scripted(moves)
    evidence = call(persona(""), replace(plan(), player=lambda persona: player))
    assert [act.text for act in evidence.acts if act.kind is CallerActionKind.KEY] == list(moves[0].keys)
    assert any(line.said.startswith("You pressed") for line in evidence.lines)
    assert player.heard[0].startswith("Hello, this is Blu.")


def waits_for_the_caller(options: CallOptions) -> None:
    options.greeting = None


def test_a_persona_without_patience_hangs_up(persona: Callable[[str], Case]) -> None:
    case = persona("patience_s = 3\n[line]\nlevel_db = -40\n")  # the agent waits for a caller whom it cannot hear
    evidence = call(case, plan(configure=waits_for_the_caller))
    assert [act.text for act in evidence.acts] == ["Hello?", ""]
    assert kinds(evidence)[-1] is CallerActionKind.GIVES_UP and evidence.measures["gave_up"] == 1


def test_a_persona_that_gets_nothing_gives_up(persona: Callable[[str], Case]) -> None:
    evidence = call(persona(""), plan(RealtimeAgent(name="Nobody", instructions="You are Nobody.")))
    assert kinds(evidence)[-1] is CallerActionKind.GIVES_UP and not evidence.tools


LINES = (
    "noise = 'street'\nnoise_dbfs = -60\nlevel_db = -6",
    "loss = 0.05\nround_trip_ms = 300\njitter_ms = 60",
    "speakerphone = true",
)


@pytest.mark.parametrize("line", LINES, ids=str)
def test_a_call_over_a_bad_line_reaches_its_goal(persona: Callable[[str], Case], line: str) -> None:
    evidence = call(persona(f"[line]\n{line}\n"), plan(configure=our_turns))
    assert "book_table" in [tool.name for tool in evidence.tools], evidence.lines


def test_stubs_answer_where_tools_do_not_run(persona: Callable[[str], Case]) -> None:
    ran = []

    @function_tool
    def book_table(day: str, people: int) -> str:
        """Book a table."""
        ran.append(day)
        return "Booked."

    agent = baseline.clone(tools=[book_table, *baseline.tools[1:]])
    evidence = call(persona(""), replace(plan(agent), run_tools=False))
    assert not ran and "a stub" in evidence.tools[0].output
    assert evidence.ended == "agent hung up"  # a tool that only acts on the simulated call does run


def test_the_result_object_is_part_of_the_evidence(persona: Callable[[str], Case]) -> None:
    from pydantic import BaseModel

    class Booking(BaseModel):
        day: str = "not known"

    evidence = call(persona(""), replace(plan(), result=Booking))
    assert evidence.result == {"day": "not known"}


def test_a_text_model_plays_a_persona_and_speaks_with_a_voice_of_a_service(persona: Callable[[str], Case]) -> None:
    moves: Iterator[dict[str, Any]] = itertools.chain(
        [{"say": "A table for two on Friday, please."}, {"say": "Yes, that is right."}],
        itertools.repeat({"press": "x1", "hang_up": True}),
    )
    wav = (Path(speech.__file__).parent / "clips" / "human-en-booking.wav").read_bytes()
    with chat_service(lambda body: next(moves)) as texts, chat_service(lambda body: wav) as voices:
        chat = HttpChat(texts.url, "player-1")
        voice = voice_of("http", url=voices.url, model="tts-1", voice="alloy")
        wanted = Plan(baseline, player=lambda persona: TextPlayer(persona, chat), voice=voice, run_tools=True)
        evidence = call(persona(""), wanted)
    assert evidence.tools[0].name == "book_table"
    asked = texts.requests[0]["messages"]
    assert "Ada" in asked[0]["content"] and "people: 2" in asked[0]["content"]
    assert asked[1]["content"].startswith("Hello, this is Blu.")
    assert {request["path"] for request in voices.requests} == {"/v1/audio/speech"}
    assert [act.text for act in evidence.acts if act.kind is CallerActionKind.KEY] == ["1"]


def test_a_recorded_caller_calls_again(persona: Callable[[str], Case], tmp_path: Path) -> None:
    journal = tmp_path / "calls" / "one" / "journal.jsonl"
    first = call(persona(""), replace(plan(), journal=journal))
    (case,) = find_cases([tmp_path / "calls"])
    again = call(case, plan(), model_seed=9)
    assert case.name == "one" and again.recorded_tools[0] == ("book_table", first.tools[0].arguments)
    assert again.tools[0].arguments == first.tools[0].arguments
    assert [line.said for line in again.lines if line.speaker == "caller"][:2] == [
        line.said for line in first.lines if line.speaker == "caller"
    ][:2]


def test_a_scripted_caller_calls(tmp_path: Path) -> None:
    (tmp_path / "booker.toml").write_text(
        'steps = [{ agent_speaks = 20 }, { agent_silent = 1.0 }, { say = "booking" }, { agent_speaks = 20 },'
        " { agent_silent = 1.0 }, { hang_up = true }]"
    )
    evidence = call(find_cases([tmp_path])[0])
    assert evidence.ended == "hung up"
    assert "people 2" in [line.said for line in evidence.lines if line.speaker == "agent"][1]


def test_an_agent_that_fails_is_an_error_of_the_call_and_not_of_the_eval(tmp_path: Path) -> None:
    (tmp_path / "ada.toml").write_text(ADA)
    (result,) = make_calls(
        [ComparedAgent("new", "benchmarks.evals:baseline", configure="tests.telephony.test_eval_calls:breaks")],
        find_cases([tmp_path]), repeat=1, model="embedded", workers=1, voice=VoiceSettings("stored"),
    )["new"]  # fmt: skip
    assert "broken" in result.evidence.error


def breaks(options: CallOptions) -> None:
    raise EvalError("broken on purpose")


@pytest.mark.parametrize(("name", "words"), [("robot", "no voice"), ("http", "--voice-url")], ids=str)
def test_a_wrong_voice_is_refused(name: str, words: str) -> None:
    with pytest.raises(EvalError, match=words):
        voice_of(name)


def test_flite_speaks_english_only() -> None:
    with pytest.raises(EvalError, match="espeak-ng"):
        speech.LocalVoice("/usr/bin/flite").speak("Hallo.", "de")


@pytest.mark.parametrize("program", ["espeak-ng", "flite"])
def test_a_local_voice_speaks_at_the_common_level(program: str) -> None:
    if shutil.which(program) is None:
        pytest.skip(f"no {program} on PATH (Debian: apt-get install {program})")
    assert len(voice_of(program).speak("A table for two.")) > 4000


def test_a_missing_voice_says_how_to_install_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")
    assert voice_of("auto").name == "stored"
    with pytest.raises(EvalError, match="apt-get install flite"):
        voice_of("flite")


@pytest.mark.parametrize("kind", [kind for kind in NoiseKind if kind is not NoiseKind.NONE], ids=str)
def test_noise_has_its_level_and_repeats(kind: NoiseKind) -> None:
    made = noise(kind, -40, 1)
    assert (made**2).mean() ** 0.5 == pytest.approx(32768 / 100, rel=1e-6)
    assert (made == noise(kind, -40, 1)).all() and (made != noise(kind, -40, 2)).any()


def test_a_speakerphone_returns_the_agents_voice() -> None:
    acoustics = Acoustics(LineProfile(speakerphone=True), 1)
    loud = bytes([0x80]) * 160
    heard = []
    for _ in range(6):
        acoustics.loudspeaker(loud)
        heard.append(acoustics.microphone(b"\xff" * 160))
    assert heard[0] == b"\xff" * 160 and heard[-1] != b"\xff" * 160


def test_a_persona_file_is_toml_with_a_line() -> None:
    assert Persona.model_validate(tomllib.loads(f"{ADA}[line]\nnoise = 'babble'\n")).line.noise is NoiseKind.BABBLE
