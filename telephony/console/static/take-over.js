// Taking over: the supervisor's microphone becomes the agent's voice until the call is handed back.

import { Failed, element, notice } from "./console.js"
import { reason } from "./listener.js"

const PAUSE_MS = 1000

/** Refuse Enter in this element for a second, and refuse it always from a key that is held down. Call this when the
 *  focus moves into the element, because the person may still press the key for the element before. */
export function refuseHaste(node) {
  const since = performance.now()
  node.onkeydown = event => {
    if (event.key === "Enter" && (event.repeat || event.timeStamp - since < PAUSE_MS)) event.preventDefault()
  }
}

export class TakeOver {
  #url
  #panel
  #over
  #socket
  #context
  #microphone
  #said
  #handedBack = false

  /** `over(handedBack)` is called when the supervisor does not speak any more. */
  constructor(url, panel, over) {
    this.#url = url
    this.#panel = panel
    this.#over = over
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
    this.#socket = new WebSocket(this.#url)
    this.#socket.binaryType = "arraybuffer"
    await new Promise((live, failed) => {
      this.#socket.onmessage = ({ data }) => {
        const { state, error } = JSON.parse(data)
        if (state === "live") live()
        if (state === "failed") failed(new Failed(error))
      }
      this.#socket.onclose = ({ code }) => failed(new Failed(reason(code) || "The call cannot be taken over now."))
    }).catch(error => {
      this.#close()
      throw error
    })
    this.#socket.onclose = ({ code }) => this.#ended(code === 1000 ? "" : reason(code) || "The connection was lost. The agent has the call again.")
    node.port.onmessage = ({ data }) => {
      if (this.#socket.readyState === WebSocket.OPEN && this.#socket.bufferedAmount < 32_000) this.#socket.send(data)
    }
    await this.#context.resume()
    this.#show()
  }

  #show() {
    const said = element("input")
    said.autocomplete = "off"
    said.placeholder = "What you said, like: the refund was approved"
    said.setAttribute("aria-label", "What you said, for the agent")
    const back = element("button", "primary", "Hand back to the agent")
    const form = element("form", "", said, element("p", "buttons", back))
    form.onsubmit = event => {
      event.preventDefault()
      this.handBack()
    }
    this.#said = said
    this.#panel.replaceChildren(
      element("p", "quiet small", "The agent is silent, and hears the caller but not you. Wear headphones. Before you hand back, write in a few words what you said, so that the agent knows it."),
      form)
    this.#panel.hidden = false
    refuseHaste(form)
    said.focus()
  }

  /** Give the call back, with what was typed. */
  handBack() {
    if (this.#socket?.readyState !== WebSocket.OPEN || this.#handedBack) return
    this.#socket.send(JSON.stringify({ type: "hand-back", said: this.#said?.value.trim() ?? "" }))
    this.#handedBack = true
  }

  stop() {
    if (this.#socket) this.#socket.onclose = null
    this.#ended("")
  }

  #ended(why) {
    this.#close()
    this.#panel.hidden = true
    this.#panel.replaceChildren()
    if (why) notice(document.getElementById("problem"), why)
    this.#over(this.#handedBack)
  }

  #close() {
    this.#socket?.close()
    this.#microphone?.getTracks().forEach(track => track.stop())
    if (this.#context?.state !== "closed") this.#context?.close()
  }
}
