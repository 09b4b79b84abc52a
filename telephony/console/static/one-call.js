// One call: live as it happens, or past with its recording. `?t=12.4` is a moment of the recording.

import { $, Failed, clock, consoleOf, element, follow, get, moment, notice, party, post, show } from "./console.js"
import { ask } from "./ask.js"
import { Listener } from "./listener.js"
import { TakeOver, refuseHaste } from "./take-over.js"
import { Talk } from "./talk.js"
import { Timeline } from "./timeline.js"

const sid = decodeURIComponent(location.pathname.match(/\/console\/calls\/([^/]+)/)[1])
const timeline = new Timeline($("canvas"), $("scroller"), ms => play(ms))
const audio = $("audio")
const asked = new URLSearchParams(location.search)
let talk
let may = new Set(["view"])
let api = `api/calls/${sid}` // of the process that has the call
let listener
let takeOver
let targets = [] // the names of those to whom the caller can be transferred

// --- what is known of the call ---------------------------------------------------------------------------------------

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
  if (found.record) head(found.record)
  facts(found)
  if (found.live) return live(found.live)
  past(found)
}

function head(call) {
  const { number, outbound } = party(call)
  show($("title"), number)
  document.title = `${number} · Telephony`
  const agent = call.agents?.length ? call.agents.join(", then ") : call.agent
  const parts = [outbound ? "Called by the agent" : "Called us", agent, moment(call.started_at)]
  if (call.duration_s != null) parts.push(clock(call.duration_s))
  show($("subtitle"), parts.filter(Boolean).join(" · "))
}

