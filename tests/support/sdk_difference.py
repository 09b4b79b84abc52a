"""The differences from the OpenAI Agents SDK's realtime API: names that are missing or different here."""

from __future__ import annotations

import ast
import importlib
import inspect
import textwrap
import types
import typing
from collections.abc import Iterator
from pathlib import Path
from typing import Any

REALTIME = (
    "", "agent", "audio_formats", "config", "events", "handoffs", "items", "model", "model_events", "model_inputs",
    "openai_realtime", "runner", "session", "testing",
)  # fmt: skip
"""Modules of `agents.realtime`, compared whole ("" is the package itself)."""

BESIDE = {
    "decorators": (),
    "exceptions": (
        "AgentsException", "ModelBehaviorError", "ToolInputGuardrailTripwireTriggered",
        "ToolOutputGuardrailTripwireTriggered", "ToolTimeoutError", "UserError",
    ),
    "extensions.handoff_prompt": (),
    "guardrail": (
        "GuardrailFunctionOutput", "InputGuardrail", "InputGuardrailResult", "OutputGuardrail", "OutputGuardrailResult",
        "input_guardrail", "output_guardrail",
    ),
    "handoffs": ("Handoff",),
    "run_config": ("ToolErrorFormatter", "ToolErrorFormatterArgs"),
    "run_context": ("RunContextWrapper", "TContext"),
    "tool": ("FunctionTool", "default_tool_error_function", "function_tool"),
    "tool_context": ("ToolContext",),
    "tool_guardrails": (
        "ToolGuardrailFunctionOutput", "ToolInputGuardrail", "ToolInputGuardrailData", "ToolOutputGuardrail",
        "ToolOutputGuardrailData", "tool_input_guardrail", "tool_output_guardrail",
    ),
    "usage": ("Usage",),
    "": (
        "AgentsException", "FunctionTool", "GuardrailFunctionOutput", "Handoff", "InputGuardrail", "ModelBehaviorError",
        "OutputGuardrail", "RunContextWrapper", "TContext", "Tool", "ToolErrorFormatter", "ToolErrorFormatterArgs",
        "ToolGuardrailFunctionOutput", "ToolInputGuardrail", "ToolInputGuardrailData", "ToolOutputGuardrail",
        "ToolOutputGuardrailData", "ToolTimeoutError", "Usage", "UserError", "default_tool_error_function",
        "function_tool", "input_guardrail", "output_guardrail", "tool_input_guardrail", "tool_output_guardrail",
    ),
}  # fmt: skip
"""Modules of `agents` that programs use together with realtime sessions, and which of their names (none: all)."""

INTERNAL = {
    "AllRealtimeServerEvents", "ConversationItem", "DEFAULT_REALTIME_MODEL", "FormatInput",
    "OpenAIRealtimeAudioConfig", "OpenAIRealtimeAudioInput", "OpenAIRealtimeAudioOutput", "ServerEventTypeAdapter",
    "get_server_event_type_adapter",
}  # fmt: skip
"""Names without an underscore that the SDK neither exports nor documents: adapters of the `openai` package's types."""

NO_DEFAULT = inspect.Parameter.empty


def differences() -> list[str]:
    """All differences, sorted."""
    found: set[str] = set()
    for name in REALTIME:
        theirs = importlib.import_module(".".join(filter(None, ("agents.realtime", name))))
        found.update(
            _module(theirs, _ours(name), sorted(_declared(theirs)), "realtime." + name if name else "realtime")
        )
    for name, names in BESIDE.items():
        theirs = importlib.import_module(".".join(filter(None, ("agents", name))))
        found.update(_module(theirs, _ours(name), names or sorted(_declared(theirs)), name or "agents"))
    return sorted(found)


def _ours(name: str) -> Any:
    try:
        return importlib.import_module(".".join(filter(None, ("realtime_core", name))))
    except ModuleNotFoundError:
        return None


