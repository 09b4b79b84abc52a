"""Sends `session.update` events and applies the server's answers."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from ...errors import ServerRejected
from ...model_events import RealtimeModelErrorEvent, RealtimeModelEvent
from ...responses import Responses
from ..session_config import SessionConfig
from ..session_object import bytes_per_ms, setting_name
from ..settings_ledger import ANSWER_S, Refusal
from .audio_parts import AudioParts
from .client_events import ClientEvents
from .steps import Steps

__all__ = ["SessionUpdates"]


class SessionUpdates:
    """Sends `session.update` events until the settings of the server session are those that the program wants
    (`config`), and handles the server's answers to them. Stops when `stop` is called.

    `decides_turns` is True if the server can answer turns by itself.
    """

    def __init__(
        self,
        config: SessionConfig,
        client: ClientEvents,
        responses: Responses,
        audio: AudioParts,
        emit: Callable[[RealtimeModelEvent], None],
        steps: Steps,
        *,
        decides_turns: bool,
    ) -> None:
        self.config = config
        self._client = client
        self._responses = responses
        self._audio = audio
        self._emit = emit
        self._steps = steps
        self._decides_turns = decides_turns
        self.is_stopped = False
        self.on_answer: Callable[[], None] = lambda: None
        """Called after each answer of the server to an update, and at the end."""

    @property
    def server_responds(self) -> bool:
        """Whether the server answers each turn of the caller by itself, so the client need not request a response."""
        return self._decides_turns and self.config.effective.create_response

    def stop(self) -> None:
        """Stops sending updates, because the session has ended. Calls `on_answer` one last time, so code that waits for
        an answer of the server does not wait any longer.
        """
        self.is_stopped = True
        self.on_answer()

    def send(self) -> None:
        """Sends a `session.update` for each change of the settings that must be sent now."""
        if self.is_stopped:
            return
        updates, settled = self.config.due(self._client.ids, self._steps.now)
        for event_id, session in updates:
            self._client.send("session.update", {"session": session}, event_id=event_id)
        for change in settled:
            change.settle(None)

    def confirmed(self, session: Mapping[str, Any]) -> None:
        """Handles the server's event `session.updated`: the settings in `session` are now in effect. Adapts this client
        to them, for example to the format of the agent's audio. Reports the success of each accepted change, and sends
        the changes that waited.
        """
        taken = self.config.updated(session)
        effective = self.config.effective
        self._responses.audio = effective.speaks
        self._responses.server_responds = self.server_responds
        self._audio.set_format(bytes_per_ms(effective.output_format))
        for change in taken:
            change.settle(None)
        self.send()
        self.on_answer()

    def refused(self, refusal: Refusal, error: ServerRejected) -> None:
        """Handles `refusal`, an update that the server has refused with `error`. The settings of the update are not in
        effect.
        """
        if not error.param and refusal.path is not None:
            error.param = setting_name(refusal.path)
        self._emit(RealtimeModelErrorEvent(error))
        if refusal.change is not None:
            refusal.change.settle(error)
        self.send()
        self.on_answer()

    def on_time(self, now: float) -> None:
        """Gives up the updates that the server has not answered in time. `now` is in seconds on any steady clock."""
        taken, failed = self.config.on_time(now)
        for change in taken:
            change.settle(None)
        for change in failed:
            error = ServerRejected(f"The server has not answered a session.update within {ANSWER_S:g} s.")
            self._emit(RealtimeModelErrorEvent(error))
            change.settle(error)
        self.on_answer()
