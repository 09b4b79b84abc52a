"""Logs and recordings of other programs: voices are never mixed, and unusable messages are reported and left out."""

from __future__ import annotations

import base64
import gzip
import io
import json
import random
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
from typer.testing import CliRunner

from realtime_core.audio import g711
from telephony.audio.files import load_ulaw, wav_header
from telephony.cli.app import app
from telephony.errors import JournalError, ReplayError
from telephony.journal.audio import rebuild
from telephony.journal.collector import collect
from telephony.journal.foreign_log import read_log
from telephony.journal.imported import import_call, import_twilio
from telephony.journal.reader import read_journal
from telephony.replay.callers import Cue, turns_of
from telephony.replay.replaying import replay_call
from telephony.simulator import clips
from tests.support.recorded_calls import AGENT as RESTAURANT

A, B, AGENT = b"\x11" * 160, b"\x22" * 160, b"\x33" * 160


def start(call: str, stream: str, **more: Any) -> dict[str, Any]:
    inner = {"callSid": call, "streamSid": stream, "tracks": ["inbound"], "customParameters": {}, **more}
    return {"event": "start", "sequenceNumber": "1", "streamSid": stream, "start": inner}


def media(stream: str | None, at_ms: Any, ulaw: bytes, track: str | None = "inbound") -> dict[str, Any]:
    inner = {"timestamp": at_ms, "payload": base64.b64encode(ulaw).decode(), "chunk": "1"}
    inner |= {} if track is None else {"track": track}
    return {"event": "media", "sequenceNumber": "2", "media": inner} | ({} if stream is None else {"streamSid": stream})


def stop(call: str, stream: str) -> dict[str, Any]:
    return {"event": "stop", "streamSid": stream, "stop": {"callSid": call}}


def write(path: Path, *lines: dict[str, Any] | str) -> Path:
    path.write_text("\n".join(line if isinstance(line, str) else json.dumps(line) for line in lines))
    return path


def voices(journal: Path) -> tuple[set[int], set[int]]:
    """The values that are in the lanes of the caller and of the agent, silence left out."""
    call = collect(read_journal(journal))
    return set(bytes(call.caller)) - {0xFF}, set(bytes(rebuild(call).agent)) - {0xFF}


def test_two_calls_in_one_log_become_two_recordings(tmp_path: Path) -> None:
    lines: list[Any] = [start("CA1", "MZ1"), media("MZ1", "0", A), start("CA2", "MZ2")]
    for n in range(1, 20):
        lines += [media("MZ1", str(20 * n), A), media("MZ2", str(20 * n), B)]
    made = import_twilio(write(tmp_path / "a.log", *lines, stop("CA1", "MZ1"), stop("CA2", "MZ2")), tmp_path / "calls")
    assert [journal.parent.name for journal in made.journals] == ["CA1", "CA2"] and made.problems == []
    assert [voices(journal)[0] for journal in made.journals] == [{0x11}, {0x22}]


@pytest.mark.parametrize(("one", "other"), [("CA-1", "CA1"), ("CA1", "CA1"), ("", "")])
def test_calls_with_similar_names_get_two_journals(one: str, other: str, tmp_path: Path) -> None:
    lines = [start(one, "MZ1"), start(other, "MZ2"), media("MZ1", "0", A), media("MZ2", "0", B)]
    made = import_twilio(write(tmp_path / "a.log", *lines), tmp_path / "calls")
    assert len({journal.parent for journal in made.journals}) == 2
    assert [voices(journal)[0] for journal in made.journals] == [{0x11}, {0x22}]


def test_a_call_that_is_kept_already_is_not_touched(tmp_path: Path) -> None:
    log = write(tmp_path / "a.log", start("CA1", "MZ1"), media("MZ1", "0", A))
    first = import_twilio(log, tmp_path / "calls").journals[0]
    before = first.read_bytes()
    second = import_twilio(log, tmp_path / "calls").journals[0]
    assert first.read_bytes() == before and second.parent.name == "CA1-2" and voices(second) == voices(first)


