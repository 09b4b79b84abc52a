// The history: filters in the address, and a list that grows by pages.

import { $, clock, element, get, moment, notice, party, show } from "./console.js"

const form = $("filters")
const FILTERS = ["q", "agent", "why", "from", "to"]
let cursor = null
let asking = new AbortController()
let timer

function filters() {
  const set = FILTERS.map(name => [name, form.elements[name].value.trim()]).filter(([, value]) => value)
  return new URLSearchParams(set)
}

function row(call) {
  const { label } = party(call)
  const link = element("a", "number", label)
  link.href = `calls/${call.sid}`
  const line = element("div", "row", link,
    element("time", "quiet", moment(call.started_at)),
    element("span", "agent-name", call.agent || "–"),
    element("span", "words", [call.outcome, call.summary].filter(Boolean).join(". ")),
    element("span", "", call.live ? element("span", "tag good", "Live") : call.why),
    element("span", "figure right", call.duration_s == null ? "–" : clock(call.duration_s)))
  return element("li", "", line)
}

/** Ask for the first page, or with `more` for the next one. */
async function load({ more = false } = {}) {
  asking.abort()
  asking = new AbortController()
  const wanted = filters()
  if (!more) {
    const address = `${location.pathname}${wanted.size ? `?${wanted}` : ""}`
    history.replaceState(null, "", address)
    cursor = null
  }
  if (cursor) wanted.set("cursor", cursor)
  $("more").disabled = true
  let page
  try {
    page = await get(`api/calls?${wanted}`, { signal: asking.signal })
  } catch (error) {
    if (error.name !== "AbortError") {
      notice($("notice"), error.message)
      $("more").disabled = false
    }
    return
  }
  notice($("notice"), "")
  choices(page)
  const items = page.calls.map(row)
  if (more) $("calls").append(...items)
  else $("calls").replaceChildren(...items)
  cursor = page.next
  const n = $("calls").childElementCount
  $("more").hidden = !cursor
  $("more").disabled = false
  $("nothing").hidden = n > 0 || Boolean(cursor)
  show($("advice"), filters().size ? "No call matches these filters." : "Calls appear here when they begin.")
  show($("found"), n === 0 ? "" : cursor ? `The newest ${n} calls` : n === 1 ? "1 call" : `${n} calls`)
}

/** Fill the two selections once, and keep what the address asks for. */
function choices({ agents, why }) {
  const fill = (name, pairs) => {
    const select = form.elements[name]
    if (select.options.length > 1 + (select.dataset.asked ? 1 : 0)) return
    const value = select.value
    const known = pairs.some(([key]) => key === value)
    select.append(...pairs.filter(([key]) => key !== value).map(([key, label]) => new Option(label, key)))
    for (const option of select.options) option.text = pairs.find(([key]) => key === option.value)?.[1] ?? option.text
    if (value && !known) select.value = value
  }
  fill("agent", agents.map(name => [name, name]))
  fill("why", Object.entries(why))
}

const asked = new URLSearchParams(location.search)
for (const name of FILTERS) {
  const value = asked.get(name)
  if (!value) continue
  const field = form.elements[name]
  if (field.tagName === "SELECT") {
    field.append(new Option(value, value))
    field.dataset.asked = "1"
  }
  field.value = value
}
form.addEventListener("input", () => {
  clearTimeout(timer)
  timer = setTimeout(load, 150)
})
form.addEventListener("submit", event => {
  event.preventDefault()
  clearTimeout(timer)
  load()
})
$("more").addEventListener("click", () => load({ more: true }))
load()
