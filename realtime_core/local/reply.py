"""What is asked and what is answered: between the protocol (`conversation`) and whoever thinks (a `Director`)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, Protocol

__all__ = ["Call", "Director", "Heard", "Pause", "Reply", "Situation", "ToolOutput", "Trouble"]


@dataclass(frozen=True, slots=True)
class Call:
    """A call of a tool; `arguments` is JSON text. With a `server_label` the server runs the tool by itself (hosted
    MCP): after `takes_s` it returns `output`, or fails with the text `error`."""

    name: str
    arguments: str
    server_label: str | None = None
    output: str = ""
    error: str | None = None
    takes_s: float = 0.1


@dataclass(frozen=True, slots=True)
class Pause:
    """The model sends nothing for `pause_s` when `at_s` of the answer's audio have been sent (rounded up to 200 ms)."""

    at_s: float
    pause_s: float


@dataclass(frozen=True, slots=True)
class Trouble:
    """What goes wrong with an answer.

    - `fail`: the response ends as failed with error `code`
    - `incomplete`: it ends as incomplete; `code` is `max_output_tokens` or `content_filter`
    - `close`: the server closes the connection with `close_code`; with 1006 it drops it without a word
    - `stall`: the server neither reads nor writes for `stall_s`; then the answer goes on
    - `error`: an `error` event with `code` comes in place of the answer

    `at_s` is the position in the answer's audio (rounded up to 200 ms). None: before any output, `incomplete` half-way.
    """

    kind: Literal["fail", "incomplete", "close", "stall", "error"]
    at_s: float | None = None
    code: str = "server_error"
    message: str = ""
    close_code: int = 1011
    stall_s: float = 0.0


@dataclass(frozen=True, slots=True)
class Reply:
    """One response: what is said (or, with `text_only`, written), then the calls. Without both it is empty."""

    say: str = ""
    clip: str | None = None
    calls: Sequence[Call] = ()
    text_only: bool = False
    pauses: Sequence[Pause] = ()
    trouble: Trouble | None = None


@dataclass(frozen=True, slots=True)
class Heard:
    """The transcript of what the caller said; `text` None: nobody knows. `failed`: the transcription fails."""

    text: str | None = None
    failed: bool = False


@dataclass(frozen=True, slots=True)
class ToolOutput:
    name: str
    output: str


@dataclass(frozen=True, slots=True)
class Situation:
    """Why a response is wanted: what came in since the last one, and what the agent is.

    `speech_s` is the length of what the caller said (0: nothing), `texts` what the client sent as user messages,
    `outputs` the results of calls; `asked` the instructions of a `response.create`; `idle`: the idle time-out fired.
    """

    instructions: str = ""
    tools: Sequence[Mapping[str, Any]] = ()
    speech_s: float = 0.0
    texts: Sequence[str] = ()
    outputs: Sequence[ToolOutput] = ()
    asked: str = ""
    idle: bool = False


class Director(Protocol):
    """Decides what is said. One for each session; pure."""

    def heard(self) -> Heard:
        """The caller has finished a turn: what was it?"""

    def reply(self, situation: Situation) -> Reply:
        """What to answer. Asked again for the same turn when an answer was cancelled before any of it was out."""

    def begun(self, reply: Reply) -> None:
        """The first of this reply is on its way (or it is an empty one, and over)."""
