// The campaigns, read again every five seconds.

import { $, element, get, notice, show } from "./console.js"
import { statusTag } from "./campaign-parts.js"

function row({ id, status, pause_reason, funnel }) {
  const link = element("a", "", id)
  link.href = `campaigns/${encodeURIComponent(id)}`
  const heading = element("th", "", link)
  heading.scope = "row"
  const cells = [funnel.contacts, funnel.states.done ?? 0, funnel.outcomes.reached ?? 0, funnel.attempts, funnel.minutes]
  return element("tr", "", heading, element("td", "", statusTag(status, pause_reason)),
    ...cells.map(each => element("td", "number", String(each))))
}

async function load() {
  try {
    const { campaigns } = await get("api/campaigns")
    $("campaigns").replaceChildren(...campaigns.map(row))
    $("nothing").hidden = campaigns.length > 0
    document.querySelector(".scrolls").hidden = campaigns.length === 0
    show($("found"), campaigns.length ? `${campaigns.length} campaigns` : "")
    notice($("notice"), "")
  } catch (error) {
    notice($("notice"), error.message)
  }
}

load()
setInterval(load, 5000)
