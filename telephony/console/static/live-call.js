// A live call: what is said and done, as it happens, and tools that wait for an approval.

import { $, act, clock, consoleOf, element, follow, get, notice, party, post, show } from "./console.js"
import { Talk } from "./talk.js"

const LOST = "The connection to this call was lost. This page connects again."
const UNREACHABLE = "The server process of this call does not answer. If the caller is still there, another process goes on with the call soon. This page follows."

export class LiveCall {
  #sid
  #timeline
  #supervision
  #may
  #reload
  #talk = new Talk($("talk"), { isLive: true })
  #stop = () => {}

  /** `reload` is called when the call is over, and when another process has it. */
  constructor(sid, timeline, supervision, may, reload) {
    this.#sid = sid
    this.#timeline = timeline
    this.#supervision = supervision
    this.#may = may
    this.#reload = reload
  }

  /** Follow the call in the process that has it. A proxy sends the addresses of other pages to any process. */
  follow(instance) {
    const call = this.#supervision.call = `${consoleOf(instance)}api/calls/${this.#sid}`
    document.body.classList.add("follows")
    $("player").hidden = true
    $("timeline").hidden = $("conversation").hidden = $("silent").hidden = false
    show($("silent"), "Loading the conversation…")
    notice($("state"), "Connecting to the live call…")
    this.#supervision.expect(this.#may)
    let failures = 0
    this.#stop = follow(`${call}/feed`, {
      data: event => {
        failures = 0
        notice($("problem"), "")
        this.#show(event)
      },
      lost: async () => {
        notice($("problem"), ++failures < 2 ? LOST : UNREACHABLE)
        if (failures < 2) return
        const found = await get(`api/calls/${this.#sid}`).catch(() => null)
        if (!found || found.live?.instance === instance) return // the feed is tried again
        this.#stop()
        this.#reload() // the call is over, or another process has it
      },
    })
  }

  #show({ call, entries, wave, elapsed_ms, targets }) {
    showStatus(call, elapsed_ms)
    this.#supervision.show(call, targets, this.#may)
    this.#talk.put(entries)
    const all = this.#talk.entries
    $("silent").hidden = all.length > 0
    show($("silent"), "Nothing was said yet.")
    leaveSpace()
    this.#timeline.add({ elapsed_ms, wave, entries: all })
    this.#showApprovals(all)
    if (call.over) this.#end()
  }

  #showApprovals(entries) {
    const waiting = entries.filter(entry => entry.type === "tool" && entry.waits)
    const known = new Map([...$("approvals").children].map(node => [node.dataset.id, node]))
    for (const entry of waiting) {
      if (known.delete(entry.call_id)) continue
      const text = element("div", "", element("b", "", `The agent asks to use “${entry.name}”`), element("p", "mono", entry.arguments))
      const card = element("section", "approval", text)
      card.dataset.id = entry.call_id
      card.setAttribute("role", "alert")
      if (this.#may.has("control")) card.append(element("div", "buttons",
        this.#decision(entry, "Approve", "primary", "approve"), this.#decision(entry, "Reject", "danger", "reject")))
      $("approvals").append(card)
    }
    for (const card of known.values()) card.remove()
  }

  #decision(entry, label, className, path) {
    const button = element("button", className, label)
    button.onclick = () => act(button, () => post(`${this.#supervision.call}/${path}`, { call_id: entry.call_id }))
    return button
  }

  async #end() {
    this.#stop()
    this.#supervision.stop()
    notice($("warnings"), "")
    $("subtitle").classList.remove("live")
    $("state").setAttribute("role", "status")
    $("state").classList.remove("live")
    notice($("state"), "This call has just ended.")
    this.#reload({ hasEnded: true })
  }
}

/** Let the conversation end where the window ends, so that the newest words are in view. */
function leaveSpace() {
  const above = Math.round($("talk").getBoundingClientRect().top + scrollY)
  const now = `${above}px`
  if (document.body.style.getPropertyValue("--above") !== now) document.body.style.setProperty("--above", now)
}

function showStatus(call, elapsed_ms) {
  show($("title"), party(call).number)
  document.title = `${party(call).number} · Telephony`
  show($("subtitle"), [call.direction?.startsWith("outbound") ? "Called by the agent" : "Called us", call.agent].filter(Boolean).join(" · "))
  const speaks = { caller: "The caller speaks", agent: "The agent speaks" }[call.speaking] ?? "Nobody speaks"
  $("state").removeAttribute("role") // it changes each second
  showCells($("state"), {
    time: `Live for ${clock(elapsed_ms / 1000)} `,
    speaks: `${call.taken_over ? "A supervisor has taken over" : speaks} `,
    answer: call.latency_ms == null ? "" : `Last answer after ${(call.latency_ms / 1000).toFixed(1)} s`,
  })
  $("subtitle").classList.add("live")
  notice($("warnings"), call.warnings.join(" · "))
  $("warnings").classList.toggle("bad", call.warnings.some(text => /^(Waits|No conn)/.test(text)))
}

/** Show texts in the cells of an element. The size of a cell does not change with its text. */
function showCells(node, texts) {
  node.classList.add("live")
  node.hidden = false
  if (!node.firstElementChild) node.replaceChildren(...Object.keys(texts).map(name => element("span", name)))
  for (const cell of node.children) show(cell, texts[cell.className])
}
