"""Runs users' guardrails on the agent's and the caller's speech, and stops the agent if a guardrail trips.

Output guardrails get the whole text of a response so far: each time the text has grown by `debounce_text_length`
characters, and at the end of the response. All guardrails for one text run at the same time. For one response, only one
text is checked at a time, except that the check of the complete text begins immediately. Of the texts that wait for
their check, only the newest is checked. A response can be stopped only once.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from . import user_code
from .events import RealtimeGuardrailTripped
from .guardrails import InputGuardrail, InputGuardrailResult, OutputGuardrail, OutputGuardrailResult
from .model_inputs import RealtimeModelSendInterrupt, RealtimeModelSendUserInput
from .session_core import SessionCore
from .user_code import UserCode

if TYPE_CHECKING:
    from .agent import RealtimeAgent

__all__ = ["FEEDBACK", "InputChecks", "OutputChecks"]

FEEDBACK = (
    "Your reply was stopped because it broke these rules: {names}. Do not go on with it and do not repeat it. "
    "Say briefly, within the rules, what you can say instead."
)
INPUT_FEEDBACK = (
    "Your reply was stopped because what the user said is not allowed here: {names}. Do not go into it; say so briefly "
    "and offer what you can do."
)
MAX_TRIPS_IN_A_ROW = 3
"""If guardrails have stopped more responses in a row than this number, the model is not asked for another response,
because it does not follow the rules.
"""
_REMEMBERED = 64


@dataclass(eq=False, slots=True)
class _Response:
    id: str
    agent: RealtimeAgent[Any]
    guardrails: Sequence[OutputGuardrail[Any]]
    parts: dict[tuple[str, int], list[str]] = field(default_factory=dict)
    """The spoken text, by item and part."""
    length: int = 0
    next_check_at: int = 0
    checked: int = 0
    has_audio: bool = False
    over: bool = False
    tripped: bool = False
    checking: bool = False
    check_again: bool = False

    @property
    def text(self) -> str:
        return "".join(delta for part in self.parts.values() for delta in part)


class OutputChecks:
    """Runs the output guardrails of a session on the text of the responses: the `output_guardrails` of the agent that
    began the response, and the `output_guardrails` of the session's `run_config`.
    """

    def __init__(self, core: SessionCore, current_agent: Callable[[], RealtimeAgent[Any]]) -> None:
        self._core = core
        self._current_agent = current_agent
        settings = core.run_config.get("guardrails_settings") or {}
        length = settings.get("debounce_text_length")
        self._debounce = 100 if length is None else length
        self._feedback = Feedback(core, FEEDBACK)
        self._responses: OrderedDict[str, _Response] = OrderedDict()

    def began(self, response_id: str) -> None:
        """Starts the checks of the response with this id, which the current agent has begun. The output guardrails of
        this agent and of the session then check the response.
        """
        if response_id in self._responses and self._responses[response_id].over:
            del self._responses[response_id]  # the model gives no ids
        self._response(response_id)

    def audio(self, response_id: str) -> bool:
        """Handles the arrival of audio of a response. Returns False if the audio must not be played, because a
        guardrail has stopped the response.
        """
        response = self._responses.get(response_id)
        if response is None:
            return True
        response.has_audio = True
        return not response.tripped

    def said(self, response_id: str, item_id: str, content_index: int, delta: str) -> None:
        """Adds `delta`, the next piece of the text that the agent says in a response. The piece belongs to the content
        part `content_index` of the item. Runs the guardrails if enough new text has arrived.
        """
        response = self._response(response_id)
        if response.over:
            return
        response.parts.setdefault((item_id, content_index), []).append(delta)
        response.length += len(delta)
        self._check_if_due(response)

    def complete_text(self, response_id: str, item_id: str, content_index: int, text: str) -> None:
        """Replaces the text of a content part of a response by its complete text, because pieces of the text may have
        been lost. Runs the guardrails if enough new text has arrived.
        """
        response = self._response(response_id)
        known = "".join(response.parts.get((item_id, content_index), ()))
        if response.over or text == known:
            return
        response.parts[item_id, content_index] = [text]
        response.length += len(text) - len(known)
        response.checked = min(response.checked, response.length - 1)
        self._check_if_due(response)

    def _check_if_due(self, response: _Response) -> None:
        if self._debounce >= 0 and response.length >= response.next_check_at:
            response.next_check_at = (response.length // max(self._debounce, 1) + 1) * max(self._debounce, 1)
            self._check(response)

    def ended(self, response_id: str) -> str:
        """Ends the checks of a response that has ended: runs the guardrails on the text that has not been checked.
        Returns the text of the response.
        """
        response = self._responses.get(response_id)
        if response is None:
            return ""
        response.over = True
        text = response.text
        response.parts.clear()
        if response.length > response.checked:
            self._start(response, text)
        return text

    def _response(self, response_id: str) -> _Response:
        if response_id not in self._responses:
            agent = self._current_agent()
            both = [*agent.output_guardrails, *(self._core.run_config.get("output_guardrails") or ())]
            self._responses[response_id] = _Response(
                response_id, agent, list({id(g): g for g in both}.values()), next_check_at=max(self._debounce, 0)
            )
            while len(self._responses) > _REMEMBERED:
                self._responses.popitem(last=False)
        return self._responses[response_id]

    def _check(self, response: _Response) -> None:
        if response.checking:
            response.check_again = True
        else:
            self._start(response, response.text)

    def _start(self, response: _Response, text: str) -> None:
        if not response.guardrails or response.tripped:
            return
        response.checked = len(text)
        response.checking = True
        response.check_again = False
        self._core.start(self._pass(response, text), "output guardrails")

    async def _pass(self, response: _Response, text: str) -> None:
        checks = [(g, (self._core.context, response.agent, text)) for g in response.guardrails]
        results: list[OutputGuardrailResult] = await first_tripped(checks, self._core)
        if results and not response.tripped:
            self._trip(response, results, text)
        elif response.over and not response.tripped:
            self._feedback.input_passed()
        response.checking = False
        if response.check_again and not response.over:
            self._start(response, response.text)

    def _trip(self, response: _Response, results: list[OutputGuardrailResult], text: str) -> None:
        """Stops the response in one synchronous step. No more of its audio is played."""
        response.tripped = True
        response_id = response.id or None
        newest = next(reversed(self._responses), None) == response.id
        self._core.emit(RealtimeGuardrailTripped([*results], text, self._core.info, response_id=response.id))
        if not response.over:
            self._core.send(
                RealtimeModelSendInterrupt(
                    force_response_cancel=True,
                    response_id=response_id,
                    cancel_response_only=not response.has_audio,
                )
            )
        elif response.has_audio:
            self._core.send(RealtimeModelSendInterrupt(response_id=response_id, playback_only=True))
        if newest:  # otherwise a newer response has begun, which needs no feedback
            self._feedback.send(names_of(results))


class InputChecks:
    """Runs the input guardrails of a session on the transcripts of the caller's speech. The agent has already begun to
    reply when a transcript arrives. Therefore a guardrail that trips interrupts this reply. By default the model is
    then asked for another reply.
    """

    def __init__(self, core: SessionCore, current_agent: Callable[[], RealtimeAgent[Any]]) -> None:
        self._core = core
        self._current_agent = current_agent
        self._feedback = Feedback(core, INPUT_FEEDBACK)
        self._heard: OrderedDict[tuple[str, int], str] = OrderedDict()

    def heard(self, item_id: str, content_index: int, transcript: str) -> None:
        """Starts the input guardrails on the transcript of a turn of the caller, in a task. If a guardrail trips, the
        reply is interrupted. `item_id` and `content_index` name the part of the conversation that has the transcript. A
        repeated transcript is not checked again.
        """
        key = item_id, content_index
        if item_id and self._heard.get(key) == transcript:
            return
        self._heard[key] = transcript
        while len(self._heard) > _REMEMBERED:
            self._heard.popitem(last=False)
        agent = self._current_agent()
        both = [*agent.input_guardrails, *(self._core.run_config.get("input_guardrails") or ())]
        guardrails = list({id(g): g for g in both}.values())
        if guardrails and transcript:
            self._core.start(self._pass(agent, guardrails, transcript), "input guardrails")

    async def _pass(self, agent: RealtimeAgent[Any], guardrails: list[InputGuardrail[Any]], transcript: str) -> None:
        checks = [(g, (agent, transcript, self._core.context)) for g in guardrails]
        results: list[InputGuardrailResult] = await first_tripped(checks, self._core)
        if results:
            self._core.emit(RealtimeGuardrailTripped([*results], transcript, self._core.info))
            self._core.send(RealtimeModelSendInterrupt(force_response_cancel=True))
            self._feedback.send(names_of(results))


class Feedback:
    """Informs the model after a guardrail has stopped its response or refused the caller's words: sends the model a
    system text that names the guardrail, and requests another response.
    """

    def __init__(self, core: SessionCore, default: str) -> None:
        self._core = core
        self._text = (core.run_config.get("guardrails_settings") or {}).get("feedback", default)
        self._in_a_row = 0

    def input_passed(self) -> None:
        self._in_a_row = 0

    def send(self, names: str) -> None:
        self._in_a_row += 1
        if self._text is not None and self._in_a_row <= MAX_TRIPS_IN_A_ROW:
            text = self._text.replace("{names}", names)
            self._core.send(
                RealtimeModelSendUserInput(
                    {"type": "message", "role": "system", "content": [{"type": "input_text", "text": text}]}
                )
            )


def names_of(results: Sequence[OutputGuardrailResult | InputGuardrailResult]) -> str:
    return ", ".join(result.guardrail.get_name() for result in results)


async def first_tripped(checks: Sequence[tuple[Any, tuple[Any, ...]]], core: SessionCore) -> list[Any]:
    """Runs guardrails at the same time. Each element of `checks` is a guardrail and its arguments. Returns the results
    of the guardrails that trip first, in the order of `checks`, and cancels the others. Returns an empty list if no
    guardrail trips. A guardrail that fails is reported and counts as passed.
    """

    async def run(guardrail: Any, arguments: tuple[Any, ...]) -> Any:
        try:
            result = await user_code.call(guardrail.run, *arguments)
            return result if user_code.call_now(bool, result.output.tripwire_triggered) else None
        except Exception as error:  # noqa: BLE001  a user's code
            core.failed(UserCode.GUARDRAIL, guardrail.get_name(), error)
            return None

    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(run(*check)) for check in checks]
        running = set(tasks)
        tripped: list[Any] = []
        while running and not tripped:
            _, running = await asyncio.wait(running, return_when=asyncio.FIRST_COMPLETED)
            over = [task for task in tasks if task.done() and not task.cancelled()]
            tripped = [task.result() for task in over if task.result() is not None]
        for task in running:
            task.cancel()
    return tripped
