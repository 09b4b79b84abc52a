// One way of a line: delay and jitter; the order is kept, as TCP keeps it.

export class Way {
  #deliver
  #quality
  #waiting = []
  #last = 0
  #timer

  /** `quality` is read with each message: {delayMs, jitterMs}. */
  constructor(quality, deliver) {
    this.#quality = quality
    this.#deliver = deliver
  }

  push(message) {
    const now = performance.now()
    const delay = this.#quality.delayMs + Math.random() * this.#quality.jitterMs
    this.#last = Math.max(this.#last, now + delay)
    if (this.#last <= now && !this.#waiting.length) {
      this.#deliver(message)
    } else {
      this.#waiting.push({ message, at: this.#last })
      this.#wait()
    }
  }

  close() {
    clearTimeout(this.#timer)
    this.#waiting = []
    this.#deliver = () => {}
  }

  #wait() {
    if (this.#timer !== undefined || !this.#waiting.length) return
    this.#timer = setTimeout(() => {
      this.#timer = undefined
      const now = performance.now()
      while (this.#waiting.length && this.#waiting[0].at <= now) this.#deliver(this.#waiting.shift().message)
      this.#wait()
    }, Math.max(0, this.#waiting[0].at - performance.now()))
  }
}