def _declared(module: Any) -> set[str]:
    """The public names that a module defines itself, or exports where it is a package."""
    if hasattr(module, "__all__") and module.__file__.endswith("__init__.py"):
        return set(module.__all__)
    names: set[str] = set()
    for node in ast.parse(Path(module.__file__).read_text()).body:
        if isinstance(node, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            names.add(node.name)
        elif isinstance(node, ast.Assign):
            names.update(target.id for target in node.targets if isinstance(target, ast.Name))
        elif isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
            names.add(node.target.id)
    return {name for name in names if not name.startswith("_")} - INTERNAL


def _module(theirs: Any, ours: Any, names: Any, where: str) -> Iterator[str]:
    if ours is None:
        yield f"{where}: no such module"
        return
    for name in names:
        if not hasattr(ours, name):
            yield f"{where}.{name}: missing"
        elif where not in ("realtime", "agents"):  # there, the names come from modules that are compared, too
            yield from _thing(getattr(theirs, name), getattr(ours, name), f"{where}.{name}")


def _thing(theirs: Any, ours: Any, where: str) -> Iterator[str]:
    if inspect.isclass(origin := typing.get_origin(theirs)) and origin.__module__.startswith("agents"):
        theirs = origin  # a class with its type parameters given
    if typing.is_typeddict(theirs):
        yield from _keys(theirs, ours, where)
    elif inspect.isclass(theirs):
        yield from _class(theirs, ours, where)
    elif inspect.isfunction(theirs):
        yield from _signature(theirs, ours, where)
    elif not isinstance(theirs, str) and (members := _members(theirs)):
        if missing := sorted(members - _members(ours)):
            yield f"{where}: without {', '.join(missing)}"
    elif isinstance(theirs, dict) and isinstance(ours, dict):
        for key in sorted(theirs.keys() | ours.keys()):
            if theirs.get(key) != ours.get(key):
                yield f"{where}: {key} is {ours.get(key)!r}, not {theirs.get(key)!r}"
    elif isinstance(theirs, str | int | float | dict) and theirs != ours and "PROMPT_PREFIX" not in where:
        yield f"{where}: {ours!r}, not {theirs!r}"


def _keys(theirs: Any, ours: Any, where: str) -> Iterator[str]:
    keys, our_keys = set(theirs.__annotations__), set(getattr(ours, "__annotations__", ()))
    if missing := sorted(keys - our_keys):
        yield f"{where}: without the keys {', '.join(missing)}"


def _members(alias: Any) -> set[str]:
    """The members of a union or a Literal, nested ones too, by name."""
    if isinstance(alias, type):
        return {alias.__name__}
    if isinstance(alias, str):
        return {repr(alias)}
    origin = typing.get_origin(alias)
    if origin in (typing.Union, types.UnionType, typing.Literal):
        return set().union(*(_members(each) for each in typing.get_args(alias)))
    if origin is typing.Annotated:
        return _members(typing.get_args(alias)[0])
    return {origin.__name__} if isinstance(origin, type) and origin.__module__.startswith("agents") else set()


def _class(theirs: Any, ours: Any, where: str) -> Iterator[str]:
    if not inspect.isclass(ours):
        yield f"{where}: no class"
        return
    if issubclass(theirs, BaseException) and not issubclass(ours, BaseException):
        yield f"{where}: no exception"
    yield from _signature(theirs, ours, where)
    missing = []
    for name, member in inspect.getmembers_static(theirs):
        if name.startswith("_") or not _is_of_the_sdk(theirs, name):
            continue
        if not hasattr(ours, name) and name not in _fields(ours):
            missing.append(name)
        elif isinstance(member, classmethod | staticmethod) or inspect.isfunction(member):
            yield from _signature(getattr(theirs, name), getattr(ours, name), f"{where}.{name}")
    missing += sorted(_set_in_init(theirs) - _set_in_init(ours) - _fields(ours) - set(dir(ours)))
    if missing:
        yield f"{where}: without {', '.join(missing)}"


def _set_in_init(cls: Any) -> set[str]:
    """The public attributes that the constructor of a class sets, or those of its bases."""
    init = cls.__init__
    if not inspect.isfunction(init) or hasattr(cls, "__dataclass_fields__"):
        return set()
    tree = ast.parse(textwrap.dedent(inspect.getsource(init)))
    stored = (node for node in ast.walk(tree) if isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Store))
    return {node.attr for node in stored if not node.attr.startswith("_")}


def _is_of_the_sdk(cls: Any, name: str) -> bool:
    owner = next((each for each in cls.__mro__ if name in vars(each)), object)
    return owner.__module__.startswith("agents") and name != "model_config"


def _fields(cls: Any) -> set[str]:
    return set(getattr(cls, "__dataclass_fields__", ())) | set(getattr(cls, "__annotations__", ()))


def _signature(theirs: Any, ours: Any, where: str) -> Iterator[str]:
    try:
        wanted, given = inspect.signature(theirs).parameters, inspect.signature(ours).parameters
    except (TypeError, ValueError):
        return
    takes_any = any(each.kind is each.VAR_KEYWORD for each in given.values())
    missing = []
    for index, parameter in enumerate(wanted.values()):
        if parameter.kind in (parameter.VAR_KEYWORD, parameter.VAR_POSITIONAL) or parameter.name.startswith("_"):
            continue
        ours_of_it = given.get(parameter.name)
        if ours_of_it is None:
            if not takes_any:
                missing.append(parameter.name)
            continue
        if parameter.kind is parameter.POSITIONAL_OR_KEYWORD and (
            list(given)[index : index + 1] != [parameter.name] or ours_of_it.kind is not parameter.kind
        ):
            yield f"{where}: {parameter.name} is not the {index + 1}. positional parameter"
        if parameter.default is not NO_DEFAULT and (wrong := _default(parameter.default, ours_of_it.default)):
            yield f"{where}: {parameter.name} {wrong}"
    if missing:
        yield f"{where}: without the parameters {', '.join(missing)}"
    for name, parameter in given.items():
        required = parameter.default is NO_DEFAULT and parameter.kind not in (
            parameter.VAR_KEYWORD,
            parameter.VAR_POSITIONAL,
        )
        if name not in wanted and required:
            yield f"{where}: needs {name}"


def _default(theirs: Any, ours: Any) -> str:
    if ours is NO_DEFAULT:
        return f"has no default, not {theirs!r}"
    plain = (str, int, float, bool, tuple, types.NoneType)
    if isinstance(theirs, plain) and (not isinstance(ours, plain) or theirs != ours):
        return f"is {ours!r} by default, not {theirs!r}"
    return ""


if __name__ == "__main__":
    print("\n".join(differences()))
