// One call, made as Twilio makes it: the webhook, its TwiML, and what that asks for, to the end.
//
// Events (`call.addEventListener`): "state" with {state, reason, refused}, "opened" when the microphone is open, "stream" when a media stream begins, "frame" every
// 20 ms, "cleared", "record" for each of the journal's records, "said" with what Twilio itself says or does, "dial"
// with whom the call is handed to, "warning" for what Twilio would complain of.

import { CallFailed } from "./server.js"
import { Stream } from "./stream.js"
import { Telephone } from "./telephone.js"
import { follow } from "./twiml.js"
import { hush, keysSeconds, pause, say } from "./voice.js"
import { Sender } from "./wire.js"

const FEED_MS = 3000 // the journal's end comes when the server has closed its books

class HungUp extends Error {}

export class Call extends EventTarget {
  state = "idle" // -> ringing -> live -> over
  sid = id("CA")
  #quality
  #server
  #telephone = new Telephone()
  #stream
  #marks = 0
  #lost = 0
  #form
  #takenBy = "" // who has taken the transferred call
  #ticket
  #hangUp
  #gone = new Promise((_, reject) => { this.#hangUp = () => reject(new HungUp()) })
  #feed = new AbortController()

  /** `quality` {delayMs (each way), jitterMs} may be changed while the call lasts; `server` is a `Server`. */
  constructor(quality, server) {
    super()
    this.#quality = quality
    this.#server = server
    this.#gone.catch(() => {})
  }

  /** Ring, and return when the call is over. */
  async ring({ from, to, parameters }) {
    this.#become("ringing")
    this.#form = {
      CallSid: this.sid, AccountSid: this.#server.accountSid ?? id("AC"), From: from, To: to, Caller: from, Called: to,
      CallStatus: "ringing", Direction: "inbound", ApiVersion: "2010-04-01",
    }
    try {
      const fault = await this.#telephone.pickUp()
      if (fault) this.#tell("warning", { message: fault })
      this.#tell("opened")
      await this.#listen()
      if (this.state === "over") return this.#telephone.hangUp()
      const webhook = `/incoming-call?${new URLSearchParams(parameters)}`
      const why = await follow({ url: webhook, form: {} }, this.#exchange)
      this.#end(this.#takenBy ? `transferred to ${this.#takenBy}` : why)
    } catch (error) {
      this.#end(error.message, error instanceof CallFailed)
      if (!(error instanceof CallFailed || error instanceof HungUp)) throw error
    }
  }

  /** Press a key. False: no stream is open for it. */
  press(digit) {
    return this.#stream?.press(digit) ?? false
  }

  set muted(muted) {
    this.#telephone.set({ muted })
  }

  /** {microphone, speaker}: the ids of the devices; empty for the default. They may change during the call. */
  set devices(devices) {
    this.#telephone.devices = devices
  }

  /** The share of 20 ms frames that get lost between the telephone and Twilio, each way. */
  set loss(loss) {
    this.#telephone.set({ loss })
  }

  /** Marks sent back, and frames lost, on all streams. */
  get marks() {
    return this.#marks + (this.#stream?.marks ?? 0)
  }

  get lost() {
    return this.#lost + (this.#stream?.lost ?? 0)
  }

  hangUp() {
    if (this.state === "over") return
    this.#stream?.stop()
    this.#end("you hung up")
  }

  // --- what the TwiML asks for -----------------------------------------------------------------------------------------

  #exchange = {
    gone: this.#gone,
    ask: async ({ url, form }) => {
      const response = await this.#server.ask(url, { ...this.#form, ...form })
      this.#ticket = response.headers.get("X-Ticket")
      return response.text()
    },
    answer: () => {
      if (this.state !== "ringing") return
      this.#form.CallStatus = "in-progress"
      this.#become("live")
    },
    stream: async ({ url, parameters }) => {
      const sender = new Sender(id("MZ"), this.sid, this.#form.AccountSid, parameters)
      this.#stream = new Stream(sender, this.#telephone, this.#quality, (type, detail) => this.#tell(type, detail))
      this.#tell("stream")
      try {
        const code = await this.#stream.run(this.#server.streamUrl(url, this.sid, this.#ticket))
        if (code !== 1000) this.#tell("warning", { message: `The media stream broke (${code}): Twilio asks what comes next.` })
      } finally {
        this.#marks = this.marks
        this.#lost = this.lost
        this.#stream = undefined
      }
    },
    dial: async to => {
      const status = await new Promise(decide => {
        const timer = setTimeout(decide, to.seconds * 1000, "no-answer")
        this.#tell("dial", { ...to, decide: status => { clearTimeout(timer); decide(status) } })
      })
      this.#takenBy = status === "completed" ? to.name : ""
      return status
    },
    say: text => {
      this.#tell("said", { text })
      return say(text)
    },
    play: url => this.#tell("said", { text: `plays ${url}` }),
    press: keys => {
      this.#tell("said", { text: `presses ${[...keys.replace(/w/gi, "")].join(" ")}` })
      return pause(keysSeconds(keys))
    },
    pause,
    skip: message => this.#tell("warning", { message }),
  }

  // --- the server's journal --------------------------------------------------------------------------------------------

  /** Server-sent events, read by hand because `EventSource` sends no token. */
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

  #end(reason, refused = false) {
    if (this.state === "over") return
    this.#become("over", reason, refused)
    this.#hangUp()
    this.#telephone.hangUp()
    hush()
    setTimeout(() => this.#feed.abort(), FEED_MS)
  }

  #become(state, reason = "", refused = false) {
    this.state = state
    this.#tell("state", { state, reason, refused })
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
