// What the records know of one call: its title, and the cards beside the conversation.

import { $, clock, element, legible, moment, notice, party, post, show } from "./console.js"
import { ask } from "./ask.js"

/** Show the number, the direction, the agents and the length of a call, from its record. */
export function showTitle(call) {
  const { number, outbound } = party(call)
  show($("title"), number)
  document.title = `${number} · Telephony`
  const agent = call.agents?.length ? call.agents.join(", then ") : call.agent
  const parts = [outbound ? "Called by the agent" : "Called us", agent, moment(call.started_at)]
  if (call.duration_s != null) parts.push(clock(call.duration_s))
  show($("subtitle"), parts.filter(Boolean).join(" · "))
}

/** Show the cards of a call. `may` has the scopes of the person at the page. `hasEnded`: the call has just ended. */
export function showFacts(sid, { record, recording, ended, live, taken_over_by }, may, hasEnded) {
  const side = []
  if (record) {
    if (record.outcome || record.summary || record.result) side.push(outcome(record))
    side.push(numbers(record, ended, taken_over_by ?? []))
    if (!live && recording && may.has("export")) side.push(files(`api/calls/${sid}`))
  }
  $("side").replaceChildren(...side)
  $("state").classList.remove("live")
  notice($("state"), live ? "" : [hasEnded ? "This call has just ended." : "", ended?.sentence].filter(Boolean).join(" "))
  $("state").classList.toggle("bad", /^(Failed|Line lost|Server failed|Refused)$/.test(ended?.label ?? ""))
}

function card(title, ...content) {
  return element("section", "card padded", element("h2", "", title), ...content)
}

function list(pairs, className = "facts") {
  const made = element("dl", className)
  for (const [name, value] of pairs) if (value) made.append(element("dt", "", name), element("dd", "", value))
  return made
}

function outcome({ outcome, summary, result }) {
  const fields = result && typeof result === "object" ? Object.entries(result) : result == null ? [] : [["Result", result]]
  const text = value => typeof value === "string" ? value : JSON.stringify(value)
  return card("Outcome", ...(outcome ? [element("p", "", outcome)] : []),
    ...(summary ? [element("p", "quiet", summary)] : []),
    list(fields.map(([name, value]) => [name.replaceAll("_", " "), text(value)]), "facts stacked"))
}

function numbers(record, ended, supervisors) {
  const latencies = (record.turns ?? []).map(turn => turn.latency_ms).filter(ms => ms != null).sort((a, b) => a - b)
  const cost = [record.model_cost != null ? `${money(record.model_cost)} USD model` : "",
    record.cost != null ? `${money(Math.abs(record.cost))} ${record.currency} phone` : ""].filter(Boolean).join(", ")
  const tools = Object.entries(record.tools ?? {}).map(([name, { calls, failures }]) =>
    `${name} ${calls}×${failures ? ` (${failures} failed)` : ""}`).join(", ")
  const transfers = (record.transfers ?? []).map(each => `${each.target}: ${each.succeeded ? "done" : each.result || "not done"}`).join("; ")
  return card("This call", list([
    ["Began", moment(record.started_at)],
    ["From", legible(record.caller || "") || "Number withheld"],
    ["To", legible(record.called || "")],
    ["Agents", (record.agents ?? [record.agent]).filter(Boolean).join(", ")],
    ["Why it ended", ended?.label],
    ["Taken over by", supervisors.join(", ")],
    ["Interrupted by caller", record.interruptions == null ? "" : element("span", "interruptions", `${record.interruptions}×`)],
    ["Typical answer after", latencies.length ? `${(latencies[latencies.length >> 1] / 1000).toFixed(1)} s` : ""],
    ["Tools", tools],
    ["Transfers", transfers],
    ["Cost", cost],
    ["Call id", element("span", "mono", record.sid ?? record.id)],
  ]))
}

const money = value => value < 0.01 && value > 0 ? value.toFixed(4) : value.toFixed(2)

function files(call) {
  const download = (label, path) => {
    const link = element("a", "button", label)
    link.href = new URL(path, document.baseURI)
    link.setAttribute("download", "")
    return link
  }
  const test = element("button", "", "Make a test of this call")
  test.onclick = () => makeTest(call)
  return card("Keep", element("div", "buttons", download("Recording", `${call}/audio?download=1`),
    download("Transcript", `${call}/export.json`), test))
}

function makeTest(call) {
  ask({
    title: "Make a test of this call",
    text: "You get a file for the developers. The test plays this call to the agent again, and fails if the agent behaves differently. Numbers and secrets in it are masked.",
    fields: [{ name: "name", label: "Name of the test, like refund_after_hours", pattern: "[A-Za-z_][A-Za-z0-9_]*", required: true },
      { name: "agent", label: "Agent in the code, like desk:agent (may be empty)", pattern: "[A-Za-z0-9_.]+:[A-Za-z0-9_.]+" }],
    action: "Make the test",
    async run(values) {
      const response = await post(`${call}/test`, values)
      const link = element("a")
      link.href = URL.createObjectURL(await response.blob())
      link.download = `test_${values.name}.zip`
      link.click()
      setTimeout(() => URL.revokeObjectURL(link.href), 10_000)
    },
  })
}
