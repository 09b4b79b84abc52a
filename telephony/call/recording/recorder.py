"""Records one call in its journal: the events, the connection to the model, and the requests to Twilio's REST API."""

from __future__ import annotations

import asyncio
import re
import zlib
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, TypeVar

import pybase64

from realtime_core.connection import Close, Connection, MessageHandler
from realtime_core.connection.wrapper import ConnectionWrapper
from realtime_core.openai_realtime.protocol import decode_audio

from ...errors import TwilioError
from ...journal.encoding import dump, parse_object
from ...journal.format import Journal
from ...journal.header import digest_of
from ...masking import mask_all_digits, mask_numbers
from ...twilio.requests_of_call import as_request_of_call
from ..ports import PhoneControl
from .digit_masking import DigitMasker
from .seal import Seal, SealReason

__all__ = ["CallRecorder", "RecordedConnection", "RecordedControl"]

_T = TypeVar("_T")
_APPEND = '{"type":"input_audio_buffer.append","audio":"'
"""The start of the messages that `realtime_core.openai_realtime.encoding.encode_append` returns. The base64 audio and
two more characters follow.
"""
_BEFORE, _AROUND = len(_APPEND), len(_APPEND) + 2
"""The number of characters before and around the audio of these messages."""
_MAX_TEXT = 1000
_VERB = re.compile(r"<(?!Response|\?)([A-Z][A-Za-z]*)")


