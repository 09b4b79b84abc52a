"""The embedded server without a script: it greets, tries the given agent's tools, and steers by keypad."""

from __future__ import annotations

import datetime
import enum
import json
import uuid
from typing import Annotated, Any, Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel, Field, create_model

from realtime_core.local.example_arguments import example_arguments
from realtime_core.local.improviser import agent_name, has_side_effects
from tests.support.local_client import Client, human, session, silence

pytestmark = pytest.mark.virtual_time

TOOLS: list[dict[str, Any]] = [
    {"type": "function", "name": "hang_up", "parameters": {"type": "object", "properties": {}}},
    {
        "type": "function",
        "name": "book_table",
        "parameters": {
            "type": "object",
            "properties": {"day": {"type": "string"}, "people": {"type": "integer"}, "note": {"type": "string"}},
            "required": ["day", "people"],
        },
    },
    {"type": "mcp", "server_label": "x", "server_url": "https://example.com"},
    {"type": "function", "name": "opening_hours", "parameters": {}},
]
INSTRUCTIONS = "You answer for Trattoria Blu. Short sentences."


async def turn(client: Client, n: int) -> list[dict[str, Any]]:
    """Speaks. Returns the output of the n-th response."""
    await client.say(human() + silence(1))
    output: list[dict[str, Any]] = (await client.answer(n))["output"]
    return output


def text_of(item: dict[str, Any]) -> str:
    text: str = item["content"][0]["transcript"]
    return text


async def test_it_knows_its_name_when_it_is_given_how_to_greet() -> None:
    async with session() as client:
        client.update(instructions=INSTRUCTIONS, tools=TOOLS)
        client.respond(instructions="Greet the caller and ask how you can help.")
        assert text_of((await client.answer(1))["output"][0]).startswith("Hello, this is Trattoria Blu.")


async def test_it_greets_by_name_says_what_it_is_and_tries_each_tool_once() -> None:
    async with session() as client:
        client.update(instructions=INSTRUCTIONS, tools=TOOLS)
        client.respond()
        assert text_of((await client.answer(1))["output"][0]) == (
            "Hello, this is Trattoria Blu. I am a script, not an AI. I can try your tools, one by one: press 1 for "
            "book table, press 2 for opening hours. I leave hang up alone. Say something, and I try the next one."
        )
        said, call = await turn(client, 2)
        assert text_of(said) == "One moment, please. I call book table."
        assert (call["name"], json.loads(call["arguments"])) == ("book_table", {"day": "Friday", "people": 2})
        client.result(call, "Booked,\n number 17.")
        client.respond()
        answer = text_of((await client.answer(3))["output"][0])
        assert answer == "book table: it answered: Booked, number 17. Say something, and I try the next one."
        call = (await turn(client, 4))[1]
        assert call["name"] == "opening_hours"
        client.result(call, "x" * 500)
        client.respond()
        assert "I have tried all your tools." in text_of((await client.answer(5))["output"][0])
        (menu,) = await turn(client, 6)
        assert text_of(menu).startswith("I am a script, not an AI. I can try your tools, one by one: press 1 for")


END_OR_MOVE = ["hang_up", "hangUp", "end_call", "transfer", "transfer_to_human", "opt_out", "opt-out", "forward_call",
               "add_to_do_not_call_list", "unsubscribe", "say_goodbye"]  # fmt: skip
RENAMED = ["End the phone call, when the caller has nothing more to ask.", "Hand the caller over to somebody else.",
           "The person does not want to be called again. Use it as soon as they say so."]  # fmt: skip


async def test_what_ends_or_moves_the_call_or_writes_a_list_is_never_called() -> None:
    tools = [{"type": "function", "name": name, "parameters": {}} for name in END_OR_MOVE]
    tools += [{"type": "function", "name": f"t{n}", "description": outcome} for n, outcome in enumerate(RENAMED)]
    async with session() as client:
        client.update(tools=tools)
        texts = ["Hello.", "Hello.", *(f"The caller pressed {key}." for key in "123456789")]
        for n, text in enumerate(texts, 1):
            client.write(text)
            client.respond()
            output = (await client.answer(n))["output"]
            assert [item["type"] for item in output] == ["message"], output
            if text == "Hello.":
                assert "Your agent has no tools that I try. I leave hang up, hangUp," in text_of(output[0])


@pytest.mark.parametrize("name", ["send_digits", "endorse_plan", "change_order", "goodbyes_list", "weekend_hours"])
async def test_names_that_resemble_side_effects_are_tried(name: str) -> None:
    assert not has_side_effects(name)


def test_a_handoff_between_agents_leaves_the_call_where_it_is() -> None:
    assert not has_side_effects("transfer_to_billing", "Handoff to the billing agent to handle the request. Bills.")


async def test_the_keypad_steers() -> None:
    async with session() as client:
        client.update(tools=TOOLS)
        for n, (key, name) in enumerate((("2", "opening_hours"), ("2", "opening_hours"), ("1", "book_table")), 1):
            client.write(f"The caller pressed {key}.")
            client.respond()
            assert (await client.answer(n))["output"][1]["name"] == name
        client.write("The caller pressed 7.")
        client.respond()
        assert "There is nothing on that key." in text_of((await client.answer(4))["output"][0])
        client.write("The caller pressed #.")
        client.respond()
        assert "press 1 for book table" in text_of((await client.answer(5))["output"][0])


