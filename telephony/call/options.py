"""How to run a call."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Coroutine, Mapping
from dataclasses import dataclass, field
from typing import Any

from realtime_core import RealtimeAgent, RealtimeModel, RealtimeModelConfig, RealtimeRunConfig
from realtime_core.connection import Close
from realtime_core.events import RealtimeAnyEvent
from realtime_core.sources import SYSTEM, Sources
from realtime_core.user_code import UserCode

from ..audio.files import load_ulaw, load_words
from ..journal.format import Journal
from ..journal.writer import NullJournal
from .call import Call
from .call_info import Admit, CallInfo
from .leg.next_twiml import StreamEnd
from .leg.reattach import Followed
from .pacing.policy import CallPolicy
from .ports import PhoneControl, WayBack

__all__ = ["AgentSource", "CallOptions", "CallOutcome", "ModelConfigSource"]

AgentSource = RealtimeAgent[Any] | Callable[[CallInfo], "RealtimeAgent[Any] | Awaitable[RealtimeAgent[Any]]"]
"""An agent, or a function that picks one for a call."""

ModelConfigSource = Callable[[CallInfo], "RealtimeModelConfig | Awaitable[RealtimeModelConfig]"]
"""A function that says how to reach the model for one call."""


async def _not_followed(call_sid: str) -> Followed:
    return Followed.NO


@dataclass(slots=True)
class CallOptions:
    """Everything has a default."""

    greeting: str | bytes | None = None
    """Instructions for the first response, or a clip, which needs no model; None: the caller speaks first."""
    model: RealtimeModel | Callable[[], RealtimeModel] | None = None
    model_config: RealtimeModelConfig = field(default_factory=RealtimeModelConfig)
    call_model_config: ModelConfigSource | None = None
    """What one call changes of `model_config`: another key, a `safety_identifier`."""
    run_config: RealtimeRunConfig = field(default_factory=RealtimeRunConfig)
    journal: Callable[[CallInfo], Journal] = lambda info: NullJournal()
    admit: Admit = CallInfo.of
    """Checks the stream's `start` and says whose call it is, at once or when awaited; raises `StreamRefused`."""
    ambience: bytes | None = None
    """A clip that lies under the agent's voice and between its answers, over and over."""
    digits_to_model: bool = True
    """Tell the model which key was pressed, and have it answer."""
    reattach_s: float = 0.0
    """How long a call that has lost its stream waits for another one; 0 where nobody would open one."""
    policy: CallPolicy = field(default_factory=CallPolicy)
    control: PhoneControl | None = None
    """Twilio's REST API; without it a call is ended and redirected by closing its stream."""
    way_back: WayBack | None = None
    """The addresses of this process; without them nobody who was sent elsewhere comes back."""
    apology: str = "We are sorry, something went wrong at our end."
    """Said by Twilio when the caller cannot be brought back to us."""
    own_number: str | None = None
    """A number of ours, for the caller id of whom we call (TWILIO_PHONE_NUMBER)."""
    fallback: str | None = None
    """The number that takes the call when we cannot go on."""
    on_digit: Callable[[Call, str], None] = lambda call, digit: None
    data: Mapping[str, Any] = field(default_factory=dict)
    sources: Sources = SYSTEM
    cpu_clock: Callable[[], float] = lambda: 0.0
    """CPU seconds of this process, for the journal's last record."""
    on_frame: Callable[[bytes], None] | None = None
    """Gets the caller's audio as it comes (mu-law, 8 kHz), before the model does."""
    on_event: tuple[Callable[[RealtimeAnyEvent], None], ...] = ()
    """Told of each event of the session, one after the other, in the step that caused it."""
    on_failure: Callable[[UserCode], None] = lambda kind: None
    """Told of each failure of the application's own code, when it was logged."""
    beside: Callable[[Call], Coroutine[Any, Any, None]] | None = None
    """Runs beside the conversation, from the call's start on; cancelled at its end."""
    placed: Mapping[str, Any] | None = None
    """Of a call that we placed: what its journal says of how."""
    followed: Callable[[str], Awaitable[Followed]] = _not_followed
    """What other processes have done about the call with this `CallSid`."""
    on_stream: Callable[[Call, StreamEnd | None], None] = lambda call, end: None
    """Told when the call has a stream (None), and why it has none, before or as that stream is closed."""
    on_refused: Callable[[str, str], None] = lambda call_sid, reason: None
    """Told of a stream that was not let in, before it is closed: the `CallSid` that it named, and why."""
    on_start: Callable[[Call], None] = lambda call: None
    on_end: Callable[[Call], None] = lambda call: None

    def __post_init__(self) -> None:
        """Clips become mu-law at 8 kHz. Raises `AudioFileError`."""
        if self.greeting is not None:
            self.greeting = load_words(self.greeting, "greeting")
        if self.ambience is not None:
            self.ambience = load_ulaw(self.ambience, "ambience")


@dataclass(frozen=True, slots=True)
class CallOutcome:
    """How a call ended. `call` is None where none began."""

    call: Call | None
    reason: str
    close: Close | None = None
    skipped: int = 0
    """How many messages of the peer could not be understood."""
    underruns: int = 0
    """How often playout ran dry in the middle of an answer."""
