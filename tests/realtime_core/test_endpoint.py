"""The address of the server, and the key."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from realtime_core.errors import ConnectFailed, ServerRejected, SessionExpired, UserError
from realtime_core.openai_realtime.endpoint import Endpoint, realtime_url, resolve_endpoint
from realtime_core.openai_realtime.server_errors import Fault, classify, exception
from realtime_core.openai_realtime.server_events import ServerError

KEY = {"api_key": "sk-1"}
BEARER = {"Authorization": "Bearer sk-1"}


def resolve(options: dict[str, Any], *, model: str | None = None, **environ: str) -> Endpoint:
    return asyncio.run(resolve_endpoint(options, model, "gpt-realtime-2.1", environ))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("base", "url"),
    [
        ("https://api.openai.com/v1", "wss://api.openai.com/v1/realtime?model=m"),
        ("http://127.0.0.1:8080/v1/", "ws://127.0.0.1:8080/v1/realtime?model=m"),
        ("ws://host/v1/realtime", "ws://host/v1/realtime?model=m"),
        ("wss://host", "wss://host/realtime?model=m"),
        ("https://r.openai.azure.com/openai/v1?x=1", "wss://r.openai.azure.com/openai/v1/realtime?x=1&model=m"),
    ],
)
def test_the_address_for_a_base_url(base: str, url: str) -> None:
    assert realtime_url(base, "model=m") == url


@pytest.mark.parametrize("base", ["ftp://host/v1", "host/v1", "https://", ""])
def test_a_base_url_that_is_none(base: str) -> None:
    with pytest.raises(UserError, match="base URL"):
        realtime_url(base, "model=m")


@pytest.mark.parametrize(
    ("options", "environ", "expected"),
    [
        (KEY, {}, Endpoint("wss://api.openai.com/v1/realtime?model=gpt-realtime-2.1", BEARER)),
        (
            {},
            {"OPENAI_API_KEY": " sk-1\n"},
            Endpoint("wss://api.openai.com/v1/realtime?model=gpt-realtime-2.1", BEARER),
        ),
        (KEY, {"OPENAI_API_KEY": "sk-2"}, Endpoint("wss://api.openai.com/v1/realtime?model=gpt-realtime-2.1", BEARER)),
        (KEY, {"OPENAI_BASE_URL": "http://h/v1"}, Endpoint("ws://h/v1/realtime?model=gpt-realtime-2.1", BEARER)),
        (
            {**KEY, "base_url": "http://a/v1"},
            {"OPENAI_BASE_URL": "http://h/v1"},
            Endpoint("ws://a/v1/realtime?model=gpt-realtime-2.1", BEARER),
        ),
        ({**KEY, "url": "ws://x/y", "call_id": "c"}, {}, Endpoint("ws://x/y", BEARER)),
        ({**KEY, "call_id": "rtc 1"}, {}, Endpoint("wss://api.openai.com/v1/realtime?call_id=rtc%201", BEARER)),
        ({"url": "ws://x", "headers": {"api-key": "z"}}, {"OPENAI_API_KEY": "k"}, Endpoint("ws://x", {"api-key": "z"})),
        ({"url": "ws://x", "headers": {}}, {}, Endpoint("ws://x", {})),
        (
            {**KEY, "base_url": "https://r.openai.azure.com/openai/v1"},
            {},
            Endpoint("wss://r.openai.azure.com/openai/v1/realtime?model=gpt-realtime-2.1", {"api-key": "sk-1"}),
        ),
        ({"url": "ws://x", "transport": print}, {"OPENAI_API_KEY": "secret"}, Endpoint("ws://x", {})),
    ],
)
def test_endpoints(options: dict[str, Any], environ: dict[str, str], expected: Endpoint) -> None:
    assert resolve(options, **environ) == expected


def test_keys_from_functions() -> None:
    async def fetch() -> str:
        return "sk-1"

    assert resolve({"url": "ws://x", "api_key": lambda: "sk-1"}).headers == BEARER
    assert resolve({"url": "ws://x", "api_key": fetch}).headers == BEARER


@pytest.mark.parametrize("key", ["sk-1\n", " sk-1", "sk-1\r\n"])
def test_blanks_around_a_key_are_not_sent(key: str) -> None:
    assert resolve({"url": "ws://x", "api_key": key}).headers == BEARER
    assert resolve({"url": "ws://x", "api_key": lambda: key}).headers == BEARER


@pytest.mark.parametrize("key", ["sk-1\nsk-2", "“sk-1”", "sk-\x00"])
def test_a_key_that_no_header_can_hold_is_refused_without_the_key(key: str) -> None:
    with pytest.raises(UserError, match="API key") as refused:
        resolve({"url": "ws://x", "api_key": key})
    assert "sk-" not in str(refused.value)


def test_a_function_that_fails_may_be_tried_again() -> None:
    def fails() -> str:
        raise OSError("the vault is closed")

    with pytest.raises(ConnectFailed, match="vault"):
        resolve({"url": "ws://x", "api_key": fails})


def test_what_is_wrong_is_said_with_the_cure() -> None:
    with pytest.raises(UserError, match="set OPENAI_API_KEY"):
        resolve({})
    with pytest.raises(UserError, match="call_id or model_name"):
        resolve({**KEY, "call_id": "c"}, model="m")
    assert "sk-1" not in repr(resolve(dict(KEY)))


@pytest.mark.parametrize(
    ("fields", "fault"),
    [
        ({"code": "conversation_already_has_active_response"}, Fault.BENIGN),
        ({"code": "response_cancel_not_active"}, Fault.BENIGN),
        ({"code": "input_audio_buffer_commit_empty"}, Fault.BENIGN),
        ({"code": "item_truncate_invalid_item_id"}, Fault.BENIGN),
        ({"message": "Conversation already has an active response in progress: resp_1. Wait."}, Fault.BENIGN),
        ({"message": "Cancellation failed: no active response found"}, Fault.BENIGN),
        ({"code": "invalid_value", "message": "Audio content of 9ms is already shorter than 10ms"}, Fault.OURS),
        ({"message": "Only model output audio messages can be truncated"}, Fault.OURS),
        ({"code": "cannot_update_voice"}, Fault.CONFIGURATION),
        ({"code": "unknown_parameter", "param": "session.tools[0].x"}, Fault.CONFIGURATION),
        ({"code": "session_expired"}, Fault.EXPIRED),
        ({"code": "rate_limit_exceeded"}, Fault.SERVICE),
        ({"type": "server_error"}, Fault.SERVICE),
        ({"code": "brand_new"}, Fault.OTHER),
    ],
)
def test_classes_of_errors(fields: dict[str, str], fault: Fault) -> None:
    error = ServerError(**{**dict.fromkeys(("type", "code", "message", "param", "event_id"), ""), **fields})
    assert classify(error) is fault
    assert type(exception(error)) is (SessionExpired if fault is Fault.EXPIRED else ServerRejected)


def test_a_server_of_the_beta_protocol_is_recognised() -> None:
    message = "Unknown parameter: 'session.type'."
    beta = exception(ServerError("invalid_request_error", "unknown_parameter", message, "session.type", ""))
    assert beta.message.startswith(message) and "openai.azure.com/openai/v1" in beta.message
    other = ServerError("invalid_request_error", "unknown_parameter", "Unknown parameter.", "session.colour", "")
    assert exception(other).message == "Unknown parameter."


def test_a_failed_handshake_carries_its_status() -> None:
    assert ConnectFailed("x").status is None
