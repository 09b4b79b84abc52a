// The page: buttons and texts around one call at a time.

import { Call } from "./call.js"
import { Conversation } from "./conversation.js"
import { Scope } from "./scope.js"
import { CallFailed, Server } from "./server.js"

const $ = id => document.getElementById(id)
const WHO = { caller: "You", agent: "Agent", tool: "Tool", key: "Keypad", error: "Error", note: "" }

const quality = { delayMs: 0, jitterMs: 0, loss: 0 }
const scope = new Scope($("scope"))
const server = new Server()
let call = new Call(quality, server)
let conversation = new Conversation()
let items = new Map() // line -> its <li>
let beganAt = 0

// --- the call --------------------------------------------------------------------------------------------------------

async function ring() {
  call = new Call(quality, server)
  call.muted = isMuted()
  call.loss = quality.loss
  conversation = new Conversation()
  items = new Map()
  $("lines").replaceChildren()
  $("told").replaceChildren()
  scope.clear()
  follow(call, conversation)
  const wanted = { from: $("from").value, to: $("to").value, parameters: parameters($("parameters").value) }
  try {
    await call.ring(wanted)
    showFigures()
  } catch (error) {
    if (!(error instanceof CallFailed)) throw error
  }
}

function follow(call, conversation) {
  call.addEventListener("state", ({ detail }) => showState(detail))
  call.addEventListener("record", ({ detail }) => { conversation.record(detail); showLines() })
  call.addEventListener("cleared", ({ detail }) => { conversation.cleared(detail); showLines() })
  call.addEventListener("warning", ({ detail }) => note(detail.message))
  call.addEventListener("frame", ({ detail }) => {
    scope.add(...conversation.frame(detail))
    showLines()
    showFigures()
  })
}

function press(digit) {
  if (call.state !== "live") return
  call.press(digit)
  conversation.pressed(digit)
  showLines()
}

const isMuted = () => $("mute").getAttribute("aria-pressed") === "true"

function mute(muted) {
  call.muted = muted
  $("mute").setAttribute("aria-pressed", muted)
}

function parameters(text) {
  const lines = text.split("\n").filter(line => line.includes("="))
  return Object.fromEntries(lines.map(line => [line.slice(0, line.indexOf("=")).trim(), line.slice(line.indexOf("=") + 1).trim()]))
}

// --- what is shown ---------------------------------------------------------------------------------------------------

function showState({ state, reason }) {
  document.body.dataset.state = state
  const on = state === "ringing" || state === "live"
  $("status").textContent = { ringing: "Ringing", live: "Connected", over: `Over: ${reason}` }[state]
  $("call").textContent = on ? "Hang up" : "Call"
  if (state === "live") beganAt = Date.now()
}

function showFigures() {
  const latencies = conversation.latencies
  $("timer").textContent = clock((Date.now() - beganAt) / 1000)
  $("last").textContent = latencies.length ? `${latencies.at(-1)} ms` : "–"
  $("median").textContent = latencies.length ? `${latencies.toSorted((a, b) => a - b)[latencies.length >> 1]} ms` : "–"
  $("marks").textContent = call.marks
  $("lost").textContent = call.lost
}

function showLines() {
  const list = $("lines")
  const atEnd = list.scrollHeight - list.scrollTop - list.clientHeight < 40
  let changed = false
  for (const line of conversation.lines) {
    const shown = items.get(line) ?? add(list, line)
    const state = `${line.text}|${line.heard}|${line.cut}|${line.detail}|${line.latencyMs}`
    if (shown.state === state) continue
    shown.state = state
    changed = true
    fill(shown.item, line)
    if (line.done && !shown.told) {
      shown.told = true
      tell(`${WHO[line.kind]}: ${line.text}`)
    }
  }
  if (changed && atEnd) list.scrollTop = list.scrollHeight
}

function add(list, line) {
  const shown = { item: element("li", line.kind), state: "" }
  items.set(line, shown)
  list.append(shown.item)
  return shown
}

function fill(item, line) {
  const answered = line.latencyMs ? ` · after ${line.latencyMs} ms` : ""
  const text = element("span", "text")
  if (line.kind === "agent") {
    const end = line.text[line.heard] === " " ? line.heard + 1 : line.heard
    text.append(element("span", "heard", line.text.slice(0, end)), element("span", "rest", line.text.slice(end)))
  } else {
    text.textContent = line.text
  }
  item.classList.toggle("cut", line.cut)
  item.replaceChildren(element("span", "who", WHO[line.kind] + answered), text)
  if (line.detail) item.append(element("span", "detail", line.detail))
}

/** For screen readers: each line once, when it is complete, and not word by word. */
function tell(text) {
  $("told").append(element("p", "", text))
}

function note(message) {
  const item = element("li", "note")
  item.textContent = message
  $("lines").append(item)
  tell(message)
}

function element(tag, className, text = "") {
  const made = document.createElement(tag)
  made.className = className
  made.textContent = text
  return made
}

const clock = seconds => `${Math.floor(seconds / 60)}:${String(Math.floor(seconds % 60)).padStart(2, "0")}`

// --- what is pressed and moved ---------------------------------------------------------------------------------------

$("call").addEventListener("click", () => call.state === "ringing" || call.state === "live" ? call.hangUp() : ring())
$("mute").addEventListener("click", () => mute(!isMuted()))
$("keypad").addEventListener("click", ({ target }) => {
  const digit = target.closest("button")?.dataset.key
  if (digit) press(digit)
})
// Keys count while the focus is in the telephone, and not in a field.
$("phone").addEventListener("keydown", event => {
  if (/^[0-9*#]$/.test(event.key) && !event.target.matches("input, textarea")) press(event.key)
})

for (const slider of document.querySelectorAll("input[type=range]")) {
  const show = () => {
    slider.parentElement.querySelector("output").textContent = `${slider.value} ${slider.dataset.unit}`
    quality.delayMs = $("delay").value / 2
    quality.jitterMs = Number($("jitter").value)
    quality.loss = call.loss = $("loss").value / 100
  }
  slider.addEventListener("input", show)
  show()
}

addEventListener("pagehide", () => call.hangUp())

// --- who answers, and may we call ------------------------------------------------------------------------------------

async function introduce() {
  try {
    await server.introduce(sessionStorage.token)
  } catch (error) {
    $("call").disabled = true
    $("access").hidden = !error.unauthorised
    $("status").textContent = error.message
    return
  }
  $("access").hidden = true
  $("call").disabled = false
  $("status").textContent = "Ready"
  const names = Object.values(server.agents)
  $("agent").replaceChildren(element("b", "", names.join(", ")), ` · ${server.model}`)
  document.title = `${names[0]} · Softphone`
  const numbers = Object.keys(server.agents).filter(Boolean)
  $("numbers").replaceChildren(...numbers.map(number => new Option(server.agents[number], number)))
  if (server.number ?? numbers[0]) $("to").value = server.number ?? numbers[0]
}

$("access").addEventListener("submit", event => {
  event.preventDefault()
  sessionStorage.token = $("token").value
  introduce()
})

if (location.hash.startsWith("#token=")) {
  sessionStorage.token = decodeURIComponent(location.hash.slice(7))
  history.replaceState(null, "", location.pathname)
}
introduce()
