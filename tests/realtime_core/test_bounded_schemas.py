"""Schemas that refer to themselves and patterns that explode cost no more than others."""

from __future__ import annotations

import json
import re
import time
from types import SimpleNamespace
from typing import Annotated, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel, ConfigDict, Field

from realtime_core import FunctionTool, RealtimeAgent, UserError, function_tool, realtime_handoff
from realtime_core.local.example_arguments import example_arguments
from realtime_core.patterns import LinearPattern, check_schema_patterns

TEXT = "a" * 5_000 + "!"


class Node(BaseModel):
    name: str
    children: list[Node] = []
    left: Node | None = None


def taken(function: Any, *args: Any) -> float:
    """CPU seconds."""
    before = time.process_time()
    function(*args)
    return time.process_time() - before


def node(*refs: Any, **more: Any) -> dict[str, Any]:
    return {"type": "object", "properties": {f"p{n}": ref for n, ref in enumerate(refs)}, **more}


SELF = {"$ref": "#"}
ENDLESS: dict[str, dict[str, Any]] = {
    "itself": {"$ref": "#"},
    "itself, all of": {"allOf": [SELF, SELF, SELF]},
    "itself, any of": {"anyOf": [SELF, SELF]},
    "itself, in a property": node(SELF, required=["p0"]),
    "itself, in ten properties": node(*[SELF] * 10, required=[f"p{n}" for n in range(10)]),
    "itself, in items": {"type": "object", "properties": {"a": {"type": "array", "items": SELF}}, "required": ["a"]},
    "two that refer to each other": {
        "$ref": "#/$defs/a",
        "$defs": {"a": {"$ref": "#/$defs/b"}, "b": {"$ref": "#/$defs/a"}},
    },
    "a chain that doubles": {
        "$ref": "#/$defs/n0",
        "$defs": {f"n{n}": {"allOf": [{"$ref": f"#/$defs/n{n + 1}"}] * 2} for n in range(40)},
    },
    "a chain that doubles, with properties": {
        "$ref": "#/$defs/n0",
        "$defs": {f"n{n}": node(*[{"$ref": f"#/$defs/n{n + 1}"}] * 9, required=list("p0")) for n in range(40)},
    },
    "a text of ten million characters": node({"type": "string", "minLength": 10**10}, required=["p0"]),
    "ten million items": node({"type": "array", "minItems": 10**10, "maxItems": 10**11}, required=["p0"]),
}


@pytest.mark.parametrize("schema", ENDLESS.values(), ids=ENDLESS)
def test_example_arguments_have_an_end(schema: dict[str, Any]) -> None:
    assert taken(example_arguments, schema) < 1
    assert len(json.dumps(example_arguments(schema))) < 1_000_000


SCHEMAS = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=3) | st.sampled_from(["#", "object"]),
    lambda inner: st.one_of(
        st.lists(inner, max_size=3),
        st.dictionaries(
            st.sampled_from(
                ["$ref", "allOf", "anyOf", "type", "properties", "items", "required", "enum", "examples", "minimum",
                 "multipleOf", "minLength", "prefixItems", "minItems", "format", "a"]
            ),
            inner,
            max_size=4,
        ),
    ),
    max_leaves=12,
)  # fmt: skip


@given(st.dictionaries(st.sampled_from(["$ref", "allOf", "anyOf", "type", "properties", "required"]), SCHEMAS))
def test_example_arguments_of_what_is_no_schema(schema: dict[str, Any]) -> None:
    assert isinstance(example_arguments(schema), dict)


def test_a_tool_whose_types_refer_to_themselves() -> None:
    @function_tool
    def plant(tree: Node) -> str:
        return str(tree)

    schema = plant.params_json_schema
    assert schema["$defs"]["Node"]["required"] == ["name", "children", "left"]
    assert isinstance(example_arguments(schema)["tree"], dict)


# Schemas that cannot be sent


def circle() -> dict[str, Any]:
    schema: dict[str, Any] = {"type": "object", "properties": {}}
    schema["properties"]["child"] = schema
    return schema


def deep() -> dict[str, Any]:
    schema: dict[str, Any] = {"type": "object"}
    for _ in range(100_000):
        schema = {"type": "object", "properties": {"child": schema}}
    return schema


