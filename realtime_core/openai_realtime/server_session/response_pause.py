"""Pauses the responses of the model. During the pause, the model hears the caller and makes no response."""

from __future__ import annotations

from collections.abc import Callable

from ...errors import RealtimeCoreError, ServerRejected
from ..session_config import ServerWait
from .requests import ResponseRequests
from .steps import Steps
from .updates import SessionUpdates

__all__ = ["ResponsePause"]

Answered = Callable[[Exception | None], None]


class ResponsePause:
    """Pauses the responses of one server session. Requests of the client wait until the pause ends, and the server does
    not answer turns. A response that begins before the server has stopped is cancelled, and its audio is dropped.
    """

    def __init__(self, requests: ResponseRequests, updates: SessionUpdates, steps: Steps) -> None:
        self._requests = requests
        self._updates = updates
        self._steps = steps
        self._waiting: list[Answered] = []
        updates.on_answer = self._settle

    @property
    def is_on(self) -> bool:
        return self._requests.responses.paused

    def set(self, paused: bool, answered: Answered | None = None) -> None:
        """Pauses the responses of the server if `paused` is True, and else resumes them. `answered` is called once:
        with None if the server has agreed, or with the exception if the server refused.
        """
        responses, config = self._requests.responses, self._updates.config
        if paused:
            responses.pause()
        config.let_server_wait(ServerWait.PAUSE, waits=paused)
        self._updates.send()
        if not paused:
            self._requests.perform(responses.resume(self._steps.now))
        if answered is not None:
            self._waiting.append(answered)
        self._settle()

    def succeed(self, lost: ResponsePause) -> None:
        """Takes over the state of the pause from `lost`, the pause object of a session whose connection was lost. The
        callbacks that wait in `lost` are called by this object.
        """
        self._waiting += lost._waiting
        lost._waiting.clear()
        if lost.is_on:
            self._requests.responses.pause()

    def _settle(self) -> None:
        """Calls the waiting callbacks, unless an update is pending. Without a connection the server cannot answer."""
        updates = self._updates
        if not self._waiting or (updates.config.under_way and not updates.is_stopped):
            return
        error: RealtimeCoreError | None = None
        if self.is_on and not updates.is_stopped and updates.server_responds:
            error = ServerRejected("The server did not stop to answer turns by itself.")
        waiting, self._waiting = self._waiting, []
        for answered in waiting:
            answered(error)
