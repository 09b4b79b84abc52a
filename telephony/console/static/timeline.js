// The picture of a call: the loudness of both sides, and what happened, on one axis of time.

import { clock } from "./console.js"

// The height, the height of a side, and where the sides, the events and the axis are. A live call has less space.
const WHOLE = { height: 196, lane: 54, caller: 12, events: 72, event: 22, agent: 100, axis: 172 }
const COMPACT = { height: 120, lane: 32, caller: 6, events: 42, event: 16, agent: 62, axis: 102 }
const LIVE_S = 60 // a live call shows its last minute
const LATE_MS = 300 // the caller hears a supervisor at most so much later than the turn says
const COLORS = ["caller", "agent", "supervisor", "caller-ground", "agent-ground", "supervisor-ground", "rule", "quiet", "alert", "tool", "key", "event", "ink", "card", "edge"]

export class Timeline {
  #canvas
  #scroller
  #levels = { caller: new Map(), agent: new Map() } // step -> loudness from 0 to 100
  #step = 50
  #entries = []
  #marks = []
  #clears = []
  #duration = 0 // ms
  #at = null // ms, the position of the playback
  #live = false
  #asked = false

  /** `onSeek(ms)` is called when the person points at a moment. */
  constructor(canvas, scroller, onSeek) {
    this.#canvas = canvas
    this.#scroller = scroller
    canvas.addEventListener("click", ({ offsetX }) => {
      if (!this.#live && this.#duration) onSeek(this.#from + offsetX / this.#scale)
    })
    addEventListener("resize", () => this.#soon())
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => this.#soon())
  }

  /** A recorded call. */
  set({ duration_ms, wave, marks, clears, entries }) {
    this.#live = false
    this.#duration = duration_ms
    this.#step = wave.step_ms
    for (const side of ["caller", "agent"]) this.#levels[side] = new Map(wave[side].map((level, n) => [n, level]))
    this.#marks = marks
    this.#clears = clears
    this.#entries = entries
    this.#soon()
  }

  /** News of a live call. */
  add({ elapsed_ms, wave, entries }) {
    this.#live = true
    this.#duration = elapsed_ms
    if (wave.step_ms) {
      this.#step = wave.step_ms
      for (const side of ["caller", "agent"]) for (const [n, level] of wave[side]) this.#levels[side].set(n, level)
      this.#marks.push(...wave.marks)
      this.#clears.push(...wave.clears)
    }
    this.#entries = entries
    this.#soon()
  }

  /** The position of the playback, in ms. */
  set at(ms) {
    this.#at = ms
    this.#soon()
    const x = (ms - this.#from) * this.#scale
    const { scrollLeft, clientWidth } = this.#scroller
    if (x < scrollLeft || x > scrollLeft + clientWidth - 40) this.#scroller.scrollLeft = x - clientWidth / 3
  }

  get #size() {
    return this.#live ? COMPACT : WHOLE
  }

  get #from() {
    return this.#live ? Math.max(0, this.#duration - LIVE_S * 1000) : 0
  }

  get #span() {
    return this.#live ? LIVE_S * 1000 : Math.max(1000, this.#duration)
  }

