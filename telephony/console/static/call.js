// One call, made as Twilio makes it: the webhook, its TwiML, the media stream's WebSocket, and a telephone at its end.
//
// Events (`call.addEventListener`): "state" with {state, reason}, "frame" every 20 ms, "record" for each of the
// journal's records, "warning" for what Twilio would complain of.

import { Way } from "./line.js"
import { CallFailed } from "./server.js"
import { Sender, decode } from "./wire.js"

const FRAME_MS = 20

export class Call extends EventTarget {
  state = "idle" // -> ringing -> live -> over
  sid = id("CA")
  microphone = true // false: there is none, and silence is sent
  marks = 0 // sent back
  lost = 0 // frames, on the way up
  #quality
  #server
  #context
  #telephone
  #stream
  #socket
  #sender
  #up
  #down
  #frames = 0
  #settings = {}
  #feed = new AbortController()

  /** `quality` {delayMs (each way), jitterMs} may be changed while the call lasts; `server` is a `Server`. */
  constructor(quality, server) {
    super()
    this.#quality = quality
    this.#server = server
  }

  /** Ring, and return when somebody answered. Throws `CallFailed`. */
  async ring({ from, to, parameters }) {
    this.#become("ringing")
    try {
      await this.#pickUp()
      await this.#listen()
      const form = {
        CallSid: this.sid, AccountSid: this.#server.accountSid ?? id("AC"), From: from, To: to, Caller: from, Called: to,
        CallStatus: "ringing", Direction: "inbound", ApiVersion: "2010-04-01",
      }
      const stream = await this.#askWebhook(form)
      this.#sender = new Sender(id("MZ"), this.sid, form.AccountSid, { ...parameters, ...stream.parameters })
      await this.#connect(stream)
    } catch (error) {
      this.#end(error.message)
      throw error
    }
  }

  press(digit) {
    if (this.state === "live") this.#up.push(this.#sender.dtmf(digit))
  }

  set muted(muted) {
    this.#handle({ muted })
  }

  /** The share of 20 ms frames that get lost between the telephone and Twilio, each way. */
  set loss(loss) {
    this.#handle({ loss })
  }

  hangUp() {
    if (this.state === "live") {
      this.#up.push(this.#sender.stop())
      this.#up.push(null)
    }
    this.#end("you hung up")
  }

  #handle(setting) {
    Object.assign(this.#settings, setting)
    this.#telephone?.port.postMessage(setting)
  }

  // --- the telephone -------------------------------------------------------------------------------------------------

  async #pickUp() {
    this.#context = new AudioContext({ latencyHint: "interactive" })
    await this.#context.audioWorklet.addModule(new URL("worklet.js", import.meta.url))
    this.#telephone = new AudioWorkletNode(this.#context, "telephone", {
      channelCount: 1, channelCountMode: "explicit", outputChannelCount: [1],
    })
    this.#telephone.port.postMessage(this.#settings)
    this.#telephone.connect(this.#context.destination)
    try {
      const wanted = { echoCancellation: true, noiseSuppression: true, autoGainControl: true, channelCount: 1 }
      this.#stream = await navigator.mediaDevices.getUserMedia({ audio: wanted })
      this.#context.createMediaStreamSource(this.#stream).connect(this.#telephone)
    } catch (error) {
      if (error.name === "NotAllowedError") {
        throw new CallFailed("The microphone is blocked for this page. Allow it in the address bar, and call again.")
      }
      this.microphone = false
      this.#warn(`No microphone could be opened (${error.message}): the call goes on with silence from your side.`)
    }
    await this.#context.resume()
  }

  #heardFromTelephone({ mouth, ear, lost, position, buffered, marks, full, flushed }) {
    if (this.state !== "live") return
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
      this.#warn("31931: more than ten minutes of audio are buffered")
    }
  }

  // --- the server ----------------------------------------------------------------------------------------------------

  async #askWebhook(form) {
    const response = await this.#server.fetch("dial", { method: "POST", body: new URLSearchParams(form) })
    const twiml = new DOMParser().parseFromString(await response.text(), "text/xml")
    const stream = twiml.querySelector("Response > Connect > Stream")
    if (!stream) throw new CallFailed(refusal(twiml.documentElement.firstElementChild))
    const parameters = [...stream.querySelectorAll("Parameter")].map(p => [p.getAttribute("name"), p.getAttribute("value")])
    return {
      url: this.#server.streamUrl(stream.getAttribute("url"), this.sid, response.headers.get("X-Ticket")),
      parameters: Object.fromEntries(parameters),
    }
  }

  async #connect({ url }) {
    this.#socket = new WebSocket(url)
    await new Promise((opened, failed) => {
      this.#socket.onopen = opened
      this.#socket.onerror = () => failed(new CallFailed("The media stream could not be opened."))
    })
    if (this.state === "over") return this.#socket.close(1000)
    this.#up = new Way(this.#quality, text => text === null ? this.#socket.close(1000) : this.#socket.send(text))
    this.#down = new Way(this.#quality, command => this.#telephone.port.postMessage(command))
    this.#socket.onmessage = ({ data }) => this.#command(data)
    this.#socket.onclose = ({ code }) => this.#end(code === 1000 ? "the agent hung up" : `the line broke (${code})`)
    this.#up.push(this.#sender.connected())
    this.#up.push(this.#sender.start())
    this.#telephone.port.onmessage = ({ data }) => this.#heardFromTelephone(data)
    this.#become("live")
  }

  #command(text) {
    try {
      this.#down.push(decode(text, this.#sender.streamSid))
    } catch (error) {
      this.#warn(error.message)
    }
  }

  /** Follow the call's journal: server-sent events, read by hand because `EventSource` sends no token. */
  async #listen() {
    const response = await this.#server.fetch(`feed/${this.sid}`, { signal: this.#feed.signal })
    this.#read(response.body.pipeThrough(new TextDecoderStream()).getReader()).catch(() => {})
  }

  async #read(reader) {
    for (let rest = ""; ;) {
      const { value, done } = await reader.read()
      if (done) return
      const lines = (rest + value).split("\n")
      rest = lines.pop()
      for (const line of lines) if (line.startsWith("data: ")) this.#tell("record", JSON.parse(line.slice(6)))
    }
  }

  // --- the end -------------------------------------------------------------------------------------------------------

  #end(reason) {
    if (this.state === "over") return
    this.#become("over", reason)
    this.#telephone?.port.postMessage({ over: true })
    this.#stream?.getTracks().forEach(track => track.stop())
    this.#context?.close()
    this.#down?.close()
    // What is on its way still arrives; the journal's end comes when the server has closed its books.
    setTimeout(() => {
      this.#up?.close()
      this.#socket?.close(1000)
      this.#feed.abort()
    }, 3000)
  }

  #become(state, reason = "") {
    this.state = state
    this.#tell("state", { state, reason })
  }

  #warn(message) {
    this.#tell("warning", { message })
  }

  #tell(type, detail) {
    this.dispatchEvent(new CustomEvent(type, { detail }))
  }
}

/** A SID of Twilio's form: two letters and 32 hexadecimal digits. */
function id(prefix) {
  const bytes = crypto.getRandomValues(new Uint8Array(16))
  return prefix + Array.from(bytes, byte => byte.toString(16).padStart(2, "0")).join("")
}

/** Why there is no stream, in the words of the verb that is there instead. */
function refusal(verb) {
  if (verb?.tagName === "Reject") return "The line is busy."
  if (verb?.tagName === "Say") return `The server says: ${verb.textContent}`
  return `The server connects no stream, but answers <${verb?.tagName}>.`
}
