"""The configuration of one server session: the requested settings, and the settings in effect.

Pure. Only settings that differ from the settings in effect are sent in a `session.update`. The server keeps all
settings that a `session.update` does not contain. A change of one setting therefore keeps the values of other settings
that the user changed at run time. A voice is not sent again after the agent has spoken, because the server refuses this
(`cannot_update_voice`). `settings_ledger` knows which settings the server has accepted and refused.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import Enum, auto
from typing import Any

from ..errors import RealtimeCoreError, ServerRejected
from .defaults import DEFAULT_MODEL_SETTINGS
from .session_object import (
    IDLE_TIMEOUT,
    audio_format,
    differ,
    flatten,
    nest,
    session_object,
    setting_name,
    without_nones,
)
from .settings_ledger import Answered, Change, Fields, Path, Refusal, SettingsLedger, path_of

__all__ = ["EffectiveSettings", "ServerWait", "SessionConfig"]

_VOICE: Path = ("audio", "output", "voice")
_PROMPT: Path = ("prompt",)
_TRANSCRIPTION: Path = ("audio", "input", "transcription")
_TURN_DETECTION: Path = ("audio", "input", "turn_detection")
_AUDIO_FORMATS: tuple[Path, ...] = (("audio", "input", "format"), ("audio", "output", "format"))


class ServerWait(Enum):
    """The reasons why the server must not answer turns by itself. As long as there is a reason, `create_response` is
    off.
    """

    TOOL = auto()
    """A tool runs. Without the result of the tool, the model would answer with an invented result."""
    PAUSE = auto()
    """The program has paused the answers of the model."""


@dataclass(frozen=True, slots=True)
class EffectiveSettings:
    """The settings that the server uses now, as it has reported them in `session.updated`: the audio formats, whether
    the server detects turns, answers turns (`create_response`) and interrupts responses by itself, and whether
    responses are spoken (`speaks`) or written.
    """

    input_format: Mapping[str, Any]
    output_format: Mapping[str, Any]
    detects_turns: bool
    create_response: bool
    interrupt_response: bool
    speaks: bool

    @classmethod
    def of(cls, session: Mapping[str, Any]) -> EffectiveSettings:
        """Reads the settings from the session object of `session.updated`, GA or beta. Missing settings have the
        server's defaults.
        """
        audio = _mapping(session.get("audio"))
        given, taken = _mapping(audio.get("input")), _mapping(audio.get("output"))
        turns = given.get("turn_detection") if "turn_detection" in given else session.get("turn_detection")
        is_off = turns is None and ("turn_detection" in given or "turn_detection" in session)
        detection = _mapping(turns)
        modalities = session.get("output_modalities") or session.get("modalities") or ["audio"]
        return cls(
            input_format=audio_format(given.get("format") or session.get("input_audio_format")),
            output_format=audio_format(taken.get("format") or session.get("output_audio_format")),
            detects_turns=not is_off,
            create_response=bool(detection) and detection.get("create_response") is not False,
            interrupt_response=bool(detection) and detection.get("interrupt_response") is not False,
            speaks=not isinstance(modalities, list) or "audio" in modalities,
        )


def _mapping(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}


class SessionConfig:
    """The configuration of one session with the server, made from `RealtimeSessionModelSettings`. Decides which
    `session.update` events must be sent, and knows which settings are in effect. `now` is in seconds on any steady
    clock.
    """

    def __init__(
        self,
        settings: Mapping[str, Any],
        *,
        turns: Callable[[Mapping[str, Any]], dict[str, Any]],
        defaults: bool = True,
    ) -> None:
        """Creates the configuration from the user's settings. `turns` completes a `turn_detection` object (see
        `TurnPolicy`). With `defaults`, missing settings get the values of `DEFAULT_MODEL_SETTINGS`.
        """
        self._settings = settings
        self._turns = turns
        self._defaults = defaults
        self._ledger = SettingsLedger()
        self._waits: set[ServerWait] = set()
        self.voice_frozen = False
        """The agent has spoken: its voice cannot change any more."""
        self._request(session_object(settings, defaults=defaults, turns=turns))
        self._echo: Fields = {}
        self.effective = EffectiveSettings.of(nest(self._ledger.desired))

    def again(self) -> SessionConfig:
        """Returns the configuration for another attempt to open the session: the same settings, in the state before
        anything was sent.
        """
        return SessionConfig(self._settings, turns=self._turns, defaults=self._defaults)

    def without_refused_default(self, error: RealtimeCoreError) -> SessionConfig | None:
        """Returns the same configuration without transcription, for a second attempt after the server has refused the
        default transcription model with `error`. None means that the error has another cause, or the user has
        configured the transcription.
        """
        is_refused = isinstance(error, ServerRejected) and error.param.startswith(
            ".".join(("session", *_TRANSCRIPTION))
        )
        nested = (self._settings.get("audio") or {}).get("input") or {}
        if not is_refused or "transcription" in nested or "input_audio_transcription" in self._settings:
            return None
        settings = {**self._settings, "input_audio_transcription": None}
        return SessionConfig(settings, turns=self._turns, defaults=self._defaults)

    @property
    def transcription(self) -> Mapping[str, Any] | None:
        """The requested settings `audio.input.transcription`, or None if the caller's speech is not transcribed."""
        wanted = self._ledger.desired.get(_TRANSCRIPTION)
        return wanted if isinstance(wanted, Mapping) else None

    @property
    def under_way(self) -> bool:
        """Whether a `session.update` waits for the server's answer."""
        return self._ledger.under_way

    @property
    def unanswered(self) -> list[Change]:
        """The changes that the server has neither accepted nor refused."""
        return self._ledger.unanswered

    @property
    def deadline(self) -> float | None:
        """The time at which `on_time` must be called, because the server has not answered a `session.update` by then.
        None if no answer is expected.
        """
        return self._ledger.deadline

    def change(
        self,
        settings: Mapping[str, Any],
        previous: Mapping[str, Any] | None = None,
        answered: Answered | None = None,
    ) -> None:
        """Requests `settings` from the server. Settings that are missing stay unchanged. The voice also stays unchanged
        if the agent has already spoken with it, because the server accepts no other voice then. If `previous` has the
        settings that `settings` replace, only the difference is requested. If `answered` is not None, it is called with
        the server's answer.
        """
        fields = session_object(settings, defaults=False, turns=self._turns)
        if previous is not None:
            before = session_object(previous, defaults=False, turns=self._turns)
            fields = {path: value for path, value in fields.items() if path not in before or before[path] != value}
            if _PROMPT in before and settings.get("prompt") is None:
                fields[_PROMPT] = None
        if self.voice_frozen:
            fields.pop(_VOICE, None)
        # An update of the other settings must not be read as a return to the default formats.
        self._request(fields, answered, named=_AUDIO_FORMATS)

    def _request(self, fields: Fields, answered: Answered | None = None, named: tuple[Path, ...] = ()) -> None:
        detection = fields.get(_TURN_DETECTION)
        if isinstance(detection, Mapping) and detection.get(IDLE_TIMEOUT, 0) is None:
            current = self._ledger.desired.get(_TURN_DETECTION)
            if not isinstance(current, Mapping) or current.get(IDLE_TIMEOUT) is None:
                fields[_TURN_DETECTION] = without_nones(detection)
        self._ledger.request(Change(fields, answered, named))

    def let_server_wait(self, reason: ServerWait, *, waits: bool) -> None:
        """Adds a reason why the server must not answer turns by itself, or removes the reason if `waits` is False.
        Without a reason the server answers turns, if the settings say so.
        """
        if waits:
            self._waits.add(reason)
        else:
            self._waits.discard(reason)

    def sent_by_user(self, event_id: str, session: Mapping[str, Any], now: float) -> None:
        """Registers a `session.update` that the user sends as a raw event, so the server's answer to it is expected.
        The settings in `session` are then in effect when the server has accepted them, as with a change by the agent.
        """
        self._ledger.sent(event_id, Change(flatten(session)), now)

    def due(self, ids: Callable[[], str], now: float) -> tuple[list[tuple[str, dict[str, Any]]], list[Change]]:
        """Returns the `session.update` events to send at the time `now`, each as (event id, `session`), and the changes
        that are in effect without an update. `ids` returns the event ids.
        """
        detection = self._ledger.granted.get(_TURN_DETECTION)
        self._ledger.override = {}
        if self._waits and isinstance(detection, Mapping):
            waiting = {**detection, "create_response": False}
            if ServerWait.PAUSE in self._waits and detection.get(IDLE_TIMEOUT) is not None:
                waiting[IDLE_TIMEOUT] = None  # the server would speak when the caller is silent
            self._ledger.override[_TURN_DETECTION] = waiting
        due = self._ledger.due(ids, now)
        return [(event_id, nest(fields)) for event_id, fields in due.updates], due.settled

    def created(self, session: Mapping[str, Any]) -> None:
        """Handles the server event `session.created`. `session` is the session object of the event. A SIP call without
        transcription gets the default transcription model, so the history contains the caller's words. The other
        settings of the call stay unchanged.
        """
        shown = flatten(session)
        self._ledger.created(shown)
        if _TRANSCRIPTION not in self._ledger.desired and shown.get(_TRANSCRIPTION) is None:
            self._request({_TRANSCRIPTION: DEFAULT_MODEL_SETTINGS["input_audio_transcription"]})

    def updated(self, session: Mapping[str, Any]) -> list[Change]:
        """Handles the server event `session.updated`. `session` is the session object of the event. Some servers report
        only the changed settings. Returns the changes that the event acknowledges.
        """
        shown = flatten(session)
        self._echo |= shown
        taken = self._ledger.taken(shown)
        formats = {path: self._ledger.granted[path] for path in _AUDIO_FORMATS if path in self._ledger.granted}
        unreported = {path: value for path, value in formats.items() if self._reported_format(path) is None}
        self.effective = EffectiveSettings.of(nest(unreported | self._echo))
        return taken

    def check_formats(self) -> None:
        """Raises `ServerRejected` if the server has reported another audio format than the requested format. The audio
        would be noise.
        """
        for path in _AUDIO_FORMATS:
            requested, reported = self._ledger.granted.get(path), self._reported_format(path)
            if requested and reported and differ(requested, actual := audio_format(reported)):
                raise ServerRejected(
                    f"The server uses the audio format {dict(actual)} in place of the requested {dict(requested)}, and "
                    "the audio would be noise. Configure the server for the requested format.",
                    param=setting_name(path),
                )

    def _reported_format(self, path: Path) -> Any:
        """Returns the audio format that the server has reported, in the form of GA or beta, or None."""
        return self._echo.get(path) or self._echo.get((f"{path[1]}_audio_format",))

    def refused(self, event_id: str, param: str, code: str) -> Refusal | None:
        """Finds the `session.update` that the server has refused with an `error` event, and returns it, or None if the
        error is not about such an update. `event_id` is the id of the refused client event, `param` names the refused
        setting, and `code` is the code of the error. The refused settings do not take effect.
        """
        return self._ledger.refused(event_id, _VOICE if code == "cannot_update_voice" else path_of(param))

    def on_time(self, now: float) -> tuple[list[Change], list[Change]]:
        """Stops waiting for each `session.update` that the server has not answered within `ANSWER_S` seconds. Returns
        two lists: the changes that count as accepted, because a `session.updated` has arrived since the update was
        sent, and the changes that failed.
        """
        return self._ledger.on_time(now)

    def renewed(self) -> SessionConfig:
        """Returns the configuration for a new server session that continues the conversation of this one. The new
        session requests all settings that the server has accepted in this session. If the caller has already heard the
        agent's voice, the voice cannot change in the new session.
        """
        renewed = SessionConfig({}, turns=self._turns, defaults=False)
        renewed._ledger = self._ledger.renewed()
        renewed.effective = self.effective
        renewed.voice_frozen = self.voice_frozen
        return renewed

    def succeed(self, lost: SessionConfig) -> None:
        """Takes over the state of `lost`, the configuration of a session whose connection was lost. Changes that the
        lost session has not answered are requested again.
        """
        self._ledger.succeed(lost._ledger)
        self._waits |= lost._waits
        self.voice_frozen = lost.voice_frozen