def test_both_tracks_are_the_caller_and_the_agent(tmp_path: Path) -> None:
    lines: list[Any] = [start("CA1", "MZ1", tracks=["inbound", "outbound"])]
    for n in range(50):
        lines += [media("MZ1", str(20 * n), A), media("MZ1", str(20 * n), AGENT, "outbound")]
    made = import_twilio(write(tmp_path / "a.log", *lines), tmp_path / "calls")
    assert [voices(journal) for journal in made.journals] == [({0x11}, {0x33})]


def test_a_stream_name_that_two_calls_have_separates_them_all_the_same(tmp_path: Path) -> None:
    lines = [start("CA1", "MZ1"), media("MZ1", "0", A), start("CA2", "MZ1"), media("MZ1", "0", B)]
    made = import_twilio(write(tmp_path / "a.log", *lines), tmp_path / "calls")
    assert [voices(journal)[0] for journal in made.journals] == [{0x11}, {0x22}]


@pytest.mark.parametrize("track", ["outbound", "outbound_track"])
def test_a_log_of_the_outbound_track_alone_has_no_caller(track: str, tmp_path: Path) -> None:
    log = write(tmp_path / "a.log", start("CA1", "MZ1", tracks=[track]), media("MZ1", "0", AGENT, None))
    assert voices(import_twilio(log, tmp_path / "calls").journals[0]) == (set(), {0x33})


def test_a_stream_after_another_of_the_same_call_goes_on_with_it(tmp_path: Path) -> None:
    lines = [start("CA1", "MZ1"), media("MZ1", "0", A), media("MZ1", "20", A), start("CA1", "MZ2"), stop("CA1", "MZ1"),
             media("MZ2", "0", B), media("MZ2", "20", AGENT, "outbound")]  # fmt: skip
    (journal,) = import_twilio(write(tmp_path / "a.log", *lines), tmp_path / "calls").journals
    call = collect(read_journal(journal))
    assert bytes(call.caller) == A + A + B + b"\xff" * 160 and call.duration_ms == 80
    assert [stream.at for stream in call.streams] == [0, 320]


ODD: dict[str, Any] = {
    "a timestamp in words": media("MZ1", "soon", A),
    "a negative timestamp": media("MZ1", -20, A),
    "a fraction": media("MZ1", 20.5, A),
    "no timestamp to speak of": media("MZ1", None, A),
    "a list": media("MZ1", [20], A),
    "a day and more": media("MZ1", str(2 * 86_400_000), A),
    "hours ahead": media("MZ1", str(5 * 3_600_000), A),
    "a long number": media("MZ1", "9" * 30, A),
    "no base64": {"event": "media", "streamSid": "MZ1", "media": {"timestamp": "20", "payload": "%%"}},
    "no payload": {"event": "media", "streamSid": "MZ1", "media": {"timestamp": "20"}},
    "no media": {"event": "media", "streamSid": "MZ1", "media": "x"},
    "a strange track": media("MZ1", "20", A, "sideways"),
    "a stream that does not start": media("MZ9", "20", B),
    "another call's": media("MZ1", "20", B) | {"callSid": "CA9"},
    "a second start": start("CA1", "MZ1"),
    "a start without fields": {"event": "start", "streamSid": "MZ7", "start": 5},
    "another format": start("CA9", "MZ8", mediaFormat={"encoding": "audio/l16", "sampleRate": 16000}),
    "a key without a digit": {"event": "dtmf", "streamSid": "MZ1", "dtmf": {}},
    "cut off": json.dumps(media("MZ1", "20", A))[:-30],
    "cut off within a log's own JSON": json.dumps({"message": json.dumps(media("MZ1", "20", A))[:-9]}),
}


