// The conversation as a list: turns of both sides, tools and events, each with its moment.

import { clock, element, heardOf, spoken } from "./console.js"

const WHO = { caller: "Caller", agent: "Agent", supervisor: "Supervisor" }
const WORDS = {
  interruption: {
    caller: "The caller interrupted the agent", digit: "A key of the caller stopped the agent",
    guardrail: "A guardrail stopped the agent", tool: "A tool stopped the agent",
    api: "The application stopped the agent", call: "The call stopped the agent",
    supervisor: "A supervisor stopped the agent",
  },
  control: "Request: ",
}
const UNHEARD = {
  interrupted: " · was cut off, the struck words were not heard",
  "call ended": " · the call ended, the struck words were not heard",
}
const CONTROL = {
  "supervisor.take_over": "A supervisor took over", "supervisor.hand_back": "The supervisor handed the call back",
  "supervisor.hang_up": "A supervisor hung up", "supervisor.transfer": "A supervisor transferred the caller",
  "supervisor.approve": "A supervisor approved the tool", "supervisor.reject": "A supervisor rejected the tool",
  "supervisor.say": "A supervisor let the agent say something", "supervisor.away": "The supervisor’s connection was lost",
  "supervisor.back": "The supervisor is back", hang_up: "The agent hangs up", transfer: "The agent transfers the caller",
  collect_digits: "The agent asks for keys", hold: "The caller is on hold", muted: "The agent does not hear the caller",
}
const AT_END_PX = 60
const GESTURE_MS = 1000

export class Talk {
  #list
  #items = new Map() // id -> {item, state, entry}
  #onSeek
  #isLive
  #follows = true // the newest entry stays in view
  #now = null
  #found = null

