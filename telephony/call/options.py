"""The options of a call, and the outcome of a call."""

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
from .call import Call
from .call_info import Admit, CallInfo
from .call_parts import OptOutWriter
from .consent import ConsentEvidence, ConsentSource
from .leg.caller_leg import FallbackTwiml
from .leg.next_twiml import StreamEnd
from .leg.reattach import ContinuedElsewhere
from .line.latency import Latency
from .pacing.policy import CallPolicy
from .ports import CallAddresses, PhoneControl
from .screening import Screening
from .simulation import Simulation

__all__ = ["AgentSource", "CallOptions", "CallOutcome", "ModelConfigSource"]

AgentSource = RealtimeAgent[Any] | Callable[[CallInfo], "RealtimeAgent[Any] | Awaitable[RealtimeAgent[Any]]"]
"""An agent, or a function that selects the agent for a call."""

ModelConfigSource = Callable[[CallInfo], "RealtimeModelConfig | Awaitable[RealtimeModelConfig]"]
"""A function that returns the model configuration for one call."""


async def _not_followed(call_sid: str) -> ContinuedElsewhere:
    return ContinuedElsewhere.NO


@dataclass(slots=True)
class CallOptions:
    """The options of a call, such as the greeting, the model, the time limits and the consent to a recording. Each
    option has a default.
    """

    greeting: str | bytes | None = None
    """The greeting: instructions for the first response of the model, or a clip, which needs no model. If None, the
    caller speaks first.
    """
    model: RealtimeModel | Callable[[], RealtimeModel] | None = None
    model_config: RealtimeModelConfig = field(default_factory=RealtimeModelConfig)
    call_model_config: ModelConfigSource | None = None
    """A function that returns changes of `model_config` for one call, such as another key or a `safety_identifier`.
    With None, all calls have the same configuration.
    """
    run_config: RealtimeRunConfig = field(default_factory=RealtimeRunConfig)
    journal: Callable[[CallInfo], Journal] = lambda info: NullJournal()
    admit: Admit = CallInfo.of
    """A function that checks the `start` message of a media stream and returns the data of its call, directly or as an
    awaitable. Raises `StreamRefused` to refuse the stream.
    """
    ambience: bytes | None = None
    """A clip that plays in a loop under the voice of the agent and between its answers. None means silence."""
    noise_suppression: bool = False
    """Whether noise in the caller's audio is removed before the model gets the audio. Needs the extra `noise`."""
    digits_to_model: bool = True
    """Whether keys that the caller presses are sent to the model. The model answers each key."""
    reattach_s: float = 0.0
    """The time in seconds for which a call that lost its media stream waits for a new stream. With 0, the call ends
    with its stream.
    """
    policy: CallPolicy = field(default_factory=CallPolicy)
    control: PhoneControl | None = None
    """The client for Twilio's REST API. Without a client, the call can be ended or redirected only by closing the
    stream.
    """
    addresses: CallAddresses | None = None
    """The URLs of this process. Without these URLs, a redirected caller cannot return to the agent."""
    apology: str = "We are sorry, something went wrong at our end."
    """The text that Twilio says when the media stream of the call was lost and no new stream could replace it."""
    own_number: str | None = None
    """The phone number of this application (TWILIO_PHONE_NUMBER), or None. A transfer may show this number as the
    caller id, for example if the caller has no phone number.
    """
    fallback: str | None = None
    """The number that takes the call when the agent cannot continue the call. With None, such a call ends with an
    apology.
    """
    fallback_twiml: FallbackTwiml | None = None
    """A function that returns the TwiML for a call that the agent cannot continue. By default, the TwiML dials the
    fallback number.
    """
    locale: Locale = field(default_factory=english)
    """The language of the fixed texts and clips."""
    on_digit: Callable[[Call, str], None] = lambda call, digit: None
    data: Mapping[str, Any] = field(default_factory=dict)
    consent: ConsentSource | None = None
    """The consent policy of the call, or a function or mapping that has the policy of each call. With None, calls are
    recorded from their start.
    """
    screening: Screening | None = None
    """The rules about callers who say nothing, and about emergencies. None means no rules."""
    transcribes_supervisors: bool = True
    """Whether the words of a supervisor who takes over the call are transcribed, if the model offers this."""
    on_consent: Callable[[Call, ConsentEvidence], None] = lambda call, evidence: None
    """A function that is called at each change of the evidence about the caller's consent."""
    sources: Sources = SYSTEM
    cpu_clock: Callable[[], float] = lambda: 0.0
    """A function that returns the CPU time of this process in seconds. The last record of the journal contains this
    time.
    """
    on_frame: Callable[[bytes], None] | None = None
    """A function that is called with each frame of the caller's audio (mu-law, 8 kHz) before the model gets the frame,
    or None.
    """
    on_event: tuple[Callable[[RealtimeAnyEvent], None], ...] = ()
    """Functions that are called with each event of the session, in the step of the event loop that caused the event."""
    on_latency: Callable[[Latency], None] = lambda latency: None
    """A function that is called with each measured latency of the call (how long the caller waits for a sound, or for
    silence).
    """
    on_record: Callable[[str, float, Mapping[str, Any]], None] | None = None
    """A function that is called with the kind, the time and the fields of each journal record, except the messages of
    the media stream and of the model's connection. None if no code needs the records.
    """
    added_tools: tuple[str, ...] = ()
    """The names of the tools that were added to the agent for this call. The journal contains these names."""
    on_failure: Callable[[UserCode], None] = lambda kind: None
    """A function that is called after each logged failure of the application's code."""
    beside: Callable[[Call], Coroutine[Any, Any, None]] | None = None
    """A function that returns a coroutine which runs in parallel to the conversation, such as the work of an outbound
    call. The coroutine is cancelled at the end of the call. None if there is no such work.
    """
    placed: Mapping[str, Any] | None = None
    """The arguments with which the call was placed, for the journal. None for an inbound call."""
    simulation: Simulation | None = None
    """The simulation of which this call is a part. None if the call is with a real person."""
    opt_outs: OptOutWriter | None = None
    """The do-not-call list of the application, or None if it has no list."""
    followed: Callable[[str], Awaitable[ContinuedElsewhere]] = _not_followed
    """A function that is called with the `CallSid` after this process has lost the media stream of the call. The result
    says whether another process has continued the call.
    """
    on_stream: Callable[[Call, StreamEnd | None], None] = lambda call, end: None
    """A function that is called with None for each new media stream, and with the description of the end when a media
    stream closes.
    """
    on_refused: Callable[[str, str], None] = lambda call_sid, reason: None
    """A function that is called with the `CallSid` and the reason for each refused stream, before the stream is
    closed.
    """
    on_start: Callable[[Call], None] = lambda call: None
    on_end: Callable[[Call], None] = lambda call: None

    def __post_init__(self) -> None:
        """Converts the clips to mu-law at 8 kHz. Raises `AudioFileError` for a clip that cannot be converted."""
        if self.greeting is not None:
            self.greeting = load_words(self.greeting, "greeting")
        if self.ambience is not None:
            self.ambience = load_ulaw(self.ambience, "ambience")


@dataclass(frozen=True, slots=True)
class CallOutcome:
    """How a call ended: the reason, and the number of problems of each kind. `call` is None if no call began."""

    call: Call | None
    reason: str
    close: Close | None = None
    skipped: int = 0
    """The number of messages from the peer that could not be read."""
    underruns: int = 0
    """The number of gaps in the agent's speech: times when no audio was ready in the middle of an answer."""
