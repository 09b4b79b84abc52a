"""Loads the agent that an import string (`module:attribute`) names, as uvicorn loads an application."""

from __future__ import annotations

import difflib
import importlib
import inspect
import os
import sys
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from .errors import ImportStringError

if TYPE_CHECKING:
    from .call.options import AgentSource

__all__ = ["load_agent", "load_agents", "load_object"]

_FORM = "AGENT is an import string, module:attribute, such as examples.receptionist:agent."


def load_agent(name: str) -> AgentSource:
    """Returns the `RealtimeAgent` at `module:attribute`, or the function at this place that selects an agent for a
    call.

    The current directory is searched first. Raises `ImportStringError` if there is no such agent.
    """
    return _agent(load_object(name), name)


def load_agents(name: str) -> AgentSource | Mapping[str, AgentSource]:
    """Returns what the import string `name` (`module:attribute`) refers to: a `RealtimeAgent`, a function that selects
    an agent for a call, or a mapping of called numbers to such agents or functions. Raises `ImportStringError` if there
    is no such object.
    """
    value = load_object(name)
    if not isinstance(value, Mapping):
        return _agent(value, name)
    if not value:
        raise ImportStringError(f"{name} is empty. It needs at least one agent.")
    return {str(number): _agent(source, f"{name}[{number!r}]") for number, source in value.items()}


def load_object(name: str, form: str = _FORM, what: str = "agent") -> Any:
    """Returns the object of the import string `name`. In error messages, `what` says what the object should be, and
    `form` shows the form of the import string. Raises `ImportStringError` if there is no such object.
    """
    module_name, colon, attribute = (part.strip() for part in name.partition(":"))
    path = module_name.replace("\\", "/")
    if colon and attribute and (path.endswith(".py") or "/" in path):
        raise ImportStringError(f"{module_name!r} is a path.", _of_path(path.removesuffix(".py"), attribute))
    if not colon or not module_name or not attribute or module_name.startswith("."):
        raise ImportStringError(f"{name!r} names no {what}.", form)
    if (here := os.getcwd()) not in sys.path:
        sys.path.insert(0, here)
    return _attribute(_module(module_name, form), attribute, module_name, form)


def _of_path(path: str, attribute: str) -> str:
    """Returns a hint with the import string for a path. A module is named from the current directory."""
    path = os.path.relpath(path)
    if path.startswith(".."):
        folder, module = os.path.split(os.path.abspath(path))
        return f"Change to {folder} and write {module}:{attribute}."
    return f"Write {path.replace(os.sep, '.')}:{attribute}."


def _module(name: str, form: str) -> Any:
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        if error.name is not None and (name == error.name or name.startswith(f"{error.name}.")):
            where = f"looked in {os.getcwd()} and among the installed packages"
            raise ImportStringError(f"There is no module {error.name!r}.", f"{form} ({where})") from error
        raise ImportStringError(f"{name} imports {error.name!r}, which is not installed.", is_usage=False) from error
    except (Exception, SystemExit) as error:
        hint = '-v shows where. A module that is also a script runs its main part under `if __name__ == "__main__":`.'
        raise ImportStringError(f"{name} raises {type(error).__name__}: {error}", hint, is_usage=False) from error


def _attribute(module: Any, path: str, name: str, form: str) -> Any:
    value = module
    for part in path.split("."):
        if not hasattr(value, part):
            close = difflib.get_close_matches(part, [n for n in dir(value) if not n.startswith("_")], 1)
            raise ImportStringError(f"{name} has no {path!r}.", f"Did you mean {close[0]!r}?" if close else form)
        value = getattr(value, part)
    return value


def _agent(value: Any, name: str) -> AgentSource:
    from starlette.applications import Starlette

    from realtime_core import RealtimeAgent

    if isinstance(value, Starlette):
        raise ImportStringError(f"{name} is an application, not an agent.", f"Name the agent, or run: uvicorn {name}")
    if not isinstance(value, RealtimeAgent) and (not callable(value) or isinstance(value, type)):
        message = f"{name} is a {type(value).__name__}, not a RealtimeAgent or a function that returns one."
        raise ImportStringError(message)
    if not isinstance(value, RealtimeAgent) and not _takes_one_argument(value):
        raise ImportStringError(f"{name} cannot select an agent. It must take one argument, the CallInfo of the call.")
    return value


def _takes_one_argument(function: Any) -> bool:
    try:
        inspect.signature(function).bind(None)
    except TypeError:
        return False
    except ValueError:  # a function of a C extension may have no signature
        return True
    return True
