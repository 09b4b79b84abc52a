"""The softphone executes the TwiML: transfers, digits, lost streams, refusals; agents by name, parameters."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import closing, suppress
from typing import Any
from urllib.parse import urlsplit

import pytest

from tests.support.browser import Watched, screenshot, serving
from tests.support.shared_browser import speak

pytestmark = [pytest.mark.browser, pytest.mark.real_time, pytest.mark.xdist_group("processes")]

DESKS = """
from realtime_core import RealtimeAgent, function_tool
from telephony import current_call, hang_up, send_digits, transfer

@function_tool
def table() -> str:
    return "table " + current_call().info.parameters.get("table", "none")

def desk(name):
    return RealtimeAgent(name=name, instructions="Short sentences.",
                         tools=[table, hang_up(), send_digits(), transfer(kitchen="+14155550123")])

agents = {"+14155550101": desk("Day desk"), "+14155550102": desk("Night desk")}
"""
SCRIPT = """
name = "Desk"
[greeting]
say = "Every day."
[[turn]]
text = "pressed 1"
tool = "transfer"
arguments = { target = "kitchen" }
say = "Every day."
[[turn]]
text = "pressed 2"
tool = "send_digits"
arguments = { digits = "ww12#" }
say = "Every day."
[[turn]]
text = "pressed 3"
tool = "table"
say = "Every day."
[[turn]]
text = "pressed 4"
tool = "hang_up"
say = "Goodbye!"
"""


class Wire:
    """A TCP connection for each of the browser's, which can be cut as networks cut them: without a word."""

    def __init__(self, address: str) -> None:
        self._target = urlsplit(address)
        self._pairs: list[tuple[bytes, socket.socket, socket.socket]] = []
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.address = f"http://127.0.0.1:{self._listener.getsockname()[1]}"
        threading.Thread(target=self._accept, daemon=True).start()

    def cut(self, path: str) -> None:
        for head, *ends in tuple(self._pairs):  # not a connection that replaces one of them meanwhile
            if path.encode() in head.partition(b"\r\n")[0]:
                for end in ends:
                    with suppress(OSError):  # an earlier one is closed
                        end.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        self._listener.close()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                near, _ = self._listener.accept()
                threading.Thread(target=self._join, args=(near,), daemon=True).start()

    def _join(self, near: socket.socket) -> None:
        far = socket.create_connection((self._target.hostname, self._target.port))
        with near, far:
            self._pairs.append((head := near.recv(65536), near, far))
            far.sendall(head)
            back = threading.Thread(target=_copy, args=(far, near), daemon=True)
            back.start()
            _copy(near, far)
            back.join()


def _copy(source: socket.socket, target: socket.socket) -> None:
    with suppress(OSError):
        while data := source.recv(65536):
            target.sendall(data)
        target.shutdown(socket.SHUT_WR)


@pytest.fixture(scope="module")
def rig(browser: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Watched, Wire]]:
    """Yields the page with a muted microphone. Several calls are made on it."""
    folder = tmp_path_factory.mktemp("desks")
    (folder / "desks.py").write_text(DESKS)
    (folder / "script.toml").write_text(SCRIPT)
    environment = {"TELEPHONY_SCRIPT": str(folder / "script.toml"), "PYTHONPATH": str(folder)}
    speak("hello", silence_s=5.0)
    with serving(environment, "desks:agents") as address, closing(Wire(address)) as wire:
        context = browser.new_context(viewport={"width": 1280, "height": 860}, permissions=["microphone"])
        watched = Watched(context.new_page())
        watched.page.goto(f"{wire.address}/console/phone")
        watched.until("!document.querySelector('#call').disabled")
        watched.page.click("#mute")
        yield watched, wire
        assert watched.complaints == []
        context.close()


@pytest.fixture
def watched(rig: tuple[Watched, Wire]) -> Watched:
    return rig[0]


@pytest.fixture
def wire(rig: tuple[Watched, Wire]) -> Wire:
    return rig[1]


def call(watched: Watched) -> Any:
    """Ring, and let the greeting be said."""
    page = watched.page
    for _ in range(10):  # the line is busy while this machine has too much to do
        page.click("#call")
        watched.until("['live', 'over'].includes(document.body.dataset.state)")
        if "busy" not in page.inner_text("#status"):
            break
        page.wait_for_timeout(500)
    heard(watched, 1)
    return page


