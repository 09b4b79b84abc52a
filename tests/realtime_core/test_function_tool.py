"""Tools out of functions: name, description, schema, arguments, results (rows 34, 36, 37, 49 and 50)."""

from __future__ import annotations

import asyncio
import concurrent.futures
import dataclasses
import enum
import functools
import json
import threading
from types import SimpleNamespace
from typing import TYPE_CHECKING, Annotated, Any, Literal

import pytest
from pydantic import BaseModel, Field

from realtime_core import (
    FunctionTool,
    ModelBehaviorError,
    RealtimeAgent,
    RunContextWrapper,
    ToolContext,
    ToolTimeoutError,
    UserError,
    function_tool,
    realtime_handoff,
    user_code,
)
from realtime_core.testing import virtual_time
from realtime_core.tools import invoke_tool, tool_output_text

if TYPE_CHECKING:
    from decimal import Decimal as OnlyForTypeCheckers


class Size(enum.Enum):
    SMALL = "small"
    LARGE = "large"


@dataclasses.dataclass
class Guest:
    name: str
    age: int = 18


class Wish(BaseModel):
    what: str
    note: str | None = None


def context(value: Any = None) -> ToolContext[Any]:
    return ToolContext(value, tool_name="t", tool_call_id="call_1")


def invoke(tool: FunctionTool, arguments: str = "{}", value: Any = None) -> Any:
    async def run() -> Any:
        return await tool.on_invoke_tool(context(value), arguments)

    return asyncio.run(run())


# Names, descriptions, schemas


def test_name_description_and_parameters_come_from_the_function() -> None:
    @function_tool
    def book_table(day: str, people: int = 2) -> str:
        """Book a table.

        Only for tonight's week.

        Args:
            day: The day, in English,
                capitalised.
            people (int): How many.

        Returns:
            A confirmation.
        """
        return f"{day} {people}"

    assert (book_table.name, book_table.description) == ("book_table", "Book a table.\n\nOnly for tonight's week.")
    assert book_table.params_json_schema == {
        "type": "object",
        "title": "book_table_args",
        "properties": {
            "day": {"type": "string", "title": "Day", "description": "The day, in English,\ncapitalised."},
            "people": {"type": "integer", "title": "People", "description": "How many.", "default": 2},
        },
        "required": ["day", "people"],
        "additionalProperties": False,
    }
    assert book_table.strict_json_schema is True
    assert invoke(book_table, '{"day": "Friday"}') == "Friday 2"


def test_overrides() -> None:
    @function_tool(name_override="n", description_override="d", strict_mode=False, use_docstring_info=False)
    def f(a: int, b: int = 1) -> int:
        """Not this.

        Args:
            a: Not this either.
        """
        return a + b

    assert (f.name, f.description) == ("n", "d")
    assert f.params_json_schema["required"] == ["a"]
    assert "description" not in f.params_json_schema["properties"]["a"]
    assert "additionalProperties" not in f.params_json_schema


def test_types_of_all_kinds() -> None:
    @function_tool
    def order(
        size: Size,
        guest: Guest,
        wishes: list[Wish],
        when: Literal["now", "later"] = "now",
        seats: Annotated[int, "how many seats"] = 1,
        table: int = Field(3, ge=1, le=9, description="which table"),
        note: str | None = None,
    ) -> str:
        assert isinstance(guest, Guest)
        assert all(isinstance(wish, Wish) for wish in wishes)
        return f"{size} {guest} {wishes} {when} {seats} {table} {note}"

    properties = order.params_json_schema["properties"]
    assert properties["when"]["enum"] == ["now", "later"]
    assert properties["seats"]["description"] == "how many seats"
    assert (properties["table"]["minimum"], properties["table"]["description"]) == (1, "which table")
    assert "default" not in properties["note"]
    definitions = order.params_json_schema["$defs"]
    assert definitions["Wish"] == {
        "type": "object",
        "title": "Wish",
        "properties": {
            "what": {"type": "string", "title": "What"},
            "note": {"anyOf": [{"type": "string"}, {"type": "null"}], "title": "Note"},
        },
        "required": ["what", "note"],
        "additionalProperties": False,
    }
    arguments = {"size": "small", "guest": {"name": "Ada"}, "wishes": [{"what": "window"}]}
    assert invoke(order, json.dumps(arguments)) == (
        "Size.SMALL Guest(name='Ada', age=18) [Wish(what='window', note=None)] now 1 3 None"
    )
    assert "table" in invoke(order, json.dumps({**arguments, "table": 10}))


