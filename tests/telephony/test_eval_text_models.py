"""The text model of personas and judges, against a service that is as strict as OpenAI's: its requests, and each kind
of failure.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from telephony.cli.app import app
from telephony.errors import EvalError
from telephony.evals.cases import find_cases
from telephony.evals.checks import Outcome
from telephony.evals.comparison import CallResult
from telephony.evals.costs import actual_cost, expected_cost
from telephony.evals.criteria import parse_criteria
from telephony.evals.judge import Answer, TextJudge
from telephony.evals.persona import Persona
from telephony.evals.players import TextPlayer
from telephony.evals.run import ChatSettings, ComparedAgent, VoiceSettings, judge_calls, make_calls
from telephony.evals.speech import HttpVoice
from telephony.evals.text_model_usage import TextModelUsage
from telephony.evals.texts import HttpChat
from tests.support.chat_server import Answer as Given
from tests.support.chat_server import Reply, chat_service
from tests.telephony.test_eval_judge import CALL

KEY = "sk-right-0123456789"
ASKED = [{"role": "user", "content": "Answer with a JSON object."}]
ADA = (
    'name = "Ada"\ngoal = "A table for two on Friday, please."\nfacts = { day = "Friday", people = 2, name = "Ada" }\n'
)
POLITE = '[[criterion]]\nname = "is polite"\njudge = "Is the agent polite?"\nvotes = 1\n'
BOOKS = '[[criterion]]\nname = "books"\ntool = "book_table"\n'


@pytest.fixture(autouse=True)
def waits(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The pauses before a request is sent again. Nothing waits."""
    waited: list[float] = []
    monkeypatch.setattr("telephony.evals.texts.time.sleep", waited.append)
    return waited


def error_of(answer: Given, *, key: str | None = KEY, given: str | None = KEY) -> str:
    """The message of the error that this answer causes."""
    with chat_service(answer, key=key) as service, pytest.raises(EvalError) as error:
        HttpChat(service.url, "judge-1", given).ask_json(ASKED)
    return str(error.value).replace(service.url, "URL")


def refused(status: int, code: str, message: str = "No.") -> Reply:
    return Reply(status, {"error": {"message": message, "code": code}})


# --- each failure is one line that says what to do -----------------------------------------------------------------


@pytest.mark.parametrize(
    ("answer", "given", "words"),
    [
        ({}, "sk-wrong", "refused the key (HTTP 401): set TELEPHONY_TEXT_MODEL_KEY"),
        ({}, None, "refused the key (HTTP 401): set TELEPHONY_TEXT_MODEL_KEY"),
        (refused(403, "forbidden"), KEY, "refused the key (HTTP 403)"),
        (refused(404, "model_not_found", "No model judge-1."), KEY, "set TELEPHONY_TEXT_MODEL_URL and"),
        (refused(400, "context_length_exceeded", "Too long."), KEY, "refused the request (HTTP 400): Too long."),
        (refused(429, "insufficient_quota"), KEY, "has no quota left (HTTP 429)"),
        (Reply(429, {}, {"retry-after": "3600"}), KEY, "asked to wait 3600 s"),
        (Reply(302, {}, {"location": "/elsewhere"}), KEY, "HTTP 302"),
        (Reply(200, b"x" * 300_000), KEY, "larger than 262144 bytes"),
    ],
    ids=str,
)
def test_a_failure_that_stays_is_reported_at_once(
    answer: Any, given: str | None, words: str, waits: list[float]
) -> None:
    said = error_of(lambda body: answer, given=given)
    assert words in said and "\n" not in said and not waits
    assert KEY not in said and "sk-wrong" not in said


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (500, "refused the request (HTTP 500)"),
        (503, "refused the request (HTTP 503)"),
        (refused(429, "rate_limit_exceeded", f"Slow down,\n{KEY}."), "(HTTP 429): Slow down, ***."),
        ("It is a nice day.", "gave no JSON object, but 'It is a nice day.'"),
        ('{"answer": "yes", "quo', "gave no JSON object"),
        ('["yes"]', "gave no JSON object"),
        (Reply(200, b"<html>502</html>"), "not of the Chat Completions API"),
        (Reply(200, []), "not of the Chat Completions API"),
        (Reply(200, {"choices": [{"message": {"content": None}}], "usage": [1]}), "not of the Chat Completions API"),
        (Reply(200, {"choices": [{"message": {"refusal": "I cannot."}}]}), "refused to answer: 'I cannot.'"),
    ],
    ids=str,
)
def test_a_failure_that_may_pass_is_reported_after_four_tries(answer: Any, words: str, waits: list[float]) -> None:
    said = error_of(lambda body: answer)
    assert words in said and "\n" not in said and len(waits) == 3
    assert KEY not in said


