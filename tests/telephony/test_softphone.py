"""The softphone in a real browser: one call, with a voice at its microphone, from the first word to the hang-up."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import numpy as np
import pytest
from numpy.typing import NDArray

import telephony.console
from benchmarks.extent import extent
from realtime_core.audio import g711
from telephony.journal.audio import pcm_of, voice_of
from telephony.journal.collector import collect
from telephony.journal.reader import read_journal
from telephony.journal.recorded import RecordedCall
from telephony.simulator import clips
from tests.support.browser import (
    PIECE,
    RATE,
    RECORD_OUTPUT,
    TRATTORIA,
    Watched,
    await_file,
    find,
    loud_pieces,
    pieces_heard,
    screenshot,
    serving,
)
from tests.support.shared_browser import speak
from tests.support.sites import SETUPS, site

pytestmark = [pytest.mark.browser, pytest.mark.real_time]

STATIC = Path(telephony.console.__file__).parent / "static"
MAX_PAGE_BYTES = 200_000
LINES = "[...document.querySelectorAll('#lines li')]"


def heard_of(kind: str, text: str) -> str:
    """JavaScript: has a line of this kind with this text been heard (or said) so far?"""
    said = f"li.querySelector('{'.heard' if kind == 'agent' else '.text'}').textContent"
    return f"{LINES}.some(li => li.classList.contains('{kind}') && {said}.includes('{text}'))"


@dataclass
class Rung:
    address: str
    watched: Watched
    journal: RecordedCall
    played: NDArray[Any]
    status: str
    bytes_loaded: int

    def voice(self, begins: str) -> NDArray[Any]:
        """Returns the model's audio of the answer that begins with this text, at 8 kHz."""
        part = next(p for p in self.journal.parts.values() if p.transcript.startswith(begins))
        return pcm_of(voice_of(part, self.journal.output_format)).astype(np.float64) / 32768


@pytest.fixture(scope="module", params=SETUPS)
def rung(browser: Any, request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Rung]:
    """Makes a whole call. The microphone repeats one sentence, and the mute button decides when it is heard."""
    folder = tmp_path_factory.mktemp("softphone")
    speak("booking", silence_s=2.0)
    environment = {"TELEPHONY_SCRIPT": str(TRATTORIA), "TELEPHONY_JOURNAL_DIR": str(folder)}
    with site(request.param, folder, environment) as it:
        context = browser.new_context(viewport={"width": 1280, "height": 860}, permissions=["microphone"])
        it.log_in(context)
        context.add_init_script(RECORD_OUTPUT)
        watched = Watched(context.new_page())
        page = watched.page
        sizes: list[int] = []
        page.on("response", lambda r: sizes.append(int(r.headers.get("content-length", "0"))))
        page.goto(f"{it.address}/console/phone")
        watched.until("!document.querySelector('#call').disabled")
        bytes_loaded = sum(sizes)

        page.click("#mute")
        ring(watched)
        watched.until(heard_of("agent", "How can I help you?"))
        it.kill_another(watched)
        page.click("#mute")
        watched.until(heard_of("caller", "Hello. For two, Friday, at seven P.M."))
        page.click("#mute")
        watched.until(heard_of("agent", "Tonight we serve"))
        page.click("#mute")
        watched.until("document.querySelector('li.agent.cut')")
        watched.until(heard_of("caller", "sorry. Hours?"))
        page.click("#mute")
        watched.until(heard_of("agent", "press one."))
        screenshot(page, "softphone-1280")
        page.focus("#keypad button")
        page.keyboard.press("1")
        watched.until(heard_of("agent", "Every day, from noon until eleven."))
        page.set_viewport_size({"width": 390, "height": 844})
        screenshot(page, "softphone-390")
        page.click("#call")
        watched.until("document.body.dataset.state === 'over'")
        (file,) = folder.glob("*/journal.jsonl")
        await_file(file, '"kind":"end"')
        yield Rung(
            it.address,
            watched,
            collect(read_journal(file)),
            watched.played(),
            page.inner_text("#status"),
            bytes_loaded,
        )
        context.close()


def ring(watched: Watched) -> None:
    """Presses Call, and presses it again if the line is busy, which happens while this machine has too much work."""
    for _ in range(10):
        watched.page.focus("#call")
        watched.page.keyboard.press("Enter")
        watched.until("['live', 'over'].includes(document.body.dataset.state)")
        if "busy" not in watched.page.inner_text("#status"):
            return
        watched.page.wait_for_timeout(500)


