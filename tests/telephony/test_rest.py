"""Twilio's REST API, against a server on a socket that answers with Twilio's documented bodies."""

from __future__ import annotations

import json
import threading
from collections.abc import Awaitable, Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

from telephony.errors import (
    TwilioAuthError,
    TwilioError,
    TwilioInvalidState,
    TwilioNotConfigured,
    TwilioNotFound,
    TwilioRateLimited,
    TwilioRejected,
    TwilioServerError,
    TwilioTimeout,
    TwilioUnreachable,
    TwimlError,
)
from telephony.settings import load_settings
from telephony.twilio.resources import PhoneNumber
from telephony.twilio.rest import TwilioRest

pytestmark = pytest.mark.real_time

ACCOUNT = "AC" + "1" * 32
CALL = "CA" + "2" * 32
NUMBER = {
    "sid": "PN" + "3" * 32,
    "phone_number": "+14155550100",
    "capabilities": {"voice": True, "sms": True, "mms": False, "fax": False},
    "voice_url": "https://phone.example.com/incoming-call",
    "voice_method": "POST",
    "voice_fallback_url": None,
    "status_callback": "",
    "voice_application_sid": None,
    "trunk_sid": None,
}


class Twilio(ThreadingHTTPServer):
    """A server that gives the answers of a test, and remembers the requests."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.answer: tuple[int, Any] = (200, {"sid": CALL, "status": "in-progress"})
        self.answers: dict[str, tuple[int, Any]] = {}
        """By the end of the path; else `answer`."""
        self.requested: list[tuple[str, str, dict[str, list[str]], str]] = []
        self.silent = threading.Event()
        self.ending = threading.Event()

    def rest(self, **options: Any) -> TwilioRest:
        base_url = f"http://127.0.0.1:{self.server_port}"
        return TwilioRest(ACCOUNT, ACCOUNT, "the token", base_url=base_url, **options)


class Handler(BaseHTTPRequestHandler):
    server: Twilio

    def answer(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0)).decode()
        self.server.requested.append(
            (
                self.command,
                urlsplit(self.path).path,
                parse_qs(body or urlsplit(self.path).query),
                self.headers.get("Authorization", ""),
            )
        )
        if self.server.silent.is_set():
            self.server.ending.wait(60)
            return
        path = urlsplit(self.path).path
        status, value = next((a for end, a in self.server.answers.items() if path.endswith(end)), self.server.answer)
        payload = value if isinstance(value, bytes) else json.dumps(value).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(0 if status == 204 else len(payload)))
        self.end_headers()
        if status != 204:
            self.wfile.write(payload)

    do_GET = do_POST = do_DELETE = answer

    def log_message(self, format: str, *args: Any) -> None:
        pass


@pytest.fixture
def twilio(monkeypatch: pytest.MonkeyPatch) -> Iterator[Twilio]:
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.setenv("TWILIO_REGION", "ie1")  # must not find its way into the address of a stand-in
    server = Twilio()
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield server
    server.ending.set()
    server.shutdown()
    thread.join()
    server.server_close()


async def ask_twilio(twilio: Twilio, ask: Callable[[TwilioRest], Awaitable[Any]]) -> Any:
    rest = twilio.rest()
    try:
        return await ask(rest)
    finally:
        rest.close()


def refusal(status: int, code: int | None, message: str = "No") -> tuple[int, dict[str, Any]]:
    return status, {"code": code, "message": message, "more_info": f"https://t/{code}", "status": status}


async def test_hanging_up(twilio: Twilio) -> None:
    assert await ask_twilio(twilio, lambda rest: rest.hang_up(CALL))
    ((method, path, form, authorization),) = twilio.requested
    assert (method, path) == ("POST", f"/2010-04-01/Accounts/{ACCOUNT}/Calls/{CALL}.json")
    assert form == {"Status": ["completed"]}
    assert authorization.startswith("Basic ")


@pytest.mark.parametrize("answer", [refusal(404, 20404), refusal(400, 21220), refusal(404, None)])
async def test_hanging_up_a_call_that_is_over_is_no_error(twilio: Twilio, answer: tuple[int, Any]) -> None:
    twilio.answer = answer
    assert await ask_twilio(twilio, lambda rest: rest.hang_up(CALL)) is False


@pytest.mark.parametrize(
    ("answer", "error"),
    [
        (refusal(401, 20003, "Authenticate"), TwilioAuthError),
        (refusal(403, None), TwilioAuthError),
        (refusal(404, 20404), TwilioNotFound),
        (refusal(400, 21220, "Call is not in-progress. Cannot redirect."), TwilioInvalidState),
        (refusal(400, 21215), TwilioRejected),
        (refusal(429, 20429), TwilioRateLimited),
        (refusal(500, 20500), TwilioServerError),
        ((503, b"upstream"), TwilioServerError),
        ((200, b"<html>"), TwilioServerError),
        ((400, {"type": "t", "title": "Bad", "status": 400, "code": 21219, "detail": "Unverified."}), TwilioRejected),
    ],
)
async def test_errors_have_types_and_advice(twilio: Twilio, answer: tuple[int, Any], error: type[TwilioError]) -> None:
    twilio.answer = answer
    with pytest.raises(TwilioError) as caught:
        await ask_twilio(twilio, lambda rest: rest.redirect(CALL, "<Response/>"))
    assert type(caught.value) is error
    assert caught.value.advice in str(caught.value)
    assert "\x1b" not in str(caught.value)
    assert len(twilio.requested) == 1, "nothing is asked twice"


@pytest.mark.parametrize(
    ("answer", "error", "code"),
    [
        (refusal(401, 20003, "Authenticate"), TwilioAuthError, 20003),
        (refusal(429, 20429), TwilioRateLimited, 20429),
        (refusal(400, 21212), TwilioRejected, 21212),
        (refusal(500, 20500), TwilioServerError, 20500),
        ((502, b"<html>"), TwilioServerError, None),
        ((200, {"page": 0}), TwilioServerError, None),
        ((200, b"<html>"), TwilioServerError, None),
    ],
)
async def test_a_listing_that_fails_says_how(
    twilio: Twilio, answer: tuple[int, Any], error: type[TwilioError], code: int | None
) -> None:
    """The library raises another exception for listings than for all else."""
    twilio.answer = answer
    with pytest.raises(TwilioError) as caught:
        await ask_twilio(twilio, lambda rest: rest.calls_between("+14155550100", "+14155550123"))
    assert (type(caught.value), caught.value.code) == (error, code)
    assert caught.value.status == (answer[0] if answer[0] != 200 else None)


async def test_a_listing_distinguishes_a_time_out_from_an_unreachable_server(twilio: Twilio) -> None:
    twilio.silent.set()
    rest = twilio.rest(timeout_s=0.05)
    with pytest.raises(TwilioTimeout):
        await rest.calls_between("+14155550100", "+14155550123")
    rest.close()
    nobody = TwilioRest(ACCOUNT, ACCOUNT, "t", base_url="http://127.0.0.1:9")
    with pytest.raises(TwilioUnreachable):
        await nobody.calls_between("+14155550100", "+14155550123")
    nobody.close()


async def test_a_call_is_made_once_whatever_twilio_answers(twilio: Twilio) -> None:
    twilio.answer = refusal(500, 20500)
    with pytest.raises(TwilioServerError):
        await ask_twilio(
            twilio, lambda rest: rest.create_call(to="+14155550123", from_="+14155550100", twiml="<Response/>")
        )
    assert len(twilio.requested) == 1


NO_CALL: list[Any] = [
    [],
    None,
    {},
    "x",
    5,
    {"sid": None},
    {"sid": "../x"},
    {"status": "queued"},
    b"",
    b"<html>",
    b'{"sid":"CA',
]


@pytest.mark.parametrize("body", NO_CALL, ids=repr)
async def test_a_response_without_a_call_leaves_the_call_uncertain(body: Any, twilio: Twilio) -> None:
    """The call may exist, so it is searched for and not made again."""
    for status in (200, 201):
        twilio.answer = (status, body)
        with pytest.raises(TwilioServerError, match=r"no SID|could not be read"):
            await ask_twilio(
                twilio, lambda rest: rest.create_call(to="+14155550123", from_="+14155550100", twiml="<Response/>")
            )
    assert len(twilio.requested) == 2


@pytest.mark.parametrize("body", [[], None, "x"], ids=repr)
async def test_a_response_that_is_no_object_is_an_error_of_twilio(body: Any, twilio: Twilio) -> None:
    twilio.answer = (200, body)
    for ask in (
        lambda rest: rest.hang_up(CALL),
        lambda rest: rest.redirect(CALL, "<Response/>"),
        lambda rest: rest.call(CALL),
        lambda rest: rest.calls_between("+14155550100", "+14155550123"),
    ):
        with pytest.raises(TwilioServerError, match="could not be read"):
            await ask_twilio(twilio, ask)


@pytest.mark.parametrize(
    "message", ["a\0b\nforged line \x1b[31m", "\ud800", "x" * 300_000], ids=["controls", "half", "long"]
)
async def test_the_message_of_a_gateway_is_one_short_line(message: str, twilio: Twilio) -> None:
    twilio.answer = refusal(400, 21211, message)
    with pytest.raises(TwilioRejected) as refused:
        await ask_twilio(twilio, lambda rest: rest.hang_up(CALL))
    text = str(refused.value)
    assert text.isprintable() and len(text) < 600 and "21211" in text


async def test_the_message_of_an_error_names_no_phone_number(twilio: Twilio) -> None:
    """Logs have these messages. The line says which call it is, with a masked number."""
    twilio.answer = refusal(400, 21211, f"The number +1 415-555-0123 (4155550123) of {CALL} is not valid")
    with pytest.raises(TwilioRejected) as refused:
        await ask_twilio(twilio, lambda rest: rest.hang_up(CALL))
    assert "0123" not in str(refused.value)
    assert CALL in str(refused.value) and "21211" in str(refused.value), "a SID is no phone number"


async def test_what_a_call_is_made_of(twilio: Twilio) -> None:
    twilio.answer = (201, {"sid": CALL, "status": "queued"})
    made = await ask_twilio(
        twilio,
        lambda rest: rest.create_call(
            to="+14155550123",
            from_="+14155550100",
            url="https://a.example/voice",
            status_callback="https://a.example/call-status",
            machine_detection="DetectMessageEnd",
            amd_callback="https://a.example/amd-status",
            ring_s=25,
            max_s=180,
        ),
    )
    assert made == CALL
    assert twilio.requested[0][2] == {
        "To": ["+14155550123"],
        "From": ["+14155550100"],
        "Url": ["https://a.example/voice"],
        "Timeout": ["25"],
        "TimeLimit": ["180"],
        "StatusCallback": ["https://a.example/call-status"],
        "StatusCallbackEvent": ["initiated", "ringing", "answered", "completed"],
        "MachineDetection": ["DetectMessageEnd"],
        "AsyncAmd": ["true"],
        "AsyncAmdStatusCallback": ["https://a.example/amd-status"],
    }


@pytest.mark.parametrize(
    "fields",
    [
        {"price": "free", "duration": "12.5", "date_created": "yesterday"},
        {"price": "NaN", "duration": None, "date_created": None},
        {"price": {}, "duration": [], "price_unit": 5},
        {"price": "1e999", "duration": "-"},
    ],
    ids=str,
)
async def test_a_call_with_odd_fields_keeps_its_status(fields: dict[str, Any], twilio: Twilio) -> None:
    """An answer with a field of a new form still says what became of the call, in a listing as well."""
    odd = {"sid": CALL, "status": "completed", "direction": "outbound-api", **fields}
    twilio.answers = {f"/{CALL}.json": (200, odd), "/Calls.json": (200, {"calls": [odd], "page": 0})}
    (listed,) = await ask_twilio(twilio, lambda rest: rest.calls_between("+14155550100", "+14155550123"))
    for found in (await ask_twilio(twilio, lambda rest: rest.call(CALL)), listed):
        assert (found.sid, found.status, found.cost) == (CALL, "completed", None)
        assert found.duration_s in (0, 12)


@pytest.mark.parametrize("number", ["+14155550100", {"capabilities": [1]}, {"sid": 1, "capabilities": "voice"}, None])
async def test_a_number_of_an_odd_form_is_an_error_of_twilio(number: Any, twilio: Twilio) -> None:
    twilio.answer = (200, {"incoming_phone_numbers": [number], "page": 0})
    for ask in (lambda rest: rest.phone_number("+14155550100"), TwilioRest.phone_numbers):
        with pytest.raises(TwilioServerError, match="could not be read"):
            await ask_twilio(twilio, ask)


async def test_conferences(twilio: Twilio) -> None:
    twilio.answer = (200, {"conferences": [{"sid": "CF1", "friendly_name": "desk"}], "page": 0, "page_size": 1})
    assert await ask_twilio(twilio, lambda rest: rest.conference_sid("desk")) == "CF1"
    twilio.answer = (201, {"call_sid": CALL, "conference_sid": "CF1"})
    assert await ask_twilio(twilio, lambda rest: rest.add_participant("desk", to="+1415555", from_="+1415556")) == CALL
    await ask_twilio(twilio, lambda rest: rest.update_participant("CF1", CALL, hold=True))
    assert twilio.requested[-1][1].endswith(f"/Conferences/CF1/Participants/{CALL}.json")
    assert twilio.requested[-1][2] == {"Hold": ["true"]}
    twilio.answer = (204, {})
    assert await ask_twilio(twilio, lambda rest: rest.remove_participant("CF1", CALL))
    twilio.answer = refusal(404, 20404)
    assert not await ask_twilio(twilio, lambda rest: rest.remove_participant("CF1", CALL))


async def test_the_number_and_the_account(twilio: Twilio) -> None:
    twilio.answer = (200, {"incoming_phone_numbers": [NUMBER], "page": 0, "page_size": 1})
    number = await ask_twilio(twilio, lambda rest: rest.phone_number("+14155550100"))
    assert isinstance(number, PhoneNumber)
    assert (number.voice, number.voice_url, number.trunk_sid) == (True, NUMBER["voice_url"], "")
    twilio.answer = (200, {"incoming_phone_numbers": [], "page": 0, "page_size": 1})
    assert await ask_twilio(twilio, lambda rest: rest.phone_number("+14155550101")) is None
    twilio.answer = (200, {"sid": ACCOUNT, "status": "active", "type": "Trial"})
    account = await ask_twilio(twilio, lambda rest: rest.account())
    assert (account.is_trial, account.status) == (True, "active")


async def test_no_answer(twilio: Twilio) -> None:
    twilio.silent.set()
    rest = twilio.rest(timeout_s=0.05)
    with pytest.raises(TwilioTimeout, match="did not respond"):
        await rest.hang_up(CALL)
    rest.close()
    assert len(twilio.requested) == 1


async def test_nobody_there() -> None:
    rest = TwilioRest(ACCOUNT, ACCOUNT, "t", base_url="http://127.0.0.1:9")
    with pytest.raises(TwilioUnreachable):
        await rest.hang_up(CALL)
    rest.close()


async def test_twiml_that_is_too_long_is_not_sent(twilio: Twilio) -> None:
    with pytest.raises(TwimlError, match="4000"):
        await ask_twilio(twilio, lambda rest: rest.redirect(CALL, "x" * 4001))
    assert not twilio.requested


def test_credentials_come_from_the_settings() -> None:
    with pytest.raises(TwilioNotConfigured, match="TWILIO_ACCOUNT_SID"):
        TwilioRest.of(load_settings())
    settings = load_settings(
        twilio_account_sid=ACCOUNT, twilio_api_key="SK1", twilio_api_secret="s", telephony_twilio_api_url="http://h:1/"
    )
    client = TwilioRest.of(settings)._client
    assert (client.username, client.account_sid, client.api.base_url) == ("SK1", ACCOUNT, "http://h:1")
