// The figures by version of the agents, read again every thirty seconds.

import { $, element, get, moment, notice, show } from "./console.js"

const seconds = ms => ms == null ? "–" : `${(ms / 1000).toFixed(1)} s`
const share = (count, all) => all ? `${count} (${Math.round((100 * count) / all)}\u00a0%)` : String(count)

function counts(pairs, all) {
  if (!pairs.length) return "–"
  return element("ul", "", ...pairs.map(([name, count]) => element("li", "", `${name}: ${share(count, all)}`)))
}

function row(it) {
  const [, name, digest, canary] = it.version.match(/^(.*?) ?([0-9a-f]{12})( canary)?$/) ?? [null, it.version, "", ""]
  const heading = element("th", "", element("b", "", name), " ", element("span", "mono quiet", digest))
  if (canary) heading.append(" ", element("span", "tag warn", "Canary"))
  heading.scope = "row"
  const cell = (...content) => element("td", "number", ...content)
  return element("tr", "", heading, cell(it.live ? `${it.calls}, and ${it.live} live` : String(it.calls)), cell(seconds(it.latency_ms)),
    cell(seconds(it.slow_ms)), cell(share(it.failed, it.calls)), cell(share(it.transferred, it.calls)),
    cell(counts(it.endings, it.calls)), cell(counts(it.outcomes, it.calls)))
}

function release({ place, state, reason, at }) {
  const where = place === "*" ? "all numbers" : place
  return element("li", state === "running" ? "notice calm" : "notice", `The canary of ${where} is ${state} since ${moment(at)}${reason ? `: ${reason}` : ""}.`)
}

async function load() {
  const since = $("filters").elements.since.value
  try {
    const { versions, releases, calls, all } = await get(`api/versions?since=${since}`)
    $("versions").replaceChildren(...versions.map(row))
    $("releases").replaceChildren(...releases.map(release))
    $("table").hidden = versions.length === 0
    $("nothing").hidden = versions.length > 0
    show($("found"), all ? "" : `The newest ${calls} calls of this period`)
    notice($("notice"), "")
  } catch (error) {
    notice($("notice"), error.message)
  }
}

$("filters").addEventListener("input", load)
$("filters").addEventListener("submit", event => event.preventDefault())
load()
setInterval(load, 30000)
