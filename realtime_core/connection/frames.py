"""A fast path for whole text messages of a WebSocket (RFC 6455, section 5.2). Pure.

Nearly all frames of a call are whole text messages. `FrameSplitter` decodes these frames. The bytes of every other
frame go to the general protocol, the sans-I/O protocol of the library `websockets`. `Masks` creates masking keys.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from struct import Struct

try:
    from websockets.speedups import apply_mask
except ImportError:  # websockets was installed without its C extension
    from websockets.utils import apply_mask

__all__ = ["FrameSplitter", "Masks", "Piece", "masked_text", "text_frame"]

_FIN_TEXT = 0x81
_OPCODES = frozenset({0x00, 0x01, 0x02, 0x80, 0x81, 0x82, 0x88, 0x89, 0x8A})
"""The valid first bytes of a frame: FIN and the opcode, without reserved bits."""
_FIRST_CONTROL = 0x88
_MAX_CONTROL_BYTES = 125

_HEAD_7 = Struct("!BB").pack
_HEAD_16 = Struct("!BBH").pack
_HEAD_64 = Struct("!BBQ").pack


Piece = tuple[bool, bytes]
"""A part of the received bytes. If the first value is True, the second value is the payload of a whole text message. If
False, the second value has the bytes of other frames, which the library `websockets` decodes.
"""


class FrameSplitter:
    """Splits the bytes that one side of a WebSocket sends into frames. Decodes whole text messages itself, and yields
    all other frames unchanged for the library `websockets`. `masked` is True if the sender is a client. `max_bytes` is
    the maximum size of a message.

    `websockets` gets only whole frames. With a part of a frame, `websockets` would wait for a rest that this class has
    already decoded. After an invalid frame, `websockets` gets all further bytes, and reports the error. At most one
    incomplete frame of `max_bytes` is stored.
    """

    def __init__(self, *, masked: bool, max_bytes: int) -> None:
        self._mask_bytes = 4 if masked else 0
        self._mask_bit = 0x80 if masked else 0
        self._max_bytes = max_bytes
        self._kept = bytearray()
        self._wanted = 0
        """How many bytes must be kept before the incomplete frame can be looked at again."""
        self._in_message = False
        """Whether a fragmented message has begun."""
        self._passes_all = False

    def pass_all(self) -> None:
        """Makes `feed` yield all further bytes for the general protocol (the library `websockets`), because the
        connection is closing.
        """
        self._passes_all = True

    def feed(self, data: bytes) -> Iterator[Piece]:
        """Handles received bytes. Yields a piece for each text message or frame that these bytes complete, in order."""
        if self._kept:
            self._kept += data
            if len(self._kept) < self._wanted and not self._passes_all:
                return
            data = bytes(self._kept)
            self._kept.clear()
        at, size, mask_bytes = 0, len(data), self._mask_bytes
        while at < size:
            if self._passes_all:
                yield False, data[at:]
                return
            start = at + 2
            if start > size:
                self._keep(data, at, 2)
                return
            first, length = data[at], data[at + 1] ^ self._mask_bit
            if length == 126:
                start += 2
                if start > size:
                    self._keep(data, at, 4)
                    return
                length = data[at + 2] << 8 | data[at + 3]
            elif length == 127:
                start += 8
                if start > size:
                    self._keep(data, at, 10)
                    return
                length = int.from_bytes(data[at + 2 : start])
            elif length > 127:  # masked where it must not be, or the reverse
                self._passes_all = True
                continue
            if (
                first not in _OPCODES
                or length > self._max_bytes
                or (first >= _FIRST_CONTROL and length > _MAX_CONTROL_BYTES)
            ):
                self._passes_all = True
                continue
            start += mask_bytes
            end = start + length
            if end > size:
                self._keep(data, at, end - at)
                return
            if first == _FIN_TEXT and not self._in_message:
                payload = data[start:end]
                yield True, apply_mask(payload, data[start - 4 : start]) if mask_bytes else payload
            else:
                if first < _FIRST_CONTROL:
                    self._in_message = first < 0x80
                yield False, data[at:end]
            at = end

    def _keep(self, data: bytes, at: int, wanted: int) -> None:
        self._kept += data[at:]
        self._wanted = wanted


def text_frame(payload: bytes) -> bytes:
    """Returns the frame for a whole text message from a server."""
    size = len(payload)
    if size < 126:
        return _HEAD_7(_FIN_TEXT, size) + payload
    return (_HEAD_16(_FIN_TEXT, 126, size) if size < 65536 else _HEAD_64(_FIN_TEXT, 127, size)) + payload


def masked_text(payload: bytes, mask: bytes) -> bytes:
    """Returns the frame for a whole text message from a client. `mask` is the masking key of 4 bytes."""
    size = len(payload)
    if size < 126:
        head = _HEAD_7(_FIN_TEXT, 0x80 | size)
    else:
        head = _HEAD_16(_FIN_TEXT, 0xFE, size) if size < 65536 else _HEAD_64(_FIN_TEXT, 0xFF, size)
    return head + mask + apply_mask(payload, mask)


class Masks:
    """Creates the masking keys of one connection. `entropy(n)` returns n cryptographically strong random bytes, because
    RFC 6455, section 5.3, requires unpredictable keys.

    The keys are drawn in blocks, because one system call per frame would cost more than the frame. Each key is used
    once.
    """

    BLOCK = 1024
    """The number of random bytes in a block. A block has keys for 256 frames, which is five seconds of a caller's
    audio.
    """

    def __init__(self, entropy: Callable[[int], bytes]) -> None:
        self._entropy = entropy
        self._block = b""
        self._at = 0

    def next(self) -> bytes:
        at = self._at
        if at >= len(self._block):
            self._block, at = self._entropy(self.BLOCK), 0
        self._at = at + 4
        return self._block[at : at + 4]