def test_parameters_of_any_name_and_kind() -> None:
    @function_tool(strict_mode=False)
    def f(json: str, _x: int, /, *rest: int, copy: bool = False, **more: str) -> Any:
        return [json, _x, rest, copy, more]

    arguments = {"json": "j", "_x": 1, "rest": [2, 3], "copy": True, "more": {"k": "v"}}
    assert invoke(f, json_text(arguments)) == ["j", 1, (2, 3), True, {"k": "v"}]
    assert invoke(f, '{"json": "j", "_x": 1}') == ["j", 1, (), False, {}]


def json_text(value: Any) -> str:
    return json.dumps(value)


def test_strict_schemas_have_no_free_keys() -> None:
    with pytest.raises(UserError, match="strict_mode=False"):

        @function_tool
        def f(options: dict[str, int]) -> None: ...


def test_a_tool_without_parameters() -> None:
    @function_tool
    def ping() -> str:
        return "pong"

    assert ping.params_json_schema["properties"] == {}
    assert (invoke(ping, ""), invoke(ping, "{}")) == ("pong", "pong")


# The context


def test_a_first_context_parameter_is_given_and_not_described() -> None:
    @function_tool
    async def one(ctx: RunContextWrapper[dict[str, int]], a: int) -> int:
        return ctx.context["x"] + a

    @function_tool
    def two(ctx: ToolContext[Any]) -> str:
        return ctx.tool_call_id + ctx.call_id

    assert list(one.params_json_schema["properties"]) == ["a"]
    assert invoke(one, '{"a": 2}', {"x": 1}) == 3
    assert (two.params_json_schema["properties"], invoke(two)) == ({}, "call_1call_1")


def test_a_context_imported_for_type_checkers_only_is_still_a_context() -> None:
    def f(ctx: ToolContext[OnlyForTypeCheckers], a: int) -> str:
        return f"{ctx.tool_name}{a}"

    tool = function_tool(f)
    assert list(tool.params_json_schema["properties"]) == ["a"]
    assert invoke(tool, '{"a": 1}') == "t1"


def test_the_context_class_of_another_package_is_known_by_its_name() -> None:
    other = type("RunContextWrapper", (), {})

    def f(ctx: Any, a: int) -> int:
        return a

    f.__annotations__ = {"ctx": other, "a": int}
    assert list(function_tool(f).params_json_schema["properties"]) == ["a"]


def test_a_context_elsewhere_is_an_error() -> None:
    def f(a: int, ctx: RunContextWrapper[Any]) -> None: ...

    with pytest.raises(UserError, match="first parameter"):
        function_tool(f)


def test_an_annotation_that_does_not_exist_is_an_error() -> None:
    def f(a: OnlyForTypeCheckers) -> None: ...

    with pytest.raises(UserError, match="cannot be found"):
        function_tool(f)


def test_a_type_without_schema_is_an_error() -> None:
    def f(a: threading.Thread) -> None: ...

    with pytest.raises(UserError, match="JSON schema"):
        function_tool(f)


def test_methods_and_objects_are_functions_too() -> None:
    class Bookings:
        def book(self, day: str) -> str:
            """Book."""
            return day

        async def __call__(self, day: str) -> str:
            return day + "!"

    tool = function_tool(Bookings().book)
    assert (tool.name, tool.description, invoke(tool, '{"day": "Friday"}')) == ("book", "Book.", "Friday")
    called = function_tool(Bookings(), name_override="book")
    assert invoke(called, '{"day": "Friday"}') == "Friday!"


