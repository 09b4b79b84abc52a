"""Runs tool calls: approval, guardrails, the tool itself, and sending the output to the model.

Every call gets an output that the model can use for an answer. Without an output the agent would stay silent. The text
for an exception of a `@function_tool` is created in `tools` (`failure_error_function`). This module creates the text
for other tools.
"""

from __future__ import annotations

import asyncio
import json
from collections import OrderedDict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from . import user_code
from .agent_settings import ActiveAgent
from .config import RealtimeToolExecutionConfig, ToolErrorFormatterArgs
from .current_agent import CurrentAgent
from .errors import HostedToolFailed, ModelBehaviorError, RealtimeCoreError
from .events import RealtimeToolApprovalRequired, RealtimeToolEnd, RealtimeToolStart
from .guardrails import (
    ToolGuardrailFunctionOutput,
    ToolInputGuardrailData,
    ToolInputGuardrailTripwireTriggered,
    ToolOutputGuardrailData,
    ToolOutputGuardrailTripwireTriggered,
)
from .history import ToolOutputSent
from .hooks import Hooks
from .model_events import (
    RealtimeModelMcpApprovalRequestEvent,
    RealtimeModelMcpCallEvent,
    RealtimeModelToolCallEvent,
)
from .model_inputs import RealtimeModelSendMcpApproval, RealtimeModelSendToolOutput
from .run_context import ToolContext
from .session_core import SessionCore
from .tool_approvals import REJECTION_MESSAGE, Approvals, Decision, ToolOf, needs_approval
from .tool_filler import Filler
from .tools import (
    FailedResult,
    HostedTool,
    SilentResult,
    Tool,
    ToolTimeoutError,
    default_tool_error_function,
    invoke_tool,
    is_enabled,
    tool_output_text,
)
from .user_code import UserCode

__all__ = ["ToolCall", "ToolCalls"]

FAILED = "An error occurred while running the tool."
UNFINISHED = "The session ended before the tool had returned."
BLOCKED = "The tool call was blocked by a guardrail."
_REMEMBERED_CALLS = 1024


@dataclass(eq=False, slots=True)
class ToolCall:
    """One tool call. `active` is the agent that made the call, with its tools at that time."""

    event: RealtimeModelToolCallEvent
    active: ActiveAgent
    context: ToolContext[Any]
    answered: bool = False
    over: bool = False
    unsent: tuple[str, bool] | None = field(default=None)
    """An output that could not be sent to the model, and whether a response is requested. None if there is no such
    output. If the model repeats the call, this output is sent, and the tool is not run again.
    """

    @property
    def call_id(self) -> str:
        return self.event.call_id


class _Refused(Exception):
    """Raised if the tool must not run. The model gets `message`. `error` is the failure of the users' code that
    decides.
    """

    def __init__(self, message: str, error: BaseException | None = None) -> None:
        super().__init__(message)
        self.message = message if error is None else FailedResult(message, error)


