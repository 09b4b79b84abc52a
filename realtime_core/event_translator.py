"""Translates events of the model to events of the session, and follows each response."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Any

from .current_agent import CurrentAgent
from .events import (
    AudioData,
    RealtimeAgentEndEvent,
    RealtimeAgentStartEvent,
    RealtimeAnyEvent,
    RealtimeAudio,
    RealtimeAudioEnd,
    RealtimeAudioInterrupted,
    RealtimeConnectionStatusEvent,
    RealtimeDtmf,
    RealtimeInputAudioTimeoutTriggered,
    RealtimeInputAudioTranscriptionDelta,
    RealtimeInputAudioTranscriptionFailed,
    RealtimeRateLimits,
    RealtimeResponseFailed,
    RealtimeResponseIncomplete,
    RealtimeSpeechStarted,
    RealtimeSpeechStopped,
    RealtimeTranscriptDelta,
)
from .hooks import Hooks
from .model_events import (
    RealtimeModelAudioEvent,
    RealtimeModelEvent,
    RealtimeModelTurnEndedEvent,
    RealtimeModelTurnStartedEvent,
)
from .output_checks import InputChecks, OutputChecks
from .session_core import SessionCore

if TYPE_CHECKING:
    from .agent import RealtimeAgent
    from .playback import Player

__all__ = ["EventTranslator"]


class EventTranslator:
    """Converts model events to session events, and remembers which agent made each response. Some models pass their
    audio to a player themselves. For any other model, `player` gets the audio.
    """

    def __init__(
        self,
        core: SessionCore,
        hooks: Hooks,
        output_checks: OutputChecks,
        input_checks: InputChecks,
        agent: CurrentAgent,
        player: Player | None = None,
    ) -> None:
        self._core = core
        self._hooks = hooks
        self._output_checks = output_checks
        self._input_checks = input_checks
        self._agent = agent
        self._player = player
        self._speakers: dict[str, RealtimeAgent[Any]] = {}
        self._ended_ids: deque[str] = deque(maxlen=64)
        self.paused = False
        """Whether the responses are paused, so that no audio of the agent is played."""

    def handle(self, event: RealtimeModelEvent) -> bool:
        """Emits the session events for a model event. Returns False if the event is audio that must be ignored, because
        the responses are paused or a guardrail has stopped the response.
        """
        match event.type:
            case "audio":
                return self._audio(event)
            case "turn_started":
                self._started(event)
            case "turn_ended":
                self._ended(event)
            case "transcript_delta" | "output_text_delta":
                self._emit(
                    RealtimeTranscriptDelta(
                        self._core.info, event.item_id, event.delta, event.response_id, event.content_index
                    )
                )
                self._output_checks.said(event.response_id, event.item_id, event.content_index, event.delta)
            case "transcript_done":
                self._output_checks.complete_text(
                    event.response_id, event.item_id, event.content_index, event.transcript
                )
            case "output_text_done":
                self._output_checks.complete_text(event.response_id, event.item_id, event.content_index, event.text)
            case "input_audio_transcription_completed":
                self._input_checks.heard(event.item_id, event.content_index, event.transcript)
            case "usage":
                self._core.context.usage.add(event.usage)
            case "error":
                self._core.report(event.error)
            case _:
                self._translate(event)
        return True

    def _emit(self, event: RealtimeAnyEvent) -> None:
        self._core.emit(event)

    def _audio(self, event: RealtimeModelAudioEvent) -> bool:
        self._agent.voice_was_heard = True
        if self.paused or not self._output_checks.audio(event.response_id):
            return False
        if self._player is not None:
            self._player.play(event.item_id, event.content_index, event.data)
        audio = AudioData(
            event.data, item_id=event.item_id, response_id=event.response_id, content_index=event.content_index
        )
        self._emit(RealtimeAudio(audio, event.item_id, event.content_index, self._core.info))
        return True

    def _started(self, event: RealtimeModelTurnStartedEvent) -> None:
        response_id = event.response_id or ""
        if response_id and response_id in self._speakers:
            return  # a repeated event
        agent = self._agent.agent
        self._speakers[response_id] = agent
        self._output_checks.began(response_id)
        self._emit(RealtimeAgentStartEvent(agent, self._core.info, response_id=response_id))

    def _ended(self, event: RealtimeModelTurnEndedEvent) -> None:
        response_id = event.response_id or ""
        if response_id and response_id in self._ended_ids and response_id not in self._speakers:
            return  # a repeated event
        self._ended_ids.append(response_id)
        agent = self._speakers.pop(response_id, None) or self._agent.agent
        text = self._output_checks.ended(response_id)
        self._emit(RealtimeAgentEndEvent(agent, self._core.info, response_id=response_id, status=event.status))
        self._hooks.ended(agent, text)

    def end(self) -> None:
        """Reports the end of the responses in progress, because the connection is over and no more events arrive."""
        for response_id in list(self._speakers):
            self._ended(RealtimeModelTurnEndedEvent(response_id=response_id, status="failed"))

    def _translate(self, event: RealtimeModelEvent) -> None:
        """Translates events for which only the class changes."""
        info = self._core.info
        match event.type:
            case "audio_done":
                if self._player is not None:
                    self._player.end(event.item_id, event.content_index)
                self._emit(RealtimeAudioEnd(info, event.item_id, event.content_index))
            case "audio_interrupted":
                if self._player is not None:
                    self._player.stop()
                self._emit(
                    RealtimeAudioInterrupted(
                        info,
                        event.item_id,
                        event.content_index,
                        played_ms=event.audio_end_ms,
                        items=event.items,
                        truncations=event.truncations,
                    )
                )
            case "speech_started":
                self._emit(RealtimeSpeechStarted(info, event.item_id, event.audio_start_ms))
            case "speech_stopped":
                self._emit(RealtimeSpeechStopped(info, event.item_id, event.audio_end_ms))
            case "input_audio_timeout_triggered":
                self._emit(
                    RealtimeInputAudioTimeoutTriggered(
                        info,
                        item_id=event.item_id,
                        audio_start_ms=event.audio_start_ms,
                        audio_end_ms=event.audio_end_ms,
                    )
                )
            case "input_audio_transcription_delta":
                self._emit(RealtimeInputAudioTranscriptionDelta(info, event.item_id, event.delta, event.content_index))
            case "input_audio_transcription_failed":
                self._emit(RealtimeInputAudioTranscriptionFailed(info, event.item_id, event.error, event.content_index))
            case "response_failed" if event.status == "incomplete":
                self._emit(RealtimeResponseIncomplete(info, event.response_id, event.reason, event.retrying))
            case "response_failed":
                self._emit(
                    RealtimeResponseFailed(
                        info, event.response_id, event.error, event.reason, event.status, event.retrying
                    )
                )
            case "rate_limits":
                self._emit(RealtimeRateLimits(info, event.rate_limits))
            case "dtmf":
                self._emit(RealtimeDtmf(info, event.digit))
            case "connection_status":
                self._emit(RealtimeConnectionStatusEvent(info, event.status, event.close))
