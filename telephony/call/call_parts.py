"""The parts of a call that `Call` uses, as protocols: each protocol has the methods of one part that `Call` calls."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

from realtime_core.sources import SYSTEM, Sources

from ..journal.cuts import CutCause
from ..records.opt_outs import OptOutSource
from .digits import DigitCollector, Digits
from .hand_back import HandedBack, Line
from .leg.caller_leg import CallerLeg
from .lifetime import Lifetime
from .line.player import Heard, LinePlayer
from .pacing.scheduler import Scheduler
from .ports import PhoneControl
from .recording.recorded_commands import RecordedCommands
from .recording.recorder import CallRecorder
from .secret import SecretParts
from .simulation import Simulation
from .wording import Wording

if TYPE_CHECKING:
    from realtime_core import RealtimeSession

__all__ = [
    "CallParts",
    "ControlCommands",
    "ConversationCommands",
    "OptOutWriter",
    "SupervisorCommands",
    "TransferAttempt",
    "TransferCommands",
]


class ConversationCommands(Protocol):
    """The interface through which `Call` uses the conversation with the model: the session, its state, and
    interruptions of the agent. `waiting_tools` has the tool calls that wait for approval.
    """

    session: RealtimeSession
    live: bool
    waiting_tools: dict[str, str]

    async def interrupt(self, cause: CutCause) -> None: ...


class ControlCommands(Protocol):
    """The interface through which `Call` executes commands such as playing audio, collecting digits and hanging up.
    Implemented by `telephony.call.controls.Controls`.
    """

    async def say(self, instructions: str, *, interruptible: bool = True) -> Heard: ...

    async def play(self, ulaw: bytes, *, interruptible: bool = True) -> Heard: ...

    def hold(self, ulaw: bytes | None = None) -> AbstractContextManager[None]: ...

    def muted(self) -> AbstractContextManager[None]: ...

    async def send_digits(self, digits: str) -> None: ...

    async def collect_digits(self, prompt: str | bytes | None, collector: DigitCollector) -> Digits: ...

    async def hang_up(self, *, goodbye: str | None = None, within_s: float = 10.0) -> bool: ...


class SupervisorCommands(Protocol):
    """The interface through which `Call` executes the commands of a supervisor, such as speaking in place of the agent.
    Implemented by `telephony.call.supervision.Supervision`.
    """

    @property
    def is_active(self) -> bool: ...

    @property
    def is_away(self) -> bool: ...

    @property
    def transcribes(self) -> bool: ...

    async def hang_up(self) -> None: ...

    async def transfer(self, target: str, number: str, *, warm: bool) -> str: ...

    async def say(self, words: str) -> bool: ...

    async def approve(self, call_id: str) -> None: ...

    async def reject(self, call_id: str, message: str | None = None) -> None: ...

    async def take_over(self) -> None: ...

    def hear(self, ulaw: bytes) -> None: ...

    def voice(self, ulaw: bytes, part: str) -> None: ...

    async def away(self) -> None: ...

    async def back(self) -> None: ...

    def words(self, item_id: str, text: str, *, usage: Mapping[str, Any] | None = None) -> None: ...

    async def hand_back(self, said: str = "", dialogue: Sequence[Line] | None = None) -> HandedBack: ...


class TransferAttempt(Protocol):
    """An attempt to transfer the caller, as `Call.transfers` returns it. Implemented by
    `telephony.call.transfers.TransferAttempt`.
    """

    target: str
    warm: bool
    succeeded: bool
    result: str


class TransferCommands(Protocol):
    """Transfers the caller of a `Call` to another phone number. `attempts` are the transfers so far. Implemented by
    `telephony.call.transfers.Transfers`.
    """

    @property
    def attempts(self) -> Sequence[TransferAttempt]: ...

    async def transfer(self, name: str, number: str, *, warm: bool, summary: str = "") -> str: ...


class OptOutWriter(Protocol):
    """Adds a phone number to the do-not-call list of the application. `telephony.outbound.opt_out_list` implements this
    protocol. A call needs no other method of the list.
    """

    async def add(
        self, number: str, source: OptOutSource, remark: str = "", *, simulation: Simulation | None = None
    ) -> bool: ...


@dataclass(frozen=True, slots=True)
class CallParts:
    """The objects that do the work of a `Call`. The methods of `Call` pass their arguments to these objects."""

    lifetime: Lifetime
    recorder: CallRecorder
    leg: CallerLeg
    player: LinePlayer
    pacing: Scheduler
    conversation: ConversationCommands
    controls: ControlCommands
    transfers: TransferCommands
    commands: RecordedCommands
    supervision: SupervisorCommands
    secrets: SecretParts
    wording: Wording
    control: PhoneControl | None = None
    sources: Sources = SYSTEM
    refuse: Callable[[], None] = lambda: None
    """A function that is called when the caller refuses the recording."""
