"""The outcome of a response, as `response.done` reports it."""

from __future__ import annotations

from typing import Any

import pytest

from realtime_core.response_outcome import Outcome, items_of


def message(*parts: Any) -> dict[str, Any]:
    return {"type": "message", "content": list(parts)}


@pytest.mark.parametrize(
    ("output", "spoke", "wrote", "called"),
    [
        ([message({"type": "output_audio"})], True, False, False),
        ([message({"type": "audio"})], True, False, False),
        ([message({"type": "output_text", "text": "Hi"})], False, True, False),
        ([message({"type": "text", "text": "Hi"})], False, True, False),
        ([message({"type": "text", "text": ""}, {"type": "output_text"})], False, False, False),
        ([message({"type": "refusal", "text": "Hi"})], False, False, False),
        ([{"type": "reasoning"}, message()], False, False, False),
        ([{"type": "function_call"}], False, False, True),
        ([{"type": "mcp_call"}, message({"type": "audio"})], True, False, True),
        ([None, "x", message(None, "x")], False, False, False),
        ("x", False, False, False),
        (None, False, False, False),
    ],
)
def test_what_a_response_has_produced(output: Any, spoke: bool, wrote: bool, called: bool) -> None:
    assert Outcome.of({"output": output}) == Outcome("completed", None, None, spoke, wrote, called)


def test_the_status_with_its_details() -> None:
    error = {"type": "server_error", "code": "overloaded"}
    failed = Outcome.of({"status": "failed", "status_details": {"reason": "r", "error": error}})
    assert (failed.status, failed.reason, failed.error) == ("failed", "r", error)
    assert failed.names() == ["overloaded", "server_error"]
    assert Outcome.of({"status": None, "status_details": ["x"]}) == Outcome("completed")


@pytest.mark.parametrize("error", [None, "text", {}, {"code": None, "type": ""}])
def test_an_error_without_a_code_and_a_type_has_no_names(error: Any) -> None:
    assert Outcome("failed", error=error).names() == []


@pytest.mark.parametrize(
    ("status", "reason", "interrupted"),
    [
        ("cancelled", None, True),
        ("incomplete", "turn_detected", True),
        ("incomplete", "client_cancelled", True),
        ("incomplete", "max_output_tokens", False),
        ("completed", None, False),
    ],
)
def test_an_interrupted_response(status: str, reason: str | None, interrupted: bool) -> None:
    assert Outcome(status, reason).interrupted is interrupted


def test_only_objects_are_items() -> None:
    assert items_of({"output": [{"id": "a"}, None, 3]}) == [{"id": "a"}]
    assert items_of({"output": {"id": "a"}}) == []
