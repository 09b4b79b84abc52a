"""Manages the responses of a session of the embedded server: at most one in the conversation, and any number outside of
the conversation. Pure.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from ..sources import Sources
from .items import Items
from .outbox import Outbox
from .rejection import Rejected
from .reply import Director, Situation, ToolOutput
from .response import Response, Waits
from .schedule import Deadline, Schedule
from .session_config import SessionConfig
from .voice import Speech, Voice

__all__ = ["NewInputs", "Responder", "texts_of"]


@dataclass(slots=True)
class NewInputs:
    """The user's inputs that the next response must answer: the length of the speech in seconds, the texts, and the
    tool outputs. The inputs are collected since the last response.
    """

    speech_s: float = 0.0
    texts: list[str] = field(default_factory=list)
    outputs: list[ToolOutput] = field(default_factory=list)


@dataclass(slots=True)
class _Running:
    """A response in progress, and the time at which it continues. None means that it continues when its speech is
    ready.
    """

    response: Response
    waits: Waits
    deadline: Deadline | None = None


class Responder:
    """Starts, continues and ends the responses of the embedded server. Implements `Host`, the interface that a response
    uses. `latency_s` is the time in seconds from a request to the first output.
    """

    def __init__(
        self,
        outbox: Outbox,
        items: Items,
        config: SessionConfig,
        schedule: Schedule,
        director: Director,
        voice: Voice,
        sources: Sources,
        *,
        speed: float,
        latency_s: float,
    ) -> None:
        self.outbox = outbox
        self.items = items
        self.new_inputs = NewInputs()
        self.wanted_speech: list[str] = []
        self.when_idle: Callable[[float], None] = lambda audio_s: None
        """A function that is called when the response of the conversation has ended. The argument is the length of the
        response's audio in seconds.
        """
        self.conversation_id = sources.id("conv")
        self._config = config
        self._schedule = schedule
        self._director = director
        self._voice = voice
        self._sources = sources
        self._speed = speed
        self._latency_s = latency_s
        self._running: dict[str, _Running] = {}
        self._active: Response | None = None

    @property
    def responding(self) -> bool:
        """Whether the conversation has a response in progress."""
        return self._active is not None

    def respond(self, options: Mapping[str, Any], *, idle: bool = False) -> None:
        """Starts a response. `options` are the options of `response.create`. `idle` is True if the reason is that the
        caller said nothing for the idle time-out. Raises `Rejected` if the conversation already has a response in
        progress.
        """
        in_conversation = options.get("conversation") != "none"
        if in_conversation and self._active is not None:
            raise Rejected(
                f"Conversation already has an active response in progress: {self._active.id}. "
                "Wait until the response is finished before creating a new one.",
                code="conversation_already_has_active_response",
            )
        effective = self._effective(options)
        reply = self._director.reply(self._situation(options, effective, idle=idle))
        trouble = reply.trouble
        if trouble is not None and trouble.kind == "error":
            self._director.begun(reply)
            raise Rejected(trouble.message, code=trouble.code, type=trouble.code)
        response = Response(
            self,
            reply,
            effective,
            conversation_id=self.conversation_id if in_conversation else None,
            speed=self._speed,
            latency_s=self._latency_s,
        )
        if in_conversation:
            self._active = response
        running = self._running[response.id] = _Running(response, response.perform())
        self._step(running)

    def interrupt(self) -> None:
        """Ends the conversation's response, because the caller speaks."""
        if self._active is not None:
            self._end(self._active, "turn_detected")

    def cancel(self, response_id: Any) -> None:
        """Cancels the response with the id `response_id`. With None, cancels the response of the conversation. Raises
        `Rejected` if there is no such response.
        """
        running = self._running.get(response_id) if isinstance(response_id, str) else None
        response = running.response if running is not None else self._active if response_id is None else None
        if response is None:
            raise Rejected("Cancellation failed: no active response found", code="response_cancel_not_active")
        self._end(response, "client_cancelled")

    def speech_is_ready(self) -> None:
        """Continues the responses that waited for speech, because a text of `wanted_speech` has been synthesised."""
        for running in list(self._running.values()):
            if running.deadline is None:
                self._step(running)

    def _effective(self, options: Mapping[str, Any]) -> dict[str, Any]:
        """Returns the session's configuration, overridden by the options of one response."""
        session = self._config.object
        output = {**session["audio"]["output"], **options.get("audio", {}).get("output", {})}
        return {**session, **options, "audio": {"output": output}}

    def _situation(self, options: Mapping[str, Any], effective: Mapping[str, Any], *, idle: bool) -> Situation:
        # The session's instructions describe the agent. A response's own instructions describe this answer.
        instructions, requested = self._config.object["instructions"], options.get("instructions", "")
        tools = [] if effective["tool_choice"] == "none" else effective["tools"]
        if "input" in options or options.get("conversation") == "none":
            # The response is out of band or has its own input. The earlier inputs still wait for their answer.
            texts = [text for wire in options.get("input", ()) if isinstance(wire, dict) for text in texts_of(wire)]
            return Situation(instructions, tools, texts=texts, request_instructions=requested)
        new_inputs, self.new_inputs = self.new_inputs, NewInputs()
        return Situation(
            instructions, tools, new_inputs.speech_s, new_inputs.texts, new_inputs.outputs, requested, idle
        )

    def _step(self, running: _Running) -> None:
        """Continues a response, and schedules its next step."""
        running.deadline = None
        wait = next(running.waits, None)
        if wait is not None and running.response.id in self._running:
            running.deadline = self._schedule.after(wait, lambda: self._step(running))

    def _end(self, response: Response, reason: Literal["turn_detected", "client_cancelled"]) -> None:
        running = self._running[response.id]
        running.waits.close()
        if running.deadline is not None:
            running.deadline.cancel()
        response.cancel(reason)

    # Methods of `response.Host`.

    def new_id(self, prefix: str) -> str:
        return self._sources.id(prefix)

    def speech(self, text: str, clip: str | None) -> Speech | None:
        speech = self._voice.speech(text, clip)
        if speech is None and text not in self.wanted_speech:
            self.wanted_speech.append(text)
        return speech

    def stall(self, seconds: float) -> None:
        self._schedule.stall(seconds)

    def audio_was_sent(self) -> None:
        self._config.audio_was_sent()

    def tool_has_run(self, output: ToolOutput) -> None:
        self.new_inputs.outputs.append(output)

    def begun(self, response: Response) -> None:
        self._director.begun(response.reply)

    def finished(self, response: Response) -> None:
        del self._running[response.id]
        if response is self._active:
            self._active = None
            self.when_idle(response.audio_s)


def texts_of(wire: Mapping[str, Any]) -> list[str]:
    """Returns the texts in the content of a message. `wire` is the message in the protocol's form."""
    parts = wire.get("content")
    if not isinstance(parts, list):
        return []
    return [part["text"] for part in parts if isinstance(part, dict) and isinstance(part.get("text"), str)]
