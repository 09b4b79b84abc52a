"""The body of `POST /calls`: a request to place a call."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Mapping
from typing import Any, Self

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from realtime_core.errors import UserError

from ..audio.files import load_ulaw
from ..call.options import AgentSource
from ..errors import AudioFileError
from ..outcomes.result_form import check_schema
from ..twilio.numbers import text_of
from .plan import GREETING, CallPlan, LeaveMessage

__all__ = ["MAX_CLIP_S", "CallRequest"]

MAX_CLIP_S = 60


class CallRequest(BaseModel):
    """The fields of the body of `POST /calls`. `agent` must be the name of an agent that the server was started with,
    because the server imports no other agent.
    """

    model_config = ConfigDict(extra="forbid", str_strip_whitespace=True)

    to: str = Field(max_length=64)
    agent: str | None = None
    data: dict[str, Any] = {}
    secrets: dict[str, Any] = Field({}, repr=False)
    greeting: str | None = None
    message: str | None = None
    """The words that the agent leaves if a voicemail answers. An alternative is the field `clip`: a recorded message,
    encoded in base64, as an audio file or as mu-law at 8 kHz without a header, of at most one minute. `message` and
    `clip` cannot be combined.
    """
    clip: str | None = None
    result: dict[str, Any] | None = None
    """The JSON schema of the result that the agent must find out. The schema must be the schema of an object."""
    max_s: float | None = Field(600.0, gt=0, le=14_400)
    ring_s: int = Field(30, ge=5, le=600)
    detect: bool = True
    timezone: str | None = None

    @field_validator("to", mode="before")
    @classmethod
    def _check_to(cls, value: object) -> str:
        return text_of(value)

    @field_validator("clip")
    @classmethod
    def _check_clip(cls, value: str | None) -> str | None:
        if value is not None:
            try:
                ulaw = load_ulaw(base64.b64decode(value, validate=True), "it", max_s=MAX_CLIP_S)
            except binascii.Error:
                raise ValueError("write it in base64") from None
            except AudioFileError as error:
                raise ValueError(str(error)) from None
            return base64.b64encode(ulaw).decode()
        return value

    @field_validator("result")
    @classmethod
    def _check_result(cls, value: dict[str, Any] | None) -> dict[str, Any] | None:
        if value is not None:
            try:
                check_schema(value)
            except UserError as error:
                raise ValueError(str(error).removeprefix("result: ")) from None
        return value

    @model_validator(mode="after")
    def _check_message(self) -> Self:
        if self.message is not None and self.clip is not None:
            raise ValueError("a voicemail gets a message or a clip, not both")
        return self

    def plan(self, agents: Mapping[str, AgentSource]) -> CallPlan:
        """Returns the plan of the requested call: who is called, by which agent, with which data, messages and limits.
        `agents` has the agents of the server by name. Raises `UserError` if the `agent` of this request is not one of
        them.
        """
        if self.agent is not None and self.agent not in agents:
            known = ", ".join(agents) or "none by name"
            raise UserError(f"agent: there is no {self.agent!r} here; there is: {known}. (serve --outgoing adds one.)")
        message = base64.b64decode(self.clip) if self.clip is not None else self.message
        return CallPlan(
            self.to,
            agent=None if self.agent is None else agents[self.agent],
            data=self.data,
            secrets=self.secrets,
            result=self.result,
            machine=None if message is None else LeaveMessage(message),
            greeting=self.greeting or GREETING,
            max_s=self.max_s,
            ring_s=self.ring_s,
            detect=self.detect,
            timezone=self.timezone,
        )