@pytest.mark.parametrize(
    "first",
    [503, Reply(429, {}, {"retry-after": "7"}), "no JSON", Reply(200, b"")],
    ids=str,
)
def test_a_failure_that_passes_is_no_error(first: Any, waits: list[float]) -> None:
    answers: Iterator[Any] = itertools.chain([first], itertools.repeat({"answer": "no"}))
    with chat_service(lambda body: next(answers), key=KEY) as service:
        assert HttpChat(service.url, "judge-1", KEY).ask_json(ASKED) == {"answer": "no"}
    assert waits == [7.0 if isinstance(first, Reply) and first.headers else 0.5]


@pytest.mark.parametrize("slow", ["silent", "dribbles"])
def test_a_slow_service_is_given_up(slow: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("telephony.evals.texts._WITHIN_S", 0.05)
    if slow == "dribbles":
        said = error_of(lambda body: Reply(dribbles=True))
        assert "did not end its answer within" in said
    else:
        import threading

        done = threading.Event()
        with (
            chat_service(lambda body: done.wait(20) and {}) as service,
            pytest.raises(EvalError, match="did not answer"),
        ):
            try:
                HttpChat(service.url, "judge-1").ask_json(ASKED)
            finally:
                done.set()


def test_a_service_that_is_not_there_is_named() -> None:
    with pytest.raises(EvalError, match=r"cannot be reached at http://127\.0\.0\.1:9/v1/chat/completions"):
        HttpChat("http://127.0.0.1:9/v1", "judge-1").ask_json(ASKED)


# --- what real services want ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("model", ["gpt-4.1-mini", "gpt-5-mini", "o4-mini"])
def test_a_persona_and_a_judge_send_nothing_that_the_vendor_refuses(model: str) -> None:
    def answer(body: dict[str, Any]) -> dict[str, Any]:
        return {"say": "Hello.", "answer": "yes", "quote": "For two", "reason": "so"}

    with chat_service(answer, key=KEY) as service:
        chat = HttpChat(service.url, model, KEY)
        player = TextPlayer(Persona(name="Ada", goal="A table."), chat)
        assert [player.next(heard).say for heard in ("Hello, this is Blu.", "")] == ["Hello."] * 2
        assert TextJudge(chat).vote("Does the agent confirm?", CALL).answer is Answer.YES


@pytest.mark.parametrize(
    "text",
    [
        '```json\n{"answer": "no"}\n```',
        'Here it is: {"answer": "no"}. Good?',
        '<think>{"a": 1}</think>{"answer": "no"}',
    ],
    ids=str,
)
def test_a_server_without_json_mode_is_understood(text: str) -> None:
    def answer(body: dict[str, Any]) -> Any:
        return refused(400, "x", "'response_format.type' must be 'json_schema'") if "response_format" in body else text

    with chat_service(answer) as service:
        chat = HttpChat(service.url, "local-1")
        assert chat.ask_json(ASKED) == chat.ask_json(ASKED) == {"answer": "no"}
    assert ["response_format" in request for request in service.requests] == [True, False, False]


def test_a_voice_sends_nothing_that_the_vendor_refuses() -> None:
    wav = (Path(find_cases.__code__.co_filename).parent / "clips" / "human-en-booking.wav").read_bytes()
    with chat_service(lambda body: wav, key=KEY) as service:
        assert HttpVoice(service.url, "gpt-4o-mini-tts", "alloy", KEY).speak("A table for two.")
        with pytest.raises(EvalError, match="401"):
            HttpVoice(service.url, "gpt-4o-mini-tts", "alloy", "sk-wrong").speak("A table for two.")


def test_a_persona_says_goodbye_after_its_last_turn() -> None:
    with chat_service(lambda body: {"say": "And then?"}) as service:
        player = TextPlayer(Persona(name="Ada", goal="A table.", max_turns=2), HttpChat(service.url, "player-1"))
        assert [player.next("Yes?").hang_up for _ in range(2)] == [False, True]
    assert "hang up" in service.requests[1]["messages"][-1]["content"]


# --- in an eval ----------------------------------------------------------------------------------------------------


def played(tmp_path: Path, answer: Given) -> list[CallResult]:
    (tmp_path / "ada.toml").write_text(ADA)
    with chat_service(answer, key=KEY) as service:
        return make_calls(
            [ComparedAgent("new", "benchmarks.evals:baseline")], find_cases([tmp_path]), repeat=1, model="embedded",
            chat=ChatSettings(service.url, "gpt-4.1-mini", KEY), voice=VoiceSettings("stored"), workers=1,
        )["new"]  # fmt: skip


def test_a_caller_that_fails_says_nothing_about_the_agent(tmp_path: Path) -> None:
    (result,) = calls = played(tmp_path, lambda body: refused(400, "x", "Not today."))
    assert result.evidence.error == "The text model gpt-4.1-mini refused the request (HTTP 400): Not today."
    with chat_service(lambda body: {"answer": "no"}) as service:
        judge_calls(parse_criteria(POLITE + BOOKS), calls, TextJudge(HttpChat(service.url, "judge-1")))
    assert {decision.outcome for decision in result.decisions.values()} == {Outcome.UNKNOWN} and not service.requests


def test_the_requests_of_personas_are_counted_and_priced(tmp_path: Path) -> None:
    moves: Iterator[dict[str, Any]] = itertools.chain(
        [{"say": "A table for two on Friday, please."}], itertools.repeat({"hang_up": True})
    )
    calls = played(tmp_path, lambda body: next(moves))
    assert calls[0].texts == TextModelUsage(2, 200, 20)

    openai = ChatSettings("https://api.openai.com/v1", "gpt-4.1-mini", KEY)
    said = actual_cost([*calls, *calls], TextModelUsage(10, 4_000_000, 1_000_000), "embedded", openai)
    assert "14 requests (4 of personas, 10 of the judge) to gpt-4.1-mini" in said
    assert "4000400 tokens in and 1000040 out, 3.20 USD" in said
    unpriced = actual_cost(calls, TextModelUsage(), "embedded", ChatSettings("http://127.0.0.1:8000/v1", "my-model"))
    assert "200 tokens in and 20 out, at a price that is not known" in unpriced

    (tmp_path / "ada.toml").write_text(ADA)
    cases = find_cases([tmp_path])
    before = expected_cost(cases, parse_criteria(POLITE), "embedded", openai, calls=6, repeat=3, sides=2)
    assert "about 54 requests (48 of personas, 6 of the judge) to gpt-4.1-mini" in before
    assert re.search(r"\d+ tokens in and \d+ out, 0\.\d\d USD", before)


def command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, url: str, *more: str, key: str = KEY) -> tuple[int, str]:
    (tmp_path / "ada.toml").write_text(ADA)
    (tmp_path / "criteria.toml").write_text(POLITE)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("TELEPHONY_TEXT_MODEL_URL", url)
    monkeypatch.setenv("TELEPHONY_TEXT_MODEL_KEY", key)
    arguments = more or ("ada.toml", "--agent", "benchmarks.evals:baseline", "--repeat", "1", "--workers", "1")
    result = CliRunner().invoke(app, ["eval", *arguments])
    return result.exit_code, result.output