@pytest.mark.parametrize("odd", ODD)
def test_what_cannot_be_used_is_reported_and_left_out(odd: str, tmp_path: Path) -> None:
    log = write(tmp_path / "a.log", start("CA1", "MZ1"), media("MZ1", "0", A), ODD[odd], media("MZ1", "40", A))
    made = import_twilio(log, tmp_path / "calls")
    assert len(made.problems) == 1 and len(made.journals) == 1, made
    call = collect(read_journal(made.journals[0]))
    assert bytes(call.caller) == A + b"\xff" * 160 + A


def test_lines_that_are_no_messages_are_no_problems() -> None:
    lines = ["started {", '{"level": "info"}', '{"event": "login", "user": 1}', "{} }", '{"message": "{oops"}', "[1]"]
    assert read_log(lines) == ([], [])


def test_a_log_of_windows_in_utf_16(tmp_path: Path) -> None:
    text = "\r\n".join(map(json.dumps, [start("CA1", "MZ1"), media("MZ1", "0", A)]))
    (tmp_path / "a.log").write_text(text, "utf-16")
    assert voices(import_twilio(tmp_path / "a.log", tmp_path / "calls").journals[0])[0] == {0x11}


def as_csv(lines: list[str]) -> str:
    return "time,message\n" + "\n".join('1,"' + line.replace('"', '""') + '"' for line in lines)


FORMS: dict[str, Callable[[list[str]], str | bytes]] = {
    "a list": lambda lines: f"[{','.join(lines)}]",
    "a list over many lines": lambda lines: json.dumps([json.loads(line) for line in lines], indent=1),
    "objects over many lines": lambda lines: "\n".join(json.dumps(json.loads(line), indent=1) for line in lines),
    "several in a line": " ".join,
    "line ends of old machines": "\r".join,
    "words before, with a brace": lambda lines: "\n".join(f"{{app}} INFO got {line} [2]" for line in lines),
    "a string after words": lambda lines: "\n".join(json.dumps({"message": f"got {line}"}) for line in lines),
    "another name": lambda lines: "\n".join(json.dumps({"log": line + "\n", "stream": "stdout"}) for line in lines),
    "an inner object": lambda lines: "\n".join(json.dumps({"data": {"ws": json.loads(line)}}) for line in lines),
    "a browser's archive": lambda lines: json.dumps(
        {"log": {"entries": [{"_webSocketMessages": [{"type": "receive", "data": line} for line in lines]}]}}, indent=1
    ),
    "CSV": as_csv,
    "printed by Python": lambda lines: "\n".join(f"got {json.loads(line)!r}" for line in lines),
    "half of a surrogate pair": lambda lines: "\n".join(line.replace('"Ada"', '"\\ud83d"') for line in lines),
    "UTF-16": lambda lines: "\n".join(lines).encode("utf-16"),
    "UTF-32": lambda lines: "\n".join(lines).encode("utf-32"),
    "UTF-8 with a mark": lambda lines: "\n".join(lines).encode("utf-8-sig"),
    "gzip": lambda lines: gzip.compress("\n".join(lines).encode()),
}


@pytest.mark.parametrize("form", FORMS)
def test_messages_are_found_in_the_forms_in_which_servers_log_them(form: str, tmp_path: Path) -> None:
    """Two calls at the same time, so that a form that loses the stream of a message mixes voices."""
    messages = [start("CA1", "MZ1", customParameters={"name": "Ada"}), start("CA2", "MZ2")]
    for n in range(10):
        messages += [media("MZ1", 20 * n, A), media("MZ2", 20 * n, B), media("MZ1", 20 * n, AGENT, "outbound")]
    text = FORMS[form]([json.dumps(message) for message in messages])
    source = tmp_path / "calls.log"
    source.write_bytes(text if isinstance(text, bytes) else text.encode())
    made = import_call(source, tmp_path / "calls")
    assert made.problems == []
    assert [voices(journal) for journal in made.journals] == [({0x11}, {0x33}), ({0x22}, set())]


