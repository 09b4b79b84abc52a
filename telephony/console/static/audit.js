// The audit: filters in the address, and a list that grows by pages.

import { $, element, get, instant, legible, notice, show } from "./console.js"
import { Filters, Searching } from "./filters.js"

const WORDS = {
  "log in": "Logged in", "log out": "Logged out", listen: "Listened", export: "Exported", "take over": "Took over",
  "hand back": "Handed back", "hang up": "Hung up", transfer: "Transferred", approve: "Approved a tool",
  reject: "Rejected a tool", say: "Let the agent speak", erase: "Erased", configure: "Changed the configuration",
  "create token": "Created a token", "revoke token": "Revoked a token",
}
const PLAYBACK = /, playback \w+$/ // which requests belong to one listening: nothing for a person
const searching = new Searching($("list"), $("found"))
let next = null
let asking = new AbortController()

function row({ at, who, action, call, number, detail }) {
  const about = element("span", "about")
  if (call) {
    const link = element("a", number ? "number" : "mono", number ? legible(number) : call)
    link.href = `calls/${encodeURIComponent(call)}?${new URLSearchParams({ audit: filters.query() })}` // the way back
    if (number) link.title = call
    about.append(link, detail ? " · " : "")
  }
  about.append(detail.replace(PLAYBACK, ""))
  return element("li", "", element("div", "row",
    element("time", "quiet", instant(at)), element("b", "", who), element("span", "", WORDS[action] ?? action), about))
}

async function load({ more = false } = {}) {
  asking.abort()
  asking = new AbortController()
  const { signal } = asking
  const query = filters.query()
  if (more) query.set("before", next)
  $("more").disabled = true
  if (!more) searching.begins()
  try {
    const page = await get(`api/audit?${query}`, { signal })
    if (signal.aborted) return
    searching.ends()
    notice($("notice"), "")
    filters.choices("action", page.actions.map(action => [action, WORDS[action] ?? action]))
    const items = page.entries.map(row)
    if (more) $("entries").append(...items)
    else $("entries").replaceChildren(...items)
    next = page.next
    const n = $("entries").childElementCount
    $("more").hidden = !next
    $("titles").hidden = n === 0
    $("nothing").hidden = n > 0
    show($("advice"), filters.query().size ? "No entry matches these filters." : "An entry appears here when somebody does one of these things.")
    const count = n === 1 ? "1 entry" : `${n} entries`
    show($("found"), next ? `The newest ${count}` : n === 0 ? "" : count)
  } catch (error) {
    if (error.name === "AbortError") return
    searching.ends()
    notice($("notice"), error.message)
  }
  $("more").disabled = false
}

const filters = new Filters($("filters"), ["who", "action", "call", "from", "to"], load)
$("more").addEventListener("click", () => load({ more: true }))
load()
