// What all pages share: requests to the server, the person who is logged in, and small helpers.

/** A failure that the person at the page can do something about. */
export class Failed extends Error {}

export const $ = id => document.getElementById(id)

export function element(tag, className = "", ...content) {
  const made = document.createElement(tag)
  if (className) made.className = className
  made.append(...content)
  return made
}

/** Set the text of an element, and touch the page only if it changed. */
export function show(node, text) {
  if (node.textContent !== text) node.textContent = text
}

/** Hide or show an element with a text; an empty text hides it. */
export function notice(node, text) {
  show(node, text)
  node.hidden = !text
}

/** Send a request, and return the response. `path` is relative to `/console/`. Throws `Failed`. */
export async function request(path, options = {}) {
  const url = new URL(path, document.baseURI)
  const headers = { ...options.headers }
  if (options.method) headers["X-Telephony-Console"] = "1"
  if (options.json !== undefined) {
    headers["Content-Type"] = "application/json"
    options = { ...options, body: JSON.stringify(options.json) }
  }
  let response
  try {
    response = await fetch(url, { ...options, headers })
  } catch (error) {
    if (error.name === "AbortError") throw error
    throw new Failed("The server does not answer. This page tries again when you do.")
  }
  if (response.ok) return response
  if (response.status === 401) logIn()
  const text = await response.text()
  let message = text
  try {
    message = JSON.parse(text).error ?? text
  } catch { /* not JSON */ }
  const failed = new Failed(message || `The server answered ${response.status}.`)
  failed.status = response.status
  throw failed
}

/** The address of the console of one process. */
export const consoleOf = instance => `${document.baseURI.replace(/(\/i\/[^/]+)?\/console\/$/, "")}/i/${instance}/console/`

export const get = async (path, options) => (await request(path, options)).json()
export const post = (path, json) => request(path, { method: "POST", json: json ?? {} })

/** Do something with a button that is disabled meanwhile. A failure is shown. */
export async function act(button, work) {
  const focused = document.activeElement === button
  button.disabled = true // which takes the focus away
  notice($("problem"), "")
  try {
    await work()
  } catch (error) {
    if (!(error instanceof Failed)) throw error
    notice($("problem"), error.message)
  } finally {
    button.disabled = false
    if (focused && document.activeElement === document.body) button.focus()
  }
}

/** Go to the login, and come back afterwards. */
export function logIn() {
  location.assign(new URL(`login?next=${encodeURIComponent(location.href)}`, document.baseURI))
}

/** Follow a feed of server-sent events. `on.data` gets each event, `on.open` and `on.lost` the state of the feed. */
export function follow(path, on) {
  let source
  let lost = false
  let timer
  const open = () => {
    source = new EventSource(new URL(path, document.baseURI))
    source.onopen = () => { lost = false; on.open?.() }
    source.onmessage = ({ data }) => on.data(JSON.parse(data))
    source.onerror = () => {
      on.lost?.()
      if (source.readyState !== EventSource.CLOSED) return // it connects again by itself
      // A browser gives up after an error status. Ask for the reason once, then try again.
      if (!lost) get("api/me").catch(() => {})
      lost = true
      timer = setTimeout(open, 2000)
    }
  }
  open()
  return () => { clearTimeout(timer); source.close() }
}

/** 83.4 s as 1:23; hours as 1:02:03. */
export function clock(seconds) {
  const whole = Math.max(0, Math.floor(seconds))
  const [h, m, s] = [Math.floor(whole / 3600), Math.floor(whole / 60) % 60, whole % 60]
  const two = n => String(n).padStart(2, "0")
  return h ? `${h}:${two(m)}:${two(s)}` : `${m}:${two(s)}`
}

/** "+14155550171" as "+1 415 555 0171". Other numbers in groups of three, and masked numbers as they are. */
export function legible(number) {
  const american = number.match(/^\+1(\d{3})(\d{3})(\d{4})$/)
  if (american) return `+1 ${american.slice(1).join(" ")}`
  if (!/^\+\d{8,15}$/.test(number)) return number
  return number.replace(/(\d{2})(?=(\d{3})+$)/, "$1 ").replace(/(\d{3})(?=(\d{3})+$)/g, "$1 ")
}

/** Words that were said, for a person: a model that does not write words down says only how long somebody spoke. */
export const spoken = text => text.replace(/\[(\d+\.\d) s of speech\]/g, "(spoke for $1 s, the words were not written down)")

const DAY = new Intl.DateTimeFormat(undefined, { day: "numeric", month: "short", year: "numeric" })
const SECOND = new Intl.DateTimeFormat(undefined, { timeStyle: "medium" })
const HOUR = new Intl.DateTimeFormat(undefined, { hour: "2-digit", minute: "2-digit" })

/** "Today, 15:49" or "28 Nov 2026, 15:49", in the time of the browser. */
export function moment(iso) {
  if (!iso) return "–"
  return `${day(iso)}, ${HOUR.format(new Date(iso))}`
}

/** As `moment`, with the seconds. */
export function instant(iso) {
  return `${day(iso)}, ${SECOND.format(new Date(iso))}`
}

function day(iso) {
  const at = new Date(iso)
  return at.toDateString() === new Date().toDateString() ? "Today" : DAY.format(at)
}

/** The number of the person outside, and which way the call went. */
export function party({ caller, called, direction }) {
  const outbound = direction?.startsWith("outbound")
  const number = legible((outbound ? called : caller) || "")
  return { number: number || "Number withheld", outbound, label: `${outbound ? "To " : ""}${number || "Number withheld"}` }
}

/** The words in the share of a text that was heard, to the end of a word. */
export function heardOf(text, share) {
  if (share >= 1) return text.length
  const letters = Math.round(text.length * share)
  if (letters === 0) return 0
  const space = text.indexOf(" ", letters)
  return space < 0 ? text.length : space
}

async function showPerson() {
  let me
  try {
    me = await get("api/me")
  } catch {
    return
  }
  if (!me.can_log_out) return
  const leave = element("button", "plain", "Log out")
  leave.onclick = async () => {
    await post("api/logout")
    logIn()
  }
  $("who").replaceChildren(element("span", "", me.name), leave)
  $("who").hidden = false
}

// The address of a link to a place within the page would lose the parameters of the page.
document.querySelector(".skip")?.addEventListener("click", event => {
  event.preventDefault()
  $("main").focus()
})
if ($("who")) showPerson()