class ToolCalls:
    """Runs the tools that the model calls in one session, and sends their results to the model.

    `note` is called with each result that was sent, for the history of the conversation.
    """

    def __init__(
        self,
        core: SessionCore,
        hooks: Hooks,
        agent: CurrentAgent,
        note: Callable[[ToolOutputSent], None],
    ) -> None:
        self._core = core
        self._hooks = hooks
        self._agent = agent
        self._note = note
        self._config: RealtimeToolExecutionConfig = core.run_config.get("tool_execution") or {}
        in_order = not core.run_config.get("async_tool_calls", True)
        self._limit = asyncio.Semaphore(1 if in_order else self._config.get("max_concurrent") or 8)
        self._calls: OrderedDict[str, ToolCall] = OrderedDict()
        self._running: dict[str, tuple[ToolCall, Tool | HostedTool, float]] = {}
        """Hosted tools that were reported as begun, with the loop's time."""
        self._approvals = Approvals()
        self._filler = Filler(core, self._config)

    def begin(self, event: RealtimeModelToolCallEvent) -> None:
        """Starts a tool call of the model. A call that was already started is not run again."""
        if not event.call_id:
            self._core.report(ModelBehaviorError(f"A call of {event.name!r} has no call_id: it cannot be answered."))
        elif (known := self._calls.get(event.call_id)) is not None:
            self._again(known, event)
        else:
            self._core.start(self._run(self._remember(event)), f"tool {event.name}")

    def _remember(self, event: RealtimeModelToolCallEvent) -> ToolCall:
        context = ToolContext(
            self._core.context.context,
            self._core.context.usage,
            tool_name=event.name,
            tool_call_id=event.call_id,
            tool_arguments=event.arguments,
            agent=self._agent.agent,
        )
        call = self._calls[event.call_id] = ToolCall(event, self._agent.active, context)
        self._forget_old()
        return call

    def hosted(self, event: RealtimeModelMcpCallEvent) -> None:
        """Emits the start and the end of a call of a tool that the model's server runs (hosted MCP). Each event is
        emitted once.
        """
        tool = HostedTool(event.name, event.server_label)
        if event.id not in self._calls:
            call_event = RealtimeModelToolCallEvent(event.name, event.id, event.arguments, id=event.id)
            call, agent = self._remember(call_event), self._agent.agent
            self._running[event.id] = call, tool, asyncio.get_running_loop().time()
            self._core.emit(RealtimeToolStart(agent, tool, event.arguments, self._core.info, call_id=event.id))
            self._hooks.hosted_tool_started(agent, tool)
        if event.status == "in_progress" or event.id not in self._running:
            return
        call, _, started = self._running[event.id]
        call.over = True
        output = (event.error or "") if event.output is None else event.output
        error = HostedToolFailed(event.error or output) if event.status == "failed" else None
        duration_s = asyncio.get_running_loop().time() - started
        self._emit_end(call, tool, output, duration_s, silent=event.silent, error=error)
        self._hooks.hosted_tool_ended(call.active.agent, tool, output)

    def begin_hosted(self, request: RealtimeModelMcpApprovalRequestEvent) -> None:
        """Handles the server's request for approval of a tool that the server runs (hosted MCP). Emits
        `RealtimeToolApprovalRequired`, waits in a task until the application approves or rejects the call, and sends
        the decision to the server.
        """
        self._core.start(self._approve_hosted(request), f"approval of {request.name}")

    async def _approve_hosted(self, request: RealtimeModelMcpApprovalRequestEvent) -> None:
        tool, agent = HostedTool(request.name, request.server_label), self._agent.agent
        required = RealtimeToolApprovalRequired(agent, tool, request.id, request.arguments, self._core.info)
        of = ToolOf(agent, f"{tool.name} of {tool.server_label}")
        decision = await self._approvals.decision(request.id, of, lambda: self._core.emit(required))
        self._core.send(RealtimeModelSendMcpApproval(request.id, decision.approved, decision.message))

    def end(self) -> None:
        """Ends all calls because the session ends. A running tool is not cancelled, but its output is ignored. A call
        that waits for an approval is rejected.
        """
        now = asyncio.get_running_loop().time()
        for call, tool, started in list(self._running.values()):
            self._emit_end(call, tool, UNFINISHED, now - started, silent=True, error=RealtimeCoreError(UNFINISHED))
        self._approvals.end()

    def _emit_end(
        self,
        call: ToolCall,
        tool: Tool | HostedTool,
        output: Any,
        duration_s: float,
        *,
        silent: bool,
        error: BaseException | None = None,
    ) -> None:
        self._running.pop(call.call_id, None)
        self._core.emit(
            RealtimeToolEnd(
                call.active.agent,
                tool,
                call.event.arguments,
                output,
                self._core.info,
                call_id=call.call_id,
                duration_s=duration_s,
                silent=silent,
                error=error,
            )
        )

    def decide(self, call_id: str, decision: Decision, *, always: bool) -> bool:
        """Approves or rejects a tool call that waits for approval. With `always`, the decision also applies to every
        later call of the same tool. Returns False if no tool call with this id waits.
        """
        return self._approvals.decide(call_id, decision, always=always)

    def _again(self, known: ToolCall, event: RealtimeModelToolCallEvent) -> None:
        if known.event.name != event.name or not _same_json(known.event.arguments, event.arguments):
            both = f"{known.event.name}{known.event.arguments}, then {event.name}{event.arguments}"
            self._core.report(ModelBehaviorError(f"Call id {event.call_id} was used twice: {both}."))
        elif known.unsent is not None:
            output, respond = known.unsent
            known.unsent = None
            self._core.start(self._resend(known, output, respond), "tool output")

    def _forget_old(self) -> None:
        while len(self._calls) > _REMEMBERED_CALLS:
            oldest = next((call_id for call_id, call in self._calls.items() if call.over), None)
            if oldest is None:
                return
            del self._calls[oldest]

    async def _run(self, call: ToolCall) -> None:
        try:
            await self._dispatch(call)
        except _Refused as refused:
            await self.answer(call, refused.message)
        except BaseException as error:
            if isinstance(error, asyncio.CancelledError) and self._core.tasks.closing:
                raise
            self._core.failed(UserCode.TOOL, call.event.name, error)
            await self.answer(call, FAILED)
        finally:
            call.over = True

    @contextmanager
    def _deciding(self, kind: UserCode, name: str) -> Iterator[None]:
        """Runs users' code that decides about a call. If the code fails, the call is not run and the model is
        informed. The model also learns the reason if its own arguments are wrong, so that it can call again.
        """
        try:
            yield
        except _Refused:
            raise
        except Exception as error:
            self._core.failed(kind, name, error)
            is_models = isinstance(error, ModelBehaviorError)
            words = default_tool_error_function(self._core.context, error) if is_models else FAILED
            raise _Refused(words, error) from error

    async def _dispatch(self, call: ToolCall) -> None:
        agent, name = call.active.agent, call.event.name
        handoff = call.active.handoffs.get(name)
        entry: Any = handoff or call.active.tools.get(name)
        with self._deciding(UserCode.IS_ENABLED, name):
            enabled = entry is not None and await is_enabled(entry, self._core.context, agent)
        if not enabled:
            self._core.report(ModelBehaviorError(f"Tool {name} not found."))
            await self.answer(call, f"Tool {name} not found")
        elif handoff is not None:
            with self._deciding(UserCode.HANDOFF, name):
                source, arguments = call.active.agent, call.event.arguments
                await self._agent.hand_off(handoff, source, call.context, arguments, partial(self.answer, call))
        else:
            await self._call_tool(call, entry)

    async def _call_tool(self, call: ToolCall, tool: Tool) -> None:
        try:
            await self._permit(call, tool)
        except _Refused as refused:
            await self._finish(call, tool, refused.message, 0.0)
            return
        async with self._limit:
            agent, loop = call.active.agent, asyncio.get_running_loop()
            self._running[call.call_id] = call, tool, loop.time()
            self._core.emit(RealtimeToolStart(agent, tool, call.event.arguments, self._core.info, call_id=call.call_id))
            await self._hooks.tool_started(agent, tool)
            started = loop.time()
            with self._filler.while_running(call.context):
                result = await self._invoke(call, tool)
            await self._finish(call, tool, result, loop.time() - started)
        await self._hooks.tool_ended(agent, tool, result.output if isinstance(result, SilentResult) else result)

    async def _permit(self, call: ToolCall, tool: Tool) -> None:
        """Waits until the call may run. Raises `_Refused` if the call must not run."""
        of = ToolOf(call.active.agent, tool.name)
        decision = self._approvals.always(of)
        if decision is None:
            with self._deciding(UserCode.APPROVAL, tool.name):
                waits = await needs_approval(tool, call.context, call.event.arguments)
            decision = self._approvals.always(of)  # it may have been made meanwhile
            if waits and decision is None:
                if self._config.get("pre_approval_tool_input_guardrails"):
                    await self._check_input(call, tool)
                decision = await self._approvals.decision(call.call_id, of, lambda: self._ask(call, tool))
        if decision is not None and not decision.approved:
            raise _Refused(await self._rejection(call, tool, decision))
        await self._check_input(call, tool)

    def _ask(self, call: ToolCall, tool: Tool) -> None:
        arguments = call.event.arguments
        self._core.emit(RealtimeToolApprovalRequired(call.active.agent, tool, call.call_id, arguments, self._core.info))

    async def _check_input(self, call: ToolCall, tool: Tool) -> None:
        for guardrail in getattr(tool, "tool_input_guardrails", None) or ():
            with self._deciding(UserCode.GUARDRAIL, guardrail.get_name()):
                output = await user_code.call(guardrail.run, ToolInputGuardrailData(call.context, call.active.agent))
                self._apply_guardrail_output(output, ToolInputGuardrailTripwireTriggered(guardrail, output))

    async def _check_output(self, call: ToolCall, tool: Tool, result: Any) -> None:
        for guardrail in getattr(tool, "tool_output_guardrails", None) or ():
            data = ToolOutputGuardrailData(call.context, call.active.agent, result)
            with self._deciding(UserCode.GUARDRAIL, guardrail.get_name()):
                output = await user_code.call(guardrail.run, data)
                self._apply_guardrail_output(output, ToolOutputGuardrailTripwireTriggered(guardrail, output))

    def _apply_guardrail_output(self, output: ToolGuardrailFunctionOutput, tripped: Exception) -> None:
        match output.behavior["type"]:
            case "reject_content":
                raise _Refused(output.behavior["message"])
            case "raise_exception":
                self._core.report(tripped)
                raise _Refused(BLOCKED)

    async def _rejection(self, call: ToolCall, tool: Tool, decision: Decision) -> str:
        """Returns the text for the model after a rejection: the explicit message, the message of the run, or the
        default message.
        """
        formatter = self._core.run_config.get("tool_error_formatter")
        if decision.message is not None or formatter is None:
            return REJECTION_MESSAGE if decision.message is None else decision.message
        args = ToolErrorFormatterArgs(
            kind="approval_rejected",
            tool_type="function",
            tool_name=tool.name,
            call_id=call.call_id,
            default_message=REJECTION_MESSAGE,
            run_context=self._core.context,
        )
        return await self._words(REJECTION_MESSAGE, tool, formatter, args)

    async def _words(self, default: str, tool: Tool, formatter: Callable[..., Any], *args: Any) -> str:
        """Returns the text for the model from users' code. Returns the default if that code fails or returns
        nothing.
        """
        try:
            made = await user_code.call(formatter, *args)
        except Exception as error:  # noqa: BLE001  a user's code
            self._core.failed(UserCode.ERROR_TEXT, tool.name, error)
            return default
        return (tool_output_text(made) if made is not None else "") or default

    async def _invoke(self, call: ToolCall, tool: Tool) -> Any:
        """Runs the tool and returns its result. After a failure, returns the text for the model as a `FailedResult`."""
        try:
            limit = self._config.get("timeout_seconds")
            result = await invoke_tool(tool, call.context, call.event.arguments, limit)
            if isinstance(result, FailedResult):
                self._core.failed(UserCode.TOOL, tool.name, result.error, reported=False)
            await self._check_output(call, tool, result)
            return result
        except _Refused as refused:
            return refused.message
        except ToolTimeoutError as error:
            loud = getattr(tool, "timeout_behavior", "error_as_result") == "raise_exception"
            self._core.failed(UserCode.TOOL, tool.name, error, reported=loud)
            formatter = getattr(tool, "timeout_error_function", None)
            text = str(error) if formatter is None else await self._words(FAILED, tool, formatter, call.context, error)
            return FailedResult(text, error)
        except Exception as error:  # noqa: BLE001  a user's code
            self._core.failed(UserCode.TOOL, tool.name, error)
            return FailedResult(FAILED, error)

    async def _finish(self, call: ToolCall, tool: Tool, result: Any, duration_s: float) -> None:
        silent = isinstance(result, SilentResult)
        value = result.output if isinstance(result, SilentResult) else result
        error = value.error if isinstance(value, FailedResult) else None
        if await self.answer(call, tool_output_text(value), respond=not silent):
            self._emit_end(call, tool, value, duration_s, silent=silent, error=error)

    async def answer(self, call: ToolCall, output: str, *, respond: bool = True) -> bool:
        """Sends the output of a tool call to the model. With `respond`, also requests a response. Returns False if
        sending fails or if the call already has its answer. If sending fails, the error is reported and the output is
        stored.
        """
        if call.answered:
            return False
        call.answered = True
        try:
            await self._core.deliver(RealtimeModelSendToolOutput(call.event, output, start_response=respond))
        except Exception as error:  # noqa: BLE001  the model may be a user's
            call.unsent = (output, respond)
            self._core.report(error)
            return False
        self._note(ToolOutputSent(call.call_id, output))
        return True

    async def _resend(self, call: ToolCall, output: str, respond: bool) -> None:
        call.answered = False
        await self.answer(call, output, respond=respond)


def _same_json(first: str, second: str) -> bool:
    """Returns whether two texts have the same JSON value. Servers write the same arguments in different forms."""
    try:
        return first == second or json.loads(first) == json.loads(second)
    except (ValueError, RecursionError):
        return False
