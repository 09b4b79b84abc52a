// The last seconds of the call: the caller's loudness above the line, the agent's below.

const FRAMES = 500 // ten seconds

export class Scope {
  #canvas
  #frames = []
  #drawing = false

  constructor(canvas) {
    this.#canvas = canvas
    addEventListener("resize", () => this.#soon())
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => this.#soon())
    this.#soon()
  }

  /** One frame: both levels, 0 to 1. */
  add(caller, agent) {
    this.#frames.push([caller, agent])
    if (this.#frames.length > FRAMES) this.#frames.shift()
    this.#soon()
  }

  clear() {
    this.#frames = []
    this.#soon()
  }

  #soon() {
    if (this.#drawing) return
    this.#drawing = true
    requestAnimationFrame(() => {
      this.#drawing = false
      this.#draw()
    })
  }

  #draw() {
    const { clientWidth, clientHeight } = this.#canvas
    const scale = devicePixelRatio
    this.#canvas.width = clientWidth * scale
    this.#canvas.height = clientHeight * scale
    const context = this.#canvas.getContext("2d")
    context.scale(scale, scale)
    const style = getComputedStyle(this.#canvas)
    const middle = clientHeight / 2
    const step = clientWidth / FRAMES
    context.fillStyle = style.getPropertyValue("--edge")
    context.fillRect(0, middle - 0.5, clientWidth, 1)
    const left = clientWidth - this.#frames.length * step
    for (const [lane, color] of [[0, "--caller"], [1, "--agent"]]) {
      context.fillStyle = style.getPropertyValue(color)
      this.#frames.forEach((levels, n) => {
        const height = levels[lane] * (middle - 6)
        if (height > 0) context.fillRect(left + n * step, lane ? middle + 1 : middle - 1 - height, Math.max(1, step), height)
      })
    }
  }
}
