// Twilio's end of a media stream: audio waits in a buffer and plays in its order; a mark comes back when all audio
// before it was played; a clear empties the buffer and sends all marks back.
// https://www.twilio.com/docs/voice/media-streams/websocket-messages

import { SILENCE } from "./ulaw.js"

const CAPACITY = 10 * 60 * 8000

export class Playout {
  received = 0 // samples since the stream began
  buffered = 0
  #chunks = []
  #offset = 0
  #marks = []

  /** Where the ear is in what was received. */
  get position() {
    return this.received - this.buffered
  }

  /** Queue audio. False: the buffer is full. */
  media(ulaw) {
    if (this.buffered + ulaw.length > CAPACITY) return false
    if (ulaw.length) this.#chunks.push(ulaw)
    this.received += ulaw.length
    this.buffered += ulaw.length
    return true
  }

  mark(name) {
    this.#marks.push({ name, at: this.received })
  }

  /** Empty the buffer: how many samples will never be heard. */
  clear() {
    const flushed = this.buffered
    this.#chunks = []
    this.#offset = this.buffered = 0
    return flushed
  }

  /** The names of the marks that have fallen due, in order. */
  due() {
    const pending = this.#marks.findIndex(mark => mark.at > this.position)
    return this.#marks.splice(0, pending < 0 ? this.#marks.length : pending).map(mark => mark.name)
  }

  /** Play into `ear`, which gets silence where nothing waits. */
  play(ear) {
    ear.fill(SILENCE)
    let played = 0
    while (played < ear.length && this.#chunks.length) {
      const piece = this.#chunks[0].subarray(this.#offset, this.#offset + ear.length - played)
      ear.set(piece, played)
      played += piece.length
      this.#offset += piece.length
      if (this.#offset === this.#chunks[0].length) {
        this.#chunks.shift()
        this.#offset = 0
      }
    }
    this.buffered -= played
  }
}
