// The list of live calls.

import { $, clock, consoleOf, element, follow, legible, notice, party, show, spoken } from "./console.js"

const rows = new Map() // sid -> {call, item, cells}
let offset = 0 // the server's clock minus ours, in ms

const SPEAKS = { caller: "Caller", agent: "Agent", "": "–" }

function put(call) {
  let row = rows.get(call.sid)
  if (!row) {
    row = make()
    rows.set(call.sid, row)
    $("calls").prepend(row.item)
  }
  row.call = call
  fill(row)
}

function make() {
  const cells = {}
  const cell = (name, className, label) => {
    cells[name] = element("span", "")
    return element("span", className, ...(label ? [element("span", "unseen", `${label}: `)] : []), cells[name])
  }
  const link = element("a", "number")
  cells.caller = link
  const line = element("div", "row", link,
    cell("agent", "agent-name", "Agent"), cell("since", "figure", "For"), cell("speaking", "", "Speaking"),
    cell("last", "words", "Last words"), cell("latency", "figure right", "Answers in"), cell("tags", "", ""))
  cells.tags.className = "tags"
  return { item: element("li", "", line), cells }
}

function fill({ call, item, cells }) {
  const address = call.instance ? `${consoleOf(call.instance)}calls/${call.sid}` : `calls/${call.sid}`
  if (cells.caller.getAttribute("href") !== address) cells.caller.href = address
  show(cells.caller, party(call).label)
  show(cells.agent, call.agent || "–")
  show(cells.speaking, SPEAKS[call.speaking])
  cells.speaking.className = `speaks ${call.speaking}`
  const who = { caller: "Caller: ", agent: "Agent: ", supervisor: "Supervisor: " }[call.last.who] ?? ""
  show(cells.last, call.last.text ? who + spoken(call.last.text) : "")
  show(cells.latency, call.latency_ms == null ? "–" : `${(call.latency_ms / 1000).toFixed(1)} s`)
  const tags = call.over ? [["Ended", ""]] : [
    ...(call.taken_over ? [["A supervisor speaks", "good"]] : []),
    ...call.warnings.map(text => [text, text.startsWith("Waits") || text.startsWith("No conn") ? "bad" : "warn"]),
  ]
  const key = JSON.stringify(tags)
  if (cells.tags.dataset.key !== key) {
    cells.tags.dataset.key = key
    cells.tags.replaceChildren(...tags.map(([text, kind]) => element("span", `tag ${kind}`, text)))
  }
  item.classList.toggle("over", call.over)
}

function tick() {
  const now = Date.now() + offset
  for (const { call, cells } of rows.values()) {
    if (!call.over) show(cells.since, call.since ? clock((now - Date.parse(call.since)) / 1000) : "–")
  }
}

/** Show only what matches. */
function sift() {
  const wanted = $("find").value.trim().toLowerCase()
  const digits = wanted.replace(/[^\d]/g, "")
  let shown = 0
  let live = 0
  for (const { call, item } of rows.values()) {
    const text = `${call.caller} ${call.called} ${legible(call.caller)} ${legible(call.called)} ${call.agent}`.toLowerCase()
    const fits = (!wanted || text.includes(wanted) || (digits.length > 2 && text.includes(digits)))
      && (!$("attention").checked || call.warnings.length > 0)
    item.hidden = !fits
    shown += fits
    live += !call.over
  }
  show($("count"), live === 0 ? "" : live === 1 ? "1 call" : `${live} calls`)
  $("titles").hidden = shown === 0
  $("nothing").hidden = rows.size > 0
  $("no-match").hidden = rows.size === 0 || shown > 0
  $("filters").hidden = rows.size < 8 && !wanted && !$("attention").checked
}

follow("api/live", {
  data({ first, state, calls, gone }) {
    $("loading").hidden = true
    show($("connection"), "Up to date")
    $("connection").className = "dot on quiet small"
    offset = Date.parse(state.now) - Date.now()
    if (first) {
      const here = new Set(calls.map(call => call.sid))
      gone = [...rows.keys()].filter(sid => !here.has(sid))
    }
    for (const call of calls.toSorted((a, b) => (a.since ?? "").localeCompare(b.since ?? ""))) put(call)
    for (const sid of gone) {
      rows.get(sid)?.item.remove()
      rows.delete(sid)
    }
    notice($("notice"), state.draining ? "This server is stopping. Live calls go on, and new calls go elsewhere." : "")
    tick()
    sift()
  },
  lost() {
    show($("connection"), "Connecting again")
    $("connection").className = "dot off quiet small"
  },
})
setInterval(tick, 1000)
$("find").addEventListener("input", sift)
$("attention").addEventListener("change", sift)
