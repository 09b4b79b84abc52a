"""The quick way for text frames gives the same messages and the same errors as the general protocol."""

from __future__ import annotations

import secrets

import pytest
from hypothesis import given
from hypothesis import strategies as st
from websockets.client import ClientProtocol
from websockets.frames import Frame, Opcode
from websockets.protocol import Protocol, State
from websockets.server import ServerProtocol
from websockets.uri import parse_uri

from realtime_core.connection.frames import FrameSplitter, Masks, masked_text, text_frame

LIMIT = 300
LENGTHS = st.sampled_from([0, 1, 124, 125, 126, 127, 299, 300, 301, 70_000]) | st.integers(0, 130)


@st.composite
def streams(draw: st.DrawFn, masked: bool) -> bytes:
    """Frames of a peer. Some of them are invalid, in themselves or where they stand."""
    stream = b""
    for _ in range(draw(st.integers(1, 8))):
        opcode = draw(st.sampled_from([Opcode.TEXT] * 4 + list(Opcode)))
        fin, data = draw(st.integers(0, 3)) > 0, b"x" * draw(LENGTHS)
        if opcode is Opcode.CLOSE and draw(st.booleans()):
            data = b"\x03\xe8" + data
        frame = Frame(opcode, data, fin)
        frame.check = lambda: None  # type: ignore[method-assign]
        one = bytearray(frame.serialize(mask=masked))
        if draw(st.integers(0, 15)) == 0:
            one[0] ^= draw(st.sampled_from([0x40, 0x10, 0x03, 0x0F]))
        if draw(st.integers(0, 15)) == 0:
            one[1] ^= 0x80
        stream += one
    return stream


def cut(data: bytes, places: list[int]) -> list[bytes]:
    ends = sorted({min(place, len(data)) for place in places} | {len(data)})
    return [data[begin:end] for begin, end in zip([0, *ends], ends, strict=False) if begin < end]


def protocol(masked: bool) -> Protocol:
    if masked:
        return ServerProtocol(state=State.OPEN, max_size=LIMIT)
    return ClientProtocol(parse_uri("ws://here/"), state=State.OPEN, max_size=LIMIT)


def taken(of: Protocol) -> list[tuple[Opcode, bytes, bool]]:
    return [(event.opcode, bytes(event.data), event.fin) for event in of.events_received() if isinstance(event, Frame)]


def outcome(of: Protocol) -> tuple[object, ...]:
    return type(of.parser_exc), str(of.parser_exc), of.close_rcvd, of.close_sent, of.state


@pytest.mark.parametrize("masked", [True, False], ids=["server", "client"])
@given(data=st.data())
def test_the_splitter_changes_nothing_whatever_the_segments(masked: bool, data: st.DataObject) -> None:
    stream = data.draw(streams(masked))
    general = protocol(masked)
    general.receive_data(stream)
    expected = taken(general)

    behind, got = protocol(masked), list[tuple[Opcode, bytes, bool]]()
    splitter = FrameSplitter(masked=masked, max_bytes=LIMIT)
    for segment in cut(stream, data.draw(st.lists(st.integers(0, len(stream)), max_size=12))):
        for is_text, piece in splitter.feed(segment):
            if is_text:
                got.append((Opcode.TEXT, bytes(piece), True))
            else:
                behind.receive_data(piece)
                got += taken(behind)
            if behind.parser_exc is not None or behind.close_rcvd is not None:
                splitter.pass_all()
    assert got == expected
    assert outcome(behind) == outcome(general) or behind.state is general.state is State.OPEN


@pytest.mark.parametrize("size", [0, 1, 125, 126, 65_535, 65_536])
def test_our_frames_are_read_by_the_general_protocol(size: int) -> None:
    payload = b"y" * size
    client = ClientProtocol(parse_uri("ws://here/"), state=State.OPEN, max_size=None)
    client.receive_data(text_frame(payload))
    server = ServerProtocol(state=State.OPEN, max_size=None)
    server.receive_data(masked_text(payload, b"\x01\x80\xff\x00"))
    assert taken(client) == taken(server) == [(Opcode.TEXT, payload, True)]


def test_an_incomplete_frame_is_not_looked_at_for_each_byte() -> None:
    """A peer that sends a long message in small segments must not cost a copy of all of it for each segment."""
    splitter = FrameSplitter(masked=False, max_bytes=2**20)
    frame = text_frame(b"z" * 2**20)
    list(splitter.feed(frame[:4096]))
    kept = splitter._kept
    for at in range(4096, len(frame) - 1):
        assert not list(splitter.feed(frame[at : at + 1]))
    assert splitter._kept is kept
    assert list(splitter.feed(frame[-1:])) == [(True, b"z" * 2**20)]


def test_a_message_over_the_limit_is_not_kept() -> None:
    splitter = FrameSplitter(masked=False, max_bytes=1000)
    head = text_frame(b"z" * 1001)[:4]
    assert list(splitter.feed(head)) == [(False, head)]
    assert not splitter._kept


def test_masking_keys_are_used_once_and_drawn_in_blocks() -> None:
    drawn: list[int] = []

    def entropy(size: int) -> bytes:
        drawn.append(size)
        return secrets.token_bytes(size)

    masks = Masks(entropy)
    keys = [masks.next() for _ in range(3 * Masks.BLOCK // 4)]
    assert {len(key) for key in keys} == {4}
    assert drawn == [Masks.BLOCK] * 3
    assert len(set(keys)) > len(keys) - 3, "a key may come twice by chance"
