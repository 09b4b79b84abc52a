"""Stores the messages that callers leave, and creates a task to call back for each message.

The audio is fetched from Twilio and written as the journal of the call. If the call already has a journal, the message
is the file `voicemail.wav` in the same folder. Therefore the message is masked, purged and erased together with the
call. The task is a part of the call record and of the webhook about the call.
"""

from __future__ import annotations

import asyncio
import logging
from collections import OrderedDict
from collections.abc import Callable, Mapping
from typing import Any, Protocol

import pybase64

from realtime_core.sources import Sources

from ..audio.files import read_ulaw, write_ulaw
from ..errors import AudioFileError, TwilioError
from ..journal.format import SCHEMA
from ..journal.journals import Journals
from ..twilio.callbacks import VoiceRequest
from .call_records import CallRecords
from .live_numbers import RoutedCall

__all__ = ["Voicemails"]

log = logging.getLogger(__name__)

_FRAME = 160
_MAX = 1000
_HOLD_S = 60.0
"""The maximum time in seconds for which the webhook about the call waits for the recording."""
_TRANSCRIPT_S = 300.0
"""The maximum time in seconds for which the webhook about the call waits for Twilio's transcript."""
_TRIES = 4
_PAUSE_S = 2.0


class RecordingSource(Protocol):
    """Downloads the audio of a Twilio recording (WAV). `telephony.twilio.rest.TwilioRest` implements this protocol."""

    async def recording_audio(self, sid: str) -> bytes: ...


class Voicemails:
    """The voicemail messages of one application.

    `source_of` returns the REST client for the recordings of a call. `keeps_audio` is True if voices are stored
    unchanged. If False, a message is stored only in a journal, where noise replaces the voice.
    """

    def __init__(
        self,
        call_records: CallRecords,
        journals: Journals,
        sources: Sources,
        source_of: Callable[[RoutedCall], RecordingSource | None],
        *,
        keeps_audio: bool = True,
    ) -> None:
        self._call_records = call_records
        self._journals = journals
        self._sources = sources
        self._source_of = source_of
        self._keeps_audio = keeps_audio
        self._tasks: OrderedDict[str, dict[str, Any]] = OrderedDict()
        self._fetching: set[asyncio.Task[None]] = set()

    async def close(self) -> None:
        if self._fetching:
            await asyncio.wait(self._fetching, timeout=_PAUSE_S)
        for task in self._fetching:
            task.cancel()

    def message(self, voice: VoiceRequest, call: RoutedCall, form: Mapping[str, str]) -> None:
        """Creates the task to call back a caller who has left a message, and writes the task to the call record. `form`
        has the fields of Twilio's request. The recording is not complete yet.
        """
        hold_s = _TRANSCRIPT_S if call.step.transcribe else _HOLD_S
        self._write(voice.call_sid, hold_s=hold_s, **self._about(voice, call, form))

    def recording(self, voice: VoiceRequest, call: RoutedCall, form: Mapping[str, str]) -> None:
        """Fetches the recording of a message from Twilio and stores it. `form` has the fields of Twilio's request.
        Called when the recording is complete.
        """
        if self._tasks.get(voice.call_sid, {}).get("stored"):
            return  # Twilio sent the callback twice
        self._write(voice.call_sid, hold_s=_HOLD_S, **self._about(voice, call, form))
        task = asyncio.create_task(self._store(voice, call, form.get("RecordingSid", "")), name="voicemail")
        self._fetching.add(task)
        task.add_done_callback(self._fetching.discard)

    def transcript(self, call_sid: str, form: Mapping[str, str]) -> None:
        """Adds Twilio's transcript of a voicemail message to the task to call back the caller, in the call record.
        `form` has the fields of Twilio's request with the transcript. If the transcription failed, the transcript is an
        empty text.
        """
        text = form.get("TranscriptionText", "") if form.get("TranscriptionStatus") == "completed" else ""
        self._write(call_sid, hold_s=0.0, transcript=text)

    def _about(self, voice: VoiceRequest, call: RoutedCall, form: Mapping[str, str]) -> dict[str, Any]:
        return {
            "kind": "callback",
            "state": "open",
            "number": voice.caller,
            "called": voice.called,
            "language": call.language,
            "recording": form.get("RecordingSid", ""),
            "seconds": int(form.get("RecordingDuration") or 0),
        }

    async def _store(self, voice: VoiceRequest, call: RoutedCall, recording: str) -> None:
        source = self._source_of(call)
        stored = ""
        for attempt in range(_TRIES):
            if source is None:
                break
            try:
                audio = await source.recording_audio(recording)
                stored = await asyncio.to_thread(self._file, voice, await asyncio.to_thread(read_ulaw, audio))
                break
            except (TwilioError, AudioFileError, OSError) as error:
                log.warning("The message of call %s could not be stored: %s", voice.call_sid, error)
                await asyncio.sleep(_PAUSE_S * 2**attempt)
        hold_s = _TRANSCRIPT_S if call.step.transcribe else 0.0
        self._write(voice.call_sid, hold_s=hold_s, stored=bool(stored), file=stored)

    def _file(self, voice: VoiceRequest, ulaw: bytes) -> str:
        """Writes the message. Returns the path or URL of the message, or an empty text if the message was not
        written.
        """
        if self._journals.folder is None:
            return ""
        if self._journals.has_begun(voice.call_sid):
            journal = self._journals.path_of(voice.call_sid)
            if not self._keeps_audio or journal is None:
                return ""
            path = journal.parent / "voicemail.wav"
            path.parent.mkdir(parents=True, exist_ok=True)
            write_ulaw(path, ulaw)
            path.chmod(0o600)
            self._journals.changed(voice.call_sid)
            return self._journals.reference(voice.call_sid, path.name)
        self._journal(voice, ulaw)
        return self._journals.reference(voice.call_sid)

    def _journal(self, voice: VoiceRequest, ulaw: bytes) -> None:
        """Writes the message as the journal of its call. In this journal only the caller speaks."""
        journal, sid = self._journals.open(voice.call_sid), "MZ" + "0" * 32
        journal.write(
            "header", 0.0, schema=SCHEMA, agent="", call_sid=voice.call_sid, stream_sid=sid, direction="inbound",
            started_at=self._sources.now().isoformat(timespec="milliseconds"), config={"voicemail": True},
        )  # fmt: skip
        start = {"streamSid": sid, "callSid": voice.call_sid, "customParameters": {}, "tracks": ["inbound"]}
        media_format = {"encoding": "audio/x-mulaw", "sampleRate": 8000, "channels": 1}
        start |= {"accountSid": voice.account_sid, "mediaFormat": media_format}
        journal.write("twilio.in", 0.0, message={"event": "start", "streamSid": sid, "start": start})
        for number, at in enumerate(range(0, len(ulaw), _FRAME)):
            payload = pybase64.b64encode(ulaw[at : at + _FRAME]).decode()
            media = {"track": "inbound", "chunk": str(number + 1), "timestamp": str(number * 20), "payload": payload}
            message = {"event": "media", "streamSid": sid, "media": media}
            journal.write("twilio.in", number * 0.02, message=message)
        journal.write("end", len(ulaw) / 8000, reason="voicemail")
        journal.close()

    def _write(self, call_sid: str, *, hold_s: float, **changes: Any) -> None:
        task = self._tasks.setdefault(call_sid, {})
        task.update(changes)
        if len(self._tasks) > _MAX:
            self._tasks.popitem(last=False)
        self._call_records.task(call_sid, dict(task), hold_s=hold_s)
