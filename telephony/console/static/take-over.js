// Taking over: the supervisor's microphone becomes the agent's voice until the call is handed back.

import { Failed, element, show } from "./console.js"
import { isFinal, reason } from "./listener.js"

const PAUSE_MS = 1000
const AGAIN_MS = 8000 // the server waits so long for a supervisor whose connection was lost
const RETRY_MS = 500
const ATTEMPT_MS = 1500 // one attempt that hangs must leave time for others
const QUIET_MS = 5000
const QUIET_PEAK = 100 // of 32,768: what a microphone that is muted does not reach
const METER_MS = 100
const LIVE = "You have taken over. The caller hears you."
const GONE = "The connection was lost. The agent has the call again."
const LOST = "The connection was lost. This page connects again."
const SAID = "What you said, in a few words"
const SILENT = "The agent is silent, and hears the caller but not you. Wear headphones. "
const TYPED = `${SILENT}Before you hand back, write in a few words what you said, so that the agent knows it.`
const TRANSCRIBED = `${SILENT}Your words are written down below. The agent gets them when you hand back.`

/** Refuse Enter in this element for a second, and refuse it always from a key that is held down. Call this when the
 *  focus moves into the element, because the person may still press the key for the element before. */
export function refuseHaste(node) {
  const since = performance.now()
  node.onkeydown = event => {
    if (event.key === "Enter" && (event.repeat || event.timeStamp - since < PAUSE_MS)) event.preventDefault()
  }
}

const askBeforeLeaving = event => event.preventDefault()

export class TakeOver {
  #url
  #panel
  #on
  #socket
  #id = "" // of the take-over: the server gives it to this page only
  #context
  #microphone
  #hint
  #said
  #back // the button that hands the call back
  #handedBack = false
  #known = "" // what the agent knows after the hand-back
  #over = false

  /** `on.state(text)` gets what the supervisor has to know. `on.over(known, why)` is called when the supervisor does
   *  not speak any more. `known` is empty if the call was not handed back; `why` may be empty. */
  constructor(url, panel, on) {
    this.#url = url
    this.#panel = panel
    this.#on = on
  }