def test_the_callers_voice_arrives(rung: Rung) -> None:
    said = pcm_of(clips.load("booking")).astype(np.float64) / 32768
    assert pieces_heard(said, pcm_of(bytes(rung.journal.caller)).astype(np.float64)) >= 3
    assert rung.journal.gaps == 0
    assert rung.journal.malformed == 0


def test_the_agents_voice_is_heard(rung: Rung) -> None:
    greeting = rung.voice("Hello, this is Trattoria Blu")
    assert pieces_heard(greeting, rung.played) >= extent(3, len(loud_pieces(greeting)) - 1)


def test_an_interruption_silences_the_agent_where_the_model_was_informed(rung: Rung) -> None:
    """The limit of 200 ms belongs to `make proof`."""
    answer = rung.voice("Your table for two")
    assert pieces_heard(answer, rung.played) >= 3
    ((_, told_ms),) = rung.journal.interruptions[0].truncations
    assert abs(heard_ms(answer, rung.played) - told_ms) < extent(1000, 200)
    assert told_ms < len(answer) / 8 - 1000, "most of it was not said any more"


def heard_ms(answer: NDArray[Any], played: NDArray[Any]) -> float:
    """How much of an answer plays, ms: until half a second of it is missing. A machine with too much work makes gaps of
    at most 0.3 s.
    """
    frame, end, late = RATE // 50, 0, find(answer[: 2 * RATE], played)[0]
    for first in range(0, len(answer) - PIECE, frame):
        piece, window = answer[first : first + PIECE], played[first + late : first + late + PIECE + 3 * RATE // 10]
        if np.abs(piece).max() < 0.1 or len(window) <= PIECE:
            continue
        place, score = find(piece, window)
        if score > 0.98:
            end, late = first + PIECE, late + place
        elif first - end > RATE // 2:
            break
    return end / 8


def test_keys_arrive(rung: Rung) -> None:
    assert len(rung.journal.keys) == 1
    find(rung.voice("Every day, from noon until eleven."), rung.played)


def test_hanging_up_ends_the_call(rung: Rung) -> None:
    assert rung.status == "Over: you hung up"
    assert rung.journal.end is not None
    assert rung.journal.end["reason"] == "hung up"


def test_every_mark_came_back(rung: Rung) -> None:
    marks = rung.journal.marks
    assert len(marks) > 50
    lost = [mark for mark in marks if mark.back_t is None]
    assert all(mark.t > marks[-1].t - 1 for mark in lost), "but what hanging up cut off"
    assert any(mark.flushed for mark in marks)


def test_what_was_cut_off_is_shown_as_not_heard(rung: Rung) -> None:
    heard, rest = rung.watched.page.eval_on_selector(
        "li.agent.cut", "li => [li.querySelector('.heard').textContent, li.querySelector('.rest').textContent]"
    )
    assert heard.startswith("Your table for two on Friday at seven is booked. Tonight we serve")
    assert "For dessert there is tiramisu" in rest


def test_each_turn_shows_its_latency(rung: Rung) -> None:
    shown = rung.watched.page.inner_text("#lines")
    assert shown.count("after ") >= 3
    assert rung.watched.page.text_content("#median").endswith(" s")


def test_the_page_is_small_silent_and_requests_no_other_host(rung: Rung) -> None:
    assert rung.watched.complaints == []
    assert {urlsplit(url).netloc for url in rung.watched.requests} == {urlsplit(rung.address).netloc}
    assert 0 < rung.bytes_loaded < MAX_PAGE_BYTES


def test_the_page_can_be_used_without_eyes_and_mouse(rung: Rung) -> None:
    page = rung.watched.page
    assert page.eval_on_selector_all("button", "all => all.filter(b => !b.textContent.trim()).length") == 0
    named = "all => all.filter(one => !one.labels.length && !one.ariaLabel).length"
    assert page.eval_on_selector_all("input, select", named) == 0
    assert page.eval_on_selector_all("#told p", "all => all.length") >= 5, "each line is told once, when complete"
    assert page.get_by_role("button", name="Call", exact=True).count() == 1


# --- other calls -------------------------------------------------------------------------------------------------


@contextmanager
def page_of(browser: Any, folder: Path, environment: Mapping[str, str]) -> Iterator[Watched]:
    """The page of a server with these settings, in a context of its own, with a voice that says hello."""
    speak("hello", silence_s=5.0)
    ours = {"TELEPHONY_SCRIPT": str(TRATTORIA), "TELEPHONY_JOURNAL_DIR": str(folder)}
    with serving({**ours, **environment}) as address:
        context = browser.new_context(permissions=["microphone"])
        watched = Watched(context.new_page())
        watched.page.goto(f"{address}/console/phone")
        watched.page.wait_for_selector("#token, #agent b")
        if watched.page.query_selector("#mute"):
            watched.page.click("#mute")
        yield watched
        context.close()


def call_until(watched: Watched, text: str, folder: Path) -> RecordedCall:
    """Call, hear the agent say this, and hang up."""
    ring(watched)
    watched.until(heard_of("agent", text))
    watched.page.click("#call")
    watched.until("document.body.dataset.state === 'over'")
    (file,) = folder.glob("*/journal.jsonl")
    await_file(file, '"kind":"end"')
    return collect(read_journal(file))


def test_a_bad_line(browser: Any, tmp_path: Path) -> None:
    with page_of(browser, tmp_path, {}) as watched:
        watched.page.eval_on_selector_all("details", "all => all.forEach(one => { one.open = true })")
        for slider, value in {"delay": "200", "jitter": "100", "loss": "10"}.items():
            watched.page.fill(f"#{slider}", value)
        call = call_until(watched, "How can I help you?", tmp_path)
        assert call.malformed == 0
        assert call.gaps > 0
        assert int(watched.page.text_content("#lost")) > 0
        assert watched.complaints == []


def test_where_requests_are_signed_a_login_lets_the_page_call(browser: Any, tmp_path: Path) -> None:
    environment = {
        "PUBLIC_URL": "https://phone.example.com", "TWILIO_AUTH_TOKEN": "12345", "TELEPHONY_MODEL": "scripted",
        "TELEPHONY_API_TOKEN": "letmein", "TWILIO_ACCOUNT_SID": "AC" + "1" * 32,
    }  # fmt: skip
    with page_of(browser, tmp_path, environment) as watched:
        page = watched.page
        page.fill("#token", "letmein")
        page.press("#token", "Enter")
        page.wait_for_selector("#call:enabled")
        page.click("#mute")
        call = call_until(watched, "Trattoria Blu", tmp_path)
        assert call.frames > 50
        assert all("401" in complaint for complaint in watched.complaints), "the first question, without the token"


# --- the page's own arithmetic -----------------------------------------------------------------------------------


def test_mu_law_is_the_servers_to_the_bit(rung: Rung) -> None:
    codes, samples = rung.watched.page.evaluate(
        """async () => {
          const { encode, decode } = await import("/console/static/ulaw.js")
          return [Array.from({ length: 65536 }, (_, n) => encode(n - 32768)),
                  Array.from({ length: 256 }, (_, n) => decode(n))]
        }"""
    )
    assert bytes(codes) == g711.encode(np.arange(-32768, 32768, dtype=np.int16).tobytes())
    assert samples == np.frombuffer(g711.decode(bytes(range(256))), np.int16).tolist()


@pytest.mark.parametrize("rate", [16000, 44100, 48000])
def test_the_band_is_flat_and_nothing_folds_into_it(rung: Rung, rate: int) -> None:
    def gain_db(from_: int, to: int, hertz: float, measured_at: float) -> float:
        # The amplitude of one frequency in half a second of the output, in a Hann window. The page computes it: half a
        # million samples would take seconds on their way here.
        amplitude = rung.watched.page.evaluate(
            """async ([from, to, hertz, measuredAt]) => {
              const { Resampler } = await import("/console/static/resampler.js")
              const resampler = new Resampler(from, to)
              const output = []
              for (let at = 0; at < from; at += 128) {
                output.push(...resampler.push(Float32Array.from({ length: 128 }, (_, n) =>
                  Math.sin(2 * Math.PI * hertz * (at + n) / from))))
              }
              const first = Math.floor(to / 10), size = to / 2
              let real = 0, imaginary = 0
              for (let n = 0; n < size; n++) {
                const sample = output[first + n] * (0.5 - 0.5 * Math.cos(2 * Math.PI * n / (size - 1)))
                real += sample * Math.cos(2 * Math.PI * measuredAt / to * n)
                imaginary += sample * Math.sin(2 * Math.PI * measuredAt / to * n)
              }
              return Math.hypot(real, imaginary) / size * 4
            }""",
            [from_, to, hertz, measured_at],
        )
        return float(20 * np.log10(max(1e-9, amplitude)))

    for hertz in (300, 1000, 3400):
        assert abs(gain_db(rate, RATE, hertz, hertz)) < 0.1
        assert abs(gain_db(RATE, rate, hertz, hertz)) < 0.1
        assert gain_db(RATE, rate, hertz, RATE - hertz) < -55
    for hertz in (4700, 6000, 7500):
        assert gain_db(rate, RATE, hertz, RATE - hertz) < -55


def test_the_buffer_plays_as_the_simulated_twilios(rung: Rung) -> None:
    from random import Random

    from telephony.simulator.playout import Playout

    random = Random(3)
    steps = [(random.choice(["media", "mark", "play", "play", "clear"]), random.randrange(1, 400)) for _ in range(400)]
    theirs = rung.watched.page.evaluate(
        """async steps => {
          const { Playout } = await import("/console/static/playout.js")
          const playout = new Playout(), heard = [], marks = []
          steps.forEach(([what, n], step) => {
            if (what === "media") playout.media(new Uint8Array(n).fill(step % 256))
            if (what === "mark") playout.mark(`${step}`)
            if (what === "clear") playout.clear()
            if (what === "play") {
              const ear = new Uint8Array(n)
              playout.play(ear)
              heard.push(...ear)
            }
            marks.push(...playout.due().map(name => [name, step]))
          })
          return [heard, marks, playout.position]
        }""",
        steps,
    )
    ours, marks = Playout(), []
    for step, (what, n) in enumerate(steps):
        due: list[Any] = []
        if what == "media":
            ours.media(bytes([step % 256]) * n)
        elif what == "mark":
            due = ours.mark(str(step))
        elif what == "clear":
            due = ours.clear()[1]
        else:
            due = ours.advance(ours.position + n)
        marks += [[mark.name, step] for mark in due]
    assert theirs == [list(ours.heard), marks, ours.received - ours.buffered]


def test_a_tool_that_failed_is_shown_as_failed(rung: Rung) -> None:
    shown = rung.watched.page.evaluate(
        """async () => {
          const { Conversation } = await import("/console/static/conversation.js")
          const { Transcript } = await import("/console/static/transcript.js")
          const conversation = new Conversation()
          const [list, told] = [document.createElement("ul"), document.createElement("div")]
          const transcript = new Transcript(list, told)
          const start = fields => conversation.record({ kind: "tool.start", arguments: "{}", ...fields })
          const end = fields => conversation.record({ kind: "tool.end", output: "Sorry.", ms: 5, ...fields })
          start({ call_id: "1", name: "book" })
          end({ call_id: "1", name: "book", error: "OSError: x" })
          start({ call_id: "2", name: "look" })
          end({ call_id: "2", name: "look" })
          end({ call_id: "3", name: "ask", error: "KeyError: y" })
          transcript.show(conversation.lines)
          return [...list.children].map(item => [item.classList.contains("failed"), item.innerText])
        }"""
    )
    assert [failed for failed, _ in shown] == [True, False, True]
    assert "failed: OSError: x · the model was told: Sorry." in shown[0][1]
    assert "ask" in shown[2][1]


def test_who_stopped_the_agent_and_who_took_over_are_shown(rung: Rung) -> None:
    shown = rung.watched.page.evaluate(
        """async () => {
          const { Conversation } = await import("/console/static/conversation.js")
          const { Transcript } = await import("/console/static/transcript.js")
          const conversation = new Conversation()
          const [list, told] = [document.createElement("ul"), document.createElement("div")]
          const transcript = new Transcript(list, told)
          for (const cause of ["guardrail", "caller", undefined])
            conversation.record({ kind: "interruption", truncations: [[`item ${cause}`, 0, 1500]], cause })
          conversation.record({ kind: "handoff", from: "Desk", to: "Billing" })
          transcript.show(conversation.lines)
          return [...list.children].map(item => item.textContent)
        }"""
    )
    guardrail, caller, older, handoff = shown
    assert "stopped by a guardrail" in guardrail and "interrupted" not in guardrail
    assert "interrupted: " in caller and "interrupted: " in older
    assert "Desk hands over to Billing" in handoff