def test_partial_functions_have_what_is_left_of_their_parameters() -> None:
    def book(table: int, day: str) -> str:
        """Book."""
        return f"{table} {day}"

    tool = function_tool(functools.partial(book, 4))
    assert (tool.name, tool.description, list(tool.params_json_schema["properties"])) == ("book", "Book.", ["day"])
    assert invoke(tool, '{"day": "Friday"}') == "4 Friday"


# Running


def test_tools_that_hang_leave_the_threads_of_the_loop_alone() -> None:
    @function_tool
    def slow() -> str:
        virtual_time.spend(60)
        return "late"

    async def main() -> float:
        async def call_slow() -> Any:
            context = ToolContext(None, tool_name="slow", tool_call_id="call_1")
            return await slow.on_invoke_tool(context, "{}")

        loop = asyncio.get_running_loop()
        loop.set_default_executor(concurrent.futures.ThreadPoolExecutor(6))  # as many as a small machine has
        running = [asyncio.create_task(call_slow()) for _ in range(50)]
        await asyncio.sleep(1)
        await loop.getaddrinfo("127.0.0.1", 80)
        there_at = loop.time()
        assert await asyncio.gather(*running) == ["late"] * 50
        return there_at

    assert virtual_time.run(main) == 1.0


def test_plain_functions_run_in_a_thread_coroutine_functions_in_the_loop() -> None:
    @function_tool
    def plain() -> bool:
        return threading.current_thread() is threading.main_thread()

    @function_tool
    async def coroutine() -> bool:
        return threading.current_thread() is threading.main_thread()

    assert (invoke(plain), invoke(coroutine)) == (False, True)


@pytest.mark.parametrize("arguments", ["{", "[]", '{"a": "x"}', "{}", "null"])
def test_arguments_that_do_not_fit_are_reported_to_the_model(arguments: str) -> None:
    @function_tool
    def f(a: int) -> int:
        return a

    outcome = invoke(f, arguments)
    assert outcome.startswith("An error occurred while parsing tool arguments. Please try again with valid JSON.")
    assert "tool f" in outcome


def test_what_a_tool_raises_is_reported_to_the_model() -> None:
    @function_tool
    def f() -> None:
        raise ValueError("no such day")

    assert invoke(f) == "An error occurred while running the tool. Please try again. Error: no such day"


def test_errors_can_be_reported_in_other_words_or_not_at_all() -> None:
    async def words(ctx: Any, error: Exception) -> str:
        return f"Sorry: {error}"

    @function_tool(failure_error_function=words)
    async def f() -> None:
        raise ValueError("x")

    @function_tool(failure_error_function=None)
    def g(a: int) -> None: ...

    assert invoke(f) == "Sorry: x"
    with pytest.raises(ModelBehaviorError, match="a: Field required"):
        invoke(g)


@pytest.mark.virtual_time
async def test_a_tool_may_take_its_time_and_no_more() -> None:
    @function_tool(timeout=2)
    async def slow(seconds: float) -> str:
        await asyncio.sleep(seconds)
        return "done"

    @function_tool(failure_error_function=None)
    async def its_own() -> None:
        raise TimeoutError("upstream")

    assert await invoke_tool(slow, context(), '{"seconds": 1}') == "done"
    with pytest.raises(ToolTimeoutError, match="Tool 'slow' timed out after 2 seconds"):
        await invoke_tool(slow, context(), '{"seconds": 3}')
    with pytest.raises(ToolTimeoutError):
        await invoke_tool(function_tool(asyncio_sleep), context(), "{}", 1.0)
    with pytest.raises(TimeoutError, match="upstream"):
        await invoke_tool(its_own, context(), "{}", 1.0)


async def asyncio_sleep() -> None:
    await asyncio.sleep(60)


def test_a_timeout_must_be_positive() -> None:
    with pytest.raises(UserError, match="timeout_seconds"):
        function_tool(asyncio_sleep, timeout=0)


def test_an_unknown_behaviour_after_a_timeout_is_refused() -> None:
    behaviour: Any = "raise"
    with pytest.raises(UserError, match="'error_as_result' or 'raise_exception', not 'raise'"):
        function_tool(asyncio_sleep, timeout=1, timeout_behavior=behaviour)


