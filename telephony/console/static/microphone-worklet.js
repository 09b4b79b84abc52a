// The microphone as PCM16 at 8 kHz, in pieces of 20 ms.

import { Resampler } from "./resampler.js"

const RATE = 8000
const FRAME = 160

class Microphone extends AudioWorkletProcessor {
  #down = new Resampler(sampleRate, RATE)
  #frame = new Int16Array(FRAME)
  #filled = 0

  process([[voice]]) {
    if (!voice) return true
    for (const sample of this.#down.push(voice)) {
      this.#frame[this.#filled++] = Math.round(Math.max(-1, Math.min(1, sample)) * 32767)
      if (this.#filled < FRAME) continue
      this.#filled = 0
      const { buffer } = this.#frame.slice()
      this.port.postMessage(buffer, [buffer])
    }
    return true
  }
}

registerProcessor("microphone", Microphone)
