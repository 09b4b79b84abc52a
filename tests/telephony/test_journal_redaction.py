"""The masking of journals, and the data that a reader still finds in them."""

from __future__ import annotations

import base64
import json
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from realtime_core.audio import g711
from telephony.errors import SettingsError
from telephony.journal.compression import compress, compress_later
from telephony.journal.disk import settle
from telephony.journal.journals import Journals
from telephony.journal.reader import read_journal
from telephony.journal.redaction import masked_ulaw, redaction
from telephony.journal.writer import JournalWriter
from telephony.settings import load_settings
from telephony.simulator import clips

CARD = r"\b\d{4}([ -]?\d{4}){3}\b"


def written(tmp_path: Path, *messages: Any, **what: Any) -> list[Any]:
    journal = JournalWriter(tmp_path / "journal.jsonl", redaction=redaction(**what))
    for kind, message in messages:
        journal.write_raw(kind, 1.5, json.dumps(message))
    journal.finish()
    return [record.message for record in read_journal(tmp_path / "journal.jsonl")]


def test_patterns_are_masked_in_every_string(tmp_path: Path) -> None:
    text = 'It is "4111 1111 1111 1111".'
    said = {"type": "response.output_audio_transcript.done", "item_id": "i", "transcript": text}
    call = {"type": "x", "item": {"arguments": '{"card": "4111-1111-1111-1111"}', "call_id": "4111111111111111"}}
    got = written(tmp_path, ("model.in", said), ("model.out", call), patterns=[CARD])
    assert got[0]["transcript"] == f'It is "{"•" * 19}".'
    assert got[1]["item"] == {"arguments": f'{{"card": "{"•" * 19}"}}', "call_id": "4111111111111111"}
    assert "4111 1111" not in (tmp_path / "journal.jsonl").read_text("utf-8")


def test_the_pieces_of_a_transcript_cannot_evade_a_pattern(tmp_path: Path) -> None:
    kind = "response.output_audio_transcript.delta"
    pieces = [{"type": kind, "item_id": "i", "delta": text} for text in ("4111 11", "11 ")]
    got = written(tmp_path, *(("model.in", piece) for piece in pieces), patterns=[CARD])
    assert [message["delta"] for message in got] == ["•••• ••", "•• "]
    assert [message["type"] for message in got] == [pieces[0]["type"]] * 2


@given(secret=st.from_regex(r"sk-[A-Za-z0-9]{8,20}", fullmatch=True), before=st.text(), after=st.text())
def test_secrets_are_masked_wherever_they_stand(secret: str, before: str, after: str) -> None:
    mask = redaction(secrets=[secret])
    line = mask.line(json.dumps({"t": 1.0, "kind": "error", "error": f"{before} {secret} {after}"}))
    assert secret not in line
    assert json.loads(line)["error"] == f"{before} {'•' * 8} {after}"


@pytest.mark.parametrize("audio", [False, True])
def test_a_message_without_words_is_searched_for_audio_alone(audio: bool, tmp_path: Path) -> None:
    payload = base64.b64encode(bytes(range(160))).decode()
    message = json.dumps({"event": "media", "media": {"payload": payload, "chunk": "4711"}})
    journal = JournalWriter(tmp_path / "journal.jsonl", redaction=redaction(patterns=["4711"], audio=audio))
    journal.write_raw("twilio.in", 1.5, message, False)
    journal.finish()
    (record,) = read_journal(tmp_path / "journal.jsonl")
    assert record.message["media"]["chunk"] == "4711"
    assert (record.message["media"]["payload"] == payload) is not audio


