// Plays stereo PCM16 at 8 kHz as it arrives. It begins with 120 ms in hand, and drops what is too late.

const RATE = 8000
const BEGIN = 0.12 * RATE
const MOST = 0.6 * RATE

class Listener extends AudioWorkletProcessor {
  #waiting = []
  #samples = 0
  #plays = false
  #callerOnly = false

  constructor() {
    super()
    this.port.onmessage = ({ data }) => {
      if (!(data instanceof ArrayBuffer)) {
        this.#callerOnly = data.callerOnly
        return
      }
      const samples = new Int16Array(data)
      this.#waiting.push({ samples, at: 0 })
      this.#samples += samples.length / 2
      while (this.#samples > MOST) {
        const { samples, at } = this.#waiting.shift()
        this.#samples -= samples.length / 2 - at
      }
    }
  }

  process(_, [[left, right]]) {
    if (!this.#plays && this.#samples >= BEGIN) this.#plays = true
    for (let n = 0; n < left.length && this.#plays; n++) {
      const first = this.#waiting[0]
      if (!first) {
        this.#plays = false
        break
      }
      left[n] = first.samples[2 * first.at] / 32768
      right[n] = this.#callerOnly ? 0 : first.samples[2 * first.at + 1] / 32768
      this.#samples--
      if (++first.at * 2 >= first.samples.length) this.#waiting.shift()
    }
    return true
  }
}

registerProcessor("listener", Listener)