  get #width() {
    const fits = this.#scroller.clientWidth
    return this.#live ? fits : Math.max(fits, Math.min(12000, this.#span / 1000 * 7))
  }

  get #scale() {
    return this.#width / this.#span
  }

  #soon() {
    if (this.#asked) return
    this.#asked = true
    requestAnimationFrame(() => {
      this.#asked = false
      this.#draw()
    })
  }

  #draw() {
    const width = this.#width
    const ratio = Math.min(devicePixelRatio, 16000 / width)
    this.#canvas.style.width = `${width}px`
    this.#canvas.style.height = `${this.#size.height}px`
    this.#canvas.width = width * ratio
    this.#canvas.height = this.#size.height * ratio
    const context = this.#canvas.getContext("2d")
    context.scale(ratio, ratio)
    const style = getComputedStyle(this.#canvas)
    const color = Object.fromEntries(COLORS.map(name => [name, style.getPropertyValue(`--${name}`)]))
    context.font = `12px ${style.fontFamily}`
    this.#axis(context, color, width)
    this.#turns(context, color)
    this.#wave(context, "caller", this.#size.caller, () => color.caller)
    this.#wave(context, "agent", this.#size.agent, ms => this.#isSupervisor(ms) ? color.supervisor : color.agent)
    this.#events(context, color, width)
    if (this.#at !== null) {
      context.fillStyle = color.ink
      context.fillRect(this.#x(this.#at) - 1, 0, 2, this.#size.axis)
    }
  }

  #x(ms) {
    return (ms - this.#from) * this.#scale
  }

  #axis(context, color, width) {
    const step = [1, 2, 5, 10, 15, 30, 60, 120, 300, 600].find(s => s * 1000 * this.#scale >= 64) ?? 1200
    context.textBaseline = "middle"
    for (let s = Math.ceil(this.#from / 1000 / step) * step; s * 1000 <= this.#from + this.#span; s += step) {
      const x = this.#x(s * 1000)
      context.fillStyle = color.rule
      context.fillRect(x, this.#size.caller - 4, 1, this.#size.axis - this.#size.caller + 4)
      context.fillStyle = color.quiet
      if (x < width - 34) context.fillText(clock(s), x + 3, this.#size.axis + 10)
    }
    context.fillStyle = color.rule
    context.fillRect(0, this.#size.axis, width, 1)
  }

  /** Where each side spoke, also where the loudness is not known. */
  #turns(context, color) {
    for (const entry of this.#entries) {
      if (entry.type !== "turn") continue
      const y = entry.speaker === "caller" ? this.#size.caller : this.#size.agent
      const x = this.#x(entry.start_ms)
      const width = Math.max(2, this.#x(entry.end_ms ?? this.#duration) - x)
      context.fillStyle = color[`${entry.speaker}-ground`]
      context.beginPath()
      context.roundRect(x, y, width, this.#size.lane, 5)
      context.fill()
    }
  }

  /** Does the caller hear a supervisor in place of the agent at this moment? */
  #isSupervisor(ms) {
    return this.#entries.some(entry => entry.speaker === "supervisor" && entry.start_ms <= ms && ms < (entry.end_ms ?? this.#duration) + LATE_MS)
  }

  /** `colorAt(ms)` returns the color of the side at a moment. */
  #wave(context, side, y, colorAt) {
    const step = this.#step
    const [first, last] = [Math.floor(this.#from / step), Math.ceil((this.#from + this.#span) / step)]
    const width = Math.max(1, step * this.#scale - 0.5)
    for (let n = first; n <= last; n++) {
      const level = this.#levels[side].get(n)
      if (!level) continue
      const height = level / 100 * this.#size.lane
      context.fillStyle = colorAt(n * step)
      context.fillRect(this.#x(n * step), y + (this.#size.lane - height) / 2, width, height)
    }
  }

  #events(context, color, width) {
    context.fillStyle = color.edge
    for (const ms of this.#marks) context.fillRect(this.#x(ms), this.#size.agent + this.#size.lane + 4, 1, 4)
    context.fillStyle = color.alert
    for (const ms of this.#clears) context.fillRect(this.#x(ms) - 1, this.#size.agent + this.#size.lane + 2, 2, 8)
    let free = -Infinity // where the next label may begin
    for (const entry of this.#entries) {
      const x = this.#x(entry.start_ms)
      if (x < -200 || entry.type === "turn") continue
      const kind = { tool: "tool", key: "key", interruption: "alert", guardrail: "alert", error: "alert" }[entry.type] ?? "event"
      context.fillStyle = color[kind]
      if (kind === "alert") {
        context.fillRect(x - 1, this.#size.caller, 2, this.#size.agent + this.#size.lane - this.#size.caller)
      } else if (kind === "tool") {
        context.beginPath()
        context.roundRect(x, this.#size.events, Math.max(4, this.#x(entry.end_ms ?? this.#duration) - x), this.#size.event, 4)
        context.fill()
      } else {
        context.beginPath()
        context.arc(x, this.#size.events + this.#size.event / 2, 4, 0, 7)
        context.fill()
      }
      if (entry.type === "tool" && x > free) {
        const begin = Math.max(x + 4, this.#x(entry.end_ms ?? entry.start_ms)) + 5
        const size = context.measureText(entry.name).width
        if (begin + size < width) context.fillText(entry.name, begin, this.#size.events + this.#size.event / 2)
        free = begin + size
      }
    }
  }
}
