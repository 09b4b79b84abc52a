"""Docstrings: each style in the forms that people write."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from realtime_core import function_tool
from realtime_core.docstrings import DocstringStyle, parse_docstring

GOOGLE_ENTRIES = [
    ("a: The a.", {"a": "The a."}),
    ("a (int): The a: with a colon.", {"a": "The a: with a colon."}),
    ("a (int, optional (default 5)): The a.", {"a": "The a."}),
    ("a (int, optional (default: 5)): The a.", {"a": "The a."}),
    ("a (dict[str, list[int]]): The a.", {"a": "The a."}),
    ("a (Callable[[int], str], optional): The a.", {"a": "The a."}),
    ('a (Literal["x:y"]): The a.', {"a": "The a."}),
    ("a (Tuple[()]): The a (or b): more.", {"a": "The a (or b): more."}),
    ("*a: The a.", {"a": "The a."}),
    ("**a (int): The a.", {"a": "The a."}),
    ("a: The a\n        on two lines.", {"a": "The a\non two lines."}),
    ("a (str): The a.\n    b (list[int]): The b.", {"a": "The a.", "b": "The b."}),
]


@pytest.mark.parametrize(("entry", "parameters"), GOOGLE_ENTRIES)
@pytest.mark.parametrize("title", ["Args:", "Arguments:", "Parameters:"])
@pytest.mark.parametrize("gap", ["\n\n", "\n"], ids=["a blank line", "no blank line"])
def test_google_entries_of_every_type(entry: str, parameters: dict[str, str], title: str, gap: str) -> None:
    parsed = parse_docstring(f"Does it.{gap}{title}\n    {entry}\n\nReturns:\n    str: x\n")
    assert (parsed.description, parsed.parameters) == ("Does it.", parameters)


NUMPY_ENTRIES = [
    ("a : int\n    The a.", {"a": "The a."}),
    ("a, b : int\n    Both.", {"a": "Both.", "b": "Both."}),
    ("a, b\n    Both.\nc : int\n    The c.", {"a": "Both.", "b": "Both.", "c": "The c."}),
    ("a\n    The a: with a colon.", {"a": "The a: with a colon."}),
    ("a : {'x', 'y'}, optional\n    The a\n    on two lines.", {"a": "The a\non two lines."}),
    ("*a, **b\n    Both.", {"a": "Both.", "b": "Both."}),
]


@pytest.mark.parametrize(("entry", "parameters"), NUMPY_ENTRIES)
def test_numpy_entries_of_one_name_and_of_several(entry: str, parameters: dict[str, str]) -> None:
    parsed = parse_docstring(f"Does it.\n\nParameters\n----------\n{entry}\n\nReturns\n-------\nstr\n    x")
    assert (parsed.description, parsed.parameters) == ("Does it.", parameters)


@pytest.mark.parametrize("mark", [":", "@"], ids=["Sphinx", "Epydoc"])
@pytest.mark.parametrize(
    ("fields", "parameters"),
    [
        ("{m}param a: The a.", {"a": "The a."}),
        ("{m}param a: The a\n    on two lines.\n{m}type a: str", {"a": "The a\non two lines."}),
        ("{m}param a: The a: with a colon.\n{m}param b: The b.", {"a": "The a: with a colon.", "b": "The b."}),
    ],
)
def test_fields_of_sphinx_and_epydoc(mark: str, fields: str, parameters: dict[str, str]) -> None:
    text = f"Does it.\n\n{fields.format(m=mark)}\n{mark}return: x"
    parsed = parse_docstring(text)
    assert (parsed.description, parsed.parameters) == ("Does it.", parameters)


def test_a_sphinx_type_within_the_field() -> None:
    assert parse_docstring("Does it.\n\n:param dict[str, int] a: The a.").parameters == {"a": "The a."}


@pytest.mark.parametrize(
    ("text", "description"),
    [
        (None, ""),
        ("Does it.", "Does it."),
        ("Does it: now.\n\nAt 9:30, or later.\nMail a@example.com.", None),
        ("Does it.\n\nNote:\n    Only today.\n\nArgs:\n    a: x", "Does it."),
        ("Does it.\n\nArgs:\n    a: x\n\nMore of it.", "Does it."),
    ],
)
def test_the_description_is_the_text_before_the_first_section(text: str | None, description: str | None) -> None:
    assert parse_docstring(text).description == (text if description is None else description)


def test_a_tool_can_name_the_style() -> None:
    def search(query: str) -> str:
        """Search.

        Args:
            query: What for.
        """
        return query

    result = function_tool(search, docstring_style="numpy").params_json_schema["properties"]["query"]
    assert "description" not in result
    result = function_tool(search, docstring_style="google").params_json_schema["properties"]["query"]
    assert result["description"] == "What for."


@given(st.text(), st.sampled_from([None, "google", "numpy", "sphinx"]))
def test_any_text_is_a_docstring(text: str, style: DocstringStyle | None) -> None:
    parse_docstring(text, style)
