"""The interface between a session of the embedded server (`conversation`) and its `Director`. The session describes the
situation, and the director decides the answer.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, Protocol

__all__ = ["Call", "Director", "Heard", "Pause", "Reply", "Situation", "ToolOutput", "Trouble"]


@dataclass(frozen=True, slots=True)
class Call:
    """A tool call. `arguments` is JSON text. With a `server_label`, the server runs the tool (hosted MCP): after
    `takes_s` seconds the tool returns `output`, or fails with the text `error`.
    """

    name: str
    arguments: str
    server_label: str | None = None
    output: str = ""
    error: str | None = None
    takes_s: float = 0.1


@dataclass(frozen=True, slots=True)
class Pause:
    """A pause of the model. The model sends nothing for `pause_s` seconds after `at_s` seconds of the answer's audio
    (rounded up to 200 ms).
    """

    at_s: float
    pause_s: float


@dataclass(frozen=True, slots=True)
class Trouble:
    """A fault in an answer.

    - `fail`: the response ends as failed with the error `code`
    - `incomplete`: the response ends as incomplete. `code` is `max_output_tokens` or `content_filter`
    - `close`: the server closes the connection with `close_code`. 1006 drops the connection without a close message
    - `stall`: the server neither reads nor writes for `stall_s` seconds. Then the answer continues
    - `error`: an `error` event with `code` is sent in place of the answer

    `at_s` is the position in the answer's audio in seconds (rounded up to 200 ms). With None, the fault occurs before
    any output, or half-way for `incomplete`.
    """

    kind: Literal["fail", "incomplete", "close", "stall", "error"]
    at_s: float | None = None
    code: str = "server_error"
    message: str = ""
    close_code: int = 1011
    stall_s: float = 0.0


@dataclass(frozen=True, slots=True)
class Reply:
    """One response: the text to say, and then the tool calls. With `text_only`, the text is written. A reply without
    text and calls is empty.
    """

    say: str = ""
    clip: str | None = None
    calls: Sequence[Call] = ()
    text_only: bool = False
    pauses: Sequence[Pause] = ()
    trouble: Trouble | None = None


@dataclass(frozen=True, slots=True)
class Heard:
    """What the transcription reports about a turn of the caller. `text` is None if the words are not known. `failed` is
    True if the transcription fails.
    """

    text: str | None = None
    failed: bool = False
    language: str = ""
    """The language that the transcription reports. The text is empty if the transcription reports no language."""


@dataclass(frozen=True, slots=True)
class ToolOutput:
    name: str
    output: str


@dataclass(frozen=True, slots=True)
class Situation:
    """The reason for a response: the inputs since the last response, and the agent.

    `speech_s` is the length of the caller's speech in seconds (0 means no speech). `texts` has the client's user
    messages. `outputs` has the results of tool calls. `request_instructions` has the instructions of a
    `response.create`. `idle` is True if the idle time-out expired.
    """

    instructions: str = ""
    tools: Sequence[Mapping[str, Any]] = ()
    speech_s: float = 0.0
    texts: Sequence[str] = ()
    outputs: Sequence[ToolOutput] = ()
    request_instructions: str = ""
    idle: bool = False


class Director(Protocol):
    """Decides what the embedded model says and which tools it calls in one session. Pure."""

    def heard(self) -> Heard:
        """Returns the transcript of the turn that the caller has just finished."""

    def reply(self, situation: Situation) -> Reply:
        """Returns the answer to `situation`. This method is called again for the same turn if the answer was cancelled
        before any output.
        """

    def begun(self, reply: Reply) -> None:
        """Informs the director that the first output of `reply` was sent, or that `reply` is empty and has ended. The
        director then counts this answer as given, and continues with the next turn.
        """
