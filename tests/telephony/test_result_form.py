"""What a call is to find out: schemas and models of the application, whatever they are, cost no call."""

from __future__ import annotations

import json
import time
from typing import Any

import pytest
from pydantic import BaseModel, ConfigDict, Field, field_validator

from realtime_core.errors import UserError
from telephony.outbound.result_form import ResultForm, check_schema
from tests.support.misbehaviour import EXCEPTIONS

SELF = {"$ref": "#"}


def an_object(**more: Any) -> dict[str, Any]:
    return {"type": "object", "properties": {"a": {"type": "string"}}, **more}


def chain(length: int) -> dict[str, Any]:
    """Each refers twice to the next."""
    definitions: dict[str, Any] = {f"n{n}": {"allOf": [{"$ref": f"#/$defs/n{n + 1}"}] * 2} for n in range(length)}
    return an_object(**{"$ref": "#/$defs/n0", "$defs": {**definitions, f"n{length}": {}}})


def deep() -> dict[str, Any]:
    schema: dict[str, Any] = {"type": "object"}
    for _ in range(10_000):
        schema = {"type": "object", "properties": {"child": schema}}
    return schema


@pytest.mark.parametrize(
    ("schema", "words"),
    [
        (an_object(**SELF), "without end"),
        (an_object(allOf=[SELF, SELF]), "without end"),
        (an_object(**{"$dynamicRef": "#"}), "without end"),
        (chain(60), "without end"),
        (deep(), "nested too deeply"),
        ({"type": "object", "properties": {"a": {"pattern": "(?=a)b"}}}, "look-around"),
        ({"type": "object", "properties": {"a": {"pattern": "("}}}, "regex"),
        (an_object(patternProperties={"(a+)+$": {}}), "patternProperties"),
        ({"type": "string"}, "an object"),
        ({"type": 3}, "not valid"),
    ],
)
def test_a_schema_that_cannot_be_checked_is_refused(schema: dict[str, Any], words: str) -> None:
    for refuse in (check_schema, ResultForm):
        before = time.process_time()
        with pytest.raises(UserError, match=words):
            refuse(schema)
        assert time.process_time() - before < 2


def test_a_tree_is_no_endless_schema() -> None:
    tree = {"type": "object", "properties": {"child": SELF, "name": {"type": "string"}}, "required": ["name"]}
    form = ResultForm(tree)
    assert form.take('{"name": "a", "child": {"name": "b"}}') == "Noted. Nothing is missing."
    told = ResultForm(tree).take('{"name": "a", "child": {"child": {"name": 3}}}')
    assert "child.child.name" in told


def test_what_the_model_writes_cannot_recurse_without_end() -> None:
    form = ResultForm({"type": "object", "properties": {"child": SELF}})
    arguments = '{"child":' * 900 + "{}" + "}" * 900
    assert "Still missing" in form.take(arguments)
    assert form.take('{"child":' * 100_000) == "That was no JSON object."


def test_a_pattern_that_would_explode_takes_linear_time() -> None:
    form = ResultForm({"type": "object", "properties": {"a": {"type": "string", "pattern": "^(a+)+$"}}})
    before = time.process_time()
    assert "does not match" in form.take(json.dumps({"a": "a" * 5_000 + "!"}))
    assert time.process_time() - before < 1
    assert form.take('{"a": "aaa"}') == "Noted. Nothing is missing."
    assert form.output == {"a": "aaa"}


class Backtracking(BaseModel):
    model_config = ConfigDict(regex_engine="python-re")
    a: str = Field(pattern="(a+)+$")


def test_a_model_that_would_backtrack_is_refused() -> None:
    with pytest.raises(UserError, match="Python's `re`"):
        ResultForm(Backtracking)


@pytest.mark.parametrize("exception", [name for name in EXCEPTIONS if name not in ("ValueError",)])
def test_a_validator_may_raise_anything(exception: str) -> None:
    class Booking(BaseModel):
        name: str

        @field_validator("name")
        @classmethod
        def check(cls, value: str) -> str:
            raise EXCEPTIONS[exception]()

    form = ResultForm(Booking)
    assert "could not be checked" in form.take('{"name": "Ada"}')
    assert form.output is None
