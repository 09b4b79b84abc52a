// The history: filters in the address, and a list that grows by pages.

import { $, clock, element, get, moment, notice, party, show } from "./console.js"
import { Filters } from "./filters.js"

const PAGE = 50
let cursor = null
let asking = new AbortController()
let opening = false // the first result is opened as soon as it is found

function row(call) {
  const { label } = party(call)
  const link = element("a", "number", label)
  const search = filters.query()
  link.href = `calls/${call.sid}${search.size ? `?${new URLSearchParams({ search })}` : ""}` // the way back to this search
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
  const wanted = filters.query()
  if (!more) cursor = null
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
      opening = false
      notice($("notice"), error.message)
      $("more").disabled = false
      return
    }
    if (signal.aborted) return
    notice($("notice"), "")
    filters.choices("agent", page.agents.map(name => [name, name]))
    filters.choices("why", Object.entries(page.why))
    const items = page.calls.map(row)
    if (fresh) $("calls").replaceChildren(...items)
    else $("calls").append(...items)
    fresh = false
    if (opening && items.length) return $("calls").querySelector("a").click()
    cursor = page.next
    missing -= items.length
    tell(cursor && missing > 0)
  } while (cursor && missing > 0)
  opening = false
  $("more").disabled = false
}

function tell(searching) {
  const n = $("calls").childElementCount
  $("more").hidden = !cursor || searching
  $("nothing").hidden = n > 0 || searching
  show($("advice"), filters.query().size ? "No call matches these filters." : "Calls appear here when they begin.")
  const count = n === 1 ? "1 call" : `${n} calls`
  show($("found"), searching ? `${count}, searching older ones` : cursor ? `The newest ${count}` : n === 0 ? "" : count)
}

const filters = new Filters($("filters"), ["q", "agent", "why", "interrupted", "from", "to"], load)
$("more").addEventListener("click", () => load({ more: true }))

const search = $("filters").elements.q
$("filters").addEventListener("input", () => { opening = false })
search.addEventListener("keydown", event => {
  if (event.key !== "Enter" || event.isComposing || event.repeat) return
  event.preventDefault()
  opening = search.value.trim() !== ""
  $("filters").requestSubmit()
})
for (const place of [search, $("calls")]) {
  place.addEventListener("keydown", event => {
    const step = { ArrowDown: 1, ArrowUp: -1 }[event.key]
    const stops = [search, ...$("calls").querySelectorAll("a")]
    const next = step && stops[stops.indexOf(document.activeElement) + step]
    if (!next || event.altKey || event.ctrlKey || event.metaKey || event.shiftKey) return
    event.preventDefault()
    next.focus()
  })
}
load()