def heard(watched: Watched, answers: int) -> None:
    """So many answers of the agent's have been heard to their ends."""
    whole = "li => li.querySelector('.heard').textContent && !li.querySelector('.rest').textContent"
    watched.until(f"[...document.querySelectorAll('li.agent.done')].filter({whole}).length >= {answers}")


def press(page: Any, key: str) -> None:
    page.focus("#keypad button")
    page.keyboard.press(key)


def over(watched: Watched) -> str:
    watched.until("document.body.dataset.state === 'over'")
    return str(watched.page.inner_text("#status"))


def test_agents_are_chosen_by_name_and_parameters_travel_with_the_stream(watched: Watched) -> None:
    page = watched.page
    assert page.locator("#agents option").all_inner_texts() == ["Day desk", "Night desk", "another number"]
    page.select_option("#agents", label="Night desk")
    assert page.input_value("#to") == "+14155550102"
    page.eval_on_selector_all("details", "all => all.forEach(one => { one.open = true })")
    page.fill("#parameters input >> nth=0", "table")
    page.fill("#parameters input >> nth=1", "seven")
    call(watched)
    press(page, "3")
    heard(watched, 2)
    assert "table seven" in page.inner_text("#lines")
    page.eval_on_selector_all("details", "all => all.forEach(one => { one.open = false })")
    page.click("#call")
    assert over(watched) == "Over: you hung up"


def test_a_transfer_that_nobody_answers_comes_back_to_the_agent(watched: Watched) -> None:
    page = call(watched)
    press(page, "1")
    watched.until("!document.querySelector('#transfer').hidden")
    assert page.inner_text("#status") == "Transferred"
    assert "+14155550123" in page.inner_text("#transfer")
    screenshot(page, "softphone-transferred-1280")
    page.click("text=Nobody answered")
    heard(watched, 2)
    assert page.is_hidden("#transfer")
    assert page.inner_text("#status") == "Connected"
    assert "kitchen did not take the call: nobody answered." in page.inner_text("#lines")
    page.click("#call")
    over(watched)


def test_a_transfer_that_comes_about_is_the_end(watched: Watched) -> None:
    page = call(watched)
    press(page, "1")
    watched.until("!document.querySelector('#transfer').hidden")
    page.focus("#transfer button")
    page.keyboard.press("Enter")
    assert over(watched) == "Over: transferred to +14155550123"
    assert page.is_hidden("#transfer")


def test_after_digits_the_call_comes_back_and_its_words_are_still_counted(watched: Watched) -> None:
    page = call(watched)
    press(page, "2")
    watched.until("[...document.querySelectorAll('li.twilio')].some(li => li.textContent.includes('presses 1 2 #'))")
    heard(watched, 2)
    page.click("#call")
    over(watched)


def test_a_broken_stream_is_followed_by_another(watched: Watched, wire: Wire) -> None:
    page = call(watched)
    wire.cut("media-stream")
    watched.until("document.querySelector('#lines').textContent.includes('The media stream broke (1006)')")
    press_until_heard(watched, "3")
    page.click("#call")
    over(watched)


def press_until_heard(watched: Watched, key: str) -> None:
    """The other stream is there when a key is shown."""
    watched.until("document.body.dataset.state === 'live'")
    while not watched.page.locator("li.key").count():
        press(watched.page, key)
        watched.page.wait_for_timeout(50)
    heard(watched, 2)


def test_the_agent_hangs_up(watched: Watched) -> None:
    page = call(watched)
    press(page, "4")
    assert over(watched) == "Over: the agent hung up"
    assert page.inner_text("#call") == "Call"


def test_what_twilio_says_is_shown(watched: Watched) -> None:
    page = watched.page
    page.eval_on_selector_all("details", "all => all.forEach(one => { one.open = true })")
    page.fill("#to", "+14155550107")
    assert page.input_value("#agents") == ""
    page.click("#call")
    assert over(watched) == "Over: the agent hung up"
    assert "The number you have called is not in service here." in page.inner_text("li.twilio")
    page.select_option("#agents", label="Day desk")


def test_a_key_that_no_open_stream_takes_is_refused(watched: Watched) -> None:
    refused = watched.page.evaluate(
        """async () => {
          const { Stream } = await import("/console/static/stream.js")
          const sender = { connected: () => "", start: () => "", stop: () => "", dtmf: () => "" }
          const quality = { delayMs: 0, jitterMs: 0 }
          const stream = new Stream(sender, { command: () => {} }, quality, () => {})
          const before = stream.press("1")
          const running = stream.run(new URL("/media-stream", location.href.replace("http", "ws")))
          const connecting = stream.press("1")
          stream.stop()
          await running
          return [before, connecting, stream.press("1")]
        }"""
    )
    assert refused == [False, False, False]