def test_the_description_of_a_parameter_is_read_wherever_it_can_stand() -> None:
    """The docstring has priority, then a text in `Annotated`, then a `Field`."""

    def book(
        field: Annotated[int, Field(ge=1, description="in a field")],
        default_field: Annotated[int, Field(ge=2)] = Field(2, description="in a default"),
        text: Annotated[int, Field(description="hidden"), "as text"] = 3,
        text_first: Annotated[int, "as text"] = Field(4, description="hidden"),
        documented: Annotated[int, "hidden"] = Field(5, description="hidden"),
        nothing: int = 6,
    ) -> None:
        """Books.

        Args:
            documented: in the docstring
        """

    properties = function_tool(book, strict_mode=False).params_json_schema["properties"]
    assert {name: schema.get("description") for name, schema in properties.items()} == {
        "field": "in a field",
        "default_field": "in a default",
        "text": "as text",
        "text_first": "as text",
        "documented": "in the docstring",
        "nothing": None,
    }
    assert (properties["field"]["minimum"], properties["default_field"]["minimum"]) == (1, 2)


def test_an_object_that_can_be_called_is_described_by_its_class_and_its_call() -> None:
    class Described:
        """Converts."""

        def __call__(self, amount: int) -> int:
            """Hidden.

            Args:
                amount: in euros
            """
            return amount

    class Bare(Described):
        __doc__ = None

        def __call__(self, amount: int) -> int:
            """Rounds."""
            return amount

    tool = function_tool(Described())
    assert tool.description == "Converts."
    assert tool.params_json_schema["properties"]["amount"]["description"] == "in euros"
    assert function_tool(Bare()).description == "Rounds."


def test_free_arguments_stand_in_their_own_object_only() -> None:
    def order(dish: str, **extras: int) -> str:
        return f"{dish} {extras}"

    tool = function_tool(order, strict_mode=False, failure_error_function=None)
    assert invoke(tool, '{"dish": "Soup", "extras": {"salt": 1, "extras": 2}}') == "Soup {'salt': 1, 'extras': 2}"
    with pytest.raises(ModelBehaviorError, match="salt: Extra inputs"):
        invoke(tool, '{"dish": "Soup", "salt": 1}')
    with pytest.raises(ModelBehaviorError, match="extras must not contain the names of other arguments: dish"):
        invoke(tool, '{"dish": "Soup", "extras": {"dish": 1}}')


def test_a_tool_has_the_function_that_it_was_made_from() -> None:
    def double(number: int) -> int:
        return 2 * number

    tool = function_tool(double)
    assert tool.__wrapped__ is double
    assert Shop("Oslo").price.__wrapped__("Tea") == "Tea in Oslo"
    assert Shop.price.__wrapped__(Shop("Oslo"), "Tea") == "Tea in Oslo"
    assert not hasattr(FunctionTool("t", "", {}, tool.on_invoke_tool), "__wrapped__")


# Results


@pytest.mark.parametrize(
    ("result", "text"),
    [
        ("as it is", "as it is"),
        (None, "null"),
        ({"a": "ü"}, '{"a": "ü"}'),
        ([1, 2.5, True], "[1, 2.5, true]"),
        (Guest("Ada"), '{"name": "Ada", "age": 18}'),
        ([Wish(what="x")], '[{"what": "x", "note": null}]'),
        ({"s": Size.LARGE}, '{"s": "large"}'),
        (Wish, str(Wish)),
        ({(1, 2): 3}, "{(1, 2): 3}"),
    ],
)
def test_results_as_text(result: Any, text: str) -> None:
    assert tool_output_text(result) == text


# Enabled or not, ours or not


async def _enabled(agent: RealtimeAgent[Any]) -> list[str]:
    return [tool.name for tool in await agent.get_all_tools(RunContextWrapper({"vip": True}))]


