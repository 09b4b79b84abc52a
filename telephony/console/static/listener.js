// Listening in: both sides of a live call, the caller left, the agent right.

import { Failed } from "./console.js"

export class Listener {
  #url
  #over
  #socket
  #context
  #node
  #callerOnly = false

  /** `over(why)` is called when the listening ended by itself; `why` may be empty. */
  constructor(url, over) {
    this.#url = url
    this.#over = over
  }

  /** Throws `Failed`. */
  async start() {
    this.#context = new AudioContext({ sampleRate: 8000, latencyHint: "interactive" })
    await this.#context.audioWorklet.addModule(new URL("listener-worklet.js", import.meta.url))
    const node = this.#node = new AudioWorkletNode(this.#context, "listener", { numberOfInputs: 0, outputChannelCount: [2] })
    this.callerOnly = this.#callerOnly
    node.connect(this.#context.destination)
    await this.#context.resume()
    this.#socket = new WebSocket(this.#url)
    this.#socket.binaryType = "arraybuffer"
    this.#socket.onmessage = ({ data }) => {
      if (typeof data !== "string") node.port.postMessage(data, [data])
    }
    await new Promise((opened, failed) => {
      this.#socket.onopen = opened
      this.#socket.onclose = ({ code }) => failed(new Failed(reason(code) || "Listening is not possible now."))
    }).catch(error => {
      this.stop()
      throw error
    })
    this.#socket.onclose = ({ code, reason: text }) => {
      this.stop()
      this.#over(code === 1000 ? "" : text || reason(code))
    }
  }

  /** Leave out the agent's side: a supervisor who speaks in its place would hear an echo of the own voice. */
  set callerOnly(on) {
    this.#callerOnly = on
    this.#node?.port.postMessage({ callerOnly: on })
  }

  stop() {
    if (this.#socket) {
      this.#socket.onclose = this.#socket.onmessage = null
      this.#socket.close()
    }
    if (this.#context?.state !== "closed") this.#context?.close()
  }
}

/** Whether another attempt is useless after this close code: the login, the token or the call does not permit it. */
export const isFinal = code => [4401, 4403, 4404].includes(code)

/** What a close code of the console means. */
export function reason(code) {
  return {
    4401: "The login has ended. Log in again.", 4403: "This token does not allow it.",
    4404: "The call is not live any more.",
    4408: "No sound came from your microphone. The agent has the call again.", 4503: "The server cannot do it now. Try again.",
  }[code] ?? ""
}
