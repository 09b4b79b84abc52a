"""The agent's audio in one server session: which audio was received, is playing, or was dropped."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from ...model_events import (
    RealtimeModelAudioDoneEvent,
    RealtimeModelAudioEvent,
    RealtimeModelAudioInterruptedEvent,
    RealtimeModelEvent,
)
from ...playback import ClockPlayer, HeardItem, PlaybackLedger, Player, Truncation
from ..server_events import AudioDelta
from .client_events import ClientEvents
from .known_facts import RecentEntries

__all__ = ["AudioParts"]


class AudioParts:
    """Passes audio to the player and truncates the audio when the caller interrupts. A part is one content part of an
    item.

    `truncates` is True if the server can truncate items. The player is synchronous: `stop` returns the heard position
    in the same step.
    """

    def __init__(
        self,
        player: Player,
        client: ClientEvents,
        emit: Callable[[RealtimeModelEvent], None],
        *,
        truncates: bool,
    ) -> None:
        self._player = player
        self._truncates = truncates
        self._client = client
        self._emit = emit
        self.ledger = PlaybackLedger()
        self._muted = RecentEntries(64)
        self._finished = RecentEntries(64)
        """Responses that are over for the session."""
        self._response_of = RecentEntries(256)
        """Item id -> response id, for items with audio."""
        self.open: dict[tuple[str, int], str] = {}
        """Parts that are not complete -> response id."""

    @property
    def is_playing(self) -> bool:
        """Whether the player still has audio that the caller has not heard."""
        return any(not each.finished for each in self._player.heard())

    def set_format(self, bytes_per_ms: int) -> None:
        """Sets the number of bytes per millisecond in the session's output format."""
        self.ledger.bytes_per_ms = bytes_per_ms
        if isinstance(self._player, ClockPlayer):
            self._player.bytes_per_ms = bytes_per_ms

    def mute(self, response_id: str) -> None:
        """Drops the audio and text of the response that have not arrived yet."""
        self._muted[response_id] = True

    def is_muted(self, response_id: str) -> bool:
        return response_id in self._muted

    def has_spoken(self, response_id: str) -> bool:
        """Returns whether audio of the response has arrived."""
        return response_id in self._response_of.values()

    def playing_responses(self) -> set[str | None]:
        """Returns the ids of the responses whose audio is playing."""
        return {self._response_of.get(each.item_id) for each in self._player.heard() if not each.finished}

    def forget_heard(self) -> None:
        """Forgets the parts of the audio that the caller has heard to their end, because these parts can no longer be
        truncated.
        """
        self.ledger.forget_heard(self._player.heard())

    def receive(self, event: AudioDelta, *, can_be_truncated: bool) -> bool:
        """Must be called for each piece of audio that the server sends, before `play`. Counts the piece for later
        truncations. If `can_be_truncated` is False, an interruption does not truncate the content part of this piece on
        the server. Returns whether the piece is the first piece of its content part.
        """
        part = event.item_id, event.content_index
        if can_be_truncated:
            self.ledger.received(*part, len(event.audio))
        if part in self.open:
            return False
        self.open[part] = event.response_id
        self._response_of[event.item_id] = event.response_id
        return True

    def play(self, event: AudioDelta) -> None:
        """Plays a piece of the agent's audio to the caller, and emits an audio event for the piece. The piece must have
        been passed to `receive` before, which counts it for later truncations.
        """
        part = event.item_id, event.content_index
        self._player.play(*part, event.audio)
        self._emit(RealtimeModelAudioEvent(event.audio, event.response_id, *part))
        if event.response_id in self._finished:
            self.end(*part)  # the audio came late, and no other event ends its part

    def end(self, item_id: str, content_index: int) -> None:
        """Must be called when all audio of a content part has arrived. Tells the player that the part is complete, and
        emits `RealtimeModelAudioDoneEvent`, unless the response is muted. `item_id` is the id of the part's item, and
        `content_index` is the index of the part in the item.
        """
        response_id = self.open.pop((item_id, content_index), None)
        if response_id is None:
            return
        self.ledger.done(item_id, content_index)
        self._player.end(item_id, content_index)
        if not self.is_muted(response_id):
            self._emit(RealtimeModelAudioDoneEvent(item_id, content_index, response_id=response_id))

    def begin(self, response_id: str) -> None:
        """Marks a response as in progress. If an earlier response had the same id and has ended, `is_finished` returns
        False again, because a server may use an id again.
        """
        self._finished.pop(response_id, None)

    def is_finished(self, response_id: str) -> bool:
        return response_id in self._finished

    def finish(self, response_id: str) -> None:
        """Marks a response as ended, and ends its audio: emits the end of each content part whose audio was still
        expected. Audio of this response that arrives later is still played.
        """
        self._finished[response_id] = True
        for (item_id, content_index), owner in list(self.open.items()):
            if owner == response_id:
                self.end(item_id, content_index)

    def hold(self, duck_db: float | None) -> None:
        """Pauses the audio. With `duck_db`, the audio continues, quieter by `duck_db` decibels."""
        if duck_db is None:
            self._player.hold()
        else:
            self._player.duck(duck_db)

    def release(self) -> None:
        """Continues the agent's audio at full volume after `hold` has paused it or made it quieter."""
        self._player.release()

    def interrupt(self, active_id: str | None) -> RealtimeModelAudioInterruptedEvent | None:
        """Stops the audio, truncates it at the heard position, and drops the rest of the response with the id
        `active_id`, which is in progress. Does not cancel the response. Returns the event to emit if audio was cut, or
        None.
        """
        heard = self._player.stop()
        self._player.release()
        truncations = self.ledger.truncations(heard) if self._truncates else []
        for each in truncations:
            position = {"item_id": each.item_id, "content_index": each.content_index, "audio_end_ms": each.audio_end_ms}
            self._client.send("conversation.item.truncate", position)
        if active_id is not None:
            self.mute(active_id)
        return self._cut(heard, truncations)

    def _cut(
        self, heard: Sequence[HeardItem], truncations: list[Truncation]
    ) -> RealtimeModelAudioInterruptedEvent | None:
        cut = tuple(each for each in heard if not each.finished)
        if not cut:
            return None
        first = cut[0]
        positions = {(each.item_id, each.content_index): each.audio_end_ms for each in truncations}
        return RealtimeModelAudioInterruptedEvent(
            item_id=first.item_id,
            content_index=first.content_index,
            audio_end_ms=positions.get((first.item_id, first.content_index), int(max(first.heard_ms, 0.0))),
            items=cut,
            truncations=tuple(truncations),
            response_id=self._response_of.get(first.item_id),
        )
