// One call: live as it happens, or past with its recording. `?t=12.4` is a moment of the recording.

import { $, get, notice, show } from "./console.js"
import { showFacts, showTitle } from "./call-facts.js"
import { LiveCall } from "./live-call.js"
import { PastCall } from "./past-call.js"
import { Supervision } from "./supervision.js"
import { Timeline } from "./timeline.js"

const sid = decodeURIComponent(location.pathname.match(/\/console\/calls\/([^/]+)/)[1])
const parameters = new URLSearchParams(location.search)
const timeline = new Timeline($("canvas"), $("scroller"), ms => past.play(ms))
const past = new PastCall(timeline)
const supervision = new Supervision()
let may = new Set(["view"])

async function load() {
  let found
  try {
    found = await get(`api/calls/${sid}`)
  } catch (error) {
    notice($("problem"), error.message)
    $("timeline").hidden = document.querySelector(".columns").hidden = true
    return
  }
  notice($("problem"), "")
  may = new Set(found.may ?? may)
  if (found.record) showTitle(found.record)
  showFacts(sid, found, may)
  if (found.live) {
    wayBack("../console", "← Live calls")
    new LiveCall(sid, timeline, supervision, may, load).follow(found.live.instance)
  } else {
    wayBack("calls", "← History", parameters.get("search"))
    $("actions").hidden = true
    notice($("warnings"), "")
    past.show(sid, found, may, Number(parameters.get("t")))
  }
}

/** Show the link to the list of calls from which the person came, and mark its page in the navigation. */
function wayBack(page, label, search) {
  $("back").href = search ? `${page}?${search}` : page
  show($("back"), label)
  for (const link of document.querySelectorAll(".bar nav a")) {
    if (link.getAttribute("href") === page) link.setAttribute("aria-current", "page")
    else link.removeAttribute("aria-current")
  }
}

load()