async def nothing(context: Any, arguments: str) -> str:
    return ""


@pytest.mark.parametrize("make", [circle, deep, lambda: {"type": {1, 2}}])
@pytest.mark.parametrize("kind", [FunctionTool, SimpleNamespace])
def test_a_schema_that_cannot_be_written_is_refused(kind: Any, make: Any) -> None:
    tool = kind(name="t", description="", params_json_schema=make(), on_invoke_tool=nothing)
    with pytest.raises(UserError, match="cannot be written as JSON"):
        RealtimeAgent(name="Desk", tools=[tool])


# Patterns that explode


@pytest.mark.parametrize("pattern", [r"(a+)+$", r"^(a|aa)+$", r"^(.*a){12}b$", r"(x+x+)+y", r"^a{1,200}a{1,200}$"])
def test_every_pattern_takes_linear_time(pattern: str) -> None:
    assert taken(LinearPattern(pattern).search, TEXT) < 1


@pytest.mark.parametrize(
    ("pattern", "text", "matches"),
    [
        (r"^\+[0-9]+$", "+4930123", True),
        (r"^\+[0-9]+$", "+49x", False),
        ("b", "abc", True),
        (r"^a$", "a\n", False),
        (r"^\p{L}+$", "größe", True),
    ],
)
def test_a_linear_pattern_is_searched_for(pattern: str, text: str, matches: bool) -> None:
    assert LinearPattern(pattern).search(text) is matches


@pytest.mark.parametrize("pattern", [r"(?=a)b", r"(a)\1", "(", "a{1000}{1000}{1000}"])
def test_what_only_backtracking_can_match_is_refused(pattern: str) -> None:
    with pytest.raises(UserError, match="look-around"):
        LinearPattern(pattern)


def test_the_patterns_of_a_schema_are_checked_wherever_they_are() -> None:
    fine = {
        "properties": {"pattern": {"type": "string"}, "patternProperties": {"pattern": "^a"}},
        "enum": [{"pattern": "("}],
    }
    check_schema_patterns(fine)
    for bad in ({"items": [{"pattern": "("}]}, {"$defs": {"x": {"not": {"pattern": "("}}}}):
        with pytest.raises(UserError, match="look-around"):
            check_schema_patterns(bad)
    with pytest.raises(UserError, match="patternProperties"):
        check_schema_patterns({"properties": {"a": {"patternProperties": {"^a": {}}}}})


class Lenient(BaseModel):
    model_config = ConfigDict(regex_engine="python-re")
    text: str = Field(pattern=r"(?=a)a+$")


class Compiled(BaseModel):
    text: Annotated[str, Field(pattern=re.compile(r"(a+)+$"))]


def test_a_tool_with_a_pattern_takes_linear_time() -> None:
    @function_tool(failure_error_function=None)
    async def f(text: Annotated[str, Field(pattern=r"(a+)+$")]) -> str:
        return text

    from test_function_tool import invoke  # type: ignore[import-not-found]

    def refused() -> None:
        with pytest.raises(Exception, match="should match pattern"):
            invoke(f, json.dumps({"text": TEXT}))

    assert taken(refused) < 1


@pytest.mark.parametrize("kind", [Lenient, Compiled, list[Compiled], Compiled | None])
def test_a_tool_or_handoff_that_would_backtrack_is_refused(kind: Any) -> None:
    def f(value: Any) -> None: ...

    f.__annotations__["value"] = kind
    with pytest.raises(UserError, match="Python's `re`"):
        function_tool(f)
    with pytest.raises(UserError, match="Python's `re`"):
        realtime_handoff(RealtimeAgent(name="A"), on_handoff=lambda context, value: None, input_type=kind)


class NoPattern(BaseModel):
    model_config = ConfigDict(regex_engine="python-re")
    text: str


class Text(BaseModel):
    text: Annotated[str, Field(pattern="^a+$")]


@pytest.mark.parametrize("kind", [NoPattern, Text, list[Text], str])
def test_a_tool_that_does_not_backtrack_is_taken(kind: Any) -> None:
    def f(value: Any) -> None: ...

    f.__annotations__["value"] = kind
    assert list(function_tool(f).params_json_schema["properties"]) == ["value"]
