"""mu-law against the table of ITU-T G.711, computed here from its definition."""

from __future__ import annotations

import struct
import subprocess
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from realtime_core.audio import g711


def _by_definition(code: int) -> int:
    code = ~code & 0xFF
    segment, step = (code >> 4) & 7, code & 15
    magnitude = ((2 * step + 33) << (segment + 2)) - 4 * 33
    return -magnitude if code & 0x80 else magnitude


def test_decodes_every_code_as_the_standard_says() -> None:
    decoded = struct.unpack("=256h", g711.decode(bytes(range(256))))
    assert list(decoded) == [_by_definition(code) for code in range(256)]
    assert (min(decoded), max(decoded)) == (-32124, 32124)


def test_encoding_gives_back_every_code_but_negative_zero() -> None:
    codes = bytes(range(256))
    assert g711.encode(g711.decode(codes)) == codes.replace(b"\x7f", b"\xff")


@given(st.integers(-32768, 32767))
def test_encodes_to_within_half_a_step(sample: int) -> None:
    (got,) = struct.unpack("=h", g711.decode(g711.encode(struct.pack("=h", sample))))
    clipped = max(-32635, min(32635, sample))
    # The encoder drops the two lowest bits first: it is a 14-bit codec.
    step = 4 * 2 ** ((abs(clipped >> 2) + 33).bit_length() - 5)
    assert abs(got - clipped) <= step // 2 + 3


def test_silence() -> None:
    assert g711.encode(bytes(320)) == g711.SILENCE * 160
    assert g711.decode(g711.SILENCE) == bytes(2)
    assert g711.decode(b"") == g711.encode(b"") == b""


def test_half_a_sample_is_refused() -> None:
    with pytest.raises(ValueError, match="even number of bytes"):
        g711.encode(b"\0\0\0")


def test_loads_no_numpy_and_warns_of_nothing() -> None:
    code = "import sys, realtime_core.audio.g711 as g; assert g.SILENCE and 'numpy' not in sys.modules"
    subprocess.run([sys.executable, "-W", "error", "-c", code], check=True)
