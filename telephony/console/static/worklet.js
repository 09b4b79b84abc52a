// The telephone itself, on the audio thread: one clock for the microphone's frames and for what plays.

import { Playout } from "./playout.js"
import { Resampler } from "./resampler.js"
import { decode, encode } from "./ulaw.js"

const RATE = 8000
const FRAME = 160 // samples: 20 ms
const HEADROOM = 128 // samples of output kept ready, for the resampler's uneven steps

class Telephone extends AudioWorkletProcessor {
  #down = new Resampler(sampleRate, RATE)
  #up = new Resampler(RATE, sampleRate)
  #playout = new Playout()
  #mouth = new Uint8Array(FRAME)
  #ear = new Uint8Array(FRAME)
  #filled = 0
  #output = new Float32Array(HEADROOM)
  #muted = false
  #loss = 0
  #deaf = false
  #over = false

  constructor() {
    super()
    this.port.onmessage = ({ data }) => this.#obey(data)
  }

  process([inputs], [outputs]) {
    const speaker = outputs[0]
    const voice = inputs[0] ?? new Float32Array(speaker.length)
    const voice8k = this.#down.push(voice)
    for (let n = 0; n < voice8k.length;) {
      const length = Math.min(voice8k.length - n, FRAME - this.#filled)
      this.#exchange(voice8k.subarray(n, n + length))
      n += length
    }
    const ready = Math.min(this.#output.length, speaker.length)
    speaker.set(this.#output.subarray(0, ready))
    this.#output = this.#output.slice(ready)
    return !this.#over
  }

  /** So many samples of the mouth go, as many come to the ear; never across a frame's end. */
  #exchange(voice) {
    const from = this.#filled
    for (let n = 0; n < voice.length; n++) {
      this.#mouth[from + n] = this.#muted ? encode(0) : encode(Math.round(Math.max(-1, Math.min(1, voice[n])) * 32767))
    }
    if (from === 0) this.#deaf = Math.random() < this.#loss
    const heard = this.#ear.subarray(from, from + voice.length)
    this.#playout.play(heard)
    if (this.#deaf) heard.fill(encode(0))
    const sound = this.#up.push(Float32Array.from(heard, code => decode(code) / 32768))
    const output = new Float32Array(this.#output.length + sound.length)
    output.set(this.#output)
    output.set(sound, this.#output.length)
    this.#output = output
    this.#returnMarks()
    this.#filled += voice.length
    if (this.#filled === FRAME) this.#finishFrame()
  }

  #finishFrame() {
    this.#filled = 0
    this.port.postMessage({
      mouth: this.#mouth.slice(),
      ear: this.#ear.slice(),
      lost: Math.random() < this.#loss,
      position: this.#playout.position,
      buffered: this.#playout.buffered,
    })
  }

  #returnMarks() {
    const marks = this.#playout.due()
    if (marks.length) this.port.postMessage({ marks })
  }

  #obey({ play, mark, clear, fresh, muted, loss, over }) {
    if (play) {
      if (!this.#playout.media(play)) this.port.postMessage({ full: true })
    } else if (mark !== undefined) {
      this.#playout.mark(mark)
      this.#returnMarks()
    } else if (clear) {
      const flushed = this.#playout.clear()
      this.port.postMessage({ flushed, position: this.#playout.position })
      this.#returnMarks()
    }
    if (fresh) this.#playout = new Playout()
    if (muted !== undefined) this.#muted = muted
    if (loss !== undefined) this.#loss = loss
    if (over) this.#over = true
  }
}

registerProcessor("telephone", Telephone)