  /** `onSeek(ms)` is called when a moment is chosen. Null: the moments are only shown. `isLive`: the entries still change,
   *  and the newest stays in view until the person scrolls up. */
  constructor(list, { onSeek = null, isLive = false }) {
    this.#list = list
    this.#onSeek = onSeek
    this.#isLive = isLive
    list.replaceChildren()
    if (!isLive) return
    let movedAt = -Infinity
    for (const type of ["wheel", "touchmove", "pointermove", "keydown"]) {
      list.addEventListener(type, () => { movedAt = performance.now() }, { passive: true })
    }
    list.addEventListener("scroll", () => {
      if (performance.now() > movedAt + GESTURE_MS) return // the page has scrolled, and not the person
      this.#follows = list.scrollHeight - list.scrollTop - list.clientHeight < AT_END_PX
    })
    new ResizeObserver(() => this.#follow()).observe(list)
  }

  get entries() {
    return [...this.#items.values()].map(({ entry }) => entry).sort((a, b) => a.start_ms - b.start_ms)
  }

  /** Show these entries; those with a known id replace the earlier ones. */
  put(entries) {
    for (const entry of entries) {
      const state = JSON.stringify(entry)
      let shown = this.#items.get(entry.id)
      if (!shown) {
        shown = { item: element("li") }
        this.#items.set(entry.id, shown)
        this.#list.append(shown.item)
      }
      if (shown.state === state) continue
      Object.assign(shown, { state, entry })
      this.#fill(shown.item, entry)
    }
    if (!entries.length) return
    this.#sort()
    this.#follow()
  }

  /** Put the items in the order of their moments. Few are moved, because entries come nearly in order. */
  #sort() {
    const sorted = [...this.#items.values()].sort((a, b) => a.entry.start_ms - b.entry.start_ms)
    let next = this.#list.firstElementChild
    for (const { item } of sorted) {
      if (item === next) next = next.nextElementSibling
      else this.#list.insertBefore(item, next)
    }
  }

  #follow() {
    if (this.#isLive && this.#follows && document.body.classList.contains("follows")) this.#list.scrollTo({ top: this.#list.scrollHeight, behavior: "instant" })
  }

  /** Mark what is playing at this moment. */
  at(ms) {
    let now = null
    for (const { item, entry } of this.#items.values()) {
      if (entry.type === "turn" && entry.start_ms <= ms && ms < Math.max(entry.end_ms ?? Infinity, entry.start_ms + 300)) now = item
    }
    if (now === this.#now) return
    this.#now?.classList.remove("now")
    this.#now?.removeAttribute("aria-current")
    this.#now = now
    if (!now) return
    now.classList.add("now")
    now.setAttribute("aria-current", "true")
    const list = this.#list
    const top = now.offsetTop - list.offsetTop
    if (top < list.scrollTop || top + now.clientHeight > list.scrollTop + list.clientHeight) list.scrollTop = top - list.clientHeight / 3
  }

  /** Scroll the list to an entry, mark it, and move the focus to it. The timeline above the list stays in view. */
  reveal(id) {
    const item = this.#items.get(id)?.item
    if (!item) return
    this.#found?.classList.remove("found")
    this.#found = item
    item.classList.add("found")
    item.querySelector("button").focus({ preventScroll: true })
    this.#list.scrollTo({ top: item.offsetTop - this.#list.offsetTop - this.#list.clientHeight / 3, behavior: "instant" })
    document.querySelector("#timeline").scrollIntoView()
    item.scrollIntoView({ block: "nearest", behavior: "instant" })
  }

  #fill(item, entry) {
    const at = element("button", "at", entry.label ?? clock(entry.start_ms / 1000))
    at.type = "button"
    at.disabled = !this.#onSeek
    at.onclick = () => this.#onSeek?.(entry.start_ms)
    if (this.#onSeek) at.setAttribute("aria-label", `Play from ${at.textContent}`)
    const body = element("div")
    if (entry.type === "turn") body.append(...turn(entry, this.#isLive))
    else if (entry.type === "tool") body.append(...tool(entry))
    else body.append(element("p", "", words(entry)))
    const kind = entry.type === "turn" ? entry.speaker : entry.type === "tool" ? "tool" : `event ${entry.type}`
    item.className = `${kind}${entry.interrupted || entry.unheard ? " cut" : ""}`
    item.hidden = entry.words === "" // it says nothing to a supervisor
    item.replaceChildren(at, body)
  }
}

function turn(entry, isLive) {
  const who = element("p", "who", WHO[entry.speaker] ?? entry.speaker)
  if (entry.latency_ms != null) who.append(element("span", "quiet", ` · answered after ${(entry.latency_ms / 1000).toFixed(1)} s`))
  const text = element("p")
  if (entry.speaker !== "agent") {
    const silent = entry.speaker === "supervisor" ? "speaks to the caller"
      : isLive && !entry.is_final ? "(is being written down)" : "(no words were recognized)"
    text.textContent = spoken(entry.said) || (entry.end_ms == null ? "speaks" : silent)
    if (!entry.said) text.className = "quiet"
    return [who, text]
  }
  const end = entry.heard !== undefined ? entry.heard.length : heardOf(entry.said, entry.heard_share ?? 1)
  const [heard, rest] = [entry.said.slice(0, end), entry.said.slice(end)]
  text.append(heard)
  if (rest.trim()) {
    text.append(element("span", "rest", element("span", "unseen", entry.interrupted || entry.unheard ? " (not heard: " : " (not heard yet: "), rest,
      element("span", "unseen", ")")))
  }
  const why = UNHEARD[entry.unheard || (entry.interrupted ? "interrupted" : "")]
  if (why && rest.trim()) who.append(element("span", "quiet", why))
  return [who, text]
}

function tool(entry) {
  const seconds = entry.end_ms == null ? "" : ` · ${((entry.end_ms - entry.start_ms) / 1000).toFixed(1)} s`
  const state = entry.waits ? " · waits for approval" : entry.end_ms == null ? " · is running" : seconds
  const parts = [element("p", "who", `Tool ${entry.name}`, element("span", "quiet", state))]
  if (entry.arguments && entry.arguments !== "{}") parts.push(element("pre", "", readable(entry.arguments)))
  if (entry.error) parts.push(element("p", "failed", `Failed: ${entry.error}`))
  if (entry.output) parts.push(element("p", "small quiet", entry.error ? "The agent was told:" : "Result:"), element("pre", "", readable(entry.output)))
  return parts
}

/** JSON in lines of "name: value"; other text as it is. */
function readable(text) {
  try {
    const value = JSON.parse(text)
    if (value && typeof value === "object" && !Array.isArray(value)) {
      return Object.entries(value).map(([name, each]) => `${name}: ${typeof each === "string" ? each : JSON.stringify(each)}`).join("\n")
    }
  } catch { /* no JSON */ }
  return text
}

function words(entry) {
  if (entry.words) return entry.words
  const known = WORDS[entry.type]
  if (entry.type === "interruption") return known[entry.cause] ?? known.caller
  if (entry.type === "key") return entry.text.length === 1 ? `The caller pressed ${entry.text}` : "The caller pressed a key"
  if (entry.type === "control") {
    const [, action, said] = entry.text.match(/^([\w.]+)(?:\(.*?said=(.+)\))?/s) ?? []
    if (CONTROL[action]) return said ? `${CONTROL[action]} and wrote: “${said}”` : CONTROL[action]
  }
  return `${known ?? ""}${entry.text}`
}