class CallRecorder:
    """Writes the journal records of one call. Each record has its time in seconds since the start of the call."""

    def __init__(
        self, journal: Journal, *, on_record: Callable[[str, float, Mapping[str, Any]], None] | None = None
    ) -> None:
        self._journal = journal
        self._on_record = on_record
        self.is_on: bool = getattr(journal, "is_on", True)
        """Whether the journal keeps records. If False, no record is prepared."""
        self._clock = asyncio.get_running_loop().time
        self._start = self._clock()
        self._secrets = DigitMasker()
        self._masker = self._secrets if getattr(journal, "masks_digits", True) else None
        self._clips: set[str] = set()
        self.seal = Seal()
        """Decides what the records may contain."""

    @property
    def problem(self) -> str:
        """The reason why the journal of the call is not written or is incomplete. The text is empty if the journal is
        complete.
        """
        if not self.is_on:
            return "journals are off"
        journal = self._journal
        if (error := getattr(journal, "error", None)) is not None:
            return str(error.strerror or error)
        return "records were lost" if getattr(journal, "lost", 0) else ""

    def close_seal(self, reason: SealReason) -> None:
        """Begins a part of the call that must not be recorded: removes the conversation from all records until
        `open_seal` is called with the same reason.
        """
        self.write("seal", reason=reason.name.lower(), closed=True)
        self.seal.close(reason)

    def open_seal(self, reason: SealReason) -> None:
        self.seal.open(reason, self._clock())
        self.write("seal", reason=reason.name.lower(), closed=False)

    def hide(self, secret: str) -> None:
        """Replaces this text, such as collected or sent digits, by bullets in all later records."""
        self._secrets.hide(secret)

    def press(self, key: str) -> None:
        """Stores a key that the caller pressed. In later values, the method `masked` replaces each number of three or
        more digits by bullets if the caller pressed these digits one after the other.
        """
        self._secrets.press(key)

    def write(self, kind: str, **fields: Any) -> None:
        if not self.is_on and self._on_record is None:
            return
        if self.seal.watches:
            fields = self.seal.record(kind, fields)
        if self._masker is not None and (self._masker.has_secrets or kind == "tool.end"):
            fields = self._masker.value(fields)
        at_s = self._clock() - self._start
        self._journal.write(kind, at_s, **fields)
        if self._on_record is not None and "message" not in fields:
            self._on_record(kind, at_s, fields)

    def masked(self, value: Any) -> Any:
        """Returns a copy of a JSON value with bullets in place of the secrets of this call, such as collected digits.
        The copy is masked even if masking is switched off for the journal.
        """
        return self._secrets.anywhere(value)

    def callback(self, what: str, **fields: Any) -> None:
        """Records an event from outside of the call: a webhook of Twilio, or a decision of this process. `what` names
        the event, and `fields` has its details.
        """
        self.write("callback", what=what, **fields)

    def tool_started(self, call_id: str, name: str, arguments: str) -> None:
        if self._masker is not None:
            arguments = self._masker.arguments(name, arguments)
        self.write("tool.start", call_id=call_id, name=name, arguments=arguments)

    def message(self, kind: str, message: str | bytes, *, decoded: bool = False) -> None:
        """Records a message that was sent or received, as a record of this kind. `decoded` is True if the message is
        known to be a JSON object.

        If the message is not a JSON object, the start of the message is recorded as text. In this text all digits are
        replaced by bullets, because any digit may be a key that the caller pressed.
        """
        text = message if isinstance(message, str) else message.decode(errors="replace")
        parsed = parse_object(message) if self.is_on and not decoded else None
        text = self.seal.message(kind, text, parsed)
        if not self.is_on:
            return
        if decoded or parsed is not None:
            self._write_message(kind, text)
        else:
            shown = text[:_MAX_TEXT] if self._masker is None else mask_all_digits(text[:_MAX_TEXT])
            self.write(kind, text=shown, chars=len(message))

    def received(self, message: str | bytes) -> None:
        """Records a message of the model. Audio is checked without parsing it as JSON, which is faster."""
        if self.seal.watches or not isinstance(message, str) or decode_audio(message) is None:
            self.message("model.in", message)
        elif self.is_on:
            self.verbatim("model.in", message)

    def _write_message(self, kind: str, text: str) -> None:
        if self._masker is not None:
            text = self._masker.message(text)
        self._journal.write_raw(kind, self._clock() - self._start, text)

    def verbatim(self, kind: str, message: str) -> None:
        """Records a message without masking. The message must be a JSON object that contains no words of people: audio,
        a mark or a clear. Most records of a journal are of this kind. `kind` is the kind of the record.
        """
        if self.is_on:
            self._journal.write_raw(kind, self._clock() - self._start, message, False)

    def caller_frame(self, message: str, stamp_ms: int) -> None:
        """Records a media message with audio of the caller, which has the timestamp `stamp_ms` in milliseconds, in the
        step of the event loop in which the message arrived.
        """
        now = self._clock()
        if self.seal.frame(stamp_ms, now):
            message = self.seal.message("twilio.in", message)
        if self.is_on:
            self._journal.write_raw("twilio.in", now - self._start, message, False)

    def sent_audio(self, message: dict[str, Any]) -> None:
        """Records audio that was sent to the caller. `message` has the checksum of the audio in place of the audio."""
        if self.seal.watches:
            self.write("twilio.out", message=message)
        else:
            self.verbatim("twilio.out", dump(message))

    def clip(self, ulaw: bytes, *, is_ours: bool = False) -> str:
        """Returns the digest of a clip (mu-law, 8 kHz), by which records name the clip. Writes the samples of the clip
        to the journal when the clip is used for the first time. In a part of the call that must not be recorded, the
        digest is that of silence of the same length, except for clips of this package (`is_ours`).
        """
        if self.seal.is_closed and not is_ours:
            ulaw = b"\xff" * len(ulaw)
        digest = digest_of(ulaw)
        if digest not in self._clips:
            self._clips.add(digest)
            self.write("clip", digest=digest, payload=pybase64.b64encode(ulaw).decode())
        return digest

    def appended(self, text: str) -> None:
        """Records that this message with the caller's audio was sent to the model."""
        n_bytes = (len(text) - _AROUND) // 4 * 3 - text.count("=", -4)
        hidden = self.seal.appended(n_bytes)
        if not self.is_on:
            return
        checksum = '0,"sealed":true' if hidden else zlib.crc32(text[_BEFORE:-2].encode())
        message = f'{{"type":"input_audio_buffer.append","bytes":{n_bytes},"crc32":{checksum}}}'
        self._journal.write_raw("model.out", self._clock() - self._start, message, False)

    def close(self) -> None:
        """Closes the journal of the call. Records that come later, for example from a tool that still runs, are not
        written.
        """
        self._journal.close()
        self.is_on, self._on_record = False, None


