"""Tests in a real browser: Chromium with a fake microphone, a server in its own process, and the audio that was
played."""

from __future__ import annotations

import base64
import json
import os
import re
import shutil
import signal
import subprocess
import time
import wave
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soxr
from numpy.typing import NDArray

from realtime_core.audio import g711
from telephony.simulator import clips
from tests.support import commands

TRATTORIA = Path(__file__).parents[2] / "realtime_core/local/scripts/trattoria.toml"
RATE = 8000
PIECE_S = 0.2
PIECE = round(PIECE_S * RATE)
ALIKE = 0.5
"""The correlation of a piece of a voice with the piece that is heard. The browser's noise suppression takes some."""

# What reaches the loudspeaker is recorded at the one place where it has to pass.
RECORD_OUTPUT = """
window.played = []
window.playedRight = []
window.playedAt = [] // the time of the wall clock at which each piece of `played` was read, in ms
const connect = AudioNode.prototype.connect
AudioNode.prototype.connect = function (target, ...rest) {
  if (target instanceof AudioDestinationNode) record(this)
  return connect.call(this, target, ...rest)
}
async function record(node) {
  window.playedRate = node.context.sampleRate
  const tap = node.context.createMediaStreamDestination()
  connect.call(node, tap)
  const [track] = tap.stream.getAudioTracks()
  const reader = new MediaStreamTrackProcessor({ track, maxBufferSize: 1000 }).readable.getReader()
  for (;;) {
    const { value: data, done } = await reader.read()
    if (done) return
    const samples = new Float32Array(data.numberOfFrames)
    data.copyTo(samples, { planeIndex: 0, format: "f32-planar" })
    window.played.push(samples.slice())
    window.playedAt.push(performance.timeOrigin + performance.now())
    if (data.numberOfChannels > 1) {
      data.copyTo(samples, { planeIndex: 1, format: "f32-planar" })
      window.playedRight.push(samples.slice())
    }
    data.close()
  }
}
"""

# What the page takes from the microphone is recorded, with the times.
RECORD_MICROPHONE = """
window.captured = []
window.capturedAt = []
const getUserMedia = MediaDevices.prototype.getUserMedia
MediaDevices.prototype.getUserMedia = async function (...given) {
  const stream = await getUserMedia.apply(this, given)
  capture(stream.getAudioTracks()[0].clone())
  return stream
}
async function capture(track) {
  const reader = new MediaStreamTrackProcessor({ track, maxBufferSize: 1000 }).readable.getReader()
  for (;;) {
    const { value: data, done } = await reader.read()
    if (done) return
    window.capturedRate = data.sampleRate
    const samples = new Float32Array(data.numberOfFrames)
    data.copyTo(samples, { planeIndex: 0, format: "f32-planar" })
    window.captured.push(samples)
    window.capturedAt.push(performance.timeOrigin + performance.now())
    data.close()
  }
}
"""

# A list of numbers would take a second of the CPU for each second of audio.
AS_BASE64 = """async name => {
  const reader = new FileReader()
  await new Promise(done => {
    reader.onload = done
    reader.readAsDataURL(new Blob(window[name]))
  })
  return reader.result.split(",")[1]
}"""


def chromium() -> str:
    """Where Chromium is, or skip the test."""
    pytest.importorskip("playwright.sync_api", reason="the package playwright is not installed")
    for name in ("chromium", "chromium-browser", "google-chrome"):
        if (path := shutil.which(name)) is not None:
            return path
    pytest.skip("no Chromium on PATH (Debian: apt-get install chromium)")


def flags(microphone: Path) -> list[str]:
    quiet = ["background-networking", "component-update", "default-apps", "extensions", "gpu", "sync"]
    return [
        "--use-fake-device-for-media-stream",
        "--use-fake-ui-for-media-stream",
        f"--use-file-for-fake-audio-capture={microphone}",
        "--no-first-run",
        *(f"--disable-{name}" for name in quiet),
        *(["--no-sandbox"] if os.geteuid() == 0 else []),
    ]


