"""A call's records show no digits, wherever the digits occur and in however many pieces."""

from __future__ import annotations

import itertools
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from realtime_core.testing import virtual_time
from telephony.call.recording.digit_masking import DigitMasker, pressed, typed
from telephony.call.recording.recorder import CallRecorder
from telephony.masking import mask_keys
from tests.support.phone_calls import Records

KEYS = st.text("0123456789*#", min_size=3, max_size=16)


def masked(secrecy: DigitMasker, **message: Any) -> dict[str, Any]:
    changed: dict[str, Any] = json.loads(secrecy.message(json.dumps(message)))
    return changed


def call(arguments: str, name: str = "send_digits") -> dict[str, Any]:
    return {"type": "function_call", "id": "item_1", "call_id": "call_1", "name": name, "arguments": arguments}


@given(st.text("0123456789*#wW", min_size=1, max_size=20), st.lists(st.integers(0, 40), max_size=6))
def test_keys_that_the_model_has_sent_are_in_none_of_its_messages(digits: str, cuts: list[int]) -> None:
    secrecy, arguments = DigitMasker(), json.dumps({"digits": digits})
    at = sorted({0, len(arguments), *(min(cut, len(arguments)) for cut in cuts)})
    kind = "response.function_call_arguments"
    messages: list[dict[str, Any]] = [
        {"type": "response.output_item.added", "item": call("")},
        *({"type": f"{kind}.delta", "item_id": "item_1", "delta": arguments[a:b]} for a, b in itertools.pairwise(at)),
        {"type": f"{kind}.done", "item_id": "item_1", "call_id": "call_1", "arguments": arguments},
        {"type": "response.done", "response": {"id": "resp_1", "output": [call(arguments)]}},
        {"type": "conversation.item.create", "item": call(arguments)},
    ]
    for message in messages:
        text = json.dumps(masked(secrecy, **message), ensure_ascii=False)
        for known in ("item_1", "call_1", "resp_1"):
            text = text.replace(known, "")
        assert not set(text) & set("0123456789*#")
    assert masked(secrecy, **messages[-2])["response"]["output"][0]["call_id"] == "call_1"


def test_the_arguments_of_other_tools_stay() -> None:
    secrecy = DigitMasker()
    message = {"type": "response.output_item.done", "item": call('{"people": 2}', "book_table")}
    assert masked(secrecy, **message) == message
    piece = {"type": "response.function_call_arguments.delta", "item_id": "item_1", "delta": '{"people": 2}'}
    assert masked(secrecy, **piece) == piece


@given(KEYS, st.sampled_from(["", " ", "-", ", ", ". "]))
def test_hidden_digits_are_masked_also_with_separators(secret: str, between: str) -> None:
    secrecy = DigitMasker()
    secrecy.hide(secret)
    message = masked(
        secrecy, type="conversation.item.create", item={"text": f"It is {between.join(secret)}!", "id": secret}
    )
    assert message["item"]["text"] == f"It is {between.join(chr(0x2022) * len(secret))}!"
    assert message["item"]["id"] == secret


@given(KEYS, st.integers(1, 5))
def test_a_transcript_that_comes_in_pieces_shows_no_digit_once_there_is_a_secret(secret: str, size: int) -> None:
    secrecy = DigitMasker()
    secrecy.hide(secret)
    for at in range(0, len(secret), size):
        piece = masked(secrecy, type="response.output_audio_transcript.delta", delta=secret[at : at + size])
        assert not set(piece["delta"]) & set("0123456789")


def test_audio_is_left_alone() -> None:
    secrecy = DigitMasker()
    secrecy.hide("4711")
    media = json.dumps({"event": "media", "media": {"payload": "4711"}})
    assert secrecy.message(media) == media


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        (pressed("4"), "The caller pressed •."),
        (pressed("#"), "The caller pressed #."),
        (typed("4*7#"), "The caller typed: ••••"),
        ('{"event":"dtmf","dtmf":{"digit":"7"}}', '{"event":"dtmf","dtmf":{"digit":"•"}}'),
        ("The caller is 47.", "The caller is 47."),
    ],
)
def test_keys_are_known_by_where_they_stand(text: str, shown: str) -> None:
    assert mask_keys(text) == shown


@pytest.mark.parametrize("masks", [True, False])
def test_a_record_shows_keys_only_where_its_journal_says_so(masks: bool) -> None:
    async def main() -> None:
        records = Records()
        records.masks_digits = masks  # type: ignore[attr-defined]
        record = CallRecorder(records)
        record.tool_started("call_1", "send_digits", '{"digits": "12"}')
        record.write("tool.end", call_id="call_2", output=typed("12"))
        record.hide("4711")
        record.write("error", error="4711 is taken")
        shown = json.dumps(records.all, ensure_ascii=False)
        assert ('\\"12\\"' in shown, "typed: 12" in shown, "4711" in shown) == (not masks,) * 3

    virtual_time.run(main())


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        ("card 4711", "card ••••"),
        ("4 7-1, 1", "• •-•, •"),
        (4711, "••••"),
        (4711.0, "••••.0"),
        ({"4711": ["4711", None, True, 12]}, {"••••": ["••••", None, True, 12]}),
        ("keys 809", "keys •••"),
        ({"a": {"payload": "4711"}}, {"a": {"payload": "••••"}}),
        ("2027-03-14", "2027-03-14"),
        (15, 15),
    ],
)
def test_an_outcome_shows_no_collected_digits_and_no_pressed_keys(value: Any, shown: Any) -> None:
    secrecy = DigitMasker()
    secrecy.hide("4711")
    for key in "6809#":
        secrecy.press(key)
    assert secrecy.anywhere(value) == shown
