"""The controls of a live call, such as `say` and `transfer`, for a placed call. After the call is answered, each
control does the same as on `telephony.Call`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import AbstractAsyncContextManager, AbstractContextManager
from typing import Any

from realtime_core import HeardItem, RealtimeAgent, RealtimeSession

from ..audio.files import Clip
from ..call.call import Call
from ..call.call_info import CallInfo
from ..call.call_parts import SupervisorCommands, TransferAttempt
from ..call.digits import Digits
from ..call.line.monitor import Listener
from ..errors import CallError
from ..locales.locale import Locale

__all__ = ["LiveControls"]


class LiveControls:
    """The commands and data of a call that this application has placed, such as `say`, `transfer` and `info`. These
    commands and data are the same as on `Call`. Before the callee has answered, each of them raises `CallError`.
    """

    def __init__(self) -> None:
        self.live: Call | None = None
        """The live call, which tools get as their context, or None before the call is answered."""

    def _answered_call(self, member: str) -> Call:
        if self.live is None:
            raise CallError(f"{member}: the call has not been answered yet; `await call.answered()` comes first.")
        return self.live

    # --- what the call is --------------------------------------------------------------------------------------------

    @property
    def info(self) -> CallInfo:
        return self._answered_call("info").info

    @property
    def data(self) -> dict[str, Any]:
        return self._answered_call("data").data

    @property
    def transfer_targets(self) -> dict[str, str]:
        return self._answered_call("transfer_targets").transfer_targets

    @property
    def warm_targets(self) -> set[str]:
        return self._answered_call("warm_targets").warm_targets

    @property
    def transfers(self) -> Sequence[TransferAttempt]:
        return self._answered_call("transfers").transfers

    @property
    def caller(self) -> str:
        return self._answered_call("caller").caller

    @property
    def called(self) -> str:
        return self._answered_call("called").called

    @property
    def language(self) -> str:
        return self._answered_call("language").language

    @property
    def session(self) -> RealtimeSession:
        return self._answered_call("session").session

    @property
    def is_live(self) -> bool:
        return self._answered_call("is_live").is_live

    @property
    def ended(self) -> str:
        return self._answered_call("ended").ended

    @property
    def had_stream(self) -> bool:
        return self._answered_call("had_stream").had_stream

    @property
    def supervision(self) -> SupervisorCommands:
        return self._answered_call("supervision").supervision

    @property
    def waiting_tools(self) -> Mapping[str, str]:
        return self._answered_call("waiting_tools").waiting_tools

    @property
    def verified(self) -> frozenset[str]:
        return self._answered_call("verified").verified

    @property
    def is_sealed(self) -> bool:
        return self._answered_call("is_sealed").is_sealed

    def hides(self, item_id: str) -> bool:
        return self._answered_call("hides").hides(item_id)

    def heard(self) -> Sequence[HeardItem]:
        return self._answered_call("heard").heard()

    # --- what can be done --------------------------------------------------------------------------------------------

    async def transfer(self, target: str, *, summary: str | None = None) -> str:
        return await self._answered_call("transfer").transfer(target, summary=summary)

    def transfer_number(self, target: str) -> str:
        return self._answered_call("transfer_number").transfer_number(target)

    async def change_language(self, language: str | Locale, agent: RealtimeAgent[Any] | None = None) -> None:
        await self._answered_call("change_language").change_language(language, agent)

    async def say(self, instructions: str, *, interruptible: bool = True) -> bool:
        return await self._answered_call("say").say(instructions, interruptible=interruptible)

    async def play(self, clip: Clip, *, interruptible: bool = True) -> bool:
        return await self._answered_call("play").play(clip, interruptible=interruptible)

    async def interrupt(self) -> None:
        await self._answered_call("interrupt").interrupt()

    def hold(self, clip: Clip | None = None) -> AbstractContextManager[None]:
        return self._answered_call("hold").hold(clip)

    def muted(self) -> AbstractContextManager[None]:
        return self._answered_call("muted").muted()

    async def send_digits(self, digits: str) -> None:
        await self._answered_call("send_digits").send_digits(digits)

    async def collect_digits(
        self,
        prompt: str | Clip | None = None,
        *,
        max_digits: int = 32,
        terminator: str = "#",
        first_s: float = 8.0,
        between_s: float = 4.0,
    ) -> Digits:
        return await self._answered_call("collect_digits").collect_digits(
            prompt, max_digits=max_digits, terminator=terminator, first_s=first_s, between_s=between_s
        )

    def listening(self) -> AbstractContextManager[None]:
        return self._answered_call("listening").listening()

    def listen(self) -> AbstractContextManager[Listener]:
        return self._answered_call("listen").listen()

    def machine_found(self) -> None:
        self._answered_call("machine_found").machine_found()

    def note(self, kind: str, **fields: Any) -> None:
        self._answered_call("note").note(kind, **fields)

    def secret(self) -> AbstractAsyncContextManager[None]:
        return self._answered_call("secret").secret()

    def refuse_recording(self) -> None:
        self._answered_call("refuse_recording").refuse_recording()

    async def mark_verified(self, level: str = "verified") -> None:
        await self._answered_call("mark_verified").mark_verified(level)

    async def ring_with_code(self, number: str, *, n_digits: int = 4) -> str:
        return await self._answered_call("ring_with_code").ring_with_code(number, n_digits=n_digits)

    def keep_secret(self, secret: str) -> None:
        self._answered_call("keep_secret").keep_secret(secret)

    def masked(self, value: Any) -> Any:
        return self._answered_call("masked").masked(value)
