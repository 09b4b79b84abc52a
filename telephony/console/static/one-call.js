// One call: live as it happens, or past with its recording. `?t=12.4` is a moment of the recording.

import { $, get, notice, show } from "./console.js"
import { showFacts, showTitle } from "./call-facts.js"
import { LiveCall } from "./live-call.js"
import { PastCall } from "./past-call.js"
import { Supervision } from "./supervision.js"
import { Timeline } from "./timeline.js"

const RECORD_MS = 500 // between two looks at whether the record of a call that has just ended is written
const LOOKS = 20

const sid = decodeURIComponent(location.pathname.match(/\/console\/calls\/([^/]+)/)[1])
const parameters = new URLSearchParams(location.search)
const timeline = new Timeline($("canvas"), $("scroller"), ms => past.play(ms))
const past = new PastCall(timeline)
const supervision = new Supervision()
let may = new Set(["view"])

/** `hasEnded`: the page has shown the end of this live call. */
async function load({ hasEnded = false } = {}) {
  let found
  try {
    found = await get(`api/calls/${sid}`)
    for (let n = 0; hasEnded && found.live && n < LOOKS; n++) {
      await new Promise(done => setTimeout(done, RECORD_MS))
      found = await get(`api/calls/${sid}`)
    }
  } catch (error) {
    notice($("problem"), error.message)
    if ($("back").hidden) show($("title"), "This call cannot be shown")
    wayBack("calls", "← History")
    return
  }
  notice($("problem"), "")
  may = new Set(found.may ?? may)
  if (found.record) showTitle(found.record)
  showFacts(sid, found, may, hasEnded)
  if (found.live) {
    wayBack("../console", "← Live calls")
    new LiveCall(sid, timeline, supervision, may, load).follow(found.live.instance)
  } else {
    wayBack("calls", "← History")
    $("actions").hidden = true
    notice($("warnings"), "")
    past.show(sid, found, may, Number(parameters.get("t")))
  }
}

/** Show the link to the list from which the person came, by default `page`, and mark that page in the navigation. The
 *  link stays as it is until the page is left. */
function wayBack(page, label) {
  if (!$("back").hidden) return
  let query = null
  if (parameters.has("audit")) [page, label, query] = ["audit", "← Audit", parameters.get("audit")]
  else if (parameters.has("search")) [page, label, query] = ["calls", "← History", parameters.get("search")]
  $("back").href = query ? `${page}?${query}` : page
  show($("back"), label)
  $("back").hidden = false
  for (const link of document.querySelectorAll(".bar nav a")) {
    if (link.getAttribute("href") === page) link.setAttribute("aria-current", "page")
  }
}

load()