def test_masked_audio_keeps_its_length_and_level_and_nothing_else() -> None:
    voice = clips.load("booking")
    masked = masked_ulaw(voice)
    assert len(masked) == len(voice)

    def levels(ulaw: bytes) -> Any:
        pcm = np.frombuffer(g711.decode(ulaw), "<i2").astype(float)
        return np.sqrt((pcm[: len(pcm) // 160 * 160].reshape(-1, 160) ** 2).mean(axis=1))

    was, now = levels(voice), levels(masked)
    loud = was > 100
    assert np.abs(20 * np.log10(now[loud] / was[loud])).max() < 1.5
    was_pcm, now_pcm = (np.frombuffer(g711.decode(x), "<i2").astype(float) for x in (voice, masked))
    assert abs(np.corrcoef(was_pcm, now_pcm)[0, 1]) < 0.05
    assert masked_ulaw(g711.SILENCE * 400) == g711.SILENCE * 400


def test_both_voices_are_masked_on_request_and_only_then(tmp_path: Path) -> None:
    voice = clips.load("hello")[:1600]
    media = {"event": "media", "media": {"payload": base64.b64encode(voice).decode(), "timestamp": "0"}}
    pcm = g711.decode(voice)
    delta = {"type": "response.output_audio.delta", "item_id": "i", "delta": base64.b64encode(pcm).decode()}
    for wanted in (False, True):
        (tmp_path / str(wanted)).mkdir()
        got = written(tmp_path / str(wanted), ("twilio.in", media), ("model.in", delta), audio=wanted)
        kept = [base64.b64decode(got[0]["media"]["payload"]), base64.b64decode(got[1]["delta"])]
        assert [len(each) for each in kept] == [len(voice), len(pcm)]
        assert (kept != [voice, pcm]) == wanted


def test_clips_are_masked_with_the_voices(tmp_path: Path) -> None:
    voice = clips.load("hello")[:1600]
    for wanted in (False, True):
        journal = JournalWriter(tmp_path / str(wanted) / "journal.jsonl", redaction=redaction(audio=wanted))
        journal.write("clip", 0.0, digest="0123", payload=base64.b64encode(voice).decode())
        journal.finish()
        (record,) = read_journal(tmp_path / str(wanted) / "journal.jsonl")
        kept = base64.b64decode(record.data["payload"])
        assert len(kept) == len(voice) and (kept != voice) == wanted and record.data["digest"] == "0123"


def test_the_header_states_what_was_masked(tmp_path: Path) -> None:
    settings = load_settings(
        telephony_journal_dir=tmp_path, openai_api_key="sk-12345678", telephony_redact_patterns=[CARD]
    )
    journal = Journals.of(settings).open("CA1")
    journal.write("header", 0.0, schema=2, note="sk-12345678")
    journal.close()
    assert settle(10)
    (header,) = read_journal(tmp_path / "CA1" / "journal.jsonl")
    assert header.data["redaction"] == {"digits": True, "patterns": 1, "audio": False}
    assert header.data["versions"]["python"] and header.data["note"] == "•" * 8
    off = load_settings(telephony_journal_dir=tmp_path, openai_api_key="sk-12345678", telephony_redact=False)
    journal = Journals.of(off).open("CA2")
    journal.write("header", 0.0, schema=2, note="sk-12345678")
    journal.close()
    assert settle(10)
    (header,) = read_journal(tmp_path / "CA2" / "journal.jsonl")
    assert header.data["note"] == "sk-12345678" and not header.data["redaction"]["digits"]


@pytest.mark.parametrize("pattern", ["(", r"(?<!\d)\d{16}", r"(\d)\1{3}"])
def test_a_pattern_that_cannot_be_used_is_a_problem_of_the_settings(pattern: str) -> None:
    with pytest.raises(SettingsError, match=r"TELEPHONY_REDACT_PATTERNS.*regular expression"):
        load_settings(telephony_redact_patterns=[pattern])


@pytest.mark.parametrize("pattern", [r"^\d+$", r"\A\d+", r"\d+\Z"])
def test_an_anchor_stands_for_the_ends_of_a_string_not_of_a_line(tmp_path: Path, pattern: str) -> None:
    (got,) = written(tmp_path, ("model.out", {"type": "x", "text": "4711", "n": 4711}), patterns=[pattern])
    assert got["text"] == "••••" and got["n"] == 4711


def test_a_text_without_a_match_stays_as_it_came() -> None:
    line = '{"t":1.500000,"kind":"model.in","message": {"type": "x",  "text": "caf\\u00e9 \\n"}}'
    assert redaction(patterns=[CARD]).line(line) == line


@pytest.mark.parametrize("pattern", [r"(a+)+$", r"(a|a)*b", r"(a?){40}a{40}c", r"(\w+\s?)*!", r"(.*a){12}x"])
def test_no_text_keeps_a_pattern_busy(pattern: str) -> None:
    mask = redaction(patterns=[pattern])
    line = json.dumps({"t": 1.0, "kind": "error", "error": "a" * 10_000 + " ä?"})
    began = time.process_time()
    mask.line(line)
    assert time.process_time() - began < 2, "matched by backtracking: the GIL is held meanwhile"


def test_a_compressed_journal_is_the_same_journal(tmp_path: Path) -> None:
    path = tmp_path / "journal.jsonl"
    written(tmp_path, *(("model.in", {"type": "x", "n": n}) for n in range(500)))
    before, size = list(read_journal(path)), path.stat().st_size
    packed = compress(path)
    assert packed.stat().st_size < size / 5 and packed.stat().st_mode & 0o777 == 0o600 and not path.exists()
    assert list(read_journal(packed)) == list(read_journal(path)) == before


def test_a_process_of_low_priority_compresses(tmp_path: Path) -> None:
    path = tmp_path / "journal.jsonl"
    path.write_bytes(b'{"t":0,"kind":"x"}\n')
    compress_later(path)
    from telephony.journal import compression

    assert compression._running[-1].wait(60) == 0
    assert [p.name for p in tmp_path.iterdir()] == ["journal.jsonl.gz"]
    imported = "import sys, telephony.journal.compression; sys.exit('numpy' in sys.modules or 'orjson' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", imported], check=False).returncode == 0
