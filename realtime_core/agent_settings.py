"""Computes the session settings that the model gets for an agent, such as its instructions and tools."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from . import user_code
from .config import RealtimeRunConfig, RealtimeSessionModelSettings
from .errors import UserError
from .guardrails import check_guardrails
from .handoffs import Handoff, as_handoff, collect_enabled_handoffs, filter_enabled_handoffs
from .tools import Tool, check_tool, is_enabled

if TYPE_CHECKING:
    from .agent import RealtimeAgent
    from .run_context import RunContextWrapper

__all__ = ["ActiveAgent", "activate", "output_bytes_per_ms"]


@dataclass(frozen=True, slots=True)
class ActiveAgent:
    """An agent together with its tools and handoffs that are enabled, and the session settings that the model gets for
    it. A tool call is looked up in the `ActiveAgent` that made the response, even after a handoff.
    """

    agent: RealtimeAgent[Any]
    settings: RealtimeSessionModelSettings
    tools: Mapping[str, Tool]
    handoffs: Mapping[str, Handoff[Any, Any]]


async def activate(
    agent: RealtimeAgent[Any],
    context: RunContextWrapper[Any],
    run_config: RealtimeRunConfig,
    base: RealtimeSessionModelSettings,
    *,
    overrides: RealtimeSessionModelSettings | None = None,
    voice_of: RealtimeSessionModelSettings | None = None,
) -> ActiveAgent:
    """Computes the session settings for `agent`: the instructions, tools and handoffs.

    A setting is taken from the last of these sources that has it: the settings of `run_config`, the initial settings of
    the session (both in `base`), the agent itself, and `overrides`. For the agent with which the session starts,
    `overrides` also has the initial settings, so they have priority over the settings of this agent. `voice_of` has the
    settings with which audio was generated, or None. Their voice is kept, because the server accepts no other voice
    after the first audio. `context` is passed to users' functions.

    Raises `UserError` for an invalid tool or guardrail, and for two enabled tools or handoffs with the same name.
    Exceptions of users' functions are not caught.
    """
    check_guardrails((*agent.output_guardrails, *agent.input_guardrails))
    check_guardrails((*run_config.get("output_guardrails", ()), *run_config.get("input_guardrails", ())))
    settings = base.copy()
    if agent.prompt is not None:
        settings["prompt"] = agent.prompt
    if agent.voice is not None and voice_of is None:
        settings = _with_voice(settings, agent.voice)
    instructions, tools, handoffs = await user_code.concurrently(
        agent.get_system_prompt(context),
        agent.get_all_tools(context),
        collect_enabled_handoffs(agent, context),
    )
    settings["instructions"] = instructions or ""
    settings["tools"] = tools
    settings["handoffs"] = handoffs
    if overrides:
        settings.update(overrides)
        if "tools" in overrides:
            settings["tools"] = await _enabled_tools(overrides["tools"] or [], context, agent)
        if "handoffs" in overrides:
            given = map(as_handoff, overrides["handoffs"] or [])
            settings["handoffs"] = await filter_enabled_handoffs(given, context, agent)
    if voice_of is not None and (heard := _voice(voice_of)) is not None:
        settings = _with_voice(settings, heard)
    if run_config.get("tracing_disabled"):
        settings["tracing"] = None
    return ActiveAgent(agent, settings, *_by_name(settings["tools"], settings["handoffs"]))


async def _enabled_tools(
    entries: Iterable[Any], context: RunContextWrapper[Any], agent: RealtimeAgent[Any]
) -> list[Any]:
    checked = [check_tool(entry) for entry in entries]
    enabled = await user_code.concurrently(*(is_enabled(entry, context, agent) for entry in checked))
    return [entry for entry, is_on in zip(checked, enabled, strict=True) if is_on]


def _by_name(
    tools: list[Any], handoffs: list[Handoff[Any, Any]]
) -> tuple[dict[str, Tool], dict[str, Handoff[Any, Any]]]:
    """Returns the tools and handoffs that run in this process, by name. Tools that the model's server runs (plain
    dicts) are left out.
    """
    local = [tool for tool in tools if not isinstance(tool, Mapping)]
    names = [*(tool.name for tool in local), *(handoff.tool_name for handoff in handoffs)]
    if twice := next((name for name in names if names.count(name) > 1), None):
        raise UserError(f"Two tools or handoffs have the name {twice!r}. Names must be unique.")
    return {tool.name: tool for tool in local}, {handoff.tool_name: handoff for handoff in handoffs}


def _with_voice(settings: RealtimeSessionModelSettings, voice: Any) -> RealtimeSessionModelSettings:
    """Returns the settings with another voice. Also changes the voice in the nested form, which has precedence."""
    changed = settings.copy()
    changed["voice"] = voice
    output = (settings.get("audio") or {}).get("output") or {}
    if "voice" in output:
        audio: Any = {**settings["audio"], "output": {**output, "voice": voice}}
        changed["audio"] = audio
    return changed


def _voice(settings: RealtimeSessionModelSettings) -> Any:
    """Returns the voice of the settings, or None."""
    return ((settings.get("audio") or {}).get("output") or {}).get("voice") or settings.get("voice")


def output_bytes_per_ms(settings: RealtimeSessionModelSettings) -> float:
    """Returns the number of bytes per millisecond of the agent's audio: 8 for G.711, 48 for PCM16 at 24 kHz."""
    nested = ((settings.get("audio") or {}).get("output") or {}).get("format")
    flat = settings.get("output_audio_format") or settings.get("audio_format")
    wanted = nested if nested is not None else flat
    name = str(wanted.get("type", "")) if isinstance(wanted, Mapping) else str(getattr(wanted, "type", wanted) or "")
    return 8.0 if any(g711 in name.lower() for g711 in ("g711", "pcmu", "pcma")) else 48.0