async def test_a_call_that_never_came_out_is_tried_again() -> None:
    async with session() as client:
        client.update(tools=TOOLS[1:2])
        client.write("Hello.")
        client.respond()
        client.send("response.cancel")
        client.write("Hello.")
        client.respond()
        assert (await client.answer(2))["output"][1]["name"] == "book_table"


async def test_no_tools_are_called_where_none_are_given_or_wanted() -> None:
    async with session() as client:
        client.respond()
        said = text_of((await client.answer(1))["output"][0])
        assert said == "Hello, this is your agent. I am a script, not an AI. Your agent has no tools."
        client.update(tools=TOOLS)
        client.write("Hello.")
        client.respond(tool_choice="none")
        assert len((await client.answer(2))["output"]) == 1


async def test_it_asks_whether_anybody_is_there() -> None:
    async with session() as client:
        client.update(tools=TOOLS, audio={"input": {"turn_detection": {"idle_timeout_ms": 5000}}})
        client.respond()
        assert text_of((await client.answer(2))["output"][0]).startswith("Are you still there?")


@pytest.mark.parametrize(
    ("instructions", "name"),
    [
        (INSTRUCTIONS, "Trattoria Blu"),
        ("You are Desk, the receptionist of Blu Dental.", "Desk"),
        ("You are the receptionist of Blu Dental. Be kind.", "Blu Dental"),
        ("You are a helpful agent for the Bank of America.", "Bank of America"),
        ("Your name is Ada.", "Ada"),
        ("You work for Müller & Sons and answer calls.", "Müller & Sons"),
        ("You are a helpful voice agent.", None),
        ("Be brief.", None),
        ("", None),
    ],
)
def test_the_name_is_found_in_the_instructions(instructions: str, name: str | None) -> None:
    assert agent_name(instructions) == name


class Color(enum.Enum):
    RED = "red"
    BLUE = "blue"


class Address(BaseModel):
    street: str = Field(min_length=10, max_length=12)
    number: int = Field(gt=10, le=20, multiple_of=4)
    tags: list[str] = Field(min_length=2, max_length=3)


class Node(BaseModel):
    value: int
    next: Node | None


class Everything(BaseModel):
    day: str
    color: Color
    size: Literal["s", "m"]
    when: datetime.datetime
    date: datetime.date
    time: datetime.time
    id: uuid.UUID
    address: Address
    pair: tuple[int, str]
    ratio: Annotated[float, Field(gt=0, lt=1)]
    maybe: int | None
    either: int | str
    flag: bool
    count: int = Field(ge=100)
    many: list[Address]
    by_name: dict[str, int]
    anything: Any
    node: Node
    optional: str = "unused"


def test_example_arguments_satisfy_a_schema_of_everything() -> None:
    arguments = example_arguments(Everything.model_json_schema())
    Everything.model_validate_json(json.dumps(arguments))
    assert arguments["day"] == "Friday" and "optional" not in arguments


FIELDS: st.SearchStrategy[Any] = st.one_of(
    st.just(str),
    st.just(bool),
    st.builds(lambda low, more: Annotated[int, Field(ge=low, le=low + more)], st.integers(-50, 50), st.integers(0, 50)),
    st.builds(lambda low: Annotated[float, Field(gt=low)], st.integers(-5, 5)),
    st.builds(lambda low, more: Annotated[str, Field(min_length=low, max_length=low + more)], st.integers(0, 30),
              st.integers(0, 5)),
    st.builds(lambda low: Annotated[list[int], Field(min_length=low)], st.integers(0, 4)),
    st.sampled_from([Color, Literal["a", "b"], Address, int | None, list[Address], datetime.date, tuple[int, bool]]),
)  # fmt: skip


@given(st.dictionaries(st.sampled_from(["day", "people", "x", "y_count", "name"]), FIELDS, max_size=4))
def test_example_arguments_satisfy_what_pydantic_makes(fields: dict[str, Any]) -> None:
    definitions: dict[str, Any] = {name: (kind, ...) for name, kind in fields.items()}
    model = create_model("Arguments", **definitions)
    model.model_validate_json(json.dumps(example_arguments(model.model_json_schema())))


@pytest.mark.parametrize(
    ("schema", "value"),
    [
        ({"const": 5}, 5),
        ({"enum": ["b", "a"]}, "b"),
        ({"examples": ["x"], "type": "string"}, "x"),
        ({"default": None, "type": ["string", "null"]}, None),
        ({"type": ["null", "integer"]}, 1),
        ({"oneOf": [{"type": "null"}, {"type": "boolean"}]}, True),
        ({"allOf": [{"type": "object", "properties": {"a": {"type": "boolean"}}, "required": ["a"]},
                    {"properties": {"b": {"const": 1}}, "required": ["b"]}]}, {"a": True, "b": 1}),
        ({"type": "string", "format": "email"}, "ada@example.com"),
        ({"type": "null"}, None),
        (True, None),
    ],
)  # fmt: skip
def test_an_example_of_one_property(schema: Any, value: Any) -> None:
    assert example_arguments({"type": "object", "properties": {"it": schema}, "required": ["it"]}) == {"it": value}


def test_a_reference_to_itself_comes_to_an_end() -> None:
    loop = {"type": "object", "properties": {"it": {"$ref": "#"}}, "required": ["it"]}
    assert "it" in example_arguments(loop)
    assert example_arguments({"$defs": {"a": {"$ref": "#/$defs/a"}}, "$ref": "#/$defs/a"}) == {}


def test_no_schema_takes_no_arguments() -> None:
    assert example_arguments(None) == example_arguments({}) == {}
