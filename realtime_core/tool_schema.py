"""Creates a JSON schema from a function's signature, and calls the function with JSON arguments. pydantic does both."""

from __future__ import annotations

import functools
import inspect
import re
import sys
import types
import typing
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from .docstrings import Docstring, DocstringStyle, parse_docstring
from .errors import ModelBehaviorError, UserError
from .patterns import check_patterns

__all__ = ["FunctionSchema", "function_schema", "strict_schema"]

_CONTEXT_CLASSES = frozenset({"RunContextWrapper", "ToolContext"})
_BY_NAME = (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)
_CONTEXT_TEXT = re.compile(r"""^["']?(\w+\.)*(RunContextWrapper|ToolContext)\b""")


@dataclass(frozen=True, slots=True)
class FunctionSchema:
    """The schema of a function for the model, and the conversion of JSON text to the arguments of the function.

    `takes_self` is True if the function is a method. Its first parameter, the object, is not in the schema.
    `takes_context` is True if the next parameter is a `RunContextWrapper` (or `ToolContext`), which is not in the
    schema.
    """

    name: str
    description: str
    params_json_schema: dict[str, Any]
    takes_self: bool
    takes_context: bool
    _model: Any
    _parameters: tuple[inspect.Parameter, ...]

    def parse(self, arguments: str) -> tuple[list[Any], dict[str, Any]]:
        """Validates JSON text. Returns positional and keyword arguments. Raises `ModelBehaviorError` with a message
        that helps the model to correct the arguments.
        """
        from pydantic import ValidationError

        try:
            values = self._model.model_validate_json(arguments or "{}")
        except ValidationError as error:
            problems = "; ".join(f"{'.'.join(map(str, e['loc'])) or 'arguments'}: {e['msg']}" for e in error.errors())
            # `from None`, because the error of pydantic contains the values of the arguments.
            raise ModelBehaviorError(
                f"Invalid arguments for tool {self.name}: {problems}"
            ) from None  # pydantic's error holds the values
        args: list[Any] = []
        kwargs: dict[str, Any] = {}
        for index, parameter in enumerate(self._parameters):
            value = getattr(values, f"p{index}")
            match parameter.kind:
                case inspect.Parameter.VAR_POSITIONAL:
                    args.extend(value)
                case inspect.Parameter.VAR_KEYWORD:
                    if twice := sorted(value.keys() & {p.name for p in self._parameters if p.kind in _BY_NAME}):
                        raise ModelBehaviorError(
                            f"Invalid arguments for tool {self.name}: {parameter.name} must not contain the names of "
                            f"other arguments: {', '.join(twice)}"
                        )
                    kwargs.update(value)
                case inspect.Parameter.KEYWORD_ONLY:
                    kwargs[parameter.name] = value
                case _:
                    args.append(value)
        return args, kwargs


def function_schema(
    func: Callable[..., Any],
    *,
    name: str | None = None,
    description: str | None = None,
    use_docstring: bool = True,
    docstring_style: DocstringStyle | None = None,
    strict: bool = True,
) -> FunctionSchema:
    """Reads a function's signature and docstring. Returns the name and the description for the model, and the JSON
    schema of the parameters. `name` and `description` replace those of the function. With `use_docstring=False`, the
    docstring is ignored. `docstring_style` is the style of the docstring. With None, the style is detected. With
    `strict`, the schema has the form of `strict_schema`. Raises `UserError` if no schema can be created.
    """
    inner = func.func if isinstance(func, functools.partial) else func
    doc = _docstring(inner, docstring_style) if use_docstring else Docstring()
    name = name or getattr(inner, "__name__", None) or type(inner).__name__
    try:
        parameters = list(inspect.signature(func).parameters.values())
    except (TypeError, ValueError) as error:
        raise UserError(f"Tool {name}: the parameters of {func!r} cannot be read: {error}") from error
    hints = _type_hints(inner)
    takes_self = bool(parameters) and _is_self(func, parameters[0])
    if takes_self:
        del parameters[0]
    takes_context = bool(parameters) and _is_context(parameters[0], hints)
    if takes_context:
        del parameters[0]
    if late := next((p.name for p in parameters if _is_context(p, hints)), None):
        raise UserError(f"Tool {name}: the context must be the first parameter, not {late!r}.")
    model = _arguments_model(name, parameters, hints, doc)
    check_patterns(model.__pydantic_core_schema__, f"Tool {name}")
    schema = model.model_json_schema(by_alias=True)
    return FunctionSchema(
        name=name,
        description=description if description is not None else doc.description,
        params_json_schema=strict_schema(schema) if strict else schema,
        takes_self=takes_self,
        takes_context=takes_context,
        _model=model,
        _parameters=tuple(parameters),
    )


def _docstring(func: Callable[..., Any], style: DocstringStyle | None) -> Docstring:
    """Reads the docstring of a function. The parameters of an object that can be called stand in the docstring of its
    `__call__`, and its description can stand there, too.
    """
    doc = parse_docstring(func.__doc__, style)
    if inspect.isroutine(func) or inspect.isclass(func):
        return doc
    call = parse_docstring(type(func).__call__.__doc__, style)
    return Docstring(doc.description or call.description, {**doc.parameters, **call.parameters})


