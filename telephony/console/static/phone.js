// The page: buttons and texts around one call at a time.

import { Call } from "./call.js"
import { Conversation } from "./conversation.js"
import { Parameters } from "./parameters.js"
import { Scope } from "./scope.js"
import { Server } from "./server.js"
import { Transcript, element } from "./transcript.js"
import "./console.js"

const $ = id => document.getElementById(id)

const quality = { delayMs: 0, jitterMs: 0, loss: 0 }
const scope = new Scope($("scope"))
const parameters = new Parameters($("parameters"), $("parameter"), $("add-parameter"))
const server = new Server()
let call = new Call(quality, server)
let conversation = new Conversation()
let transcript
let beganAt = 0

// --- the call --------------------------------------------------------------------------------------------------------

function ring() {
  call = new Call(quality, server)
  call.muted = isMuted()
  call.devices = { microphone: $("microphones").value, speaker: $("speakers").value }
  call.loss = quality.loss
  conversation = new Conversation()
  transcript = new Transcript($("lines"), $("told"))
  scope.clear()
  beganAt = Date.now()
  follow(call, conversation)
  return call.ring({ from: $("from").value, to: $("to").value, parameters: parameters.value })
}

function follow(call, conversation) {
  const on = (type, react) => call.addEventListener(type, ({ detail }) => {
    react(detail)
    transcript.show(conversation.lines)
  })
  on("state", showState)
  on("stream", () => conversation.streamBegins())
  on("record", record => conversation.record(record))
  on("cleared", where => conversation.cleared(where))
  on("said", ({ text }) => conversation.twilio(text))
  on("warning", ({ message }) => transcript.note(message))
  on("opened", listDevices)
  on("dial", dial => showTransfer(dial, conversation))
  on("frame", frame => {
    scope.add(...conversation.frame(frame))
    showFigures()
  })
}

function press(digit) {
  if (!call.press(digit)) return
  conversation.pressed(digit)
  transcript.show(conversation.lines)
}

const isMuted = () => $("mute").getAttribute("aria-pressed") === "true"

function mute(muted) {
  call.muted = muted
  $("mute").setAttribute("aria-pressed", muted)
}

// --- what is shown ---------------------------------------------------------------------------------------------------

function showState({ state, reason, refused }) {
  document.body.dataset.state = state
  const on = state === "ringing" || state === "live"
  $("status").textContent = { ringing: "Ringing", live: "Connected", over: refused ? reason : `Over: ${reason}` }[state]
  $("status").classList.toggle("bad", Boolean(refused))
  showCall()
  $("call").textContent = on ? "Hang up" : "Call"
  $("agents").disabled = on
  if (state === "live") beganAt = Date.now()
  if (state === "over") $("transfer").hidden = true
  showFigures()
}

/** The id of the call, and the way to its page. */
function showCall() {
  $("this-call").hidden = false
  $("call-id").textContent = call.sid
  $("open-call").href = `calls/${call.sid}`
  $("open-call").target = "_blank" // leaving this page hangs up
}

/** The microphones and loudspeakers. A browser names them after the microphone was allowed. */
async function listDevices() {
  if (!navigator.mediaDevices?.enumerateDevices) return
  const devices = await navigator.mediaDevices.enumerateDevices()
  for (const [select, kind] of [[$("microphones"), "audioinput"], [$("speakers"), "audiooutput"]]) {
    const chosen = select.value
    const found = devices.filter(device => device.kind === kind && device.deviceId && device.deviceId !== "default")
    select.replaceChildren(new Option("Default", ""), ...found.map((device, n) => new Option(device.label || `Device ${n + 1}`, device.deviceId)))
    select.value = found.some(device => device.deviceId === chosen) ? chosen : ""
  }
  $("speaker-choice").hidden = !("setSinkId" in AudioContext.prototype) || $("speakers").options.length < 2
}

/** The TwiML dials another number. The page calls no number: the person at the page chooses the result. */
function showTransfer({ name, conference, decide }, conversation) {
  const whom = conference ? `the conference ${name}` : name
  conversation.twilio(`transferred to ${whom}. A browser cannot be dialled on.`)
  $("status").textContent = "Transferred"
  $("transfer-to").textContent = whom
  $("transfer").hidden = false
  $("transfer").onclick = ({ target }) => {
    if (target.dataset.status) decide(target.dataset.status)
  }
  const leave = () => {
    $("transfer").hidden = true
    $("status").textContent = "Connected"
  }
  call.addEventListener("stream", leave, { once: true })
}

function showFigures() {
  const latencies = conversation.latencies
  $("timer").textContent = clock((Date.now() - beganAt) / 1000)
  const shown = ms => ms === undefined ? "–" : `${(ms / 1000).toFixed(2)} s`
  $("last").textContent = shown(latencies.at(-1))
  $("median").textContent = shown(latencies.toSorted((a, b) => a - b)[latencies.length >> 1])
  $("marks").textContent = call.marks
  $("lost").textContent = call.lost
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
  if (/^[0-9*#]$/.test(event.key) && !event.target.matches("input, select")) press(event.key)
})
$("agents").addEventListener("change", () => { if ($("agents").value) $("to").value = $("agents").value })
$("to").addEventListener("input", () => { $("agents").value = $("to").value in server.agents ? $("to").value : "" })

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
    await server.introduce()
  } catch (error) {
    $("call").disabled = true
    $("status").textContent = error.message
    return
  }
  $("call").disabled = false
  $("status").textContent = "Ready"
  const names = Object.values(server.agents)
  $("agent").replaceChildren(element("b", "", names.join(", ")), ` · ${server.model}`)
  document.title = `${names[0]} · Phone`
  showAgents(Object.entries(server.agents).filter(([number]) => number))
}

/** Where the called number decides, agents are chosen by their names. */
function showAgents(byNumber) {
  $("choice").hidden = byNumber.length === 0
  $("agents").replaceChildren(...byNumber.map(([number, name]) => new Option(name, number)), new Option("another number", ""))
  const number = byNumber.some(([number]) => number === server.number) ? server.number : byNumber[0]?.[0] ?? server.number
  if (!number) return
  $("to").value = $("agents").value = number
}

introduce()
listDevices()
navigator.mediaDevices?.addEventListener?.("devicechange", listDevices)
for (const id of ["microphones", "speakers"]) $(id).addEventListener("change", () => {
  call.devices = { microphone: $("microphones").value, speaker: $("speakers").value }
})
