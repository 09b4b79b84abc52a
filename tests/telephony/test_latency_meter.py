"""Latencies at the caller's ear: by themselves, and on whole calls against the figures of the journal."""

from __future__ import annotations

from typing import Any

import pytest

from telephony.call.line.latency import Latency, LatencyKind, LatencyMeter
from telephony.journal.audio import rebuild
from telephony.journal.collector import collect
from telephony.journal.figures import figures_of
from telephony.journal.format import Record
from telephony.simulator.handset import Handset
from telephony.simulator.line import Line
from tests.support.phone_calls import PhoneCall, phone_call

QUIET, LOUD = 20, 6000


class Heard:
    def __init__(self) -> None:
        self.latencies: list[Latency] = []
        self.meter = LatencyMeter(self.latencies.append)
        self.at = 0.0

    def frames(self, level: int, seconds: float) -> None:
        for _ in range(round(seconds / 0.02)):
            self.meter.frame(self.at, level)
            self.at = round(self.at + 0.02, 6)

    def of(self, kind: LatencyKind) -> list[float]:
        return [round(each.seconds, 3) for each in self.latencies if each.kind is kind]


def test_a_response_counts_from_the_end_of_the_voice_and_not_from_its_detection() -> None:
    heard = Heard()
    heard.frames(QUIET, 1.0)
    heard.frames(LOUD, 1.0)
    heard.meter.speech_started()
    heard.frames(LOUD, 1.0)
    heard.frames(QUIET, 0.5)
    heard.meter.speech_stopped()
    heard.meter.heard(3.8, is_clip=False)
    heard.meter.heard(4.8, is_clip=False)
    assert heard.of(LatencyKind.RESPONSE) == [0.8]


@pytest.mark.parametrize("is_clip", [True, False])
def test_the_first_word_may_be_a_clip_and_an_answer_may_not(is_clip: bool) -> None:
    heard = Heard()
    heard.frames(LOUD, 1.0)
    heard.meter.speech_started()
    heard.meter.speech_stopped()
    heard.meter.heard(1.4, is_clip=is_clip)
    assert heard.of(LatencyKind.FIRST_WORD) == [1.4]
    assert heard.of(LatencyKind.RESPONSE) == ([] if is_clip else [0.4])


def test_a_barge_in_counts_from_the_first_loud_frame_of_the_utterance() -> None:
    heard = Heard()
    heard.frames(LOUD, 0.5)  # another utterance
    heard.frames(QUIET, 1.0)
    heard.frames(LOUD, 0.2)
    heard.frames(QUIET, 0.1)  # a pause within it
    heard.frames(LOUD, 0.2)
    heard.meter.speech_started()
    heard.meter.silenced(2.1)
    assert heard.of(LatencyKind.BARGE_IN) == [0.6]


@pytest.mark.parametrize("before", ["nothing", "silence"])
def test_a_voice_that_was_not_heard_gives_no_response(before: str) -> None:
    heard = Heard()
    if before == "silence":
        heard.frames(QUIET, 1.0)
    heard.meter.speech_started()
    heard.meter.speech_stopped()
    heard.meter.heard(2.0, is_clip=False)
    assert heard.of(LatencyKind.RESPONSE) == []


@pytest.mark.parametrize(
    ("silence_s", "counts"), [(13.0, False), (16.0, True), (25.0, True), (29.0, True), (70.0, True)]
)
def test_a_loud_noise_hides_a_quiet_voice_for_15_seconds(silence_s: float, counts: bool) -> None:
    heard = Heard()
    heard.frames(20_000, 0.1)
    heard.frames(QUIET, silence_s)
    heard.frames(500, 0.4)
    heard.meter.speech_started()
    heard.meter.speech_stopped()
    heard.meter.heard(heard.at + 1.0, is_clip=False)
    assert heard.of(LatencyKind.RESPONSE) == [1.0 if counts else silence_s + 1.4]


def test_another_stream_has_another_clock() -> None:
    heard = Heard()
    heard.frames(LOUD, 1.0)
    heard.meter.speech_started()
    heard.meter.speech_stopped()
    heard.meter.stream_started()
    heard.meter.heard(5.0, is_clip=False)
    assert heard.of(LatencyKind.RESPONSE) == []


async def talks(phone: Handset) -> None:
    for _ in range(2):
        await phone.agent_speaks()
        await phone.agent_silent(1.0)
        await phone.say("hello")
    await phone.agent_speaks()
    await phone.heard(0.5)
    await phone.say("hello")
    await phone.agent_silent(0.5)
    phone.hang_up()


def records_of(call: PhoneCall) -> list[Record]:
    return [Record(t, kind, fields) for t, kind, fields in call.records.all]


@pytest.mark.virtual_time
@pytest.mark.parametrize(
    "line", [Line(seed=1), Line(round_trip_s=0.18, start_delay_s=0.03, seed=2)], ids=["near", "far"]
)
async def test_latencies_of_a_call_agree_with_its_journal(line: Line) -> None:
    measured: list[Latency] = []
    options: dict[str, Any] = {"on_latency": measured.append}
    call = await phone_call(talks, line=line, **options)
    recorded = collect(records_of(call))
    figures = figures_of(recorded, rebuild(recorded))
    responses = [each.seconds * 1000 for each in measured if each.kind is LatencyKind.RESPONSE]
    assert [each.ms for each in figures.latencies] == pytest.approx(responses, abs=40)
    (first,) = [each.seconds * 1000 for each in measured if each.kind is LatencyKind.FIRST_WORD]
    assert first == pytest.approx(figures.greeting_ms, abs=40)
    (barge_in,) = [each for each in measured if each.kind is LatencyKind.BARGE_IN]
    (silence,) = figures.silences
    assert barge_in.at_s * 1000 == pytest.approx(silence.to_ms, abs=40)
    assert barge_in.seconds * 1000 > silence.ms, "it counts from the voice, not from its detection"