def test_tools_can_be_disabled_also_by_a_function() -> None:
    def vip(ctx: RunContextWrapper[Any], agent: Any) -> bool:
        return bool(ctx.context["vip"])

    async def never(ctx: Any, agent: Any) -> bool:
        return False

    def tool(name: str, is_enabled: Any) -> FunctionTool:
        return function_tool(asyncio_sleep, name_override=name, is_enabled=is_enabled)

    agent = RealtimeAgent(name="A", tools=[tool("a", True), tool("b", False), tool("c", vip), tool("d", never)])
    assert asyncio.run(_enabled(agent)) == ["a", "c"]


def test_tools_of_other_packages_are_accepted_by_shape() -> None:
    async def on_invoke_tool(ctx: Any, arguments: str) -> str:
        return f"{ctx.tool_name}{arguments}"

    other = SimpleNamespace(name="other", description="", params_json_schema={}, on_invoke_tool=on_invoke_tool)
    agent = RealtimeAgent(name="A", tools=[other])
    assert asyncio.run(_enabled(agent)) == ["other"]
    assert asyncio.run(invoke_tool(other, context(), "{}")) == "t{}"


def test_what_is_no_tool_is_an_error_that_says_what_to_do() -> None:
    with pytest.raises(UserError, match="Is @function_tool missing"):
        asyncio.run(_enabled(RealtimeAgent(name="A", tools=[asyncio_sleep])))  # type: ignore[list-item]


def test_tools_of_mcp_servers() -> None:
    listed = SimpleNamespace(name="search", description=None, inputSchema={"type": "object"})

    class Session:
        """The shape of the official client's session."""

        async def list_tools(self, cursor: str | None = None) -> Any:
            return SimpleNamespace(tools=[listed])

        async def call_tool(self, name: str, arguments: dict[str, Any]) -> Any:
            part = SimpleNamespace(text=f"{name} {arguments['q']}")
            return SimpleNamespace(content=[part], isError=arguments["q"] == "bad")

    class Server(Session):
        """The shape of a server that filters its tools by agent."""

        async def list_tools(self, run_context: Any = None, agent: Any = None) -> Any:
            return [SimpleNamespace(name=agent.name, description="d", inputSchema=None)]

    async def main() -> None:
        agent = RealtimeAgent(name="A", mcp_servers=[Session(), Server()])
        tools = await agent.get_all_tools(RunContextWrapper(None))
        assert [(tool.name, tool.description) for tool in tools] == [("search", ""), ("A", "d")]
        search = tools[0].on_invoke_tool
        assert await search(context(), '{"q": "x"}') == "search x"
        assert await search(context(), '{"q": "bad"}') == "Error: search bad"
        assert "Invalid JSON" in await search(context(), "{")
        assert "must be a JSON object" in await search(context(), "[]")
        assert "Error: 'q'" in await search(context(), "{}")

    asyncio.run(main())


# Methods


class Shop:
    """A class whose methods are tools, in each way that Python allows."""

    greeting = function_tool(lambda: "hello", name_override="greeting")

    def __init__(self, city: str = "Rome") -> None:
        self.city = city

    @function_tool
    def price(self, article: str) -> str:
        """The price of an article."""
        return f"{article} in {self.city}"

    @function_tool
    async def stock(self, ctx: ToolContext[Any], article: str) -> str:
        return f"{article} in {self.city} {ctx.call_id}"

    @function_tool
    @classmethod
    def name(cls, article: str) -> str:
        return f"{article} at {cls.__name__}"

    @classmethod
    @function_tool
    def other_name(cls, article: str) -> str:
        return f"{article} at {cls.__name__}"

    @function_tool
    @staticmethod
    def rule(article: str) -> str:
        return f"no {article}"

    @staticmethod
    @function_tool
    def other_rule(article: str) -> str:
        return f"no {article}"


class Kiosk(Shop):
    pass


