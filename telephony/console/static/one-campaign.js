// One campaign: its funnel, its calls, its contacts, and pause, resume and stop.

import { $, element, get, notice, post, show } from "./console.js"
import { bar, statusTag } from "./campaign-parts.js"
import { ask } from "./ask.js"

const id = decodeURIComponent(location.pathname.split("/").at(-1))
const path = `api/campaigns/${encodeURIComponent(id)}`
let next = null
let shown = 0

function time(at) {
  return at ? new Date(at).toLocaleString([], { dateStyle: "short", timeStyle: "short" }) : "–"
}

function draw(campaign) {
  const { funnel, status } = campaign
  show($("name"), campaign.name || campaign.id)
  document.title = `${campaign.id} – campaign`
  $("status").replaceChildren(statusTag(status, campaign.pause_reason))
  $("pause").hidden = status !== "running"
  $("resume").hidden = !["paused", "created"].includes(status)
  show($("resume"), status === "created" ? "Run" : "Resume")
  $("stop").hidden = !["running", "paused", "created"].includes(status)
  const cost = funnel.cost ? `, ${funnel.cost} ${funnel.currency}` : ""
  const following = campaign.next_at ? `, next attempt ${time(campaign.next_at)}` : ""
  show($("figures"), `${campaign.live} calls now, ${funnel.minutes} minutes${cost}, ` +
    `${campaign.abandoned_in_day} abandoned today${following}`)
  const steps = [["Contacts", funnel.contacts], ["Valid", funnel.contacts - (funnel.states.invalid ?? 0)],
    ["Done", funnel.states.done ?? 0], ["Answered by a person", funnel.answered], ["Reached", funnel.outcomes.reached ?? 0]]
  $("funnel").replaceChildren(...steps.map(([name, count]) => bar(name, count, funnel.contacts)))
  const outcomes = Object.entries(funnel.outcomes)
  const most = Math.max(0, ...outcomes.map(([, count]) => count))
  $("outcomes").replaceChildren(...outcomes.map(([name, count]) => bar(name, count, most)))
  const highest = Math.max(1, ...campaign.hours.map(({ calls }) => calls))
  $("hours").replaceChildren(...campaign.hours.map(({ at, calls }) => {
    const filled = element("span", "filled")
    filled.style.height = `${(100 * calls) / highest}%`
    const hour = element("li", "", element("span", "unseen", `${time(at)}: ${calls} calls`), filled)
    hour.title = `${time(at)}: ${calls} calls`
    return hour
  }))
}

function contact(row) {
  const heading = element("th", "", row.id)
  heading.scope = "row"
  const state = row.problem ? `${row.state}: ${row.problem}` : row.reason ? `${row.state}: ${row.reason}` : row.state
  const calls = element("td", "number")
  row.attempts.forEach((each, n) => {
    if (n) calls.append(", ")
    if (!each.sid) return calls.append(each.outcome ?? "now")
    const link = element("a", "", each.outcome ?? "now")
    link.href = `calls/${encodeURIComponent(each.sid)}`
    calls.append(link)
  })
  return element("tr", "", heading, element("td", "number", row.number), element("td", "", state),
    element("td", "", row.outcome ?? "–"), calls, element("td", "number", time(row.next_at)))
}

async function loadContacts(after = "") {
  const form = new FormData($("filters"))
  const query = new URLSearchParams({ search: form.get("search"), state: form.get("state"), after })
  const mine = ++shown
  const page = await get(`${path}/contacts?${query}`)
  if (mine !== shown) return
  const rows = page.contacts.map(contact)
  if (after) $("contacts").append(...rows)
  else $("contacts").replaceChildren(...rows)
  next = page.next
  $("more").hidden = !next
  $("nothing").hidden = Boolean(after) || rows.length > 0
}

async function attempt(work) {
  try {
    await work()
    notice($("notice"), "")
  } catch (error) {
    notice($("notice"), error.message)
  }
}

const load = () => attempt(async () => draw(await get(path)))
const change = what => attempt(async () => draw(await (await post(`${path}/${what}`)).json()))

$("pause").onclick = () => change("pause")
$("resume").onclick = () => change("resume")
$("stop").onclick = () => ask({
  title: "Stop the campaign?", text: "Contacts that were not called stay uncalled. A stopped campaign cannot go on.",
  action: "Stop", danger: true, run: () => change("stop"),
})
$("more").onclick = () => attempt(() => loadContacts(next))
$("filters").onsubmit = event => event.preventDefault()
$("filters").oninput = () => attempt(() => loadContacts())

load()
attempt(() => loadContacts())
setInterval(load, 2000)
