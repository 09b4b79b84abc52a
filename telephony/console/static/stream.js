// One media stream: Twilio's end of the WebSocket, between the telephone and the server.

import { Way } from "./line.js"
import { CallFailed } from "./server.js"
import { Sender, decode } from "./wire.js"

const FRAME_MS = 20
const FLUSH_MS = 3000

export class Stream {
  marks = 0 // sent back
  lost = 0 // frames, on the way up
  #telephone
  #tell
  #sender
  #socket
  #up
  #down
  #frames = 0
  #over = false

  /** `quality` {delayMs (each way), jitterMs} may change while it runs; `tell(type, detail)` is told of "frame",
   *  "cleared" and "warning". */
  constructor(sender, telephone, quality, tell) {
    this.#sender = sender
    this.#telephone = telephone
    this.#tell = tell
    this.#up = new Way(quality, text => this.#send(text))
    this.#down = new Way(quality, command => telephone.command(command))
  }

  /** Connect, and carry the call until the server closes. Returns the code; throws `CallFailed`. */
  async run(url) {
    this.#socket = new WebSocket(url)
    await new Promise((opened, failed) => {
      this.#socket.onopen = opened
      this.#socket.onerror = () => failed(new CallFailed("The media stream could not be opened (31920)."))
    })
    const closed = new Promise(resolve => { this.#socket.onclose = ({ code }) => resolve(code) })
    if (this.#over) this.#socket.close(1000)
    this.#socket.onmessage = ({ data }) => this.#command(data)
    this.#up.push(this.#sender.connected())
    this.#up.push(this.#sender.start())
    this.#telephone.command({ fresh: true })
    this.#telephone.onmessage = message => this.#heard(message)
    try {
      return await closed
    } finally {
      this.#leave()
      this.#up.close()
    }
  }

  /** Press a key. False: the stream is not open, so the key would be lost. */
  press(digit) {
    if (this.#socket?.readyState !== WebSocket.OPEN) return false
    this.#up.push(this.#sender.dtmf(digit))
    return true
  }

  /** The caller hangs up. What is on its way still arrives. */
  stop() {
    this.#over = true
    if (this.#socket?.readyState !== WebSocket.OPEN) return
    this.#up.push(this.#sender.stop())
    this.#up.push(null)
    this.#leave()
    setTimeout(() => this.#socket.close(1000), FLUSH_MS)
  }

  #send(text) {
    if (text === null) this.#socket.close(1000)
    else if (this.#socket.readyState === WebSocket.OPEN) this.#socket.send(text)
  }

  #leave() {
    this.#telephone.onmessage = () => {}
    this.#telephone.command({ fresh: true })
    this.#down.close()
  }

  #heard({ mouth, ear, lost, position, buffered, marks, full, flushed }) {
    if (mouth) {
      const timestampMs = this.#frames++ * FRAME_MS
      if (lost) this.lost++
      else this.#up.push(this.#sender.media(timestampMs, mouth))
      this.#tell("frame", { mouth, ear, position, buffered })
    } else if (marks) {
      this.marks += marks.length
      for (const name of marks) this.#up.push(this.#sender.mark(name))
    } else if (flushed !== undefined) {
      this.#tell("cleared", { flushed, position })
    } else if (full) {
      this.#tell("warning", { message: "31931: more than ten minutes of audio are buffered" })
    }
  }

  #command(text) {
    try {
      this.#down.push(decode(text, this.#sender.streamSid))
    } catch (error) {
      this.#tell("warning", { message: error.message })
    }
  }
}