# --- the interpreter by itself -----------------------------------------------------------------------------------

HUNG_UP = ["over", "the agent hung up"]
FOLLOW = """async documents => {
  const { follow } = await import("/console/static/twiml.js")
  const did = []
  const exchange = {
    gone: new Promise(() => {}),
    ask: async ({ url, form }) => { did.push(["ask", url, form]); return documents[url] },
    dial: async to => { did.push(["dial", to]); return "completed" },
  }
  for (const name of ["answer", "stream", "say", "play", "press", "pause", "skip"]) {
    exchange[name] = async what => { did.push(what === undefined ? [name] : [name, what]) }
  }
  try {
    did.push(["over", await follow({ url: "/first", form: {} }, exchange)])
  } catch (error) {
    did.push(["failed", error.message])
  }
  return did
}"""


@pytest.mark.parametrize(
    "body, did",
    [
        ('<Reject reason="busy"/>', [["over", "the line is busy"]]),
        ("<Say> Hello. </Say><Pause length='2'/><Hangup/>", [["say", "Hello."], ["pause", 2], HUNG_UP]),
        ("<Say>Hello.</Say>", [["say", "Hello."], ["over", "there is nothing more to do"]]),
        ("<Play>https://x/y.wav</Play><Hangup/><Say>no</Say>", [["play", "https://x/y.wav"], HUNG_UP]),
        ('<Play digits="ww1#"/><Hangup/>', [["press", "ww1#"], HUNG_UP]),
        ("<Record/><Hangup/>", [["skip", "The server asks Twilio for <Record>: a browser goes on without."],
                                HUNG_UP]),
        ("<Redirect>/next</Redirect>", [["ask", "/next", {}], HUNG_UP]),
        ("<Enqueue>support</Enqueue>", [["over", "the call would wait in the queue support; a browser cannot"]]),
        ('<Dial timeout="25" action="/next"><Number>+1415</Number></Dial>',
         [["dial", {"name": "+1415", "conference": False, "seconds": 25}],
          ["ask", "/next", {"DialCallStatus": "completed"}], HUNG_UP]),
        ("<Dial><Conference>room</Conference></Dial><Hangup/>",
         [["dial", {"name": "room", "conference": True, "seconds": 30}], HUNG_UP]),
        ('<Connect action="/next"><Stream url="wss://x/y"><Parameter name="a" value="1"/></Stream></Connect>'
         "<Say>no</Say>", [["stream", {"url": "wss://x/y", "parameters": {"a": "1"}}], ["ask", "/next", {}], HUNG_UP]),
    ],
    ids=["Reject", "Say", "end", "Play", "digits", "unknown", "Redirect", "Enqueue", "Dial", "Conference", "Stream"],
)  # fmt: skip
def test_each_verb(watched: Watched, body: str, did: list[Any]) -> None:
    documents = {"/first": f"<Response>{body}</Response>", "/next": "<Response><Hangup/></Response>"}
    first, *rest = watched.page.evaluate(FOLLOW, documents)
    assert first == ["ask", "/first", {}]
    if "<Reject" not in body:
        assert rest.pop(0) == ["answer"]
    assert rest == did


def test_what_is_no_twiml_ends_the_call(watched: Watched) -> None:
    for text in ("<html/>", "no XML"):
        assert watched.page.evaluate(FOLLOW, {"/first": text})[-1][0] == "failed"


def test_twilio_speaks_with_a_voice_of_this_machine_alone(watched: Watched) -> None:
    spoken = watched.page.evaluate(
        """async () => {
          const spoken = []
          const voices = [{ name: "far", localService: false }, { name: "here", localService: true }]
          const speak = said => { spoken.push([said.text, said.voice.name]); said.onend() }
          const real = [window.speechSynthesis, window.SpeechSynthesisUtterance]
          const put = (synthesis, utterance) => {
            Object.defineProperty(window, "speechSynthesis", { value: synthesis, configurable: true })
            window.SpeechSynthesisUtterance = utterance
          }
          put({ getVoices: () => voices, speak }, class { constructor(text) { this.text = text } })
          try {
            const { say } = await import("/console/static/voice.js")
            await say("Goodbye.")
          } finally {
            put(...real)
          }
          return spoken
        }"""
    )
    assert spoken == [["Goodbye.", "here"]]
