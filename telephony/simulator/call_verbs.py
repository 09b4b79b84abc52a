"""Executes the verbs of TwiML on a simulated call.

https://www.twilio.com/docs/voice/twiml
"""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Mapping
from typing import Any
from urllib.parse import urlsplit

from realtime_core.errors import ConnectFailed

from . import tones
from .dialing import dial_numbers
from .gathering import gather, message
from .playout import SILENCE
from .ports import Leg, RunningRecording
from .sounds import sound
from .twiml import Document, Fetch, Verb
from .webhooks import WebhookFailed, absolute

__all__ = ["CallVerbs"]

SILENT = frozenset(SILENCE)


class CallVerbs:
    """Executes TwiML verbs on one simulated call. `interpreter.interpret` decides which verb is next."""

    def __init__(self, call: Leg) -> None:
        self._call = call

    async def read(self, what: Document | Fetch) -> Document:
        """Returns a TwiML document. A `Document` is returned unchanged. For a `Fetch`, sends the request to the
        application and returns the TwiML of the response. The handset plays silence during the request.
        """
        reading = asyncio.ensure_future(self._call.read(what))
        try:
            await self._call.while_silent(reading)
        finally:
            reading.cancel()
        return reading.result()

    async def play(self, verb: Verb, base: str) -> None:
        if keys := verb.get("digits"):
            self._call.phone.tones += "".join(key for key in keys if key not in "wW")
        ulaw = await sound(self._call, verb, base)
        for _ in range(_times(verb)):
            await self._call.phone.play(ulaw)

    async def gather(self, verb: Verb, prompt: Coroutine[Any, Any, None]) -> Mapping[str, str]:
        return await gather(self._call, verb, prompt)

    # --- recordings --------------------------------------------------------------------------------------------------

    async def record(self, verb: Verb, base: str) -> Mapping[str, str]:
        """Executes the TwiML verb `<Record>`: plays a beep, and records until a pause, a key or the maximum length.
        Returns the fields for the request to the verb's `action`, or an empty mapping if there was no speech.
        """
        call = self._call
        if verb.flag("playBeep", True):
            await call.phone.play(tones.beep())
            call.phone.hear_beep()
        recording = call.record("RecordVerb", _recording_options(verb, base))
        try:
            keys, heard = await message(
                call,
                pause_s=verb.number("timeout", 5),
                max_s=verb.number("maxLength", 3600),
                finish=verb.get("finishOnKey", "1234567890*#"),
                into=recording.audio,
            )
        except asyncio.CancelledError:
            # The caller hung up. The words until then are kept, and the `action` gets `Digits=hangup`.
            recording.stop(heard=any(byte not in SILENT for byte in recording.audio))
            if recording.status == "completed":
                call.continue_in_background(verb, base, {"Digits": "hangup", **recording.fields()})
                _transcribe(call, recording, verb, base)
            raise
        recording.stop(heard=heard)
        if heard:
            _transcribe(call, recording, verb, base)
        return {"Digits": keys, **recording.fields()} if heard else {}

    async def start_recording(self, noun: Verb, base: str) -> None:
        self._call.record("StartCallRecordingTwiML", _recording_options(noun, base))

    # --- media streams -----------------------------------------------------------------------------------------------

    async def stream(self, noun: Verb, base: str) -> None:
        """Executes the TwiML noun `<Stream>`: connects a media stream, and returns when the server closes the
        WebSocket. If the call is redirected or hung up, the server gets a `stop` message.
        """
        call = self._call
        url = urlsplit(absolute(base, noun.get("url")))._replace(query="", fragment="").geturl()
        try:
            peer = await call.twilio.open_stream(call, url, noun)
        except (ConnectFailed, WebhookFailed) as error:
            code = 31922 if urlsplit(url).scheme not in ("wss", "ws") else 31920
            call.warn(f"<Stream url={url!r}>: {error} ({code})")
            self._stream_event(noun, base, "", "stream-error", StreamError=str(error))
            return
        call.stream = peer
        call.streams.append(peer)
        self._stream_event(noun, base, peer.stream_sid, "stream-started")
        carrying = asyncio.create_task(peer.run(lambda phone: asyncio.Event().wait()))  # type: ignore[arg-type, return-value]
        try:
            close = await asyncio.shield(carrying)
            if close.by == "network":
                call.warn(f"the media stream broke: {close.reason} (31903)")
        except asyncio.CancelledError:
            peer.stop()
            await asyncio.wait({carrying}, timeout=2.0)
            raise
        finally:
            call.stream = None
            carrying.cancel()
            await asyncio.wait({carrying})
            for violation in peer.violations:
                call.warn(f"the media stream's server sent what is not taken: {violation.reason} ({violation.code})")
            self._stream_event(noun, base, peer.stream_sid, "stream-stopped")

    def _stream_event(self, noun: Verb, base: str, sid: str, event: str, **extra: str) -> None:
        url = noun.get("statusCallback")
        if not url:
            return
        form = {
            "AccountSid": self._call.twilio.account_sid,
            "CallSid": self._call.sid,
            "StreamSid": sid,
            "StreamName": noun.get("name") or sid,
            "StreamEvent": event,
            "Timestamp": self._call.twilio.sources.now().isoformat(),
        }
        method = noun.get("statusCallbackMethod") or "POST"
        self._call.twilio.notify(self._call, absolute(base, url), form | extra, method, event=event)

    # --- other people ----------------------------------------------------------------------------------------------

    async def dial(self, verb: Verb, base: str) -> Mapping[str, str]:
        twilio, call = self._call.twilio, self._call
        recording = call.record("DialVerb", _recording_options(verb, base)) if _is_recorded(verb) else None
        conference = next((noun for noun in verb.nouns if noun.name == "Conference"), None)
        try:
            if conference is not None:
                await twilio.rooms.join(call, conference, base=base)
                fields = {"DialCallStatus": "completed"}
            else:
                others = list(verb.nouns) or ([Verb("Number", {}, verb.text)] if verb.text else [])
                status, sid, seconds = await dial_numbers(call, verb, others, base=base)
                fields = {"DialCallStatus": status, "DialCallSid": sid, "DialCallDuration": str(seconds)}
        finally:
            if recording is not None:
                recording.stop()
        return fields if recording is None else fields | recording.fields()