  /** Throws `Failed`. */
  async start() {
    if (!isSecureContext) throw new Failed("A browser opens the microphone only for https addresses and for this machine.")
    try {
      this.#microphone = await navigator.mediaDevices.getUserMedia({ audio: {
        echoCancellation: true, noiseSuppression: true, autoGainControl: true, channelCount: 1 } })
    } catch (error) {
      throw new Failed(error.name === "NotAllowedError"
        ? "The microphone is blocked. Allow it in the address bar, then take over again."
        : "There is no microphone. Connect one, then take over again.")
    }
    this.#context = new AudioContext({ latencyHint: "interactive" })
    await this.#context.audioWorklet.addModule(new URL("microphone-worklet.js", import.meta.url))
    const node = new AudioWorkletNode(this.#context, "microphone", { numberOfOutputs: 0, channelCount: 1, channelCountMode: "explicit" })
    this.#context.createMediaStreamSource(this.#microphone).connect(node)
    try {
      await this.#connect(this.#url)
    } catch (error) {
      this.#close()
      throw error
    }
    addEventListener("beforeunload", askBeforeLeaving)
    const meter = this.#show()
    node.port.onmessage = ({ data }) => {
      meter(new Int16Array(data))
      if (this.#socket.readyState === WebSocket.OPEN && this.#socket.bufferedAmount < 32_000) this.#socket.send(data)
    }
    this.#microphone.getAudioTracks()[0].onended = () => this.#giveUp("The microphone was disconnected. The agent has the call again.")
    await this.#context.resume()
    this.#on.state(LIVE)
  }

  /** Resolves when the caller hears this page. With `limitMs`, gives the attempt up after this time. The first connection
   *  has no limit, because the server may need some seconds to silence the agent. Throws `Failed`. */
  async #connect(url, limitMs = 0) {
    const socket = this.#socket = new WebSocket(url)
    socket.binaryType = "arraybuffer"
    let limit
    await new Promise((live, failed) => {
      socket.onmessage = ({ data }) => {
        const { state, error, id, agent } = JSON.parse(data)
        if (agent) this.#known = agent
        if (state === "live") live(this.#id = id)
        if (state === "failed") failed(Object.assign(new Failed(error), { isFinal: true }))
      }
      socket.onclose = ({ code }) => failed(Object.assign(
        new Failed(reason(code) || "The call cannot be taken over now."), { isFinal: isFinal(code), reason: reason(code) }))
      if (limitMs) limit = setTimeout(() => {
        socket.close()
        failed(new Failed("The server does not answer.")) // at once: a browser may report the close much later
      }, limitMs)
    }).finally(() => clearTimeout(limit))
    socket.onclose = ({ code }) => this.#closed(code)
  }

  /** The server ended the connection, or the connection was lost. The server keeps a lost take-over for some seconds. */
  async #closed(code) {
    if (code === 1000 || this.#handedBack) return this.#ended("")
    if (reason(code)) return this.#ended(reason(code))
    this.#on.state(LOST)
    const again = new URL(this.#url)
    again.searchParams.set("again", this.#id)
    for (const until = performance.now() + AGAIN_MS; performance.now() < until && !this.#over;) {
      try {
        await this.#connect(again, ATTEMPT_MS)
      } catch (error) {
        if (error.isFinal) return this.#ended(error.reason || GONE)
        await new Promise(done => setTimeout(done, RETRY_MS))
        continue
      }
      if (this.#over) return this.#socket.close()
      return this.#on.state(LIVE)
    }
    this.#ended(GONE)
  }

  /** Show the panel. Returns a function that shows the level of a piece of the microphone. */
  #show() {
    const said = element("input")
    said.autocomplete = "off"
    said.placeholder = SAID
    said.setAttribute("aria-label", "What you said, for the agent")
    const back = this.#back = element("button", "primary", "Hand back to the agent")
    const form = element("form", "", said, back)
    form.onsubmit = event => {
      event.preventDefault()
      this.handBack()
    }
    this.#said = said
    const level = element("meter")
    level.setAttribute("aria-label", "Level of your microphone")
    const quiet = element("p")
    quiet.setAttribute("role", "status")
    this.#hint = element("p", "quiet small", TYPED)
    this.#panel.replaceChildren(
      this.#hint,
      element("div", "microphone", element("span", "", "Your microphone"), level, quiet), form)
    this.#panel.hidden = false
    refuseHaste(form)
    said.focus()
    return levelMeter(level, quiet)
  }

  /** Say whether what the supervisor says is written down, or must be typed. */
  transcribes(on) {
    if (!this.#hint || this.#handedBack) return
    show(this.#hint, on ? TRANSCRIBED : TYPED)
    this.#said.placeholder = on ? "Anything to add or correct" : SAID
  }

  /** Give the call back, with what was typed. */
  handBack() {
    if (this.#socket?.readyState !== WebSocket.OPEN || this.#handedBack) return
    this.#socket.send(JSON.stringify({ type: "hand-back", said: this.#said?.value.trim() ?? "" }))
    this.#handedBack = true
    if (!this.#hint) return
    this.#on.state("Handing back… The caller no longer hears you.")
    show(this.#hint, "The agent gets what was said.")
    this.#said.readOnly = true
    show(this.#back, "Handing back…")
    this.#back.disabled = true
  }

  /** The page is left: give the call back at once, with what was typed. */
  leave() {
    this.#giveUp("")
  }

  /** The call is over. */
  stop() {
    if (this.#socket) this.#socket.onclose = null
    this.#ended("")
  }

  #giveUp(why) {
    this.handBack()
    if (this.#socket) this.#socket.onclose = null
    this.#ended(why)
  }

  #ended(why) {
    if (this.#over) return
    this.#over = true
    removeEventListener("beforeunload", askBeforeLeaving)
    this.#close()
    this.#panel.hidden = true
    this.#panel.replaceChildren()
    this.#on.over(this.#handedBack ? this.#known || "unknown" : "", why)
  }

  #close() {
    this.#socket?.close()
    this.#microphone?.getTracks().forEach(track => track.stop())
    if (this.#context?.state !== "closed") this.#context?.close()
  }
}

/** Shows the loudness of the microphone, and says if nothing is heard for some seconds. */
function levelMeter(meter, quiet) {
  let peak = 0
  let shownAt = 0
  let heardAt = performance.now()
  return samples => {
    for (const sample of samples) peak = Math.max(peak, Math.abs(sample))
    const now = performance.now()
    if (peak >= QUIET_PEAK) heardAt = now
    if (now < shownAt + METER_MS) return
    shownAt = now
    meter.value = peak ? Math.max(0, 1 + 20 * Math.log10(peak / 32768) / 60) : 0
    peak = 0
    const isQuiet = now > heardAt + QUIET_MS
    show(quiet, isQuiet ? "Your microphone is silent. If you are speaking, check that it is not muted." : "")
    quiet.classList.toggle("bad", isQuiet)
  }
}
