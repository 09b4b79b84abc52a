// What is said and what is heard of it, put together from the journal's records and the telephone's frames.
//
// The agent's audio lies on one stream timeline. The records say whose samples lie where; the telephone says where the
// ear is. So the words that were heard are known, and those that an interruption cut off, too.

import { decode } from "./ulaw.js"

const FRAME_MS = 20
const LOUD = 400 // of 32124
const VOICED = 16 // loud samples of 160
const CUT_BY = {
  caller: "interrupted",
  digit: "interrupted by a key",
  guardrail: "stopped by a guardrail",
  tool: "stopped by a tool",
  api: "stopped by the application",
  call: "stopped by the call",
}

export class Conversation {
  lines = [] // {kind, text, heard (characters), done, cut, latencyMs, detail}
  latencies = []
  #byItem = new Map()
  #segments = []
  #position = 0
  #base = null // where the stream begins on the timeline, for the telephone counts each stream from 0
  #started = false
  #speaking = null // the line that was heard last
  #clock = 0 // frames
  #callerAt = -1
  #answering = null // the line that a voice was heard of last
  #answeredAt = -1

  /** Feed a record of the journal. */
  record(record) {
    const message = record.message ?? record
    const name = message.type ?? message.event ?? record.kind
    this.#on[record.kind === "twilio.out" ? "played" : name]?.call(this, message)
  }

  /** Feed a frame of the telephone's. Returns how loud mouth and ear are, 0 to 1. */
  frame({ mouth, ear, position }) {
    this.#clock++
    const caller = loudness(mouth)
    const agent = loudness(ear)
    if (caller.voiced) this.#callerAt = this.#clock
    this.#hear(position)
    if (agent.voiced && this.#speaking !== this.#answering) this.#answerBegins()
    return [caller.level, agent.level]
  }

  /** The buffer was emptied: what was sent up to now and not played will never be heard. */
  cleared({ position }) {
    this.#hear(position)
    this.#segments = []
    this.#position = (this.#base ?? 0) + position
  }

  /** A stream, the first or another. */
  streamBegins() {
    this.#base = null
    this.#started = false
  }

  /** What Twilio itself says or does. */
  twilio(text) {
    this.#add("twilio", text, { done: true })
  }

  /** A key: the journal hides which one. */
  pressed(digit) {
    this.#callerAt = this.#clock
    this.#add("key", `pressed ${digit}`, { done: true })
  }

  // --- turns: from the caller's last loud frame, or key, to the agent's first loud frame --------------------------------

  #answerBegins() {
    this.#answering = this.#speaking
    if (this.#callerAt <= this.#answeredAt || this.#callerAt === this.#clock) return
    this.#answeredAt = this.#clock
    this.#answering.latencyMs = (this.#clock - this.#callerAt) * FRAME_MS
    this.latencies.push(this.#answering.latencyMs)
  }

  // --- what was heard --------------------------------------------------------------------------------------------------

  #hear(ear) {
    if (this.#base === null) return
    const position = this.#base + ear
    for (const segment of this.#segments) {
      const played = Math.min(position, segment.end) - Math.max(this.#position, segment.start)
      const line = this.#byItem.get(segment.item)
      if (played <= 0 || !line) continue
      this.#speaking = line
      line.played += played
      line.heard = heardOf(line)
    }
    this.#segments = this.#segments.filter(segment => segment.end > position)
    this.#position = Math.max(this.#position, position)
  }

  // --- the journal's records -------------------------------------------------------------------------------------------

  #on = {
    "input_audio_buffer.speech_started"({ item_id }) {
      this.#byItem.set(item_id, this.#add("caller", "…"))
    },
    "conversation.item.input_audio_transcription.delta"({ item_id, delta }) {
      const line = this.#item(item_id, "caller")
      line.text = line.text === "…" ? delta : line.text + delta
    },
    "conversation.item.input_audio_transcription.completed"({ item_id, transcript }) {
      Object.assign(this.#item(item_id, "caller"), { text: transcript, done: true })
    },
    "response.output_audio.delta"({ item_id, bytes }) {
      this.#item(item_id, "agent").received += bytes / 6 // PCM16 at 24 kHz, counted in samples at 8 kHz
    },
    "response.output_audio_transcript.delta"({ item_id, delta }) {
      this.#item(item_id, "agent").text += delta
    },
    "response.output_audio_transcript.done"({ item_id, transcript }) {
      Object.assign(this.#item(item_id, "agent"), { text: transcript, done: true })
    },
    "tool.start"({ call_id, name, arguments: json }) {
      this.#byItem.set(call_id, this.#add("tool", `${name}(${shorten(json)})`))
    },
    "tool.end"({ call_id, name, output, ms, error }) {
      const line = this.#item(call_id, "tool")
      line.text ||= name
      const told = error ? `failed: ${shorten(error)} · the model was told: ${shorten(output)}` : shorten(output)
      Object.assign(line, { failed: Boolean(error), detail: `${told} · ${Math.round(ms)} ms`, done: true })
    },
    interruption({ truncations, cause = "caller" }) {
      const why = CUT_BY[cause] ?? "cut off"
      for (const [item, , ms] of truncations) {
        const line = this.#item(item, "agent")
        Object.assign(line, { cut: true, detail: `${why}: the model was told that ${(ms / 1000).toFixed(2)} s were heard` })
      }
    },
    handoff({ from, to }) {
      this.#add("note", `${from} hands over to ${to}`, { done: true })
    },
    error({ error }) {
      this.#add("error", typeof error === "string" ? error : error?.message ?? "the model complained", { done: true })
    },
    start() {
      this.#started = true
      this.#segments = []
    },
    played({ position, segments = [] }) {
      if (this.#started) this.#base ??= position
      for (const [item, , , samples] of segments) {
        this.#segments.push({ item, start: position, end: position + samples })
        position += samples
      }
    },
  }

  #item(id, kind) {
    if (!this.#byItem.has(id)) this.#byItem.set(id, this.#add(kind))
    return this.#byItem.get(id)
  }

  #add(kind, text = "", more = {}) {
    const line = { kind, text, heard: 0, played: 0, received: 0, done: false, cut: false, ...more }
    this.lines.push(line)
    return line
  }
}

/** As many of the letters as of the samples, to the end of a word. */
function heardOf({ text, played, received, done }) {
  if (done && played >= received - 320) return text.length
  const letters = Math.round(text.length * played / Math.max(played, received))
  const space = text.indexOf(" ", letters)
  return space < 0 ? text.length : space
}

function loudness(ulaw) {
  let peak = 0
  let loud = 0
  for (const code of ulaw) {
    const magnitude = Math.abs(decode(code))
    if (magnitude > peak) peak = magnitude
    if (magnitude > LOUD) loud++
  }
  const db = 20 * Math.log10(Math.max(peak, 1) / 32768)
  return { voiced: loud >= VOICED, level: Math.max(0, 1 + db / 46) }
}

const shorten = text => String(text).length > 160 ? `${String(text).slice(0, 160)}…` : String(text)