@pytest.mark.parametrize("more", [(), ("--calibrate",)], ids=str)
def test_a_wrong_key_ends_the_command_before_the_first_call(
    more: tuple[str, ...], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with chat_service(lambda body: {}, key=KEY) as service:
        code, said = command(tmp_path, monkeypatch, service.url, *more, key="sk-wrong")
    assert (code, len(service.keys), said.count("\n")) == (1, 1, 1)
    assert said.startswith("telephony: The text model gpt-4.1-mini refused the key") and "sk-wrong" not in said


def test_a_text_model_plays_judges_and_is_paid(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    moves: Iterator[dict[str, Any]] = itertools.chain(
        [{"say": "A table for two on Friday, please."}], itertools.repeat({"hang_up": True})
    )

    def answer(body: dict[str, Any]) -> dict[str, Any]:
        said = str(body["messages"])
        if "You judge" in said:
            return {"answer": "yes", "quote": "Hello, this is Blu", "reason": "friendly"}
        return next(moves) if "You play" in said else {"ready": True}

    with chat_service(answer, key=KEY) as service:
        code, said = command(tmp_path, monkeypatch, service.url)
    assert code == 0 and "no AI, plays" not in said
    assert (
        "Expected: no cost for the speech model, which is embedded; about 9 requests (8 of personas, 1 of the" in said
    )
    assert "4 requests (2 of personas, 2 of the judge) to gpt-4.1-mini, 400 tokens in and 40 out" in said


def test_a_text_model_that_fails_later_is_named_in_the_report(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    checked = iter([{"ready": True}])
    with chat_service(lambda body: next(checked, refused(400, "x", "Not today.")), key=KEY) as service:
        code, said = command(tmp_path, monkeypatch, service.url)
    assert code == 1 and "1 of 1 calls could not be made: The text model gpt-4.1-mini refused" in said
    assert "No call could be made." in said
