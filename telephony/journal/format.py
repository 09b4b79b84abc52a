"""The format of journals (the recordings of calls as JSON lines): the types of the records and the version of the
format. Pure.

Each line is one JSON object, `{"t": seconds since the call's start, "kind": str, ...}`. Lines are in order of time.
Audio is stored only where it enters the process: the caller's audio in `twilio.in`, the agent's audio in `model.in` (as
the model sent it), and the audio of a clip in `clip`. Audio that can be computed from it is stored as its length and
its CRC-32.

| kind | fields besides `t` |
|---|---|
| `header` | `schema`, `versions`, `agent`, `call_sid`, `stream_sid`, `direction`, `started_at` (ISO 8601), `config`
(the options of the call, without secrets), `redaction` (what was masked) |
| `twilio.in` | `message`: the message as received. A stream begins with its `start` message, and ends with the `close`
record that has its `stream_sid` |
| `twilio.out` | `message`: the message as sent. A `media` message is stored as `{event, bytes, crc32, position,
segments}` (see `segments_of`). If a clip is mixed under the speech, `bed` is `[digest, sample]`: the clip, and its
first sample that is used |
| `clip` | `digest`, `payload`: a clip (mu-law, 8 kHz, base64). The record is written before the first use of the clip |
| `play` | `item_id`, `clip` (its digest), `text` if known: a clip was queued, as an audio part with this `item_id` |
| `supervisor` | `item_id`, `payload` (mu-law, 8 kHz, base64): a piece of a supervisor's voice was queued. It continues
the audio part with this `item_id` |
| `supervisor.words` | `item_id`, `text`, and `usage` of the transcription: words of a supervisor. They begin in the
audio part with this `item_id` |
| `model.in` | `message`: the message as received. If it is not a JSON object: `text` (its first 1,000 characters,
without digits) and `chars` (its length) |
| `model.out` | `message`: the message as sent. An `input_audio_buffer.append` is stored as `{type, bytes, crc32}`: the
length of the audio, and the checksum of its base64 text |
| `tool.start` | `call_id`, `name`, `arguments` (JSON text) |
| `tool.end` | `call_id`, `name`, `output` (as sent to the model), `ms`, `silent` (no response was requested), `error`
(if the tool failed) |
| `tool.approval` | `call_id`, `name`, `arguments`: the call of a tool waits for approval |
| `handoff` | `from`, `to`: the names of the agents |
| `stream` | `runs`: `[[position, stamp_ms], ...]`: the caller heard the audio from this stream position on without a
gap. The caller heard the sample at this position when Twilio sent the frame with this media timestamp. (A frame has the
timestamp of its first sample, and is sent after its last sample, one frame later.) The record is written when a run
begins and when it ends. A later record with the same position replaces an earlier one. `heard`: the stream has ended,
and this was the last position that the caller heard |
| `interruption` | `cause` (see `CutCause`; not in old journals), `item_id`, `position` (where the stream became
silent), `heard`: `[[item_id, content_index, heard_ms], ...]`, `truncations`: `[[item_id, content_index, audio_end_ms],
...]` |
| `model` | `type`, `turn_policy`: the class of the model, and the policy that decides turns |
| `open` | `peer`: a connection to the model was opened. With `error` and `type` (the class of the error), the attempt
failed. `status` is the HTTP status of the response, if there was a response |
| `close` | `peer` (`twilio` or `model`), `code`, `reason`, `by`: a connection was closed. Of Twilio also `stream_sid` |
| `control` | `id`, `action` and its arguments: a request to the call (`hang_up`, `say`, ...) or to its session
(`session.interrupt`, ...) by users' code, or a request by a person in the console (`supervisor.take_over`, ...). `tool`
is the `call_id` of the tool that made the request. `ours` means that this package made the request |
| `control.end` | `id`, `action`, and `result`, `error` or `cancelled`: the end of this request. For collected keys:
`keys` (the number of keys) and `complete` |
| `verdict` | `answered_by`: the result of Twilio's machine detection for an outgoing call |
| `answered` | `by`, `move`: who answered, as detected by this package, and what the call does then |
| `timer` | `name`: a time-out of the call expired |
| `rest` | `action`, `call` (`caller`, `second leg`), `verbs` (of the TwiML), `status` (`ok` or the class of the error),
`result` or `error`, `code` and `http`, `ms`: a request to Twilio's REST API. The record is written after the response |
| `callback` | `what` and its values: a webhook about this call (`after stream`, `call status`, `dial`, `dialled`, `leg
status`, `leg key`, `machine`), or that the process stops (`farewell`, `stop`) |
| `consent` | the evidence about the caller's consent to the recording (see `telephony.call.consent.ConsentEvidence`) |
| `seal` | `reason`, `closed`: a part of the call that is not recorded begins (true) or ends (false) |
| `error` | `error`: an error event of the model. With `source` (a kind of users' code), an error of this code |
| `skipped` | `error`, `chars`: a message of the stream could not be used |
| `lost` | `records`: the number of records that were dropped here because the disk was too slow |
| `end` | `reason`, `cpu_s` |

Schema 1 had no `open`, `control`, `timer`, `rest`, `config` and `redaction`, and wrote a run only at its end. Schema 2
had no `control.end`, `callback`, `clip`, `play` and `model`, no `open` with an `error`, and no `stream_sid` in a
`close`. Its `control` records include hang-ups without a request of users' code.

In schema 3 and older, the checksum of an `append` was that of the audio itself. The resampler used 32-bit floats, so
the samples depended on the machine. Therefore readers of these schemas compare only the lengths, and not the checksums.

Positions count the samples at 8 kHz that were sent to Twilio since the first `start`. Media timestamps are Twilio's:
milliseconds since `start`, on the clock of the caller's audio.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol

__all__ = [
    "EXACT_SAMPLES",
    "MALFORMED",
    "SCHEMA",
    "Journal",
    "Record",
    "Segment",
    "object_at",
    "schema_of",
    "segments_of",
]

SCHEMA = 4
"""The version of the journal format that this release writes. A reader accepts this version and all older versions."""

EXACT_SAMPLES = 4
"""The first schema of journals in which the same input gives the same resampled audio on every machine."""


def schema_of(header: Mapping[str, Any]) -> int:
    """Returns the schema version of a journal from its header. The result is 1 for a header without a valid version."""
    schema = header.get("schema")
    return schema if isinstance(schema, int) else 1


MALFORMED = (ArithmeticError, AttributeError, LookupError, TypeError, ValueError)
"""The exceptions that a malformed record can cause in a reader. Peers may send anything, and files may be damaged.
Readers count such records and ignore them.
"""


class Journal(Protocol):
    """Receives the records of one call. The methods neither block nor raise exceptions."""

    def write(self, kind: str, t: float, /, **fields: Any) -> None:
        """Writes one record of the kind `kind` at the time `t` (seconds since the start of the call). The fields should
        be JSON values. Other values are written as their `repr`.
        """

    def write_raw(self, kind: str, t: float, json_text: str, has_words: bool = True, /) -> None:
        """Writes one record of the kind `kind` at the time `t` (seconds since the start of the call). Its field
        `message` is the JSON text, an object that `encoding.parse_object` accepts. The text is not checked. `has_words`
        is False if the message is audio, a mark or a clear. Secrets and patterns are then not searched.
        """

    def close(self) -> None:
        """Stops accepting records. Queued records are still written. Idempotent."""


class Record(NamedTuple):
    """One line of a journal. `data` has the fields other than `t` and `kind`. The class is a tuple, because tuples are
    created quickly.
    """

    t: float
    kind: str
    data: Mapping[str, Any]

    @property
    def message(self) -> Mapping[str, Any]:
        """The message of a `twilio.*` or `model.*` record. The mapping is empty if the record has no message."""
        message = self.data.get("message")
        return message if isinstance(message, dict) else {}

    @property
    def event(self) -> str:
        """The type of the message in this journal record: the field `event` of Twilio's message, or the field `type` of
        the model's message. The text is empty if the record has no message.
        """
        message = self.data.get("message")
        if not isinstance(message, dict):
            return ""
        name = message.get("event" if self.kind.startswith("twilio") else "type", "")
        return name if isinstance(name, str) else ""


@dataclass(frozen=True, slots=True)
class Segment:
    """A piece of the audio that was sent to Twilio. It is `length` samples long, and all its samples come from one
    audio part: one content part of an answer (`item_id` and `content_index`), or a clip. `offset` is its first sample
    in this audio part. `position` is its first sample in the stream of all sent audio. Samples are counted at 8 kHz.

    An empty `item_id` means silence that fills a frame, or the ambience sound.
    """

    position: int
    item_id: str
    content_index: int
    offset: int
    length: int


def object_at(message: Any, *names: str) -> Mapping[str, Any]:
    """Returns the object in `message` at the path of the keys `names`, or an empty mapping if there is no object."""
    found = message
    for name in names:
        found = found.get(name) if isinstance(found, dict) else None
    return found if isinstance(found, dict) else {}


def segments_of(message: Mapping[str, Any]) -> list[Segment]:
    """Returns the segments of audio in a recorded media message to Twilio (a `twilio.out` record), in order. Each
    segment says from which audio part its samples come. The sum of their lengths is the number of samples in the
    message (its field `bytes`).

    Raises `KeyError`, `TypeError` or `ValueError` for a malformed message.
    """
    segments = []
    position = int(message["position"])
    for item_id, content_index, offset, length in message["segments"]:
        if offset < 0 or length < 0:
            raise ValueError("a segment with a negative offset or length")
        segments.append(Segment(position, str(item_id or ""), int(content_index), int(offset), int(length)))
        position += int(length)
    return segments