def test_a_gzip_file_that_is_cut_off_is_read_to_its_end(tmp_path: Path) -> None:
    # Random audio is not compressed much, so the messages before the cut are complete.
    noise = [random.Random(n).randbytes(160) for n in range(200)]
    messages = [start("CA1", "MZ1"), *(media("MZ1", 20 * n, it) for n, it in enumerate(noise))]
    lines = [json.dumps(each) for each in messages]
    (tmp_path / "a.log").write_bytes(gzip.compress("\n".join(lines).encode())[:-5000])
    made = import_call(tmp_path / "a.log", tmp_path / "calls")
    assert len(made.journals) == 1 and made.problems[-1] == "the gzip file is truncated or damaged"


def test_a_compressed_recording_is_named(tmp_path: Path) -> None:
    (tmp_path / "call.wav.gz").write_bytes(gzip.compress(wav_header(1, 1, 8000, 16, 320) + bytes(320)))
    with pytest.raises(JournalError, match=r"is a WAV file in a gzip file\. Unpack it first: gunzip"):
        import_call(tmp_path / "call.wav.gz", tmp_path / "calls")


@pytest.mark.parametrize("text", ['{"event":' * 50_000, "{" * 500_000, '[{"event":"media",' * 50_000])
def test_a_line_of_any_shape_is_read_in_a_bounded_time(text: str) -> None:
    began_s = time.process_time()
    assert read_log([text + "streamSid"])[0] == []
    assert time.process_time() - began_s < 5, "without a bound it takes minutes"


def test_a_log_without_audio_is_refused(tmp_path: Path) -> None:
    with pytest.raises(JournalError, match="no audio"):
        import_twilio(write(tmp_path / "a.log", start("CA1", "MZ1"), stop("CA1", "MZ1")), tmp_path)


@pytest.mark.parametrize("format", ["WAV", "RF64", "FLAC", "MP3", "OGG"])
def test_a_stereo_recording_of_any_kind(format: str, tmp_path: Path) -> None:
    t = np.arange(32_000) / 16_000
    sides = np.stack([np.sin(2 * np.pi * 300 * t), np.sin(2 * np.pi * 700 * t) * (t > 1)], axis=1) * 0.4
    soundfile.write(tmp_path / "take.dat", sides, 16_000, format=format)
    (journal,) = import_call(tmp_path / "take.dat", tmp_path / "calls").journals
    call = collect(read_journal(journal))
    assert abs(call.duration_ms - 2000) < 120
    assert set(bytes(rebuild(call).agent)[:7000]) <= {0xFF, 0x7F, 0xFE, 0x7E, 0xFD, 0x7D} or format in ("MP3", "OGG")


