"""Decides when a lost server session is replaced, and what the new session knows about the conversation.

Pure. The server stores a conversation only for one session, and accepts no audio of the assistant from a client.
Therefore the conversation is sent as text. Of the agent's words, only those that the caller has heard are sent.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from random import Random
from typing import Any, Literal

from ..connection import Close
from ..errors import ConnectFailed, RealtimeCoreError, ServerRejected, TransportError
from ..history_edits import wire_items
from ..items import AssistantMessageItem, RealtimeItem, RealtimeToolCallItem, SystemMessageItem, UserMessageItem

__all__ = [
    "RecentAudio",
    "ReconnectPolicy",
    "is_recoverable",
    "is_worth_retrying",
    "refused_output_note",
    "replayed",
    "summary",
    "tool_note",
]

_RECOVERABLE = frozenset({1001, 1005, 1006, 1011, 1012, 1013, 1015})
_PEER_BROKE_THE_RULES = frozenset({1002, 1007, 1009})
_HOPELESS_STATUS = frozenset({400, 401, 403, 404})
_MAX_NOTE_CHARS = 4000
_MAX_ITEM_ID = 32


@dataclass(frozen=True, slots=True)
class ReconnectPolicy:
    """The policy for connecting again and for replacing a session. With `attempts=0`, no connection is repeated.

    Before the n-th attempt (n counts from 0) the transport waits `min(max_delay_s, first_delay_s * 2**n)` seconds, of
    which half is random. The attempts for the first session may take `first_session_s` seconds, because the caller
    hears nothing during this time. A session that is lost within `settled_after_s` seconds counts as a failed attempt,
    so a server that drops every session is given up. `memory` selects how a new session gets the conversation: with
    `summary` as one system message of at most `max_chars` characters, with `items` item by item. The last `gap_audio_s`
    seconds of the caller's audio are stored until there is a session. A session is replaced in the first pause of the
    conversation within `rollover_margin_s` seconds before its announced end.
    """

    attempts: int = 8
    first_session_s: float = 2.5
    first_delay_s: float = 0.25
    max_delay_s: float = 4.0
    settled_after_s: float = 10.0
    memory: Literal["summary", "items"] = "summary"
    max_chars: int = 8000
    gap_audio_s: float = 10.0
    rollover_margin_s: float = 300.0

    def delay_s(self, attempt: int, random: Random) -> float:
        whole: float = min(self.max_delay_s, self.first_delay_s * 2**attempt)
        return whole * random.uniform(0.5, 1.0)


def is_recoverable(close: Close) -> bool:
    """Returns whether a new connection may succeed after this end of a connection."""
    codes = _PEER_BROKE_THE_RULES if close.by == "us" else _RECOVERABLE
    return close.by == "network" or close.code in codes


def is_worth_retrying(error: RealtimeCoreError) -> bool:
    """Returns whether another attempt may succeed after this error."""
    if isinstance(error, ConnectFailed) and error.close is not None:
        return is_recoverable(error.close)
    if isinstance(error, ConnectFailed) and error.status in _HOPELESS_STATUS:
        return False
    if isinstance(error, ServerRejected):
        return error.type in ("server_error", "rate_limit_error") or error.code == "rate_limit_exceeded"
    return isinstance(error, TransportError)


class _Ulaw(bytes):
    """A stored piece that was upsampled from this mu-law. A sample of mu-law (8 kHz) stands for three samples of two
    bytes (24 kHz).
    """

    __slots__ = ()
    BYTES_OF_SAMPLE = 6


class RecentAudio:
    """The last pieces of the caller's audio: at most `limit_bytes` bytes, and at least one piece. A piece is added 50
    times a second.

    A piece that was upsampled from mu-law is stored as mu-law, which is a sixth of the size, and `take` upsamples it
    again. The upsampled audio depends on the end of the piece before. Therefore that piece is kept as well.
    """

    def __init__(self, limit_bytes: int) -> None:
        self._limit = limit_bytes
        self._pieces: deque[bytes] = deque()
        self._before = b""
        """The mu-law of the piece before the first piece."""
        self.size = 0
        """The number of bytes of all pieces."""
        self.dropped = 0
        """The number of bytes that were dropped, because there were more than `limit_bytes` bytes."""

    def put(self, audio: bytes, ulaw: bytes | None = None) -> None:
        """Adds a piece of the caller's audio. Drops the oldest pieces if there are more than `limit_bytes` bytes.
        `ulaw` is the mu-law from which the piece was upsampled, if it was.
        """
        self._pieces.append(audio if ulaw is None else _Ulaw(ulaw))
        self.size += len(audio)
        while self.size > self._limit and len(self._pieces) > 1:
            self.dropped += self._drop_first()

    def keep_last(self, size: int) -> None:
        """Removes the oldest pieces of audio, and keeps the newest pieces: as few pieces as contain at least `size`
        bytes together.
        """
        while self._pieces and self.size - _size(self._pieces[0]) >= size:
            self._drop_first()

    def take(self) -> list[bytes]:
        """Removes and returns all pieces of audio, the oldest first."""
        pieces = list(self._expanded())
        while self._pieces:
            self._drop_first()
        return pieces

    def _expanded(self) -> Iterator[bytes]:
        if not any(isinstance(piece, _Ulaw) for piece in self._pieces):
            yield from self._pieces
            return
        from ..audio.resample import Upsampler3  # imports numpy, which only a program that upsamples needs

        up = Upsampler3()
        up.push_ulaw(self._before)
        for piece in self._pieces:
            yield up.push_ulaw(piece) if isinstance(piece, _Ulaw) else piece

    def _drop_first(self) -> int:
        """Removes the oldest piece. Returns the length of the piece in bytes."""
        piece = self._pieces.popleft()
        if isinstance(piece, _Ulaw):
            self._before = piece
        self.size -= (size := _size(piece))
        return size


def _size(piece: bytes) -> int:
    return len(piece) * (_Ulaw.BYTES_OF_SAMPLE if isinstance(piece, _Ulaw) else 1)


_HEAD = (
    "This conversation goes on from an earlier session that was lost for technical reasons. "
    "What was said so far (of your own words, what was heard):"
)
_TAIL = (
    "Go on from here. Do not greet again, do not repeat these tool calls (you will be told the result of one that has "
    "none yet), and say nothing of this note."
)
_LEFT_OUT = "(Earlier parts are left out.)"


def summary(items: Sequence[RealtimeItem], max_chars: int) -> str | None:
    """Returns the conversation as one text. If the text is longer than `max_chars`, the oldest lines are left out.
    Returns None for an empty conversation.
    """
    lines: deque[str] = deque()
    room = max_chars
    for item in reversed(items):
        line = _line(item, max_chars // 2)
        if line is None:
            continue
        if room < len(line) + 1:
            lines.appendleft(_LEFT_OUT)
            break
        room -= len(line) + 1
        lines.appendleft(line)
    return "\n".join((_HEAD, *lines, _TAIL)) if lines else None


def _line(item: RealtimeItem, max_chars: int) -> str | None:
    match item:
        case RealtimeToolCallItem():
            outcome = "no result yet" if item.output is None else _short(item.output, max_chars // 2)
            return f"Tool {item.name}({_short(item.arguments, max_chars // 2)}): {outcome}"
        case AssistantMessageItem():
            speaker, text = "You", item.heard_text
        case UserMessageItem():
            speaker, text = "User", item.text
        case SystemMessageItem():
            speaker, text = "System", item.text
    return f"{speaker}: {_short(text, max_chars)}" if text.strip() else None


def _short(text: str, max_chars: int) -> str:
    text = " ".join(text.split())
    return text if len(text) <= max_chars else text[: max_chars - 1] + "…"


def tool_note(name: str, arguments: str, output: str) -> str:
    """Returns a sentence for the model: the tool `name` was called with `arguments` in an earlier session, and has now
    returned `output`.
    """
    return f"The tool {name}({arguments}), called earlier, has returned: {output}"


def refused_output_note(output: str) -> str:
    """Returns a text for the model with `output`, the result of a tool. Used if the server has refused the output as
    the result of the call, because the server no longer knows the call or the output is too long.
    """
    return f"A tool that you have called has returned: {_short(output, _MAX_NOTE_CHARS)}"


def replayed(items: Sequence[RealtimeItem], max_chars: int) -> list[dict[str, Any]]:
    """Returns the newest items of the conversation that fit into `max_chars`, as items of the protocol with their ids.
    A new server session gets these items.
    """
    replay: deque[list[dict[str, Any]]] = deque()
    room = max_chars
    for item in reversed(items):
        wire = [_short_id(each) for each in wire_items(item)] if _is_replayable(item) else []
        room -= sum(len(str(each)) for each in wire)
        if room < 0:
            break
        replay.appendleft(wire)
    return [each for wire in replay for each in wire]


def _is_replayable(item: RealtimeItem) -> bool:
    if isinstance(item, RealtimeToolCallItem):
        is_lost = item.server_label is not None and item.output is None
        return bool(item.call_id) and not is_lost
    text = item.heard_text if isinstance(item, AssistantMessageItem) else item.text
    return bool(text.strip())


def _short_id(wire: dict[str, Any]) -> dict[str, Any]:
    """Returns the item. If its id is longer than the protocol allows, the id is removed."""
    return wire if len(wire["id"]) <= _MAX_ITEM_ID else {key: value for key, value in wire.items() if key != "id"}
