// The history: filters in the address, and a list that grows by pages.

import { $, clock, element, get, moment, notice, party, show } from "./console.js"
import { Filters, Searching } from "./filters.js"

const PAGE = 50
let cursor = null
let asking = new AbortController()
const searching = new Searching($("list"), $("found"))
let opening = false // the first result is opened as soon as it is found

function row(call) {
  const { label } = party(call)
  const link = element("a", "number", label)
  const search = filters.query()
  link.href = `calls/${call.sid}${search.size ? `?${new URLSearchParams({ search })}` : ""}` // the way back to this search
  const line = element("div", "row", link,
    element("time", "quiet", moment(call.started_at)),
    element("span", "agent-name", call.agent || "–"),
    element("span", "words", ...(call.taken_over_by?.length ? [element("span", "tag", "Taken over"), " "] : []),
      [call.outcome, call.summary].filter(Boolean).join(". ")),
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
  if (!more) searching.begins()
  let missing = PAGE
  let fresh = !more
  do {
    if (cursor) wanted.set("cursor", cursor)
    let page
    try {
      page = await get(`api/calls?${wanted}`, { signal })
    } catch (error) {
      if (error.name === "AbortError") return
      searching.ends()
      opening = false
      notice($("notice"), error.message)
      $("more").disabled = false
      return
    }
    if (signal.aborted) return
    notice($("notice"), "")
    filters.choices("agent", page.agents.map(name => [name, name]))
    filters.choices("why", Object.entries(page.why))
    cursor = page.next
    const items = page.calls.map(row)
    if (fresh) $("calls").replaceChildren(...items)
    else $("calls").append(...items)
    fresh = false
    if (items.length || !cursor) searching.ends()
    if (opening && items.length) return $("calls").querySelector("a").click()
    missing -= items.length
    tell(cursor && missing > 0)
  } while (cursor && missing > 0)
  opening = false
  $("more").disabled = false
}

function tell(goesOn) {
  const n = $("calls").childElementCount
  $("more").hidden = !cursor || goesOn
  $("titles").hidden = n === 0
  $("nothing").hidden = n > 0 || goesOn
  show($("advice"), filters.query().size ? "No call matches these filters." : "Calls appear here when they begin.")
  const count = n === 1 ? "1 call" : `${n} calls`
  show($("found"), goesOn ? `${count}, searching older ones` : cursor ? `The newest ${count}` : n === 0 ? "" : count)
}

const filters = new Filters($("filters"), ["q", "agent", "why", "interrupted", "taken_over", "from", "to"], load)
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