def microphone(path: Path, clip: str, *, silence_s: float) -> Path:
    """A WAV file that Chromium takes for a microphone: the clip, a silence, and again."""
    voice = soxr.resample(np.frombuffer(g711.decode(clips.load(clip)), "<i2"), RATE, 48000)
    with wave.open(str(path), "wb") as file:
        file.setparams((1, 2, 48000, 0, "NONE", ""))
        file.writeframes(np.append(voice, np.zeros(int(silence_s * 48000), np.int16)).astype("<i2").tobytes())
    return path


@contextmanager
def serving(environment: Mapping[str, str], *arguments: str) -> Iterator[str]:
    """The address of `telephony serve`."""
    process = commands.start(
        *("-m", "telephony", "serve", "--port", "0", "--json", *arguments),
        env={**os.environ, "LOG_LEVEL": "warning", **environment},
        stdout=subprocess.PIPE,
    )
    try:
        assert process.stdout is not None
        yield str(json.loads(process.stdout.readline())["listening"])
    finally:
        process.send_signal(signal.SIGINT)
        try:
            process.wait(60)
        finally:
            process.kill()
            process.wait()
            assert process.stdout is not None
            process.stdout.close()


@dataclass
class Watched:
    """A page, its complaints and its requests."""

    page: Any
    complaints: list[str] = field(default_factory=list)
    requests: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.page.on("pageerror", lambda error: self.complaints.append(str(error)))
        self.page.on("console", lambda m: self.complaints.append(m.text) if m.type in ("error", "warning") else None)
        self.page.on("request", lambda request: self.requests.append(request.url))

    def until(self, condition: str, within_s: float = 60) -> None:
        """Wait until a JavaScript expression is true. (`wait_for_function` needs `eval`, which the page forbids.)

        The page itself asks every 20 ms. A question from here would take some milliseconds of three processes each
        time. A page that is left for another one is asked again.
        """
        from playwright.sync_api import Error

        deadline = time.monotonic() + within_s
        wait = f"""async left => {{
          const end = performance.now() + left
          while (!await ({condition})) {{
            if (performance.now() > end) return false
            await new Promise(done => setTimeout(done, 20))
          }}
          return true
        }}"""
        while True:
            left = deadline - time.monotonic()
            assert left > 0, f"not so after {within_s:g} s: {condition}; page: {self.complaints}"
            try:
                if self.page.evaluate(wait, left * 1000):
                    return
            except Error as error:
                if "context was destroyed" not in str(error):
                    raise

    def played(self, name: str = "played") -> NDArray[np.float64]:
        """What went to the loudspeaker, at 8 kHz: the left side, or `playedRight`."""
        samples = np.frombuffer(base64.b64decode(self.page.evaluate(AS_BASE64, name)), "<f4").astype(np.float64)
        return np.asarray(soxr.resample(samples, self.page.evaluate("window.playedRate"), RATE))


@dataclass
class Sound:
    """Audio at 8 kHz, and the time of the wall clock at which it began, in seconds."""

    samples: NDArray[np.float64]
    began_s: float

    def part(self, at_s: float, length_s: float) -> NDArray[np.float64]:
        """The audio from this time of the wall clock on."""
        first = max(0, round((at_s - self.began_s) * RATE))
        return self.samples[first : first + round(length_s * RATE)]


def sound(watched: Watched, name: str) -> Sound:
    """Returns the sound that a page `played` or `captured`. A busy page reads a piece late, and never early. Therefore
    the earliest of all readings has the time of the audio.
    """
    sizes, times, rate = watched.page.evaluate(
        "name => [window[name].map(it => it.length), window[`${name}At`], window[`${name}Rate`]]", name
    )
    samples = np.frombuffer(base64.b64decode(watched.page.evaluate(AS_BASE64, name)), "<f4").astype(np.float64)
    began_s = float(np.min(np.array(times[: len(sizes)]) / 1000 - np.cumsum(sizes) / rate))
    return Sound(np.asarray(soxr.resample(samples, rate, RATE)), began_s)


def delays(spoken: Sound, heard: Sound, *, within_s: float = 2.0) -> list[float]:
    """After how many seconds the loud pieces of a voice are heard. Only pieces with nearly the same delay count: other
    sounds resemble a piece at any place."""
    places = []
    for first in loud_pieces(spoken.samples):
        at_s = spoken.began_s + first / RATE
        window = heard.part(at_s, PIECE_S + within_s)
        if at_s < heard.began_s or len(window) <= PIECE:
            continue
        place, score = find(spoken.samples[first : first + PIECE], window)
        if score > ALIKE:
            places.append(place)
    return [place / RATE for place in _nearly_the_same(places)]


