"""`Call`, the interface of one phone call for users' code. Tools and other users' code get the `Call` as the context of
the model session.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Coroutine, Iterator, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, AbstractContextManager, contextmanager
from contextvars import ContextVar
from random import SystemRandom
from typing import TYPE_CHECKING, Any

from ..audio.containers import container_of
from ..audio.files import Clip, load_ulaw
from ..errors import CallError, NoCurrentCall, TwilioError
from ..locales.locale import Locale, Locales
from ..logs import log_as_call
from ..twilio.numbers import dialled
from ..twilio.twiml import say_code
from .call_info import CallInfo
from .call_parts import CallParts, OptOutWriter, SupervisorCommands, TransferAttempt
from .digits import DigitCollector, Digits
from .line.monitor import Listener
from .line.player import Heard
from .pacing.reasons import PauseReason
from .recording.recorded_commands import cut_cause
from .recording.recorded_session import RecordedSession
from .simulation import Simulation

if TYPE_CHECKING:
    from realtime_core import HeardItem, RealtimeAgent, RealtimeSession

__all__ = ["Call", "CallInfo", "current_call"]

_current: ContextVar[Call] = ContextVar("telephony_call")


class Call:
    """A live phone call. Tools get the call as `ctx.context`. In other code `current_call()` returns the call."""

    def __init__(
        self,
        parts: CallParts,
        data: Mapping[str, Any] | None = None,
        simulation: Simulation | None = None,
        opt_outs: OptOutWriter | None = None,
    ) -> None:
        self.data: dict[str, Any] = dict(data or {})
        """Data of the application for this call."""
        self.transfer_targets: dict[str, str] = {}
        """The phone numbers and SIP addresses to which the caller may be transferred, by name. The `transfer` tools of
        the agents add their targets. The model selects a name, and cannot use any other number.
        """
        self.warm_targets: set[str] = set()
        """The names of targets whose transfers are always warm."""
        self.simulation = simulation
        """The simulation that this call belongs to, or None if the call is with a real person."""
        self.opt_outs = opt_outs
        """The do-not-call list of the application, or None if the application has no such list."""
        self.opted_out = False
        """Whether the other party has asked in this call not to be called again."""
        self._parts = parts
        self._commands = parts.commands
        self._verified: frozenset[str] = frozenset()

    @property
    def info(self) -> CallInfo:
        """The numbers, the direction and the parameters of the call."""
        return self._parts.leg.info

    @property
    def sid(self) -> str:
        """The id of the call at Twilio (`CallSid`)."""
        return self.info.sid

    @property
    def caller(self) -> str:
        return self.info.caller

    @property
    def called(self) -> str:
        return self.info.called

    @property
    def language(self) -> str:
        """The language of the fixed texts, clips and prompts of this call, such as `de`."""
        return self._parts.wording.locale.tag

    async def change_language(self, language: str | Locale, agent: RealtimeAgent[Any] | None = None) -> None:
        """Changes the language of the fixed texts, clips and prompts of this call. If `agent` is given, this agent
        continues the conversation.

        Raises:
            LocaleError: the package has no texts in this language. Pass a `Locale` with your own texts.
        """
        locale = Locales.load().of(language) if isinstance(language, str) else language
        self._parts.wording.locale = locale
        self.note("language", language=locale.tag)
        if agent is not None:
            await self._parts.conversation.session.update_agent(agent)

    @property
    def session(self) -> RealtimeSession:
        """The conversation with the model."""
        return RecordedSession(self._parts.conversation.session, self._commands)

    @property
    def is_live(self) -> bool:
        """Whether the model is connected and the call has not ended."""
        return self._parts.conversation.live

    @property
    def ended(self) -> str:
        """The reason why the call ended. The text is empty while the call continues."""
        return self._parts.lifetime.reason

    @property
    def had_stream(self) -> bool:
        """Whether this process has had a media stream of the call. Twilio may send the webhook and the stream of a call
        to different processes.
        """
        return self._parts.leg.had_stream

    @property
    def transfers(self) -> Sequence[TransferAttempt]:
        """The attempts to transfer the caller, in order. Each attempt has `target`, `warm`, `succeeded`, and `result`,
        the text for the model.
        """
        return tuple(self._parts.transfers.attempts)

    @property
    def supervision(self) -> SupervisorCommands:
        """The commands with which a supervisor controls the call from the console."""
        return self._parts.supervision

    @property
    def waiting_tools(self) -> Mapping[str, str]:
        """The tool calls that wait for approval: a mapping from the id of the tool call to the name of the tool."""
        return dict(self._parts.conversation.waiting_tools)

    def listen(self) -> AbstractContextManager[Listener]:
        """Lets a listener hear both sides of the call in the block `with call.listen() as listener:`. The listener
        yields pieces of stereo PCM (16 bits, 8 kHz). The left channel has the caller. The right channel has the audio
        that the caller hears.
        """
        return self._parts.player.listen()

    def heard(self) -> Sequence[HeardItem]:
        """Returns how much the caller has heard of each conversation item whose audio is playing or queued."""
        return self._parts.player.heard()

    # --- controls ------------------------------------------------------------------------------------------------

    async def hang_up(self, *, goodbye: str | None = None, within_s: float = 10.0) -> bool:
        """Ends the call when the caller has heard all queued audio, or after `within_s` seconds at the latest. Returns
        True if the call was ended.

        If `goodbye` is given (instructions for the model), the model says goodbye before the call ends. If the caller
        speaks during the goodbye, the call continues, and the method returns False.
        """
        work = self._parts.controls.hang_up(goodbye=goodbye, within_s=within_s)
        return await self._commands.run("hang_up", work, goodbye=goodbye, within_s=within_s)

    async def transfer(self, target: str, *, summary: str | None = None) -> str:
        """Transfers the caller to one of `transfer_targets`. Returns the result as text for the model.

        The transfer is warm if `summary` is given or if the target is in `warm_targets`. In a warm transfer the called
        person hears the summary and accepts or declines, and the caller hears a waiting sound meanwhile. If `summary`
        is None, the called person hears who is calling in place of the summary. A transfer that is not warm connects
        the caller immediately.

        Raises:
            CallError: `target` is unknown, or another transfer is in progress.
        """
        number = self.transfer_number(target)
        warm = summary is not None or target in self.warm_targets
        work = self._parts.transfers.transfer(target, number, warm=warm, summary=summary or "")
        return await self._commands.run("transfer", work, target=target, warm=warm)

    def transfer_number(self, target: str) -> str:
        """Returns the number or SIP address of the transfer target with the name `target`. Raises `CallError` if there
        is no such target.
        """
        number = self.transfer_targets.get(target)
        if number is None:
            names = ", ".join(self.transfer_targets) or "none"
            raise CallError(f"There is no transfer target {target!r}; there are: {names}.")
        return _dialled(number, target)

    async def say(self, instructions: str, *, interruptible: bool = True) -> bool:
        """Requests a spoken response to `instructions` from the model. Returns whether the caller heard the response to
        its end.

        If `interruptible` is False, the model gets silence in place of the caller's audio during the response, so the
        caller cannot interrupt the response.
        """
        work = self._heard(self._parts.controls.say(instructions, interruptible=interruptible))
        return await self._commands.run("say", work, instructions=instructions, interruptible=interruptible)

    async def play(self, clip: Clip, *, interruptible: bool = True) -> bool:
        """Plays a clip: an audio file (a path, or the bytes of the file) or mu-law at 8 kHz. Returns whether the caller
        heard the clip to its end.

        If `interruptible` is False, the model gets silence in place of the caller's audio during the clip, so the
        caller cannot interrupt the clip.

        Raises:
            AudioFileError: the clip is empty, or its format is not supported.
        """
        ulaw = await _loaded(clip)
        work = self._heard(self._parts.controls.play(ulaw, interruptible=interruptible))
        digest = self._parts.recorder.clip(ulaw)
        return await self._commands.run("play", work, clip=digest, interruptible=interruptible)

    async def _heard(self, work: Coroutine[Any, Any, Heard]) -> bool:
        return await work is Heard.HEARD

    async def interrupt(self) -> None:
        """Stops the speech of the agent and any clip immediately."""
        await self._parts.conversation.interrupt(cut_cause())

    def hold(self, clip: Clip | None = None) -> AbstractContextManager[None]:
        """Puts the caller on hold in the block `with call.hold():`. The caller hears a waiting sound or, if `clip` is
        given, the clip in a loop. The model gets silence in place of the caller's audio.

        A long clip should be converted before the call with `telephony.audio.files.read_ulaw`. Raises `AudioFileError`
        if the clip is empty or its format is not supported.
        """
        ulaw = None if clip is None else load_ulaw(clip)
        digest = None if ulaw is None else self._parts.recorder.clip(ulaw)
        return self._commands.within("hold", self._parts.controls.hold(ulaw), clip=digest)

    def muted(self) -> AbstractContextManager[None]:
        """Mutes the caller in the block `with call.muted():`. The model gets silence in place of the caller's audio."""
        return self._commands.within("muted", self._parts.controls.muted())

    async def send_digits(self, digits: str) -> None:
        """Sends DTMF tones to the other party after the caller has heard all queued audio.

        `digits` has the keys 0-9, *, # and A-D. `w` is a pause of 0.5 seconds, `W` is a pause of 1 second.

        Raises:
            CallError: the tones cannot be sent.
        """
        keys = re.sub("[0-9]", "0", digits)
        await self._commands.run("send_digits", self._parts.controls.send_digits(digits), keys=keys)

    async def collect_digits(
        self,
        prompt: str | Clip | None = None,
        *,
        max_digits: int = 32,
        terminator: str = "#",
        first_s: float = 8.0,
        between_s: float = 4.0,
    ) -> Digits:
        """Asks the caller for digits, and returns the digits that the caller types. `prompt` has instructions for the
        model, or is a clip. With None, nothing is said. The model does not get the digits, and the digits are written
        to no record.

        The collection ends when the caller has pressed the key `terminator` or has typed `max_digits` digits. The
        collection also ends if no key is pressed for `first_s` seconds after the prompt, or for `between_s` seconds
        after the last key. If a time limit ended the collection, `complete` of the result is False.

        Raises:
            CallError: another collection of digits is in progress.
            AudioFileError: the clip is empty, or its format is not supported.
        """
        prompt = prompt if prompt is None or isinstance(prompt, str) else await _loaded(prompt)
        collector = DigitCollector(max_digits=max_digits, terminator=terminator, first_s=first_s, between_s=between_s)
        asks = {"clip": self._parts.recorder.clip(prompt)} if isinstance(prompt, bytes) else {"prompt": prompt}
        return await self._commands.run(
            "collect_digits", self._parts.controls.collect_digits(prompt, collector), **asks, **collector.arguments()
        )

    def listening(self) -> AbstractContextManager[None]:
        """Lets the agent only listen in the block `with call.listening():`. In this block the agent does not fill
        silences and does not prompt a silent caller.
        """
        return self._commands.within("listening", self._listening())

    @contextmanager
    def _listening(self) -> Iterator[None]:
        self._parts.pacing.pause(PauseReason.LISTENING)
        try:
            yield
        finally:
            self._parts.pacing.resume(PauseReason.LISTENING)

    def machine_found(self) -> None:
        """Limits the length of the call, because the other party is a machine, such as a voicemail: the call ends after
        `CallPolicy.machine_s` seconds.
        """
        self._commands.done("machine_found")
        self._parts.pacing.machine_found()

    def note(self, kind: str, **fields: Any) -> None:
        """Writes a record of the kind `kind` into the journal of the call, if the call has a journal. The fields must
        be JSON values.
        """
        self._parts.recorder.write(kind, **fields)

    def secret(self) -> AbstractAsyncContextManager[None]:
        """Opens a secret part of the call: the block `async with call.secret():`, for example for a card number.

        In a secret part, no audio, transcript, key or tool argument of either side is written to the journal, a log, a
        trace, the console or a webhook. A recording at Twilio is paused. The caller and the model still hear each
        other. A tool result that the model gets after the block is recorded.

        Raises:
            CallError: the recording at Twilio could not be paused. The block does not run.
            SecretPartFailed: the block raised an exception. The text of the exception is dropped, because the text may
                contain a secret.
        """
        return self._commands.within_async("secret", self._parts.secrets.part())

    def hides(self, item_id: str) -> bool:
        """Returns whether the conversation item with this id belongs to a secret part of the call, which must not be
        recorded. Code must call this method before it writes the text of an item to a record.
        """
        return self._parts.recorder.seal.hides(item_id)

    @property
    def is_sealed(self) -> bool:
        """Whether the call is in a secret part, in which the conversation must not be recorded or shown."""
        return self._parts.recorder.seal.is_closed

    def refuse_recording(self) -> None:
        """Stops the recording of this call, because the caller refuses the recording. The consent policy decides what
        happens next.
        """
        self._commands.done("refuse_recording")
        self._parts.refuse()

    # --- who is calling --------------------------------------------------------------------------------------------

    @property
    def verified(self) -> frozenset[str]:
        """The levels, such as `verified`, at which the application has verified the identity of the caller in this
        call. The set is empty before `mark_verified` is called. A tool with `requires(level)` is only offered to the
        model if the set contains its level.
        """
        return self._verified

    async def mark_verified(self, level: str = "verified") -> None:
        """Marks the caller as verified at this level, because the application has verified the identity of the caller.
        `level` is a name that the application chooses. The tools that require this level (see `telephony.identity`) are
        offered to the model from now on.
        """
        self._verified |= {level}
        await self._commands.run("mark_verified", self._offer_tools(), level=level)

    async def _offer_tools(self) -> None:
        session = self._parts.conversation.session
        await session.update_agent(session.current_agent)

    async def ring_with_code(self, number: str, *, n_digits: int = 4) -> str:
        """Calls the number `number` and says a random code of `n_digits` digits to the called person. Returns the code.
        The current call continues.

        Raises:
            CallError: the number cannot be called.
        """
        random = self._parts.sources.random if self._parts.sources.seed is not None else SystemRandom()
        code = "".join(str(random.randrange(10)) for _ in range(n_digits))
        await self._commands.run("ring_with_code", self._ring(number, code))
        return code

    async def _ring(self, number: str, code: str) -> None:
        control = self._parts.control
        self.keep_secret(code)
        if control is None:
            raise CallError("No other number can be called: Twilio's REST API is not configured.")
        try:
            to = dialled(number)
        except ValueError as error:
            raise CallError(f"The number on file could not be called: {error}.") from None
        try:
            await control.create_call(to=to, from_=self._parts.leg.parties.this_party, twiml=say_code(code))
        except TwilioError as error:
            raise CallError(f"The number on file could not be called: {type(error).__name__}.") from error

    def keep_secret(self, secret: str) -> None:
        """Replaces the text `secret` by bullets in all later records of the call's journal."""
        self._parts.recorder.hide(secret)

    def masked(self, value: Any) -> Any:
        """Returns a copy of a JSON value. In the copy, bullets replace pressed keys, collected digits and the texts
        that were passed to `keep_secret`.
        """
        return self._parts.recorder.masked(value)

    def __repr__(self) -> str:
        return f"<Call {self.sid}>"


def _dialled(number: object, target: str) -> str:
    """Returns the number or SIP address of a transfer target. Validates the value, because users' code may set the
    targets.
    """
    try:
        return dialled(number)
    except ValueError as error:
        raise CallError(f"The transfer target {target!r} cannot be called: {error}.") from None


async def _loaded(clip: Clip) -> bytes:
    """Returns the clip as mu-law at 8 kHz. Reads and converts an audio file in a thread."""
    if isinstance(clip, bytes) and container_of(clip) is None:
        return load_ulaw(clip)
    return await asyncio.to_thread(load_ulaw, clip)


def current_call() -> Call:
    """Returns the call that the running code belongs to.

    Raises:
        NoCurrentCall: the code was not started within a call.
    """
    try:
        return _current.get()
    except LookupError:
        raise NoCurrentCall("There is no current call here: use it in tools, hooks and handlers of a call.") from None


def set_current_call(call: Call) -> None:
    """Makes `call` the result of `current_call()` in the running code and in the tasks that this code starts. Called by
    the call session.
    """
    _current.set(call)
    log_as_call(call.sid)
