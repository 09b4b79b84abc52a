"""Options of a call, and its outcome."""

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
from ..locales.locale import Locale, english
from .call import Call, OptOutWriter
from .call_info import Admit, CallInfo
from .consent import ConsentEvidence, ConsentSource
from .leg.caller_leg import Rescue
from .leg.next_twiml import StreamEnd
from .leg.reattach import Followed
from .line.ear import Latency
from .pacing.policy import CallPolicy
from .ports import CallAddresses, PhoneControl
from .screening import Screening
from .simulation import Simulation

__all__ = ["AgentSource", "CallOptions", "CallOutcome", "ModelConfigSource"]

AgentSource = RealtimeAgent[Any] | Callable[[CallInfo], "RealtimeAgent[Any] | Awaitable[RealtimeAgent[Any]]"]
"""An agent, or a function that picks one for a call."""

ModelConfigSource = Callable[[CallInfo], "RealtimeModelConfig | Awaitable[RealtimeModelConfig]"]
"""A function that says how to reach the model for one call."""


async def _not_followed(call_sid: str) -> Followed:
    return Followed.NO


@dataclass(slots=True)
class CallOptions:
    """Options of a call. All have defaults."""

    greeting: str | bytes | None = None
    """Instructions for the first response, or a clip, which needs no model. None means that the caller speaks first."""
    model: RealtimeModel | Callable[[], RealtimeModel] | None = None
    model_config: RealtimeModelConfig = field(default_factory=RealtimeModelConfig)
    call_model_config: ModelConfigSource | None = None
    """Changes of `model_config` for one call, such as another key or a `safety_identifier`."""
    run_config: RealtimeRunConfig = field(default_factory=RealtimeRunConfig)
    journal: Callable[[CallInfo], Journal] = lambda info: NullJournal()
    admit: Admit = CallInfo.of
    """Checks the stream's `start` and returns its call, at once or awaited. Raises `StreamRefused`."""
    ambience: bytes | None = None
    """A clip that is looped under the agent's voice and between its answers."""
    noise_suppression: bool = False
    """Suppress noise in the caller's audio before the model hears it. It needs the extra `noise`."""
    digits_to_model: bool = True
    """Send pressed keys to the model, which answers."""
    reattach_s: float = 0.0
    """How long a call that lost its stream waits for another one. 0 means that the call ends with its stream."""
    policy: CallPolicy = field(default_factory=CallPolicy)
    control: PhoneControl | None = None
    """Twilio's REST API. Without it, closing the stream ends or redirects the call."""
    addresses: CallAddresses | None = None
    """The addresses of this process. Without them, a caller who was sent elsewhere cannot come back."""
    apology: str = "We are sorry, something went wrong at our end."
    """Twilio says this when the caller cannot get a new stream."""
    own_number: str | None = None
    """Our number, the caller id of transfers (TWILIO_PHONE_NUMBER)."""
    fallback: str | None = None
    """The number that takes the call when we cannot continue it."""
    rescue: Rescue | None = None
    """Makes the TwiML for the call when we cannot continue it. Default: the fallback number is dialled."""
    locale: Locale = field(default_factory=english)
    """The language of the fixed texts and clips."""
    on_digit: Callable[[Call, str], None] = lambda call, digit: None
    data: Mapping[str, Any] = field(default_factory=dict)
    consent: ConsentSource | None = None
    """The consent policy of the call (`Consent`), or how to find it."""
    screening: Screening | None = None
    """Rules about callers who say nothing, and about emergencies."""
    on_consent: Callable[[Call, ConsentEvidence], None] = lambda call, evidence: None
    """Called at each change of the evidence about the consent."""
    sources: Sources = SYSTEM
    cpu_clock: Callable[[], float] = lambda: 0.0
    """CPU seconds of this process, for the journal's last record."""
    on_frame: Callable[[bytes], None] | None = None
    """Called with the caller's audio (mu-law, 8 kHz) before the model gets it."""
    on_event: tuple[Callable[[RealtimeAnyEvent], None], ...] = ()
    """Functions that are called with each event of the session, in the step that caused it."""
    on_latency: Callable[[Latency], None] = lambda latency: None
    """Called with each latency at the caller's ear when it is measured."""
    on_record: Callable[[str, float, Mapping[str, Any]], None] | None = None
    """Called with kind, time and fields of each record of the journal, except the messages of the two connections."""
    added_tools: tuple[str, ...] = ()
    """The names of the tools that were added to the agent for this call, for its journal."""
    on_failure: Callable[[UserCode], None] = lambda kind: None
    """Called after each failure of the application's code was logged."""
    beside: Callable[[Call], Coroutine[Any, Any, None]] | None = None
    """Work that runs beside the conversation from the call's start. It is cancelled at the end."""
    placed: Mapping[str, Any] | None = None
    """How the call was placed, for its journal. None means that it is an inbound call."""
    simulation: Simulation | None = None
    """The simulation that this call belongs to. None means that the call is with a real person."""
    opt_outs: OptOutWriter | None = None
    """The do-not-call list of the application."""
    followed: Callable[[str], Awaitable[Followed]] = _not_followed
    """Returns what other processes have done about the call with this `CallSid`."""
    on_stream: Callable[[Call, StreamEnd | None], None] = lambda call, end: None
    """Called with None for each new stream, and with the reason before or as a stream closes."""
    on_refused: Callable[[str, str], None] = lambda call_sid, reason: None
    """Called with `CallSid` and reason for a refused stream, before it is closed."""
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
    """How a call ended. `call` is None if no call began."""

    call: Call | None
    reason: str
    close: Close | None = None
    skipped: int = 0
    """How many messages of the peer could not be read."""
    underruns: int = 0
    """How many times no audio was ready in the middle of an answer, so that the caller heard a gap."""