def pieces_heard(voice: NDArray[Any], sound: NDArray[Any]) -> int:
    """How many loud pieces of a voice are heard in the sound in the same distances as in the voice. Three of them are
    the voice: another voice has one, because pieces of speech are alike. A machine with too much work makes gaps, and
    loses only the pieces with a gap.
    """
    found = [(first, *find(voice[first : first + PIECE], sound)) for first in loud_pieces(voice)]
    return len(_nearly_the_same([place - first for first, place, score in found if score > ALIKE]))


def loud_pieces(voice: NDArray[Any]) -> list[int]:
    """The first sample of each piece of `PIECE_S` that has speech."""
    firsts = range(0, len(voice) - PIECE, PIECE)
    return [first for first in firsts if np.abs(voice[first : first + PIECE]).max() > 0.1]


def _nearly_the_same(places: list[int]) -> list[int]:
    """The largest group of these places that lie within 0.1 s."""
    groups = ([one for one in places if 0 <= one - least <= 0.1 * RATE] for least in places)
    return max(groups, key=len, default=[])


def screenshot(page: Any, name: str) -> None:
    """Saves a screenshot in the folder SCREENSHOTS, for people."""
    if folder := os.environ.get("SCREENSHOTS"):
        page.screenshot(path=f"{folder}/{name}.png", full_page=True)


def screenshots(page: Any, name: str) -> None:
    """Kept where SCREENSHOTS says: both widths, in both themes."""
    if "SCREENSHOTS" not in os.environ:
        return
    for width, height in ((390, 844), (1280, 860)):
        page.set_viewport_size({"width": width, "height": height})
        for theme in ("dark", "light"):
            page.emulate_media(color_scheme=theme)
            page.wait_for_timeout(100)
            screenshot(page, f"{name}-{width}-{theme}")


def accessibility_problems(page: Any) -> list[str]:
    """Returns the problems that axe-core finds on the page: all rules in the light theme, and the contrast in the dark
    one.

    The check reads a copy of the page without scripts. It takes a second of the CPU, and a call of the page would lose
    its audio during this time.
    """
    from axe_playwright_python.sync_playwright import Axe  # type: ignore[import-untyped]

    html = re.sub(r"<script\b.*?</script>", "", page.evaluate("document.documentElement.outerHTML"), flags=re.DOTALL)
    copy = page.context.new_page()
    copy.route(page.url, lambda route: route.fulfill(body=f"<!doctype html>{html}", content_type="text/html"))
    copy.goto(page.url)
    copy.evaluate(Axe().axe_script)
    found = []
    for theme, options in (("light", {}), ("dark", {"runOnly": ["color-contrast"]})):
        copy.emulate_media(color_scheme=theme)
        run = "async options => (await axe.run(options)).violations"
        for violation in copy.evaluate(run, {"resultTypes": ["violations"], **options}):
            where = ", ".join(node["html"][:120] for node in violation["nodes"][:3])
            found.append(f"{theme}: {violation['id']}: {violation['help']}: {where}")
    copy.close()
    return found


def await_file(path: Path, text: str, within_s: float = 60) -> None:
    """Wait until a file holds a text."""
    deadline = time.monotonic() + within_s
    while not path.exists() or text not in path.read_text():
        assert time.monotonic() < deadline, f"{path} does not hold {text!r}"
        time.sleep(0.02)


def find(reference: NDArray[Any], sound: NDArray[Any]) -> tuple[int, float]:
    """Where `reference` lies in `sound`, and the normalised correlation there."""
    n = 1 << (len(sound) + len(reference)).bit_length()
    products = np.fft.irfft(np.fft.rfft(sound, n) * np.conj(np.fft.rfft(reference, n)))[: len(sound) - len(reference)]
    sums = np.concatenate(([0.0], np.cumsum(sound**2)))
    energies = (sums[len(reference) :] - sums[: -len(reference)])[: len(products)]
    scores = products / np.sqrt(np.maximum(energies, 1e-9) * np.sum(reference**2))
    best = int(np.argmax(scores))
    return best, float(scores[best])
