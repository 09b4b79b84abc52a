// From any sample rate to any other, for a telephone's band: flat to 3400 Hz, 60 dB down from 4600 Hz on, so that
// what lies above the band neither folds into it (on the way down) nor mirrors out of it (on the way up).
//
// A polyphase FIR: output n lies at input time n * from / to; each of its `up` phases has a row of taps of its own.

const CUTOFF_HZ = 4000
const SPAN_S = 0.003025 // Kaiser: 60 dB, 1200 Hz wide
const BETA = 5.653

export class Resampler {
  #rows
  #up
  #down
  #tail
  #at = 0 // when the next output is due: in 1/up input samples from the next input on

  constructor(from, to) {
    const divisor = gcd(from, to)
    this.#up = to / divisor
    this.#down = from / divisor
    const taps = Math.ceil(SPAN_S * from)
    this.#rows = Array.from({ length: this.#up }, (_, phase) => row(taps, phase / this.#up, CUTOFF_HZ / from))
    this.#tail = new Float32Array(taps - 1)
  }

  /** The samples that are due after these. */
  push(input) {
    const taps = this.#tail.length + 1
    const samples = new Float32Array(taps - 1 + input.length)
    samples.set(this.#tail)
    samples.set(input, taps - 1)
    const end = input.length * this.#up
    const output = new Float32Array(Math.max(0, Math.ceil((end - this.#at) / this.#down)))
    for (let n = 0; n < output.length; n++, this.#at += this.#down) {
      const first = Math.floor(this.#at / this.#up)
      const weights = this.#rows[this.#at % this.#up]
      let sum = 0
      for (let k = 0; k < taps; k++) sum += weights[k] * samples[first + k]
      output[n] = sum
    }
    this.#at -= end
    this.#tail = samples.slice(input.length)
    return output
  }
}

function row(taps, phase, cutoff) {
  const weights = Float64Array.from({ length: taps }, (_, k) => {
    const t = taps - 1 - k + phase - taps / 2
    return sinc(2 * cutoff * t) * kaiser(2 * t / taps)
  })
  const sum = weights.reduce((a, b) => a + b)
  return Float32Array.from(weights, weight => weight / sum)
}

const sinc = x => x === 0 ? 1 : Math.sin(Math.PI * x) / (Math.PI * x)

const kaiser = x => Math.abs(x) >= 1 ? 0 : bessel(BETA * Math.sqrt(1 - x * x)) / bessel(BETA)

function bessel(x) { // the modified one, of order 0
  let sum = 1
  for (let k = 1, term = 1; term > 1e-12 * sum; k++) sum += term *= (x / 2 / k) ** 2
  return sum
}

const gcd = (a, b) => b ? gcd(b, a % b) : a
