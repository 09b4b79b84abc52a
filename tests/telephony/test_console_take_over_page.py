"""The page of a supervisor whose connection was lost: `take-over.js` in a browser, with a server that says nothing."""

from __future__ import annotations

from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

import telephony.console

pytestmark = [pytest.mark.browser, pytest.mark.real_time]


SILENT_SERVER = """
Object.defineProperty(navigator, "mediaDevices", { value: { getUserMedia: async () => ({
  getTracks: () => [], getAudioTracks: () => [{}] }) } })
window.AudioContext = class {
  audioWorklet = { addModule: async () => {} }
  createMediaStreamSource() { return { connect() {} } }
  async resume() {}
  async close() {}
}
window.AudioWorkletNode = class { port = {} }
window.sockets = []
window.WebSocket = class {
  static OPEN = 1
  readyState = 1
  send() {}
  constructor(url) {
    this.url = String(url)
    window.sockets.push(this)
  }
  close() { this.isClosed = true }
}
"""
"""JavaScript: a microphone, and WebSockets whose server says nothing."""
STARTS = """async () => {
  const { TakeOver } = await import("/static/take-over.js")
  window.states = []
  const on = { state: text => window.states.push(text), over: (known, why) => window.states.push(why || known) }
  window.panel = document.createElement("div")
  window.takeOver = new TakeOver("ws://localhost:9/take-over", window.panel, on)
  window.started = window.takeOver.start()
  for (let n = 0; n < 100; n++) await null // until it connects
}"""
IS_LIVE = """async n => {
  window.sockets[n].onmessage({ data: '{"state": "live", "id": "first"}' })
  await window.started
}"""


def test_an_attempt_to_continue_a_take_over_that_hangs_leaves_time_for_others(browser: Any) -> None:
    static = Path(telephony.console.__file__).parent / "static"

    def serve(route: Any) -> None:
        name = urlsplit(route.request.url).path.removeprefix("/static/")
        if name.endswith(".js"):
            route.fulfill(body=(static / name).read_text(), content_type="text/javascript")
        else:
            route.fulfill(body="", content_type="text/html")

    page = browser.new_page()
    page.clock.install(time=0)
    page.clock.pause_at(1)
    page.add_init_script(SILENT_SERVER)
    page.route("http://localhost:9/**", serve)
    page.goto("http://localhost:9/")
    page.evaluate(STARTS)
    page.clock.run_for(5000)
    assert page.evaluate("window.sockets[0].isClosed") is None, "the first connection may take its time"
    page.evaluate(IS_LIVE, 0)
    page.evaluate("void window.sockets[0].onclose({ code: 1006 })")
    page.clock.run_for(1400)
    assert page.evaluate("window.sockets.map(one => one.isClosed ?? false)") == [False, False]
    page.clock.run_for(700)
    assert page.evaluate("window.sockets.map(one => one.isClosed ?? false)") == [False, True, False]
    assert {urlsplit(url).query for url in page.evaluate("window.sockets.map(one => one.url)")} == {
        "",
        "again=first",
    }
    page.evaluate(IS_LIVE, 2)
    page.clock.run_for(10_000)
    assert page.evaluate("[window.sockets.length, window.states.at(-1)]") == [
        3,
        "You have taken over. The caller hears you.",
    ]
    page.evaluate("void window.sockets[2].onclose({ code: 1006 })")
    page.clock.run_for(100)
    page.evaluate("void window.sockets[3].onclose({ code: 4401 })")
    page.clock.run_for(100)
    assert page.evaluate("window.states.at(-1)") == "The login has ended. Log in again."
    page.clock.run_for(10_000)
    assert page.evaluate("window.sockets.length") == 4, "another attempt cannot succeed"
    page.evaluate(STARTS)
    page.evaluate(IS_LIVE, 4)
    page.evaluate("window.takeOver.handBack()")
    page.evaluate("window.takeOver.transcribes(false)")  # the transcription ends with the hand-back
    panel, is_disabled = page.evaluate("[panel.textContent, panel.querySelector('button').disabled]")
    assert "Handing back…" in panel and "Before you hand back" not in panel and is_disabled
    over = """() => {
      window.sockets[4].onmessage({ data: '{"state": "over", "agent": "note"}' })
      window.sockets[4].onclose({ code: 1000 })
    }"""
    page.evaluate(over)
    assert page.evaluate("window.states.at(-1)") == "note"
