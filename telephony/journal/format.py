"""The format of journals. Pure.

Each line is one JSON object, `{"t": seconds since the call's start, "kind": str, ...}`. Lines are in order of time.
Every sample is stored once: the caller's in `twilio.in` as Twilio sent it, the agent's in `model.in` as the model sent
it, that of a clip in `clip`. Derived samples are stored as length and CRC-32.

| kind | fields besides `t` |
|---|---|
| `header` | `schema`, `versions`, `agent`, `call_sid`, `stream_sid`, `direction`, `started_at` (ISO 8601), `config`
(the options of the call, without secrets), `redaction` (what was masked) |
| `twilio.in` | `message`: as received. A stream begins with its `start` and ends with the `close` of its `stream_sid` |
| `twilio.out` | `message`: as sent; of `media` only `{event, bytes, crc32, position, segments}` (see `segments_of`),
and `bed`: `[digest, sample]` if a clip is mixed under it, from that sample of its loop |
| `clip` | `digest`, `payload`: a clip (mu-law, 8 kHz, base64), before its first use |
| `play` | `item_id`, `clip` (its digest), `text` if known: a clip was queued, as a part with this id |
| `supervisor` | `item_id`, `payload` (mu-law, 8 kHz, base64): a supervisor's voice was queued, as the next samples of
the part with this id |
| `supervisor.words` | `item_id`, `text`, and `usage` of the transcription: words of a supervisor, which begin in this
part of the supervisor's voice |
| `model.in` | `message`: as received. If it is no JSON object, `text`: its first 1,000 characters without digits, and
`chars`: its length |
| `model.out` | `message`: as sent; of `input_audio_buffer.append` only `{type, bytes, crc32}`: the length of the audio,
and the checksum of its base64 text |
| `tool.start` | `call_id`, `name`, `arguments` (JSON text) |
| `tool.end` | `call_id`, `name`, `output` (as sent to the model), `ms`, `silent` (no response was requested), `error`:
the tool failed with it |
| `tool.approval` | `call_id`, `name`, `arguments`: the call of a tool waits for approval |
| `handoff` | `from`, `to`: the names of the agents |
| `stream` | `runs`: `[[position, stamp_ms], ...]`: playout has no gap from this stream position on, and its sample was
heard when the frame with this media timestamp was sent. (A frame has the timestamp of its first sample and is sent
after its last, one frame later.) Written when a run begins and when it ends; a later record of the same position
replaces an earlier one. `heard` means that the stream ended here, and this position was the last that was heard |
| `interruption` | `cause` (see `CutCause`; missing: the caller spoke), `item_id`, `speech_started_ms`, `position`
(where the stream became silent), `heard`: `[[item_id, content_index, heard_ms], ...]`, `truncations`: `[[item_id,
content_index, audio_end_ms], ...]` |
| `model` | `type`, `turn_policy`: the class of the model, and the policy that decides turns |
| `open` | `peer`: a connection to the model was opened. With `error` and `type` it failed; `status` is the HTTP status
of the answer, if there was one |
| `close` | `peer` (`twilio` or `model`), `code`, `reason`, `by`; of Twilio's `stream_sid` |
| `control` | `id`, `action` and its arguments: a request of users' code to the call (`hang_up`, `say`, ...) or to its
session (`session.interrupt`, ...), or of a person in the console (`supervisor.take_over`, ...). `tool` is the `call_id`
of the tool that made it. `ours` means that the package made it |
| `control.end` | `id`, `action`, and `result`, `error` or `cancelled`; of collected keys `keys` (how many) and
`complete` |
| `verdict` | `answered_by`: of an outgoing call, the result of Twilio's machine detection |
| `answered` | `by`, `move`: our classification of the answer, and what the call does then |
| `timer` | `name`: a time-out of the call expired |
| `rest` | `action`, `call` (`caller`, `second leg`), `verbs` (of the TwiML), `status` (`ok`, or the error's class),
`result` or `error`, `code` and `http`, `ms`: a request to Twilio's REST API, written with its answer |
| `callback` | `what` and its values: a webhook about this call (`after stream`, `call status`, `dial`, `dialled`, `leg
status`, `leg key`, `machine`), or that the process stops (`farewell`, `stop`) |
| `error` | `error`: an error event of the model. With `source`, a kind of users' code: that code failed |
| `skipped` | `error`, `chars`: an unusable message of the stream |
| `lost` | `records`: how many records were dropped here because the disk was too slow |
| `end` | `reason`, `cpu_s` |

Schema 1 had no `open`, `control`, `timer`, `rest`, `config` and `redaction`, and wrote a run only at its end. Schema 2
had no `control.end`, `callback`, `clip`, `play` and `model`, no `open` with an `error`, and no `stream_sid` in a
`close`. Its `control` records include hang-ups without a request of users' code.

In schema 3 and older, the checksum of an `append` was that of the audio itself. The resampler used 32-bit floats, and
the samples depended on the machine: a checksum of them says nothing about today's samples, and readers compare lengths
only.

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
"""The version of this format. A reader accepts this version and all older versions."""

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

    def write_raw(self, kind: str, t: float, json_text: str, /) -> None:
        """Writes one record of the kind `kind` at the time `t` (seconds since the start of the call). Its field
        `message` is the JSON text, an object that `encoding.parse_object` accepts. The text is not checked.
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
        """The name of the message: Twilio's `event` or the model's `type`."""
        message = self.data.get("message")
        if not isinstance(message, dict):
            return ""
        name = message.get("event" if self.kind.startswith("twilio") else "type", "")
        return name if isinstance(name, str) else ""


@dataclass(frozen=True, slots=True)
class Segment:
    """A segment of `length` samples of one audio part. The segment begins at the sample `offset` of the part and at
    `position` of the stream.

    An empty `item_id` means padding or ambience.
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
    """Returns the segments of a `twilio.out` media message, in order. The sum of their lengths is the message's
    `bytes`.

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
