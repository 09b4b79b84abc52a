"""The result of a call: schemas and models of the application, whatever they are, end no call."""

from __future__ import annotations

import dataclasses
import json
import time
from typing import Any, NotRequired

import pytest
from pydantic import BaseModel, ConfigDict, Field, field_validator
from typing_extensions import TypedDict

from realtime_core.errors import UserError
from telephony.outcomes.result_form import ResultForm, check_schema
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
    result = ResultForm(tree).take('{"name": "a", "child": {"child": {"name": 3}}}')
    assert "child.child.name" in result


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


@dataclasses.dataclass
class Order:
    pizza: str
    count: int = 1


class Address(TypedDict):
    street: str
    floor: NotRequired[int]


class Person(BaseModel):
    name: str


@pytest.mark.parametrize(
    ("wanted", "wrong", "right", "output"),
    [
        (Person, {}, {"name": "Ada"}, Person(name="Ada")),
        (Order, {"pizza": "Margherita", "count": "many"}, {"count": "2"}, Order("Margherita", 2)),
        (Address, {"floor": 3}, {"street": "Elm"}, {"street": "Elm", "floor": 3}),
        ({"type": "object", "required": ["a"]}, {}, {"a": 1}, {"a": 1}),
    ],
    ids=["model", "dataclass", "TypedDict", "JSON schema"],
)
def test_each_kind_of_result_is_filled_in_and_validated(
    wanted: Any, wrong: dict[str, Any], right: dict[str, Any], output: Any
) -> None:
    form = ResultForm(wanted)
    assert "Still missing" in form.take(json.dumps(wrong))
    assert form.output is None
    assert form.take(json.dumps(right)) == "Noted. Nothing is missing."
    assert form.output == output
    assert json.loads(json.dumps(form.type.plain(form.output))) == form.type.plain(output)


@pytest.mark.parametrize("wanted", [Person(name="Ada"), str, list[Person], None, Order("Margherita")])
def test_other_kinds_of_result_are_refused(wanted: Any) -> None:
    with pytest.raises(UserError, match="result: "):
        ResultForm(wanted)


def test_unknown_fields_are_those_without_a_value() -> None:
    form = ResultForm(Order)
    form.take('{"pizza": "Margherita", "count": null}')
    assert form.unknown == ["count"]