def _type_hints(func: Callable[..., Any]) -> dict[str, Any]:
    """Evaluates the annotations one by one. An annotation that cannot be evaluated (imported for type checkers only)
    stays text.
    """
    target = func if inspect.isroutine(func) else getattr(func, "__call__", func)  # noqa: B004
    try:
        return typing.get_type_hints(target, include_extras=True)
    except NameError:
        scope = dict(getattr(target, "__globals__", None) or vars(sys.modules[func.__module__]))
        if isinstance(target, types.FunctionType):
            scope |= inspect.getclosurevars(target).nonlocals
        hints: dict[str, Any] = {}
        for name, annotation in getattr(target, "__annotations__", {}).items():
            probe = types.SimpleNamespace(__annotations__={name: annotation})
            try:
                hints |= typing.get_type_hints(probe, globalns=scope, include_extras=True)
            except NameError:
                hints[name] = annotation
        return hints


def _is_self(func: Callable[..., Any], first: inspect.Parameter) -> bool:
    """Returns whether a function is a method that is not bound to an object."""
    is_plain = inspect.isfunction(inspect.unwrap(func))
    return is_plain and first.name in ("self", "cls") and first.annotation is inspect.Parameter.empty


def _is_context(parameter: inspect.Parameter, hints: dict[str, Any]) -> bool:
    # Compared by name and not by identity, so the context classes of other SDKs are also accepted.
    hint = hints.get(parameter.name, parameter.annotation)
    if isinstance(hint, str):
        return _CONTEXT_TEXT.match(hint) is not None
    cls = typing.get_origin(hint) or hint
    return isinstance(cls, type) and any(base.__name__ in _CONTEXT_CLASSES for base in cls.__mro__)


def _arguments_model(name: str, parameters: list[inspect.Parameter], hints: dict[str, Any], doc: Docstring) -> Any:
    from pydantic import ConfigDict, Field, create_model
    from pydantic.errors import PydanticSchemaGenerationError, PydanticUndefinedAnnotation, PydanticUserError
    from pydantic.fields import FieldInfo

    fields: dict[str, Any] = {}
    for index, parameter in enumerate(parameters):
        hint = hints.get(parameter.name, Any)
        if isinstance(hint, str):
            raise UserError(f"Tool {name}: the annotation {hint!r} of {parameter.name!r} cannot be found at run time.")
        description = doc.parameters.get(parameter.name) or _annotated_text(hint)
        default: Any = ... if parameter.default is inspect.Parameter.empty else parameter.default
        if parameter.kind is inspect.Parameter.VAR_POSITIONAL:
            hint, default = list[hint], Field(default_factory=list)  # type: ignore[valid-type]
        elif parameter.kind is inspect.Parameter.VAR_KEYWORD:
            hint, default = dict[str, hint], Field(default_factory=dict)  # type: ignore[valid-type]
        info = default if isinstance(default, FieldInfo) else Field(default)
        merged: dict[str, Any] = dict.fromkeys(("alias", "validation_alias", "serialization_alias"), parameter.name)
        merged["title"] = info.title or parameter.name.replace("_", " ").title()
        if description:  # if there is none, the description of a `Field` in `Annotated` stays
            merged["description"] = description
        fields[f"p{index}"] = hint, FieldInfo.merge_field_infos(info, **merged)
    # Arguments for `**kwargs` that the model gives beside it would be lost without a message.
    takes_any = any(parameter.kind is inspect.Parameter.VAR_KEYWORD for parameter in parameters)
    config = ConfigDict(extra="forbid" if takes_any else "ignore", arbitrary_types_allowed=False)
    try:
        # The fields have their own names with aliases, so a parameter can have a name like `json` or `_x`.
        return create_model(f"{name}_args", __config__=config, **fields)
    except (PydanticSchemaGenerationError, PydanticUndefinedAnnotation, PydanticUserError, TypeError) as error:
        raise UserError(f"Tool {name}: its parameters cannot be described as a JSON schema: {error}") from error


def _annotated_text(hint: Any) -> str | None:
    """Returns the description in `Annotated[str, "description"]`."""
    return next((m for m in getattr(hint, "__metadata__", ()) if isinstance(m, str)), None)


def strict_schema(schema: dict[str, Any]) -> dict[str, Any]:
    """Returns the schema in the strict form of OpenAI's function calling: no object allows additional properties, and
    every property is required.

    The given schema is not changed. Raises `UserError` for an object with free keys, which strict mode does not
    support. Source: https://platform.openai.com/docs/guides/function-calling (strict mode).
    """
    strict = _strict(schema)
    assert isinstance(strict, dict)
    strict.setdefault("type", "object")
    strict.setdefault("properties", {})
    strict.setdefault("required", [])
    strict["additionalProperties"] = False
    return strict


def _strict(node: Any) -> Any:
    if isinstance(node, list):
        return [_strict(child) for child in node]
    if not isinstance(node, dict):
        return node
    made = {
        key: {k: _strict(v) for k, v in value.items()} if key in _NAMED_SCHEMAS and isinstance(value, dict)
        else value if key in _LITERALS else _strict(value)
        for key, value in node.items()
        if not (key == "default" and value is None)
    }  # fmt: skip
    if node.get("type") == "object":
        if node.get("additionalProperties"):
            raise UserError("A strict schema cannot hold free keys (a dict, or **kwargs): pass strict_mode=False.")
        made["additionalProperties"] = False
    if "properties" in made:
        made["required"] = list(made["properties"])
    return made


_NAMED_SCHEMAS = frozenset({"properties", "$defs", "definitions"})
_LITERALS = frozenset({"default", "enum", "const", "examples", "required"})
