// What the pages of campaigns share: the words for a status, and rows with a bar.

import { element } from "./console.js"

const WHY = {
  user: "by a person", failures: "too many calls failed", minutes: "the minutes are used up",
  cost: "the money is used up", calls: "the calls are used up", "hang-up": "live calls are hung up",
}

/** A tag with the status of a campaign, and why it is paused. */
export function statusTag(status, reason) {
  const words = reason ? `${status}: ${WHY[reason] ?? reason}` : status
  return element("span", status === "running" ? "tag good" : "tag", words)
}

/** A row with a name, a bar and a count. `most` is the count of the longest bar. */
export function bar(name, count, most) {
  const filled = element("span", "filled")
  filled.style.width = `${most ? (100 * count) / most : 0}%`
  const track = element("span", "track", filled)
  track.setAttribute("aria-hidden", "true")
  return element("li", "counted", element("span", "", name), track, element("span", "number", String(count)))
}