def test_the_import_command_reports_a_failure_in_a_line_and_a_hint(tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    for name, content in {
        "tagged.mp3": b"ID3\3" + bytes(9),
        "a.m4a": b"\0\0\0\x20ftypM4A " + bytes(50),
        "e.log": b"",
        "x.pdf": b"%PDF-1.7",
    }.items():
        (tmp_path / name).write_bytes(content)
    soundfile.write(tmp_path / "mono.wav", np.zeros(800), 8000)
    for name in ("missing.wav", "missing.log", "folder", "tagged.mp3", "a.m4a", "e.log", "mono.wav", "x.pdf"):
        done = CliRunner().invoke(app, ["calls", "import", str(tmp_path / name), "--folder", str(tmp_path / "calls")])
        result = done.output.strip().splitlines()
        assert done.exit_code in (1, 2) and len(result) == 2 and "hint: " in result[1], (name, done.output)
        assert name in result[0], result
    assert not (tmp_path / "calls").exists()


def test_the_command_names_what_was_left_out(tmp_path: Path) -> None:
    log = write(tmp_path / "a.log", start("CA1", "MZ1"), media("MZ1", "0", A), *[ODD["cut off"]] * 12)
    done = CliRunner().invoke(app, ["calls", "import", str(log), "--folder", str(tmp_path / "calls")])
    assert done.exit_code == 0 and "line 3: " in done.output and "2 more problems" in done.output


@pytest.mark.parametrize("options", [{}, {"caller": "simulated"}, {"caller": "demo"}])
def test_an_imported_call_has_no_model_to_play_back(options: dict[str, Any], tmp_path: Path) -> None:
    log = write(tmp_path / "a.log", start("CA1", "MZ1"), *[media("MZ1", str(20 * n), A) for n in range(50)])
    (journal,) = import_twilio(log, tmp_path / "calls").journals
    with pytest.raises(ReplayError, match="--mode embedded"):
        replay_call(journal, **options)


# --- recordings of one side, and audio without a header --------------------------------------------------------------

CALLER, OTHER = g711.SILENCE * 8000 + clips.load("booking"), g711.SILENCE * 64000 + clips.load("goodbye")


def alaw(ulaw: bytes) -> bytes:
    """The same as A-law, by libsndfile."""
    file = io.BytesIO()
    samples = np.frombuffer(g711.decode(ulaw), "<i2")
    soundfile.write(file, samples, 8000, format="RAW", subtype="ALAW")
    return file.getvalue()


def sides(journal: Path) -> tuple[bytes, bytes]:
    call = collect(read_journal(journal))
    return bytes(call.caller), bytes(rebuild(call).agent)


def near(got: bytes, wanted: bytes) -> bool:
    """Whether this is the same voice: A-law and resampling change the samples a little."""
    one, other = (
        np.frombuffer(g711.decode(it[: len(wanted)].ljust(len(wanted), b"\xff")), "<i2") for it in (got, wanted)
    )
    return bool(np.abs(one.astype(int) - other).mean() < 60)


@pytest.mark.parametrize("format", ["WAV", "FLAC"])
def test_a_file_for_each_side(format: str, tmp_path: Path) -> None:
    for name, side in (("caller", CALLER), ("agent", OTHER)):
        samples = np.frombuffer(g711.decode(side), "<i2")
        soundfile.write(tmp_path / f"{name}.dat", samples, 8000, format=format)
    made = import_call(tmp_path / "caller.dat", tmp_path / "calls", agent_side=tmp_path / "agent.dat")
    caller, agent = sides(made.journals[0])
    assert near(caller, CALLER) and near(agent, OTHER)


@pytest.mark.parametrize(
    ("name", "data", "raw"),
    [
        ("a.ulaw", CALLER, None),
        ("a.AL", alaw(CALLER), None),
        ("a.bin", CALLER, "ulaw"),
        ("a.raw", alaw(CALLER), "alaw"),
    ],
)
def test_audio_without_a_header(name: str, data: bytes, raw: str | None, tmp_path: Path) -> None:
    (tmp_path / name).write_bytes(data)
    arguments = ["calls", "import", str(tmp_path / name), "--caller-only", "--folder", str(tmp_path / "calls")]
    done = CliRunner().invoke(app, arguments + (["--raw", raw] if raw else []))
    assert done.exit_code == 0 and "telephony eval" in done.output, done.output
    (journal,) = (tmp_path / "calls").glob("*/journal.jsonl")
    caller, agent = sides(journal)
    assert near(caller, CALLER) and set(agent) <= {0xFF}


def test_a_clip_in_a_law_is_played_as_it_sounds(tmp_path: Path) -> None:
    (tmp_path / "clip.alaw").write_bytes(alaw(CALLER))
    assert near(load_ulaw(tmp_path / "clip.alaw"), CALLER)


def test_where_the_caller_speaks_is_found(tmp_path: Path) -> None:
    (tmp_path / "a.ulaw").write_bytes(CALLER + g711.SILENCE * 16000 + clips.load("goodbye") + g711.SILENCE * 8000)
    (tmp_path / "b.ulaw").write_bytes(OTHER)
    (journal,) = import_call(tmp_path / "a.ulaw", tmp_path / "calls", agent_side=tmp_path / "b.ulaw").journals
    call = collect(read_journal(journal))
    assert len(call.speech) == 2 and abs(call.speech[0].start_ms - 1000) < 200
    turns = turns_of(call, rebuild(call))
    assert [bool(turn.voice) for turn in turns] == [True, True]
    assert turns[0].cue is not Cue.INTO, "the agent's silence is no speech"


def test_an_imported_call_is_replayed_turn_by_turn(tmp_path: Path) -> None:
    (tmp_path / "a.ulaw").write_bytes(CALLER + g711.SILENCE * 16000)
    (journal,) = import_call(tmp_path / "a.ulaw", tmp_path / "calls", caller_only=True).journals
    call = replay_call(journal, RESTAURANT, caller="simulated", model="trattoria", turns="retimed")
    assert call.called("book_table")


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["mono.wav"], "--agent-side FILE or --caller-only"),
        (["stereo.wav", "--agent-side", "mono.wav"], "has 2 channels"),
        (["mono.wav", "--agent-side", "stereo.wav"], "has 2 channels"),
        (["mono.wav", "--agent-side", "none.wav"], "none.wav does not exist"),
        (["mono.wav", "--agent-side", "mono.wav", "--caller-only"], "belongs to one recording"),
        (["mono.wav", "stereo.wav", "--agent-side", "mono.wav"], "belongs to one recording"),
        (["a.log", "--caller-only"], "no recording of one side"),
    ],
)
def test_sides_that_do_not_fit_are_refused(arguments: list[str], says: str, tmp_path: Path) -> None:
    soundfile.write(tmp_path / "mono.wav", np.zeros(800), 8000)
    soundfile.write(tmp_path / "stereo.wav", np.zeros((800, 2)), 8000)
    write(tmp_path / "a.log", start("CA1", "MZ1"), media("MZ1", "0", A))
    paths = [it if it.startswith("--") else str(tmp_path / it) for it in arguments]
    done = CliRunner().invoke(app, ["calls", "import", *paths, "--folder", str(tmp_path / "calls")])
    assert done.exit_code in (1, 2) and says in done.output, done.output
    assert not (tmp_path / "calls").exists()