@pytest.mark.parametrize(
    ("attribute", "output"),
    [
        ("price", "tea in Oslo"),
        ("stock", "tea in Oslo call_1"),
        ("name", "tea at Kiosk"),
        ("other_name", "tea at Kiosk"),
        ("rule", "no tea"),
        ("other_rule", "no tea"),
    ],
)
def test_a_method_is_the_tool_of_an_object(attribute: str, output: str) -> None:
    agent: RealtimeAgent[Any] = RealtimeAgent(name="Desk", tools=[getattr(Kiosk("Oslo"), attribute)])
    (tool,) = asyncio.run(agent.get_all_tools(RunContextWrapper(None)))
    assert isinstance(tool, FunctionTool)
    assert list(tool.params_json_schema["properties"]) == ["article"]
    assert invoke(tool, '{"article": "tea"}') == output


def test_tools_of_two_objects_are_two() -> None:
    rome, oslo = Shop("Rome").price, Shop("Oslo").price
    assert (invoke(rome, '{"article": "tea"}'), invoke(oslo, '{"article": "tea"}')) == ("tea in Rome", "tea in Oslo")
    assert rome.description == "The price of an article."


def test_a_tool_that_is_no_method_is_the_same_from_an_object() -> None:
    assert Shop().greeting is Shop.greeting


def test_the_method_of_a_class_is_no_tool_of_an_agent() -> None:
    with pytest.raises(UserError, match="method of a class"):
        RealtimeAgent(name="Desk", tools=[Shop.price])
    assert "method" in invoke_failure(Shop.price)


def invoke_failure(tool: FunctionTool) -> str:
    with pytest.raises(UserError) as raised:
        invoke(tool, '{"article": "tea"}')
    return str(raised.value)


@pytest.mark.parametrize("what", ["text", 3, functools.partialmethod(print), object()])
def test_what_cannot_be_called_is_no_tool(what: Any) -> None:
    with pytest.raises(UserError, match="not a function"):
        function_tool(what)


# An agent checks its parts when it is made


def bare(text: str) -> str:
    return text


class SomeHooks:
    pass


@pytest.mark.parametrize(
    ("parts", "words"),
    [
        ({"tools": [bare]}, "Is @function_tool missing"),
        ({"tools": [function_tool(bare), "bare"]}, "not a function tool"),
        ({"tools": [None]}, "not a function tool"),
        ({"tools": function_tool(bare)}, "must be a list"),
        ({"tools": "bare"}, "must be a list"),
        ({"handoffs": [bare]}, "must be a RealtimeAgent or the result of"),
        ({"handoffs": [RealtimeAgent]}, "must be a RealtimeAgent or the result of"),
        ({"handoffs": RealtimeAgent(name="Other")}, "must be a list"),
        ({"output_guardrails": [bare]}, "not a guardrail"),
        ({"input_guardrails": [bare]}, "not a guardrail"),
        ({"mcp_servers": [bare]}, "not an MCP server"),
        ({"hooks": SomeHooks}, "hooks"),
        ({"instructions": lambda: "no arguments"}, "must take"),
        ({"instructions": 3}, "must be text"),
        ({"tools": [function_tool(lambda day: day)]}, "'<lambda>': a name has"),
        ({"tools": [function_tool(bare, name_override="büro")]}, "'büro': a name has"),
        ({"tools": [function_tool(bare, name_override="n" * 65)]}, "a name has 1 to 64"),
        (
            {"handoffs": [realtime_handoff(RealtimeAgent(name="Other"), tool_name_override="to other")]},
            "'to other': a name has",
        ),
    ],
)
def test_parts_that_cannot_work_are_refused_when_the_agent_is_made(parts: dict[str, Any], words: str) -> None:
    with pytest.raises(UserError, match=words):
        RealtimeAgent(name="Desk", **parts)
    with pytest.raises(UserError, match=words):
        RealtimeAgent(name="Desk").clone(**parts)


@pytest.mark.real_time
async def test_a_future_of_a_thread_is_awaited() -> None:
    future: concurrent.futures.Future[str] = concurrent.futures.Future()
    threading.Timer(0.01, future.set_result, ["sunny"]).start()
    assert await user_code.settled(future) == "sunny"
    failed: concurrent.futures.Future[str] = concurrent.futures.Future()
    failed.set_exception(ValueError("no"))
    with pytest.raises(ValueError, match="no"):
        await user_code.settled(failed)