function facts({ record, recording, ended, live }) {
  const side = []
  if (record) {
    if (record.outcome || record.summary || record.result) side.push(outcome(record))
    side.push(numbers(record, ended))
    if (!live) side.push(files(recording))
  }
  $("side").replaceChildren(...side)
  $("state").classList.remove("live")
  notice($("state"), live ? "" : ended?.sentence ?? "")
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

function numbers(record, ended) {
  const latencies = (record.turns ?? []).map(turn => turn.latency_ms).filter(ms => ms != null).sort((a, b) => a - b)
  const cost = [record.model_cost != null ? `${money(record.model_cost)} USD model` : "",
    record.cost != null ? `${money(Math.abs(record.cost))} ${record.currency} phone` : ""].filter(Boolean).join(", ")
  const tools = Object.entries(record.tools ?? {}).map(([name, { calls, failures }]) =>
    `${name} ${calls}×${failures ? ` (${failures} failed)` : ""}`).join(", ")
  const transfers = (record.transfers ?? []).map(each => `${each.target}: ${each.succeeded ? "done" : each.result || "not done"}`).join("; ")
  return card("This call", list([
    ["Began", moment(record.started_at)],
    ["From", record.caller || "Number withheld"],
    ["To", record.called],
    ["Agents", (record.agents ?? [record.agent]).filter(Boolean).join(", ")],
    ["Why it ended", ended?.label],
    ["Interrupted by caller", record.interruptions == null ? "" : element("span", "interruptions", `${record.interruptions}×`)],
    ["Typical answer after", latencies.length ? `${(latencies[latencies.length >> 1] / 1000).toFixed(1)} s` : ""],
    ["Tools", tools],
    ["Transfers", transfers],
    ["Cost", cost],
    ["Call id", element("span", "mono", record.sid ?? record.id)],
  ]))
}

const money = value => value < 0.01 && value > 0 ? value.toFixed(4) : value.toFixed(2)

function files(recording) {
  if (!recording || !may.has("export")) return ""
  const download = (label, path) => {
    const link = element("a", "button", label)
    link.href = new URL(path, document.baseURI)
    link.setAttribute("download", "")
    return link
  }
  const test = element("button", "", "Make a test of this call")
  test.onclick = makeTest
  return card("Keep", element("div", "buttons", download("Recording", `api/calls/${sid}/audio?download=1`),
    download("Transcript", `api/calls/${sid}/export.json`), test))
}

function makeTest() {
  ask({
    title: "Make a test of this call",
    text: "You get a file for the developers. The test plays this call to the agent again, and fails if the agent behaves differently. Numbers and secrets in it are masked.",
    fields: [{ name: "name", label: "Name of the test, like refund_after_hours", pattern: "[A-Za-z_][A-Za-z0-9_]*", required: true },
      { name: "agent", label: "Agent in the code, like desk:agent (may be empty)", pattern: "[A-Za-z0-9_.]+:[A-Za-z0-9_.]+" }],
    action: "Make the test",
    async run(values) {
      const response = await post(`api/calls/${sid}/test`, values)
      const link = element("a")
      link.href = URL.createObjectURL(await response.blob())
      link.download = `test_${values.name}.zip`
      link.click()
      setTimeout(() => URL.revokeObjectURL(link.href), 10_000)
    },
  })
}

/** Mark a page in the navigation. */
function current(href) {
  for (const link of document.querySelectorAll(".bar nav a")) {
    if (link.getAttribute("href") === href) link.setAttribute("aria-current", "page")
    else link.removeAttribute("aria-current")
  }
}

// --- a past call -----------------------------------------------------------------------------------------------------

async function past({ recording, no_recording, ended }) {
  $("actions").hidden = true
  notice($("warnings"), "")
  $("back").href = `calls${asked.get("search") ? `?${asked.get("search")}` : ""}`
  current("calls")
  show($("back"), "← History")
  if (!recording) {
    $("timeline").hidden = $("conversation").hidden = true
    notice($("preparing"), no_recording ?? "There is no recording of this call.")
    return
  }
  notice($("preparing"), "The recording is being prepared.")
  let made
  try {
    made = await get(`api/calls/${sid}/timeline`)
  } catch (error) {
    notice($("problem"), error.message)
    return
  } finally {
    notice($("preparing"), "")
  }
  talk = new Talk($("talk"), may.has("listen") ? play : null)
  talk.put(made.entries)
  if (ended) talk.put([{ id: "end", type: "end", start_ms: made.duration_ms, text: ended.sentence }])
  timeline.set(made)
  describe(made.entries, made.duration_ms)
  moments(made.entries)
  $("silent").hidden = made.entries.length > 0
  show($("silent"), "Nothing was said.")
  if (!may.has("listen")) return
  $("player").hidden = false
  // One entry in the audit for all requests of the player. `crypto.randomUUID` does not exist on pages over plain HTTP.
  const playback = Array.from(crypto.getRandomValues(new Uint8Array(4)), byte => byte.toString(16).padStart(2, "0")).join("")
  audio.src = new URL(`api/calls/${sid}/audio?${new URLSearchParams({ playback })}`, document.baseURI)
  if (asked.get("t") > 0) seek(Number(asked.get("t")))
}

function describe(entries, duration_ms) {
  const n = type => entries.filter(entry => entry.type === type).length
  const count = (k, one, many) => k === 1 ? `1 ${one}` : `${k} ${many}`
  $("canvas").setAttribute("aria-label", `Timeline of the call, ${clock(duration_ms / 1000)} long: ${count(n("turn"), "turn", "turns")}, ` +
    `${count(n("interruption"), "interruption", "interruptions")}, ${count(n("tool"), "tool", "tools")}. The list below has all of them.`)
}

/** The moments at which the caller interrupted the agent, to go to. */
function moments(entries) {
  const place = document.querySelector(".interruptions")
  const found = entries.filter(entry => entry.type === "interruption" && ["caller", "digit"].includes(entry.cause))
  if (!place || !found.length) return
  place.classList.add("moments")
  place.replaceChildren(...found.map(entry => {
    const button = element("button", "plain", `at ${clock(entry.start_ms / 1000)}`)
    button.onclick = () => {
      play(Math.max(0, entry.start_ms - 2000))
      talk.reveal(entry.id)
    }
    return button
  }))
}

function seek(seconds) {
  audio.currentTime = seconds
  moved(seconds)
}

function play(ms) {
  if (!audio.src) return
  seek(ms / 1000)
  audio.play().catch(() => {})
}

function moved(seconds) {
  timeline.at = seconds * 1000
  talk?.at(seconds * 1000)
}

audio.addEventListener("timeupdate", () => moved(audio.currentTime))
audio.addEventListener("seeked", () => moved(audio.currentTime))
audio.addEventListener("play", function frame() {
  if (audio.paused || audio.ended) return
  moved(audio.currentTime)
  requestAnimationFrame(frame)
})
audio.addEventListener("pause", () => {
  const url = new URL(location.href)
  url.searchParams.set("t", audio.currentTime.toFixed(1))
  history.replaceState(null, "", url)
})
audio.addEventListener("error", () => notice($("problem"), "The recording cannot be played. Reload the page to try again."))
$("copy").addEventListener("click", async () => {
  const url = new URL(location.href)
  url.searchParams.set("t", audio.currentTime.toFixed(1))
  history.replaceState(null, "", url)
  url.searchParams.delete("search")
  try {
    await navigator.clipboard.writeText(url.href)
    show($("copy"), "Copied")
  } catch {
    show($("copy"), "The link is in the address bar")
  }
  setTimeout(() => show($("copy"), "Copy link to this moment"), 2500)
})

// --- a live call -----------------------------------------------------------------------------------------------------

const LOST = "The connection to this call was lost. This page connects again."
const UNREACHABLE = "The server process of this call does not answer. If the caller is still there, another process goes on with the call soon. This page follows."
let stop = () => {}

function live({ instance }) {
  api = `${consoleOf(instance)}api/calls/${sid}` // a proxy sends other addresses to any process
  $("back").href = "../console"
  show($("back"), "← Live calls")
  current("../console")
  $("player").hidden = true
  talk = new Talk($("talk"), null)
  $("silent").hidden = false
  let failures = 0
  stop = follow(`${api}/feed`, {
    data({ call, entries, wave, elapsed_ms, targets: names }) {
      failures = 0
      targets = names
      notice($("problem"), "")
      status(call, elapsed_ms)
      talk.put(entries, { follow: true })
      const all = talk.entries
      $("silent").hidden = all.length > 0
      timeline.add({ elapsed_ms, wave, entries: all })
      approvals(all)
      if (call.over) ended()
    },
    async lost() {
      notice($("problem"), ++failures < 2 ? LOST : UNREACHABLE)
      if (failures < 2) return
      const found = await get(`api/calls/${sid}`).catch(() => null)
      if (!found || found.live?.instance === instance) return // the feed is tried again
      stop()
      load() // the call is over, or another process has it
    },
  })
}

function status(call, elapsed_ms) {
  show($("title"), party(call).number)
  document.title = `${party(call).number} · Telephony`
  show($("subtitle"), [call.direction?.startsWith("outbound") ? "Called by the agent" : "Called us", call.agent].filter(Boolean).join(" · "))
  const speaks = { caller: "The caller speaks", agent: "The agent speaks" }[call.speaking] ?? "Nobody speaks"
  $("state").removeAttribute("role") // it changes each second
  cells($("state"), {
    time: `Live for ${clock(elapsed_ms / 1000)} `,
    speaks: `${call.taken_over ? "A supervisor has taken over" : speaks} `,
    answer: call.latency_ms == null ? "" : `Last answer after ${(call.latency_ms / 1000).toFixed(1)} s`,
  })
  $("subtitle").classList.add("live")
  notice($("warnings"), call.warnings.join(" · "))
  $("warnings").classList.toggle("bad", call.warnings.some(text => /^(Waits|No conn)/.test(text)))
  $("actions").hidden = call.over || !(may.has("listen") || may.has("control"))
  $("listen").hidden = !may.has("listen")
  takeOver?.transcribes(call.transcribes)
  $("listen").classList.toggle("away", Boolean(takeOver && listener)) // the supervisor has to hear the caller
  for (const id of ["take-over", "say", "transfer", "hang-up"]) $(id).hidden = !may.has("control")
  $("take-over").disabled = call.taken_over && document.activeElement !== $("take-over") // it would lose the focus
  $("say").disabled = call.taken_over
}

/** Show texts in the parts of an element whose size does not change with them. */
function cells(node, texts) {
  node.classList.add("live")
  node.hidden = false
  if (!node.firstElementChild) node.replaceChildren(...Object.keys(texts).map(name => element("span", name)))
  for (const cell of node.children) show(cell, texts[cell.className])
}

async function ended() {
  stop()
  listener?.stop()
  takeOver?.stop()
  notice($("taken-state"), "")
  $("actions").hidden = true
  notice($("warnings"), "")
  $("subtitle").classList.remove("live")
  $("state").setAttribute("role", "status")
  $("state").classList.remove("live")
  notice($("state"), "The call has ended. Its record is being written.")
  await new Promise(done => setTimeout(done, 1500))
  load()
}

function approvals(entries) {
  const waiting = entries.filter(entry => entry.type === "tool" && entry.waits)
  const known = new Map([...$("approvals").children].map(node => [node.dataset.id, node]))
  for (const entry of waiting) {
    if (known.delete(entry.call_id)) continue
    const text = element("div", "", element("b", "", `The agent asks to use “${entry.name}”`), element("p", "mono", entry.arguments))
    const card = element("section", "approval", text)
    card.dataset.id = entry.call_id
    card.setAttribute("role", "alert")
    if (may.has("control")) {
      const decide = (label, className, path) => {
        const button = element("button", className, label)
        button.onclick = () => act(button, () => post(`${api}/${path}`, { call_id: entry.call_id }))
        return button
      }
      card.append(element("div", "buttons", decide("Approve", "primary", "approve"), decide("Reject", "danger", "reject")))
    }
    $("approvals").append(card)
  }
  for (const card of known.values()) card.remove()
}

/** Do something with a button that is off meanwhile; a failure is shown. */
async function act(button, work) {
  button.disabled = true
  notice($("problem"), "")
  try {
    await work()
  } catch (error) {
    if (!(error instanceof Failed)) throw error
    notice($("problem"), error.message)
  } finally {
    button.disabled = false
  }
}

// --- listening and steering ------------------------------------------------------------------------------------------

const socketUrl = path => {
  const url = new URL(`${api}/${path}`, document.baseURI)
  url.protocol = url.protocol === "https:" ? "wss:" : "ws:"
  return url
}

async function listen(on) {
  listener?.stop()
  listener = null
  if (on) {
    const listening = new Listener(socketUrl("listen"), why => {
      notice($("problem"), why)
      if (listener === listening) listen(false)
    })
    listening.callerOnly = Boolean(takeOver)
    await listening.start()
    listener = listening
  }
  $("listen").setAttribute("aria-pressed", on)
  show($("listen"), on ? "Stop listening" : "Listen")
}

$("listen").addEventListener("click", () => act($("listen"), () => listen($("listen").getAttribute("aria-pressed") !== "true")))

$("take-over").addEventListener("click", () => act($("take-over"), async () => {
  if (takeOver) return
  takeOver = new TakeOver(socketUrl("take-over"), $("taken"), {
    state: text => notice($("taken-state"), text),
    over: takenBack,
  })
  try {
    await takeOver.start()
  } catch (error) {
    takeOver = null
    throw error
  }
  if (listener) listener.callerOnly = true
  else if (may.has("listen")) await listen(true)
}))

function takenBack(handedBack, why) {
  const hadFocus = document.activeElement === document.body // it was in the panel, which is gone
  takeOver = null
  if (listener) listener.callerOnly = false
  notice($("problem"), why)
  notice($("taken-state"), handedBack && !why ? "You handed the call back. The caller no longer hears you." : "")
  $("listen").classList.remove("away")
  $("take-over").disabled = false
  refuseHaste($("take-over"))
  if (hadFocus) $("take-over").focus()
}

$("hang-up").addEventListener("click", () => ask({
  title: "Hang up?",
  text: "The call ends at once, and the caller hears nothing more.",
  action: "Hang up",
  danger: true,
  run: () => post(`${api}/hang-up`),
}))

$("transfer").addEventListener("click", () => act($("transfer"), async () => {
  if (!targets.length) throw new Failed("This agent has nobody to transfer to. A developer adds targets with the tool `transfer`.")
  ask({
    title: "Transfer the caller",
    text: "The caller leaves the agent. If the other person does not answer, the caller comes back to the agent.",
    fields: [{ name: "target", label: "To whom", options: targets },
      { name: "warm", label: "Ask the other person first, while the caller hears music", type: "checkbox" }],
    action: "Transfer",
    run: values => post(`${api}/transfer`, values),
  })
}))

$("say").addEventListener("click", () => ask({
  title: "Let the agent say something",
  text: "The agent says this to the caller in its own voice.",
  fields: [{ name: "words", label: "Words for the caller", required: true }],
  action: "Say it",
  run: values => post(`${api}/say`, values),
}))

addEventListener("pagehide", () => {
  listener?.stop()
  takeOver?.leave()
})
load()