def test_several_files_at_once_and_one_that_cannot_be_used(tmp_path: Path) -> None:
    soundfile.write(tmp_path / "stereo.wav", np.zeros((800, 2)), 8000)
    (tmp_path / "x.pdf").write_bytes(b"%PDF-1.7")
    log = write(tmp_path / "a.log", start("CA1", "MZ1"), media("MZ1", "0", A))
    sources = [str(tmp_path / "stereo.wav"), str(tmp_path / "x.pdf"), str(log)]
    done = CliRunner().invoke(app, ["calls", "import", *sources, "--folder", str(tmp_path / "calls")])
    assert done.exit_code == 1 and "x.pdf" in done.output and "Skipped." in done.output
    assert sorted(path.name for path in (tmp_path / "calls").iterdir()) == ["CA1", "CAstereo"]


def test_an_imported_call_is_offered_an_eval_and_is_no_test(tmp_path: Path) -> None:
    log = write(tmp_path / "a.log", start("CA1", "MZ1"), *[media("MZ1", str(20 * n), A) for n in range(50)])
    (journal,) = import_twilio(log, tmp_path / "calls").journals
    with pytest.raises(ReplayError, match="Use `telephony eval`"):
        replay_call(journal)
    done = CliRunner().invoke(
        app, ["calls", "test", "add", str(journal), "--name", "x", "--into", str(tmp_path / "tests")]
    )
    assert done.exit_code == 1 and "no recorded model" in done.output and "telephony eval" in done.output
    assert not (tmp_path / "tests").exists()
