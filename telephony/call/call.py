"""One phone call, as users' code sees it: the run context of its session."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Coroutine, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any

from ..audio.containers import container_of
from ..audio.files import Clip, load_ulaw
from ..errors import CallError, NoCurrentCall
from ..twilio.numbers import e164, tidy
from .call_info import CallInfo
from .digits import DigitCollector, Digits
from .recording.recorded_commands import RecordedCommands, asking
from .recording.recorded_session import RecordedSession

if TYPE_CHECKING:
    from realtime_core import HeardItem, RealtimeSession

    from .session import CallSession

__all__ = ["Call", "CallInfo", "current_call"]

_current: ContextVar[Call] = ContextVar("telephony_call")


class Call:
    """A live call. Tools get it as `ctx.context`; elsewhere `current_call()` returns it."""

    def __init__(self, info: CallInfo, bridge: CallSession, data: Mapping[str, Any] | None = None) -> None:
        self.info = info
        self.data: dict[str, Any] = dict(data or {})
        """Whatever the application wants to keep with the call."""
        self.transfer_targets: dict[str, str] = {}
        """Name -> number. The `transfer` tools of the agents add theirs; a model only ever picks a name."""
        self.warm_targets: set[str] = set()
        """The names of those who are asked before they get a caller, however the transfer is asked for."""
        self._bridge = bridge
        self._commands = RecordedCommands(bridge.record)

    @property
    def sid(self) -> str:
        """Twilio's `CallSid`."""
        return self.info.sid

    @property
    def caller(self) -> str:
        return self.info.caller

    @property
    def called(self) -> str:
        return self.info.called

    @property
    def session(self) -> RealtimeSession:
        """The conversation with the model."""
        return RecordedSession(self._bridge.conversation.session, self._commands)

    @property
    def is_live(self) -> bool:
        """Is the model there, and the call not over?"""
        return self._bridge.conversation.live

    @property
    def ended(self) -> str:
        """Why the call ended; empty while it goes on."""
        return self._bridge.reason

    @property
    def had_stream(self) -> bool:
        """Has it had a media stream here? A call begins with its webhook, and its stream may go to another process."""
        return self._bridge.had_stream

    def heard(self) -> Sequence[HeardItem]:
        """How much was heard of what is being said, and of what waits behind it."""
        return self._bridge.player.heard()

    # --- controls ------------------------------------------------------------------------------------------------

    async def hang_up(self, *, goodbye: str | None = None, within_s: float = 10.0) -> bool:
        """End the call once everything that was said has been heard, after `within_s` seconds at the latest. With
        `goodbye` (instructions) the model says that first. Returns False, and the call goes on, when the caller speaks
        meanwhile."""
        work = self._bridge.controls.hang_up(goodbye=goodbye, within_s=within_s)
        return await self._commands.asked("hang_up", work, goodbye=goodbye, within_s=within_s)

    async def transfer(self, target: str, *, summary: str | None = None) -> str:
        """Hand the caller over to one of `transfer_targets`. Returns, in words for the model, what came of it. With a
        `summary`, and always for one of `warm_targets`, whoever answers hears what it is about and may decline (a warm
        transfer); the caller hears music meanwhile. Without a summary they hear who is calling, and for whom.

        Raises:
            CallError: there is no such target, or a transfer is going on.
        """
        number = self.transfer_targets.get(target)
        if number is None:
            names = ", ".join(self.transfer_targets) or "none"
            raise CallError(f"There is no transfer target {target!r}; there are: {names}.")
        number = _dialled(number, target)
        warm = summary is not None or target in self.warm_targets
        work = self._bridge.transfers.transfer(target, number, warm=warm, summary=summary or "")
        return await self._commands.asked("transfer", work, target=target, warm=warm)

    async def say(self, instructions: str, *, interruptible: bool = True) -> bool:
        """Have the model say something now; returns whether the caller heard it to its end. While what is not
        `interruptible` is said, the model hears silence."""
        work = self._heard(self._bridge.controls.say(instructions, interruptible=interruptible))
        return await self._commands.asked("say", work, instructions=instructions, interruptible=interruptible)

    async def play(self, clip: Clip, *, interruptible: bool = True) -> bool:
        """Play an audio file (a path, or its bytes) or mu-law at 8 kHz; returns whether it was heard to its end.

        Raises:
            AudioFileError: the clip is empty, or of a kind that is not read.
        """
        ulaw = await _loaded(clip)
        work = self._heard(self._bridge.controls.play(ulaw, interruptible=interruptible))
        digest = self._bridge.record.clip(ulaw)
        return await self._commands.asked("play", work, clip=digest, interruptible=interruptible)

    async def _heard(self, work: Coroutine[Any, Any, str]) -> bool:
        return await work == "heard"

    async def interrupt(self) -> None:
        """Silence the agent at once, and any clip."""
        await self._bridge.conversation.interrupt(asking())

    def hold(self, clip: Clip | None = None) -> AbstractContextManager[None]:
        """`with call.hold():` the caller hears a waiting sound (or the clip, over and over), and is not heard. A long
        clip is best converted before the call, by `telephony.audio.files.read_ulaw`. Raises `AudioFileError`."""
        ulaw = None if clip is None else load_ulaw(clip)
        digest = None if ulaw is None else self._bridge.record.clip(ulaw)
        return self._commands.within("hold", self._bridge.controls.hold(ulaw), clip=digest)

    def muted(self) -> AbstractContextManager[None]:
        """`with call.muted():` the model hears silence in place of the caller."""
        return self._commands.within("muted", self._bridge.controls.muted())

    async def send_digits(self, digits: str) -> None:
        """Press keys for the far end, once all was heard: 0-9, *, #, A-D; `w` is a pause of half a second, `W` of one.

        Raises:
            CallError: it cannot be done.
        """
        keys = re.sub("[0-9]", "0", digits)
        await self._commands.asked("send_digits", self._bridge.controls.send_digits(digits), keys=keys)

    async def collect_digits(
        self,
        prompt: str | Clip | None = None,
        *,
        max_digits: int = 32,
        terminator: str = "#",
        first_s: float = 8.0,
        between_s: float = 4.0,
    ) -> Digits:
        """Ask for keys (instructions for the model, or a clip) and take them. They go to nobody else, and no record
        shows them.

        Raises:
            CallError: digits are being collected already.
            AudioFileError: the clip is empty, or of a kind that is not read.
        """
        prompt = prompt if prompt is None or isinstance(prompt, str) else await _loaded(prompt)
        collector = DigitCollector(max_digits=max_digits, terminator=terminator, first_s=first_s, between_s=between_s)
        asks = {"clip": self._bridge.record.clip(prompt)} if isinstance(prompt, bytes) else {"prompt": prompt}
        return await self._commands.asked(
            "collect_digits", self._bridge.controls.collect_digits(prompt, collector), **asks, **collector.told()
        )

    def listening(self) -> AbstractContextManager[None]:
        """`with call.listening():` the agent owes no answer: no line fills the silence, and nobody is prompted."""
        return self._commands.within("listening", self._listening())

    @contextmanager
    def _listening(self) -> Iterator[None]:
        self._bridge.conduct.rest("listening")
        try:
            yield
        finally:
            self._bridge.conduct.resume("listening")

    def machine_found(self) -> None:
        """The far end is a machine: the call will not go on for long."""
        self._commands.done("machine_found")
        self._bridge.conduct.machine_found()

    def note(self, kind: str, **fields: Any) -> None:
        """Write a record of this kind into the call's journal, where there is one. Fields are JSON values."""
        self._bridge.record.write(kind, **fields)

    def keep_secret(self, secret: str) -> None:
        """From now on the call's journal has bullets for this."""
        self._bridge.record.hide(secret)

    def __repr__(self) -> str:
        return f"<Call {self.sid}>"


def _dialled(number: str, target: str) -> str:
    """A target that users' code has put there."""
    if (address := tidy(number)).startswith(("sip:", "sips:")):
        return address
    try:
        return e164(number)
    except ValueError as error:
        raise CallError(f"The transfer target {target!r} cannot be called: {error}.") from None


async def _loaded(clip: Clip) -> bytes:
    """As mu-law. A file is read and converted beside the event loop."""
    if isinstance(clip, bytes) and container_of(clip) is None:
        return load_ulaw(clip)
    return await asyncio.to_thread(load_ulaw, clip)


def current_call() -> Call:
    """The call in which the running code was started.

    Raises:
        NoCurrentCall: it was started outside of a call.
    """
    try:
        return _current.get()
    except LookupError:
        raise NoCurrentCall("There is no current call here: use it in tools, hooks and handlers of a call.") from None


def set_current_call(call: Call) -> None:
    """For the bridge: everything that is started from here on belongs to this call."""
    _current.set(call)
