// The history: filters in the address, and a list that grows by pages.

import { $, clock, element, get, moment, notice, party, show } from "./console.js"

const form = $("filters")
const PAGE = 50
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

/** Ask for the first page, or with `more` for the next one. The server looks at a part of the calls in one request, so
 *  a page of rare calls takes several. */
async function load({ more = false } = {}) {
  asking.abort()
  asking = new AbortController()
  const { signal } = asking
  const wanted = filters()
  if (!more) {
    history.replaceState(null, "", `${location.pathname}${wanted.size ? `?${wanted}` : ""}`)
    cursor = null
  }
  $("more").disabled = true
  let missing = PAGE
  let fresh = !more
  do {
    if (cursor) wanted.set("cursor", cursor)
    let page
    try {
      page = await get(`api/calls?${wanted}`, { signal })
    } catch (error) {
      if (error.name === "AbortError") return
      notice($("notice"), error.message)
      $("more").disabled = false
      return
    }
    if (signal.aborted) return
    notice($("notice"), "")
    choices(page)
    const items = page.calls.map(row)
    if (fresh) $("calls").replaceChildren(...items)
    else $("calls").append(...items)
    fresh = false
    cursor = page.next
    missing -= items.length
    tell(cursor && missing > 0)
  } while (cursor && missing > 0)
  $("more").disabled = false
}

function tell(searching) {
  const n = $("calls").childElementCount
  $("more").hidden = !cursor || searching
  $("nothing").hidden = n > 0 || searching
  show($("advice"), filters().size ? "No call matches these filters." : "Calls appear here when they begin.")
  const count = n === 1 ? "1 call" : `${n} calls`
  show($("found"), searching ? `${count}, searching older ones` : cursor ? `The newest ${count}` : n === 0 ? "" : count)
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
  timer = setTimeout(load, 80)
})
form.addEventListener("submit", event => {
  event.preventDefault()
  clearTimeout(timer)
  load()
})
$("more").addEventListener("click", () => load({ more: true }))
load()