def _times(verb: Verb) -> int:
    """Returns the number of times that a verb plays: the attribute `loop`. 0 of `<Play>` means until the call ends."""
    match verb.name:
        case "Say":
            return max(1, min(int(verb.number("loop", 1)), 10))
        case "Play":
            return int(verb.number("loop", 1)) or 1000
    return 1


def _transcribe(call: Leg, recording: RunningRecording, verb: Verb, base: str) -> None:
    """Sends the transcript of a message. Twilio transcribes only English messages of 2 to 120 s. The simulation cannot
    determine the language (https://www.twilio.com/docs/voice/twiml/record#attributes-transcribe).
    """
    url = verb.get("transcribeCallback")
    if not (verb.flag("transcribe") or url):
        return
    fields = recording.fields()
    done = 2 <= int(fields["RecordingDuration"]) <= 120
    form = {
        "AccountSid": call.twilio.account_sid,
        "CallSid": call.sid,
        "From": call.from_,
        "To": call.to,
        "TranscriptionSid": call.twilio.sources.id("TR"),
        "TranscriptionStatus": "completed" if done else "failed",
        "TranscriptionText": "(a message)" if done else "",
        "RecordingSid": fields["RecordingSid"],
        "RecordingUrl": fields["RecordingUrl"],
    }
    if url:
        call.twilio.notify(call, absolute(base, url), form, "POST", event="transcription")


def _recording_options(verb: Verb, base: str) -> dict[str, str]:
    options = {name: value for name, value in verb.attributes.items() if name.startswith("recording")}
    if noun_channels := verb.get("channels"):
        options["recordingChannels"] = noun_channels
    if url := options.get("recordingStatusCallback"):
        options["recordingStatusCallback"] = absolute(base, url)
    return options


def _is_recorded(verb: Verb) -> bool:
    return verb.get("record", "do-not-record") not in ("do-not-record", "false")