class RecordedConnection(ConnectionWrapper):
    """Records the messages of the connection to the model. For audio of the caller, only the length and the CRC-32 are
    recorded, because the records of the media stream contain the samples.
    """

    def __init__(self, connection: Connection, record: CallRecorder) -> None:
        super().__init__(connection)
        self._send = connection.send
        self._record = record
        record.seal.connected()
        record.write("open", peer="model")

    def send(self, text: str) -> None:
        self._send(text)
        if text.startswith(_APPEND):
            self._record.appended(text)
        else:
            self._record.message("model.out", text)

    async def run(self, on_message: MessageHandler) -> Close:
        def tap(message: str | bytes) -> None:
            self._record.received(message)
            on_message(message)

        close = await super().run(tap)
        self._record.write("close", peer="model", code=close.code, reason=close.reason, by=close.by)
        return close


class RecordedControl:
    """Sends the requests of one call to Twilio's REST API with `control`, and writes each request with its result to
    the journal of the call, as a record of the kind `rest`. Of a TwiML document, the record has only the names of the
    verbs. The record names a phone call as `caller` or `second leg`, and contains no phone numbers.
    """

    def __init__(self, control: PhoneControl, record: CallRecorder, call_sid: str) -> None:
        self._control = control
        self._record = record
        self._call_sid = call_sid

    async def hang_up(self, call_sid: str) -> bool:
        return await self._recorded("hang_up", self._control.hang_up(call_sid), call=self._name(call_sid))

    async def redirect(self, call_sid: str, twiml: str) -> None:
        request = {"call": self._name(call_sid), "verbs": _VERB.findall(twiml)}
        await self._recorded("redirect", self._control.redirect(call_sid, twiml), **request)

    async def create_call(self, **options: Any) -> str:
        request = {"call": "second leg", "verbs": _VERB.findall(options.get("twiml") or "")}
        if "ring_s" in options:
            request["ring_s"] = options["ring_s"]
        return await self._recorded("create_call", self._control.create_call(**options), **request)

    async def start_recording(self, call_sid: str) -> str:
        return await self._recorded("start_recording", self._control.start_recording(call_sid))

    async def pause_recording(self, call_sid: str) -> str | None:
        return await self._recorded("pause_recording", self._control.pause_recording(call_sid))

    async def resume_recording(self, call_sid: str, recording_sid: str) -> bool:
        return await self._recorded("resume_recording", self._control.resume_recording(call_sid, recording_sid))

    async def stop_recording(self, call_sid: str, recording_sid: str) -> bool:
        return await self._recorded("stop_recording", self._control.stop_recording(call_sid, recording_sid))

    def _name(self, call_sid: str) -> str:
        return "caller" if call_sid == self._call_sid else "second leg"

    async def _recorded(self, action: str, request: Awaitable[_T], **fields: Any) -> _T:
        clock = asyncio.get_running_loop().time
        began, status, answer = clock(), "ok", dict[str, Any]()
        try:
            with as_request_of_call():
                result = await request
            answer = {} if result is None else {"result": result}
            return result
        except TwilioError as error:
            status = type(error).__name__
            answer = {"code": error.code, "http": error.status, "error": mask_numbers(str(error.args[0]))}
            raise
        except asyncio.CancelledError:
            status = "cancelled"
            raise
        finally:
            ms = round((clock() - began) * 1000, 3)
            self._record.write("rest", action=action, **fields, status=status, **answer, ms=ms)
