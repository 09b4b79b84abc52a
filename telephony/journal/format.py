"""What the lines of a journal are. Pure.

Each line is one JSON object, `{"t": seconds since the call's start, "kind": str, ...}`, in the order in which things
happened. Every sample is stored once: the caller's in `twilio.in` as Twilio sent it, the agent's in `model.in` as the
model sent it, of a clip in `clip`; what is derived from them is stored as length and CRC-32.

| kind | fields besides `t` |
|---|---|
| `header` | `schema`, `versions`, `agent`, `call_sid`, `stream_sid`, `direction`, `started_at` (ISO 8601), `config` \
(what the call was run with, without secrets), `redaction` (what was masked) |
| `twilio.in` | `message`: as received. With a `start` a stream begins; it ends \
with the `close` of that `stream_sid` |
| `twilio.out` | `message`: as sent; of `media` only `{event, bytes, crc32, position, segments}` (see `segments_of`), \
and `bed`: `[digest, sample]` where a clip lies under it, from that sample of its loop on |
| `clip` | `digest`, `payload`: a clip (mu-law, 8 kHz, base64), before it is played for the first time |
| `play` | `item_id`, `clip` (its digest), `text` where it is known: a clip was queued, as a part of that name |
| `model.in` | `message`: as received; where it is no JSON object, `text`: its first 1,000 characters without \
digits, and `chars`: its length |
| `model.out` | `message`: as sent; of `input_audio_buffer.append` only `{type, bytes, crc32}` |
| `tool.start` | `call_id`, `name`, `arguments` (JSON text) |
| `tool.end` | `call_id`, `name`, `output` (as the model got it), `ms`, `silent` (no response was asked for), \
`error`: the tool failed, and the model was told `output` |
| `handoff` | `from`, `to`: the names of the agents |
| `stream` | `runs`: `[[position, stamp_ms], ...]`: from this stream position on, playout runs without a gap, and that \
sample was heard when the frame with this media timestamp was sent: a frame's length later, because a frame is stamped \
by its first sample and sent after its last. Written when the run begins and when it ends; a later record about the \
same position corrects an earlier one. `heard`: the stream was over here, and this position was heard last |
| `interruption` | `cause` (see `CutCause`; missing: the caller spoke), \
`item_id`, `speech_started_ms`, `position` (where the stream fell silent), `heard`: \
`[[item_id, content_index, heard_ms], ...]`, `truncations`: `[[item_id, content_index, audio_end_ms], ...]` |
| `model` | `type`, `turn_policy`: which class it is, and who decides on turns |
| `open` | `peer`: a connection was opened (the model's; Twilio's opens with `start`); with `error` and `type`: it \
was not, and `status` is the HTTP status of the answer, where there was one |
| `close` | `peer` (`twilio` or `model`), `code`, `reason`, `by`; of Twilio's `stream_sid` |
| `control` | `id`, `action` and its arguments: what users' code asked of the call (`hang_up`, `say`, ...) or of its \
session (`session.interrupt`, ...); `tool`: the `call_id` of the tool in which it did; `ours`: it was code of ours |
| `control.end` | `id`, `action`, and `result`, `error` or `cancelled`; where keys were collected `keys` (how many) \
and `complete` |
| `verdict` | `answered_by`: of a call that we placed, who Twilio says has answered |
| `answered` | `by`, `move`: who has answered, we think, and what we do about it |
| `timer` | `name`: a time-out of the call was up |
| `rest` | `action`, `call` (`caller`, `second leg`), `verbs` (of the TwiML), `status` (`ok`, or the error's class), \
`result` or `error`, `code` and `http`, `ms`: a request to Twilio's REST API, written as its answer came |
| `callback` | `what` and what it said: a webhook of Twilio's about this call (`after stream`, `call status`, \
`dial`, `dialled`, `leg status`, `leg key`, `machine`), or the process stops (`farewell`, `stop`) |
| `error` | `error`: the model complained; with `source`: the application's own code failed, of that kind |
| `skipped` | `error`, `chars`: a message of the stream that could not be used |
| `lost` | `records`: so many were dropped here because the disk did not keep up |
| `end` | `reason`, `cpu_s` |

Schema 1 had no `open`, `control`, `timer`, `rest`, `config` and `redaction`, and told of a run at its end alone.
Schema 2 had no `control.end`, `callback`, `clip`, `play` and `model`, no `open` with an `error`, no `stream_sid` in a
`close`, and among `control` the hanging-up that nobody's code asked for.

Positions count samples at 8 kHz on the one stream timeline of what was sent to Twilio since `start`. Media timestamps
are Twilio's: milliseconds since `start`, on the clock of the caller's audio.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol

__all__ = ["MALFORMED", "SCHEMA", "Journal", "Record", "Segment", "object_at", "segments_of"]

SCHEMA = 3
"""The version of this format; a reader takes its own and older ones."""

MALFORMED = (ArithmeticError, AttributeError, LookupError, TypeError, ValueError)
"""What a reader meets in a record that does not hold what its kind should: peers send anything, and files are damaged.
Such a record is counted and left out."""


class Journal(Protocol):
    """Where records go. Nothing here blocks or raises."""

    def write(self, kind: str, t: float, /, **fields: Any) -> None:
        """Write one record. Fields are JSON values; anything else is written as its `repr`."""

    def write_raw(self, kind: str, t: float, json_text: str, /) -> None:
        """Write one record whose `message` is JSON text already: an object that `encoding.parse_object` takes. It is
        not looked at."""

    def close(self) -> None:
        """Take no more. What is queued is still written, later. Idempotent."""


class Record(NamedTuple):
    """One line. `data` holds the fields besides `t` and `kind`. (A tuple because they are so many.)"""

    t: float
    kind: str
    data: Mapping[str, Any]

    @property
    def message(self) -> Mapping[str, Any]:
        """The message of a `twilio.*` or `model.*` record; empty where there is none."""
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
    """`length` samples of one audio part, from its sample `offset` on, at `position` of the stream.

    An empty `item_id` is what came from nobody: padding or ambience.
    """

    position: int
    item_id: str
    content_index: int
    offset: int
    length: int


def object_at(message: Any, *names: str) -> Mapping[str, Any]:
    """The object at the end of this path in a message; empty where something else stands there."""
    found = message
    for name in names:
        found = found.get(name) if isinstance(found, dict) else None
    return found if isinstance(found, dict) else {}


def segments_of(message: Mapping[str, Any]) -> list[Segment]:
    """The segments of a `twilio.out` media message, in order; their lengths add up to its `bytes`.

    Raises `KeyError`, `TypeError` or `ValueError` where it holds something else.
    """
    segments = []
    position = int(message["position"])
    for item_id, content_index, offset, length in message["segments"]:
        if offset < 0 or length < 0:
            raise ValueError("a segment of no audio")
        segments.append(Segment(position, str(item_id or ""), int(content_index), int(offset), int(length)))
        position += int(length)
    return segments
